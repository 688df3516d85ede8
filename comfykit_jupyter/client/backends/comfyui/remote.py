"""A tunnel to a server that only its own machine reaches, for engines that can call functions there.

`ServerEnd` is on the server's machine: it sends requests to the server, and passes its events on. `RemoteTunnel` is on
this one: it is how a `ComfyUI` backend reaches the server. The engine calls the methods of the one for the other, each
call once, and carries the events.
"""

from __future__ import annotations

import asyncio
import logging
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Protocol

import httpx

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.settings import Settings, resolve_settings
from comfykit_jupyter.client.transport.credentials import build_secret_headers
from comfykit_jupyter.client.transport.websocket import open_websocket

logger = logging.getLogger(__name__)

RENEW, LEASE = 5.0, 30.0
"""Seconds after which a client asks again for a server's events, and after which it gets no more if it does not."""
PREVIEW_RATE = 128_000
"""Bytes of previews a second that one server sends to one client: all pass through one process of the engine's."""
FRAME_LIMIT = 1 << 18
"""The largest event in bytes: an engine may keep many. What a larger one says is read from the history."""
FILE_PATIENCE = 15.0
"""Seconds for which an unavailable file is requested again: a worker that was killed may be back."""
CHUNK, LIMIT = 8 << 20, 1 << 28
"""Bytes of a file that are asked for at once, and the most of any other answer."""
TIMEOUT = httpx.Timeout(600, connect=5)
"""Seconds for an answer beside the server; how long it is waited for is decided at the other end."""
_HOP = ("host", "connection", "transfer-encoding", "content-length")

Event = dict[str, Any]
"""A message of a server's socket on its way: `relay` (whose), `count` (of those that must arrive), `frame`."""


class Engine(Protocol):
    """What carries calls and events between the two ends."""

    receivers: dict[str, Callable[[Event], None]]
    """What gets the events, by their `relay`; they may be called in another thread."""

    async def ask(self, label: str, method: str, *args: Any) -> Any:
        """Call a method of a server's `ServerEnd` at most once, and return what that returns.

        Raises:
            ConnectionRefusedError: It was not called.
            OSError: There is no answer.
        """

    def subscribe(self) -> None:
        """Receive the events of all servers from now on."""


# -- on the server's machine -------------------------------------------------------------------------------------------


class ServerEnd:
    """The end of a tunnel beside the server. Secrets come from the environment here.

    Args:
        url: The server's address on this machine.
        send: Sends an event to all clients, in order.
    """

    def __init__(self, url: str, send: Callable[[Event], None]) -> None:
        self.url = url
        self._send = send
        self._settings = resolve_settings({"comfyui_url": url})
        self._http: httpx.AsyncClient | None = None
        self._relays: dict[str, Relay] = {}

    async def exchange(self, method: str, path: str, headers: list[tuple[str, str]], body: bytes) -> Any:
        """Return the answer to a request: its status, headers and body; if there is none, why, and whether it was sent.

        Args:
            method: GET, POST, …
            path: The path and query.
            headers: Its headers, without secrets.
            body: Its body.
        """
        if self._http is None:
            own = await build_secret_headers(self._settings)
            self._http = httpx.AsyncClient(base_url=self.url, headers=own, timeout=TIMEOUT, trust_env=False)
        content = bytearray()
        try:
            async with self._http.stream(method, path, headers=headers, content=body) as response:
                async for chunk in response.aiter_raw():
                    content += chunk
                    if len(content) > LIMIT:
                        return f"an answer of more than {LIMIT >> 20} MB", True
        except httpx.HTTPError as error:
            return f"{type(error).__name__} on its machine", not isinstance(error, httpx.ConnectError)
        return response.status_code, response.headers.multi_items(), bytes(content)

    async def listen(self, id: str, query: str, hello: str) -> int | None:  # noqa: A002
        """Send a client the server's events, or continue to; return how many it must have got, None if that has ended.

        A server sends the events of a client to its newest socket, and forgets both when the older one is closed. So
        that is closed before.

        Args:
            id: The name of the client's socket.
            query: The query of the socket's address, which names the client.
            hello: The first message, with which it begins; "" to continue.
        """
        relay = self._relays.get(query)
        if hello:
            if relay is not None:
                await loop.end_task(relay.task)
            self._relays = {each: old for each, old in self._relays.items() if not old.task.done()}
            relay = self._relays[query] = Relay(self, id, query, hello)
            await relay.opened.wait()
        if relay is None or relay.id != id or relay.task.done():
            return None
        relay.renewed_at = time.monotonic()
        return relay.count

    async def close(self) -> None:
        """Close all connections."""
        for relay in self._relays.values():
            await loop.end_task(relay.task)
        if self._http is not None:
            await self._http.aclose()


class Relay:
    """Passes the events of one client on, until it has not asked for them for some time."""

    def __init__(self, end: ServerEnd, id: str, query: str, hello: str) -> None:  # noqa: A002
        self.id, self.count, self.renewed_at = id, 0, time.monotonic()
        self.opened = asyncio.Event()
        self.task = asyncio.ensure_future(self._run(end, query, hello))
        self._send_event = end._send  # noqa: SLF001 - its own

    async def _run(self, end: ServerEnd, query: str, hello: str) -> None:
        from websockets.exceptions import WebSocketException

        settings, next_preview_at = end._settings, 0.0  # noqa: SLF001 - its own
        headers = await build_secret_headers(settings)
        try:
            async with open_websocket(f"ws{end.url[4:]}/ws?{query}", headers, settings) as connection:
                await connection.send(hello)
                self.opened.set()
                while time.monotonic() - self.renewed_at < LEASE:
                    try:
                        frame = await loop.wait_for(connection.recv(), RENEW)
                    except asyncio.TimeoutError:
                        continue
                    if isinstance(frame, str) and '"prompt_id"' in frame:
                        self.count += 1
                        self._pass_on(frame)
                    elif isinstance(frame, bytes) and time.monotonic() >= next_preview_at:
                        next_preview_at = time.monotonic() + len(frame) / PREVIEW_RATE
                        self._pass_on(frame)
        except (OSError, WebSocketException, asyncio.TimeoutError) as error:
            logger.debug("no event socket: %s", type(error).__name__)
        finally:
            self._send_event({"relay": self.id, "count": -1, "frame": ""})
            self.opened.set()

    def _pass_on(self, frame: str | bytes) -> None:
        if len(frame) <= FRAME_LIMIT:  # else the count of the next one says that something is missing
            self._send_event({"relay": self.id, "count": self.count, "frame": frame})


# -- on this machine ---------------------------------------------------------------------------------------------------


class RemoteTunnel:
    """The end of a tunnel on this machine; a `Tunnel`.

    Args:
        label: The server's address as it is shown.
        engine: What carries its calls and events.
    """

    def __init__(self, label: str, engine: Engine) -> None:
        self.label = label
        self.engine = engine

    async def ask(self, method: str, *args: Any) -> Any:
        """Call a method of the `ServerEnd`; see `Engine.ask`."""
        return await self.engine.ask(self.label, method, *args)

    def build_transport(self) -> httpx.AsyncBaseTransport:
        """See `Tunnel`."""
        return _Transport(self)

    def open_socket(self, url: str, headers: dict[str, str], settings: Settings) -> _Socket:  # noqa: ARG002
        """See `Tunnel`."""
        return _Socket(self, url.partition("?")[2])


class _Transport(httpx.AsyncBaseTransport):
    def __init__(self, tunnel: RemoteTunnel) -> None:
        self._tunnel = tunnel

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send a request. A file comes in several pieces, so that no process on the way needs to hold all of it."""
        await request.extensions["trace"]("tunnel.send", {})  # it does not wait for a free connection
        body = await request.aread()
        path = request.url.raw_path.decode()[len(httpx.URL(self._tunnel.label).path) :]
        headers = [(name, value) for name, value in request.headers.multi_items() if name not in _HOP]
        if request.method == "GET" and path.startswith("/view?"):
            headers.append(("Range", f"bytes=0-{CHUNK - 1}"))
        status, answered, content = await self._exchange(request, path, headers, body)
        stream: httpx.AsyncByteStream = httpx.ByteStream(content)
        size = int(answered.get("content-range", "").rpartition("/")[2] or 0) if status == 206 else 0
        if size:
            status, answered["content-length"] = 200, str(size)
            stream = _Pieces(content, size, lambda at: self._read_piece(request, path, headers[:-1], at))
        return httpx.Response(status, headers=answered, stream=stream, extensions={"network_stream": self})

    async def _read_piece(self, request: httpx.Request, path: str, headers: list[tuple[str, str]], at: int) -> bytes:
        headers = [*headers, ("Range", f"bytes={at}-{at + CHUNK - 1}")]
        status, _, content = await self._exchange(request, path, headers, b"")
        if status != 206 or not content:
            raise httpx.ReadError("the file has changed", request=request)
        return content

    async def _exchange(
        self, request: httpx.Request, path: str, headers: list[tuple[str, str]], body: bytes
    ) -> tuple[int, httpx.Headers, bytes]:
        """Return the status, headers and body of an answer. A file is asked for again if the server's engine is away.

        It is the last that is wanted of a job, and nothing else would ask again.
        """
        until = time.monotonic() + (FILE_PATIENCE if path.startswith("/view?") else 0)
        while True:
            failure: httpx.HTTPError
            try:
                answer = await self._tunnel.ask("exchange", request.method, path, headers, body)
                if len(answer) == 3:
                    return answer[0], httpx.Headers(answer[1]), answer[2]
                failure = (httpx.ReadError if answer[1] else httpx.ConnectError)(answer[0], request=request)
            except ConnectionRefusedError as error:
                failure = httpx.ConnectError(str(error), request=request)
            except OSError as error:
                failure = httpx.ReadError(str(error), request=request)
            if time.monotonic() > until:
                raise failure
            await asyncio.sleep(1)


class _Pieces(httpx.AsyncByteStream):
    def __init__(self, first: bytes, size: int, read: Callable[[int], Awaitable[bytes]]) -> None:
        self._first, self._size, self._read = first, size, read

    async def __aiter__(self) -> AsyncIterator[bytes]:
        content, at = self._first, 0
        while True:
            yield content
            at += len(content)
            if at >= self._size:
                return
            content = await self._read(at)


class _Socket:
    """Stands for the connection of a websocket."""

    def __init__(self, tunnel: RemoteTunnel, query: str) -> None:
        self._tunnel, self._query = tunnel, query
        self._id = uuid.uuid4().hex
        self._events: asyncio.Queue[Event] = asyncio.Queue()
        self._received = self._expected = 0
        self._renewed_at = time.monotonic()
        self._renewing: asyncio.Future[None] | None = None

    async def __aenter__(self) -> _Socket:
        home = asyncio.get_running_loop()

        def receive(event: Event) -> None:
            home.call_soon_threadsafe(self._events.put_nowait, event)

        self._tunnel.engine.receivers[self._id] = receive
        self._tunnel.engine.subscribe()
        return self

    async def __aexit__(self, *_: object) -> None:
        del self._tunnel.engine.receivers[self._id]
        if self._renewing is not None:
            self._renewing.cancel()

    async def send(self, text: str) -> None:
        """Send the first message, with which the events begin."""
        if await self._tunnel.ask("listen", self._id, self._query, text) is None:
            raise ConnectionError("the server has no event socket")

    def ping(self) -> asyncio.Future[None]:
        """Return a future that is done when the server's machine has answered."""
        if self._renewing is None or (self._renewing.done() and time.monotonic() - self._renewed_at > RENEW):
            self._renewing = asyncio.ensure_future(self._renew())
        return self._renewing

    async def _renew(self) -> None:
        """Ask for further events. Those that were on their way at the time before must have arrived."""
        try:
            count = await self._tunnel.ask("listen", self._id, self._query, "")
        except OSError:
            count = None
        if count is None or self._expected > self._received:
            self._events.put_nowait({"count": -1})
        self._expected = count or 0
        self._renewed_at = time.monotonic()

    async def __aiter__(self) -> AsyncIterator[str | bytes]:
        while True:
            event = await self._events.get()
            frame, count = event.get("frame"), event.get("count")
            if not isinstance(frame, (str, bytes)) or count != self._received + isinstance(frame, str):
                raise ConnectionError("events are missing")
            self._received = count
            yield frame
            if time.monotonic() - self._renewed_at > RENEW:
                self.ping()
