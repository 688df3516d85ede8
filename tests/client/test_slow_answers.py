"""Test runs on servers that answer slowly, byte by byte, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest
from aiohttp import web

from comfykit_jupyter import ServerError
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport import body, deadline
from comfykit_jupyter.client.transport.connection import Connection
from tests.kits import MakeKit

from . import workflows
from .nodes import Gate
from .proxy import Proxy, Served


async def test_run_ends_when_its_socket_says_so(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The look at the history gets no answer: it does not delay the end."""
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.WATCH_QUIET", 0.01)
    name, node_gate = gate
    silence = threading.Event()
    proxy.held = _HoldHistory(silence)
    running = asyncio.ensure_future(make_kit(proxy.url, executor_type="websocket").execute(workflows.gated(name)))
    await asyncio.to_thread(proxy.wait_for, lambda seen: seen.path.startswith("/history/"))
    node_gate.open()
    result = await asyncio.wait_for(running, 15)  # the answer is held for longer
    silence.set()
    assert (result.status, len(result.images)) == ("completed", 1)


class _HoldHistory(dict[str, threading.Event]):
    """Holds the answers to all paths of the history."""

    def __init__(self, event: threading.Event) -> None:
        self._event = event

    def get(self, path: str, default: Any = None) -> Any:
        return self._event if path.startswith("/history/") else default


async def test_events_are_a_sign_of_life(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run is not given up while the server reports its steps, or has it in its queue."""
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.WATCH_QUIET", 0.01)
    name, node_gate = gate
    proxy.answer = lambda request: (
        web.Response(status=502) if request.path.startswith(("/history/", "/queue")) else None
    )
    kit = make_kit(proxy.url, executor_type="websocket", patience=0.5)
    running = asyncio.ensure_future(kit.execute(workflows.gated(name)))
    await asyncio.to_thread(node_gate.wait)
    began = time.monotonic()
    await asyncio.to_thread(proxy.wait_for, lambda _: time.monotonic() - began > 1)
    node_gate.open()
    assert (await running).status == "completed"


async def test_queued_job_is_alive_while_the_history_is_away(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate
    away = True
    proxy.answer = lambda request: web.Response(status=502) if away and request.path.startswith("/history/") else None
    running = asyncio.ensure_future(make_kit(proxy.url, patience=0.3).execute(workflows.gated(name)))
    await asyncio.to_thread(node_gate.wait)
    await asyncio.to_thread(proxy.wait_for, lambda _: len(proxy.requests("GET", "/queue")) > 2)
    away = False
    node_gate.open()
    result = await running
    assert (result.status, len(result.images)) == ("completed", 1)


async def trickle(first: bytes = b"", pieces: int = 10_000) -> AsyncIterator[bytes]:
    """Yield a byte now and then."""
    yield first
    for _ in range(pieces):
        yield b" "
        await asyncio.sleep(0.02)


TRICKLING = {
    "/object_info/PreviewAny": ("unreachable", "unreachable"),
    "/system_stats": (None, None),
    "/prompt": ("unknown", "unknown"),
    "/history/": ("unreachable", None),
    "/ws": (None, None),
}
"""The kinds of error of runs, by HTTP and by the socket, if the answers to a path come byte by byte."""


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("path", TRICKLING)
@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_patience_is_kept_with_a_server_that_sends_byte_by_byte(
    path: str, executor: Any, proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.transport.deadline.ANSWER_LEAST", 0.4)
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.1)
    proxy.sockets.answered = path == "/ws"
    begun: list[Any] = []
    exchange = Connection.exchange

    async def limit(self: Connection, method: str, route: str, **options: Any) -> httpx.Response:
        if not route.startswith(path):
            options["within"] = None  # on a busy machine the other answers take longer, too
        return await exchange(self, method, route, **options)

    monkeypatch.setattr(Connection, "exchange", limit)

    def answer(request: web.Request) -> web.Response | None:
        if not request.path.startswith(path):
            return None
        begun.append(request.transport)
        return web.Response(body=trickle())

    proxy.answer = answer
    kit = make_kit(proxy.url, executor_type=executor, patience=0.4)
    result = await asyncio.wait_for(kit.execute(workflows.text()), 15)
    proxy.call(lambda: [transport.abort() for transport in begun])
    assert result.status == ("failed" if TRICKLING[path][executor == "websocket"] else "completed"), result.msg
    assert (result.error.kind if result.error else None) == TRICKLING[path][executor == "websocket"]


async def read(url: str, **options: Any) -> httpx.Response:
    """Send a request to a server, as a backend does."""

    async def no_headers() -> dict[str, str]:
        return {}

    connection = Connection(url, Settings(comfyui_url=url), no_headers)
    try:
        return await asyncio.wait_for(connection.exchange("GET", "/", **options), 15)
    finally:
        await connection.close()


def serve(generate: Callable[[], AsyncIterator[bytes]]) -> Served:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(body=generate())

    return Served(answer)


async def test_long_answer_may_take_longer_if_it_comes_fast_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(deadline, "SLOWEST", 10)
    with serve(lambda: trickle(pieces=50)) as site:  # 50 bytes in a second
        assert len((await read(site.url, within=0.3, long=True)).content) == 50
        with pytest.raises(httpx.ReadTimeout):
            await read(site.url, within=0.3)


async def test_long_answer_that_becomes_slow_is_given_up() -> None:
    with serve(lambda: trickle(b"x" * 100_000)) as site, pytest.raises(httpx.ReadTimeout):
        await read(site.url, within=0.3, long=True)


async def test_headers_that_come_byte_by_byte_are_given_up() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writers.append(writer)
        writer.write(b"HTTP/1.1 200 OK\r\nX: ")
        async for byte in trickle():
            if writer.is_closing():
                return
            writer.write(byte)

    writers: list[asyncio.StreamWriter] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        for long in (False, True):
            with pytest.raises(httpx.ReadTimeout):
                await read(f"http://127.0.0.1:{port}", within=0.3, long=long)
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)


async def test_waiting_for_a_free_connection_is_not_the_server_s_time() -> None:
    async def no_headers() -> dict[str, str]:
        return {}

    with serve(lambda: trickle(pieces=30)) as site:
        connection = Connection(site.url, Settings(comfyui_url=site.url), no_headers, pool=1)
        first = asyncio.ensure_future(connection.exchange("GET", "/"))
        await asyncio.sleep(0.1)
        answers = await asyncio.gather(first, connection.exchange("GET", "/", within=1.5))
        await connection.close()
    assert [len(each.content) for each in answers] == [30, 30]


async def test_request_behind_silent_ones_is_given_up_as_well() -> None:
    async def no_headers() -> dict[str, str]:
        return {}

    with serve(lambda: trickle()) as site:
        connection = Connection(site.url, Settings(comfyui_url=site.url), no_headers, pool=1)
        first = asyncio.ensure_future(connection.exchange("GET", "/"))  # no limit: it has the only connection
        with pytest.raises(httpx.ReadTimeout):
            await asyncio.wait_for(connection.exchange("GET", "/", within=0.3), 15)
        with connection.count_transfer():
            waiting = asyncio.ensure_future(connection.exchange("GET", "/", within=0.3))
            await asyncio.sleep(0.5)
            assert not waiting.done()  # a file is uploaded or downloaded
        first.cancel()
        waiting.cancel()
        await asyncio.wait({first, waiting})
        await connection.close()


@pytest.mark.parametrize("paths", [("/object_info/", "/system_stats"), ("/history/", "/queue")], ids=str)
@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_runs_on_a_silent_server_end_together(
    paths: tuple[str, ...], executor: Any, proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], patience: Patience
) -> None:
    """Requests for what all runs need are not repeated for each run when they get no answer."""
    proxy.sockets.treatment = "refuse"
    begun = stay_silent(proxy, *paths)
    kit = make_kit(proxy.url, executor_type=executor, patience=0.4)
    runs = [kit.execute(workflows.gated(gate[0])) for _ in range(10)]
    results = await asyncio.wait_for(asyncio.gather(*runs), 30)
    proxy.call(lambda: [transport.abort() for transport in begun])
    assert {result.error.kind for result in results if result.error} == {"unreachable"}
    assert len(proxy.requests("GET", paths[-1])) < len(runs)


async def test_all_requests_of_a_run_share_the_patience(proxy: Proxy, make_kit: MakeKit, patience: Patience) -> None:
    begun = stay_silent(proxy, "/prompt", "/history/", "/queue")
    result = await asyncio.wait_for(make_kit(proxy.url, patience=0.4).execute(workflows.text()), 15)
    proxy.call(lambda: [transport.abort() for transport in begun])
    assert result.error is not None
    assert (result.error.kind, "may still run" in str(result.msg)) == ("unreachable", True)
    assert max(patience) <= 0.4 < sum(patience)
    assert [each for each in patience[-2:] if each > patience.least] == []


async def test_download_that_comes_byte_by_byte_is_given_up(
    proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(body, "WINDOW", 0.2)
    begun = stay_silent(proxy, "/view")
    result = await make_kit(proxy.url).execute(workflows.picture())
    with pytest.raises(ServerError, match="no answer from"):
        await asyncio.wait_for(asyncio.to_thread(result.media[0].read), 15)
    proxy.call(lambda: [transport.abort() for transport in begun])


class Patience(list[float]):
    """The seconds that the answers to requests were allowed to take."""

    least = 0.05


@pytest.fixture
def patience(monkeypatch: pytest.MonkeyPatch) -> Patience:
    given = Patience()
    begin = deadline.Silence.begin

    def note(self: deadline.Silence, patience: float, size: int = 0) -> float:
        seconds = begin(self, patience, 0)
        if patience < 1:  # others are of jobs that an earlier test left behind
            given.append(seconds)
        return seconds

    monkeypatch.setattr(deadline, "ANSWER_LEAST", Patience.least)
    monkeypatch.setattr(deadline.Silence, "begin", note)
    return given


def stay_silent(proxy: Proxy, *paths: str) -> list[Any]:
    """Never answer requests to these paths. Returns the connections, which are to be cut in the end."""
    begun: list[Any] = []

    def answer(request: web.Request) -> web.Response | None:
        if not request.path.startswith(paths):
            return None
        begun.append(request.transport)
        return web.Response(body=trickle())

    proxy.answer = answer
    return begun
