"""Build tables as text and as HTML; texts from servers and workflows are cut and escaped."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

from comfykit_jupyter.workflow.errors import one_line

MAX_ROWS = 200
"""Rows of a table."""
TITLE_LENGTH = 300
"""Characters of a title."""
CELL_LENGTH = 120
"""Characters of a cell."""
TEXT_WIDTH = 100
"""Characters of a row as text, if its columns can be cut so far."""
MIN_COLUMN_WIDTH = 12
"""Characters of a column that is cut, at least."""


def build_table(
    title: str, head: Sequence[str], rows: Sequence[Sequence[str]], cut: Sequence[str] = ()
) -> dict[str, Any]:
    """Build the MIME bundle of a table with a title.

    Args:
        title: A line above the table.
        head: The names of the columns.
        rows: The cells of each row. Only the first `MAX_ROWS` are included.
        cut: The columns that may be cut where the rows are too wide as text.
    """
    titles = [to_line(title, TITLE_LENGTH)]
    if len(rows) > MAX_ROWS:
        titles.append(f"the first {MAX_ROWS} of {len(rows)}")
    cells = [[to_line(cell) for cell in row] for row in rows[:MAX_ROWS]]
    return {
        "text/plain": _format_text(titles, head, cells, [head.index(name) for name in cut]),
        "text/html": _format_html(titles, head, cells),
    }


def to_line(text: str, length: int = CELL_LENGTH) -> str:
    """Make a text one line, without characters that control a terminal or reverse the writing direction."""
    return one_line(" ".join(text[: 2 * length].split()), length)


def align_left(content: str) -> str:
    """Align the HTML of a cell to the left, without a style, which sanitizers drop.

    JupyterLab aligns cells to the right, whatever their own `align` says.
    """
    return f'<div align="left">{content}</div>'


def _format_text(
    titles: Sequence[str], head: Sequence[str], rows: Sequence[Sequence[str]], cut: Sequence[int] = ()
) -> str:
    lines = [head, *rows] if rows else []
    widths = [max(len(row[column]) for row in lines) for column in range(len(head))] if lines else []
    while sum(widths) + 2 * (len(widths) - 1) > TEXT_WIDTH and any(widths[each] > MIN_COLUMN_WIDTH for each in cut):
        widths[max(cut, key=lambda column: widths[column])] -= 1
    body = [
        "  ".join(one_line(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    ]
    return "\n".join([*titles, *body])


def _format_html(titles: Sequence[str], head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    above = "".join(f"<p>{html.escape(title)}</p>" for title in titles)
    if not rows:
        return above
    heads = "".join(f"<th>{align_left(html.escape(cell))}</th>" for cell in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{align_left(html.escape(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"{above}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
