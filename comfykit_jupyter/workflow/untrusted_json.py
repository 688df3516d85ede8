"""Read untrusted JSON: within bounds, since few bytes of it can become gigabytes of objects.

A value of another type than expected counts as empty, or as an error.
"""

from __future__ import annotations

import contextlib
import gc
import json
import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Any, Final, TypeGuard

from comfykit_jupyter.workflow.errors import WorkflowError, describe_type
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT

MAX_ELEMENTS: Final = 500_000
"""The most lists, objects and commas of one value; a workflow of 1,000 nodes has 50,000."""
MAX_ALL_ELEMENTS: Final = 6_000_000
"""The same for an answer that is read part by part, such as a queue; 500 jobs have 1,200,000."""

MAX_PARTS: Final = 20_000
"""The most parts of such an answer: a server's history has at most 10,000 records."""

_DECODER: Final = json.JSONDecoder()
_SPACE: Final = re.compile(r"[ \t\n\r]*")
_TEXTS: Final = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_TEXTS_OF_BYTES: Final = re.compile(_TEXTS.pattern.encode())


class TooManyElementsError(ValueError):
    """Some JSON has more lists, objects and commas than are read."""


def parse_json(content: str | bytes, most: int = MAX_ELEMENTS, **options: Any) -> Any:
    """Parse JSON that has at most `most` elements; `options` are for `json.loads`.

    Raises:
        TooManyElementsError: It has more.
        ValueError: It is not JSON.
        RecursionError: It is nested too deeply.
    """
    check_elements(content, most)
    with _pause_collection():
        return json.loads(content, **options)


def check_elements(content: str | bytes, most: int) -> None:
    """Reject JSON with too many elements, in a small part of the time that it would take to parse it.

    Raises:
        TooManyElementsError: It has more than `most`.
    """
    if _count_elements(content) <= most:
        return
    without_texts = _TEXTS.sub("", content) if isinstance(content, str) else _TEXTS_OF_BYTES.sub(b"", content)
    if _count_elements(without_texts) > most:
        raise TooManyElementsError(f"more than {most:,} elements")


def parse_members(
    content: bytes, keep: Callable[[str, Any], Any], lists: Collection[str] = (), most: int = MAX_ALL_ELEMENTS
) -> dict[str, Any]:
    """Parse a JSON object part by part, so that other threads get their turns, and little is in memory at once.

    Args:
        content: The JSON.
        keep: Returns what is kept of a member, from its name and its value.
        lists: Names of members that are lists; of these `keep` gets each item.
        most: The most elements of all members.

    Raises:
        TooManyElementsError: It has more, or more than `MAX_PARTS` members and items.
        ValueError: It is not a JSON object.
        RecursionError: It is nested too deeply.

    >>> parse_members(b'{"a": [1, 2], "b": 3}', lambda name, value: value * 10, ["a"])
    {'a': [10, 20], 'b': 30}
    """
    check_elements(content, most)
    reader = _Reader(content.decode("utf-8"))
    found: dict[str, Any] = {}
    left = MAX_PARTS

    def read_part(name: str) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise TooManyElementsError(f"more than {MAX_PARTS:,} parts")
        return keep(name, reader.read_value())

    reader.expect("{")
    if not reader.take("}"):
        while True:
            name = str(reader.read_value())
            reader.expect(":")
            if name in lists and reader.take("["):
                found[name] = [read_part(name) for _ in reader.iterate_items()]
            else:
                found[name] = read_part(name)
            if reader.take("}"):
                break
            reader.expect(",")
    reader.expect("")
    return found


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


def _count_elements(content: str | bytes) -> int:
    if isinstance(content, str):
        return sum(content.count(each) for each in "[{,")
    return sum(content.count(each) for each in (b"[", b"{", b","))


@contextlib.contextmanager
def _pause_collection() -> Iterator[None]:
    """Pause the garbage collector: looking at millions of new objects takes ten times as long as to create them."""
    enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if enabled:
            gc.enable()


class _Reader:
    """A position in a JSON text."""

    def __init__(self, text: str) -> None:
        self._text, self._at = text, 0

    def take(self, char: str) -> bool:
        """Skip a character if it is the next one; "" is the end of the text. Return whether it was."""
        self._skip_space()
        if self._text[self._at : self._at + 1] != char:
            return False
        self._at += len(char)
        return True

    def expect(self, char: str) -> None:
        if not self.take(char):
            raise json.JSONDecodeError(f"expected {char or 'the end'!r}", self._text, self._at)

    def read_value(self) -> Any:
        self._skip_space()
        with _pause_collection():
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        return value

    def iterate_items(self) -> Iterator[None]:
        """Stop at each item of a list whose `[` has been read, for the caller to read it."""
        if self.take("]"):
            return
        while True:
            yield
            if self.take("]"):
                return
            self.expect(",")

    def _skip_space(self) -> None:
        found = _SPACE.match(self._text, self._at)
        self._at = found.end() if found else self._at
