"""The space of a search: ranges and choices of parameters. Pure."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.explore.points.axes import Lora, Replace, Seeds, Wildcards, to_plain
from comfykit_jupyter.workflow.errors import one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.values.fields import Field

MAX_CHOICES = 1_000
_DIGITS = 4
"""Digits of a number within its range: more make no difference to an image."""

Place = tuple[float, ...]
"""A point of a space: a number for each range, and the index for each list of choices."""


@dataclass(frozen=True)
class Range:
    """A parameter that takes any number from `low` to `high`.

    Attributes:
        name: The parameter.
        low: The smallest value.
        high: The largest value.
        step: The distance between whole numbers; 0 for a range of decimal numbers.
    """

    name: str
    low: float
    high: float
    step: int = 0

    def to_value(self, number: float) -> int | float:
        """Return the value of a number that was proposed."""
        if self.step:
            return int(number)
        digits = _DIGITS - 1 - math.floor(math.log10(self.high - self.low))
        return min(max(round(float(number), digits), self.low), self.high)

    def find(self, value: Any) -> float | None:
        """Return the number of a value; None if it is not in this range."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return None
        return value if not self.step or (value - self.low) % self.step == 0 else None

    @property
    def ends(self) -> Sequence[Any]:
        """The values to check before anything is sent."""
        return [self.to_value(self.low), self.to_value(self.high)]


@dataclass(frozen=True)
class Choices:
    """A parameter that takes one of some values.

    Attributes:
        name: The parameter.
        values: The values.
    """

    name: str
    values: tuple[Any, ...] = field(hash=False)

    def to_value(self, number: float) -> Any:
        """Return the value with an index."""
        return self.values[int(number)]

    def find(self, value: Any) -> float | None:
        """Return the index of a value as the journal has it; None if it is not one of these."""
        for index, own in enumerate(self.values):
            plain = to_line({"": own})[""]
            if plain == value and isinstance(plain, bool) is isinstance(value, bool):
                return index
        return None

    @property
    def ends(self) -> Sequence[Any]:
        """The values to check before anything is sent."""
        return self.values


@dataclass(frozen=True)
class Space:
    """Ranges and choices, by parameter."""

    axes: tuple[Range | Choices, ...]

    @property
    def size(self) -> float:
        """How many points it has; infinity if a range has decimal numbers."""
        counts = (
            len(axis.values)
            if isinstance(axis, Choices)
            else (axis.high - axis.low) // axis.step + 1
            if axis.step
            else math.inf
            for axis in self.axes
        )
        return math.prod(counts)

    def to_values(self, place: Place) -> dict[str, Any]:
        """Return the values of a point, by parameter."""
        return {axis.name: axis.to_value(number) for axis, number in zip(self.axes, place, strict=True)}

    def round(self, numbers: Iterable[float]) -> Place:
        """Return a point as it is run: ranges of decimal numbers are rounded."""
        pairs = zip(self.axes, numbers, strict=True)
        return tuple(axis.to_value(each) if isinstance(axis, Range) else int(each) for axis, each in pairs)

    def find(self, labels: Mapping[str, Any]) -> Place | None:
        """Return the point with these values, as the journal has them; None if it is not in this space."""
        found = [axis.find(labels.get(axis.name)) for axis in self.axes]
        return None if None in found else tuple(each for each in found if each is not None)

    def build_checks(self) -> list[dict[str, Any]]:
        """Return points that have all ends of ranges and all choices among them."""
        longest = max(len(axis.ends) for axis in self.axes)
        return [
            {axis.name: axis.ends[min(index, len(axis.ends) - 1)] for axis in self.axes} for index in range(longest)
        ]


def check_over(over: Any) -> dict[str, Any]:
    """Return what a search varies.

    Raises:
        ComfyKitError: It is not a dict, or is empty.
    """
    if not isinstance(over, Mapping) or not over or not all(isinstance(name, str) for name in over):
        raise ComfyKitError(
            'search: over is a dict of ranges and choices: {"cfg": (3.0, 9.0), "sampler": ["euler", "dpmpp_2m"]}, '
            f"not {short_repr(over)}"
        )
    return dict(over)


def build_space(over: Mapping[str, Any], fields: Mapping[str, Field]) -> Space:
    """Return the space of a search.

    Args:
        over: Ranges, as `(low, high)`, and lists of choices, by parameter.
        fields: What is known of the parameters: an integer has no decimal numbers.

    Raises:
        ComfyKitError: A range is reversed or empty, or a value is neither a range nor a list.
    """
    return Space(tuple(_build_axis(name, given, fields.get(name)) for name, given in over.items()))


def _build_axis(name: str, given: Any, known: Field | None) -> Range | Choices:
    where = one_line(name)
    if isinstance(given, tuple) and len(given) == 2 and all(map(_is_number, given)):
        return _build_range(name, to_plain(given[0]), to_plain(given[1]), known)
    if isinstance(given, (Seeds, Replace, Lora, Wildcards)):
        raise ComfyKitError(f"{where}: {type(given).__name__.lower()} is for sweeps; a search takes a range or a list")
    if isinstance(given, (str, bytes, Mapping)) or not isinstance(given, Iterable):
        raise ComfyKitError(f"{where}: give a range, (low, high), or a list of choices, not {short_repr(given)}")
    values = [to_plain(each) for _, each in zip(range(MAX_CHOICES + 1), given, strict=False)]
    if not values:
        raise ComfyKitError(f"{where}: the list of choices is empty")
    if len(values) > MAX_CHOICES:
        raise ComfyKitError(f"{where}: the list has more than {MAX_CHOICES:,} choices")
    if any(each is None or (isinstance(each, float) and math.isnan(each)) for each in values):
        raise ComfyKitError(f"{where}: None and NaN can't be choices")
    once = [each for index, each in enumerate(values) if not any(_is_same(each, other) for other in values[:index])]
    return Choices(name, tuple(once))


def _is_number(value: Any) -> bool:
    plain = to_plain(value)
    return isinstance(plain, (int, float)) and not isinstance(plain, bool)


def _is_same(one: Any, other: Any) -> bool:
    try:
        return type(one) is type(other) and bool(one == other)
    except (TypeError, ValueError):
        return one is other


def _build_range(name: str, low: float, high: float, known: Field | None) -> Range:
    where = one_line(name)
    try:
        is_finite = math.isfinite(low) and math.isfinite(high)
    except OverflowError:  # an integer that no float can have
        is_finite = False
    if not is_finite:
        raise ComfyKitError(f"{where}: the ends of its range must be finite numbers, not {short_repr((low, high))}")
    if low > high:
        raise ComfyKitError(f"{where}: the range ({low!r}, {high!r}) is reversed: write ({high!r}, {low!r})")
    if low == high:
        raise ComfyKitError(f"{where}: the range ({low!r}, {high!r}) has one value: give {name}={low!r} instead")
    is_integer = known is not None and known.kind in ("integer", "seed")
    if not is_integer and not (isinstance(low, int) and isinstance(high, int)):
        return Range(name, float(low), float(high))
    if low != int(low) or high != int(high):
        raise ComfyKitError(f"{where}: the ends of its range must be integers, not {short_repr((low, high))}")
    step = int(known.step) if is_integer and known is not None and isinstance(known.step, int) else 1
    step = step if step > 1 and high - low >= step else 1
    return Range(name, int(low), int(low) + (int(high) - int(low)) // step * step, step)
