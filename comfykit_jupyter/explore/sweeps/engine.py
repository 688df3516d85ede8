"""`Engine`: runs the points of a sweep on workers. Everything here happens on the background loop."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Literal

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.running.outcome import is_out_of_memory
from comfykit_jupyter.client.servers.pool import PooledJob
from comfykit_jupyter.explore.points.plan import Step, find_rank
from comfykit_jupyter.explore.sweeps.assignment import Assignment
from comfykit_jupyter.explore.sweeps.crew import Crew
from comfykit_jupyter.explore.sweeps.failures import Failures
from comfykit_jupyter.explore.sweeps.verdict import is_gone, judge
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.servers.pool import Worker
    from comfykit_jupyter.explore.ledger.recorder import LedgerRecorder
    from comfykit_jupyter.explore.points.preparation import Prepared
    from comfykit_jupyter.workflow.progress.state import Progress

State = Literal["waiting", "running", "completed", "failed", "cancelled", "unknown", "invalid"]
"""The state of a point. `unknown`: its job may still run in a cloud, and is never sent again by itself."""
_MEMORY_ADVICE = "smaller batch_size or size"
SETTLING = 3.0
"""Seconds in which a job must appear that another kernel has noted, and posts."""
_ELSEWHERE = frozenset({"have", "attach", "fetch", "unknown"})

_FIRST_STATES: dict[str, State] = {
    "have": "completed",
    "failed": "failed",
    "unknown": "unknown",
    "invalid": "invalid",
}


class Engine:
    """Runs the points of a sweep; it can be paused and started again.

    Args:
        prepared: The points.
        steps: What is done with each of them.
        crew: The workers that run them.
        recorder: Keeps the runs.
        make_worker: Returns a worker for a server that has none here: a run may have been sent there before.
        on_change: Called with the index of a point after each change of its state, and with -1 for all others.
        find_step: Returns what the ledger says of a point now: another kernel may have sent it meanwhile.

    Attributes:
        states: The state of each point.
        run_ids: The run of each point, as far as there is one.
        errors: Why points failed.
        progress: How far the running ones are.
        moved: How many points were given to another worker, since theirs was away.
        paused: Why no point is sent at the moment; "" if points are.
        sparse: Whether every second value of each axis is sent first, and the values between them later.
        crew: The workers.
    """

    def __init__(
        self,
        prepared: Prepared,
        steps: Sequence[Step],
        crew: Crew,
        recorder: LedgerRecorder,
        make_worker: Callable[[str], Worker],
        on_change: Callable[[int], None],
        find_step: Callable[[int], Step],
    ) -> None:
        self._prepared = prepared
        self._steps = list(steps)
        self.crew = crew
        self._recorder = recorder
        self._make_worker = make_worker
        self._on_change = on_change
        self._find_step = find_step
        self._own: set[str] = set()
        self._forced: set[int] = set()
        self.states: list[State] = [_FIRST_STATES.get(step.action, "waiting") for step in steps]
        self.run_ids = [step.run_id for step in steps]
        self.errors: dict[int, str] = {}
        self.progress: dict[int, Progress] = {}
        self.paused = ""
        self._is_asked = False
        self.sparse = False
        self.moved = 0
        self._given_up: dict[str, tuple[int, str]] = {}
        self.seconds: list[float] = []
        self._waiting = Assignment(crew.groups, crew.rows)
        self._running: dict[int, tuple[Worker, str]] = {}
        self._keeping: set[asyncio.Task[None]] = set()
        self._driving = False
        self._failures = Failures()
        self._out_of_memory: set[int] = set()
        self._alone: dict[str, int] = {}
        self._twins: dict[str, list[int]] = {}
        recorder.is_taken = self._is_taken

    @property
    def away(self) -> str:
        """What the sweep waits for, if no worker is there; "" for nothing."""
        return self.crew.away

    async def drive(self, only: Collection[int] = ()) -> None:
        """Run all points that wait, until none is left or the sweep is paused.

        Call `forget_pause` before this is scheduled.

        Args:
            only: The points to run; all if there are none.
        """
        self._driving = True
        ranks = [find_rank(point.position) for point in self._prepared.points] if self.sparse else None
        self._waiting = Assignment(self.crew.groups, self.crew.rows, ranks)
        self._twins = {}
        self._add_waiting(only)
        try:
            while True:
                await self.crew.work(self._pull, self._take_back)
                while self._keeping:
                    await asyncio.wait(self._keeping)
                await self._recorder.wait_until_all_are_kept()  # also the ends of those that failed
                if self._is_asked and "waiting" not in self.states:
                    self.paused = ""
                if self.paused or not self._waiting:
                    return
                # It was resumed while the last files were kept.
        finally:
            self._driving = False
            self._on_change(-1)

    async def resume(self) -> bool:
        """Continue to send waiting points, also those that `drive` has left; return whether it is still running."""
        self.forget_pause()
        if self._driving:
            self._add_waiting()
        self.crew.wake()
        return self._driving

    def forget_pause(self) -> None:
        """Allow points to be sent again, whatever paused the sweep."""
        self.paused = ""
        self._failures = Failures()

    def _add(self, index: int, step: Step, *, first: bool = False) -> None:
        """Add a waiting point: to be sent by any worker, or followed where it was sent."""
        if step.action == "send":
            self._waiting.add(index, first=first)
        else:
            self._waiting.add_for(step.server if self.crew.find(step.server) is not None else "", index)

    def _add_waiting(self, only: Collection[int] = ()) -> None:
        """Add the points that wait and that no worker has or gets; points with the same key share a run."""
        coming = self._find_coming()
        for index, state in enumerate(self.states):
            if state != "waiting" or index in coming or (only and index not in only):
                continue
            twins = self._twins.setdefault(self._prepared.keys[index], [])
            if coming.isdisjoint(twins):
                self._add(index, self._steps[index])
                coming.add(index)
            twins.append(index)

    def _find_coming(self) -> set[int]:
        """Return the points that a worker has or gets."""
        return {*self._waiting, *self._running, *self._alone.values()}

    def pause(self, why: str, *, is_asked: bool = False) -> None:
        """Stop sending points; running ones end.

        Args:
            why: Why, in words.
            is_asked: Whether the user has asked for it. Then it is over when the last points have ended.
        """
        if not self.paused:
            self.paused, self._is_asked = why, is_asked
            self.crew.wake()
            self._on_change(-1)

    async def cancel(self) -> None:
        """Cancel the points that run, and no other jobs."""
        await asyncio.gather(*(worker.cancel(run_id) for worker, run_id in list(self._running.values())))

    def is_lost(self, index: int) -> bool:
        """Return whether a point was done before, and its files are gone."""
        return self.states[index] == "waiting" and self._steps[index].lost

    async def enqueue(self, indices: Iterable[int]) -> bool:
        """Run points again next, while others run; return whether any others run."""
        if not self._driving:
            return False
        coming = self._find_coming()
        again = [index for index in indices if self.states[index] != "running" and index not in coming]
        self.retry(again)
        for index in again:
            self._waiting.add_next(index)
        self.crew.wake()
        return True

    def retry(self, indices: Sequence[int]) -> None:
        """Let ended points wait again."""
        for index in indices:
            self._steps[index] = Step("send")
            self._forced.add(index)
            self.errors.pop(index, None)
            self._set(index, "waiting")

    # -- one point -----------------------------------------------------------------------------------------------------

    def _take_back(self, label: str, prompt_id: str) -> bool:
        """Follow a job that was given up, now that its worker is back, if no other worker has got its point yet."""
        index, run_id = self._given_up.pop(prompt_id, (-1, ""))
        if index < 0 or not self._waiting.remove(index):
            return False
        self.moved -= 1
        self._steps[index] = Step("attach", run_id, server=label)
        self.run_ids[index] = run_id
        self._waiting.add_for(label, index)
        return True

    async def _pull(self, worker: Worker) -> None:
        """Run points on a worker while there may be more for it.

        While the sweep is paused, this waits for the last point that runs: all workers take part again after `resume`.
        """
        while self._is_busy or (self._waiting and not self.paused):
            if not await self._is_free(worker):
                continue
            index = self._waiting.take(worker.label, lambda group: bool(self.crew.find_lack(worker, group)))
            if index is not None:
                is_alone = index in self._out_of_memory and self._steps[index].action == "send"
                await (self._run_alone if is_alone else self._run_point)(worker, index)
                self.crew.wake()
            elif self._is_busy or (self._waiting and (self.crew.may_change or self._waiting.has_reserved)):
                await self.crew.wait_for_change()
            elif self._waiting:
                self.pause(self.crew.explain_lack())

    @property
    def _is_busy(self) -> bool:
        """Whether points run, or are about to."""
        return bool(self._running or self._alone)

    async def _is_free(self, worker: Worker) -> bool:
        """Return whether a worker gets points now; waits a moment if it does not."""
        if self._is_held(worker):
            await self.crew.wait_for_change()
            return False
        return await self.crew.is_ready(worker) and not self._is_held(worker)  # that may have changed meanwhile

    def _is_held(self, worker: Worker) -> bool:
        """Return whether a worker gets no more points: the sweep is paused, or a point runs alone there."""
        return bool(self.paused) or worker.label in self._alone

    async def _run_alone(self, worker: Worker, index: int) -> None:
        """Run a point that ran out of memory, when no other point is on its worker, whose models are unloaded."""
        self._alone[worker.label] = index
        try:
            while not self.paused and any(each.label == worker.label for each, _ in self._running.values()):
                await self.crew.wait_for_change()
            if not self.paused:
                await worker.free()
            if self.paused:
                self._requeue(index, self._steps[index])
            else:
                await self._run_point(worker, index)
        finally:
            del self._alone[worker.label]

    def _find_other(self, index: int) -> Step | None:
        """Return what to do with a point that another kernel has sent; None if none has, or if it is sent again."""
        if index in self._forced:
            return None
        found = self._find_step(index)
        return found if found.action in _ELSEWHERE and found.run_id not in self._own else None

    def _is_taken(self, run_id: str) -> bool:
        """Return whether another kernel has sent a point since its turn came; called in a thread."""
        index = next((index for index, (_, own) in list(self._running.items()) if own == run_id), None)
        return index is not None and self._find_other(index) is not None

    async def _run_point(self, worker: Worker, index: int) -> None:
        """Run a point, or follow its run, and decide what its end means."""
        planned = self._steps[index]
        try:
            step = (self._find_other(index) if planned.action == "send" else None) or planned
        except OSError as error:
            self._requeue(index, planned)
            self.pause(f"{self._recorder.folder} can't be read: {error.strerror} (nothing was sent)")
            return
        if step.action in ("have", "unknown"):
            self._accept(index, step)
            return
        try:
            if step.action == "send":
                run_id = self.run_ids[index] = str(uuid.uuid4())
                result = await self._send(worker, index, run_id)
            else:
                run_id = step.run_id
                if step.server not in ("", worker.label):
                    worker = self._make_worker(step.server)
                patience = 0.0 if step is planned else SETTLING  # another kernel may be about to post it
                result = await self._follow(worker, index, run_id, patience)
        except ComfyKitError as error:
            self._requeue(index, step)
            self.pause(one_line(str(error), 300))
            return
        finally:
            self._running.pop(index, None)
            self.progress.pop(index, None)
        if is_gone(result) and step.action == "fetch" and await self._recorder.fetch_again(run_id, worker.origin):
            self._accept(index, step)
        else:
            self._settle(worker, index, run_id, result)

    async def _send(self, worker: Worker, index: int, run_id: str) -> ExecuteResult:
        """Send a point to a worker, and return its result."""
        self._own.add(run_id)
        self._running[index] = (worker, run_id)
        prepared = self._prepared
        job = PooledJob(prepared.workflow, prepared.bind(prepared.points[index]), prepared.definitions)
        result = await worker.run(job, run_id, lambda progress: self._note(index, progress))
        self._forced.discard(index)
        return result

    async def _follow(self, worker: Worker, index: int, run_id: str, patience: float) -> ExecuteResult:
        """Return the result of a run that was sent before; its job may take `patience` seconds to appear."""
        self._own.add(run_id)
        self._recorder.record_resumed(run_id)
        prompt_id = self._recorder.find_prompt_id(run_id)
        self._running[index] = (worker, prompt_id)
        until = time.monotonic() + patience
        while True:
            result = await worker.attach(prompt_id, lambda progress: self._note(index, progress))
            if not is_gone(result) or time.monotonic() > until:
                return result
            await asyncio.sleep(SETTLING / 10)

    def _accept(self, index: int, step: Step) -> None:
        """Note the outcome of a point that needs no job of this sweep."""
        self._set_with_twins(index, step.run_id, "unknown" if step.action == "unknown" else "completed")

    def _set_with_twins(self, index: int, run_id: str, state: State, error: str = "") -> None:
        """Set the state of a point, and of all that have its key."""
        for twin in dict.fromkeys([index, *self._twins.get(self._prepared.keys[index], ())]):
            self.run_ids[twin] = run_id
            if error:
                self.errors[twin] = error
            self._set(twin, state)

    def _note(self, index: int, progress: Progress) -> None:
        if index in self._running:
            self.progress[index] = progress
            if self.states[index] == "waiting":
                self._set(index, "running")
            else:
                self._on_change(index)

    def _settle(self, worker: Worker, index: int, run_id: str, result: ExecuteResult) -> None:
        """Do what the end of a run means for its point."""
        if run_id in self._recorder.taken:
            self._recorder.taken.discard(run_id)
            self._send_again(index)  # when its turn comes, the run of the other kernel is followed
            return
        if (refused := self._recorder.refused.pop(run_id, None)) is not None:
            self._send_again(index)
            self.pause(f"{refused} (nothing was sent)")
            return
        is_member = self.crew.find(worker.label) is not None
        verdict = judge(result, is_paid=worker.is_paid, is_member=is_member, has_others=self.crew.has_others(worker))
        if verdict in ("unsent", "moved", "away"):
            self._note_away(worker, result)
        if verdict in ("gone", "cancelled"):
            self._recorder.record_end(run_id, result)
        if verdict == "completed":
            self._finish(index, run_id, result)
        elif verdict == "failed":
            self._fail(index, run_id, result)
        elif verdict == "cancelled":
            self._set_with_twins(index, run_id, "cancelled")
        elif verdict == "unknown":
            self._set_with_twins(index, run_id, "unknown", result.msg or "")
        elif verdict == "away":
            self._requeue(index, Step("attach", run_id, server=worker.label))
        else:
            if verdict == "moved" and result.prompt_id is not None:
                self.crew.give_up(worker, result.prompt_id)
                self._given_up[result.prompt_id] = (index, run_id)
                self.moved += 1
            self._send_again(index)

    def _note_away(self, worker: Worker, result: ExecuteResult) -> None:
        self.crew.note_away(worker, one_line(result.msg or "", 200))
        self._waiting.free_rows(worker.label)

    def _send_again(self, index: int) -> None:
        self._requeue(index, Step("send"))

    def _requeue(self, index: int, step: Step) -> None:
        self._steps[index] = step
        self.run_ids[index] = step.run_id
        self._add(index, step, first=True)
        self._set(index, "waiting")

    def _finish(self, index: int, run_id: str, result: ExecuteResult) -> None:
        """Note a completed point once its outputs are kept; meanwhile the next one is sent."""
        self._failures.note_completed()
        self._out_of_memory.discard(index)
        if result.seconds is not None:
            self.seconds.append(result.seconds)
        self._recorder.record_end(run_id, result)  # of one that was followed; the others' is recorded already

        async def keep() -> None:
            await self._recorder.wait_until_kept(run_id)
            self._set_with_twins(index, run_id, "completed")

        task = asyncio.get_running_loop().create_task(keep())
        self._keeping.add(task)
        task.add_done_callback(self._keeping.discard)

    def _fail(self, index: int, run_id: str, result: ExecuteResult) -> None:
        message = result.msg or "failed"
        if result.error is not None and is_out_of_memory(result.error) and index not in self._out_of_memory:
            self._out_of_memory.add(index)
            self._send_again(index)
            return
        if index in self._out_of_memory:
            message = f"{message} (it failed again alone, after the models were unloaded: use a {_MEMORY_ADVICE})"
        self._recorder.record_end(run_id, result)
        self._set_with_twins(index, run_id, "failed", message)
        if why := self._failures.note_failed(message):
            self.pause(why)

    def _set(self, index: int, state: State) -> None:
        self.states[index] = state
        self._on_change(index)

    def estimate(self, basis: Sequence[float] = (), left: int | None = None) -> float | None:
        """Return the seconds that the rest, or a number of points, will take; None if nothing like it has run yet."""
        known = self.seconds[-50:] or list(basis)[-50:]
        if left is None:
            left = sum(state in ("waiting", "running") for state in self.states)
        return sum(known) / len(known) * left / max(self.crew.present, 1) if known else None
