"""How long an answer may take. A server that sends a byte now and then is as good as silent."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextvars import ContextVar
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

ANSWER_LEAST = 2.0
"""Seconds that an answer may take at least, however short the kit's patience is."""
SLOWEST = 20_000
"""Bytes per second that have to arrive of a long answer, and that a request's body is expected to take."""


class Silence:
    """How long a server has not answered one run: all its requests share the patience.

    A server that falls silent everywhere would otherwise hold a run for its patience at each question.
    """

    def __init__(self) -> None:
        self.since: float | None = None
        """When the first request began that has no answer yet, on the monotonic clock; None if all have one."""

    def begin(self, patience: float, size: int = 0) -> float:
        """Note that a request begins, and return the seconds that its answer may take.

        Args:
            patience: The kit's patience, of which the silence so far is subtracted.
            size: Size of the request's body in bytes, which takes its time too.
        """
        now = time.monotonic()
        if self.since is None:
            self.since = now
        return max(patience - (now - self.since), ANSWER_LEAST) + size / SLOWEST

    @property
    def seconds(self) -> float:
        """For how many seconds there has been no answer."""
        return 0.0 if self.since is None else time.monotonic() - self.since

    def end(self) -> None:
        """Note an answer."""
        self.since = None


_silence: ContextVar[Silence | None] = ContextVar("silence", default=None)


def share_patience() -> Silence:
    """Let all requests of this task, and of the tasks that it starts, share the patience."""
    silence = Silence()
    _silence.set(silence)
    return silence


def get_silence() -> Silence:
    """Return how long there was no answer for this task; a new one outside of runs."""
    return _silence.get() or Silence()


class Meter:
    """What is known about a request in progress."""

    def __init__(self) -> None:
        self.sent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the request has got a connection: until then it waits for other requests, not for the server."""
        self.begun_at: float | None = None
        """When the headers of the answer were there, on the monotonic clock."""
        self._response: httpx.Response | None = None

    async def trace(self, name: str, info: Any) -> None:  # noqa: ARG002 - httpcore's interface
        """Note that the request has a connection: httpcore reports what it does there."""
        if not self.sent.done():
            self.sent.set_result(None)

    def begin(self, response: httpx.Response) -> None:
        """Note the answer, whose body is going to be read."""
        self._response = response
        self.begun_at = time.monotonic()

    @property
    def received(self) -> int:
        """How many bytes of the body have arrived."""
        return self._response.num_bytes_downloaded if self._response is not None else 0


async def wait_for_answer(
    task: asyncio.Task[Any], meter: Meter, seconds: float, *, long: bool, moved_at: Callable[[], float]
) -> None:
    """Return when a request is done, or has taken too long; then it is cancelled.

    Args:
        task: The request.
        meter: What is known about it.
        seconds: Seconds for the whole answer, and for a free connection while none of the others gets an answer.
        long: Whether the body may take longer, as long as it comes at `SLOWEST`, measured over `seconds`.
        moved_at: Returns when another request got its answer, on the monotonic clock.
    """
    try:
        if not await _wait_for_connection(task, meter, seconds, moved_at):
            return
        since, before = time.monotonic(), 0
        while not task.done():
            await asyncio.wait({task}, timeout=_count_seconds_until(since + seconds))
            received = meter.received
            if long and meter.begun_at is not None and meter.begun_at > since:
                since, before = meter.begun_at, 0
            elif long and received - before >= SLOWEST * seconds:
                since, before = time.monotonic(), received
            else:
                break
    finally:
        if not task.done():
            task.cancel()
            await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # retrieved, even if the caller is cancelled


async def _wait_for_connection(
    task: asyncio.Task[Any], meter: Meter, seconds: float, moved_at: Callable[[], float]
) -> bool:
    """Return whether a request has got a connection. Others that are answered are worth waiting for."""
    began = time.monotonic()
    while not (task.done() or meter.sent.done()):
        until = max(began, moved_at()) + seconds
        if until <= time.monotonic():
            return False
        await asyncio.wait({task, meter.sent}, timeout=_count_seconds_until(until), return_when=asyncio.FIRST_COMPLETED)
    return True


def _count_seconds_until(at: float) -> float | None:
    """Return the seconds until a time on the monotonic clock; None for never."""
    return None if at == inf else max(0.0, at - time.monotonic())
