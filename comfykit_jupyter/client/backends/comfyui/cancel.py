"""Cancel jobs on a ComfyUI server: those that are cancelled at the same time share their requests."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Protocol

from comfykit_jupyter.workflow.progress.records import find_queued_ids

if TYPE_CHECKING:
    import httpx


class CancellingServer(Protocol):
    """What this module needs of a server."""

    async def request(self, method: str, path: str, *, retry: bool | None = None, **options: Any) -> httpx.Response:
        """See `Api.request`."""

    async def read_queue(self) -> Mapping[str, Any]:
        """See `Api.read_queue`."""


class Canceller:
    """Cancels jobs on one server. It belongs to one event loop.

    Args:
        server: The server.
    """

    def __init__(self, server: CancellingServer) -> None:
        self._server = server
        self._wanted: set[str] = set()
        self._next: asyncio.Task[set[str]] | None = None
        self._busy = asyncio.Lock()

    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a queued or running job; never another one. Return whether it was there.

        If the caller is cancelled, the requests are sent all the same.
        """
        self._wanted.add(prompt_id)
        if self._next is None:
            self._next = asyncio.ensure_future(self._cancel_wanted())
            self._next.add_done_callback(_retrieve)
        return prompt_id in await asyncio.shield(self._next)

    async def _cancel_wanted(self) -> set[str]:
        """Cancel all jobs that are wanted when it is their turn."""
        async with self._busy:
            wanted, self._wanted, self._next = self._wanted, set(), None
            return await self._cancel_all(wanted)

    async def _cancel_all(self, wanted: set[str]) -> set[str]:
        found: set[str] = set()
        for _ in range(3):  # one may start between the two requests
            queue = await self._server.read_queue()
            if queued := wanted & find_queued_ids(queue.get("queue_pending")):
                await self._server.request("POST", "/queue", json={"delete": sorted(queued)})
            running = wanted & find_queued_ids(queue.get("queue_running"))
            for prompt_id in running:
                # an old server ignores the ID and stops whatever runs: that is our job, by the queue
                await self._server.request("POST", "/interrupt", json={"prompt_id": prompt_id})
            found |= queued | running
            wanted = wanted - running
            if not queued:
                break
        return found


def _retrieve(task: asyncio.Task[set[str]]) -> None:
    """Retrieve the error of a task: its callers may have left."""
    if not task.cancelled():
        task.exception()
