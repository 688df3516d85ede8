"""Tables that the magics print: as text and as HTML, bounded and escaped, whatever a server or a workflow says."""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.results.wording import format_value
from comfykit_jupyter.notebook.widget.values import to_wire
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.nodes import MEDIA_KINDS

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.dry_run import DryRun
    from comfykit_jupyter.workflow.workflow import Field

MOST_ROWS = 200
CELL_LENGTH = 120
"""Rows of a table, and characters of a cell."""
WIDTH = 100
NARROWEST = 12
"""Characters of a row as text, and of a column that is cut so that it fits."""
_MOST_VALUES = 8
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], cut: Sequence[str] = ()) -> dict[str, Any]:
    """A mime bundle: the title, and below it the rows, as many as there is room for.

    Args:
        cut: the columns that may be cut where the rows are too wide as text.
    """
    more = len(rows) - MOST_ROWS
    titles = [_line(title, 300), *([f"the first {MOST_ROWS} of {len(rows)}"] if more > 0 else [])]
    cells = [[_line(cell) for cell in row] for row in rows[:MOST_ROWS]]
    return {
        "text/plain": _text(titles, head, cells, [head.index(name) for name in cut]),
        "text/html": _html(titles, head, cells),
    }


def of_fields(title: str, fields: Iterable[Field]) -> dict[str, Any]:
    """The parameters of a workflow."""
    head = ("parameter", "kind", "value", "may be", "node")
    return table(title, head, [_field(field) for field in fields], cut=("value", "may be", "node"))


def of_queue(title: str, jobs: Sequence[Job]) -> dict[str, Any]:
    """The jobs of a queue."""
    rows = [(str(job.place or job.status), job.prompt_id, str(job.nodes or ""), _values(job)) for job in jobs]
    return table(title, ("place", "prompt id", "nodes", "values"), rows)


def of_history(title: str, jobs: Sequence[Job]) -> dict[str, Any]:
    """Jobs that have ended."""
    rows = [
        (
            "" if job.began is None else f"{datetime.fromtimestamp(job.began).astimezone():%Y-%m-%d %H:%M:%S}",
            job.status,
            "" if job.seconds is None else f"{job.seconds:.1f} s",
            str(job.files or ""),
            job.prompt_id,
            job.message or _values(job),
        )
        for job in jobs
    ]
    return table(title, ("began", "ended", "took", "files", "prompt id", "values"), rows)


def of_models(title: str, what: str, names: Sequence[str]) -> dict[str, Any]:
    """Names, one a row."""
    return table(title, (what,), [(name,) for name in names])


def of_dry_run(found: DryRun) -> dict[str, Any]:
    """What would be sent, as far as it differs from the file."""
    rows = [(each.node_title, each.field, each.before, each.after) for each in found.changes]
    return table(found.headline, ("node", "input", "in the file", "would be sent"), rows)


def _field(field: Field) -> tuple[str, ...]:
    if field.choices is not None and field.kind not in MEDIA_KINDS:
        first = ", ".join(str(choice)[:CELL_LENGTH] for choice in field.choices[:CELL_LENGTH])
        may_be = f"{len(field.choices)} choice{'' if len(field.choices) == 1 else 's'}: {first}"
    elif field.min is not None or field.max is not None:
        may_be = f"{_bound(field.min)} … {_bound(field.max)}"
    else:
        may_be = ""
    value = "required" if field.required else "" if field.default is None else str(to_wire(field.default))
    return (field.name, field.kind, _line(value, 60), may_be, field.node)


def _bound(value: Any) -> str:
    """A bound as one reads it: 2⁶⁴−1 instead of 20 digits."""
    if isinstance(value, int) and abs(value) > 2**32 and (abs(value) + 1).bit_count() == 1:
        power = f"2{str(value.bit_length()).translate(_SUPERSCRIPT)}"
        return f"{power}−1" if value > 0 else f"−{power}+1"
    return "" if value is None else str(value)


def _values(job: Job) -> str:
    facts = [f"{one_line(name)} = {_value(value)}" for name, value in list(job.values.items())[:_MOST_VALUES]]
    return " · ".join(facts)


def _value(value: Any) -> str:
    return _line(format_value(value[:1000]), 60) if isinstance(value, str) else short_repr(value)


def _line(text: str, length: int = CELL_LENGTH) -> str:
    """One line of printable characters: none that controls a terminal or turns the direction of what follows."""
    return one_line(" ".join(text[: 2 * length].split()), length)


def _text(titles: Sequence[str], head: Sequence[str], rows: Sequence[Sequence[str]], loose: Sequence[int] = ()) -> str:
    lines = [head, *rows] if rows else []
    widths = [max(len(row[column]) for row in lines) for column in range(len(head))] if lines else []
    while sum(widths) + 2 * (len(widths) - 1) > WIDTH and any(widths[column] > NARROWEST for column in loose):
        widths[max(loose, key=lambda column: widths[column])] -= 1
    told = [
        "  ".join(one_line(cell, width).ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in lines
    ]
    return "\n".join([*titles, *told])


def _html(titles: Sequence[str], head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    above = "".join(f"<p>{html.escape(title)}</p>" for title in titles)
    if not rows:
        return above
    heads = "".join(f"<th>{html.escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"{above}<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
