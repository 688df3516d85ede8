"""`SearchPoints`: the points of a search, and what they are worth."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.key import draw_number
from comfykit_jupyter.explore.points.plan import Plan
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.explore.runs.rows import Rows
from comfykit_jupyter.explore.search.proposals import propose
from comfykit_jupyter.explore.search.space import Place, Space
from comfykit_jupyter.explore.sweeps.point_rows import PointRows

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.explore.points.axes import Axis, Point
    from comfykit_jupyter.explore.points.preparation import Prepared
    from comfykit_jupyter.explore.sweeps.engine import Engine
    from comfykit_jupyter.explore.sweeps.sweep import Sweep

BATCH = 4
"""Points that are proposed at once: two run, and two wait."""
RATED = 8
"""Points that are proposed at once if the user rates them."""
STARTUP = 8
"""Points that are drawn at random before anything is learned."""

Score = Callable[[Row], float]
Table = Sequence[Mapping[str, Any]]
"""Points, with their values by parameter."""


class SearchPoints(PointRows):
    """The points of a search. The newest line of its sweep in the journal has them all.

    Args:
        ledger: The folder of the runs.
        id: The ID of all its sweeps.
        salt: Makes the proposals repeatable.
        space: The ranges and choices.
        make_sweep: Makes a sweep of points.
        score: Returns the number of a row; None if the user rates them.
        n: How many points are run in all.
        minimize: Whether the smallest numbers are looked for.
    """

    def __init__(
        self,
        ledger: Ledger,
        id: str,  # noqa: A002 - as in the journal
        salt: str,
        space: Space,
        make_sweep: Callable[[Table], Sweep],
        score: Score | None,
        n: int,
        *,
        minimize: bool,
    ) -> None:
        self._ledger = ledger
        self._space = space
        self._make_sweep = make_sweep
        self._score = score
        self._n = n
        self._minimize = minimize
        self._callbacks: list[Callable[[Row], object]] = []
        self._values: dict[int, float] = {}
        self._salt = salt
        self._places = self._find_places(id)
        self._load(self._places or self._propose(0))

    def _find_places(self, sweep_id: str) -> list[Place]:
        """Return the points that an earlier call has proposed: the newest line of the search has them all."""
        entry = self._ledger.read().sweeps.get(sweep_id)
        found: dict[Place, None] = {}
        for axis in entry.axes if entry is not None else []:
            for row in axis["labels"]:
                place = self._space.find(dict(zip(axis["names"], row, strict=False)) if isinstance(row, list) else {})
                if place is not None:
                    found[place] = None
        return list(found)

    def _propose(self, done: int) -> list[Place]:
        """Return the next batch of points."""
        known = {place: self._get_value(index) for index, place in enumerate(self._places)} if done else {}
        size = min(RATED if self._score is None else BATCH, self._n - done)
        seed = draw_number(self._salt, "search", done, 0, 2**32 - 1)
        return propose(self._space, known, size, seed=seed, startup=STARTUP, minimize=self._minimize)

    def _load(self, places: list[Place]) -> None:
        sweep = self._make_sweep([self._space.to_values(place) for place in places])
        for function in self._callbacks:
            sweep.on_done(function)
        self._places, self._sweep = places, sweep

    # -- its points ----------------------------------------------------------------------------------------------------

    @property
    def _engine(self) -> Engine:  # type: ignore[override]
        return self._sweep._engine  # noqa: SLF001 - its own sweep

    @property
    def _prepared(self) -> Prepared:  # type: ignore[override]
        return self._sweep._prepared  # noqa: SLF001 - its own sweep

    @property
    def axes(self) -> Sequence[Axis]:  # type: ignore[override]
        """What is varied: one axis, whose values are the points."""
        return self._sweep.axes

    @property
    def points(self) -> Sequence[Point]:  # type: ignore[override]
        """The points that were proposed so far."""
        return self._sweep.points

    @property
    def id(self) -> str:
        """Its ID: the hash of its workflow and the values that all points share."""
        return self._sweep.id

    @property
    def name(self) -> str:
        """Its name, else the name of its workflow."""
        return self._sweep.name

    @property
    def base(self) -> dict[str, Any]:
        """The values that all points share."""
        return self._sweep.base

    @property
    def plan(self) -> Plan:
        """What `start` would do with the points that were proposed."""
        return self._sweep.plan

    def rename(self, name: str) -> None:
        """Give it a name, by which `kit.runs.sweep(name)` and `kit.runs.where(sweep=name)` find it.

        Args:
            name: The name.

        Raises:
            ComfyKitError: It is empty.
        """
        self._sweep.rename(name)

    def _get_value(self, index: int) -> float | None:
        """Return what a point is worth; None if it is not known, or the point failed."""
        run_id = self.get_run_id(index)
        if self.states[index] != "completed" or not run_id:
            return None
        row = Row(self._ledger, run_id)
        if self._score is not None:
            return self._values.get(index, row.score)
        return 0.0 if row.rejected else float(row.rating) or None

    def _list_unrated(self) -> list[int]:
        """Return the points that the user has to rate."""
        if self._score is not None:
            return []
        return [
            index for index, state in enumerate(self.states) if state == "completed" and self._get_value(index) is None
        ]

    @property
    def unrated(self) -> Rows:
        """The rows that wait for your rating; none if a function gives the numbers."""
        return Rows(self._ledger, [self.get_run_id(index) for index in self._list_unrated()])

    def _rank(self) -> list[tuple[float, int]]:
        """Return the numbers of the points and their indices, the best first."""
        numbers = [(value, index) for index in range(len(self.points)) if (value := self._get_value(index)) is not None]
        return sorted(numbers, key=lambda each: (each[0] if self._minimize else -each[0], each[1]))

    @property
    def best(self) -> Row:
        """The row with the best number.

        Raises:
            ComfyKitError: No point has a number yet.
        """
        ranked = self._rank()
        if not ranked:
            what = "rate those in .unrated" if self._list_unrated() else "wait() runs them"
            raise ComfyKitError(f"no point has a number yet: {what}")
        return self[ranked[0][1]]
