"""The axes in a line of `%comfykit sweep`: `cfg=3,4.5,6`, `steps=10..30:5`, `seed=*4`."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError

from comfykit_jupyter.explore.sweeps.axes import MAX_POINTS, Lora, Replace, Seeds, Wildcards
from comfykit_jupyter.notebook.magic.line import Token

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.workflow import Field

_SPECS = (Seeds, Replace, Lora, Wildcards)
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?")
_SEEDS = re.compile(r"\*(\d{1,6})")
_SPLIT = {"integer", "number", "choice", "toggle", "seed"}
"""The kinds of fields whose commas separate values; a text keeps its own."""


def split_axes(
    tokens: Mapping[str, Any], fields: Sequence[Field]
) -> tuple[dict[str, Any], dict[str, list[Token] | Seeds]]:
    """Divide the values of a line into those of all points, and axes whose values are still tokens.

    Args:
        tokens: The values by name.
        fields: The fields of the workflow.

    Raises:
        UsageError: A range is wrong.
    """
    kinds = {field.name: field.kind for field in fields}
    shared: dict[str, Any] = {}
    axes: dict[str, list[Token] | Seeds] = {}
    for name, token in tokens.items():
        kind = kinds.get(name, "number")
        is_split = isinstance(token, Token) and not token.expression and (kind == "seed" or not token.quoted)
        if not is_split or kind not in _SPLIT:
            shared[name] = token
        elif found := _SEEDS.fullmatch(token.text):
            axes[name] = Seeds(int(found[1]))
        else:
            parts = [value for part in token.text.split(",") for value in _expand_range(name, part)]
            if len(parts) > 1:
                axes[name] = [Token(each) for each in parts]
            else:
                shared[name] = token
    return shared, axes


def is_axis(value: Any) -> bool:
    """Return whether an object of the user's, or a JSON value, is an axis."""
    return isinstance(value, _SPECS) or (
        isinstance(value, Iterable) and not isinstance(value, (str, bytes, Mapping)) and not _is_image(value)
    )


def _is_image(value: Any) -> bool:
    return (
        isinstance(getattr(value, "mode", None), str) or hasattr(value, "__array_interface__") or hasattr(value, "read")
    )


def _expand_range(name: str, part: str) -> list[str]:
    """Return the numbers of `1..9:2`; any other text as it is."""
    found = _RANGE.fullmatch(part.strip())
    if found is None:
        return [part.strip()]
    first, last, step = float(found[1]), float(found[2]), float(found[3] or 1)
    if step <= 0 or last < first:
        raise UsageError(f"{name}: {part} is not a range: write FIRST..LAST, or FIRST..LAST:STEP")
    count = int((last - first) / step + 1e-9) + 1
    if count > MAX_POINTS:
        raise UsageError(f"{name}: {part} has {count:,} values, more than {MAX_POINTS:,}")
    return [f"{first + index * step:.10g}" for index in range(count)]
