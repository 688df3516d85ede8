"""`Search`: a sweep whose points are proposed one batch after another, from what the earlier ones were worth."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.points.plan import LONG, MANY_POINTS, format_seconds
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.explore.search.points import RATED, Score, SearchPoints
from comfykit_jupyter.explore.sweeps.failures import Failures
from comfykit_jupyter.explore.sweeps.line import wait_with_line
from comfykit_jupyter.explore.sweeps.point_rows import set_score
from comfykit_jupyter.workflow.errors import one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.sweep import Sweep

MAX_SHOWN = 12
"""Points in a cell."""


class Search(SearchPoints):
    """A sweep whose points are proposed in batches, from what the earlier ones were worth.

    Made again by the same cell, also in a new kernel, it has the points that are done, and continues with them.

    Example:
        search = kit.search("portrait.json", over={"cfg": (3.0, 9.0), "steps": (10, 30)}).by("rating")
        search.wait()  # says which points to rate
        search[0].rating = 4
        search.wait()  # continues when all are rated
        search.best.params
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._lock = threading.RLock()
        self._job: loop.BackgroundTask[None] | None = None
        self._pause = ""
        self._ended: set[int] = set()
        self._failures = Failures()

    # -- in a cell -----------------------------------------------------------------------------------------------------

    def count_ended(self) -> tuple[int, int]:
        """Return how many points have ended, and how many there will be."""
        return super().count_ended()[0], self._count_wanted()

    def _count_wanted(self) -> int:
        return max(int(min(self._n, self._space.size)), len(self.points))

    @property
    def summary(self) -> str:
        """How far it is, in one line: `7 of 40 done · 1 failed · best 0.83: cfg=4.2, sampler='euler'`."""
        states = self.states
        facts = [f"{states.count('completed'):,} of {self._count_wanted():,} done"]
        facts += [f"{states.count(name):,} {name}" for name in ("failed", "cancelled", "unknown") if name in states]
        if ranked := self._rank():
            value, index = ranked[0]
            labels = ", ".join(
                f"{one_line(name)}={short_repr(each, 40)}" for name, each in self.points[index].labels.items()
            )
            facts.append(f"best {value:.4g}: {labels}")
        if self.running and (seconds := self._estimate()) is not None:
            facts.append(f"~{format_seconds(seconds)}")
        facts += [f"paused: {self.paused}"] if self.paused else []
        facts += [f"waiting: {self._engine.away}"] if self._engine.away else []
        return " · ".join(facts)

    def _estimate(self) -> float | None:
        """Return the seconds that the rest will take, its points that were not proposed yet too."""
        waiting, seconds = self.states.count("waiting") + self.states.count("running"), self._engine.estimate()
        left = self._count_wanted() - self.count_ended()[0]
        if seconds is None or not waiting:
            each = [row.seconds for row in self.done if row.seconds]
            return sum(each) / len(each) * left if each else None
        return seconds / waiting * left

    def __repr__(self) -> str:
        ask = "" if self.running or not self._list_unrated() else f" · {self._ask()}"
        is_new = self._job is None and not ask and "waiting" in self.states
        return f"<Search {one_line(self.name)}: {self.summary}{' · wait() or await runs them' * is_new}{ask}>"

    def _ask(self) -> str:
        """Return the line that says which points to rate."""
        unrated = self._list_unrated()
        first, last = unrated[0], unrated[-1]
        if len(unrated) == 1:
            names = f"search[{first}]"
        elif last - first == len(unrated) - 1:
            names = f"search[{first}] to search[{last}]"
        else:
            names = ", ".join(f"search[{index}]" for index in unrated[:RATED])
            names += f" and {len(unrated) - RATED} more" if len(unrated) > RATED else ""
        return f"rate {names} from 1 to 5 (search[{first}].rating = 4), then call wait() again"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        from comfykit_jupyter.explore.exports.grid import build_list

        plain = repr(self)
        shown = self._list_unrated() or [index for _, index in self._rank()]
        if not shown:
            return {"text/plain": plain}
        return {"text/plain": plain, "text/html": build_list(self, repr(self).strip("<>"), shown[:MAX_SHOWN])}

    # -- running -------------------------------------------------------------------------------------------------------

    @property
    def running(self) -> bool:
        """Whether it has been started and has not ended."""
        return self._job is not None and not self._job.outcome.done()

    @property
    def paused(self) -> str:
        """Why it is paused; "" if it is not."""
        return self._pause

    def on_done(self, function: Callable[[Row], object]) -> None:
        """Call a function with the row of each point that is done from now on. Its errors are logged as warnings.

        Args:
            function: Called in another thread, so that it may block.
        """
        self._callbacks.append(function)
        self._sweep.on_done(function)

    def start(self, *, sure: bool = False) -> Search:
        """Run the next points, and return at once. By rating, nothing is sent while points wait for their rating.

        Args:
            sure: Whether to start more than 2,000 points, or more than two hours.

        Raises:
            ComfyKitError: It is large and `sure` was not given. Nothing was sent.
        """
        self._start(sure=sure)
        return self

    def _start(self, *, sure: bool = False) -> loop.BackgroundTask[None]:
        with self._lock:
            if self._job is not None and self.running:
                return self._job
            left, seconds = self._count_wanted() - self.count_ended()[0], self._estimate()
            if (left > MANY_POINTS or (seconds or 0) > LONG) and not sure:
                took = f", ~{format_seconds(seconds)}" if seconds is not None else ""
                raise ComfyKitError(f"{left:,} points{took}: start(sure=True) runs them")
            self._pause = ""
            self._failures = Failures()
            if "cancelled" in self.states:
                self._load(self._places)  # they are sent again
            self._ended = {index for index, state in enumerate(self.states) if state == "failed"}
            self._job = loop.BackgroundTask(self._run_in_thread).start()
            return self._job

    async def _run_in_thread(self) -> None:
        """Run the search in a thread of its own, which ends with the program: scores may take long."""
        ended: asyncio.Future[BaseException | None] = asyncio.get_running_loop().create_future()

        def run() -> None:
            error: BaseException | None = None
            try:
                self._run()
            except BaseException as found:  # noqa: BLE001 - it is raised where the search is waited for
                error = found
            with contextlib.suppress(RuntimeError):  # the loop is gone: the program ends
                ended.get_loop().call_soon_threadsafe(ended.set_result, error)

        threading.Thread(target=run, name="comfykit-search", daemon=True).start()
        if (error := await ended) is not None:
            self._pause = self._pause or one_line(str(error), 200)
            raise error

    def _run(self) -> None:
        while not self._pause:
            self._run_batch()
            ended, wanted = self.count_ended()
            if self._pause or self._list_unrated() or ended >= wanted:
                return
            if "waiting" not in self.states:
                new = self._propose(len(self._places))
                if not new:
                    return
                self._load([*self._places, *new])

    def _run_batch(self) -> None:
        """Run the points that were proposed, and find out what they are worth."""
        sweep = self._sweep
        try:
            self._note_ended()
            if "waiting" not in self.states or self._list_unrated():
                return
            sweep.start(sure=True)
            for _ in sweep.as_completed():
                self._note_ended()
                if self._pause and not sweep.paused:
                    sweep.pause()
            self._note_ended()
        except BaseException:
            sweep.pause()  # a function that fails at one point would fail at the next
            raise
        if "waiting" in self.states and not self._pause:
            failed = "failed" in self.states and self._failures.is_last
            self._pause = "" if failed else sweep.paused
            if not sweep.paused:
                loop.call(_finish(sweep))  # it has stopped by an error, which is raised here

    def _note_ended(self) -> None:
        """Score the points that are done, and look at those that failed."""
        for index, state in enumerate(self.states):
            if index in self._ended:
                continue
            if state == "completed":
                self._ended.add(index)
                self._failures.note_completed()
                if self._score is not None:
                    self._values[index] = self._compute(self._score, index)
            elif state == "failed":
                self._ended.add(index)
                self._pause = self._failures.note_failed(self.get_error(index)) or self._pause

    def _compute(self, score: Score, index: int) -> float:
        """Return the score of a point, and keep it.

        Raises:
            ComfyKitError: The function fails, or returns something else than a number.
        """
        row = self[index]
        where = f"point {index}, {row!r}"
        try:
            value = score(row)
        except Exception as error:
            raise ComfyKitError(
                f"the score of {where} failed: {type(error).__name__}: {one_line(str(error), 200)}"
            ) from error
        try:
            return set_score(row, value)
        except ComfyKitError as error:
            raise ComfyKitError(f"point {index}, {error}") from None

    def pause(self) -> None:
        """Send no more points. Those that run end; `start` continues."""
        self._stop("pause() was called")

    def stop(self, *, now: bool = False) -> None:
        """Send no more points.

        Args:
            now: Whether to cancel the points that run, too. Other people's jobs are never touched.
        """
        self._stop("stop() was called")
        if now:
            self._sweep.stop(now=True)

    def _stop(self, why: str) -> None:
        if self.running:
            self._pause = why
            self._sweep.pause()

    def wait(self, timeout: float | None = None) -> Search:
        """Start it, and wait until all points have ended, or it is paused, or points wait for your rating.

        ■ and Ctrl-C pause it: the points that run end, and are kept.

        Args:
            timeout: Seconds to wait; None waits as long as it takes.

        Raises:
            ComfyKitError: The function of a row fails, or returns something else than a number.
            TimeoutError: It takes longer; it continues.
            KeyboardInterrupt: ■ or Ctrl-C was pressed.
        """
        job = self._start()
        wait_with_line(self, job.outcome, timeout, lambda: self._stop("■ was pressed"))
        self._report()
        return self

    def _report(self) -> None:
        """Say in one line why it has stopped before its end, or which points to rate."""
        if self.paused:
            print(repr(self))
        elif self._list_unrated():
            print(self._ask())

    def __await__(self) -> Generator[Any, None, Search]:
        return self._wait().__await__()

    async def _wait(self) -> Search:
        await loop.await_on_loop(self._start(), leave=True)
        self._report()
        return self


async def _finish(sweep: Sweep) -> None:
    await sweep
