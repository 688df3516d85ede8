"""Rows as records and as a pandas DataFrame."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.explore.rows.row import Row

if TYPE_CHECKING:
    from pandas import DataFrame

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


def build_records(rows: Iterable[Row]) -> list[dict[str, Any]]:
    """Return rows as dicts: `id`, `at`, `workflow`, the values by name, the first output, then `COLUMNS`.

    A value that has the name of a column is called `param.NAME`.
    """
    taken = {"id", "at", "workflow", "media", *COLUMNS}
    records = []
    for row in rows:
        params = {f"param.{name}" if name in taken else name: value for name, value in row.params.items()}
        media = row.media
        record: dict[str, Any] = {"id": row.id, "at": row.at, "workflow": row.workflow_name, **params}
        record["media"] = media[0] if media else next(iter(row.texts), None)
        record |= {name: getattr(row, name) for name in COLUMNS}
        record["tags"] = sorted(row.tags)
        records.append(record)
    return records


def build_point_records(sweep: PointRows) -> list[dict[str, Any]]:
    """Return the points of a sweep as dicts: the axes' values first; a point that was not run has its status only."""
    records = []
    for point, state in zip(sweep.points, sweep.states, strict=True):
        run_id = sweep.get_run_id(point.index)
        found = build_records([sweep[point.index]])[0] if run_id else {"id": ""}
        found["status"] = found.get("status", state) if state == "completed" else state
        records.append(
            {**to_line(point.labels), **{name: each for name, each in found.items() if name not in point.labels}}
        )
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
