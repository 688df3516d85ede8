"""`AwaitedWorker`: a server of a cluster that is not there, whose jobs are followed if it comes back."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.workflow.progress.progress import RunError

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.media import Origin
    from comfykit_jupyter.client.servers.pool import OnProgress, PooledJob, Worker

LOOK = 0.5
"""Seconds between two looks for it."""


class AwaitedWorker:
    """Follows the jobs of an earlier kernel on a server that only its cluster can reach; a `Worker`.

    All jobs on the server share one wait, so that the points of one that is gone are given to the others at once.

    Args:
        label: The server.
        find_workers: Returns those that there are now.
        patience: Seconds for which it is waited for.
    """

    depth = 0
    is_paid = False

    def __init__(self, label: str, find_workers: Callable[[], Sequence[Worker]], patience: float) -> None:
        self.label = label
        self._find_workers = find_workers
        self._until = time.monotonic() + patience
        self._found: Worker | None = None

    def _look(self) -> Worker | None:
        if self._found is None:
            self._found = next((worker for worker in self._find_workers() if worker.label == self.label), None)
        return self._found

    async def attach(self, prompt_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Follow a job when the server is there; see `Worker`."""
        while (worker := self._look()) is None:
            if time.monotonic() > self._until:
                error = RunError("unreachable", f"{self.label} is no longer there")
                return ExecuteResult("failed", prompt_id, msg=error.message, error=error, server=self.label)
            await asyncio.sleep(LOOK)
        return await worker.attach(prompt_id, on_progress)

    async def run(self, job: PooledJob, run_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Raise an error: this worker only follows jobs."""
        raise NotImplementedError

    async def find_missing(self, job: PooledJob) -> str:  # noqa: ARG002 - as in `Worker`
        """Return its label: it can run nothing new."""
        return self.label

    @property
    def origin(self) -> Origin:
        """Where the files of its jobs come from, once it is there."""
        if self._found is None:
            raise NotImplementedError
        return self._found.origin

    async def cancel(self, run_id: str) -> None:
        """Cancel a job if it is followed."""
        if self._found is not None:
            await self._found.cancel(run_id)

    async def discard(self, run_id: str) -> None:
        """Do nothing: no job is given up here."""

    async def is_reachable(self) -> bool:
        """Return whether it is there."""
        return self._look() is not None

    async def free(self) -> None:
        """Do nothing: no job is sent here."""
