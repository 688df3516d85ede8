"""Servers for tests, each in its own thread: a base class, and a proxy that makes a ComfyUI misbehave."""

from __future__ import annotations

import asyncio
import io
import json
import ssl
import threading
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, Literal

import aiohttp
from aiohttp import web

from comfykit_jupyter.sandbox.serving import start_server, stop_server

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Answer = Callable[[web.Request], "web.StreamResponse | None"]

_LENGTHS = {"content-length", "transfer-encoding", "content-encoding", "connection", "host"}


class Served:
    """A server that passes all requests to one handler, on a free local port, during a `with` block."""

    def __init__(self, handler: Handler | None = None, tls: ssl.SSLContext | None = None) -> None:
        self.port = 0
        self._tls = tls
        self._handler = handler or self.handle
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._started: Future[None] = Future()
        self._stopping = asyncio.Event()

    @property
    def url(self) -> str:
        return f"{'https' if self._tls else 'http'}://127.0.0.1:{self.port}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def closing(self) -> None:
        """Close what a subclass opened."""

    def __enter__(self) -> Any:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(self, *_: object) -> None:
        self.call(self._stopping.set)
        self._thread.join()

    def call(self, function: Callable[[], Any]) -> None:
        """Call a function on the server's loop, and wait for it."""
        done: Future[None] = Future()

        def do() -> None:
            function()
            done.set_result(None)

        self._loop.call_soon_threadsafe(do)
        done.result()

    def _run(self) -> None:
        self._loop.run_until_complete(self._serve())
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    async def _serve(self) -> None:
        app = web.Application(client_max_size=1 << 30)
        app.router.add_route("*", "/{path:.*}", self._handler)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        listener = await start_server(runner, "127.0.0.1", self.port, self._tls)
        self.port = listener.getsockname()[1]
        self._started.set_result(None)
        await self._stopping.wait()
        await self.closing()
        await stop_server(runner, listener)


@dataclass(frozen=True)
class Seen:
    """One received request."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    query: str = ""


@dataclass
class Sockets:
    """How `/ws` is handled (passed on, refused, or unanswered), and which sockets are open."""

    treatment: Literal["pass", "refuse", "hang"] = "pass"
    flags: bool = True
    """Whether the client's feature flags are passed on."""
    greeting: Sequence[str | bytes] = ()
    """Frames sent before the server's."""
    answered: bool = False
    """Whether `Proxy.answer` is asked first."""
    dropped: set[str] = field(default_factory=set)
    """Types of the server's messages that are not passed on."""
    cut_after: int | None = None
    """Abort a socket after this many frames from the server."""
    opened: int = 0
    open: set[asyncio.Transport] = field(default_factory=set)
    changed: threading.Condition = field(default_factory=threading.Condition)


class Proxy(Served):
    """A proxy in front of a server that records requests and misbehaves on demand.

    `answer(request)` can return a response instead of the server's. For `lost` paths the connection is aborted after
    the server has received the request; responses to `held` paths wait for an event. With `chooses_ids` the server does
    not learn the client's prompt IDs, as an old one, and chooses its own.
    """

    def __init__(self, target: str, tls: ssl.SSLContext | None = None) -> None:
        super().__init__(tls=tls)
        self.target = target
        self.seen: list[Seen] = []
        self.came = threading.Condition()
        self.answer: Answer = lambda request: None
        self.lost: set[str] = set()
        self.held: dict[str, threading.Event] = {}
        self.chooses_ids = False
        self.sockets = Sockets()
        self.connections: set[Any] = set()
        self._session: aiohttp.ClientSession | None = None

    def requests(self, method: str, path: str) -> list[Seen]:
        return [seen for seen in self.seen if (seen.method, seen.path) == (method, path)]

    def wait_for(self, wanted: Callable[[Seen], bool]) -> None:
        """Wait until a matching request has been received."""
        with self.came:
            assert self.came.wait_for(lambda: any(map(wanted, self.seen)), 20)

    def cut(self) -> None:
        """Abort all sockets."""

        def abort() -> None:
            for transport in self.sockets.open:
                transport.abort()

        self.call(abort)

    async def closing(self) -> None:
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self._session is None:
            self._session = aiohttp.ClientSession(auto_decompress=False)
        self.connections.add(id(request.transport))
        body = await request.read()
        with self.came:
            self.seen.append(Seen(request.method, request.path, dict(request.headers), body, request.query_string))
            self.came.notify_all()
        if self.chooses_ids and request.path == "/prompt":
            body = json.dumps({**json.loads(body), "prompt_id": None}).encode()
        if request.path == "/ws" and not self.sockets.answered:
            return await self._socket(request, self._session)
        if (own := self.answer(request)) is not None:
            return own
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _LENGTHS}
        content = io.BytesIO(body) if body else None
        async with self._session.request(
            request.method, f"{self.target}{request.rel_url}", headers=headers, data=content, allow_redirects=False
        ) as response:
            answer = await response.read()
        if (held := self.held.get(request.path)) is not None:
            await asyncio.to_thread(held.wait, 20)
        if request.path in self.lost and request.transport is not None:
            request.transport.abort()
        kept = {name: value for name, value in response.headers.items() if name.lower() not in _LENGTHS}
        if request.method == "HEAD":
            kept["Content-Length"] = response.headers.get("Content-Length", "0")
        return web.Response(status=response.status, headers=kept, body=answer or None)

    async def _socket(self, request: web.Request, session: aiohttp.ClientSession) -> web.StreamResponse:
        if self.sockets.treatment == "refuse":
            return web.Response(status=404)
        if self.sockets.treatment == "hang":
            await self._stopping.wait()
            return web.Response(status=503)
        near = web.WebSocketResponse(compress=False)
        await near.prepare(request)
        transport = request.transport
        assert isinstance(transport, asyncio.Transport)
        with self.sockets.changed:
            self.sockets.opened += 1
            self.sockets.open.add(transport)
            self.sockets.changed.notify_all()
        try:
            async with session.ws_connect(f"{self.target}{request.rel_url}", max_msg_size=0) as far:
                if not self.sockets.flags:
                    await near.receive()
                for frame in self.sockets.greeting:
                    await (near.send_str(frame) if isinstance(frame, str) else near.send_bytes(frame))
                there = asyncio.ensure_future(_pass_on(near, far))
                back = asyncio.ensure_future(_pass_on(far, near, self.sockets.cut_after, self.sockets.dropped))
                await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
                if back.done() and back.result():
                    transport.abort()
        finally:
            with self.sockets.changed:
                self.sockets.open.discard(transport)
                self.sockets.changed.notify_all()
        return near


async def _pass_on(source: Any, target: Any, limit: int | None = None, dropped: Collection[str] = ()) -> bool:
    """Pass frames on until one end closes or the limit is reached; return whether it was the limit."""
    count = 0
    async for message in source:
        if dropped and message.type is aiohttp.WSMsgType.TEXT and json.loads(message.data)["type"] in dropped:
            continue
        try:
            if message.type is aiohttp.WSMsgType.TEXT:
                await target.send_str(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                await target.send_bytes(message.data)
        except ConnectionError:
            break
        count += 1
        if count == limit:
            return True
    await target.close()
    return False
