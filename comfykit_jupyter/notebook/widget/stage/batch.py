"""Count the runs of a batch, and keep those that are paused: they are off the server's queue until they are resumed.

A batch is everything that a widget runs until nothing is left. Used on the writer's thread only.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

MAX_TIMES = 10
"""Newest runs whose mean time is the estimate for the next ones."""
LABEL_LENGTH = 80
"""Characters that describe a waiting run."""


@dataclass(frozen=True)
class Waiting:
    """A run that waits.

    Attributes:
        id: The id of the run.
        label: What it will do, in a few words.
        submit: Submits it once more; None if that can't be done, as for an attached run.
    """

    id: str
    label: str = ""
    submit: Callable[[], object] | None = None


class Batch:
    """The ended runs of a batch, counted, and its paused ones.

    Attributes:
        paused: The paused runs in their order.
    """

    def __init__(self) -> None:
        self.paused: list[Waiting] = []
        self._known: dict[str, Waiting] = {}
        """Every unfinished run, in the order in which they were added."""
        self._pausing: dict[str, int] = {}
        """The runs that are being taken off the queue, and their places among them."""
        self._places: dict[str, int] = {}
        """The places of the paused runs: the server takes them off in any order."""
        self._done = 0
        self._times: deque[float] = deque(maxlen=MAX_TIMES)

    def add(self, run: Waiting) -> None:
        """Add a run that was submitted."""
        self._known[run.id] = run

    def pause(self, ids: Collection[str]) -> list[str]:
        """Mark runs as about to be paused, and return those that can be: their cancellation will end nothing."""
        held = [id_ for id_ in ids if id_ in self._known and self._known[id_].submit is not None]
        self._pausing.update((id_, len(self.paused) + place) for place, id_ in enumerate(held))
        return held

    def end(self, run_id: str, *, cancelled: bool, seconds: float | None) -> bool:
        """Count a run that has ended; return whether it is paused instead."""
        run = self._known.pop(run_id, None)
        place = self._pausing.pop(run_id, None)
        if cancelled:
            if place is not None and run is not None:
                self._places[run_id] = place
                self.paused = sorted([*self.paused, run], key=lambda each: self._places[each.id])
                return True
            return False
        self._done += 1
        if seconds is not None:
            self._times.append(seconds)
        return False

    def take_paused(self) -> list[Waiting]:
        """Return the paused runs, which are no longer paused."""
        taken, self.paused = self.paused, []
        self._places.clear()
        return taken

    def drop(self, run_id: str) -> bool:
        """Drop a paused run; return whether there was one with this id."""
        left = [run for run in self.paused if run.id != run_id]
        found = len(left) < len(self.paused)
        self.paused = left
        return found

    def drop_all(self) -> None:
        """Drop the paused runs, and those about to be paused."""
        self.paused = []
        self._places.clear()
        self._pausing.clear()

    def describe(self, run_id: str) -> str:
        """Return what a run will do, in a few words."""
        run = self._known.get(run_id)
        return run.label if run is not None else ""

    def build_trait(self) -> dict[str, Any]:
        """Return the trait `batch`; a batch in which nothing is left starts again."""
        unfinished = len(self._known)
        if not unfinished and not self.paused:
            self._done = 0
            self._times.clear()
            return {}
        return {
            "done": self._done,
            "total": self._done + unfinished + len(self.paused),
            "paused": len(self.paused),
            "pausing": bool(self._pausing),
            "seconds": round(sum(self._times) / len(self._times), 2) if self._times else None,
        }
