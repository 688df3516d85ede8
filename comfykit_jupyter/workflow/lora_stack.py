"""`StackedLora`: one LoRA of a stack, and the forms that stacks have in Python, in files and in messages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from comfykit_jupyter.workflow.errors import WorkflowError, one_line, short_repr

MAX_LORAS = 50
"""LoRAs of one workflow."""
MAX_STRENGTH = 100
"""As in the definition of ComfyUI's loaders."""
MAX_NAME_LENGTH = 1000
"""Characters of a name; the path of a file is not longer."""
OFF = "off"
"""The key of the strength that a LoRA has when it is switched on again."""


class StackedLora(NamedTuple):
    """One LoRA of a stack.

    Attributes:
        name: What the user calls it.
        model: The strength for the model.
        clip: The strength for CLIP.
        on: Whether it is switched on.
    """

    name: str
    model: float = 1.0
    clip: float = 1.0
    on: bool = True

    @property
    def strengths(self) -> tuple[float, float]:
        """The strengths that a run has: none if it is switched off."""
        return (self.model, self.clip) if self.on else (0.0, 0.0)


Stack = tuple[StackedLora, ...]


def read_stack(loras: Mapping[str, Any]) -> Stack:
    """Return the stack that a user gave: a strength for each name, two for model and CLIP, or `{"off": strength}`.

    Raises:
        WorkflowError: A name or a strength is not one.
    """
    if not isinstance(loras, Mapping):
        raise WorkflowError(f"loras: a stack must be strengths by name, not {short_repr(loras)}")
    if len(loras) > MAX_LORAS:
        raise WorkflowError(f"loras: {len(loras)} are more than {MAX_LORAS}")
    return tuple(_read_lora(name, value) for name, value in loras.items())


def read_rows(rows: Any) -> Stack:
    """Return the stack that a page or a file has as a list of `[name, model, clip, on]`.

    Raises:
        WorkflowError: It is not a stack.
    """
    if not isinstance(rows, (list, tuple)):
        raise WorkflowError("loras: a stack must be a list")
    given: dict[str, Any] = {}
    for row in rows:
        if not isinstance(row, (list, tuple)) or len(row) != 4 or not isinstance(row[0], str):
            raise WorkflowError(f"loras: {short_repr(row)} is not a LoRA with two strengths")
        if row[0] in given:
            raise WorkflowError(f"loras: {one_line(row[0], 200)} is given twice")
        given[row[0]] = (row[1], row[2]) if row[3] is True else {OFF: (row[1], row[2])}
    return read_stack(given)


def to_plain(stack: Iterable[StackedLora]) -> dict[str, Any]:
    """Return a stack as `read_stack` accepts it, in the shortest form."""
    found: dict[str, Any] = {}
    for each in stack:
        strength = each.model if each.model == each.clip else (each.model, each.clip)
        found[each.name] = strength if each.on else {OFF: strength}
    return found


def format_stack(stack: Iterable[StackedLora]) -> str:
    """Return a stack in a few words: `add_detail 0.7, style 0.4/0.2`; what is switched off is left out."""
    parts = []
    for each in stack:
        if each.on:
            strength = f"{each.model:g}" if each.model == each.clip else f"{each.model:g}/{each.clip:g}"
            parts.append(f"{one_line(to_stem(each.name), 80)} {strength}")
    return ", ".join(parts)


def to_stem(name: str) -> str:
    """Return the name of a file without its folder and suffix."""
    file = name.replace("\\", "/").rpartition("/")[2]
    return file.rpartition(".")[0] or file


def set_strength(stack: Stack, name: str, strength: float, *, keep_place: bool = True) -> Stack:
    """Return a stack with one LoRA at another strength.

    Args:
        stack: The stack.
        name: The name that the stack has for the LoRA, or a new one.
        strength: The strength for model and CLIP.
        keep_place: Whether it stays where it is. A new one, and one that has no loader yet, comes last.
    """
    changed = StackedLora(name, strength, strength)
    if keep_place and any(each.name == name for each in stack):
        return tuple(changed if each.name == name else each for each in stack)
    return (*(each for each in stack if each.name != name), changed)


def _read_lora(name: Any, value: Any) -> StackedLora:
    if not isinstance(name, str) or not name.strip():
        raise WorkflowError(f"loras: the name of a LoRA must be text, not {short_repr(name)}")
    if len(name) > MAX_NAME_LENGTH:
        raise WorkflowError(f"loras: a name of {len(name)} characters is longer than {MAX_NAME_LENGTH}")
    if value is None:
        return StackedLora(name, on=False)
    on = not (isinstance(value, Mapping) and set(value) == {OFF})
    model, clip = _read_strengths(name, value if on else value[OFF])
    return StackedLora(name, model, clip, on)


def _read_strengths(name: str, value: Any) -> tuple[float, float]:
    pair = tuple(value) if isinstance(value, (tuple, list)) else (value, value)
    if len(pair) != 2 or not all(_is_strength(each) for each in pair):
        raise WorkflowError(
            f"loras: the strength of {one_line(name)} must be a number between -{MAX_STRENGTH} and {MAX_STRENGTH}, "
            f"or two for model and CLIP, not {short_repr(value)}"
        )
    return pair


def _is_strength(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= MAX_STRENGTH
