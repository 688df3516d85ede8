"""`Connection`: the httpx client of one server, created on the background loop when it is first needed."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from email.utils import parsedate_to_datetime
from math import inf
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit
from weakref import WeakValueDictionary, finalize

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.addresses import is_loopback
from comfykit_jupyter.client.errors import SettingsError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.anonymous import find_proxy
from comfykit_jupyter.client.transport.body import ENCODING, read_body
from comfykit_jupyter.client.transport.deadline import Meter, wait_for_answer
from comfykit_jupyter.client.transport.surplus import GUARDS
from comfykit_jupyter.client.transport.tls import build_tls_context
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    import httpx

    from comfykit_jupyter.client.transport.tunnel import Tunnel

READ_TIMEOUT = 60.0
"""Seconds until the next bytes of an answer."""
ANSWER_LIMIT = 16 * 1024 * 1024
"""Maximum size in bytes of an answer about one thing, such as a job's record."""
LIST_LIMIT = 128 * 1024 * 1024
"""Maximum size in bytes of a list: the definitions of all nodes are 30 MB, a queue of 500 jobs is 11 MB."""
TRANSFER = 1_000_000
"""Bytes that may take so long to send or to receive that other requests wait for the connection."""
RETRY_AFTER = 5.0
"""Seconds to wait if a server asks for a pause and does not say how long."""
RETRY_AFTER_MOST = 120.0
"""Maximum of such a pause."""


class _Discreet(logging.Filter):
    """Keeps the headers of answers out of httpcore's log: they include cookies and signed addresses of redirects."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether a record may be logged. What other threads do with httpcore is not filtered."""
        return "receive_response_headers.complete" not in str(record.msg) or not loop.is_loop_thread()


_discreet = _Discreet()


class Connection:
    """The HTTP connections to one server.

    It can be created in any thread, and connects when it is first used. Everything else runs on the background loop.

    Args:
        url: The server's address.
        settings: How the server is reached.
        headers: Returns the headers that authenticate us. They go to this server only: no redirect is followed.
        connect: Seconds for a connection.
        pool: Maximum number of connections.
        query: What the query of each request ends with. It may be a secret.
        on_new_loop: Called when the event loop is not the one of before: what belongs to that loop is to be replaced.
        tunnel: Another way to the server.
    """

    def __init__(
        self,
        url: str,
        settings: Settings,
        headers: Callable[[], Awaitable[Mapping[str, str]]],
        *,
        connect: float = 10.0,
        pool: int = 16,
        query: str = "",
        on_new_loop: Callable[[], None] | None = None,
        tunnel: Tunnel | None = None,
    ) -> None:
        self.url = url
        self.secrets: Mapping[str, str] = {}
        """The headers that authenticate us; empty before the first request."""
        self._settings = settings
        self._headers = headers
        self._connect = connect
        self._pool = pool
        self._query = query
        self._tunnel = tunnel
        self._transfers = 0
        self._moved_at = float("-inf")
        self._on_new_loop = on_new_loop
        self._reset()

    def _reset(self) -> None:
        """Forget what belongs to one event loop: a forked process has another one."""
        self._home: asyncio.AbstractEventLoop | None = None
        self._http: httpx.AsyncClient | None = None
        self._forgotten: finalize[Any, Any] | None = None
        self._opening = asyncio.Lock()
        self._moving: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    def _use_running_loop(self) -> None:
        """Start again if the event loop is not the one of before."""
        home = asyncio.get_running_loop()
        if self._home is home:
            return
        if self._forgotten is not None:
            self._forgotten.detach()
        self._reset()
        self._home = home
        if self._on_new_loop is not None:
            self._on_new_loop()

    async def get_client(self) -> httpx.AsyncClient:
        """Return the client. It carries our secrets: its requests must go to this server's origin only."""
        self._use_running_loop()
        if self._http is not None:
            return self._http
        async with self._opening:
            if self._http is None:
                import httpx

                logging.getLogger("httpcore.http11").addFilter(_discreet)
                self.secrets = dict(await self._headers())
                limits = httpx.Limits(
                    max_connections=self._pool, max_keepalive_connections=self._pool, keepalive_expiry=60
                )
                try:
                    self._http = self._build_client(limits)
                except ImportError:  # httpx has no other reason
                    raise SettingsError(
                        "proxy: a SOCKS proxy needs the package socksio: install httpx[socks]"
                    ) from None
                # most kits are never closed: their connections are closed when they are garbage collected
                self._forgotten = finalize(self, _close_later, asyncio.get_running_loop(), self._http)
                self._forgotten.atexit = False
        return self._http

    def _build_client(self, limits: httpx.Limits) -> httpx.AsyncClient:
        import httpx

        if self._tunnel is not None:
            return httpx.AsyncClient(
                base_url=self.url,
                headers={"Accept-Encoding": ENCODING},
                transport=self._tunnel.build_transport(),
                trust_env=False,
                event_hooks=GUARDS,
            )
        proxy, transport = self._settings.proxy, None
        verify = self._settings.verify
        needs_tls = verify is not True or proxy or not self.url.startswith("http://") or not is_loopback(self.url)
        tls = build_tls_context(verify) if needs_tls else False  # its certificates take 20 ms to read
        if self._query:
            from comfykit_jupyter.client.transport.query import QueryTransport

            route = proxy or find_proxy(self.url)
            transport = QueryTransport(self._query, httpx.AsyncHTTPTransport(verify=tls, limits=limits, proxy=route))
            proxy = None  # the client would send its requests by a transport of its own
        return httpx.AsyncClient(
            base_url=self.url,
            headers={**self.secrets, "Accept-Encoding": ENCODING},
            timeout=httpx.Timeout(READ_TIMEOUT, connect=self._connect, pool=None),
            limits=limits,
            follow_redirects=False,  # secrets stay with their origin
            trust_env=not is_loopback(self.url),
            verify=tls,
            proxy=proxy,
            transport=transport,
            event_hooks=GUARDS,
        )

    async def exchange(
        self,
        method: str,
        path: str,
        *,
        again: bool = False,
        limit: int = ANSWER_LIMIT,
        within: float | None = None,
        long: bool = False,
        **options: Any,
    ) -> httpx.Response:
        """Send one request and return its whole answer.

        Args:
            method: GET, POST, …
            path: The path of the route, or an address of the same origin.
            again: Whether it may be sent twice, if a kept connection turns out to be closed.
            limit: Maximum size of the answer in bytes.
            within: Seconds for the whole answer; None: no limit, as long as bytes come.
            long: Whether its body may take longer, if it comes fast enough; see `wait_for_answer`.
            options: For httpx.

        Raises:
            httpx.HTTPError: There is no answer.
            TooLarge: The answer is larger.
        """
        import httpx

        await self.get_client()  # that may take a moment, which is not the server's
        meter = Meter()
        task = asyncio.ensure_future(self._exchange(method, path, meter, again=again, limit=limit, **options))
        seconds = inf if within is None else within
        await wait_for_answer(task, meter, seconds, long=long, moved_at=self._get_moved_at)
        if task.cancelled():
            raise httpx.ReadTimeout("the answer takes too long")
        self._moved_at = time.monotonic()
        return task.result()

    @contextlib.contextmanager
    def count_transfer(self, size: float = inf) -> Iterator[None]:
        """Let other requests wait for a free connection while so many bytes are sent or received."""
        self._transfers += size > TRANSFER
        try:
            yield
        finally:
            self._transfers -= size > TRANSFER

    def _get_moved_at(self) -> float:
        """Return when a request was done last, on the monotonic clock: others may get its connection."""
        return time.monotonic() if self._transfers else self._moved_at

    async def _exchange(
        self, method: str, path: str, meter: Meter, *, again: bool, limit: int, **options: Any
    ) -> httpx.Response:
        import httpx

        async def attempt() -> httpx.Response:
            async with self.stream(method, path, extensions={"trace": meter.trace}, **options) as response:
                meter.begin(response)
                return await read_body(response, limit)

        try:
            return await attempt()
        except (httpx.RemoteProtocolError, httpx.ReadError):
            if not again:
                raise
        return await attempt()

    @contextlib.asynccontextmanager
    async def stream(self, method: str, path: str, **options: Any) -> AsyncIterator[httpx.Response]:
        """Send one request and yield its answer; its body is not read yet.

        Args:
            method: GET, POST, …
            path: The path of the route, or an address of the same origin.
            options: For httpx.

        Raises:
            httpx.HTTPError: There is no answer.
        """
        client = await self.get_client()
        async with client.stream(method, path, **options) as response:
            try:
                yield response
            finally:
                if client.is_closed:  # meanwhile: httpx forgets a connection that is being opened then
                    await response.extensions["network_stream"].aclose()

    def lock_file(self, name: str) -> asyncio.Lock:
        """Return the lock of a file that is uploaded or downloaded: several runs that want it transfer it once."""
        self._use_running_loop()
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


def describe_redirect(location: str) -> str:
    """Return where a redirect leads, without its query, name, password and fragment, which may be secrets."""
    try:
        target = urlsplit(location)
        host = f"[{target.hostname}]" if ":" in (target.hostname or "") else target.hostname
        port = f":{target.port}" if target.port else ""
    except ValueError:
        return "an address that is not valid"
    origin = f"{target.scheme or 'http'}://{host}{port}" if host else ""
    return one_line(f"{origin}{target.path}", 200) or "an unknown address"


def parse_retry_after(value: str | None) -> float:
    """Return the seconds to wait, from the header `Retry-After`: a number of seconds, or a date."""
    text = (value or "").strip()
    if text.isascii() and text.isdigit():
        return max(1.0, min(float(text[:9]), RETRY_AFTER_MOST))
    try:
        until = parsedate_to_datetime(text).timestamp() - time.time()
    except (ValueError, TypeError, OverflowError, IndexError):
        return RETRY_AFTER
    return max(1.0, min(until, RETRY_AFTER_MOST))
