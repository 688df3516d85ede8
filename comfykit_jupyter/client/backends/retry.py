"""Trying again: growing pauses, and work that may be repeated."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Iterator
from typing import TypeVar

from comfykit_jupyter.client.errors import ComfyKitError, ServerError

T = TypeVar("T")


class Busy(ServerError):
    """The server asks to come back later.

    Attributes:
        why: The reason, without the server's address.
        code: The server's name or number for the reason; None if it has none.
        pause: Seconds to wait, where the server says it; else 0.
    """

    def __init__(self, message: str, *, why: str = "", code: str | int | None = None, pause: float = 0.0) -> None:
        super().__init__(message, status=429)
        self.why = why
        self.code = code
        self.pause = pause


def backoff(first: float, most: float, factor: float = 2.0) -> Iterator[float]:
    """Yield pauses in seconds without end: `first`, then each longer by `factor`, up to `most`.

    >>> from itertools import islice
    >>> list(islice(backoff(1.0, 8.0), 5))
    [1.0, 2.0, 4.0, 8.0, 8.0]
    """
    pause = first
    while True:
        yield min(pause, most)
        pause = min(pause * factor, most)


async def retry(
    work: Callable[[], Awaitable[T]], pauses: Iterable[float], is_temporary: Callable[[ComfyKitError], bool]
) -> T:
    """Do work that may be repeated, and repeat it while it fails for a moment.

    Args:
        work: What to do.
        pauses: Seconds before each further attempt; longer if the server asks for it.
        is_temporary: Whether another attempt may succeed after this error.

    Raises:
        ComfyKitError: The last attempt failed, or an error is permanent.
    """
    for pause in pauses:
        try:
            return await work()
        except ComfyKitError as error:
            if not is_temporary(error):
                raise
            wait = max(pause, error.pause) if isinstance(error, Busy) else pause
        await asyncio.sleep(wait)
    return await work()
