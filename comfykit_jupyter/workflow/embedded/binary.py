"""Reading a hostile file: what is asked for is there or the file is damaged, and nothing is read without end."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO, Final

TEXT_LIMIT: Final = 64 * 1024 * 1024
"""Bytes of text that are taken from one file at the most."""
PIECES: Final = 200_000
"""Pieces (chunks, boxes, pages…) that are looked at in one file: a video of hours has fewer."""
HEAD: Final = 512
"""Bytes by which a file is recognised."""


_KEYS = frozenset({"prompt", "workflow", "comment"})  # VideoHelperSuite puts both in the comment of its videos


class Damaged(Exception):
    """The file is not what it began as, or asks for more than any real one does."""


class Reader:
    """A file of random access, which counts how often and how much it is read."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._pieces = PIECES
        self._bytes = 2 * TEXT_LIMIT

    def at(self, offset: int, length: int) -> bytes:
        """The bytes at a place. Raises Damaged when they are not all there."""
        if offset < 0 or length < 0 or offset + length > self.size:
            raise Damaged
        self._pieces -= 1
        self._bytes -= length
        if self._pieces < 0 or self._bytes < 0:
            raise Damaged
        self._file.seek(offset)
        data = self._file.read(length)
        if len(data) != length:
            raise Damaged
        return data

    def number(self, offset: int, length: int) -> int:
        """The number at a place, most significant byte first."""
        return int.from_bytes(self.at(offset, length), "big")


class Texts:
    """The texts of one file that may carry workflows, by key in lower case; the first of a key counts."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._left = TEXT_LIMIT

    @property
    def complete(self) -> bool:
        """Whether both texts are there: no need to look on."""
        return "prompt" in self.found and "workflow" in self.found

    def wants(self, key: str) -> bool:
        """Whether a text of this key is worth reading."""
        return _plain(key) in _KEYS and _plain(key) not in self.found

    def add(self, key: str, text: str) -> None:
        """Keeps a text if it is wanted."""
        if self.wants(key):
            self._left -= len(text)
            if self._left < 0:
                raise Damaged
            self.found[_plain(key)] = text

    def add_values(self, values: Any) -> None:
        """Keeps what was read as JSON: a mapping of texts, or of what the texts would say."""
        if isinstance(values, dict):
            for key, value in values.items():
                if self.wants(key):
                    self.add(key, value if isinstance(value, str) else json.dumps(value))


def _plain(key: str) -> str:
    return key.strip().lower()


def decode(data: bytes) -> str:
    """Text that should be UTF-8 and may be anything."""
    text = data.rstrip(b"\0")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
