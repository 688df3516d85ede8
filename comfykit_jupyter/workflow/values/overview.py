"""Show the parameters of a workflow: on one line, and as a table."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from comfykit_jupyter.workflow.errors import one_line, short_repr, truncate
from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS
from comfykit_jupyter.workflow.parameters.parameter import Parameter
from comfykit_jupyter.workflow.tables import CELL_LENGTH, build_table, to_line
from comfykit_jupyter.workflow.values.fields import Field, build_fields

VALUE_LENGTH = 60
"""Characters of a value in a cell."""
_SHORT_LENGTH = 30
"""Characters of a value in the line of a workflow."""
_LINE_LENGTH = 300
"""Characters of that line."""
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def tabulate_fields(title: str, fields: Iterable[Field]) -> dict[str, Any]:
    """Build the table of a workflow's parameters."""
    head = ("parameter", "type", "default", "allowed", "node")
    return build_table(title, head, [_format_field(field) for field in fields], cut=("default", "allowed", "node"))


def tabulate_workflow(workflow: WorkflowGraph) -> dict[str, Any]:
    """Build the table of what a workflow shows of itself: its parameters, and the addresses of what they set."""
    rows = [
        (*_format_field(field), _format_targets(workflow.get_parameters(workflow.definitions)[field.name]))
        for field in build_fields(workflow, workflow.definitions or {})
    ]
    count = f"{len(rows)} parameter{'' if len(rows) == 1 else 's'}"
    head = ("parameter", "type", "default", "allowed", "node", "sets")
    return build_table(f"{one_line(workflow.name)}: {count}", head, rows, cut=("default", "allowed", "node", "sets"))


def format_workflow(workflow: WorkflowGraph) -> str:
    """Format a workflow with its parameters on one line, as its repr."""
    fields = build_fields(workflow, workflow.definitions or {})
    values = ", ".join(f"{one_line(field.name)}={_format_value(field)}" for field in fields) or "no parameters"
    return f"<Workflow {truncate(f'{one_line(workflow.name)}: {values}', _LINE_LENGTH)}>"


def _format_value(field: Field) -> str:
    return "required" if field.required else "…" if field.default is None else short_repr(field.default, _SHORT_LENGTH)


def _format_targets(parameter: Parameter) -> str:
    """Format the addresses of the inputs that a parameter sets, for `Workflow.rename`."""
    targets = parameter.targets[:CELL_LENGTH]
    return ", ".join(f"{one_line(target.node_id)}.{one_line(target.field)}" for target in targets)


def _format_field(field: Field) -> tuple[str, ...]:
    if field.choices is not None and field.kind not in MEDIA_KINDS:
        first = ", ".join(str(choice)[:CELL_LENGTH] for choice in field.choices[:CELL_LENGTH])
        allowed = f"{len(field.choices)} choice{'' if len(field.choices) == 1 else 's'}: {first}"
    elif field.min is not None or field.max is not None:
        allowed = f"{_format_bound(field.min)} … {_format_bound(field.max)}"
    else:
        allowed = ""
    default = "" if field.default is None else str(field.default)
    if field.required:
        default = "required"
    return (field.name, field.kind, to_line(default, VALUE_LENGTH), allowed, field.node)


def _format_bound(value: Any) -> str:
    """Format a bound as a person would write it: 2⁶⁴−1 instead of 20 digits."""
    if isinstance(value, int) and abs(value) > 2**32 and (abs(value) + 1).bit_count() == 1:
        power = f"2{str(value.bit_length()).translate(_SUPERSCRIPT)}"
        return f"{power}−1" if value > 0 else f"−{power}+1"
    return "" if value is None else str(value)
