"""The queue, the history and the models of a ComfyUI server, as `Job`s and names."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from comfykit_jupyter.client.backends.jobs import Job, build_ended_job, build_queued_job, check_limit
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.records import find_queued_items
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    import httpx


class JobServer(Protocol):
    """What this module needs of a server."""

    url: str

    async def request(self, method: str, path: str, *, retry: bool | None = None, **options: Any) -> httpx.Response:
        """See `ComfyUI.request`."""

    async def read_queue(self) -> Mapping[str, Any]:
        """See `ComfyUI.read_queue`."""

    async def list_names(self, path: str) -> list[str]:
        """See `ComfyUI.list_names`."""


async def list_queue(server: JobServer) -> list[Job]:
    """See `ComfyKit.queue`."""
    queue = await server.read_queue()
    running = [build_queued_job(item, "running") for item in find_queued_items(queue.get("queue_running"))]
    waiting = sorted(find_queued_items(queue.get("queue_pending")), key=_get_number)
    return [*running, *(build_queued_job(item, "queued", place) for place, item in enumerate(waiting, 1))]


async def list_history(server: JobServer, most: int) -> list[Job]:
    """See `ComfyKit.history`."""
    response = await server.request("GET", "/history", long=True, params={"max_items": check_limit(most)})
    try:
        found = response.json() if response.status_code == 200 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ServerError(f"{server.url} is not a ComfyUI server: its answer to /history makes no sense")
    entries = [(id_, entry) for id_, entry in found.items() if isinstance(entry, dict)]
    return [build_ended_job(id_, entry) for id_, entry in reversed(entries[-most:])]


async def list_models(server: JobServer, folder: str | None) -> list[str]:
    """See `ComfyKit.models`."""
    if folder is None:
        return await server.list_names("/models")
    folders, found = await asyncio.gather(
        server.list_names("/models"), server.list_names(f"/models/{quote(folder, safe='')}")
    )
    if not found and folder not in folders:
        meant = find_nearest(folder, folders)
        names = ", ".join(map(one_line, folders[:40]))
        hint = f": did you mean {one_line(meant)}?" if meant else f": it has {names}" if folders else ""
        raise ComfyKitError(f"the server has no model folder {one_line(folder)!r}{hint}")
    return found


def _get_number(item: list[Any]) -> float:
    return item[0] if isinstance(item[0], (int, float)) else float("inf")
