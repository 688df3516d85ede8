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
from comfykit_jupyter.client.comfyui import ComfyUI, Refused
from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, ServerError
from comfykit_jupyter.client.events import Preview
from comfykit_jupyter.client.refusal import complaints, line, refused
from comfykit_jupyter.client.result import ExecuteResult, changed_values, collect
from comfykit_jupyter.client.sources import OnServer, read_media
from comfykit_jupyter.client.transfer import upload
from comfykit_jupyter.workflow.progress import Progress, RunError, RunState, from_history, from_queue, reduce

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.workflow import Binding, Upload, Workflow

logger = logging.getLogger(__name__)

CANCEL_TIMEOUT = 5.0
"""Seconds for telling the server to cancel, and then for it to say that it did."""
SETTLING = 3.0
"""Seconds that a prompt whose answer was lost has to turn up on the server."""

OnProgress = Callable[[Progress], None]
OnPreview = Callable[[Preview], None]
OnDone = Callable[[ExecuteResult], None]


class Run:
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
    """

    def __init__(
        self,
        server: ComfyUI,
        values: Mapping[str, Any],
        *,
        listen: bool = True,
        timeout: float | None = None,
        raise_on_error: bool = True,
    ) -> None:
        self.prompt_id = str(uuid.uuid4())
        self.workflow: Workflow | None = None
        self.trusted = False
        self.changed_at = 0.0
        self._server = server
        self._values = values
        self._listen = listen
        self._timeout = timeout
        self._raise_on_error = raise_on_error
        self._state = RunState.new(self.prompt_id, {}, {}, time.monotonic())
        self._result: ExecuteResult | None = None
        self._failure: ComfyKitError | None = None
        self._warnings: list[str] = []
        self._binding: Binding | None = None
        self._cancelling = False
        self._overdue: RunError | None = None
        self._posting: asyncio.Task[Any] | None = None
        self._posted_at = 0.0
        self._unanswered: ServerError | None = None
        self._doubt = asyncio.Event()
        self._subscribers: dict[object, tuple[OnProgress | None, OnPreview | None, OnDone | None]] = {}
        self._job: loop.Job[ExecuteResult] | None = None

    def __repr__(self) -> str:
        return f"<Run {self.prompt_id[:8]} {self.progress}>"

    # -- for its users -------------------------------------------------------------------------------------------------

    @property
    def status(self) -> str:
        """`queued`, `running`, `completed`, `failed` or `cancelled`."""
        return self._state.status

    @property
    def progress(self) -> Progress:
        """What it does now."""
        return self._state.progress(time.monotonic())

    @property
    def done(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self._result is not None

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
        if loop.on_background_thread():
            raise RuntimeError("waiting for a run in a callback would wait for itself: use `await run`, or `done=`")
        job = self._started()
        try:
            return self._outcome(loop.wait(job.outcome, timeout))
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
        if loop.on_background_thread():
            raise RuntimeError("cancelling a run in a callback would wait for itself: hand over to another thread")
        telling = loop.Job(self._cancel())
        try:
            loop.wait(telling.outcome, CANCEL_TIMEOUT)
        except TimeoutError:  # it goes on: whenever the server answers, it is told
            raise ServerError(f"{self._server.url} was not told yet to cancel: it does not answer") from None

    def subscribe(
        self, progress: OnProgress | None = None, preview: OnPreview | None = None, done: OnDone | None = None
    ) -> Callable[[], None]:
        """Be told of what happens. The callbacks come on the background loop's thread: be quick, never wait in them.

        Args:
            progress: at once, and after every change; the last one always comes before `done`.
            preview: every preview picture.
            done: once, with the result; at once if it has ended.

        Returns:
            A function that ends it.
        """
        key = object()

        def begin() -> None:
            if self._result is None:
                self._subscribers[key] = (progress, preview, done)
            if progress is not None:
                _tell(progress, self.progress)
            if self._result is not None and done is not None:
                _tell(done, self._result)

        def end() -> None:
            loop.background().call_soon_threadsafe(self._subscribers.pop, key, None)

        loop.background().call_soon_threadsafe(begin)
        return end

    # -- for the kit ---------------------------------------------------------------------------------------------------

    def start(self, read: Callable[[], Awaitable[Workflow]]) -> Run:
        """Begin; the workflow is read on the background loop. Returns itself."""
        self._job = loop.Job(self._drive(read))
        return self

    async def finished(self) -> ExecuteResult:
        """The result, of whatever status; cancelling the caller cancels the job on the server."""
        return await loop.bridge(self._started())

    def _started(self) -> loop.Job[ExecuteResult]:
        if self._job is None:
            raise RuntimeError("the run was not started")
        return self._job

    async def _awaited(self) -> ExecuteResult:
        return self._outcome(await self.finished())

    def _outcome(self, result: ExecuteResult) -> ExecuteResult:
        if result.status == "completed" or not self._raise_on_error:
            return result
        if self._failure is not None:
            raise self._failure
        return result.raise_for_status()

    def _leave(self, job: loop.Job[ExecuteResult]) -> None:
        """The caller leaves: cancel, and stay until the server has been told."""
        job.cancel()
        with contextlib.suppress(TimeoutError):
            loop.wait(job.outcome, loop.FAREWELL)

    # -- its life, on the background loop ------------------------------------------------------------------------------

    async def _drive(self, read: Callable[[], Awaitable[Workflow]]) -> ExecuteResult:
        """From the workflow to the result: every way out ends in `_settle`."""
        limit = None if self._timeout is None else asyncio.get_running_loop().call_later(self._timeout, self._time_out)
        try:
            await self._live(read)
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
            self._server.events.unsubscribe(self.prompt_id)
        return self._settle()

    async def _live(self, read: Callable[[], Awaitable[Workflow]]) -> None:
        if self._listen:
            await self._server.listen(self)  # the socket opens while the workflow is made ready
        binding = await self._bind(await read())
        for needed in binding.uploads:
            binding.place(needed, await self._send(needed))
        if self._listen:
            self.trusted = await self._server.events.ready()
        await self._post(binding)
        await self._server.follow(self, listen=self._listen)

    async def _send(self, needed: Upload) -> str:
        """Have a media value on the server; returns its name there."""
        source = await read_media(needed, self._server.url)
        if isinstance(source, OnServer):
            return source.name
        return await upload(self._server, source.content, source.suffix)

    async def _bind(self, workflow: Workflow) -> Binding:
        """The prompt with its values; a value that the definitions refuse is looked at again with fresh ones."""
        self.workflow = workflow
        known = await self._server.definitions(workflow.classes)
        try:
            binding = workflow.bind(self._values, known)
        except ParameterError:
            binding = workflow.bind(self._values, await self._server.definitions(workflow.classes, fresh=True))
        self._binding = binding
        titles = {node: workflow.title(node) for node in workflow.prompt}
        self._become(RunState.new(self.prompt_id, binding.prompt, titles, time.monotonic()))
        return binding

    async def _post(self, binding: Binding) -> None:
        """Send the prompt, once. A lost answer is no reason to send it again: the job is looked for instead."""
        self._posted_at = time.monotonic()
        extra = self.workflow.extra_pnginfo if self.workflow is not None else None
        self._posting = asyncio.ensure_future(self._server.post(self.prompt_id, binding.prompt, extra))
        try:
            node_errors = await asyncio.shield(self._posting)
        except Refused as refusal:
            self._become(refused(self._state, refusal.body, time.monotonic()))
            return
        except ServerError as error:
            if not error.sent:
                raise
            self._unanswered = error
            self.trusted = False
            node_errors = None
        self.changed_at = time.monotonic()
        if isinstance(node_errors, Mapping) and node_errors:
            self._warnings += [f"left out: {complaint}" for complaint in complaints(self._state, node_errors)]

    def _time_out(self) -> None:
        if not self._state.finished and self._job is not None:
            message = f"not done within {self._timeout:g} s: {self.progress}; it was cancelled"
            self._overdue = RunError("timeout", message)
            self._job.cancel()

    async def _withdraw(self) -> None:
        """The caller left, or the time is over: cancel on the server, and see how that ends."""
        self._cancelling = True
        if self._posting is not None and not self._state.finished:
            with contextlib.suppress(ServerError, Refused, asyncio.TimeoutError):
                await asyncio.wait_for(self._posting, CANCEL_TIMEOUT)
            try:
                await asyncio.wait_for(self._server.cancel(self.prompt_id), CANCEL_TIMEOUT)
                self._raise_doubt()
                await asyncio.wait_for(self._server.follow(self, listen=self._listen), CANCEL_TIMEOUT)
            except (ServerError, asyncio.TimeoutError) as failure:
                why = str(failure) or f"no word within {CANCEL_TIMEOUT:g} s"
                self._warnings.append(f"the job may still run: the server did not confirm its end ({why})")
        if self._state.status in ("completed", "failed"):
            return  # it ended before it could be stopped
        if self._overdue is not None:
            self._end("failed", self._overdue)
        else:
            self._end("cancelled", self._state.error or RunError("cancelled", "cancelled"))

    async def _cancel(self) -> None:
        self._cancelling = True
        if self._posting is None:
            self._started().cancel()
            return
        with contextlib.suppress(ServerError, Refused):
            await asyncio.shield(self._posting)
        await self._server.cancel(self.prompt_id)
        self._raise_doubt()

    def _fail(self, error: ComfyKitError) -> None:
        """It ends by an error of ours, before or after it was sent."""
        self._failure = error
        problem = error.problems[0] if isinstance(error, ParameterError) and error.problems else None
        kind = "unreachable" if isinstance(error, ServerError) else "invalid"
        node, title = (problem.node_id, problem.node_title) if problem else (None, None)
        self._end("failed", RunError(kind, str(error), node, title, field=problem.parameter if problem else None))

    def _end(self, status: Any, error: RunError) -> None:
        now = time.monotonic()
        self._become(replace(self._state, status=status, error=error, finished=True, ended=self._state.ended or now))

    def _settle(self) -> ExecuteResult:
        state, binding = self._state, self._binding
        sent = self._posting is not None
        params = dict(binding.params) if binding else dict(self._values)
        seeds = dict(binding.seeds) if binding else {}
        result = ExecuteResult(
            status="completed" if state.status == "completed" else "failed",
            prompt_id=self.prompt_id if sent else None,
            duration=(state.ended or time.monotonic()) - self._posted_at if sent else None,
            msg=line(state.error),
            error=state.error,
            warnings=self._warnings,
            params=params,
            seeds=seeds,
            changed=changed_values(params, seeds, self.workflow) if binding else {},
            prompt=binding.prompt if binding else {},
            node_times=dict(state.node_times),
            cached_nodes=sorted(state.cached),
            workflow_name=self.workflow.name if self.workflow else "",
            server=self._server.url,
            server_version=self._server.version,
        )
        collect(result, state, self.workflow.outputs if self.workflow else {}, self._server)
        if self._failure is not None:
            self._failure.result = result
        self._result = result
        subscribers, self._subscribers = list(self._subscribers.values()), {}
        for _, _, done in subscribers:
            if done is not None:
                _tell(done, result)
        return result

    def _become(self, state: RunState) -> None:
        """The one place where the state changes: whoever waits or listens is told."""
        if state is self._state:
            return
        self._state = state
        if state.finished:
            self._doubt.set()
        for progress, _, _ in list(self._subscribers.values()):
            if progress is not None:
                _tell(progress, self.progress)

    # -- what the server's events and answers do to it (comfyui.Follower) ----------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the outcome is known."""
        return self._state.finished

    @property
    def waiting(self) -> bool:
        """Whether it is still in the queue."""
        return self._state.status == "queued"

    async def doubt(self, timeout: float) -> None:
        """Come back when it has ended, or when there is reason to ask the server; in `timeout` seconds at most."""
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._doubt.wait(), timeout)
        if not self._state.finished:
            self._doubt.clear()

    def on_event(self, event: Mapping[str, Any]) -> None:
        """A message of the server."""
        state = reduce(self._state, event, time.monotonic())
        if state.finished and not self.trusted and not self._state.finished:
            self._raise_doubt()  # something was missed before: the history has all of it
        else:
            self._become(state)

    def on_preview(self, preview: Preview) -> None:
        """A preview picture."""
        if preview.node_id is None or preview.step is None:
            state = self._state
            preview = replace(preview, node_id=preview.node_id or state.current, step=state.step)
        for _, tell, _ in list(self._subscribers.values()):
            if tell is not None:
                _tell(tell, preview)

    def on_break(self) -> None:
        """The connection was lost."""
        self.trusted = False
        self._raise_doubt()

    def on_history(self, entry: Mapping[str, Any]) -> None:
        """The server's own record of it."""
        self._become(from_history(self._state, entry, time.monotonic()))

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """The queue, with this run in it."""
        self._become(from_queue(self._state, queue, time.monotonic()))

    def on_missing(self) -> None:
        """The server does not know it."""
        if self._cancelling:
            self._end("cancelled", RunError("cancelled", "cancelled before it began"))
        elif self._unanswered is None:
            message = f"{self._server.url} no longer knows this job: it was removed, or the server restarted"
            self._end("failed", RunError("gone", message))
        elif time.monotonic() - self.changed_at > SETTLING:
            self._fail(ServerError(f"{self._unanswered} (the job was not started)"))

    def on_unreachable(self, message: str) -> None:
        """The server has been away for too long."""
        self._end("failed", RunError("unreachable", message))

    def _raise_doubt(self) -> None:
        """What was known of it may be out of date: ask the server."""
        self.changed_at = time.monotonic()
        self._doubt.set()


def _tell(callback: Callable[[Any], None], about: Any) -> None:
    """A subscriber's own error is its own: the run goes on."""
    try:
        callback(about)
    except Exception:
        logger.exception("a subscriber of a run failed")
