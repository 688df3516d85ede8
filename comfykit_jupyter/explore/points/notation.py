"""The notation of axes in a line: `cfg=3,4.5,6`, `steps=10..30:5`, `seed=*4`."""

from __future__ import annotations

import re
from fractions import Fraction

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.points.axes import MAX_POINTS, Seeds, seeds
from comfykit_jupyter.workflow.errors import one_line

SPLIT_KINDS = frozenset({"integer", "number", "choice", "toggle", "seed"})
"""The kinds of fields whose commas separate values; a text keeps its own."""
_NUMBER = r"\d{1,400}(?:\.\d{1,400})?"
_RANGE = re.compile(rf"(-?{_NUMBER})\.\.(-?{_NUMBER})(?::({_NUMBER}))?")
_SEEDS = re.compile(r"\*(\d{1,6})")


def parse_axis(name: str, text: str, kind: str) -> list[str] | Seeds | str:
    """Return the values of an axis, as texts; a text that is one value as it is.

    Args:
        name: The parameter.
        text: What was typed.
        kind: The kind of the parameter's field.

    Raises:
        ComfyKitError: A range is wrong, or the number of seeds.

    >>> parse_axis("cfg", "3,4.5..6.5", "number"), parse_axis("prompt", "a fox, a cat", "text")
    (['3', '4.5', '5.5', '6.5'], 'a fox, a cat')
    """
    if kind not in SPLIT_KINDS:
        return text
    if found := _SEEDS.fullmatch(text.strip()):
        return seeds(int(found[1]))
    parts = [value for part in text.split(",") for value in _expand_range(name, part.strip())]
    return parts if len(parts) > 1 else text


def _expand_range(name: str, part: str) -> list[str]:
    """Return the numbers of `1..9:2`; any other text as it is. They are exact: a seed has up to twenty digits."""
    found = _RANGE.fullmatch(part)
    if found is None:
        return [part]
    first, last, step = Fraction(found[1]), Fraction(found[2]), Fraction(found[3] or 1)
    if step <= 0 or last < first:
        raise ComfyKitError(
            f"{one_line(name)}: {one_line(part)} is not a range: write FIRST..LAST, or FIRST..LAST:STEP"
        )
    count = (last - first) // step + 1
    if count > MAX_POINTS:
        raise ComfyKitError(f"{one_line(name)}: {one_line(part)} has more than {MAX_POINTS:,} values")
    return [_format_number(first + index * step) for index in range(count)]


def _format_number(number: Fraction) -> str:
    return str(int(number)) if number.denominator == 1 else repr(float(number))
