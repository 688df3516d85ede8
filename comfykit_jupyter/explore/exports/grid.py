"""The grid of a sweep as HTML that stays: in the notebook, in a page made of it, and on paper.

It has no script, style sheet or address of a server. Everything is escaped, and the whole is bounded.
"""

from __future__ import annotations

import base64
import html
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.local_files import write_whole
from comfykit_jupyter.client.results.thumbnail import make_thumbnail
from comfykit_jupyter.explore.points.preparation import describe_label
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.explore.points.axes import Axis
    from comfykit_jupyter.explore.sweeps.point_rows import PointRows
    from comfykit_jupyter.explore.sweeps.sweep import Sweep

KILOBYTES = 150
"""Kilobytes of a grid in a notebook."""
MAX_CELLS = 400
"""Cells of a grid in a notebook; of more points, every nth value of each axis is shown."""
CELL_BYTES = 260
"""Bytes of the HTML around one image."""
SIDES = (192, 160, 128, 96, 64, 48)
"""Pixels of the images, the largest that fits."""
MAX_TEXT = 120
PAGE_STYLE = (
    "body{font-family:system-ui,sans-serif;margin:2em}table{border-collapse:collapse;margin-bottom:2em}"
    "th,td{padding:4px;vertical-align:top;text-align:left}img{display:block;max-width:100%}"
)
_SIGNS = {
    "waiting": "·",
    "running": "…",
    "failed": "✕ failed",
    "cancelled": "cancelled",
    "unknown": "?",
    "invalid": "wrong value",
}


def build_grid(
    sweep: Sweep, kilobytes: int = KILOBYTES, max_cells: int = MAX_CELLS, sides: Sequence[int] = SIDES
) -> str:
    """Return the grid of a sweep: the last axis is its columns, the one before its rows, all others are tables.

    Args:
        sweep: The sweep.
        kilobytes: What it may take.
        max_cells: How many points it may have.
        sides: Pixels of the images, in descending order; the first that fits is taken.
    """
    places = [
        list(range(0, len(axis), step))
        for axis, step in zip(sweep.axes, _find_steps(sweep.axes, max_cells), strict=True)
    ]
    count = math.prod(map(len, places))
    head = f"<p>{html.escape(one_line(f'{sweep.name}: {sweep.summary}', 300))}</p>"
    if count < len(sweep.points):
        head += (
            f"<p>{count:,} of {len(sweep.points):,} points are shown; all of them are in the folder of the runs.</p>"
        )
    room = kilobytes * 1000 - len(head)
    side, quality = _choose_size(sweep, places, room, count, sides)
    tables = _build_tables(sweep, places, side, quality)
    shown: list[str] = []
    for number, table in enumerate(tables):
        room -= len(table.encode())
        if room < 0:
            shown.append(f"<p>{len(tables) - number} more tables do not fit.</p>")
            break
        shown.append(table)
    return head + "".join(shown)


def build_list(points: PointRows, title: str, indices: Sequence[int]) -> str:
    """Return some points as a table, in this order, each with its number, values and marks.

    Args:
        points: The points of a sweep or a search.
        title: The line above it.
        indices: The numbers of the points.
    """
    head = f"<p>{html.escape(one_line(title, 500))}</p>"
    table = ""
    for side in SIDES:
        rows = [[str(index), _render_cell(points, index, side, 80), *_describe(points, index)] for index in indices]
        table = _render_table([], rows)
        if len(head) + len(table.encode()) <= KILOBYTES * 1000:
            break
    return head + table


def _describe(points: PointRows, index: int) -> list[str]:
    """Return the values and marks of a point."""
    values = ", ".join(
        f"{html.escape(one_line(name, 40))} <b>{html.escape(describe_label(label))}</b>"
        for name, label in points.points[index].labels.items()
    )
    row = points[index]
    marks = [f"rating {row.rating}"] if row.rating else []
    marks += [f"score {row.score:.4g}"] if row.score is not None else []
    return [values, " · ".join(marks)]


def _find_steps(axes: Sequence[Axis], most: int) -> list[int]:
    """Return the step of each axis with which a grid has at most `most` cells."""
    steps = [1] * len(axes)
    while math.prod(math.ceil(len(axis) / step) for axis, step in zip(axes, steps, strict=True)) > most:
        longest = max(range(len(axes)), key=lambda index: len(axes[index]) / steps[index])
        steps[longest] += 1
    return steps


def _choose_size(
    sweep: Sweep, places: Sequence[Sequence[int]], room: int, count: int, sides: Sequence[int]
) -> tuple[int, int]:
    """Return the side and quality of the images: the average image of some points has to fit."""
    each = room * 0.9 / max(count, 1) - CELL_BYTES
    some = [index for index in _list_points(sweep, places) if sweep.get_state(index) == "completed"]
    some = some[:: max(len(some) // 6, 1)][:6]
    for side in sides:
        for quality in (80, 60):
            sizes = [len(_encode(sweep, index, side, quality)) for index in some]
            if not sizes or sum(sizes) / len(sizes) <= each:
                return side, quality
    return sides[-1], 40


def _list_points(sweep: Sweep, places: Sequence[Sequence[int]]) -> list[int]:
    wanted = [set(each) for each in places]
    return [
        point.index
        for point in sweep.points
        if all(place in each for place, each in zip(point.position, wanted, strict=True))
    ]


def _build_tables(sweep: Sweep, places: Sequence[Sequence[int]], side: int, quality: int) -> list[str]:
    """Return a table for each combination of the axes before the last two."""
    axes = list(sweep.axes)
    by_position = {point.position: point.index for point in sweep.points}
    if len(axes) == 1 and axes[0].paired:  # rows of a table: their labels are long
        rows = [
            [_render_label(axes[0], place), _render_cell(sweep, by_position[(place,)], side, quality)]
            for place in places[0]
        ]
        return [_render_table([], rows)]
    columns, column_places = axes[-1], places[-1]
    head = ["", *(_render_label(columns, place) for place in column_places)]
    tables = []
    for outer in itertools.product(*places[:-2]):
        title = " · ".join(_render_label(axis, place) for axis, place in zip(axes, outer, strict=False))
        rows = []
        for inner in places[-2] if len(axes) > 1 else [None]:
            start = outer if inner is None else (*outer, inner)
            positions = [(*start, place) for place in column_places]
            cells = [_render_cell(sweep, by_position[position], side, quality) for position in positions]
            rows.append(["" if inner is None else _render_label(axes[-2], inner), *cells])
        tables.append((f"<p><b>{title}</b></p>" if title else "") + _render_table(head, rows))
    return tables


def _render_label(axis: Axis, place: int) -> str:
    """Return the label of a value: its name, and the value."""
    names = zip(axis.names, axis.labels[place], strict=True)
    parts = [
        f"{html.escape(one_line(name, 40))} <b>{html.escape(describe_label(label))}</b>"
        for name, label in names
        if label is not None
    ]
    return ", ".join(parts)


def _render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = f"<tr>{''.join(f'<th>{each}</th>' for each in head)}</tr>" if head else ""
    body = "".join(f"<tr><th>{row[0]}</th>{''.join(f'<td>{cell}</td>' for cell in row[1:])}</tr>" for row in rows)
    return f"<table>{top}{body}</table>"


def _render_cell(sweep: PointRows, index: int, side: int, quality: int) -> str:
    state = sweep.get_state(index)
    if state != "completed":
        why = sweep.get_error(index)
        return html.escape(_SIGNS.get(state, state) + (f": {one_line(why, 80)}" if why else ""))
    if sweep.is_forgotten(index):
        return "forgotten"
    row = sweep[index]
    data = _encode(sweep, index, side, quality)
    if not data:
        text = next(iter(row.texts), "") or ", ".join(media.name for media in row.media)
        return html.escape(one_line(text, MAX_TEXT))
    name = ", ".join(f"{name} {describe_label(label)}" for name, label in sweep.points[index].labels.items())
    star = "★ " if row.star else ""
    source = f"data:image/jpeg;base64,{data}"
    marks = [star] if star else []
    marks += ["another file of this name"] if sweep.find_replaced_models([index]) else []
    return f'<img src="{source}" alt="{html.escape(f"{star}{name}"[:200])}">' + "".join(f"<br>{each}" for each in marks)


def _encode(sweep: PointRows, index: int, side: int, quality: int) -> str:
    """Return the image of a point as a JPEG in Base64; "" if it has none."""
    source = None if sweep.is_forgotten(index) else sweep[index].find_image()
    if source is None:
        return ""
    try:
        return base64.b64encode(make_thumbnail(source, side, "JPEG", quality).data).decode()
    except ValueError:
        return ""


def write_page(sweep: Sweep, path: Path, megabytes: int) -> Path:
    """Write the grid of a sweep as one HTML file, with larger images and all points; see `Sweep.to_html`."""
    grid = build_grid(sweep, megabytes * 1000, len(sweep.points), (768, 512, *SIDES))
    values = "".join(
        f"<tr><th>{html.escape(one_line(name))}</th><td>{html.escape(one_line(str(value), 500))}</td></tr>"
        for name, value in sweep.base.items()
    )
    with write_whole(path) as draft:
        draft.write_text(format_page(sweep.name, PAGE_STYLE, f"<table>{values}</table>{grid}"), "utf-8", "replace")
    return path


def format_page(title: str, style: str, body: str) -> str:
    """Return a page that loads nothing and runs nothing.

    Args:
        title: Its title, as text.
        style: Its style sheet.
        body: Its content, as HTML.
    """
    heading = html.escape(one_line(title, 200))
    policy = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">'
        f"<title>{heading}</title><style>{style}</style><h1>{heading}</h1>{body}</html>"
    )
