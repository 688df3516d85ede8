"""The notation of axes in a line: `cfg=3,4.5,6`, `steps=10..30:5`, `seed=*4`."""

from __future__ import annotations

import re

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.sweeps.axes import MAX_POINTS, Seeds
from comfykit_jupyter.workflow.errors import one_line

SPLIT_KINDS = frozenset({"integer", "number", "choice", "toggle", "seed"})
"""The kinds of fields whose commas separate values; a text keeps its own."""
_RANGE = re.compile(r"(-?\d+(?:\.\d+)?)\.\.(-?\d+(?:\.\d+)?)(?::(\d+(?:\.\d+)?))?")
_SEEDS = re.compile(r"\*(\d{1,6})")


def parse_axis(name: str, text: str, kind: str) -> list[str] | Seeds | str:
    """Return the values of an axis, as texts; a text that is one value as it is.

    Args:
        name: The parameter.
        text: What was typed.
        kind: The kind of the parameter's field.

    Raises:
        ComfyKitError: A range is wrong.

    >>> parse_axis("cfg", "3,4.5..6.5", "number"), parse_axis("prompt", "a fox, a cat", "text")
    (['3', '4.5', '5.5', '6.5'], 'a fox, a cat')
    """
    if kind not in SPLIT_KINDS:
        return text
    if found := _SEEDS.fullmatch(text.strip()):
        return Seeds(int(found[1]))
    parts = [value for part in text.split(",") for value in _expand_range(name, part.strip())]
    return parts if len(parts) > 1 else text


def _expand_range(name: str, part: str) -> list[str]:
    """Return the numbers of `1..9:2`; any other text as it is."""
    found = _RANGE.fullmatch(part)
    if found is None:
        return [part]
    first, last, step = float(found[1]), float(found[2]), float(found[3] or 1)
    if step <= 0 or last < first:
        raise ComfyKitError(f"{one_line(name)}: {part} is not a range: write FIRST..LAST, or FIRST..LAST:STEP")
    count = int((last - first) / step + 1e-9) + 1
    if count > MAX_POINTS:
        raise ComfyKitError(f"{one_line(name)}: {part} has {count:,} values, more than {MAX_POINTS:,}")
    return [f"{first + index * step:.10g}" for index in range(count)]
