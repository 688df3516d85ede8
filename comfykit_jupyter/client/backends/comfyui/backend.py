"""A ComfyUI server, by its HTTP routes and its event socket. A POST that may start a job is sent once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit
from weakref import finalize

from comfykit_jupyter.client.backends.base import Accepted, Backend, Follower, Order, Refused, Server
from comfykit_jupyter.client.backends.comfyui import jobs
from comfykit_jupyter.client.backends.comfyui.cancel import Canceller
from comfykit_jupyter.client.backends.comfyui.failures import (
    build_connection_error,
    build_nonsense_error,
    build_size_error,
    raise_for_status,
)
from comfykit_jupyter.client.backends.comfyui.files import download, upload
from comfykit_jupyter.client.backends.comfyui.follow import RunPoller
from comfykit_jupyter.client.backends.comfyui.socket import EventSocket
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.results.media import FILE, Media, build_view_url, format_annotated_name
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.body import TooLarge, parse_body
from comfykit_jupyter.client.transport.connection import LIST_LIMIT, Connection
from comfykit_jupyter.client.transport.credentials import build_secret_headers
from comfykit_jupyter.client.transport.deadline import SLOWEST
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.progress.records import (
    QUEUE_PARTS,
    count_outputs,
    find_queued_items,
    is_queue,
    is_record,
    keep_ids,
)
from comfykit_jupyter.workflow.untrusted_json import MAX_ALL_ELEMENTS, parse_json, parse_members

if TYPE_CHECKING:
    import httpx

    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.workflow.binding import Upload

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection."""
HISTORY_LIMIT = 50
"""How many of the newest records are searched for a job by the end of its prompt ID."""
ANSWER_LEAST = 2.0
"""Seconds that an answer may take at least, however short the kit's patience is."""
POOL = 16
"""Maximum number of connections; a hundred runs at once take turns on them."""
MAX_OUTPUTS = 20_000
"""The most outputs of one job that are read."""
_FOLDERS = (" [input]", " [output]", " [temp]")
"""ComfyUI's suffixes for names of files: the folder that the file is in."""


class ComfyUI(Backend):
    """One server. It lives on the background loop, but can be created in any thread."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.comfyui_url
        self._settings = settings
        self._definitions: dict[str, NodeDefinition | None] = {}
        headers = partial(build_secret_headers, settings)
        self._connection = Connection(
            self.url, settings, headers, connect=CONNECT_TIMEOUT, pool=POOL, on_new_loop=self._reset
        )
        self._forgotten: finalize[Any, Any] | None = None
        self._reset()

    def _reset(self) -> None:
        """Create what belongs to one event loop: a forked process has another one."""
        if self._forgotten is not None:
            self._forgotten.detach()
            self._forgotten = None
        self._defining = asyncio.Lock()
        self._canceller = Canceller(self)
        self.poller = RunPoller(self, self._settings.patience)
        self.events = EventSocket(self._settings)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def request(
        self,
        method: str,
        path: str,
        *,
        retry: bool | None = None,
        long: bool = False,
        size: int = 0,
        **options: Any,
    ) -> httpx.Response:
        """Send one request. A GET or HEAD is sent again, once, if a kept connection turns out to be closed.

        Args:
            method: GET, POST, …
            path: The path of the route.
            retry: Whether it may be sent twice; by default a GET or HEAD may.
            long: Whether the answer may take longer than the kit's patience, as long as it comes fast enough.
            size: Size of the request's body in bytes, which takes its time too.
            options: For httpx.

        Raises:
            ServerError: There is no answer, or its status is 3xx, 401, 403 or 5xx. Other answers are returned.
        """
        import httpx

        again = method in ("GET", "HEAD") if retry is None else retry
        within = max(self._settings.patience, ANSWER_LEAST) + size / SLOWEST
        try:
            response = await self._connection.exchange(method, path, again=again, within=within, long=long, **options)
        except httpx.HTTPError as error:
            raise build_connection_error(self.url, error) from None
        except TooLarge as error:
            raise build_size_error(self.url, path, error) from None
        raise_for_status(self.url, response)
        return response

    @contextlib.asynccontextmanager
    async def stream(self, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """Send a GET whose body is read in chunks.

        Raises:
            ServerError: As `request`, and for any answer other than 200 and 206.
        """
        import httpx

        client = await self._connection.get_client()
        try:
            async with client.stream("GET", path, **options) as response:
                raise_for_status(self.url, response)
                if (status := response.status_code) not in (200, 206):
                    raise ServerError(f"{self.url} answers {status} to {path}", status=status)
                yield response
        except httpx.HTTPError as error:
            raise build_connection_error(self.url, error) from None

    async def _request_json(
        self, method: str, path: str, *, parse: Callable[[bytes], Any] = parse_json, **options: Any
    ) -> Any:
        response = await self.request(method, path, **options)
        if response.status_code == 404:
            raise ServerError(f"{self.url} is not a ComfyUI server: it does not know {path}", status=404)
        if response.status_code != 200:
            raise ServerError(f"{self.url} answers {response.status_code} to {path}", status=response.status_code)
        try:
            return await parse_body(response.content, parse)
        except TooLarge as error:
            raise build_size_error(self.url, path, error) from None
        except (ValueError, RecursionError):
            raise build_nonsense_error(self.url, path) from None

    async def request_members(
        self, path: str, keep: Callable[[str, Any], Any], lists: Collection[str] = (), **options: Any
    ) -> dict[str, Any]:
        """Send a GET for a long list, and keep of each part of its answer only what `keep` returns.

        See `parse_members`.

        Raises:
            ServerError: The server can't be reached, or its answer is not an object.
        """
        parse = partial(parse_members, keep=keep, lists=lists)
        found: dict[str, Any] = await self._request_json(
            "GET", path, parse=parse, long=True, limit=LIST_LIMIT, **options
        )
        return found

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self.events.close()
        await self._connection.close()

    # -- the server ----------------------------------------------------------------------------------------------------

    async def status(self) -> Server:
        """Return the state of the server. Never raises for one that can't be reached."""
        try:
            stats, queue = await asyncio.gather(
                self._request_json("GET", "/system_stats"), self.request_members("/queue", keep_ids, QUEUE_PARTS)
            )
            self.version = _read_version(stats)
            running, pending = (len(queue.get(part) or ()) for part in ("queue_running", "queue_pending"))
        except ServerError as error:
            return Server(self.url, reachable=False, message=str(error))
        except (KeyError, TypeError, AttributeError):
            message = f"{self.url} is not a ComfyUI server: its answers make no sense"
            return Server(self.url, reachable=False, message=message)
        return Server(self.url, True, self.version, f"ComfyUI {self.version or '(no version)'}", running, pending)

    def has_definitions(self, classes: Iterable[str]) -> bool:
        """See `Backend.has_definitions`."""
        return all(name in self._definitions for name in classes)

    async def get_definitions(self, classes: Iterable[str], *, fresh: bool = False) -> dict[str, NodeDefinition]:
        """Return the definitions of node classes, which are kept; a class that the server lacks is left out."""
        wanted = sorted(set(classes))
        await self._connection.get_client()
        async with self._defining:  # a hundred runs at once ask only once
            missing = [name for name in wanted if fresh or name not in self._definitions]
            if missing:
                await self._read_definitions(missing)
        return {name: known for name in wanted if (known := self._definitions.get(name)) is not None}

    async def _read_definitions(self, classes: list[str]) -> None:
        asked = [asyncio.ensure_future(self._try_definition(name)) for name in classes]
        try:
            stats, *found = await asyncio.gather(self._try_stats(), *asked)
        finally:
            for each in asked:
                each.cancel()
        if isinstance(stats, dict):
            self.version = _read_version(stats)
        for name, definition in zip(classes, found, strict=True):
            if isinstance(definition, ServerError):
                if not isinstance(stats, dict):
                    raise definition
                definition = None  # a class may run although the server can't describe it
            self._definitions[name] = definition

    async def _try_stats(self) -> Any:
        with contextlib.suppress(ServerError):
            return await self._request_json("GET", "/system_stats")
        return None

    async def _try_definition(self, class_type: str) -> NodeDefinition | ServerError | None:
        """Return the definition of a class, or why the server can't give it; raise if the server does not answer."""
        try:
            return await self._read_definition(class_type)
        except ServerError as error:
            if error.sent and error.status is None:
                raise  # others would take as long
            return error

    async def _read_definition(self, class_type: str) -> NodeDefinition | None:
        raw = await self._request_json("GET", f"/object_info/{quote(class_type, safe='')}", long=True)
        if not isinstance(raw, dict):
            raise build_nonsense_error(self.url, "/object_info")
        found = raw.get(class_type)
        return NodeDefinition.parse(class_type, found) if isinstance(found, dict) else None

    async def list_names(self, path: str) -> list[str]:
        """Return the names that a route lists, such as `/models` or `/object_info`; none if there is no such route.

        Raises:
            ServerError: The server can't be reached.
        """
        response = await self.request("GET", path, long=True, limit=LIST_LIMIT)
        try:
            parse = partial(parse_json, most=MAX_ALL_ELEMENTS)
            found = await parse_body(response.content, parse) if response.status_code == 200 else None
        except TooLarge as error:
            raise build_size_error(self.url, path, error) from None
        except (ValueError, RecursionError):
            found = None
        return [name for name in found if isinstance(name, str)] if isinstance(found, (list, dict)) else []

    async def list_classes(self) -> list[str]:
        """Return the names of all node classes."""
        return await self.list_names("/object_info")

    async def has_file(self, name: str) -> bool:
        """Return whether the server has a file with this name, as nodes know it."""
        try:
            query = Media.from_name(self, name).query
        except ComfyKitError:
            return False
        return (await self.request("HEAD", "/view", params=query)).status_code == 200

    def lock_file(self, name: str) -> asyncio.Lock:
        """Return the lock of a file that is uploaded or downloaded: several runs that want it transfer it once."""
        return self._connection.lock_file(name)

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the address of a file, from an entry such as `{"filename": …, "subfolder": …, "type": …}`."""
        return build_view_url(self.url, entry)

    def find_remote_file(self, text: str) -> str | None:
        """Return the name of a file on the server, from its address or from the name that nodes use."""
        if text.startswith(f"{self.url}/view?"):
            query = {key: values[-1] for key, values in parse_qs(urlsplit(text).query).items()}
            if query.get("filename"):
                return format_annotated_name({**FILE, **query})
        return text if text.endswith(_FOLDERS) else None

    def reference_to(self, media: Media) -> str:
        """Return the name by which nodes know an output."""
        return format_annotated_name(media.query)

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> str:  # noqa: ARG002
        """Upload a file, unless the server has it already, and return the name that its nodes know it by."""
        return await upload(self, content, suffix)

    async def fetch(self, media: Media) -> Path:
        """Return a local copy of an output, downloaded once.

        Raises:
            ServerError: The server can't be reached, or no longer has it.
        """
        async with self.lock_file(str(media)):
            if media.local is None or not media.local.is_file():
                media.local = await download(self, media)
        return media.local

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def post(self, order: Order) -> Accepted:
        """Send a prompt, in a single attempt.

        Raises:
            Refused: The server rejects the prompt.
            ServerError: There is no answer. `/queue` and `/history` show then whether the job runs.
        """
        body: dict[str, Any] = {
            "prompt": order.binding.prompt,
            "client_id": self.events.client_id,
            "prompt_id": order.id,
        }
        extra: dict[str, Any] = {}
        if order.extra_pnginfo:
            extra["extra_pnginfo"] = order.extra_pnginfo
        if self._settings.api_key:
            extra["api_key_comfy_org"] = self._settings.api_key
        if extra:
            body["extra_data"] = extra
        content = json.dumps(body, allow_nan=False).encode()
        response = await self.request(
            "POST",
            "/prompt",
            retry=False,
            size=len(content),
            content=content,
            headers={"Content-Type": "application/json"},
        )
        try:
            answer = await parse_body(response.content, parse_json)
        except (ValueError, RecursionError, TooLarge):
            answer = None
        if not isinstance(answer, dict):
            raise ServerError(
                f"{self.url} is not a ComfyUI server: it answers {response.status_code} to a prompt",
                status=response.status_code,
                sent=True,
            )
        if response.status_code != 200:
            raise Refused(answer)
        prompt_id = answer.get("prompt_id")
        if not isinstance(prompt_id, str) or not prompt_id:
            prompt_id = order.id
        if prompt_id != order.id:  # old servers and some gateways choose the ID themselves
            self.events.rename(order.id, prompt_id)
        return Accepted(prompt_id, answer.get("node_errors"))

    async def find_jobs(self, ending: str) -> list[str]:
        """See `ComfyKit.find`."""
        history, queue = await asyncio.gather(
            self.request_members("/history", lambda _id, _record: None, params={"max_items": HISTORY_LIMIT}),
            self.request_members("/queue", keep_ids, QUEUE_PARTS),
        )
        unfinished = [*find_queued_items(queue.get("queue_running")), *find_queued_items(queue.get("queue_pending"))]
        open_jobs = [item[1] for item in unfinished if isinstance(item[1], str) and item[1].endswith(ending)]
        ended = [id_ for id_ in history if id_.endswith(ending)]
        return [*ended[-1:], *(id_ for id_ in open_jobs if id_ not in ended[-1:])]

    async def listen(self, run: Follower) -> None:
        """Send a run its events from now on. The socket opens meanwhile: see `EventSocket.wait_until_open`."""
        await self._connection.get_client()
        if self._forgotten is None:  # most kits are never closed: garbage collection closes their sockets
            self._forgotten = finalize(self, _close_later, asyncio.get_running_loop(), self.events)
            self._forgotten.atexit = False
        self.events.subscribe(run.id, run, self._connection.secrets)

    def unfollow(self, run: Follower) -> None:
        """Send a run no more events."""
        self.events.unsubscribe(run.id, run)

    async def is_listening(self) -> bool:
        """Return whether the socket is open."""
        return await self.events.wait_until_open()

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Follow a run until it ends."""
        await self.poller.follow(run, listen=listen, lost=lost)

    async def list_queue(self) -> list[Job]:
        """See `ComfyKit.queue`."""
        return await jobs.list_queue(self)

    async def list_history(self, most: int) -> list[Job]:
        """See `ComfyKit.history`."""
        return await jobs.list_history(self, most)

    async def list_models(self, folder: str | None) -> list[str]:
        """See `ComfyKit.models`."""
        return await jobs.list_models(self, folder)

    async def read_queue(self, keep: Callable[[str, Any], Any] = keep_ids) -> Mapping[str, Any]:
        """Read `/queue`; of each item only what `keep` returns, by default its ID and client.

        Raises:
            ServerError: The server can't be reached, or its answer makes no sense.
        """
        queue = await self.request_members("/queue", keep, QUEUE_PARTS)
        if not is_queue(queue):
            raise build_nonsense_error(self.url, "/queue")
        return queue

    async def read_record(self, prompt_id: str) -> Mapping[str, Any] | None:
        """Read the record of a job that has ended; None if there is none.

        Raises:
            ServerError: The server can't be reached, or its answer makes no sense: that is not the same as no record.
        """
        found = await self._request_json("GET", f"/history/{quote(prompt_id, safe='')}")
        if found == {}:
            return None
        entry = found.get(prompt_id) if isinstance(found, dict) else None
        if not is_record(entry):
            raise build_nonsense_error(self.url, "/history")
        if count_outputs(entry) > MAX_OUTPUTS:
            raise build_size_error(self.url, "/history", TooLarge(f"more than {MAX_OUTPUTS:,} outputs"))
        return entry

    async def has_ended(self, prompt_id: str) -> bool:
        """Return whether there is the record of a job."""
        return await self.read_record(prompt_id) is not None

    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a queued or running job; never another one. Return whether it was there."""
        return await self._canceller.cancel(prompt_id)


def _close_later(loop: asyncio.AbstractEventLoop, events: EventSocket) -> None:
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(events.close(), loop)


def _read_version(stats: Any) -> str | None:
    system = stats.get("system") if isinstance(stats, dict) else None
    version = system.get("comfyui_version") if isinstance(system, dict) else None
    return one_line(version, 40) if isinstance(version, str) and version else None
