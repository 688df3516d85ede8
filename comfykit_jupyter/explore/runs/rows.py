"""`Rows`: some of the runs that were kept, in order."""

from __future__ import annotations

import contextlib
import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.missing.model_files import find_model_places
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.rows.row import Row
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.spelling import find_nearest
from comfykit_jupyter.workflow.tables import align_left

if TYPE_CHECKING:
    from pandas import DataFrame

_ROW_SIDE = 96
"""Pixels of the longer side of a row's image in a cell."""
_AGE = re.compile(r"\s*(\d{1,6}(?:\.\d{1,6})?)\s*([hdw])\s*")
_HOURS = {"h": 1, "d": 24, "w": 24 * 7}
MAX_AGE = timedelta(days=36_500)
"""Older than any run."""
_SHOWN = 50
"""Rows of a table in a cell."""
_WORDS = (
    "status",
    "workflow",
    "server",
    "star",
    "rejected",
    "picked",
    "rating",
    "tag",
    "sweep",
    "model",
    "text",
    "since",
    "until",
)
"""What `where` takes, beside parameters."""


class Rows(Sequence[Row]):
    """Some of the runs that were kept; a sequence of `Row`.

    Args:
        ledger: Where they are kept.
        ids: Their IDs, in order.

    Example:
        rows = kit.runs.where(star=True)
        [row.params for row in rows[:10]]
    """

    def __init__(self, ledger: Ledger, ids: Sequence[str] = ()) -> None:
        self._ledger = ledger
        self._given = tuple(ids)
        self._forgotten = 0

    def _list_ids(self) -> Sequence[str]:
        """Return the IDs, without runs that were forgotten since."""
        forgotten = self._ledger.read().forgotten
        if len(forgotten) != self._forgotten:
            self._forgotten = len(forgotten)
            self._given = tuple(each for each in self._given if each not in forgotten)
        return self._given

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {len(self):,} runs in {one_line(str(self._ledger.folder))}>"

    def __len__(self) -> int:
        return len(self._list_ids())

    def __iter__(self) -> Iterator[Row]:
        return (Row(self._ledger, each) for each in self._list_ids())

    @overload
    def __getitem__(self, which: int | str) -> Row: ...
    @overload
    def __getitem__(self, which: slice) -> Rows: ...
    def __getitem__(self, which: int | str | slice) -> Row | Rows:
        """Return a row by its index, or by its ID or the beginning of it; for a slice, several rows."""
        ids = self._list_ids()
        if isinstance(which, slice):
            return Rows(self._ledger, ids[which])
        if isinstance(which, int):
            return Row(self._ledger, ids[which])
        entries = self._ledger.read().runs
        found = [each for each in ids if each.startswith(which) or entries[each].prompt_id.startswith(which)]
        if len(found) != 1 or not which:
            raise KeyError(f"{len(found) or 'no'} runs have an ID that begins with {short_repr(which)}")
        return Row(self._ledger, found[0])

    def where(
        self,
        /,
        *,
        status: str | None = None,
        workflow: str | None = None,
        server: str | None = None,
        star: bool | None = None,
        rejected: bool | None = None,
        picked: bool | None = None,
        rating: int | None = None,
        tag: str | None = None,
        sweep: str | None = None,
        model: str | None = None,
        text: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        **values: Any,
    ) -> Rows:
        """Return the rows for which everything given holds.

        Args:
            status: `completed`, `failed`, `cancelled`, `sent` or `lost`.
            workflow: Name of the workflow.
            server: A part of the server's address.
            star: Whether it has a star.
            rejected: Whether it was rejected.
            picked: Whether it is starred and not rejected.
            rating: The lowest rating, 1 to 5.
            tag: A tag.
            sweep: The name or ID of a sweep.
            model: A part of the name of a model file, or of the value `model`.
            text: Text that occurs in a value, the note or an output, in lower or upper case.
            since: The earliest time: `"2026-11-29"`, or an age such as `"7d"`. Without a time zone it is local.
            until: The time before which it was sent.
            values: Values by parameter name; of a text, a part is enough. A list means any of them.

        Raises:
            ComfyKitError: No run has a parameter of this name, or a time can't be read.

        Example:
            kit.runs.where(workflow="portrait", star=True, cfg=[4.5, 6], prompt="fox")
        """
        tests: list[Callable[[Row], bool]] = []
        if values:
            self._check_names(values)
        begin, end = _read_time("since", since), _read_time("until", until)
        tests += [lambda row: row.at is not None and row.at >= begin] if begin is not None else []
        tests += [lambda row: row.at is not None and row.at < end] if end is not None else []
        if workflow is not None:
            tests.append(lambda row: row.workflow_name == workflow)
        if server is not None:
            tests.append(lambda row: server in row.server)
        if sweep is not None:
            sweeps = list(self._ledger.read().sweeps.values())
            wanted = {each.id for each in sweeps if sweep in (each.name, each.id)}
            tests.append(lambda row: row.sweep in wanted)
        for name, value in values.items():
            tests.append(lambda row, name=name, value=value: _has_value(row.params.get(name), value))  # type: ignore[misc]
        for name, flag in (("star", star), ("rejected", rejected), ("picked", picked)):
            if flag is not None:
                tests.append(lambda row, name=name, flag=flag: getattr(row, name) is bool(flag))  # type: ignore[misc]
        if rating is not None:
            tests.append(lambda row: row.rating >= rating)
        if tag is not None:
            tests.append(lambda row: tag in row.tags)
        if model is not None:
            tests.append(lambda row: _uses_model(row, model))
        if text is not None:
            tests.append(lambda row: _contains(row, text.casefold()))
        if status is not None:  # the last: it looks for files
            tests.append(lambda row: row.status == status)
        with self._ledger.hold():
            return Rows(self._ledger, [row.id for row in self if all(test(row) for test in tests)])

    def _check_names(self, values: Iterable[str]) -> None:
        with self._ledger.hold():
            known = dict.fromkeys(name for row in self for name in row.params)
        for name in values:
            if name not in known and len(self):
                nearest = find_nearest(name, [*known, *_WORDS])
                hint = f": did you mean {one_line(nearest)}?" if nearest else ""
                raise ComfyKitError(f"no run here has a value {short_repr(name)}{hint}")

    def records(self) -> list[dict[str, Any]]:
        """Return the rows as dicts, for polars and others: values by name, then status, seconds, marks and more."""
        from comfykit_jupyter.explore.rows.frame import build_records

        return build_records(self._ledger, self._list_ids())

    @property
    def df(self) -> DataFrame:
        """The rows as a pandas DataFrame.

        Raises:
            ComfyKitError: pandas is not installed.
        """
        from comfykit_jupyter.explore.rows.frame import build_columns, build_frame

        return build_frame(build_columns(self._ledger, self._list_ids()))

    def save(self, folder: str | Path, name: str = "{workflow}-{seed}", *, overwrite: bool = False) -> list[Path]:
        """Save the outputs of all rows.

        Args:
            folder: The folder; it is created if it is missing.
            name: A pattern for the names, as in `ExecuteResult.save`.
            overwrite: Whether older files are replaced.

        Returns:
            The paths of the files.
        """
        from comfykit_jupyter.client.results.save import save_outputs

        root = Path(folder).expanduser()
        rows = [row for row in self if row.media]
        return [path for row in rows for path in save_outputs(row.result, name, overwrite=overwrite, folder=root)]

    def zip(self, path: str | Path, name: str = "{workflow}-{index}") -> Path:
        """Write the outputs of all rows into one ZIP file, with their values and marks as `runs.json`.

        Args:
            path: The file; it is replaced if it exists.
            name: A pattern for the names, as in `save`; `{index}` is the number of the row. Names that occur twice
                get a number.

        Raises:
            ComfyKitError: There are no files, the pattern is wrong, or an original is no longer here.

        Example:
            kit.runs.where(picked=True).zip("best.zip", "{cfg}-{seed}")
        """
        from comfykit_jupyter.explore.exports.row_files import write_archive

        return write_archive(self, Path(path).expanduser(), name)

    def sheet(self, path: str | Path, side: int = 256) -> Path:
        """Write a contact sheet: one image of all rows, with the values that differ.

        Args:
            path: A file that ends in `.png`, `.jpg` or `.webp`; it is replaced if it exists.
            side: Pixels of each image's longer side.

        Raises:
            ComfyKitError: There are no rows, or the sheet would be too large.
        """
        from comfykit_jupyter.explore.exports.row_files import write_rows_sheet

        return write_rows_sheet(self, Path(path).expanduser(), side)

    def to_html(self, path: str | Path, megabytes: int = 50) -> Path:
        """Write all rows as one self-contained HTML file: images, values, marks and notes.

        Args:
            path: The file; it is replaced if it exists.
            megabytes: The most that it may take; the images become smaller for it.

        Raises:
            ComfyKitError: There are no rows.
        """
        from comfykit_jupyter.explore.exports.row_files import write_rows_page

        target = Path(path).expanduser()
        return write_rows_page(self, target, megabytes, target.stem)

    def _repr_html_(self) -> str:
        cells = []
        for row in self[:_SHOWN]:
            image = _render_thumbnail(row.build_thumbnail())
            at = "" if row.at is None else f"{row.at.astimezone():%Y-%m-%d %H:%M}"
            values = ", ".join(f"{name}={short_repr(value, 40)}" for name, value in row.params.items())
            marks = "★" * row.star + ("·" + str(row.rating) if row.rating else "")
            texts = (at, row.workflow_name, row.status, values, marks)
            columns = "".join(f"<td>{align_left(html.escape(one_line(each)))}</td>" for each in texts)
            cells.append(f"<tr><td>{image}</td>{columns}</tr>")
        more = f"<p>{len(self) - _SHOWN:,} more</p>" if len(self) > _SHOWN else ""
        return f"<p>{html.escape(repr(self))}</p><table>{''.join(cells)}</table>{more}"


def _render_thumbnail(data: bytes | None) -> str:
    """Render a thumbnail as small as a row needs it; its own size spares a style, which sanitizers drop."""
    import base64

    from comfykit_jupyter.client.results.thumbnail import make_thumbnail

    if data is None:
        return ""
    try:
        small = make_thumbnail(data, _ROW_SIDE)
    except ValueError:
        return ""
    source = f"data:{small.mime};base64,{base64.b64encode(small.data).decode('ascii')}"
    return f'<img src="{source}" width="{small.width}" height="{small.height}" alt="">'


def _has_value(mine: Any, wanted: Any) -> bool:
    if isinstance(wanted, (list, tuple, set, frozenset, range)):
        return any(_has_value(mine, each) for each in wanted)
    if isinstance(wanted, str) and isinstance(mine, str):
        return wanted.casefold() in mine.casefold()
    return bool(mine == wanted) and isinstance(mine, bool) is isinstance(wanted, bool)


def _uses_model(row: Row, model: str) -> bool:
    """Return whether a run used a model file with this in its name, or has a value `model` with it."""
    if _has_value(row.params.get("model"), model):
        return True
    names = set(row.models)
    if not names:  # the server did not say them
        with contextlib.suppress(ComfyKitError):  # its workflow is no longer here
            names = {place.name for place in find_model_places(row.prompt)}
    return any(model.casefold() in name.casefold() for name in names)


def _contains(row: Row, text: str) -> bool:
    values = [*row.params.values(), row.note, *row.texts, *row.tags, row.workflow_name]
    return any(text in str(value).casefold() for value in values)


def _read_time(name: str, given: datetime | str | None) -> datetime | None:
    if given is None:
        return None
    if (age := read_age(given)) is not None:
        return datetime.now().astimezone() - age
    try:
        found = given if isinstance(given, datetime) else datetime.fromisoformat(given)
    except (TypeError, ValueError):
        raise ComfyKitError(
            f'{name} must be a time such as "2026-11-29" or "2026-11-29 18:30", or an age such as "7d",'
            f" not {short_repr(given)}"
        ) from None
    try:
        return found.astimezone() if found.tzinfo is None else found
    except (ValueError, OverflowError, OSError):  # at the beginning or the end of all years
        return found.replace(tzinfo=timezone.utc)


def read_age(text: object) -> timedelta | None:
    """Return the time that an age such as `"30d"`, `"12h"` or `"2w"` stands for; None if it is not one."""
    found = _AGE.fullmatch(text) if isinstance(text, str) else None
    return min(timedelta(hours=float(found[1]) * _HOURS[found[2]]), MAX_AGE) if found else None
