"""`ExecutableRun`: a run from its workflow to its result, on the background loop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.base import Backend
from comfykit_jupyter.client.backends.order import Refused
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.running import late, timings
from comfykit_jupyter.client.running.cancel import CANCEL_TIMEOUT
from comfykit_jupyter.client.running.earlier import CellCall
from comfykit_jupyter.client.running.observable import ObservableRun
from comfykit_jupyter.client.running.outcome import build_result
from comfykit_jupyter.client.running.refusal import format_node_errors, to_refused_state, to_run_error
from comfykit_jupyter.client.running.submission import Submission
from comfykit_jupyter.client.transport.deadline import share_patience
from comfykit_jupyter.workflow.errors import strip_traceback
from comfykit_jupyter.workflow.nodes import find_likely_output_nodes
from comfykit_jupyter.workflow.progress.progress import RunError, RunState
from comfykit_jupyter.workflow.progress.records import Times, read_times
from comfykit_jupyter.workflow.values.binding import Binding

if TYPE_CHECKING:
    from comfykit_jupyter.client.cells import Cell
    from comfykit_jupyter.client.inputs.workflows import WorkflowReader
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.recorder import RunRecorder
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.nodes import Definitions

logger = logging.getLogger(__name__)

_MAY_STILL_RUN = frozenset({"timeout", "unreachable", "unknown"})
"""Kinds of errors after which the job may still run."""


class ExecutableRun(ObservableRun):
    """A run as it is executed; see `Run` for its arguments. Other threads may read its attributes."""

    def __init__(
        self,
        server: Backend,
        values: Mapping[str, Any],
        *,
        listen: bool = True,
        timeout: float | None = None,
        raise_on_error: bool = True,
        id: str | None = None,  # noqa: A002 - the best name for it
        reader: WorkflowReader | None = None,
        bound: tuple[Binding, Definitions] | None = None,
        lenient: bool = False,
        expand_choices: bool = True,
        recorder: RunRecorder | None = None,
        cell: Cell | None = None,
    ) -> None:
        super().__init__(id or str(uuid.uuid4()))
        self.workflow: Workflow | None = None
        self._server = server
        self._values = values
        self._listen = listen
        self._timeout = timeout
        self._raise_on_error = raise_on_error
        self._failure: ComfyKitError | None = None
        self._warnings: list[str] = []
        self._times = Times()
        self._cost: dict[str, float] = {}
        self._raw: Any = None
        self._binding: Binding | None = None
        self._overdue: RunError | None = None
        self._unconfirmed = False
        self._found_at = float("-inf")
        self._recorder = recorder
        self._record_id = self.id
        self._pool: Backend | None = None
        self._submission = None
        if reader is not None:
            call = None if cell is None else CellCall(cell, server)
            self._submission = Submission(
                server,
                self.id,
                reader,
                values,
                self.on_note,
                bound,
                lenient=lenient,
                expand_choices=expand_choices,
                call=call,
            )
            self._submission.recorder = recorder
        self._unanswered: ServerError | None = None
        self._job: loop.BackgroundTask[ExecuteResult] | None = None
        self._is_left = False

    @property
    def started(self) -> bool:
        """Whether it was started, so that a job may exist."""
        return self._job is not None

    @property
    def failure(self) -> ComfyKitError | None:
        """The error that ended it on this side, as `result()` raises it: a wrong value, or a server that is away."""
        return self._failure

    @property
    def delivered(self) -> bool:
        """Whether the server has answered its prompt, so that the job no longer needs this process."""
        submission = self._submission
        return submission is None or (submission.posted_at is not None and submission.is_answered)

    @property
    def arrived(self) -> bool:
        """Whether the server knows the job, as far as its answers say."""
        return self.delivered and not self._is_lost

    @property
    def server(self) -> str:
        """Address of the server or cloud."""
        return self._server.url

    @property
    def prompt_id(self) -> str:
        """The server's ID of the job: the run's own `id`, or, once it is known, the ID that a cloud chose."""
        return (self._submission.prompt_id if self._submission is not None else None) or self.id

    def _get_job(self) -> loop.BackgroundTask[ExecuteResult]:
        if self._job is None:
            raise RuntimeError("the run has not been started")
        return self._job

    async def _drive(self) -> ExecuteResult:
        """Take the run from the workflow to its result: every way out ends in `_settle`."""
        share_patience()
        if self._submission is not None and not self._server.members:
            self._submission.take_turn()
        limit = None if self._timeout is None else asyncio.get_running_loop().call_later(self._timeout, self._time_out)
        try:
            if self._listen and not self._server.members:
                await self._server.listen(self)  # the socket opens while the workflow is prepared
            await self._execute()
        except asyncio.CancelledError:
            await self._withdraw()
        except ComfyKitError as error:
            self._fail(error)
        except Exception as error:
            logger.exception("a run failed because of an internal error")
            self._fail(ComfyKitError(f"internal error in comfykit-jupyter: {type(error).__name__}: {error}"))
        finally:
            if limit is not None:
                limit.cancel()
            self._server.unfollow(self)
            if self._pool is not None:
                self._pool.release(self.id)
            if self._submission is not None:
                self._submission.pass_turn()
                self._submission.remove_copies()
        return self._settle()

    async def _execute(self) -> None:
        """Send the prompt with its files, and follow the job."""
        submission = self._submission
        if submission is None:
            raise RuntimeError("the run has no workflow")
        self.workflow = await submission.read()
        self._warnings += [*self.workflow.notes, *self.workflow.unread_titles]
        binding = await submission.bind(self.workflow)
        self._warnings += [*binding.warnings, *submission.take_warnings()]
        await self._move(await self._server.choose(self.id, binding, self.on_note))
        self._set_workflow(self.workflow, binding, submission.known)
        await submission.identify(self.workflow, binding)
        await submission.send_files(binding)
        if self._listen:
            self.trusted = await self._server.is_listening()
        await self._post(submission, self.workflow, binding)
        await self._server.follow(self, listen=self._listen)

    async def _move(self, server: Backend) -> None:
        """Go to one of several servers, and stay there."""
        if server is self._server:
            return
        self._pool, self._server = self._server, server
        if self._submission is not None:
            self._submission.move(server)
        if self._listen:
            await server.listen(self)

    def _set_workflow(self, workflow: Workflow, binding: Binding, definitions: Definitions | None = None) -> None:
        """Set what runs: its prompt, and the titles and expected times of its nodes."""
        self.workflow, self._binding = workflow, binding
        titles = {node: workflow.get_title(node, definitions) for node in workflow.prompt}
        weights = timings.estimate_weights(self._server.url, binding.prompt)
        self._set_state(RunState.create(self.id, binding.prompt, titles, time.monotonic(), weights=weights))

    async def _post(self, submission: Submission, workflow: Workflow, binding: Binding) -> None:
        """Send the prompt once. If the response is lost, the job is looked for: sending again would run it twice."""
        node_errors, has_object_info = None, self._server.has_object_info
        try:
            node_errors = await submission.post(workflow, binding)
        except Refused as refusal:
            now = time.monotonic()
            self._set_state(to_refused_state(self._state, refusal.body, now, has_object_info=has_object_info))
            return
        except ServerError as error:
            if not error.sent:
                raise
            if not self._is_named:  # there is no ID to look for
                self._fail(error, "unknown")
                return
            self._unanswered = error
            self.trusted = False
        finally:
            self._warnings += submission.take_warnings()
        self.changed_at = time.monotonic()
        if isinstance(node_errors, Mapping) and node_errors:
            left_out = format_node_errors(self._state, node_errors, has_object_info=has_object_info)
            self._warnings += [f"left out: {reason}" for reason in left_out]

    def _time_out(self) -> None:
        if not self._state.finished and self._job is not None:
            self._overdue = RunError("timeout", f"not done within {self._timeout:g} s: {self.progress}")
            self._job.cancel()

    @property
    def sent(self) -> bool:
        """Whether the server may know the job."""
        return self._posted_at is not None

    @property
    def _is_lost(self) -> bool:
        """Whether the answer to the prompt was lost, and the job has not been seen."""
        return self._submission is not None and self._submission.is_lost and self._server.accepts_client_ids

    @property
    def _posted_at(self) -> float | None:
        return None if self._submission is None else self._submission.posted_at

    @property
    def _is_named(self) -> bool:
        """Whether the server's ID of the job is known."""
        return self._submission is None or self._submission.prompt_id is not None

    async def _withdraw(self) -> None:
        """Cancel the job because the caller left or the time is over, and find out how it ended."""
        self._cancelling = True
        if self.sent and not self._state.finished:
            try:
                await loop.wait_for(self._cancel_job(), CANCEL_TIMEOUT)
                await loop.wait_for(self._server.follow(self, listen=self._listen), CANCEL_TIMEOUT)
            except (ServerError, asyncio.TimeoutError) as failure:
                why = str(failure) or f"no response within {CANCEL_TIMEOUT:g} s"
                self._warnings.append(f"the job may still run: the server has not confirmed its end ({why})")
                self._unconfirmed = True
                submission = self._submission
                if submission is not None and (self._is_lost or not submission.is_answered):
                    loop.BackgroundTask(lambda: submission.cancel_when_answered(self._cancel_job)).start()
        if self._state.status in ("completed", "failed"):
            return  # it ended before it could be stopped
        if self._overdue is not None:
            end = "it may still run: the server has not confirmed its end" if self._unconfirmed else "it was cancelled"
            self._end("failed", replace(self._overdue, message=f"{self._overdue.message}; {end}"))
        else:
            message = "cancelled; the server has not confirmed it" if self._unconfirmed else "cancelled"
            self._end("cancelled", self._state.error or RunError("cancelled", message))

    async def request_cancellation(self) -> None:
        """Cancel the job, on the background loop; return when the server has accepted it."""
        self._cancelling = True
        if self.sent:
            await self._cancel_job()
        if not self.sent:  # also after a rejection: the prompt would be posted again
            self._get_job().cancel()

    async def _cancel_job(self) -> None:
        """Cancel the job on the server: now, and again if the prompt is still being posted."""
        is_posting = self._submission is not None and not self._submission.is_answered
        found = self._is_named and await self._server.cancel(self.prompt_id)
        if is_posting and not found and self._submission is not None:
            await self._submission.wait_for_answer()
            found = self._is_named and await self._server.cancel(self.prompt_id)
        if not found and await self._find_lost_job():
            await self._server.cancel(self.prompt_id)
        self._request_check()

    async def _find_lost_job(self) -> bool:
        """Look for the job whose answer was lost, and return whether it is there."""
        submission = self._submission
        if submission is None or not submission.is_lost or (prompt_id := await submission.find_job()) is None:
            return False
        if self._recorder is not None:
            self._recorder.record_accepted(self._record_id, prompt_id)
        self._found_at = time.monotonic()
        self._request_check()
        return True

    def _cancel_arrived_job(self) -> None:
        """Cancel a job that has arrived after its cancellation."""

        async def cancel() -> None:
            with contextlib.suppress(ServerError):  # the run is followed, and says how it ends
                await self._cancel_job()

        loop.BackgroundTask(cancel).start()

    def _fail(self, error: ComfyKitError, kind: str | None = None) -> None:
        """End the run with an error of this package, before or after it was sent."""
        self._failure = error
        failure = to_run_error(error)
        self._end("failed", failure if kind is None else replace(failure, kind=kind))

    def _settle(self) -> ExecuteResult:
        """Make the result of the run."""
        state, binding = self._state, self._binding
        if binding is not None:
            timings.learn(self._server.url, binding.prompt, state)
        result = build_result(
            state,
            self.workflow,
            binding or Binding({}, dict(self._values), {}, (), {}),
            self._server,
            prompt_id=self.prompt_id if self.sent and self._is_named else None,
            duration=self._compute_duration(),
            seconds=timings.compute_seconds(state, self._times),
            waited=timings.compute_waited(state, self._times, self._posted_at),
            warnings=self._warnings,
            cost=self._cost,
            raw=self._raw,
        )
        if self._failure is not None:
            self._failure.result = result
            strip_traceback(self._failure)
        may_still_run = self._unconfirmed or (state.error is not None and state.error.kind in _MAY_STILL_RUN)
        if self._is_named and not self._server.accepts_client_ids and not may_still_run:
            asyncio.get_running_loop().run_in_executor(None, job_log.mark_ended, self._server.url, self.prompt_id)
        if self._recorder is not None:
            self._recorder.record_end(self._record_id, result)
        self._set_result(result)
        return result

    def _compute_duration(self) -> float | None:
        """Return the seconds from sending the prompt to its end."""
        return None if self._posted_at is None else (self._state.ended or time.monotonic()) - self._posted_at

    # -- what the backend calls (backends.follower.Follower) -----------------------------------------------------------

    def on_history(self, entry: Mapping[str, Any]) -> None:
        """Apply the server's record of the job, and note its times."""
        self._times = read_times(entry)
        super().on_history(entry)

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """Apply the server's queue, in which the job may have arrived just now."""
        super().on_queue(queue)
        if self._is_lost and self._submission is not None:
            self._submission.is_lost = False
            if self._cancelling:
                self._cancel_arrived_job()

    async def find_job(self, since: float) -> bool:
        """Look for the job under another ID, if the answer to its prompt was lost; return whether it is there."""
        found = await self._find_lost_job()
        if found and self._cancelling:
            self._cancel_arrived_job()
        return found or self._found_at >= since

    def on_warning(self, line: str) -> None:
        """Add a warning to the result."""
        self._warnings.append(line)

    def on_raw(self, answer: Any) -> None:
        """Note a cloud's own answer."""
        self._raw = answer

    def on_cost(self, cost: Mapping[str, float]) -> None:
        """Set what the run cost."""
        self._cost = dict(cost)

    def on_missing(self) -> None:
        """End the run if the server does not know the job, unless it may still appear."""
        if self._end_as_reported():
            self._warnings.append(f"outputs may be missing: {self._server.url} has no record of this job")
        elif self._submission is not None and self._is_lost and self.waiting:  # never seen there
            if self._cancelling or late.has_settled(self.changed_at):
                find_job = self._submission.find_job
                loop.BackgroundTask(lambda: late.cancel_late_job(self._server, find_job)).start()
                if self._cancelling:
                    self._end("cancelled", RunError("cancelled", f"cancelled: {late.LATE}"))
                else:
                    self._fail(ServerError(f"{self._unanswered} ({late.LATE})"), "unknown")
        elif self._cancelling:
            self._end("cancelled", RunError("cancelled", "cancelled before it started"))
        else:
            message = f"{self._server.url} no longer knows this job: it was removed, or the server restarted"
            self._end("failed", RunError("gone", message))

    def on_failed(self, error: RunError) -> None:
        """End the run with an error: nothing more can be known."""
        if error.kind == "unreachable" and self._end_as_reported():
            self._warnings.append(f"outputs may be missing: {self._server.url} did not give the record of this job")
        elif error.kind == "unreachable" and self._reported_end is not None:
            why = "its record can't be read, and its error or success was missed"
            self._end(
                "failed", RunError("unreachable", f"the job has ended, but {self._server.url} did not say how: {why}")
            )
        else:
            self._end("failed", error)

    def _lacks_outputs(self, state: RunState) -> bool:
        """Return whether an output node of a completed run gave nothing: its message may have been lost."""
        if state.status != "completed" or self._submission is None or self._binding is None:
            return False
        return not state.outputs.keys() >= find_likely_output_nodes(self._binding.prompt, self._submission.known)

    def _end_as_reported(self) -> bool:
        """End the run as its events said. A cloud's outputs are in its record only."""
        return self._server.accepts_client_ids and super()._end_as_reported()
