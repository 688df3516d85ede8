"""`AttachedRun`: a job that was started elsewhere, or before the kernel restarted, found by its prompt ID."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.base import Backend
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.client.running import registry
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import WorkflowError, short_repr
from comfykit_jupyter.workflow.progress.progress import RunError
from comfykit_jupyter.workflow.progress.records import (
    WORKFLOW_NAME,
    find_queued_items,
    read_binding,
    read_workflow_name,
)

logger = logging.getLogger(__name__)

VERSION_TIMEOUT = 1.0
"""Seconds that the end of a run waits for the server's version."""
SENDER_PAUSE = 0.05
"""Seconds between two looks at a run of this process that is still sending its job."""


class FollowedRun(Run):
    """A run of a job that exists already. Unless more is known, its workflow is the prompt in the server's record."""

    def __init__(self, server: Backend, prompt_id: str, *, raise_on_error: bool = True) -> None:
        super().__init__(server, {}, raise_on_error=raise_on_error, id=prompt_id)
        self._is_reported = False
        self.changed_at = time.monotonic()  # a queue that was read earlier, for another run, may not contain it

    async def _execute(self) -> None:
        """Follow the job."""
        await self._move(await self._server.find_holder(self.prompt_id))
        asking = asyncio.ensure_future(self._server.status()) if self._server.has_object_info else None
        if (
            self.workflow is None
            and not self._server.accepts_client_ids
            and (note := await asyncio.to_thread(job_log.read_note, self.server, self.prompt_id))
        ):
            extra = {WORKFLOW_NAME: note.get("workflow")}
            self._read_item([0, self.prompt_id, note["prompt"], extra])  # the cloud does not return it
        try:
            await self._server.follow(self, listen=True, lost=True)
            if asking is not None:  # it learns the version for the result
                with contextlib.suppress(asyncio.TimeoutError):
                    await loop.wait_for(asking, VERSION_TIMEOUT)
        finally:
            if asking is not None:
                asking.cancel()

    def on_silence(self, gives_up_at: float | None) -> None:
        """Log at once that the server is away: nothing is known of the job yet."""
        if gives_up_at is not None and not self._is_reported:
            left = max(0.0, gives_up_at - time.monotonic())
            logger.warning("%s does not answer: trying to attach to %s for %.0f s", self.server, self.prompt_id, left)
        self._is_reported = gives_up_at is not None
        super().on_silence(gives_up_at)

    @property
    def sent(self) -> bool:
        """Whether the prompt was sent: always true here."""
        return True

    @property
    def needs_prompt(self) -> bool:
        """Whether its prompt is not known yet: the server has it."""
        return self.workflow is None

    def _compute_duration(self) -> float | None:
        """Return the seconds of its execution by the server's clock: when it was sent is not known here."""
        state = self._state
        took = 0.0 if state.started is None or state.ended is None else state.ended - state.started
        return round(took, 3) or None  # some servers have no times

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """Learn the position in the queue, and from its item what runs."""
        if self.workflow is None:
            items = [*find_queued_items(queue.get("queue_running")), *find_queued_items(queue.get("queue_pending"))]
            self._read_item(next((item for item in items if item[1] == self.id), []))
        super().on_queue(queue)

    def on_history(self, entry: Mapping[str, Any]) -> None:
        """Learn the outcome from the server's record."""
        if self.workflow is None:
            self._read_item(entry.get("prompt"))
        self._set_state(replace(self._state, started=None, ended=None))  # the times in the record are exact
        super().on_history(entry)

    def _read_item(self, item: Any) -> None:
        """Read the workflow from the server's item: `[number, prompt_id, prompt, extra_data, outputs]`."""
        prompt = item[2] if isinstance(item, list) and len(item) > 2 else None
        extra = item[3] if isinstance(item, list) and len(item) > 3 else None
        if not isinstance(prompt, dict):
            return
        try:
            name = read_workflow_name(extra) or f"run {self.prompt_id[:8]}"
            workflow = Workflow.parse({"prompt": prompt, "extra_data": extra}, name)
        except WorkflowError:
            return  # its outputs can be read without it
        self._set_workflow(workflow, read_binding(workflow))


class AttachedRun(FollowedRun):
    """A run of a job that was started elsewhere; created by `ComfyKit.attach`.

    When the caller stops waiting, the job keeps running; `cancel()` cancels it. If a run of this process is still
    sending the job, this waits until the server knows it, and follows it by the server's ID.
    """

    def __init__(self, server: Backend, prompt_id: str, *, raise_on_error: bool = True) -> None:
        self._sender = registry.find_sender(prompt_id)
        super().__init__(server, prompt_id, raise_on_error=raise_on_error)

    @property
    def prompt_id(self) -> str:
        """The server's ID of the job."""
        sender = self._sender
        return self.id if sender is None or sender.server != self.server else sender.prompt_id

    async def _execute(self) -> None:
        """Follow the job, once it has been sent."""
        sender = self._sender
        while sender is not None and not (sender.arrived or sender.ended or self.ended):
            self.on_note("not sent yet")
            await asyncio.sleep(SENDER_PAUSE)
        self.changed_at = time.monotonic()  # a queue that was read before may lack the job
        if sender is not None and sender.prompt_id != self.prompt_id:  # a cloud that our ID does not lead to
            message = f"{sender.server} has given this job the ID {sender.prompt_id}: attach to that ID"
            self._end("failed", RunError("gone", message))
            return
        await super()._execute()

    async def request_cancellation(self) -> None:
        """Cancel the job, also one that is still being sent."""
        if self._sender is None or self._sender.arrived:
            await super().request_cancellation()
        else:
            self._cancelling = True
            await self._sender.request_cancellation()

    async def wait_for_result(self) -> ExecuteResult:
        """Return the result, whatever its status; cancelling the caller only stops the waiting."""
        result = await loop.await_on_loop(self._get_job(), leave=True)
        registry.mark_seen(self)
        return result

    def leave(self) -> None:
        """Let the job keep running when the caller stops waiting."""

    def on_missing(self) -> None:
        """End the run: the server does not know the job."""
        if self._cancelling:
            super().on_missing()
            return
        name = f"{(self._pool or self._server).url} does not know the job {short_repr(self.prompt_id)}"
        message = f"{name}: it was never submitted here, or has been deleted"
        self._end("failed", RunError("gone", message))
