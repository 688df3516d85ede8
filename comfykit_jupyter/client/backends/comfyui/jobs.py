"""The queue, the history and the models of a ComfyUI server, as `Job`s and names."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote

from comfykit_jupyter.client.backends.jobs import Job, build_ended_job, build_queued_job, check_limit
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.senders import Sender, SentJob
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.records import QUEUE_PARTS
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.order import Order

RECENT = 500
"""How many of the newest records are searched for a job that has another ID: it may have ended a minute ago."""
RECENT_AGAIN = 50
"""The same for a look that follows another one in a second or two."""


class JobServer(Protocol):
    """What this module needs of a server."""

    url: str

    async def read_queue(self, keep: Callable[[str, Any], Any]) -> Mapping[str, Any]:
        """See `Api.read_queue`."""

    async def read_record(self, prompt_id: str) -> Mapping[str, Any] | None:
        """See `Api.read_record`."""

    async def request_members(self, path: str, keep: Callable[[str, Any], Any], **options: Any) -> dict[str, Any]:
        """See `Api.request_members`."""

    async def list_names(self, path: str) -> list[str]:
        """See `Api.list_names`."""


async def list_queue(server: JobServer) -> list[Job]:
    """See `ComfyKit.queue`."""
    queue = await server.read_queue(_build_job)
    running, waiting = ([found for found in queue[part] if found is not None] for part in QUEUE_PARTS)
    waiting.sort(key=lambda found: found[0])
    return [job for _, job in running] + [replace(job, place=place) for place, (_, job) in enumerate(waiting, 1)]


async def find_sent_jobs(server: JobServer) -> list[SentJob]:
    """See `Backend.find_sent_jobs`."""
    queue = await server.read_queue(_read_sent_job)
    running, waiting = ([found for found in queue[part] if found is not None] for part in QUEUE_PARTS)
    return [job for _, job in [*running, *sorted(waiting, key=lambda found: found[0])]]


async def find_sent(server: JobServer, order: Order, *, by_sender: bool, again: bool) -> str | None:
    """Return the prompt ID of the job of an order, whether it waits, runs or has ended; None if it is not there.

    Args:
        server: The server.
        order: What was sent.
        by_sender: Whether the server may have chosen another ID than the order's.
        again: Whether the last look for it was a moment ago.
    """

    def match(item: Any) -> str | None:
        """Return the ID of an item of the queue if it is the job."""
        if not isinstance(item, list) or len(item) < 2 or not isinstance(item[1], str):
            return None
        if item[1] == order.id or (by_sender and _is_sent(item, order)):
            return item[1]
        return None

    queue = await server.read_queue(lambda _part, item: match(item))
    found = [each for part in QUEUE_PARTS for each in queue[part] if each is not None]
    if found or await server.read_record(order.id) is not None:
        return found[0] if found else order.id
    if not by_sender:
        return None

    def match_record(_id: str, record: Any) -> str | None:
        return match(record.get("prompt")) if isinstance(record, dict) else None

    records = await server.request_members(
        "/history", match_record, params={"max_items": RECENT_AGAIN if again else RECENT}
    )
    return next((id_ for id_, found in records.items() if found is not None), None)


def _is_sent(item: list[Any], order: Order) -> bool:
    """Return whether an item of the queue has an order's sender, which others can copy, and its prompt."""
    if len(item) < 4 or Sender.parse(item[3]) != order.sender:
        return False
    return bool(item[2] == json.loads(json.dumps(order.binding.prompt)))


async def list_history(server: JobServer, most: int) -> list[Job]:
    """See `ComfyKit.history`."""

    def build_job(prompt_id: str, record: Any) -> Job | None:
        return build_ended_job(prompt_id, record) if isinstance(record, dict) else None

    found = await server.request_members("/history", build_job, params={"max_items": check_limit(most)})
    jobs = [job for job in found.values() if job is not None]
    return jobs[-most:][::-1]


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


def _read_sent_job(_part: str, item: Any) -> tuple[float, SentJob] | None:
    """Return the number and the job of an item of the queue that this package sent; None for any other."""
    if not isinstance(item, list) or len(item) < 4 or not isinstance(item[1], str) or not isinstance(item[2], dict):
        return None
    sender = Sender.parse(item[3])
    return None if sender is None else (_read_number(item), SentJob(item[1], sender, item[2], item[1]))


def _read_number(item: list[Any]) -> float:
    return item[0] if isinstance(item[0], (int, float)) else float("inf")


def _build_job(part: str, item: Any) -> tuple[float, Job] | None:
    """Build a job from an item of the queue, with its number; None for anything else."""
    if not isinstance(item, list) or len(item) < 2:
        return None
    return _read_number(item), build_queued_job(item, "running" if part == "queue_running" else "queued")
