"""Find runs by what is typed into one line: words, and values such as `cfg=4.5` or `tag=cover`."""

from __future__ import annotations

import contextlib
import re
from datetime import datetime
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.runs.rows import Rows
from comfykit_jupyter.workflow.errors import short_repr

_PART = re.compile(r'(?:([^\s="]+)=)?(?:"([^"]*)"?|(\S*))')
_FLAGS = ("star", "rejected", "picked")
_TEXTS = ("status", "workflow", "server", "tag", "sweep", "model", "text", "since", "until")
_NO = ("", "0", "no", "false")


def parse_query(text: str) -> tuple[list[str], dict[str, Any]]:
    """Return the words of a query, and its values as `Rows.where` takes them.

    Raises:
        ComfyKitError: A rating is not a number.

    >>> parse_query('fox cfg=3,4.5 star=1 prompt="in the snow"')
    (['fox'], {'cfg': [3, '3', 4.5, '4.5'], 'star': True, 'prompt': 'in the snow'})
    """
    words: list[str] = []
    values: dict[str, Any] = {}
    for name, quoted, plain in _PART.findall(text):
        value = quoted or plain
        if name:
            if value or quoted:
                values[name] = _convert(name, value)
        elif value:
            words.append(value)
    return words, values


def _convert(name: str, value: str) -> Any:
    if name in _FLAGS:
        return value.lower() not in _NO
    if name in _TEXTS:
        return value
    if name == "rating":
        if value not in tuple("012345"):
            raise ComfyKitError(f"rating must be a number between 1 and 5, not {short_repr(value)}")
        return int(value)
    if value.lower() in ("true", "false"):
        return [value.lower() == "true", value]
    numbers = [(_to_number(each), each) for each in value.split(",") if each]
    if not numbers or any(number is None for number, _ in numbers):
        return value
    return [each for pair in numbers for each in pair]  # a text may look like a number


def _to_number(text: str) -> int | float | None:
    with contextlib.suppress(ValueError):
        return int(text)
    with contextlib.suppress(ValueError):
        return float(text)
    return None


def search_rows(rows: Rows, text: str, **filters: Any) -> Rows:
    """Return the rows in which all words of a query occur, and for which all values and filters hold.

    Args:
        rows: Where to look.
        text: The query, such as `fox cfg=4.5 tag=cover`; words in quotes stay together.
        filters: More of them, as for `Rows.where`. They win over what the query has.

    Raises:
        ComfyKitError: No run has a parameter of this name, or a value can't be read.
    """
    words, values = parse_query(text)
    values |= filters
    if values:
        rows = rows.where(**values)
    for word in words:
        rows = rows.where(text=word)
    return rows


def find_month(text: str) -> tuple[datetime, datetime]:
    """Return when a month begins and ends, such as `2026-11`, in local time."""
    begin = datetime.strptime(text, "%Y-%m").astimezone()
    after = {"year": begin.year + begin.month // 12, "month": begin.month % 12 + 1}
    return begin, begin.replace(tzinfo=None, **after).astimezone()
