"""`AttachedRun`: a run that was begun elsewhere, or before the kernel restarted, found by its prompt_id."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.base import Backend
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.progress.progress import RunError
from comfykit_jupyter.workflow.progress.records import find_queued_items, read_binding
from comfykit_jupyter.workflow.workflow import Workflow


class AttachedRun(Run):
    """A run that is somebody's already. Made by `ComfyKit.attach`.

    Whoever waits for it may leave, and the run goes on; `cancel()` cancels it. Its workflow is the prompt that the
    server has on record, with the values that were put in.
    """

    def __init__(self, server: Backend, prompt_id: str, *, raise_on_error: bool = True) -> None:
        super().__init__(server, {}, raise_on_error=raise_on_error, id=prompt_id)
        self.changed_at = time.monotonic()  # an older look at the queue, for another run, may not have it yet

    def begin(self) -> AttachedRun:
        """Begin to follow the job, and return the run itself."""
        self._begin(self._stay)
        return self

    async def wait_for_result(self) -> ExecuteResult:
        """The result, of whatever status; cancelling the caller only ends the waiting."""
        return await loop.await_on_loop(self._started(), leave=True)

    def _leave(self, job: loop.BackgroundTask[ExecuteResult]) -> None:
        """The caller leaves, the run goes on."""

    async def _stay(self) -> None:
        if self._server.has_object_info:
            await self._server.status()  # for the version that the result tells; one that is away is waited for
        if not self._server.accepts_client_ids and (
            prompt := await asyncio.to_thread(job_log.read_prompt, self.server, self.id)
        ):
            self._recall([0, self.id, prompt])  # what a cloud does not tell
        await self._server.follow(self, listen=True, lost=True)

    @property
    def _sent(self) -> bool:
        return True

    def _duration(self) -> float | None:
        """Seconds of its execution, by the server's clock: when it was sent, nobody here knows."""
        state = self._state
        took = 0.0 if state.started is None or state.ended is None else state.ended - state.started
        return round(took, 3) or None  # some servers do not tell

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """The queue, with this run in it: what runs is told there as well."""
        if self.workflow is None:
            items = [*find_queued_items(queue.get("queue_running")), *find_queued_items(queue.get("queue_pending"))]
            self._recall(next((item for item in items if item[1] == self.prompt_id), []))
        super().on_queue(queue)

    def on_history(self, entry: Mapping[str, Any]) -> None:
        """The server's own record of it."""
        if self.workflow is None:
            self._recall(entry.get("prompt"))
        self._become(replace(self._state, started=None, ended=None))  # the record knows the times better
        super().on_history(entry)

    def on_missing(self) -> None:
        """The server does not know it."""
        if self._cancelling:
            super().on_missing()
            return
        message = f"{self._server.url} does not know the job {self.prompt_id[:60]!r}: it never was there, or is gone"
        self._end("failed", RunError("gone", message))

    def _recall(self, item: Any) -> None:
        """Take the workflow from the server's item: `[number, prompt_id, prompt, extra_data, outputs]`."""
        prompt = item[2] if isinstance(item, list) and len(item) > 2 else None
        extra = item[3] if isinstance(item, list) and len(item) > 3 else None
        if not isinstance(prompt, dict):
            return
        try:
            workflow = Workflow.parse({"prompt": prompt, "extra_data": extra})
        except WorkflowError:
            return  # its outputs can be had all the same
        self._know(workflow, read_binding(workflow))
