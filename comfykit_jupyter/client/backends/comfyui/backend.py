"""A ComfyUI server: its HTTP routes. A POST that may start a job is sent once."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, quote, urlsplit
from weakref import finalize

from comfykit_jupyter.client.backends.base import Accepted, Backend, Follower, Order, Refused, Server
from comfykit_jupyter.client.backends.comfyui import jobs
from comfykit_jupyter.client.backends.comfyui.files import download, upload
from comfykit_jupyter.client.backends.comfyui.follow import RunPoller
from comfykit_jupyter.client.backends.comfyui.socket import EventSocket
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.results.media import FILE, Media, build_view_url, format_annotated_name
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.body import TooLarge
from comfykit_jupyter.client.transport.connection import Connection
from comfykit_jupyter.client.transport.credentials import secret_headers
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.progress.records import find_queued_ids, find_queued_items

if TYPE_CHECKING:
    import httpx

    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.workflow.binding import Upload

CONNECT_TIMEOUT = 5.0
"""Seconds for a connection."""
HISTORY_LOOKED_AT = 50
"""Runs that ended last among which one is looked for that ends in some way."""
_FOLDERS = (" [input]", " [output]", " [temp]")
"""What ComfyUI puts behind the name of a file to say in which of its folders it lies."""
POOL = 16
"""Connections at the most; a hundred runs at once take turns on them."""


class ComfyUI(Backend):
    """One server. Lives on the background loop; made without contacting it."""

    def __init__(self, settings: Settings) -> None:
        self.url = settings.comfyui_url
        self._settings = settings
        self._definitions: dict[str, NodeDefinition | None] = {}
        headers = partial(secret_headers, settings)
        self._connection = Connection(
            self.url, settings, headers, connect=CONNECT_TIMEOUT, pool=POOL, renewed=self._renewed
        )
        self._forgotten: finalize[Any, Any] | None = None
        self._renewed()

    def _renewed(self) -> None:
        """All that belongs to one event loop, anew: the loop of a forked process is another one."""
        if self._forgotten is not None:
            self._forgotten.detach()
            self._forgotten = None
        self._defining = asyncio.Lock()
        self.poller = RunPoller(self, self._settings.patience)
        self.events = EventSocket(self._settings)

    # -- requests ------------------------------------------------------------------------------------------------------

    async def request(self, method: str, path: str, *, retry: bool | None = None, **options: Any) -> httpx.Response:
        """One request. What changes nothing is tried again once when a kept connection turns out to be closed.

        Raises:
            ServerError: no answer, or one that says no (3xx, 401, 403, 5xx); other answers are returned.
        """
        import httpx

        again = method in ("GET", "HEAD") if retry is None else retry
        try:
            response = await self._connection.exchange(method, path, again=again, **options)
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None
        except TooLarge as error:
            raise ServerError(f"{self.url} answers to {path} with {error}", sent=True) from None
        self._check(response)
        return response

    @contextlib.asynccontextmanager
    async def stream(self, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """A GET whose body is read piece by piece.

        Raises:
            ServerError: as `request`, and for any answer other than 200 and 206.
        """
        import httpx

        client = await self._connection.client()
        try:
            async with client.stream("GET", path, **options) as response:
                self._check(response)
                if response.status_code not in (200, 206):
                    raise ServerError(
                        f"{self.url} answers {response.status_code} to {path}", status=response.status_code
                    )
                yield response
        except httpx.HTTPError as error:
            raise self._unreachable(error) from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in (401, 403):
            raise ServerError(
                f"{self.url} refuses us ({status}): check api_key=, cookies= or headers= of the kit", status=status
            )
        if 300 <= status < 400:
            target = one_line(response.headers.get("location", "elsewhere"), 200)
            raise ServerError(f"{self.url} redirects to {target}: give that address, if you trust it", status=status)
        if status >= 500:
            raise ServerError(f"{self.url} answers {status} to {response.request.url.path}", status=status, sent=True)

    def _unreachable(self, error: Exception) -> ServerError:
        import httpx

        if isinstance(error, (httpx.ConnectError, httpx.ConnectTimeout)):
            return ServerError(
                f"no ComfyUI server at {self.url}: start it, or give its address (comfyui_url=, COMFYUI_BASE_URL, "
                "%comfykit connect URL)"
            )
        if isinstance(error, httpx.TimeoutException):
            return ServerError(f"no answer from {self.url} in time: is the server busy?", sent=True)
        return ServerError(f"the connection to {self.url} broke: {str(error) or type(error).__name__}", sent=True)

    async def _json(self, method: str, path: str, **options: Any) -> Any:
        response = await self.request(method, path, **options)
        if response.status_code == 404:
            raise ServerError(f"{self.url} is no ComfyUI server: it does not know {path}", status=404)
        if response.status_code != 200:
            raise ServerError(f"{self.url} answers {response.status_code} to {path}", status=response.status_code)
        try:
            return response.json()
        except (ValueError, RecursionError):
            raise ServerError(f"{self.url} is no ComfyUI server: {path} is answered with something else") from None

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self.events.close()
        await self._connection.close()

    # -- what the server is and has ------------------------------------------------------------------------------------

    async def status(self) -> Server:
        """What the server is and does now; never raises for one that is away."""
        try:
            stats, queue = await asyncio.gather(self._json("GET", "/system_stats"), self._json("GET", "/queue"))
            self.version = _version(stats)
            running, pending = (len(queue.get(part) or ()) for part in ("queue_running", "queue_pending"))
        except ServerError as error:
            return Server(self.url, reachable=False, message=str(error))
        except (KeyError, TypeError, AttributeError):
            return Server(self.url, reachable=False, message=f"{self.url} answers, but not as a ComfyUI server does")
        return Server(self.url, True, self.version, f"ComfyUI {self.version or '(no version)'}", running, pending)

    async def definitions(self, classes: Iterable[str], *, fresh: bool = False) -> dict[str, NodeDefinition]:
        """The definitions of these classes, kept once seen; a class that the server lacks is left out."""
        wanted = sorted(set(classes))
        await self._connection.client()
        async with self._defining:  # a hundred runs at once ask once
            missing = [name for name in wanted if fresh or name not in self._definitions]
            if missing:
                await self._define(missing)
        return {name: known for name in wanted if (known := self._definitions.get(name)) is not None}

    async def _define(self, classes: list[str]) -> None:
        asked = [*map(self._definition, classes), self._json("GET", "/system_stats")]
        *found, stats = await asyncio.gather(*asked, return_exceptions=True)
        if isinstance(stats, dict):
            self.version = _version(stats)
        for name, definition in zip(classes, found, strict=True):
            if isinstance(definition, BaseException):
                if not isinstance(stats, dict) or not isinstance(definition, ServerError):
                    raise definition
                definition = None  # a class that the server can't describe may run all the same
            self._definitions[name] = definition

    async def _definition(self, class_type: str) -> NodeDefinition | None:
        raw = await self._json("GET", f"/object_info/{quote(class_type, safe='')}")
        if not isinstance(raw, dict):
            raise ServerError(f"{self.url} is no ComfyUI server: /object_info is answered with something else")
        found = raw.get(class_type)
        return NodeDefinition.parse(class_type, found) if isinstance(found, dict) else None

    async def names(self, path: str) -> list[str]:
        """The names that a route lists, such as `/models` or `/object_info`; none where the server has no such route.

        Raises:
            ServerError: the server is away.
        """
        response = await self.request("GET", path)
        try:
            found = response.json() if response.status_code == 200 else None
        except (ValueError, RecursionError):
            found = None
        return [name for name in found if isinstance(name, str)] if isinstance(found, (list, dict)) else []

    async def classes(self) -> list[str]:
        """The names of all node classes."""
        return await self.names("/object_info")

    async def has(self, name: str) -> bool:
        """Whether the server has a file of the name by which nodes know it."""
        try:
            query = Media.from_name(self, name).query
        except ComfyKitError:
            return False
        return (await self.request("HEAD", "/view", params=query)).status_code == 200

    def moving(self, name: str) -> asyncio.Lock:
        """The lock of a file that is being sent or fetched: it goes over the wire once, whoever else wants it."""
        return self._connection.moving(name)

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """The address of a file, from an entry such as `{"filename": …, "subfolder": …, "type": …}`."""
        return build_view_url(self.url, entry)

    def find_remote_file(self, text: str) -> str | None:
        """The name of a file that the server has: from its address, or as nodes write it."""
        if text.startswith(f"{self.url}/view?"):
            query = {key: values[-1] for key, values in parse_qs(urlsplit(text).query).items()}
            if query.get("filename"):
                return format_annotated_name({**FILE, **query})
        return text if text.endswith(_FOLDERS) else None

    def reference_to(self, media: Media) -> str:
        """The name by which nodes know an output."""
        return format_annotated_name(media.query)

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> str:  # noqa: ARG002
        """Send a file, unless the server has it already; returns the name by which its nodes know it."""
        return await upload(self, content, suffix)

    async def fetch(self, media: Media) -> Path:
        """A local copy of a file that a run made here, fetched once.

        Raises:
            ServerError: the server is away, or no longer has it.
        """
        async with self.moving(str(media)):
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
            "POST", "/prompt", retry=False, content=content, headers={"Content-Type": "application/json"}
        )
        try:
            answer = response.json()
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise ServerError(
                f"{self.url} is no ComfyUI server: it answers {response.status_code} to a prompt",
                status=response.status_code,
                sent=True,
            )
        if response.status_code != 200:
            raise Refused(answer)
        return Accepted(order.id, answer.get("node_errors"))

    async def find(self, ending: str) -> list[str]:
        """See `ComfyKit.find`."""
        history, queue = await asyncio.gather(
            self._json("GET", "/history", params={"max_items": HISTORY_LOOKED_AT}), self._json("GET", "/queue")
        )
        queue = queue if isinstance(queue, dict) else {}
        unfinished = [*find_queued_items(queue.get("queue_running")), *find_queued_items(queue.get("queue_pending"))]
        going = [item[1] for item in unfinished if isinstance(item[1], str) and item[1].endswith(ending)]
        ended = [id_ for id_ in history if id_.endswith(ending)] if isinstance(history, dict) else []
        return [*ended[-1:], *(id_ for id_ in going if id_ not in ended[-1:])]

    async def listen(self, run: Follower) -> None:
        """Tell a run of its events from now on. The socket opens meanwhile: see `EventSocket.ready`."""
        await self._connection.client()
        if self._forgotten is None:  # most kits are never closed: when one is forgotten, its socket goes with it
            self._forgotten = finalize(self, _close_later, asyncio.get_running_loop(), self.events)
            self._forgotten.atexit = False
        self.events.subscribe(run.id, run, self._connection.secrets)

    def unfollow(self, run: Follower) -> None:
        """Tell it no more of its events."""
        self.events.unsubscribe(run.id, run)

    async def ready(self) -> bool:
        """Whether the socket is there."""
        return await self.events.ready()

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Stay with a run until its outcome is known."""
        await self.poller.follow(run, listen=listen, lost=lost)

    async def queued(self) -> list[Job]:
        """See `ComfyKit.queue`."""
        return await jobs.queued(self)

    async def recent(self, most: int) -> list[Job]:
        """See `ComfyKit.history`."""
        return await jobs.ended(self, most)

    async def models(self, folder: str | None) -> list[str]:
        """See `ComfyKit.models`."""
        return await jobs.models(self, folder)

    async def queue(self) -> Mapping[str, Any]:
        """`/queue`, as the server has it now.

        Raises:
            ServerError: as all of these, when it is away or answers with nonsense.
        """
        queue = await self._json("GET", "/queue")
        if not isinstance(queue, dict):
            raise ServerError(f"{self.url} is no ComfyUI server: /queue is answered with something else")
        return queue

    async def history(self, prompt_id: str) -> Mapping[str, Any] | None:
        """The server's record of a job that has ended; None when it has none."""
        found = await self._json("GET", f"/history/{quote(prompt_id, safe='')}")
        entry = found.get(prompt_id) if isinstance(found, dict) else None
        return entry if isinstance(entry, dict) else None

    async def cancel(self, prompt_id: str) -> bool:
        """Take a job out of the queue, or stop it; never another one's. Returns whether it was there at all."""
        found = False
        for _ in range(3):  # it may begin to run between the look and the request
            queue = await self.queue()
            if prompt_id in find_queued_ids(queue.get("queue_pending")):
                await self.request("POST", "/queue", json={"delete": [prompt_id]})
                found = True
            elif prompt_id in find_queued_ids(queue.get("queue_running")):
                # a server that ignores the id stops what runs: by the look before, that is ours
                await self.request("POST", "/interrupt", json={"prompt_id": prompt_id})
                return True
            else:
                break
        return found


def _close_later(loop: asyncio.AbstractEventLoop, events: EventSocket) -> None:
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(events.close(), loop)


def _version(stats: Any) -> str | None:
    system = stats.get("system") if isinstance(stats, dict) else None
    version = system.get("comfyui_version") if isinstance(system, dict) else None
    return one_line(version, 40) if isinstance(version, str) and version else None
