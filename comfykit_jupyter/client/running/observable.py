"""`ObservableRun`: the state of one run, and its subscribers. It changes on the background loop only."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.preview import Preview
from comfykit_jupyter.client.running import registry
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.progress import (
    Progress,
    RunError,
    RunState,
    Status,
    apply_event,
    apply_history,
    apply_queue,
)

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

logger = logging.getLogger(__name__)

OnProgress = Callable[[Progress], None]
OnPreview = Callable[[Preview], None]
OnDone = Callable[["ExecuteResult"], None]


class ObservableRun:
    """A run as its subscribers see it. Its attributes may be read from any thread."""

    def __init__(self, id: str) -> None:  # noqa: A002 - as in Run
        self.id = id
        self.trusted = False
        self.changed_at = 0.0
        self._state = RunState.create(id, {}, {}, time.monotonic())
        self._result: ExecuteResult | None = None
        self._cancelling = False
        self._unconfirmed = False
        self._check_needed = asyncio.Event()
        self._finished = asyncio.Event()
        self._reported_end: Mapping[str, Any] | None = None
        self._subscribers: dict[object, tuple[OnProgress | None, OnPreview | None, OnDone | None]] = {}

    @property
    def status(self) -> str:
        """The status: `queued`, `running`, `completed`, `failed` or `cancelled`."""
        return self._state.status

    @property
    def progress(self) -> Progress:
        """How far the run is; printed, one line: `KSampler 12/20 · 2 of 7 nodes · 0:08 · ~0:05 left`."""
        return self._state.build_progress(time.monotonic())

    @property
    def done(self) -> bool:
        """Whether the run has ended, whatever its status."""
        return self._result is not None

    def subscribe(
        self, progress: OnProgress | None = None, preview: OnPreview | None = None, done: OnDone | None = None
    ) -> Callable[[], None]:
        """Call functions when something happens. They run on the background loop's thread and must not block.

        Args:
            progress: Called at once and after every change; the last call comes before `done`.
            preview: Called with every preview image.
            done: Called once with the result; at once if the run has ended.

        Returns:
            A function that ends the subscription.

        Example:
            stop = run.subscribe(progress=print, done=lambda result: print(result.status))
        """
        key = object()

        def begin() -> None:
            if self._result is None:
                self._subscribers[key] = (progress, preview, done)
            if progress is not None:
                _call(progress, self.progress)
            if self._result is not None and done is not None:
                registry.mark_seen(self)
                _call(done, self._result)

        def end() -> None:
            loop.get_loop().call_soon_threadsafe(self._subscribers.pop, key, None)

        loop.get_loop().call_soon_threadsafe(begin)
        return end

    def stop_waiting(self) -> None:
        """End the run here although its server does not answer; returns at once."""
        loop.get_loop().call_soon_threadsafe(self._stop_waiting)

    def _stop_waiting(self) -> None:
        if not self._state.finished:
            self._unconfirmed = True
            message = "stopped waiting: the server does not answer, and the job may still run there"
            self._end("cancelled", RunError("cancelled", message))

    # -- what the backend calls (backends.follower.Follower) -----------------------------------------------------------

    @property
    def ended(self) -> bool:
        """Whether the outcome is known; the result may still be made."""
        return self._state.finished

    @property
    def waiting(self) -> bool:
        """Whether the job is still in the queue."""
        return self._state.status == "queued"

    @property
    def needs_prompt(self) -> bool:
        """Whether its prompt is not known yet, as of a run that was started elsewhere."""
        return False

    async def wait_for_doubt(self, timeout: float) -> None:
        """Wait until the outcome is known or the server has to be asked, at most `timeout` seconds."""
        with contextlib.suppress(asyncio.TimeoutError):
            await loop.wait_for(self._check_needed.wait(), timeout)
        if not self._state.finished:
            self._check_needed.clear()

    async def wait_for_end(self) -> None:
        """Wait until the outcome is known."""
        await self._finished.wait()

    async def find_job(self, since: float) -> bool:  # noqa: ARG002 - see `ExecutableRun`
        """Look for its job under another ID, if the answer to its prompt was lost; return whether it is there."""
        return False

    def on_event(self, event: Mapping[str, Any]) -> None:
        """Apply an event of the server."""
        state = apply_event(self._state, event, time.monotonic())
        if state.finished and not self._state.finished and (not self.trusted or self._lacks_outputs(state)):
            self.trusted = False  # an event was missed: the history has everything
            self._reported_end = event
            self._request_check()
        else:
            self._set_state(state)

    def _lacks_outputs(self, state: RunState) -> bool:  # noqa: ARG002 - see `Run`
        """Return whether a run that has ended lacks outputs that it should have."""
        return False

    def _end_as_reported(self) -> bool:
        """End the run as its events said, if they said how it ended: the server's record can't be read.

        A server reports an end without a node after every run, also after one whose error was missed.
        """
        if self._reported_end is None or (self._reported_end["type"] == "executing" and not self._state.succeeded):
            return False
        self._set_state(apply_event(self._state, self._reported_end, time.monotonic()))
        return True

    def on_preview(self, preview: Preview) -> None:
        """Pass a preview image on to the subscribers."""
        if preview.node_id is None or preview.step is None:
            state = self._state
            preview = replace(preview, node_id=preview.node_id or state.current, step=state.step)
        for _, show, _ in list(self._subscribers.values()):
            if show is not None:
                _call(show, preview)

    def on_break(self) -> None:
        """Note that the connection was lost: events may have been missed."""
        self.trusted = False
        self._request_check()

    def on_history(self, entry: Mapping[str, Any]) -> None:
        """Apply the server's record of the job."""
        self._set_state(apply_history(self._state, entry, time.monotonic()))

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """Apply the server's queue, which contains this job."""
        self._set_state(apply_queue(self._state, queue, time.monotonic()))

    def on_note(self, note: str) -> None:
        """Say what the run waits for, in a few words; "" for nothing."""
        if not self._state.finished and self._state.note != note:
            self._set_state(replace(self._state, note=note))

    def on_silence(self, gives_up_at: float | None) -> None:
        """Say until when an answer is waited for, on the monotonic clock; None if the server answers."""
        if not self._state.finished and self._state.gives_up_at != gives_up_at:
            self._set_state(replace(self._state, gives_up_at=gives_up_at))

    def _set_state(self, state: RunState) -> None:
        """Set the state and notify everyone; the only place where the state changes."""
        if state is self._state:
            return
        if state.note and state.note == self._state.note:
            state = replace(state, note="")  # the wait that it describes is over
        if state.gives_up_at is not None and state.gives_up_at == self._state.gives_up_at:
            state = replace(state, gives_up_at=None)  # whatever else changed it came from the server
        if state.error is not None and state.error.kind == "interrupted" and self._cancelling:
            where = f" at {one_line(state.error.node_title)}" if state.error.node_title else ""
            error = replace(state.error, kind="cancelled", message=f"cancelled{where}")  # it was us
            state = replace(state, error=error)
        self._state = state
        if state.finished:
            self._check_needed.set()
            self._finished.set()
        for progress, _, _ in list(self._subscribers.values()):
            if progress is not None:
                _call(progress, self.progress)

    def _end(self, status: Status, error: RunError) -> None:
        now = time.monotonic()
        self._set_state(replace(self._state, status=status, error=error, finished=True, ended=self._state.ended or now))

    def _set_result(self, result: ExecuteResult) -> None:
        """Set the result and notify the subscribers for the last time."""
        self._result = result
        subscribers, self._subscribers = list(self._subscribers.values()), {}
        for _, _, done in subscribers:
            if done is not None:
                registry.mark_seen(self)
                _call(done, result)

    def _request_check(self) -> None:
        """Request a look at the server: what is known may be out of date."""
        self.changed_at = time.monotonic()
        self._check_needed.set()


def _call(callback: Callable[[Any], None], value: Any) -> None:
    """Call a subscriber; an error in it is logged and does not stop the run."""
    try:
        callback(value)
    except Exception:
        logger.exception("a subscriber of a run failed")
