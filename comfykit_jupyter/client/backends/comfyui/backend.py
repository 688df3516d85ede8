"""A ComfyUI server as a backend. A POST that may start a job is sent once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Mapping
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import parse_qs, urlsplit
from weakref import finalize

from comfykit_jupyter.client.backends.base import Backend
from comfykit_jupyter.client.backends.comfyui import folders, installed, jobs
from comfykit_jupyter.client.backends.comfyui.api import Api
from comfykit_jupyter.client.backends.comfyui.cancel import Canceller
from comfykit_jupyter.client.backends.comfyui.definitions import DefinitionReader
from comfykit_jupyter.client.backends.comfyui.files import download, upload
from comfykit_jupyter.client.backends.comfyui.follow import RunPoller
from comfykit_jupyter.client.backends.comfyui.identity import check_identity
from comfykit_jupyter.client.backends.comfyui.memory import read_memory
from comfykit_jupyter.client.backends.comfyui.socket import EventSocket
from comfykit_jupyter.client.backends.follower import Follower
from comfykit_jupyter.client.backends.order import Accepted, Order, Refused
from comfykit_jupyter.client.backends.server import Server
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.results.media import FILE, Media, build_view_url, format_annotated_name
from comfykit_jupyter.client.senders import KEY, SentJob
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.body import TooLarge, parse_body
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.progress.records import (
    QUEUE_PARTS,
    WORKFLOW_NAME,
    find_all_queued_ids,
    find_queued_items,
    keep_ids,
)
from comfykit_jupyter.workflow.untrusted_json import parse_json

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.folders import Folders
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.backends.model_files import ModelFile
    from comfykit_jupyter.client.transport.tunnel import Tunnel
    from comfykit_jupyter.workflow.values.binding import Upload

MAX_ACCEPTED = 10_000
"""How many of the newest jobs are remembered: the answer to a prompt must name a new one."""
FREE_AGAIN = 0.5
"""Seconds between two requests to unload models: of one right after a job, ComfyUI 0.3.64 missed 2 in 20."""
HISTORY_LIMIT = 50
"""How many of the newest records are searched for a job by the end of its prompt ID."""
_FOLDERS = (" [input]", " [output]", " [temp]")
"""ComfyUI's suffixes for names of files: the folder that the file is in."""


class ComfyUI(Backend):
    """One server. It lives on the background loop, but can be created in any thread.

    Args:
        settings: Its address, and how it is reached.
        tunnel: Another way to it.
    """

    memory_advice: ClassVar[str] = (
        "use a smaller size, length or batch, or unload the models of other workflows first: kit.free()"
    )

    def __init__(self, settings: Settings, tunnel: Tunnel | None = None) -> None:
        self.url = settings.comfyui_url
        self._settings = settings
        self._tunnel = tunnel
        self._definitions: dict[str, NodeDefinition | None] = {}
        self._accepted: dict[str, None] = {}
        self._sought: set[str] = set()
        self._keeps_ids = False
        self._is_one_server = False
        self.api = Api(settings, on_new_loop=self._reset, tunnel=tunnel)
        self._forgotten: finalize[Any, Any] | None = None
        self._reset()

    def _reset(self) -> None:
        """Create what belongs to one event loop: a forked process has another one."""
        if self._forgotten is not None:
            self._forgotten.detach()
            self._forgotten = None
        self._definition_reader = DefinitionReader(self.api, self._definitions)
        self._canceller = Canceller(self.api)
        self.events = EventSocket(self._settings, self._tunnel)
        self.poller = RunPoller(self.api, self.events, self._settings.patience)

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self.events.close()
        await self.api.close()

    # -- the server ----------------------------------------------------------------------------------------------------

    async def status(self) -> Server:
        """Return the state of the server. Never raises for one that can't be reached."""
        try:
            stats, queue = await asyncio.gather(
                self.api.read_stats(), self.api.request_members("/queue", keep_ids, QUEUE_PARTS)
            )
            self.version = self.api.version
            running, pending = (len(queue.get(part) or ()) for part in ("queue_running", "queue_pending"))
        except ServerError as error:
            return Server(self.url, reachable=False, message=str(error))
        except (KeyError, TypeError, AttributeError):
            message = f"{self.url} is not a ComfyUI server: its answers make no sense"
            return Server(self.url, reachable=False, message=message)
        message = f"ComfyUI {self.version or '(no version)'}"
        return Server(self.url, True, self.version, message, running, pending, **read_memory(stats))

    async def check_identity(self) -> None:
        """See `Backend.check_identity`. It is asked until it is certain."""
        if not self._is_one_server:
            self._is_one_server = await check_identity(self.api)

    async def free(self, *, keep_results: bool) -> None:
        """See `ComfyKit.free`. It is asked twice: while a server cleans up after a job, it misses the request."""
        await self._post_free(keep_results=keep_results)
        await asyncio.sleep(FREE_AGAIN)
        await self._post_free(keep_results=keep_results)

    async def _post_free(self, *, keep_results: bool) -> None:
        body = {"unload_models": True, "free_memory": not keep_results}
        response = await self.api.request("POST", "/free", retry=True, json=body)
        if response.status_code in (404, 405):
            raise ServerError(f"{self.url} can't free memory on request: update ComfyUI", status=response.status_code)
        if response.status_code != 200:
            status = response.status_code
            raise ServerError(f"{self.url} answers {status} to /free", status=status)

    def has_definitions(self, classes: Iterable[str]) -> bool:
        """See `Backend.has_definitions`."""
        return all(name in self._definitions for name in classes)

    async def get_definitions(self, classes: Iterable[str], *, fresh: bool = False) -> dict[str, NodeDefinition]:
        """Return the definitions of node classes, which are kept; a class that the server lacks is left out."""
        await self.api.open()
        found = await self._definition_reader.read(classes, fresh=fresh)
        self.version = self.api.version
        return found

    async def list_classes(self) -> list[str]:
        """Return the names of all node classes."""
        return await self.api.list_names("/object_info")

    async def has_file(self, name: str) -> bool:
        """Return whether the server has a file with this name, as nodes know it."""
        try:
            query = Media.from_name(self, name).query
        except ComfyKitError:
            return False
        return (await self.api.request("HEAD", "/view", params=query)).status_code == 200

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
        return await upload(self.api, content, suffix)

    async def fetch(self, media: Media) -> Path:
        """Return a local copy of an output, downloaded once.

        Raises:
            ServerError: The server can't be reached, or no longer has it.
        """
        async with self.api.lock_file(str(media)):
            if media.local is None or not media.local.is_file():
                media.local = await download(self.api, media)
        return media.local

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def post(self, order: Order) -> Accepted:
        """Send a prompt, in a single attempt.

        Raises:
            Refused: The server rejects the prompt.
            ServerError: There is no answer. `/queue` and `/history` show then whether the job runs.
        """
        extra: dict[str, Any] = {KEY: order.sender.to_json(), WORKFLOW_NAME: one_line(order.workflow.name, 200)}
        if order.extra_pnginfo:
            extra["extra_pnginfo"] = order.extra_pnginfo
        if self._settings.api_key:
            extra["api_key_comfy_org"] = self._settings.api_key
        body = {
            "prompt": order.binding.prompt,
            "client_id": self.events.client_id,
            "prompt_id": order.id,
            "extra_data": extra,
        }
        content = json.dumps(body, allow_nan=False).encode()
        response = await self.api.request(
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
        status = response.status_code
        if not isinstance(answer, dict) or status == HTTPStatus.REQUEST_TIMEOUT:  # a gateway may have passed it on
            message = f"{self.url} is not a ComfyUI server: it answers {status} to a prompt"
            raise ServerError(message, status=status, sent=True)
        if status != HTTPStatus.OK:
            raise Refused(answer)
        return self._accept(answer, order.id)

    def _accept(self, answer: Mapping[str, Any], id_: str) -> Accepted:
        """Return what the server has accepted.

        Raises:
            ServerError: The answer names no job, or another run's job, as from a gateway that repeats answers.
        """
        prompt_id = answer.get("prompt_id")
        if not isinstance(prompt_id, str) or not prompt_id or prompt_id in self._accepted:
            message = f"{self.url} is not a ComfyUI server: its answer to a prompt names no new job"
            raise ServerError(message, sent=True)
        self._keeps_ids = prompt_id == id_  # old servers and some gateways choose the ID themselves
        self._add_accepted(prompt_id, id_)
        return Accepted(prompt_id, answer.get("node_errors"))

    def _add_accepted(self, prompt_id: str, id_: str) -> None:
        self._accepted[prompt_id] = None
        if len(self._accepted) > MAX_ACCEPTED:
            del self._accepted[next(iter(self._accepted))]
        if prompt_id != id_:
            self.events.rename(id_, prompt_id)

    async def find_sent(self, order: Order) -> str | None:
        """See `Backend.find_sent`. A job with an ID that the server chose has the order's sender and prompt."""
        again = order.id in self._sought
        found = await jobs.find_sent(self.api, order, by_sender=not self._keeps_ids, again=again)
        self._sought.add(order.id)
        if found is not None:
            self._add_accepted(found, order.id)
        return found

    async def find_jobs(self, ending: str) -> list[str]:
        """See `ComfyKit.find`."""
        history, queue = await asyncio.gather(
            self.api.request_members("/history", lambda _id, _record: None, params={"max_items": HISTORY_LIMIT}),
            self.api.request_members("/queue", keep_ids, QUEUE_PARTS),
        )
        unfinished = [*find_queued_items(queue.get("queue_running")), *find_queued_items(queue.get("queue_pending"))]
        open_jobs = [item[1] for item in unfinished if isinstance(item[1], str) and item[1].endswith(ending)]
        ended = [id_ for id_ in history if id_.endswith(ending)]
        return [*ended[-1:], *(id_ for id_ in open_jobs if id_ not in ended[-1:])]

    async def listen(self, run: Follower) -> None:
        """Send a run its events from now on. The socket opens meanwhile: see `EventSocket.wait_until_open`."""
        headers = await self.api.open()
        if self._forgotten is None:  # most kits are never closed: garbage collection closes their sockets
            self._forgotten = finalize(self, _close_later, asyncio.get_running_loop(), self.events)
            self._forgotten.atexit = False
        self.events.subscribe(run.id, run, headers)

    def unfollow(self, run: Follower) -> None:
        """Send a run no more events."""
        self.events.unsubscribe(run.id, run)

    async def is_listening(self) -> bool:
        """Return whether the socket is open."""
        return await self.events.wait_until_open()

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Follow a run until it ends."""
        await self.poller.follow(run, listen=listen, lost=lost)

    async def find_sent_jobs(self) -> list[SentJob]:
        """See `Backend.find_sent_jobs`."""
        return await jobs.find_sent_jobs(self.api)

    async def is_unfinished(self, prompt_id: str) -> bool:
        """Return whether a job waits or runs."""
        return prompt_id in find_all_queued_ids(await self.api.read_queue())

    async def has_ended(self, prompt_id: str) -> bool:
        """Return whether there is the record of a job."""
        return await self.api.read_record(prompt_id) is not None

    async def list_queue(self) -> list[Job]:
        """See `ComfyKit.queue`."""
        return await jobs.list_queue(self.api)

    async def list_history(self, most: int) -> list[Job]:
        """See `ComfyKit.history`."""
        return await jobs.list_history(self.api, most)

    async def list_models(self, folder: str | None) -> list[str]:
        """See `ComfyKit.models`."""
        return await jobs.list_models(self.api, folder)

    async def read_model_metadata(self, folder: str, name: str) -> Any:
        """Return the metadata in the header of a model file; None if there is none."""
        return await folders.read_model_metadata(self.api, folder, name)

    async def list_model_files(self, folder: str) -> dict[str, ModelFile]:
        """Return the size and date of the model files in a folder, by name; nothing if it doesn't say."""
        return await folders.list_model_files(self.api, folder)

    async def find_packs(self) -> dict[str, str]:
        """Return the versions of its packs of nodes, and of PyTorch, by name; nothing if it doesn't say."""
        return await installed.find_packs(self.api)

    async def find_model_hash(self, name: str, size: int) -> str:
        """Return the hash of a model file with this name and size in bytes; "" if it doesn't say."""
        return await installed.find_model_hash(self.api, name, size)

    async def find_folders(self) -> Folders | None:
        """Return where the server's folders are on its machine; None if it doesn't say."""
        return await folders.find_folders(self.api)

    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a queued or running job; never another one. Return whether it was there."""
        return await self._canceller.cancel(prompt_id)


def _close_later(loop: asyncio.AbstractEventLoop, events: EventSocket) -> None:
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(events.close(), loop)
