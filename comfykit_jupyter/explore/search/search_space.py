"""`SearchSpace`: what a search varies (`kit.search`)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.search.points import Score, Table
from comfykit_jupyter.explore.search.search import Search
from comfykit_jupyter.explore.search.space import build_space, check_over
from comfykit_jupyter.workflow.errors import one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.explore.sweeps.sweep import Sweep


class SearchSpace:
    """What a search varies. `by` says what is looked for.

    Args:
        ledger: The folder of the runs.
        workflow: The workflow.
        over: Ranges and choices, by parameter.
        make_sweep: Makes a sweep of a workflow and points. All of them have one ID, whatever their points are.

    Example:
        kit.search("portrait.json", prompt="a fox", over={"cfg": (3.0, 9.0)}).by(sharpness, n=40)
    """

    def __init__(self, ledger: Ledger, workflow: Any, over: Any, make_sweep: Callable[[Any, Table], Sweep]) -> None:
        given = check_over(over)
        probe = make_sweep(workflow, build_space(given, {}).build_checks())
        prepared = probe._prepared  # noqa: SLF001 - its own sweep
        fields = {each.name: each for each in prepared.workflow.fields(prepared.definitions, every=True)}
        self._space = build_space(given, fields)
        if problems := dict.fromkeys(prepared.problems.values()):
            lines = "\n".join(f"  {each}" for each in problems)
            raise ComfyKitError(f"nothing was sent: not all values are allowed\n{lines}")
        self._ledger = ledger
        self._id, self._salt = prepared.id, prepared.salt
        self._make_sweep = partial(make_sweep, prepared.workflow)  # a file that is edited meanwhile changes nothing

    def __repr__(self) -> str:
        names = ", ".join(one_line(axis.name) for axis in self._space.axes)
        return f'<SearchSpace of {names}: .by(function, n=40) or .by("rating") makes a search>'

    def by(self, what: Score | Literal["rating"], n: int = 40, *, minimize: bool = False) -> Search:
        """Return a search for the points with the highest numbers. Nothing is sent before `start()` or `wait()`.

        Args:
            what: A function that returns the number of a row; or `"rating"`: eight points are run at a time, which you
                rate from 1 to 5.
            n: Number of points to run in all, including earlier calls.
            minimize: Whether the smallest numbers are looked for.

        Raises:
            ComfyKitError: Optuna is not installed, or `what` or `n` is wrong.

        Example:
            search = kit.search("portrait.json", over={"cfg": (3.0, 9.0)}).by(lambda row: sharpness(row.image.pil()))
            search.wait().best.image
        """
        if what != "rating" and not callable(what):
            raise ComfyKitError(f'by: give a function of a row, or "rating", not {short_repr(what)}')
        if isinstance(n, bool) or not isinstance(n, int) or n < 1:
            raise ComfyKitError(f"by: n must be an integer of at least 1, not {short_repr(n)}")
        score = None if what == "rating" else what
        return Search(self._ledger, self._id, self._salt, self._space, self._make_sweep, score, n, minimize=minimize)
