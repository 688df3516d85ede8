"""`Assignment`: which of the points that wait a worker gets next. Pure: labels of workers in, numbers of points out."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from itertools import chain

Group = tuple[str, ...]
"""What points have in common that run together: the model files, since to load others costs more than anything else."""
Lacks = Callable[[Group], bool]
"""Returns whether a worker lacks something that a group needs."""


class Assignment:
    """The points that wait.

    A worker keeps to the group that it ran last, whose models are loaded. After that it takes the largest one that no
    worker has begun, and helps with the largest one in the end.

    Args:
        groups: The group of each point.
        rows: The row of each point, if all points of a row go to the same worker.
        ranks: A number for each point, if those with lower ones come first, whatever their group.
    """

    def __init__(
        self,
        groups: Sequence[Group],
        rows: Sequence[Hashable] | None = None,
        ranks: Sequence[int] | None = None,
    ) -> None:
        self._groups = groups
        self._ranks = ranks
        self._rows = rows
        self._queues: dict[tuple[int, Group], deque[int]] = {}
        self._for_anyone: deque[int] = deque()
        self._next: deque[int] = deque()
        self._for_one: dict[str, deque[int]] = {}
        self._last: dict[str, Group] = {}
        self._begun: Counter[Group] = Counter()  # of how many workers each group is the last one
        self._owners: dict[Hashable, str] = {}

    def __len__(self) -> int:
        return sum(map(len, self._list_queues()))

    def add(self, index: int, *, first: bool = False) -> None:
        """Add a waiting point, behind or before the others of its group."""
        key = (self._ranks[index] if self._ranks is not None else 0, self._groups[index])
        queue = self._queues.setdefault(key, deque())
        (queue.appendleft if first else queue.append)(index)

    def __iter__(self) -> Iterator[int]:
        return chain.from_iterable(self._list_queues())

    def _list_queues(self) -> list[deque[int]]:
        return [self._next, self._for_anyone, *self._for_one.values(), *self._queues.values()]

    def remove(self, index: int) -> bool:
        """Remove a waiting point, and return whether it was there."""
        for queue in self._list_queues():
            if index in queue:
                queue.remove(index)
                return True
        return False

    def add_next(self, index: int) -> None:
        """Add a waiting point before all others that are to be sent."""
        self._next.append(index)

    def add_for(self, label: str, index: int) -> None:
        """Add a point for one worker, before all others; "" stands for any worker, whatever it lacks."""
        (self._for_one.setdefault(label, deque()) if label else self._for_anyone).append(index)

    def take(self, label: str, lacks: Lacks) -> int | None:
        """Return the next point for a worker; None if it can run none.

        Args:
            label: The worker.
            lacks: What it lacks.
        """
        for queue in (self._for_one.get(label), self._for_anyone):
            if queue:
                return queue.popleft()
        for place, index in enumerate(self._next):
            if not lacks(self._groups[index]):
                del self._next[place]
                return index
        last = self._last.get(label)
        begun = self._begun
        keys = sorted(
            (key for key, queue in self._queues.items() if queue and not lacks(key[1])),
            key=lambda key: (key[0], key[1] != last, begun[key[1]] > 0, -len(self._queues[key])),
        )
        for key in keys:
            found = self._take_from(self._queues[key], label)
            if found is not None:
                self._forget_last(label)
                self._last[label] = key[1]
                self._begun[key[1]] += 1
                return found
        return None

    def _take_from(self, queue: deque[int], label: str) -> int | None:
        if self._rows is None:
            return queue.popleft()
        for place, index in enumerate(queue):
            if self._owners.setdefault(self._rows[index], label) == label:
                del queue[place]
                return index
        return None

    @property
    def has_reserved(self) -> bool:
        """Whether points wait for one worker."""
        return any(self._for_one.values())

    def free_rows(self, label: str) -> None:
        """Give the rows of an absent worker to the others."""
        self._owners = {row: owner for row, owner in self._owners.items() if owner != label}
        self._forget_last(label)

    def _forget_last(self, label: str) -> None:
        if (group := self._last.pop(label, None)) is not None:
            self._begun[group] -= 1
