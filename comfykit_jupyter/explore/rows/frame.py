"""Rows as records and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.ledger import Ledger, pause_collection
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.explore.rows.origin import build_media
from comfykit_jupyter.explore.rows.row import parse_time

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


def build_records(ledger: Ledger, ids: Iterable[str]) -> list[dict[str, Any]]:
    """Return runs as dicts: `id`, `at`, `workflow`, the values by name, the first output, then `COLUMNS`.

    A value that has the name of a column is called `param.NAME`.
    """
    with pause_collection():
        return _build_records(ledger, ids)


def _build_records(ledger: Ledger, ids: Iterable[str]) -> list[dict[str, Any]]:
    entries = ledger.read()
    taken = {"id", "at", "workflow", "media", *COLUMNS}
    records = []
    for id_ in ids:
        entry, marks = entries.runs[id_], entries.get_marks(id_)
        params = {f"param.{name}" if name in taken else name: value for name, value in entry.params.items()}
        records.append(
            {
                "id": id_,
                "at": parse_time(entry.at),
                "workflow": entry.name,
                **params,
                "media": _find_output(ledger, entry),
                "status": entry.status,
                "server": entry.server,
                "seconds": entry.seconds,
                "waited": entry.waited,
                "star": bool(marks.values.get("star")),
                "rating": marks.values.get("rating", 0),
                "rejected": bool(marks.values.get("rejected")),
                "tags": sorted(marks.tags),
                "note": marks.values.get("note", ""),
                "score": marks.values.get("score"),
                "key": entry.key,
                "prompt_id": entry.prompt_id or id_,
            }
        )
    return records


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


def build_frame(records: Sequence[dict[str, Any]], index: Sequence[str] = ("id",)) -> DataFrame:
    """Return records as a DataFrame. Seeds are UInt64, and files stay objects: pandas would make text of them.

    Args:
        records: The records.
        index: The columns that become the index.

    Raises:
        ComfyKitError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError:
        raise ComfyKitError("a DataFrame needs pandas: pip install pandas; or use .records()") from None
    names = list(dict.fromkeys(name for record in records for name in record)) or ["id", *COLUMNS]
    columns = {name: _to_series(pd, name, [record.get(name) for record in records]) for name in names}
    frame: DataFrame = pd.DataFrame(columns)
    present = [name for name in index if name in columns]
    return frame.set_index(present) if present else frame


def _to_series(pd: Any, name: str, values: list[Any]) -> Any:
    """Return a column with the type that its values have, NA where there is none."""
    kinds = {type(value) for value in values if value is not None}
    if name in ("media", "tags") or not kinds:
        return pd.Series(values, dtype=object)
    if kinds == {int}:
        known = [value for value in values if value is not None]
        is_seed = min(known) >= 0 and ("seed" in name.lower() or max(known) >= 2**63)
        return pd.Series(values, dtype="UInt64" if is_seed else "Int64")
    if kinds <= {int, float}:
        return pd.Series(values, dtype="Float64")
    if kinds == {bool}:
        return pd.Series(values, dtype="boolean")
    if kinds == {str}:
        return pd.Series(values, dtype=pd.StringDtype())
    return pd.Series(values) if name == "at" else pd.Series(values, dtype=object)
