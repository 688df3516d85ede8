"""Scripted responses that replace normal ones: replies, errors, changed, lost and held responses."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Reply:
    """An HTTP response.

    `done`: perform the requested action before responding. `end`: send the whole response (`whole`), drop the
    connection before (`drop`) or in the middle of it (`cut`), never respond (`hang`) or never end (`flood`).
    """

    body: object = b""
    """Bytes or text; anything else is sent as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    done: bool = False
    end: Literal["whole", "drop", "cut", "hang", "flood"] = "whole"


@dataclass(frozen=True)
class Refusal:
    """An error code, sent in the endpoint's own format; a string stays a string.

    `done`: perform the requested action first.
    """

    code: int | str
    msg: str | None = None
    data: Any = None
    done: bool = False


@dataclass(frozen=True)
class Held:
    """The normal response, held until the event is set; `done`: perform the action before that."""

    event: threading.Event
    done: bool = False


Change = Callable[[Any], Any]
"""Returns the body to send for the body of a normal response."""

Answer = Reply | Refusal | Held | Change | int
"""A response to send; a number is an error with this code."""

DROPPED = Reply(end="drop")
"""The connection breaks and nothing was done."""

LOST = Reply(end="drop", done=True)
"""The action is performed, but the connection breaks before the response."""

CUT = Reply({"code": 0, "msg": "success", "data": "cut off in the middle"}, end="cut", done=True)
HANGING = Reply(end="hang")
LOST_HANGING = Reply(end="hang", done=True)
EMPTY = Reply()
NO_JSON = Reply('{"code":0,"msg":"succ', headers={"Content-Type": "application/json"})
FLOOD = Reply(end="flood", headers={"Content-Type": "application/json"})
"""JSON that never ends."""

NOT_FOUND = Reply({"code": 404, "msg": "NOT_FOUND"})
"""A missing endpoint, with HTTP status 200."""

WRONG_PATH = Reply({"code": 412, "msg": "TOKEN_INVALID", "data": None})
"""A missing endpoint, with a misleading code."""


def build_page(status: int, headers: Mapping[str, str] | None = None, *, done: bool = False) -> Reply:
    """Build the HTML error page of a gateway."""
    html = (
        f"<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center></body>\r\n</html>"
    )
    return Reply(html, status, {"Content-Type": "text/html", **(headers or {})}, done=done)


def build_huge(size: int) -> Reply:
    """Build a correct response of at least `size` bytes."""
    return Reply({"code": 0, "msg": "success", "data": None, "errorMessages": "x" * size})


class Script:
    """The next responses of each endpoint."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, deque[tuple[Answer, int | None]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def add(self, endpoint: str, answer: Answer, times: int | None) -> None:
        """Add a response, to be sent `times` times (None: always), after those added before."""
        with self._lock:
            self._lines[endpoint].append((Refusal(answer) if isinstance(answer, int) else answer, times))

    def clear(self, endpoint: str) -> None:
        """Remove an endpoint's scripted responses."""
        with self._lock:
            self._lines.pop(endpoint, None)

    def next(self, endpoint: str) -> Answer | None:
        """Return the next response, or None for the normal one."""
        with self._lock:
            line = self._lines[endpoint]
            if not line:
                return None
            answer, times = line[0]
            if times is not None:
                line.popleft()
                if times > 1:
                    line.appendleft((answer, times - 1))
            return answer
