"""`Crew`: the workers of a sweep: which are there, what each lacks, and who waits for what."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.explore.sweeps.assignment import Group
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.client.servers.pool import PooledJob, Worker

RETRY_INTERVAL = 2.0
"""Seconds between two looks at a worker that is away, and for new ones."""
Pull = Callable[["Worker"], Awaitable[None]]
TakeBack = Callable[[str, str], bool]


class Crew:
    """The workers of a sweep. It is used on the background loop.

    Args:
        workers: Those that are known at first.
        groups: The group of each point; see `Assignment`.
        firsts: A point of each group, whose values are right.
        rows: The row of each point, if all points of a row go to the same worker.
        build_job: Returns the job of a point.
        find_more: Returns all workers that there are now: workers of a cluster come and go.
    """

    def __init__(
        self,
        workers: Sequence[Worker],
        groups: Sequence[Group],
        firsts: Mapping[Group, int],
        rows: Sequence[Hashable] | None,
        build_job: Callable[[int], PooledJob],
        find_more: Callable[[], Sequence[Worker]],
    ) -> None:
        self.groups = groups
        self.rows = rows
        self._workers = {worker.label: worker for worker in workers}
        self._build_job = build_job
        self._find_more = find_more
        self._firsts = firsts
        self._lacks: dict[str, dict[Group, str]] = {}
        self._refused: dict[str, str] = {}
        self._away: dict[str, str] = {}
        self._given_up: dict[str, list[str]] = {}
        self._looking: dict[str, asyncio.Lock] = {}
        self._change = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self._pull: Pull | None = None
        self._take_back: TakeBack = lambda _label, _prompt_id: False

    @property
    def workers(self) -> list[Worker]:
        """The workers."""
        return list(self._workers.values())

    def find(self, label: str) -> Worker | None:
        """Return the worker with this label."""
        return self._workers.get(label)

    def add(self, worker: Worker) -> None:
        """Add a worker, also while others work."""
        if worker.label in self._workers:
            return
        self._workers[worker.label] = worker
        if self._pull is not None:
            self._begin(worker)
        self.wake()

    # -- work ----------------------------------------------------------------------------------------------------------

    async def work(self, pull: Pull, take_back: TakeBack) -> None:
        """Let each worker run as many points at once as its depth; return when all have stopped.

        Args:
            pull: Returns when there is nothing left for a worker.
            take_back: Returns whether a worker that is back follows a job that was given up.
        """
        self._pull, self._take_back = pull, take_back
        try:
            for worker in self.workers:
                self._begin(worker)
            watching = asyncio.ensure_future(self._watch())
            try:
                while self._tasks:
                    done, _ = await asyncio.wait(self._tasks, return_when=asyncio.FIRST_COMPLETED)
                    self._tasks -= done  # others may have begun meanwhile
                    for task in done:
                        task.result()
            finally:
                watching.cancel()
        finally:
            self._pull = None
            for task in self._tasks:
                task.cancel()

    def _begin(self, worker: Worker) -> None:
        if self._pull is not None:
            pulls = [self._pull(worker) for _ in range(worker.depth)]
            self._tasks |= {asyncio.ensure_future(pull) for pull in pulls}

    async def _watch(self) -> None:
        """Add workers that come."""
        while True:
            await asyncio.sleep(RETRY_INTERVAL)
            with contextlib.suppress(ComfyKitError):
                for worker in self._find_more():
                    self.add(worker)

    def wake(self) -> None:
        """Wake up everything that waits for a change."""
        self._change.set()
        self._change = asyncio.Event()

    async def wait_for_change(self) -> None:
        """Wait until something has changed, or for a moment."""
        with contextlib.suppress(asyncio.TimeoutError):
            await loop.wait_for(self._change.wait(), RETRY_INTERVAL)

    # -- workers that are away -----------------------------------------------------------------------------------------

    async def is_ready(self, worker: Worker) -> bool:
        """Return whether a worker can get points; waits a moment if it can't.

        Raises:
            ComfyKitError: It is not one server.
        """
        async with self._looking.setdefault(worker.label, asyncio.Lock()):
            if worker.label in self._away:
                if await worker.is_reachable():
                    await self._welcome(worker)
            elif worker.label not in self._lacks:
                await self.look(worker)
            if worker.label not in self._away:
                return True
        await self.wait_for_change()
        return False

    async def _welcome(self, worker: Worker) -> None:
        """Let a worker take part again, without the points that others have got since."""
        for prompt_id in self._given_up.pop(worker.label, []):
            if not self._take_back(worker.label, prompt_id):
                await worker.discard(prompt_id)
        del self._away[worker.label]
        await self.look(worker)
        self.wake()

    async def look(self, worker: Worker) -> None:
        """Find out what a worker lacks for each group."""
        found: dict[Group, str] = {}
        try:
            for group, index in self._firsts.items():
                found[group] = await worker.find_missing(self._build_job(index))
        except ServerError as error:
            self.note_away(worker, one_line(str(error), 200))
            return
        except ComfyKitError as error:
            self._refused[worker.label] = one_line(str(error), 300)
        self._lacks[worker.label] = found

    async def look_at_all(self) -> None:
        """Find out what all workers lack."""
        await asyncio.gather(*(self.look(worker) for worker in self.workers))

    def note_away(self, worker: Worker, why: str) -> None:
        """Note that a worker does not answer: it gets nothing until it does."""
        self._away[worker.label] = why
        self.wake()

    def give_up(self, worker: Worker, prompt_id: str) -> None:
        """Note a job that is run elsewhere, and is cancelled when its worker is back."""
        self._given_up.setdefault(worker.label, []).append(prompt_id)

    def has_others(self, worker: Worker) -> bool:
        """Return whether another worker is there."""
        return any(label != worker.label and label not in self._away for label in self._workers)

    @property
    def present(self) -> int:
        """The number of workers that are not away."""
        return len(self._workers) - len(self._away)

    @property
    def away(self) -> str:
        """Why no worker is there; "" if one is."""
        return next(iter(self._away.values())) if self._away and not self.present else ""

    @property
    def absent(self) -> dict[str, str]:
        """Why workers are away, by label, while others are there."""
        return dict(self._away) if self.present else {}

    @property
    def may_change(self) -> bool:
        """Whether a worker is away, which may be able to run what the others can't."""
        return bool(self._away) or any(label not in self._lacks for label in self._workers)

    # -- what they lack ------------------------------------------------------------------------------------------------

    def find_lack(self, worker: Worker, group: Group) -> str:
        """Return what a worker lacks for a group. One that is the only worker gets all points, and says it itself."""
        if worker.label in self._refused:
            return self._refused[worker.label]
        return self._lacks.get(worker.label, {}).get(group, "") if len(self._workers) > 1 else ""

    def explain_lack(self) -> str:
        """Return why no worker can run what is left."""
        reasons = {f"{label} lacks {lack}" for label, found in self._lacks.items() for lack in found.values() if lack}
        reasons |= {*self._refused.values()}
        return f"no server can run the rest: {'; '.join(sorted(reasons)[:5])}" if reasons else "no server is left"

    def list_left_out(self) -> list[str]:
        """Return a line for each worker that gets only a part of the points, or none."""
        lines = [f"{label} is left out: {why}" for label, why in self._refused.items()]
        for label, found in self._lacks.items():
            lacks: dict[str, int] = {}
            for group in self.groups:
                if lack := found.get(group, ""):
                    lacks[lack] = lacks.get(lack, 0) + 1
            lines += [f"{label} is left out of {_count(number)}: it lacks {lack}" for lack, number in lacks.items()]
        return lines


def _count(number: int) -> str:
    return f"{number:,} point{'s' * (number != 1)}"
