"""`Sweep`: many runs of one workflow that differ in a few values."""

from __future__ import annotations

import dataclasses
import logging
import sys
import threading
import uuid
from collections.abc import Callable, Collection, Generator, Iterator
from functools import partial
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.journal import format_now
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.ledger.recorder import LedgerRecorder
from comfykit_jupyter.explore.points.plan import Plan, Step, format_problems, format_seconds
from comfykit_jupyter.explore.points.preparation import Preparation, Prepared
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.explore.sweeps.callbacks import OnDone, RowCallbacks
from comfykit_jupyter.explore.sweeps.engine import Engine
from comfykit_jupyter.explore.sweeps.line import wait_with_line
from comfykit_jupyter.explore.sweeps.planned_points import PlannedPoints
from comfykit_jupyter.explore.sweeps.recording import claim_sweep, record_sweep
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.client.settings import Keep
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.workflow.document.workflow import Workflow

logger = logging.getLogger(__name__)

OnChange = Callable[[int], None]
"""Called with the index of a point that has changed, `OTHER` or `RELOADED`."""
OTHER = -1
"""What has changed is not a point: the sweep was paused, or waits for a server."""
RELOADED = -2
"""All points are new."""
PAUSE_CALLED = "pause() was called"
STOP_CALLED = "stop() was called"
INTERRUPTED = "■ was pressed"
ASKED_PAUSES = (PAUSE_CALLED, STOP_CALLED, INTERRUPTED)
"""Why a sweep is paused, if its user has asked for it."""


class Sweep(PlannedPoints):
    """Many runs of one workflow that differ in a few values. Nothing is sent before `start`.

    Made again by the same cell, also in a new kernel, it has the points that are done, follows those that still run,
    and sends only the rest.

    Attributes:
        axes: What is varied.
        points: The points, with their `.labels` and `.values`.

    Example:
        sweep = kit.sweep("portrait.json", prompt="a fox", over={"cfg": [3, 4.5, 6], "seed": seeds(4)})
        sweep.plan
        sweep.wait()
        sweep.at(cfg=4.5).image
        sweep.pick(3, 7)
    """

    source: Any = None
    """The workflow, as the user named it."""

    def __init__(self, kit: ComfyKit, ledger: Ledger, preparation: Preparation, keep: Keep) -> None:
        self._kit = kit
        self._keep = keep
        self._ledger = ledger
        self._preparation = preparation
        self._name = ""
        self._lock = threading.RLock()
        self._job: loop.BackgroundTask[None] | None = None
        self._is_partial = False
        """Whether it was begun for some of the points that wait, and leaves the others."""
        self._callbacks = RowCallbacks()
        self._watchers: list[OnChange] = []
        self._changed = threading.Condition()
        self._notified: set[tuple[int, str]] = set()
        self._added = []
        self._awaited = {}
        self._load()

    def _load(self) -> None:
        """Prepare the points, and find what is there of them."""
        self._job = None
        self._prepared: Prepared = loop.call(self._preparation.prepare())
        self.axes = self._prepared.axes
        self.points = self._prepared.points
        generation = entry.generation if (entry := self._ledger.read().sweeps.get(self._prepared.id)) else 0
        self._recorder = LedgerRecorder(self._ledger, self._keep, self._prepared.id, generation, strict=True)
        crew = self._build_crew()
        more = (self._recorder, self._make_worker, self._on_change, self._find_step)
        self._engine = Engine(self._prepared, self._find_steps(crew), crew, *more)
        if len(crew.workers) > 1:
            loop.call(crew.look_at_all())
        self._on_change(RELOADED)

    def __repr__(self) -> str:
        return f"<Sweep {one_line(self.name)}: {self.summary}>"

    @property
    def name(self) -> str:
        """Its name, else the name of its workflow."""
        entry = self._ledger.read().sweeps.get(self.id)
        return (entry.name if entry is not None else "") or self._name or self._prepared.workflow.name

    def rename(self, name: str) -> None:
        """Give it a name, by which `kit.runs.sweep(name)` and `kit.runs.where(sweep=name)` find it.

        Args:
            name: The name.

        Raises:
            ComfyKitError: It is empty.
        """
        if not isinstance(name, str) or not name.strip():
            raise ComfyKitError("the name of a sweep must be text")
        self._name = name.strip()
        record_sweep(self._ledger, self._prepared, self._name)

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._job is not None and not self._job.outcome.done()

    @property
    def kit(self) -> ComfyKit:
        """The kit that runs it."""
        return self._kit

    @property
    def workflow(self) -> Workflow:
        """The workflow, converted."""
        return self._prepared.workflow

    @property
    def base(self) -> dict[str, Any]:
        """The values that all points share."""
        return dict(self._prepared.base)

    def _ipython_display_(self) -> None:
        from comfykit_jupyter.notebook.explorer.display import show_sweep

        show_sweep(self)

    def _display_(self) -> object:
        """Return what marimo shows: the live grid."""
        from comfykit_jupyter.notebook.explorer.display import get_sweep_output

        return get_sweep_output(self).explorer

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        from comfykit_jupyter.explore.exports.grid import build_grid

        plain = f"{self!r}\n{self.plan}" if self._job is None else repr(self)
        if not any(self._engine.run_ids):
            return {"text/plain": plain}
        return {"text/plain": plain, "text/html": build_grid(self)}

    # -- running -------------------------------------------------------------------------------------------------------

    def start(self, *, sure: bool = False, skip_invalid: bool = False) -> Sweep:
        """Send what is left, and return at once. A sweep that is paused continues.

        Args:
            sure: Whether to start more than 2,000 points, or more than two hours.
            skip_invalid: Whether to run the other points if the values of some are wrong.

        Raises:
            ComfyKitError: Values of points are wrong, or it is large and `sure` was not given. Nothing was sent.
        """
        with self._lock:
            if self.running and self._is_partial:
                self._check_start(self.plan, sure=sure, skip_invalid=skip_invalid)
                self._is_partial = False
            if self.running and loop.call(self._engine.resume()):
                return self
            self._check_start(self.plan, sure=sure, skip_invalid=skip_invalid)
            self._claim()
            self._begin()
        return self

    def _check_start(self, plan: Plan, *, sure: bool, skip_invalid: bool = False) -> None:
        problems = plan.problems
        if problems and (not skip_invalid or len(problems) == len(self.points)):
            lines = "\n".join(format_problems(problems))
            hint = " (skip_invalid=True runs the others)" if len(problems) < len(self.points) else ""
            raise ComfyKitError(
                f"nothing was sent: {len(problems):,} of {len(self.points):,} points are wrong{hint}\n{lines}"
            )
        if plan.is_large and not sure:
            took = f", ~{format_seconds(plan.seconds)}" if plan.seconds is not None else ""
            raise ComfyKitError(f"{plan.count('send'):,} points{took}: start(sure=True) runs them")

    def _claim(self) -> None:
        """Note that it begins. If another kernel has begun it meanwhile with other seeds, take over its points."""
        if not claim_sweep(self._ledger, self._prepared, self._name):
            sparse = self.sparse
            self._load()
            self.sparse = sparse
            record_sweep(self._ledger, self._prepared, self._name)

    def _begin(self, only: Collection[int] = ()) -> None:
        self._engine.forget_pause()  # here: pause() may be called before the loop gets to it
        self._is_partial = bool(only)
        self._job = loop.BackgroundTask(lambda: self._engine.drive(only))
        self._job.start()
        self._job.outcome.add_done_callback(lambda _outcome: self._on_change(OTHER))  # now it no longer runs

    def pause(self) -> None:
        """Send no more points. Those that run end; `start` continues."""
        if self.running:
            self._call_soon(lambda: self._engine.pause(PAUSE_CALLED, is_asked=True))

    def stop(self, *, now: bool = False) -> None:
        """Send no more points, and drop those that were not sent.

        Args:
            now: Whether to cancel the points that run, too. Other people's jobs are never touched.
        """
        if self.running:
            self._call_soon(lambda: self._engine.pause(STOP_CALLED, is_asked=True))
        if now:
            loop.call(self._engine.cancel())

    def retry(self, *, stale: bool = False) -> Sweep:
        """Run the failed and cancelled points again, and return at once.

        Args:
            stale: Whether to run also the points whose model files are others of the same name now.
        """
        again = [index for index, state in enumerate(self.states) if state in ("failed", "cancelled")]
        if stale:
            again += {index for found in self.plan.replaced.values() for index in found}
        if self.running:
            raise ComfyKitError("retry: the sweep is running; pause() it first, or wait()")
        self._engine.retry(again)
        return self.start(sure=True, skip_invalid=True)

    def rerun(self, *indices: int) -> Sweep:
        """Run some points again, whatever came out before, and return at once. Other points are left as they are.

        Args:
            indices: The numbers of the points, from 0.

        Raises:
            ComfyKitError: The values of one are wrong.
            IndexError: There is no such point.
        """
        wanted = [self.points[index].index for index in indices]
        for index in wanted:
            if index in self._prepared.problems:
                raise ComfyKitError(f"point {index} is wrong: {self._prepared.problems[index]}")
        with self._lock:
            if self.running and loop.call(self._engine.enqueue(wanted)):
                return self
            if wanted:
                self._claim()
                self._engine.retry(wanted)
                self._begin(wanted)
        return self

    def restart(self, *, sure: bool = False) -> Sweep:
        """Run all points again, with new seeds where they are drawn. Earlier runs stay in `kit.runs`.

        Args:
            sure: As for `start`.
        """
        if self.running:
            raise ComfyKitError("restart: the sweep is running; stop() it first, or wait()")
        count = len(self.points)
        seconds = self._engine.estimate(self._find_durations(), count)
        self._check_start(dataclasses.replace(self.plan, steps=[Step("send")] * count, seconds=seconds), sure=sure)
        entry = self._ledger.read().sweeps.get(self.id)
        generation = (entry.generation if entry is not None else 0) + 1
        new = {"salt": uuid.uuid4().hex, "generation": generation, "since": format_now()}
        record_sweep(self._ledger, self._prepared, self._name, **new)
        self._load()
        return self.start(sure=True)

    def _call_soon(self, work: Callable[[], None]) -> None:
        loop.get_loop().call_soon_threadsafe(work)

    def wait(self, timeout: float | None = None) -> Sweep:
        """Start it if it was not, and wait until all points have ended, or it is paused.

        ■ and Ctrl-C pause it: the points that run end, and are kept.

        Args:
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            TimeoutError: It takes longer; it continues.
            KeyboardInterrupt: ■ or Ctrl-C was pressed.
        """
        self._start_if_needed()
        if self._job is None:
            return self
        engine = self._engine
        pause = partial(engine.pause, INTERRUPTED, is_asked=True)
        wait_with_line(self, self._job.outcome, timeout, lambda: self._call_soon(pause))
        self._report()
        return self

    def _start_if_needed(self) -> None:
        if self._job is None and "waiting" in self.states:
            self.start()

    def _report(self) -> None:
        """Say in one line why it has stopped before its end, unless its user wanted that."""
        if self.paused and self.paused not in ASKED_PAUSES:
            sys.stderr.write(f"{self!r}\n")

    def __await__(self) -> Generator[Any, None, Sweep]:
        return self._wait().__await__()

    async def _wait(self) -> Sweep:
        self._start_if_needed()
        if self._job is not None:
            await loop.await_on_loop(self._job, leave=True)
            self._report()
        return self

    def as_completed(self) -> Iterator[Row]:
        """Yield a row for each point that is done, as soon as it is; those that are there already first."""
        self._start_if_needed()
        given: set[int] = set()
        while True:
            states = self.states
            ready = [index for index, state in enumerate(states) if state == "completed" and index not in given]
            given.update(ready)
            for index in ready:
                yield self._get_row(index)
            if not ready:
                if not self.running:
                    return
                with self._changed:
                    self._changed.wait(loop.WAKE_INTERVAL * 5)

    def on_done(self, function: OnDone) -> None:
        """Call a function with the row of each point that is done from now on. Its errors are logged as warnings.

        Args:
            function: Called in another thread, so that it may block; with one row after the other.
        """
        self._callbacks.add(function)

    def watch(self, function: OnChange) -> Callable[[], None]:
        """Call a function after each change of a point or of the sweep. It must not block.

        Args:
            function: Called on the background loop's thread with the index of the point, `OTHER` or `RELOADED`.

        Returns:
            A function that ends this.
        """
        self._watchers.append(function)
        return lambda: self._watchers.remove(function) if function in self._watchers else None

    def _on_change(self, index: int) -> None:
        with self._changed:
            self._changed.notify_all()
        for watcher in list(self._watchers):
            _call_watcher(watcher, index)
        if index >= 0 and self._engine.states[index] == "completed":
            mark = (index, self._engine.run_ids[index])
            if mark not in self._notified:
                self._notified.add(mark)
                self._callbacks.call(self._get_row(index))


def _call_watcher(watcher: OnChange, index: int) -> None:
    try:
        watcher(index)
    except Exception as error:  # noqa: BLE001 - it may be the user's, and points run meanwhile
        logger.warning("a function of watch failed: %s: %s", type(error).__name__, error)
