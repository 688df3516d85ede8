"""Rows as records and as a pandas DataFrame."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.ledger import Ledger, pause_collection
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.explore.rows.origin import build_media
from comfykit_jupyter.explore.rows.row import parse_time
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT

if TYPE_CHECKING:
    from pandas import DataFrame

    from comfykit_jupyter.explore.ledger.entries import RunEntry
    from comfykit_jupyter.explore.sweeps.point_rows import PointRows

COLUMNS = (
    "status",
    "server",
    "seconds",
    "waited",
    "star",
    "rating",
    "rejected",
    "tags",
    "note",
    "score",
    "key",
    "prompt_id",
)
"""What every row has, beside its values."""


_ABSENT: Any = object()
"""Stands for a value that a run does not have."""


def build_columns(ledger: Ledger, ids: Iterable[str], absent: Any = None) -> dict[str, list[Any]]:
    """Return runs as columns: `id`, `at`, `workflow`, the values by name, the first output, then `COLUMNS`.

    A value that has the name of a column is called `param.NAME`.

    Args:
        ledger: Where the runs are.
        ids: Their IDs.
        absent: What stands for a value that a run does not have.
    """
    with pause_collection():
        entries = ledger.read()
        taken = {"id", "at", "workflow", "media", *COLUMNS}
        runs = [entries.runs[id_] for id_ in ids]
        marks = [entries.get_marks(run.id) for run in runs]
        names = dict.fromkeys(itertools.chain.from_iterable(run.params for run in runs))
        return {
            "id": [run.id for run in runs],
            "at": [parse_time(run.at) for run in runs],
            "workflow": [run.name for run in runs],
            **{
                f"param.{name}" if name in taken else name: [run.params.get(name, absent) for run in runs]
                for name in names
            },
            "media": [_find_output(ledger, run) for run in runs],
            "status": [run.status for run in runs],
            "server": [run.server for run in runs],
            "seconds": [run.seconds for run in runs],
            "waited": [run.waited for run in runs],
            "star": [bool(each.values.get("star")) for each in marks],
            "rating": [each.values.get("rating", 0) for each in marks],
            "rejected": [bool(each.values.get("rejected")) for each in marks],
            "tags": [sorted(each.tags) for each in marks],
            "note": [each.values.get("note", "") for each in marks],
            "score": [each.values.get("score") for each in marks],
            "key": [run.key for run in runs],
            "prompt_id": [run.prompt_id or run.id for run in runs],
        }


def build_records(ledger: Ledger, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return runs as dicts; see `build_columns`. Each has its own values only."""
    columns = build_columns(ledger, ids, _ABSENT)
    with pause_collection():
        rows = zip(*columns.values(), strict=True)
        return [{name: value for name, value in zip(columns, row, strict=True) if value is not _ABSENT} for row in rows]


def _find_output(ledger: Ledger, entry: RunEntry) -> Any:
    """Return the first file of a run, else its first text."""
    for output in entry.outputs:
        if output.name:
            return build_media(ledger.store, output, entry.found)
    return next((output.text for output in entry.outputs if output.text is not None), None)


def build_point_records(sweep: PointRows, ledger: Ledger) -> list[dict[str, Any]]:
    """Return the points of a sweep as dicts: the axes' values first; a point that was not run has its status only."""
    runs = ledger.read().runs
    ids = [run_id for point in sweep.points if (run_id := sweep.get_run_id(point.index)) in runs]
    known = {record["id"]: record for record in build_records(ledger, dict.fromkeys(ids))}
    records = []
    for point, state in zip(sweep.points, sweep.states, strict=True):
        found = known.get(sweep.get_run_id(point.index), {"id": ""})
        more = {name: each for name, each in found.items() if name not in point.labels}
        records.append({**to_line(point.labels), **more, "status": state})
    return records


def to_columns(records: Sequence[dict[str, Any]]) -> dict[str, list[Any]]:
    """Return records as columns, with None where a record has no value."""
    names = dict.fromkeys(name for record in records for name in record)
    return {name: [record.get(name) for record in records] for name in names}


def build_frame(columns: Mapping[str, list[Any]], index: Sequence[str] = ("id",)) -> DataFrame:
    """Return columns as a DataFrame. Seeds are UInt64, and files stay objects: pandas would make text of them.

    Args:
        columns: The columns.
        index: Those that become the index.

    Raises:
        ComfyKitError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ComfyKitError("a DataFrame needs pandas: pip install pandas; or use .records()") from None
    series = {name: _to_series(pd, name, values) for name, values in columns.items()}
    present = [name for name in index if name in series]
    frame: DataFrame = pd.DataFrame({name: each for name, each in series.items() if name not in present}, copy=False)
    if len(present) == 1:
        frame.index = pd.Index(series[present[0]], name=present[0])
    elif present:
        frame.index = pd.MultiIndex.from_arrays([series[name] for name in present], names=present)
    return frame


def _to_series(pd: Any, name: str, values: list[Any]) -> Any:
    """Return a column with the type that its values have, NA where there is none."""
    kinds = {*map(type, values)} - {type(None)}
    if name in ("media", "tags") or not kinds:
        return pd.Series(values, dtype=object)
    if kinds == {int}:
        known = [value for value in values if value is not None]
        least, most = min(known), max(known)
        if least >= 0 and most < 2**64 and ("seed" in name.lower() or most >= 2**63):
            return pd.Series(values, dtype="UInt64")
        return pd.Series(values, dtype="Int64" if least >= -(2**63) and most < 2**63 else object)
    if kinds <= {int, float}:
        is_exact = all(abs(value) <= LARGEST_EXACT for value in values if isinstance(value, int))
        return pd.Series(values, dtype="Float64" if is_exact else object)
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {str}:
        with contextlib.suppress(UnicodeEncodeError):  # half of a surrogate pair
            return pd.Series(values, dtype=pd.StringDtype())
        return pd.Series(values, dtype=object)
    return pd.Series(values) if name == "at" else pd.Series(values, dtype=object)
