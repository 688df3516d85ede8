"""Convert values into plain types of JSON, and recognise exact integers, numbers in texts and missing values."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import isfinite
from typing import Any, Final

from comfykit_jupyter.workflow.errors import describe_type, short_repr

LARGEST_EXACT: Final = 2**53 - 1
"""The largest integer that JavaScript's numbers hold exactly, as do all that are smaller."""

MAX_BITS: Final = 1024
"""The size of the largest integer that is accepted: a larger one is an attack, and Python refuses to print it."""

MAX_DIGITS: Final = 308
"""The most digits of a number that comes as text or as a `Decimal`."""

_NUMBER: Final = re.compile(
    r"\s*[+-]?(?:[0-9]+|(?=\.[0-9]))(?P<fraction>\.[0-9]*(?:[eE][+-]?[0-9]+)?|[eE][+-]?[0-9]+)?\s*", re.ASCII
)
_ATOMS = frozenset({str, bool, type(None)})


def to_plain_scalar(value: Any) -> Any:
    """Return a NumPy or Torch scalar, a `Decimal`, or a subclass of str or int as a plain value; others unchanged."""
    if type(value) in (str, int, float, bool):
        return value
    for base in (bool, int, float, str):
        if isinstance(value, base):
            return base.__str__(value) if base is str else base(value)
    if getattr(value, "ndim", None) == 0 and callable(getattr(value, "item", None)):
        item = value.item()
        return item if type(item) is type(value) else to_plain_scalar(item)
    if _is_decimal(value) and value.is_finite() and abs(value.adjusted()) < MAX_DIGITS:
        return int(value) if value == value.to_integral_value() else float(value)
    return value


def is_missing(value: Any) -> bool:
    """Return whether a value is missing, as in a table: None, NaN, and the `NA` and `NaT` of pandas."""
    if value is None:
        return True
    if isinstance(value, (str, int, list, dict)):
        return False
    if _is_decimal(value):
        return bool(value.is_nan())
    if isinstance(value, float) or getattr(value, "ndim", None) == 0:
        return bool(value != value)  # only a NaN differs from itself
    return type(value).__name__ in ("NAType", "NaTType") and type(value).__module__.partition(".")[0] == "pandas"


def _is_decimal(value: Any) -> bool:
    return type(value).__name__ == "Decimal" and type(value).__module__ == "decimal"


def parse_number(text: str) -> int | float | None:
    """Parse a number such as "42" or "7.5"; return None for any other text."""
    if len(text) > MAX_DIGITS or (found := _NUMBER.fullmatch(text)) is None:
        return None
    return int(text) if found["fraction"] is None else float(text)


def to_plain_json(value: Any, depth: int = 64, *, lenient: bool = False) -> Any:
    """Return a copy of a value in plain types of JSON.

    Args:
        value: Any value.
        depth: How deep it may be nested.
        lenient: Whether NaN and infinity become None, as JavaScript writes them.

    Raises:
        ValueError: It can't be written as JSON; the message says why.
    """
    kind = type(value)
    if kind in _ATOMS:
        return value
    if kind is int:
        if value.bit_length() > MAX_BITS:
            raise ValueError(f"an integer of {value.bit_length()} bits is too large")
        return value
    if kind is float:
        if isfinite(value):
            return value
        if lenient:
            return None
        raise ValueError(f"{value} is not a finite number")
    if depth == 0:
        raise ValueError("the value is nested too deeply")
    # Most of a workflow are atoms: a call for each would be slow.
    if isinstance(value, (list, tuple)):
        return [each if type(each) in _ATOMS else to_plain_json(each, depth - 1, lenient=lenient) for each in value]
    if kind is dict or isinstance(value, Mapping):
        return {
            key if type(key) is str else _check_key(key): (
                each if type(each) in _ATOMS else to_plain_json(each, depth - 1, lenient=lenient)
            )
            for key, each in value.items()
        }
    scalar = to_plain_scalar(value)
    if type(scalar) is kind:
        raise ValueError(f"{describe_type(value)} can't be written as JSON")
    return to_plain_json(scalar, depth - 1, lenient=lenient)


def _check_key(key: Any) -> str:
    if not isinstance(key, str):
        raise ValueError(f"the key {short_repr(key)} is {describe_type(key)}, not text")  # noqa: TRY004 - see to_plain_json
    return str.__str__(key)
