"""The form of a page without widgets: its fields as a table, why it is not alive, and which command runs it."""

from __future__ import annotations

import html
import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.workflow.errors import one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.values.fields import Field

MAX_FIELDS = 40
"""Fields of the table; a workflow may have hundreds."""
_NEEDS_QUOTES = re.compile(r"[\s'\"\\={}]")
MAX_CHOICES = 5
"""Choices of a field that are named."""


def build_static_form(
    line: str, source: Any, fields: Sequence[Field], values: Mapping[str, Any], reason: str | None, loras: str = ""
) -> dict[str, Any]:
    """Build the MIME bundle of a form that has not run.

    Args:
        line: The workflow and its values in one line.
        source: The workflow, as the user named it.
        fields: The fields of the form.
        values: Their values by name.
        reason: Why the form is not shown; None if that is not known. The page hides this output below a live form.
        loras: Its stack of LoRAs in a few words.
    """
    command = _format_command(source)
    if reason is None:
        note = f"No form above? This page shows no widgets. Run the workflow with: {command}"
        text = f"{line}\n{note}"
        return {"text/plain": text, "text/html": f"<p>{html.escape(line)}</p><p><small>{html.escape(note)}</small></p>"}
    note = f"This form is static: {reason}. Run the workflow with: {command}"
    rows = [(field.name, _format_value(values.get(field.name)), _format_bounds(field)) for field in fields[:MAX_FIELDS]]
    if len(fields) > MAX_FIELDS:
        rows.append(("…", "", f"{len(fields) - MAX_FIELDS} more"))
    if loras:
        rows.append(("LoRAs", loras, ""))
    width = max((len(name) for name, _, _ in rows), default=0)
    table = [f"  {name.ljust(width)} = {value}{f'   ({bounds})' if bounds else ''}" for name, value, bounds in rows]
    cells = "".join(
        f"<tr><th>{html.escape(name)}</th><td>{html.escape(value)}</td><td>{html.escape(bounds)}</td></tr>"
        for name, value, bounds in rows
    )
    return {
        "text/plain": "\n".join([line.partition(" · ")[0], *table, note]),
        "text/html": f"<p>{html.escape(line.partition(' · ')[0])}</p><table>{cells}</table><p>{html.escape(note)}</p>",
    }


def _format_command(source: Any) -> str:
    if isinstance(source, (str, os.PathLike)):
        name = strip_folders(os.fspath(source))
        return (
            f"%comfykit run {json.dumps(name, ensure_ascii=False) if _NEEDS_QUOTES.search(name) else name} NAME=VALUE"
        )
    return 'form.values["NAME"] = VALUE, then form.run().result()'


def _format_value(value: Any) -> str:
    return (
        "" if value is None else strip_folders(one_line(value if isinstance(value, str) else short_repr(value)))[:200]
    )


def _format_bounds(field: Field) -> str:
    if field.choices:
        names = ", ".join(one_line(str(choice)) for choice in field.choices[:MAX_CHOICES])
        return f"{names}, … {len(field.choices)} choices" if len(field.choices) > MAX_CHOICES else names
    if field.min is not None and field.max is not None:
        return f"{field.kind}, {field.min} to {field.max}"
    return field.kind
