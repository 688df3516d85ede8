"""`SharedRequest`: one request that many runs wait for, and whose failure they share."""

from __future__ import annotations

import asyncio
import time
from types import TracebackType

from comfykit_jupyter.client.errors import ServerError


class SharedRequest:
    """A lock around a request for what all runs need. It belongs to one event loop.

    Runs that waited while the request failed get the same error. If each asked a silent server in turn, a hundred runs
    would wait a hundred times as long.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._failed_at = float("-inf")
        self._failure: ServerError | None = None

    async def __aenter__(self) -> None:
        began = time.monotonic()
        await self._lock.acquire()
        failure = self._failure
        if failure is not None and self._failed_at >= began:
            self._lock.release()
            raise ServerError(str(failure), status=failure.status, sent=failure.sent)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if isinstance(error, ServerError):
            self._failed_at, self._failure = time.monotonic(), error.with_traceback(None)
        else:
            self._failure = None
        self._lock.release()
