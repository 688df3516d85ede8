"""`Run`: one submission, from its prompt_id to its result: what it does now, cancelling it, waiting for it."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
import uuid
from collections.abc import Awaitable, Callable, Generator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.base import Backend, Refused
from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, ServerError
from comfykit_jupyter.client.results.result import ExecuteResult, collect_outputs, find_changed_values
from comfykit_jupyter.client.running import timings
from comfykit_jupyter.client.running.observable import ObservableRun
from comfykit_jupyter.client.running.refusal import format_error, format_node_errors, to_refused_state
from comfykit_jupyter.client.running.submission import Submission
from comfykit_jupyter.workflow.errors import hide_frames, strip_traceback
from comfykit_jupyter.workflow.progress.progress import RunError, RunState

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.workflow import Binding, Workflow

logger = logging.getLogger(__name__)

CANCEL_TIMEOUT = 5.0
"""Seconds for telling the server to cancel, and then for it to say that it did."""
_OPEN = frozenset({"timeout", "unreachable", "unknown"})
"""Kinds of errors after which a job may still run."""
SETTLING = 3.0
"""Seconds that a prompt whose answer was lost has to turn up on the server."""

_begun: list[Run] = []


def find_unfinished_runs() -> list[Run]:
    """The runs of this process that have not ended, oldest first."""
    return [run for run in list(_begun) if not run.done]


class Run(ObservableRun):
    """One submission of a workflow. Made by `ComfyKit.submit`, which returns it at once.

        run = kit.submit("portrait.json", prompt="a fox")
        print(run.progress)             # KSampler 12/20 · 2 of 7 nodes · 0:08 · ~0:05 left
        result = run.result()           # or `await run`

    Its attributes may be read from any thread.

    Args:
        server: where it runs.
        values: the workflow's values by name.
        listen: follow it by the server's events; else by looking at its history.
        timeout: seconds that it may take; past it the job is cancelled. None: no limit.
        raise_on_error: whether `result()` raises for a run that failed.
        id: its own name; a new one if not given.
    """

    def __init__(
        self,
        server: Backend,
        values: Mapping[str, Any],
        *,
        listen: bool = True,
        timeout: float | None = None,
        raise_on_error: bool = True,
        id: str | None = None,  # noqa: A002 - what it is
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
        self._cost: dict[str, float] = {}
        self._binding: Binding | None = None
        self._overdue: RunError | None = None
        self._unconfirmed = False
        self._submission: Submission | None = None
        self._unanswered: ServerError | None = None
        self._job: loop.BackgroundTask[ExecuteResult] | None = None

    def __repr__(self) -> str:
        name = self.prompt_id if self.prompt_id.isdecimal() else self.prompt_id[:8]  # digits are all alike at first
        return f"<Run {name} {self.progress}>"

    @property
    def server(self) -> str:
        """The address where it runs."""
        return self._server.url

    @property
    def prompt_id(self) -> str:
        """The server's name for it: its own `id`, or, in a cloud that gives the names, the cloud's once it has it."""
        return (self._submission.prompt_id if self._submission is not None else None) or self.id

    # -- for its users -------------------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> ExecuteResult:
        """Wait for it to end.

        Args:
            timeout: seconds to wait; past it TimeoutError is raised, and the run goes on.

        Raises:
            RunFailed: it failed, was refused or cancelled; the error holds the result. Not with `raise_on_error=False`.
            ComfyKitError: nothing was sent: a wrong value, no such file, no server.
            KeyboardInterrupt: Ctrl-C or ■; the job has been cancelled on the server.
        """
        if self._result is not None:
            return self._outcome(self._result)
        if loop.is_loop_thread():
            raise RuntimeError("waiting for a run in a callback would wait for itself: use `await run`, or `done=`")
        job = self._started()
        try:
            return self._outcome(loop.wait(job.outcome, timeout))
        except TimeoutError:
            late = TimeoutError(f"not done within {timeout:g} s, it goes on: {self.progress}")
            hide_frames(late)
            raise late from None
        except KeyboardInterrupt:
            self._leave(job)
            raise

    def __await__(self) -> Generator[Any, None, ExecuteResult]:
        return self._awaited().__await__()

    def cancel(self) -> None:
        """Take the job out of the queue, or stop it; back when the server has been told. Never touches anybody else's.

        Raises:
            ServerError: the server can't be told.
            RuntimeError: called in a callback of the run: hand over to another thread.
        """
        if self.done:
            return
        if loop.is_loop_thread():
            raise RuntimeError("cancelling a run in a callback would wait for itself: hand over to another thread")
        telling = loop.BackgroundTask(self._cancel())
        try:
            loop.wait(telling.outcome, CANCEL_TIMEOUT)
        except TimeoutError:  # it goes on: whenever the server answers, it is told
            raise ServerError(f"{self._server.url} was not told yet to cancel: it does not answer") from None

    # -- for the kit ---------------------------------------------------------------------------------------------------

    def start(self, read: Callable[[], Awaitable[Workflow]]) -> Run:
        """Begin; the workflow is read on the background loop. Returns itself."""
        submission = self._submission = Submission(self._server, self.id, read, self._values, self.on_note)
        self._begin(lambda: self._submit(submission))
        return self

    async def wait_for_result(self) -> ExecuteResult:
        """The result, of whatever status; cancelling the caller cancels the job on the server."""
        return await loop.await_on_loop(self._started())

    def _begin(self, live: Callable[[], Awaitable[None]]) -> None:
        _begun.append(self)
        self._job = loop.BackgroundTask(self._drive(live))

    def _started(self) -> loop.BackgroundTask[ExecuteResult]:
        if self._job is None:
            raise RuntimeError("the run was not started")
        return self._job

    async def _awaited(self) -> ExecuteResult:
        return self._outcome(await self.wait_for_result())

    def _outcome(self, result: ExecuteResult) -> ExecuteResult:
        if result.status == "completed" or not self._raise_on_error:
            return result
        if self._failure is not None:
            raise self._failure
        return result.raise_for_status()

    def _leave(self, job: loop.BackgroundTask[ExecuteResult]) -> None:
        """The caller leaves: cancel, and stay until the server has been told. Whoever leaves looks at no result."""
        job.cancel()
        with contextlib.suppress(TimeoutError):
            loop.wait(job.outcome, loop.FAREWELL)
        if self._sent and (self._unconfirmed or not self.done):
            name = self.prompt_id if self._named else "its name is not known yet"
            logger.warning("%s has not confirmed that a job was cancelled, it may still run: %s", self.server, name)

    # -- its life, on the background loop ------------------------------------------------------------------------------

    async def _drive(self, live: Callable[[], Awaitable[None]]) -> ExecuteResult:
        """From the workflow to the result: every way out ends in `_settle`."""
        limit = None if self._timeout is None else asyncio.get_running_loop().call_later(self._timeout, self._time_out)
        try:
            if self._listen:
                await self._server.listen(self)  # the socket opens while the workflow is made ready
            await live()
        except asyncio.CancelledError:
            await self._withdraw()
        except ComfyKitError as error:
            self._fail(error)
        except Exception as error:
            logger.exception("a run failed in a way that it should not")
            self._fail(ComfyKitError(f"comfykit-jupyter failed: {type(error).__name__}: {error}"))
        finally:
            if limit is not None:
                limit.cancel()
            self._server.unfollow(self)
            if self._submission is not None:
                self._submission.pass_turn()
        return self._settle()

    async def _submit(self, submission: Submission) -> None:
        """Send it, and see what becomes of it."""
        self.workflow = await submission.read()
        self._warnings += self.workflow.notes
        binding = await submission.bind(self.workflow)
        self._know(self.workflow, binding, submission.known)
        await submission.send_files(binding)
        if self._listen:
            self.trusted = await self._server.ready()
        await self._post(submission, self.workflow, binding)
        await self._server.follow(self, listen=self._listen)

    def _know(self, workflow: Workflow, binding: Binding, definitions: Definitions | None = None) -> None:
        """From now on it is known what runs: its prompt, what its nodes are called."""
        self.workflow, self._binding = workflow, binding
        titles = {node: workflow.get_title(node, definitions) for node in workflow.prompt}
        weights = timings.estimate_weights(self._server.url, binding.prompt)
        self._become(RunState.create(self.id, binding.prompt, titles, time.monotonic(), weights=weights))

    async def _post(self, submission: Submission, workflow: Workflow, binding: Binding) -> None:
        """Send the prompt, once. A lost answer is no reason to send it again: the job is looked for instead."""
        node_errors = None
        try:
            node_errors = await submission.post(workflow, binding)
        except Refused as refusal:
            self._become(
                to_refused_state(
                    self._state, refusal.body, time.monotonic(), has_object_info=self._server.has_object_info
                )
            )
            return
        except ServerError as error:
            if not error.sent:
                raise
            if not self._named:  # there is no name to look for it by
                self._failure = error
                self._end("failed", RunError("unknown", str(error)))
                return
            self._unanswered = error
            self.trusted = False
        self.changed_at = time.monotonic()
        if isinstance(node_errors, Mapping) and node_errors:
            left_out = format_node_errors(self._state, node_errors, has_object_info=self._server.has_object_info)
            self._warnings += [f"left out: {complaint}" for complaint in left_out]

    def _time_out(self) -> None:
        if not self._state.finished and self._job is not None:
            self._overdue = RunError("timeout", f"not done within {self._timeout:g} s: {self.progress}")
            self._job.cancel()

    @property
    def _sent(self) -> bool:
        """Whether the server may know it."""
        return self._submission is not None and self._submission.posted_at is not None

    @property
    def _named(self) -> bool:
        """Whether it is known what the server calls it."""
        return self._submission is None or self._submission.prompt_id is not None

    async def _withdraw(self) -> None:
        """The caller left, or the time is over: cancel on the server, and see how that ends."""
        self._cancelling = True
        if self._sent and not self._state.finished:
            try:
                await loop.wait_for(self._call_off(), CANCEL_TIMEOUT)
                await loop.wait_for(self._server.follow(self, listen=self._listen), CANCEL_TIMEOUT)
            except (ServerError, asyncio.TimeoutError) as failure:
                why = str(failure) or f"no word within {CANCEL_TIMEOUT:g} s"
                self._warnings.append(f"the job may still run: the server did not confirm its end ({why})")
                self._unconfirmed = True
                if self._submission is not None and not self._submission.is_answered:
                    loop.BackgroundTask(self._call_off())  # whenever the server answers, it is told
        if self._state.status in ("completed", "failed"):
            return  # it ended before it could be stopped
        if self._overdue is not None:
            told = "it may still run, the server has not confirmed its end" if self._unconfirmed else "it was cancelled"
            self._end("failed", replace(self._overdue, message=f"{self._overdue.message}; {told}"))
        else:
            told = "cancelled; the server has not confirmed it" if self._unconfirmed else "cancelled"
            self._end("cancelled", self._state.error or RunError("cancelled", told))

    async def _cancel(self) -> None:
        self._cancelling = True
        if self._sent:
            await self._call_off()
        if not self._sent:  # also one that was turned down meanwhile: it would be offered again
            self._started().cancel()

    async def _call_off(self) -> None:
        """Have it cancelled on the server: at once, and again if the server had not taken it yet."""
        on_its_way = self._submission is not None and not self._submission.is_answered
        found = self._named and await self._server.cancel(self.prompt_id)
        if on_its_way and not found and self._submission is not None:
            await self._submission.answered()
            if self._named:
                await self._server.cancel(self.prompt_id)
        self._raise_doubt()

    def _fail(self, error: ComfyKitError) -> None:
        """It ends by an error of ours, before or after it was sent."""
        self._failure = error
        problem = error.problems[0] if isinstance(error, ParameterError) and error.problems else None
        kind = "unreachable" if isinstance(error, ServerError) else "invalid"
        node, title = (problem.node_id, problem.node_title) if problem else (None, None)
        self._end("failed", RunError(kind, str(error), node, title, field=problem.parameter if problem else None))

    def _settle(self) -> ExecuteResult:
        state, binding = self._state, self._binding
        if binding is not None:
            timings.learn(self._server.url, binding.prompt, state)
        params = dict(binding.params) if binding else dict(self._values)
        seeds = dict(binding.seeds) if binding else {}
        result = ExecuteResult(
            status="completed" if state.status == "completed" else "failed",
            prompt_id=self.prompt_id if self._sent and self._named else None,
            duration=self._duration(),
            msg=format_error(state.error),
            error=state.error,
            warnings=self._warnings,
            params=params,
            seeds=seeds,
            changed=find_changed_values(params, seeds, self.workflow) if binding else {},
            prompt=binding.prompt if binding else {},
            node_times=dict(state.node_times),
            cached_nodes=sorted(state.cached),
            cost=self._cost,
            workflow_name=self.workflow.name if self.workflow else "",
            server=self._server.url,
            server_version=self._server.version,
        )
        collect_outputs(result, state, self.workflow.outputs if self.workflow else {}, self._server)
        if self._failure is not None:
            self._failure.result = result
            strip_traceback(self._failure)
        if not self._server.accepts_client_ids and self._named and not (state.error and state.error.kind in _OPEN):
            asyncio.get_running_loop().run_in_executor(None, job_log.mark_ended, self._server.url, self.prompt_id)
        self._conclude(result)
        _begun.remove(self)
        return result

    def _duration(self) -> float | None:
        """Seconds from sending the prompt to its end."""
        posted_at = self._submission.posted_at if self._submission is not None else None
        return None if posted_at is None else (self._state.ended or time.monotonic()) - posted_at

    def on_warning(self, line: str) -> None:
        """Something that whoever reads the result should know."""
        self._warnings.append(line)

    def on_cost(self, cost: Mapping[str, float]) -> None:
        """What it cost."""
        self._cost = dict(cost)

    def on_missing(self) -> None:
        """The server does not know it."""
        if self._cancelling:
            self._end("cancelled", RunError("cancelled", "cancelled before it began"))
        elif self._unanswered is None:
            message = f"{self._server.url} no longer knows this job: it was removed, or the server restarted"
            self._end("failed", RunError("gone", message))
        elif time.monotonic() - self.changed_at > SETTLING:
            self._fail(ServerError(f"{self._unanswered} (the job was not started)"))

    def on_failed(self, error: RunError) -> None:
        """No more can be known of it."""
        self._end("failed", error)
