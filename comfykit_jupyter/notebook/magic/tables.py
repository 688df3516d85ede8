"""Build the tables that the magics show, as text and HTML; texts from servers and workflows are cut and escaped."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.results.wording import format_value
from comfykit_jupyter.notebook.widget.values import to_wire
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.dry_run import DryRun
    from comfykit_jupyter.workflow.workflow import Field

MAX_ROWS = 200
"""Rows of a table."""
TITLE_LENGTH = 300
"""Characters of a title."""
CELL_LENGTH = 120
"""Characters of a cell."""
VALUE_LENGTH = 60
"""Characters of a value in a cell."""
MAX_VALUES = 8
"""Values of a job in a cell."""
TEXT_WIDTH = 100
"""Characters of a row as text, if its columns can be cut so far."""
MIN_COLUMN_WIDTH = 12
"""Characters of a column that is cut, at least."""
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


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
    titles = [_to_line(title, TITLE_LENGTH)]
    if len(rows) > MAX_ROWS:
        titles.append(f"the first {MAX_ROWS} of {len(rows)}")
    cells = [[_to_line(cell) for cell in row] for row in rows[:MAX_ROWS]]
    return {
        "text/plain": _format_text(titles, head, cells, [head.index(name) for name in cut]),
        "text/html": _format_html(titles, head, cells),
    }


def tabulate_fields(title: str, fields: Iterable[Field]) -> dict[str, Any]:
    """Build the table of a workflow's parameters."""
    head = ("parameter", "type", "default", "allowed", "node")
    return build_table(title, head, [_format_field(field) for field in fields], cut=("default", "allowed", "node"))


def tabulate_queue(title: str, jobs: Sequence[Job]) -> dict[str, Any]:
    """Build the table of running and queued jobs."""
    rows = [(str(job.place or job.status), job.prompt_id, str(job.nodes or ""), _format_values(job)) for job in jobs]
    return build_table(title, ("position", "prompt ID", "nodes", "values"), rows)


def tabulate_history(title: str, jobs: Sequence[Job]) -> dict[str, Any]:
    """Build the table of ended jobs."""
    rows = [
        (
            "" if job.began is None else f"{datetime.fromtimestamp(job.began).astimezone():%Y-%m-%d %H:%M:%S}",
            job.status,
            "" if job.seconds is None else f"{job.seconds:.1f} s",
            str(job.files or ""),
            job.prompt_id,
            job.message or _format_values(job),
        )
        for job in jobs
    ]
    return build_table(title, ("started", "status", "duration", "files", "prompt ID", "values"), rows)


def tabulate_names(title: str, column: str, names: Sequence[str]) -> dict[str, Any]:
    """Build a table with one name a row."""
    return build_table(title, (column,), [(name,) for name in names])


def tabulate_dry_run(dry_run: DryRun) -> dict[str, Any]:
    """Build the table of the inputs that would be sent with a value other than the file's."""
    rows = [(each.node_title, each.field, each.before, each.after) for each in dry_run.changes]
    return build_table(dry_run.headline, ("node", "input", "in the file", "would be sent"), rows)


def _format_field(field: Field) -> tuple[str, ...]:
    if field.choices is not None and field.kind not in MEDIA_KINDS:
        first = ", ".join(str(choice)[:CELL_LENGTH] for choice in field.choices[:CELL_LENGTH])
        allowed = f"{len(field.choices)} choice{'' if len(field.choices) == 1 else 's'}: {first}"
    elif field.min is not None or field.max is not None:
        allowed = f"{_format_bound(field.min)} … {_format_bound(field.max)}"
    else:
        allowed = ""
    default = "" if field.default is None else str(to_wire(field.default))
    if field.required:
        default = "required"
    return (field.name, field.kind, _to_line(default, VALUE_LENGTH), allowed, field.node)


def _format_bound(value: Any) -> str:
    """Format a bound as a person would write it: 2⁶⁴−1 instead of 20 digits."""
    if isinstance(value, int) and abs(value) > 2**32 and (abs(value) + 1).bit_count() == 1:
        power = f"2{str(value.bit_length()).translate(_SUPERSCRIPT)}"
        return f"{power}−1" if value > 0 else f"−{power}+1"
    return "" if value is None else str(value)


def _format_values(job: Job) -> str:
    values = list(job.values.items())[:MAX_VALUES]
    return " · ".join(f"{one_line(name)} = {_format_value(value)}" for name, value in values)


def _format_value(value: Any) -> str:
    return _to_line(format_value(value[:1000]), VALUE_LENGTH) if isinstance(value, str) else short_repr(value)


def _to_line(text: str, length: int = CELL_LENGTH) -> str:
    """Make a text one line, without characters that control a terminal or reverse the writing direction."""
    return one_line(" ".join(text[: 2 * length].split()), length)


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
    heads = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"{above}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
