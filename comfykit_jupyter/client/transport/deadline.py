"""How long an answer may take. A server that sends a byte now and then is as good as silent."""

from __future__ import annotations

import asyncio
import time
from math import inf
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import httpx

SLOWEST = 20_000
"""Bytes per second that have to arrive of a long answer, and that a request's body is expected to take."""


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


async def wait_for_answer(task: asyncio.Task[Any], meter: Meter, seconds: float, *, long: bool) -> None:
    """Return when a request is done, or has taken too long; then it is cancelled.

    Args:
        task: The request.
        meter: What is known about it.
        seconds: Seconds for the whole answer.
        long: Whether the body may take longer, as long as it comes at `SLOWEST`, measured over `seconds`.
    """
    try:
        await asyncio.wait({task, meter.sent}, return_when=asyncio.FIRST_COMPLETED)
        since, before = time.monotonic(), 0
        while not task.done():
            await asyncio.wait({task}, timeout=_until(since + seconds))
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


def _until(at: float) -> float | None:
    """Return the seconds until a time on the monotonic clock; None for never."""
    return None if at == inf else max(0.0, at - time.monotonic())
