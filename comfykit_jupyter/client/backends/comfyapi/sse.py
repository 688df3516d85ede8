"""Server-sent events, parsed from the bytes of a stream as they arrive.

It is written by hand because the packages for it, such as httpx-sse, read lines of any length: a server could fill the
memory with one event.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

LIMIT = 32 * 1024 * 1024
"""Maximum size of an event in bytes: a preview is far smaller."""

_LINE_END = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


@dataclass(frozen=True)
class ServerSentEvent:
    """One event; `name` is `message` if the stream does not name it."""

    name: str
    data: str


class EventParser:
    r"""Parses the bytes of a stream into events, wherever it is cut. Comments, IDs and other fields are skipped.

    >>> parser = EventParser()
    >>> parser.feed(b"event: status\r\ndata: {}\r\n"), parser.feed(b"\r\n: still here\n")
    ([], [ServerSentEvent(name='status', data='{}')])
    """

    def __init__(self) -> None:
        self._line = bytearray()
        self._name = ""
        self._data: list[str] = []
        self._size = 0
        self._at_start = True
        self._after_return = False

    def feed(self, piece: bytes) -> list[ServerSentEvent]:
        """Return the events that end in the next chunk of the stream.

        Raises:
            ValueError: An event is larger than `LIMIT`.
        """
        if self._after_return and piece:
            self._after_return = False
            piece = piece.removeprefix(b"\n")  # the second half of a line end
        self._after_return = self._after_return or piece.endswith(b"\r")
        first, *others = _LINE_END.split(piece)
        self._line += first
        found = []
        for following in others:
            if (event := self._take(bytes(self._line))) is not None:
                found.append(event)
            self._line = bytearray(following)
        if len(self._line) + self._size > LIMIT:
            raise ValueError(f"an event is larger than {LIMIT >> 20} MB")
        return found

    def _take(self, line: bytes) -> ServerSentEvent | None:
        if self._at_start:
            self._at_start = False
            line = line.removeprefix(_BOM)
        if not line:
            return self._dispatch()
        field, _, value = line.decode("utf-8", "replace").partition(":")
        value = value.removeprefix(" ")
        if field == "event":
            self._name = value
        elif field == "data":
            self._data.append(value)
            self._size += len(line)
        return None

    def _dispatch(self) -> ServerSentEvent | None:
        name, data = self._name or "message", self._data
        self._name, self._data, self._size = "", [], 0
        return ServerSentEvent(name, "\n".join(data)) if data else None
