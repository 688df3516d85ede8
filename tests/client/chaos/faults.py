"""A proxy that misbehaves at random, by a seed, in front of a ComfyUI server: many campaigns share it."""

from __future__ import annotations

import asyncio
import json
import random
import socket
import struct
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from aiohttp import web

from tests.client.proxy import Served

BEFORE = ("reset", "gateway", "silent", "html", "junk")
"""What may happen to a request instead of its delivery."""
AFTER = ("reset", "gateway", "silent", "html", "junk", "truncated", "trickle", "slow", "twice")
"""What may happen to an answer."""
SOCKET = ("refused", "hanging", "cut", "drop", "reorder", "double", "slow", "junk")
"""What may happen to a socket."""
JUNK = ("[]", "null", '"x"', "{}", '{"ID": null}', '{"ID": []}', '{"error": "x"}', '{"detail": "x"}', "", "{", "1e999")
"""Answers that say nothing about a job. `{}` does, for the history, and is left out there."""
_SKIPPED = {"content-length", "transfer-encoding", "content-encoding", "connection", "host"}
LATE_LOOKS = 3.0
"""Seconds in which the clients notice a late job."""
_SILENCE = 400
"""Tenths of a second after which a silent answer ends all the same."""


def find_comfyui_route(method: str, path: str) -> str:
    """Return the name of a route of ComfyUI."""
    route = path.split("/")[0]
    return "interrupt" if route == "queue" and method == "POST" else route


@dataclass(frozen=True)
class Site:
    """What the proxy has to know about a kind of server.

    Attributes:
        routes: The names of the routes that may fail.
        creating: The one that creates a job.
        find_route: Returns the name of a route from a method and a path without its first slash.
    """

    routes: tuple[str, ...]
    creating: str
    find_route: Callable[[str, str], str]


COMFYUI = Site(
    ("prompt", "history", "queue", "object_info", "system_stats", "interrupt", "ws"), "prompt", find_comfyui_route
)


@dataclass
class Weather:
    """What goes wrong in one campaign; the same for the same seed.

    Args:
        seed: The seed.
        site: The kind of server.
    """

    seed: int
    site: Site
    faults: dict[str, tuple[str, ...]] = field(default_factory=dict)
    rate: float = 0.0
    late: float | None = None
    """Seconds after which a prompt is delivered whose sender got another answer; None for never."""
    chooses_ids: bool = False
    calm: bool = False
    """Whether the faults are over."""
    posted: Counter[str] = field(default_factory=Counter)
    delivered: dict[str, str] = field(default_factory=dict)
    """The server's prompt ID, by the one that the client sent."""
    log: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        chance = random.Random(self.seed)
        self.rate = chance.choice((0.0, 0.1, 0.3, 0.6, 1.0))
        self.chooses_ids = chance.random() < 0.1
        self.late = chance.choice((None, None, 0.3, 1.0, 4.0, 6.0))
        routes = self.site.routes
        for route in chance.sample(routes, chance.choice((1, 2, 3, len(routes)))):
            known = SOCKET if route == "ws" else (*(f"{name}-before" for name in BEFORE), *AFTER)
            self.faults[route] = tuple(chance.sample(known, chance.choice((1, 2, 4))))
        self._counts: Counter[str] = Counter()

    def draw(self, route: str) -> tuple[str, random.Random]:
        """Return what happens to the next request of a route, "" for nothing, and the chance for its details."""
        self._counts[route] += 1
        chance = random.Random(f"{self.seed}/{route}/{self._counts[route]}")
        if self.calm or chance.random() >= self.rate or route not in self.faults:
            return "", chance
        found = chance.choice(self.faults[route])
        self.log.append(f"{route}: {found}")
        return found, chance


class Chaos(Served):
    """The proxy. Each campaign has an address of its own, which ends with its seed.

    Args:
        targets: The servers' addresses; a campaign has one of them.
        site: The kind of server.
    """

    def __init__(self, *targets: str, site: Site = COMFYUI) -> None:
        super().__init__()
        self.targets = targets
        self.site = site
        self.campaigns: dict[str, Weather] = {}
        self._session: aiohttp.ClientSession | None = None
        self._late: set[asyncio.Task[Any]] = set()

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of the proxy."""
        return self._loop

    def begin(self, seed: int) -> tuple[Weather, str]:
        """Begin a campaign, and return its weather and its address."""
        weather = self.campaigns[str(seed)] = Weather(seed, self.site)
        return weather, f"{self.url}/{seed}"

    def get_target(self, weather: Weather) -> str:
        return self.targets[weather.seed % len(self.targets)]

    def wait_for_late(self) -> None:
        """Wait until the last late prompt has been delivered, and a little longer for what is done about it."""
        while self._late:
            time.sleep(0.1)
        time.sleep(LATE_LOOKS)

    async def closing(self) -> None:
        for task in self._late:
            task.cancel()
        if self._session is not None:
            await self._session.close()

    async def handle(self, request: web.Request) -> web.StreamResponse:
        if self._session is None:
            connector = aiohttp.TCPConnector(limit=0)
            self._session = aiohttp.ClientSession(connector=connector, auto_decompress=False)
        _, seed, path = request.path.split("/", 2)
        weather = self.campaigns[seed]
        route = self.site.find_route(request.method, path)
        fault, chance = weather.draw(route)
        if route == "ws":
            return await self._tunnel(request, weather, fault, chance)
        body = await request.read()
        if route == "prompt":
            sent = json.loads(body)
            weather.posted[sent["prompt_id"]] += 1
        kind = fault.removesuffix("-before")
        if kind != fault:
            if route == self.site.creating and weather.late is not None:
                self._deliver_later(request, weather, path, body)
        elif route == "events" and not fault:
            return await self._stream(weather, request, path)
        else:
            answer = await self._deliver(weather, request, path, body)
            if not fault:
                return web.Response(status=answer[0], headers=answer[1], body=answer[2])
            return await self._spoil(request, weather, kind, chance, path, *answer)
        return await self._spoil(request, weather, kind, chance, path, 200, {}, b"{}")

    def _deliver_later(self, request: web.Request, weather: Weather, path: str, body: bytes) -> None:
        async def deliver() -> None:
            await asyncio.sleep(weather.late or 0)
            await self._deliver(weather, request, path, body)

        task = asyncio.ensure_future(deliver())
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    async def _deliver(
        self, weather: Weather, request: web.Request, path: str, body: bytes
    ) -> tuple[int, Mapping[str, str], bytes]:
        own = None
        if path == "prompt":
            sent = json.loads(body)
            own = sent["prompt_id"]
            if weather.chooses_ids:
                body = json.dumps({**sent, "prompt_id": None}).encode()
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _SKIPPED}
        target = f"{self.get_target(weather)}/{path}"
        assert self._session is not None
        async with self._session.request(
            request.method, target, params=request.query, headers=headers, data=body or None, allow_redirects=False
        ) as response:
            answer = await response.read()
            if own is not None and response.status == 200:
                weather.delivered[own] = json.loads(answer)["prompt_id"]
            kept = {name: value for name, value in response.headers.items() if name.lower() not in _SKIPPED}
            return response.status, kept, answer

    async def _stream(self, weather: Weather, request: web.Request, path: str) -> web.StreamResponse:
        """Pass on an answer that may never end."""
        headers = {name: value for name, value in request.headers.items() if name.lower() not in _SKIPPED}
        assert self._session is not None
        async with self._session.get(f"{self.get_target(weather)}/{path}", headers=headers) as source:
            kept = {name: value for name, value in source.headers.items() if name.lower() not in _SKIPPED}
            response = web.StreamResponse(status=source.status, headers=kept)
            await response.prepare(request)
            try:
                async for chunk in source.content.iter_any():
                    await response.write(chunk)
            except (ConnectionError, aiohttp.ClientError):
                pass
        return response

    async def _spoil(
        self,
        request: web.Request,
        weather: Weather,
        kind: str,
        chance: random.Random,
        path: str,
        status: int,
        headers: Mapping[str, str],
        answer: bytes,
    ) -> web.StreamResponse:
        """Answer in a wrong way."""
        transport = request.transport
        if kind == "gateway":
            return web.Response(status=chance.choice((500, 502, 503, 504)), text="<html>Bad Gateway</html>")
        if kind == "html":
            return web.Response(text="<html>log in first</html>", content_type="text/html")
        if kind == "junk":
            known = [each for each in JUNK if each != "{}" or not path.startswith("history")]
            junk = chance.choice(known).replace("ID", path.rpartition("/")[2])
            return web.Response(text=junk, content_type="application/json")
        if kind == "twice":
            return _Twice(status=status, headers=headers, body=answer)
        if kind == "slow":
            await asyncio.sleep(chance.uniform(0, 1.2))
            return web.Response(status=status, headers=headers, body=answer)
        if kind == "trickle":
            return await _trickle(request, answer)
        if kind == "silent":
            await _stay_silent(weather)
        elif kind == "truncated" and isinstance(transport, asyncio.Transport):
            transport.write(f"HTTP/1.1 200 OK\r\nContent-Length: {len(answer) + 9}\r\n\r\n".encode() + answer)
        _reset(transport)
        return web.Response(status=503)

    async def _tunnel(
        self, request: web.Request, weather: Weather, fault: str, chance: random.Random
    ) -> web.StreamResponse:
        if fault == "refused":
            return web.Response(status=chance.choice((403, 404, 502)))
        if fault == "hanging":
            await _stay_silent(weather)
        if request.transport is None:
            return web.Response()
        near = web.WebSocketResponse(compress=False)
        await near.prepare(request)
        target = f"{self.get_target(weather)}/ws"
        assert self._session is not None
        async with self._session.ws_connect(target, params=request.query, max_msg_size=0) as far:
            there = asyncio.ensure_future(_pass_on(near, far))
            back = asyncio.ensure_future(_disturb(weather, far, near, fault, chance))
            await asyncio.wait({there, back}, return_when=asyncio.FIRST_COMPLETED)
            if back.done() and fault == "cut":
                _reset(request.transport)
            for each in (there, back):
                each.cancel()
            await asyncio.wait({there, back})
        return near


class _Twice(web.Response):
    """An answer that comes twice."""

    async def prepare(self, request: web.BaseRequest) -> Any:
        self._own_transport = request.transport
        return await super().prepare(request)

    async def write_eof(self, data: bytes = b"") -> None:
        await super().write_eof(data)
        body = self.body if isinstance(self.body, bytes) else b""
        transport = self._own_transport
        if isinstance(transport, asyncio.Transport) and not transport.is_closing():
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
            transport.write(head.encode() + body)


async def _trickle(request: web.Request, answer: bytes) -> web.StreamResponse:
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    response.content_length = len(answer)
    await response.prepare(request)
    try:
        for at in range(len(answer)):
            await response.write(answer[at : at + 1])
            await asyncio.sleep(0.1)
    except ConnectionError:
        pass
    return response


async def _stay_silent(weather: Weather) -> None:
    for _ in range(_SILENCE):
        await asyncio.sleep(0.1)
        if weather.calm:
            break


def _reset(transport: asyncio.BaseTransport | None) -> None:
    """Close a connection with RST."""
    if isinstance(transport, asyncio.Transport) and not transport.is_closing():
        found = transport.get_extra_info("socket")
        if found is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        transport.abort()


async def _pass_on(source: Any, target: Any) -> None:
    async for message in source:
        await (target.send_str if message.type is aiohttp.WSMsgType.TEXT else target.send_bytes)(message.data)


async def _disturb(weather: Weather, source: Any, target: Any, fault: str, chance: random.Random) -> None:
    """Pass the server's messages on, and lose, repeat, reorder, delay or garble some."""
    held: list[Any] = []
    limit = chance.randrange(1, 25) if fault == "cut" else None
    rate = chance.choice((0.05, 0.3, 0.8))
    count = 0
    async for message in source:
        send = target.send_str if message.type is aiohttp.WSMsgType.TEXT else target.send_bytes
        hit = not weather.calm and chance.random() < rate
        count += 1
        if count == limit:
            return
        if hit and fault == "drop":
            continue
        if hit and fault == "junk":
            await target.send_str(
                chance.choice((message.data[:-3] if isinstance(message.data, str) else "", "[]", "{"))
            )
        if hit and fault == "slow":
            await asyncio.sleep(chance.uniform(0, 0.3))
        if hit and fault == "reorder":
            held.append((send, message.data))
            continue
        await send(message.data)
        if hit and fault == "double":
            await send(message.data)
        while held and chance.random() < 0.5:
            again, data = held.pop(chance.randrange(len(held)))
            await again(data)


def summarize(weather: Weather) -> str:
    """Describe a campaign in one line."""
    counts = Counter(weather.log)
    own = " chooses ids" if weather.chooses_ids else ""
    return f"seed {weather.seed} rate {weather.rate} late {weather.late}{own} {dict(counts)}"
