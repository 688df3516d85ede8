"""Write some kept runs as one file to hand on: an archive, a contact sheet, a page."""

from __future__ import annotations

import base64
import html
import json
import math
import shutil
import unicodedata
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import write_whole
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.thumbnail import make_thumbnail
from comfykit_jupyter.explore.exports.export import choose_outputs, collect_values
from comfykit_jupyter.explore.exports.grid import PAGE_STYLE, format_page
from comfykit_jupyter.explore.exports.sheet import Cell, check_sheet_name, draw_sheet, save_sheet
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.file_names import fill_pattern, find_pattern_suffix, number_name

if TYPE_CHECKING:
    from comfykit_jupyter.explore.rows.row import Row
    from comfykit_jupyter.explore.runs.rows import Rows

LIST = "runs.json"
"""The file of an archive that has the values and marks of its runs."""
LABEL_LENGTH = 120
"""Characters of the values above an image of a sheet."""
VALUE_LENGTH = 500
"""Characters of a value in a page."""
SIDES = (768, 512, 320, 192, 128)
"""Pixels of the images of a page, the largest that fit."""
CARD_BYTES = 2_000
"""Bytes of the text of a run in a page."""


def write_archive(rows: Rows, path: Path, name: str) -> Path:
    """Write what rows have produced into one ZIP file, with a list of their values and marks; see `Rows.zip`.

    Raises:
        ComfyKitError: There is nothing to write, the pattern is wrong, or an original is no longer here.
    """
    files = _collect_files(rows, name, "zip: ")
    with write_whole(path) as draft, zipfile.ZipFile(draft, "w", strict_timestamps=False) as archive:
        for target, content in files:
            if isinstance(content, Path):
                archive.write(content, target)
            else:
                archive.writestr(target, content.encode("utf-8", "replace"))
        archive.writestr(LIST, _encode_list(rows), zipfile.ZIP_DEFLATED)
    return path


def write_folder(rows: Rows, folder: Path, name: str) -> Path:
    """Write into a new folder what `write_archive` writes into a ZIP file.

    Raises:
        ComfyKitError: There is nothing to write, the pattern is wrong, or an original is no longer here.
    """
    for target, content in _collect_files(rows, name):
        path = folder / target
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, Path):
            shutil.copyfile(content, path)
        else:
            path.write_text(content, encoding="utf-8", errors="replace")
    (folder / LIST).write_bytes(_encode_list(rows))
    return folder


def _encode_list(rows: Rows) -> bytes:
    """Return the values and marks of rows as JSON; half of a surrogate pair is written as an escape."""
    lines = [describe_row(row) for row in rows]
    return json.dumps(lines, indent=1, ensure_ascii=False).encode("utf-8", "backslashreplace")


def _collect_files(rows: Rows, pattern: str, where: str = "") -> list[tuple[str, Path | str]]:
    """Return all files and texts by their names, before any is written: an original may be gone."""
    found = [(name, each.path if isinstance(each, Media) else each) for name, each in _name_outputs(rows, pattern)]
    if not found:
        raise ComfyKitError(f"{where}these runs have no files")
    return found


def _name_outputs(rows: Rows, pattern: str) -> Iterator[tuple[str, Media | str]]:
    taken: set[str] = {LIST}
    suffix = find_pattern_suffix(pattern)
    for index, row in enumerate(rows):
        values = {**collect_values(row), "index": index}
        for output, own in choose_outputs(row, suffix):
            plain = fill_pattern(pattern, {**own, **values, "ext": own["ext"]}, f".{own['ext']}").lstrip("/")
            folder, _, file = plain.rpartition("/")
            names = (number_name(file, number) for number in range(1, len(taken) + 2))
            paths = (f"{folder}/{name}".lstrip("/") for name in names)
            target = next(each for each in paths if _fold(each) not in taken)
            taken.add(_fold(target))
            yield target, output


def _fold(name: str) -> str:
    """Return what is equal for two names that are one file on Windows or macOS."""
    return unicodedata.normalize("NFC", name).casefold()


def describe_row(row: Row) -> dict[str, Any]:
    """Return what an archive says of a run: its values and marks, without its server."""
    return {
        "id": row.id,
        "at": row.at.isoformat() if row.at is not None else None,
        "workflow": row.workflow_name,
        "values": to_line(row.params),
        "star": row.star,
        "rating": row.rating,
        "tags": sorted(row.tags),
        "note": row.note,
        "outputs": [media.name for media in row.media],
    }


def write_rows_sheet(rows: Rows, path: Path, side: int) -> Path:
    """Write a contact sheet of rows; see `Rows.sheet`.

    Raises:
        ComfyKitError: There are no rows, the format is not one of images, or the sheet would be too large.
    """
    check_sheet_name(path)
    if not len(rows):
        raise ComfyKitError("sheet: there are no runs")
    shared = _find_shared(rows)
    cells = [
        Cell(_format_values(row, shared), row.find_image(), next(iter(row.texts), row.status)[:LABEL_LENGTH])
        for row in rows
    ]
    return save_sheet(draw_sheet(cells, math.ceil(math.sqrt(len(cells))), side), path)


def _find_shared(rows: Rows) -> set[str]:
    """Return the names of the values that all rows share: they say nothing."""
    values = [row.params for row in rows]
    return {name for name, value in values[0].items() if len(values) > 1 and all(_has(v, name, value) for v in values)}


def _has(values: dict[str, Any], name: str, value: Any) -> bool:
    return name in values and bool(values[name] == value)


def _format_values(row: Row, shared: set[str]) -> str:
    values = ((name, value) for name, value in row.params.items() if name not in shared)
    text = ", ".join(f"{one_line(name)} {one_line(str(value))}" for name, value in values)
    return (f"★ {text}" if row.star else text)[:LABEL_LENGTH]


def write_rows_page(rows: Rows, path: Path, megabytes: int, title: str) -> Path:
    """Write rows as one self-contained HTML file; see `Rows.to_html`.

    Raises:
        ComfyKitError: There are no rows.
    """
    if not len(rows):
        raise ComfyKitError("to_html: there are no runs")
    room = megabytes * 1_000_000 / len(rows) - CARD_BYTES
    some = [source for row in rows[:6] if (source := row.find_image()) is not None]
    fitting = (side for side in SIDES if all(len(_encode(each, side)) <= room for each in some))
    side = next(fitting, SIDES[-1])
    cards = "".join(_render_card(row, side) for row in rows)
    style = (
        f"{PAGE_STYLE}main{{display:grid;grid-template-columns:repeat(auto-fill,minmax(280px,1fr));gap:24px}}"
        "figure{margin:0}figcaption{font-size:.9em;overflow-wrap:anywhere}"
    )
    with write_whole(path) as draft:
        draft.write_text(format_page(title, style, f"<main>{cards}</main>"), encoding="utf-8", errors="replace")
    return path


def _render_card(row: Row, side: int) -> str:
    source = row.find_image()
    data = _encode(source, side) if source is not None else ""
    values = {name: one_line(str(value), VALUE_LENGTH) for name, value in row.params.items()}
    text = ", ".join(f"{name} {value}" for name, value in values.items())
    image = f'<img src="data:image/jpeg;base64,{data}" alt="{html.escape(text[:200])}">' if data else ""
    texts = "".join(f"<pre>{html.escape(each[:VALUE_LENGTH])}</pre>" for each in row.texts)
    marks = " ".join(
        [*(["★"] if row.star else []), *([f"{row.rating} of 5"] if row.rating else []), *(f"#{t}" for t in row.tags)]
    )
    lines = [f"<b>{html.escape(one_line(name))}</b> {html.escape(value)}" for name, value in values.items()]
    lines += [html.escape(each) for each in (marks, row.note) if each]
    return f"<figure>{image}{texts}<figcaption>{'<br>'.join(lines)}</figcaption></figure>"


def _encode(source: Path | bytes, side: int) -> str:
    try:
        return base64.b64encode(make_thumbnail(source, side, "JPEG", 85).data).decode()
    except (ValueError, OSError):
        return ""
