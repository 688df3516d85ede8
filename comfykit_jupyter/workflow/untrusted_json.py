"""Read untrusted JSON: a value of another type than expected counts as empty, or as an error."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from comfykit_jupyter.workflow.errors import WorkflowError, describe_type
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT


def to_mapping(value: Any) -> Mapping[Any, Any]:
    """Return the value if it is an object, else an empty one."""
    return value if isinstance(value, Mapping) else {}


def to_list(value: Any) -> list[Any]:
    """Return the value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def to_text(value: Any) -> str:
    """Return the value if it is text, else ""."""
    return value if isinstance(value, str) else ""


def is_list(value: Any) -> TypeGuard[Sequence[Any]]:
    """Return whether the value is a list, or a tuple: data from Python may have either."""
    return isinstance(value, (list, tuple))


def read_objects(value: Any, what: str) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list, or nothing for None; raise WorkflowError about `what` for anything else."""
    if value is None:
        return
    if not isinstance(value, list):
        raise WorkflowError(f"{what} must be in a list, not in {describe_type(value)}")
    for each in value:
        if not isinstance(each, Mapping):
            raise WorkflowError(f"{what} is {describe_type(each)}, not an object")
        yield each


def parse_id(value: Any) -> str | None:
    """Return the ID of a node or a link as text (files have numbers or text), or None if it is not an ID."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value) if value.bit_length() < 64 else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) <= LARGEST_EXACT else None
    return value if isinstance(value, str) and len(value) <= 64 else None


def parse_ids(value: Any) -> list[str]:
    """Return the IDs in a list."""
    return [id_ for id_ in map(parse_id, to_list(value)) if id_ is not None]


def parse_slot_index(value: Any) -> int | None:
    """Return the index of a slot (some files have it as text), or None if it is not an index."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 6:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -1 <= value < 100_000 else None
