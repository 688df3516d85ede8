"""What is answered instead of the truth: replies, refusals, changed answers, lost and held ones; each so many times."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class Reply:
    """An HTTP answer as it is sent.

    `done`: what was asked for is done nonetheless, before this is answered. `end`: the answer is sent whole, or the
    connection is dropped before it (`drop`) or in the middle (`cut`), or stays silent (`hang`) or endless (`flood`).
    """

    body: object = b""
    """Bytes and text as they are, anything else as JSON."""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    done: bool = False
    end: Literal["whole", "drop", "cut", "hang", "flood"] = "whole"


@dataclass(frozen=True)
class Refusal:
    """A code in the shape in which the endpoint refuses; as text if it is given as text.

    `done`: what was asked for is done nonetheless.
    """

    code: int | str
    msg: str | None = None
    data: Any = None
    done: bool = False


@dataclass(frozen=True)
class Held:
    """The true answer, as soon as the event is set; `done` before that, or only then."""

    event: threading.Event
    done: bool = False


Change = Callable[[Any], Any]
"""Makes what is sent from the body of the true answer, or from a copy of it."""

Answer = Reply | Refusal | Held | Change | int
"""A number is a refusal by this code."""

DROPPED = Reply(end="drop")
"""The connection breaks, and nothing was done."""
LOST = Reply(end="drop", done=True)
"""What was asked for is done, but the connection breaks before the answer."""
CUT = Reply({"code": 0, "msg": "success", "data": "cut off in the middle"}, end="cut", done=True)
HANGING = Reply(end="hang")
LOST_HANGING = Reply(end="hang", done=True)
EMPTY = Reply()
NO_JSON = Reply('{"code":0,"msg":"succ', headers={"Content-Type": "application/json"})
FLOOD = Reply(end="flood", headers={"Content-Type": "application/json"})
"""JSON without an end."""


NOT_FOUND = Reply({"code": 404, "msg": "NOT_FOUND"})
"""An endpoint that is not there, by HTTP 200."""
WRONG_PATH = Reply({"code": 412, "msg": "TOKEN_INVALID", "data": None})
"""The same, where the code does not say so."""


def build_page(status: int, headers: Mapping[str, str] | None = None, *, done: bool = False) -> Reply:
    """The HTML page of a gateway."""
    html = (
        f"<html>\r\n<head><title>{status}</title></head>\r\n<body><center><h1>{status}</h1></center></body>\r\n</html>"
    )
    return Reply(html, status, {"Content-Type": "text/html", **(headers or {})}, done=done)


def build_huge(size: int) -> Reply:
    """An answer that is right, and of so many bytes."""
    return Reply({"code": 0, "msg": "success", "data": None, "errorMessages": "x" * size})


class Script:
    """What each endpoint is to answer next."""

    def __init__(self) -> None:
        self._lines: defaultdict[str, deque[tuple[Answer, int | None]]] = defaultdict(deque)
        self._lock = threading.Lock()

    def add(self, endpoint: str, answer: Answer, times: int | None) -> None:
        """Answer like this, so many times or for good, after what was added before."""
        with self._lock:
            self._lines[endpoint].append((Refusal(answer) if isinstance(answer, int) else answer, times))

    def clear(self, endpoint: str) -> None:
        """Answer the truth from now on."""
        with self._lock:
            self._lines.pop(endpoint, None)

    def next(self, endpoint: str) -> Answer | None:
        """What is to be answered now; None means the truth."""
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
