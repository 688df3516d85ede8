"""The queue, the history and the models of a ComfyUI server, as `Job`s and names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from comfykit_jupyter.client.backends.jobs import Job, from_item, from_record, how_many
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.records import find_queued_items
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI


async def queued(server: ComfyUI) -> list[Job]:
    """See `ComfyKit.queue`."""
    queue = await server.queue()
    running = [from_item(item, "running") for item in find_queued_items(queue.get("queue_running"))]
    waiting = sorted(find_queued_items(queue.get("queue_pending")), key=_number)
    return [*running, *(from_item(item, "queued", place) for place, item in enumerate(waiting, 1))]


async def ended(server: ComfyUI, most: int) -> list[Job]:
    """See `ComfyKit.history`."""
    response = await server.request("GET", "/history", params={"max_items": how_many(most)})
    try:
        found = response.json() if response.status_code == 200 else None
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise ServerError(f"{server.url} is no ComfyUI server: /history is answered with something else")
    entries = [(id_, entry) for id_, entry in found.items() if isinstance(entry, dict)]
    return [from_record(id_, entry) for id_, entry in reversed(entries[-most:])]


async def models(server: ComfyUI, folder: str | None) -> list[str]:
    """See `ComfyKit.models`."""
    if folder is None:
        return await server.names("/models")
    folders, found = await asyncio.gather(server.names("/models"), server.names(f"/models/{quote(folder, safe='')}"))
    if not found and folder not in folders:
        meant = find_nearest(folder, folders)
        hint = (
            f": did you mean {one_line(meant)}?" if meant else f": there are {', '.join(map(one_line, folders[:40]))}"
        )
        raise ComfyKitError(f"the server has no folder of models {one_line(folder)!r}{hint if folders else ''}")
    return found


def _number(item: list[Any]) -> float:
    return item[0] if isinstance(item[0], (int, float)) else float("inf")
