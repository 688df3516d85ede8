"""`ObservableRun`: what is known of one run, and who is told of it. All that it hears comes on the background loop."""

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
    """A run as its watchers see it. Its attributes may be read from any thread."""

    def __init__(self, id: str) -> None:  # noqa: A002 - what it is
        self.id = id
        self.trusted = False
        self.changed_at = 0.0
        self._state = RunState.create(id, {}, {}, time.monotonic())
        self._result: ExecuteResult | None = None
        self._cancelling = False
        self._doubt = asyncio.Event()
        self._subscribers: dict[object, tuple[OnProgress | None, OnPreview | None, OnDone | None]] = {}

    @property
    def status(self) -> str:
        """`queued`, `running`, `completed`, `failed` or `cancelled`."""
        return self._state.status

    @property
    def progress(self) -> Progress:
        """What it does now."""
        return self._state.build_progress(time.monotonic())

    @property
    def done(self) -> bool:
        """Whether it has ended, one way or the other."""
        return self._result is not None

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
            loop.get_loop().call_soon_threadsafe(self._subscribers.pop, key, None)

        loop.get_loop().call_soon_threadsafe(begin)
        return end

    # -- what the server's events and answers do to it (backend.Follower) ----------------------------------------------

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
            await loop.wait_for(self._doubt.wait(), timeout)
        if not self._state.finished:
            self._doubt.clear()

    def on_event(self, event: Mapping[str, Any]) -> None:
        """A message of the server."""
        state = apply_event(self._state, event, time.monotonic())
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
        self._become(apply_history(self._state, entry, time.monotonic()))

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """The queue, with this run in it."""
        self._become(apply_queue(self._state, queue, time.monotonic()))

    def on_note(self, note: str) -> None:
        """What is waited for, in a few words; "" for nothing."""
        if not self._state.finished and self._state.note != note:
            self._become(replace(self._state, note=note))

    def _become(self, state: RunState) -> None:
        """The one place where the state changes: whoever waits or listens is told."""
        if state is self._state:
            return
        if state.note and state.note == self._state.note:
            state = replace(state, note="")  # something else has happened
        if state.error is not None and state.error.kind == "interrupted" and self._cancelling:
            where = f" at {one_line(state.error.node_title)}" if state.error.node_title else ""
            state = replace(state, error=replace(state.error, kind="cancelled", message=f"cancelled{where}"))  # by us
        self._state = state
        if state.finished:
            self._doubt.set()
        for progress, _, _ in list(self._subscribers.values()):
            if progress is not None:
                _tell(progress, self.progress)

    def _end(self, status: Status, error: RunError) -> None:
        now = time.monotonic()
        self._become(replace(self._state, status=status, error=error, finished=True, ended=self._state.ended or now))

    def _conclude(self, result: ExecuteResult) -> None:
        """There is a result, and nothing more will come."""
        self._result = result
        subscribers, self._subscribers = list(self._subscribers.values()), {}
        for _, _, done in subscribers:
            if done is not None:
                _tell(done, result)

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
