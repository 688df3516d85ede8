"""Read a hostile file: bounded in bytes and pieces, and what is missing means that the file is damaged."""

from __future__ import annotations

import json
import os
from typing import Any, BinaryIO, Final

TEXT_LIMIT: Final = 64 * 1024 * 1024
"""The most bytes of text that are read from one file."""
PIECES: Final = 200_000
"""The most pieces (chunks, boxes, pages…) that are read of one file: a video of hours has fewer."""
HEAD: Final = 512
"""How many of its first bytes recognize a file."""


_KEYS = frozenset({"prompt", "workflow", "comment"})  # VideoHelperSuite puts both in the comment of its videos


class Damaged(Exception):
    """The file is not what its first bytes say, or asks for more than any real file does."""


class Reader:
    """Reads pieces of a file, and counts how often and how much."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self.size = file.seek(0, os.SEEK_END)
        self._pieces = PIECES
        self._bytes = 2 * TEXT_LIMIT

    def read(self, offset: int, length: int) -> bytes:
        """Return the bytes at an offset; raise Damaged if some are missing."""
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

    def read_number(self, offset: int, length: int) -> int:
        """Return the big-endian number at an offset."""
        return int.from_bytes(self.read(offset, length), "big")


class Texts:
    """The texts of one file that may be workflows, by key in lower case; the first of each key counts."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}
        self._left = TEXT_LIMIT

    @property
    def complete(self) -> bool:
        """Whether both texts are found, so that the search may end."""
        return "prompt" in self.found and "workflow" in self.found

    def wants(self, key: str) -> bool:
        """Return whether the text of a key is worth reading."""
        return _normalize(key) in _KEYS and _normalize(key) not in self.found

    def add(self, key: str, text: str) -> None:
        """Keep a text if it is wanted."""
        if self.wants(key):
            self._left -= len(text)
            if self._left < 0:
                raise Damaged
            self.found[_normalize(key)] = text

    def add_values(self, values: Any) -> None:
        """Keep the wanted values of a JSON object: texts, or the JSON that they would be."""
        if isinstance(values, dict):
            for key, value in values.items():
                if self.wants(key):
                    self.add(key, value if isinstance(value, str) else json.dumps(value))


def _normalize(key: str) -> str:
    return key.strip().lower()


def decode(data: bytes) -> str:
    """Decode text that should be UTF-8, but may be anything."""
    text = data.rstrip(b"\0")
    try:
        return text.decode("utf-8")
    except UnicodeDecodeError:
        return text.decode("latin-1")
