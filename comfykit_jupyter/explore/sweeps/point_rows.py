"""`PointRows`: the points of a sweep as rows: found by their values, picked, scored, saved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from comfykit_jupyter.client.backends.model_files import ModelFile
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.points.axes import Axis, Point
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.explore.runs.rows import Rows
from comfykit_jupyter.explore.sweeps.engine import Engine, State
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from pandas import DataFrame

    from comfykit_jupyter.explore.points.preparation import Prepared
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.workflow.lora_stack import Stack
    from comfykit_jupyter.workflow.progress.progress import Progress


class PointRows(ABC):
    """The points of a sweep as rows."""

    axes: Sequence[Axis]
    points: Sequence[Point]
    _ledger: Ledger
    _engine: Engine
    _prepared: Prepared

    @property
    @abstractmethod
    def name(self) -> str:
        """Its name."""

    @property
    def states(self) -> list[State]:
        """The state of each point: `waiting`, `running`, `completed`, `failed`, `cancelled`, `unknown` or `invalid`."""
        return list(self._engine.states)

    def count_ended(self) -> tuple[int, int]:
        """Return how many points have ended, and how many there are."""
        states = self._engine.states
        return sum(state not in ("waiting", "running") for state in states), len(states)

    def _get_row(self, index: int) -> Row:
        return Row(self._ledger, self._engine.run_ids[index])

    def get_run_id(self, index: int) -> str:
        """Return the ID of a point's run; "" if it has none yet."""
        return self._engine.run_ids[index]

    def get_state(self, index: int) -> State:
        """Return the state of a point."""
        return self._engine.states[index]

    def is_lost(self, index: int) -> bool:
        """Return whether a point was done before, and its files are gone: it is sent again."""
        return self._engine.is_lost(index)

    def get_progress(self, index: int) -> Progress | None:
        """Return how far a running point is; None if it does not run."""
        return self._engine.progress.get(index)

    @property
    def away(self) -> str:
        """What it waits for, such as a server that does not answer; "" for nothing."""
        return self._engine.away or self._prepared.away

    @property
    def values(self) -> dict[str, Any]:
        """The values that all points share, including values of the workflow that were drawn."""
        return dict(self._prepared.values)

    def find_stack(self, index: int) -> Stack:
        """Return the stack of LoRAs of a point."""
        return self._prepared.find_stack(self.points[index])

    @property
    def sparse(self) -> bool:
        """Whether every second value of each axis is sent first, and the values between them later. Can be set."""
        return self._engine.sparse

    @sparse.setter
    def sparse(self, value: bool) -> None:
        self._engine.sparse = bool(value)

    @property
    def notes(self) -> list[str]:
        """What is worth knowing before it starts."""
        return [*self._prepared.notes]

    def get_problem(self, index: int) -> str:
        """Return what is wrong with the values of a point; "" for nothing."""
        return self._prepared.problems.get(index, "")

    def get_error(self, index: int) -> str:
        """Return why a point failed; "" if it did not."""
        entry = self._ledger.read().runs.get(self._engine.run_ids[index])
        return self._engine.errors.get(index, "") or (entry.error if entry is not None else "")

    def is_forgotten(self, index: int) -> bool:
        """Return whether the run of a point was removed by `kit.runs.forget`."""
        run_id = self._engine.run_ids[index]
        return bool(run_id) and run_id not in self._ledger.read().runs

    def find_replaced_models(self, indices: Iterable[int]) -> dict[str, list[int]]:
        """Return the points that are done with another model file than the server has now, by its name.

        Args:
            indices: The points to look at.
        """
        prepared, found = self._prepared, dict[str, list[int]]()
        if not prepared.files:
            return found
        runs = self._ledger.read().runs
        for index in indices:
            entry = runs.get(self._engine.run_ids[index])
            if entry is None or self._engine.states[index] != "completed":
                continue
            for name, value in entry.models.items():
                before, now = ModelFile.parse(value), prepared.files.get(name)
                same_server = entry.server == prepared.server.url
                if before is not None and now is not None and before.is_other(now, same_server=same_server):
                    found.setdefault(name, []).append(index)
        return found

    def __len__(self) -> int:
        return len(self.points)

    def __getitem__(self, index: int) -> Row:
        """Return the row of a point.

        Raises:
            IndexError: There is no such point.
            ComfyKitError: It has not been run yet.
        """
        point = self.points[index]
        if not self._engine.run_ids[point.index]:
            raise ComfyKitError(f"point {point.index} {_format_labels(point.labels)} has not been run yet")
        return self._get_row(point.index)

    def at(self, **labels: Any) -> Row:
        """Return the row of a point by its values on the axes; those that leave no choice can be left out.

        Args:
            labels: Values by parameter name.

        Raises:
            ComfyKitError: No point has these values, or several have; or it has not been run yet.
        """
        names = {name for axis in self.axes for name in axis.names}
        for name in labels:
            if name not in names:
                nearest = find_nearest(name, sorted(names))
                hint = f": did you mean {nearest}?" if nearest else f" (there are {', '.join(sorted(names))})"
                raise ComfyKitError(f"at: there is no axis {short_repr(name)}{hint}")
        found = [
            p for p in self.points if all(is_same_value(p.labels.get(name), value) for name, value in labels.items())
        ]
        if len(found) != 1:
            if found:
                raise ComfyKitError(f"at: {len(found)} points have {_format_labels(labels)}: give another axis")
            raise ComfyKitError(f"at: no point has {_format_labels(labels)}{self._list_values(labels)}")
        return self[found[0].index]

    def _list_values(self, labels: Mapping[str, Any]) -> str:
        """Return the values of the first axis on which no point has the one that was asked for."""
        for name, wanted in labels.items():
            values = list({repr(point.labels.get(name)): point.labels.get(name) for point in self.points}.values())
            if not any(is_same_value(each, wanted) for each in values):
                more = ", …" if len(values) > 8 else ""
                return f": {name} is {', '.join(short_repr(each) for each in values[:8])}{more}"
        return ""

    def _select(self, *states: State) -> Rows:
        kept = self._ledger.read().runs
        pairs = zip(self._engine.run_ids, self.states, strict=True)
        ids = [run_id for run_id, state in pairs if state in states and run_id in kept]
        return Rows(self._ledger, list(dict.fromkeys(ids)))

    @property
    def done(self) -> Rows:
        """The rows of the points that are done."""
        return self._select("completed")

    @property
    def failed(self) -> Rows:
        """The rows of the points that failed."""
        return self._select("failed")

    @property
    def rows(self) -> Rows:
        """The rows of all points that have been sent."""
        return self._select("completed", "failed", "cancelled", "running", "unknown")

    @property
    def picked(self) -> Rows:
        """The rows with a star that are not rejected."""
        return self.rows.where(picked=True)

    def pick(self, *indices: int) -> None:
        """Give points a star, by their numbers.

        Args:
            indices: The numbers of the points, from 0.
        """
        for row in [self[index] for index in indices]:
            row.star = True

    def score(self, function: Callable[[Row], float]) -> Rows:
        """Compute a number for each point that is done, and keep it as `row.score`.

        Args:
            function: Returns the number of a row.

        Returns:
            The rows, the highest number first.

        Raises:
            ComfyKitError: The function returns something else than a number.
        """
        rows = list(self.done)
        for row in rows:
            set_score(row, function(row))
        return Rows(self._ledger, [row.id for row in sorted(rows, key=lambda row: -(row.score or 0))])

    def records(self) -> list[dict[str, Any]]:
        """Return the points as dicts, for polars and others: the axes' values first, then as `Rows.records`."""
        from comfykit_jupyter.explore.rows.frame import build_point_records

        return build_point_records(self, self._ledger)

    @property
    def df(self) -> DataFrame:
        """The points as a pandas DataFrame; its index are the axes.

        Raises:
            ComfyKitError: pandas is not installed.
        """
        from comfykit_jupyter.explore.rows.frame import build_frame, to_columns

        return build_frame(to_columns(self.records()), [name for axis in self.axes for name in axis.names])

    def export(
        self, folder: str | Path, name: str = "{index}", *, overwrite: bool = False, metadata: bool = True
    ) -> list[Path]:
        """Save what all points that are done have produced, under names from their values.

        Args:
            folder: The folder; it is created if it is missing.
            name: A pattern for the names, as in `ExecuteResult.save`: `{cfg}-{seed}`, `{image.stem}`. One that ends in
                `.txt` is for texts.
            overwrite: Whether older files are replaced.
            metadata: Whether the copies keep the prompt and the workflow that images carry.

        Returns:
            The paths of the files.

        Raises:
            ComfyKitError: The pattern is wrong, or an original is no longer here.
        """
        from comfykit_jupyter.explore.exports.export import export_points

        return export_points(self, Path(folder).expanduser(), name, overwrite=overwrite, metadata=metadata)

    def bundle(self, path: str | Path) -> Path:
        """Write one ZIP file with all that is needed to look at the sweep and to make it again elsewhere.

        It has the workflow, values, seeds, inputs, outputs and marks; as far as the server says them, also its version,
        those of its packs, and the models' sizes and hashes. `kit.runs.open(path)` reads it.

        Args:
            path: The file; it is replaced if it exists.

        Raises:
            ComfyKitError: No point is done, or an original is no longer here.
        """
        from comfykit_jupyter.explore.runs.bundle_writer import collect_sweep, write_bundle

        prepared = self._prepared
        contents = collect_sweep(self, self._ledger, prepared)
        return write_bundle(self._ledger, contents, prepared.server, Path(path).expanduser())

    def sheet(self, path: str | Path, side: int = 256) -> Path:
        """Write a contact sheet: one labelled image of all points.

        Args:
            path: A file that ends in `.png`, `.jpg` or `.webp`; it is replaced if it exists.
            side: Pixels of each image's longer side.

        Raises:
            ComfyKitError: No point is done, or the sheet would be too large.
        """
        from comfykit_jupyter.explore.exports.sheet import write_sheet

        return write_sheet(cast("Sweep", self), Path(path).expanduser(), side)

    def to_html(self, path: str | Path, megabytes: int = 50) -> Path:
        """Write the grid as one self-contained HTML file, with labels and larger images.

        Args:
            path: The file; missing folders are created.
            megabytes: The most that it may take; the images become smaller for it.
        """
        from comfykit_jupyter.explore.exports.grid import write_page

        return write_page(cast("Sweep", self), Path(path).expanduser(), megabytes)


def set_score(row: Row, value: Any) -> float:
    """Keep the score of a row, and return it as a number.

    Raises:
        ComfyKitError: It is not a number; the message names the row.
    """
    try:
        row.score = value
    except ComfyKitError as error:
        raise ComfyKitError(f"{row!r}: {error}") from None
    return float(value)


def is_same_value(one: Any, other: Any) -> bool:
    """Return whether two values of an axis are the same; 1 and true are not."""
    try:
        return bool(one == other) and isinstance(one, bool) is isinstance(other, bool)
    except (TypeError, ValueError):
        return one is other


def _format_labels(labels: Mapping[str, Any]) -> str:
    return ", ".join(f"{one_line(name)}={short_repr(value, 40)}" for name, value in labels.items())
