"""`Connection`: the httpx client of one server, made when it is first needed, on the background loop."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from weakref import WeakValueDictionary, finalize

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.settings import Settings, is_loopback
from comfykit_jupyter.client.transport.body import ENCODING, whole
from comfykit_jupyter.client.transport.tls import tls_context

if TYPE_CHECKING:
    import httpx

READ_TIMEOUT = 60.0
"""Seconds for the next bytes of an answer."""
ANSWER_LIMIT = 256 * 1024 * 1024
"""Bytes of an answer that is read into memory: the definitions of all nodes are 30 MB, a long history may be more."""
RETRY_AFTER = 5.0
"""Seconds to wait where a server asks for a pause and does not say how long."""
RETRY_AFTER_MOST = 120.0
"""Seconds that such a pause may take."""


class _Discreet(logging.Filter):
    """At DEBUG httpcore logs the headers of answers: among them are cookies, and the signed addresses of redirects."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether it may be logged; what other threads do with httpcore is their own."""
        return "receive_response_headers.complete" not in str(record.msg) or not loop.is_loop_thread()


_discreet = _Discreet()


class Connection:
    """The way to one server. Made without contacting it, from any thread; all else is for the background loop.

    Args:
        url: the server's address.
        settings: how it is reached.
        headers: gives what tells the server who we are: it goes there only, no redirect is followed.
        connect: seconds for a connection.
        pool: connections at the most.
        renewed: called when there is another event loop than before: whatever else belongs to one is to be made anew.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        headers: Callable[[], Awaitable[Mapping[str, str]]],
        *,
        connect: float = 10.0,
        pool: int = 16,
        renewed: Callable[[], None] | None = None,
    ) -> None:
        self.url = url
        self.secrets: Mapping[str, str] = {}
        """The headers that tell who we are, once there was a request."""
        self._settings = settings
        self._headers = headers
        self._connect = connect
        self._pool = pool
        self._renewed = renewed
        self._unconnected()

    def _unconnected(self) -> None:
        """All that belongs to one event loop, anew: the loop of a forked process is another one."""
        self._home: asyncio.AbstractEventLoop | None = None
        self._http: httpx.AsyncClient | None = None
        self._forgotten: finalize[Any, Any] | None = None
        self._opening = asyncio.Lock()
        self._moving: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _settle(self) -> None:
        """Begin anew on an event loop that is another one than before."""
        home = asyncio.get_running_loop()
        if self._home is home:
            return
        if self._forgotten is not None:
            self._forgotten.detach()
        self._unconnected()
        self._home = home
        if self._renewed is not None:
            self._renewed()

    async def client(self) -> httpx.AsyncClient:
        """The client, which has our secrets: its requests must go to this server's origin only."""
        self._settle()
        if self._http is not None:
            return self._http
        async with self._opening:
            if self._http is None:
                import httpx

                logging.getLogger("httpcore.http11").addFilter(_discreet)
                self.secrets = dict(await self._headers())
                self._http = httpx.AsyncClient(
                    base_url=self.url,
                    headers={**self.secrets, "Accept-Encoding": ENCODING},
                    timeout=httpx.Timeout(READ_TIMEOUT, connect=self._connect, pool=None),
                    limits=httpx.Limits(
                        max_connections=self._pool, max_keepalive_connections=self._pool, keepalive_expiry=60
                    ),
                    follow_redirects=False,  # secrets stay with their origin
                    trust_env=not is_loopback(self.url),
                    verify=tls_context(self._settings.verify) or True,
                    proxy=self._settings.proxy,
                )
                # most kits are never closed: when one is forgotten, its connections go with it
                self._forgotten = finalize(self, _close_later, asyncio.get_running_loop(), self._http)
                self._forgotten.atexit = False
        return self._http

    async def exchange(
        self, method: str, path: str, *, again: bool = False, limit: int = ANSWER_LIMIT, **options: Any
    ) -> httpx.Response:
        """One request and its whole answer.

        Args:
            method: GET, POST, …
            path: of the route, or an address of the same origin.
            again: whether it may be sent twice, when a kept connection turns out to be closed.
            limit: bytes of the answer at the most.
            options: for httpx.

        Raises:
            httpx.HTTPError: there is none. TooLarge: it has more bytes.
        """
        import httpx

        while True:
            client = await self.client()  # each time: it may be closed meanwhile
            try:
                async with client.stream(method, path, **options) as response:
                    return await whole(response, limit)
            except (httpx.RemoteProtocolError, httpx.ReadError):
                if not again:
                    raise
                again = False

    def moving(self, name: str) -> asyncio.Lock:
        """The lock of a file that is being sent or fetched: it goes over the wire once, whoever else wants it."""
        self._settle()
        return self._moving.setdefault(name, asyncio.Lock())

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        http, self._http = self._http, None
        if http is not None:
            if self._forgotten is not None:
                self._forgotten.detach()
            await http.aclose()


def _close_later(loop: asyncio.AbstractEventLoop, http: httpx.AsyncClient) -> None:
    if loop.is_running():
        asyncio.run_coroutine_threadsafe(http.aclose(), loop)


def retry_after(told: str | None) -> float:
    """Seconds to wait, from the header of this name: a number of them, or a date."""
    text = (told or "").strip()
    if text.isascii() and text.isdigit():
        return max(1.0, min(float(text[:9]), RETRY_AFTER_MOST))
    try:
        until = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return RETRY_AFTER
    return max(1.0, min(until, RETRY_AFTER_MOST))
