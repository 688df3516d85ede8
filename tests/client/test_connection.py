"""Test runs over bad connections: broken sockets, lost replies, restarting and unreachable servers."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, RunFailed
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.connection import Connection
from comfykit_jupyter.client.transport.deadline import Meter
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit
from tests.ports import find_free_port

from . import workflows
from .conftest import Jobs
from .nodes import PATIENCE, Gate
from .proxy import Proxy, Served

ROOT = Path(__file__).parents[2]


def wait_until(run: Run, status: str) -> None:
    met = threading.Event()
    stop = run.subscribe(progress=lambda progress: met.set() if progress.status == status else None)
    assert met.wait(20)
    stop()


def test_socket_broken_during_a_run_loses_nothing(proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = make_kit(proxy.url).submit(workflows.gated(name))
    node_gate.wait()
    proxy.cut()
    node_gate.open()
    result = run.result()
    assert (result.status, len(result.images)) == ("completed", 1)
    assert result.prompt_id == run.prompt_id
    assert len(proxy.requests("POST", "/prompt")) == 1


@pytest.mark.parametrize("frames", range(1, 16))
async def test_socket_can_break_after_any_message(frames: int, proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.sockets.cut_after = frames
    kit = make_kit(proxy.url, executor_type="websocket")
    good = await kit.execute(workflows.picture(), {"color": frames})
    assert (good.status, len(good.images), good.error) == ("completed", 1, None)
    failed = await kit.execute(workflows.failing(), {"color": frames})
    assert (failed.status, failed.msg) == ("failed", "The bomb: kaboom over 1 picture")
    assert len(failed.images) == 1
    assert len(proxy.requests("POST", "/prompt")) == 2


def test_repeatedly_broken_socket_is_reopened(proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = make_kit(proxy.url).submit(workflows.gated(name))
    node_gate.wait()
    for number in range(1, 4):
        wait_for_sockets(proxy, number)
        proxy.cut()
    wait_for_sockets(proxy, 4)
    node_gate.open()
    assert run.result().status == "completed"


def wait_for_sockets(proxy: Proxy, number: int) -> None:
    with proxy.sockets.changed:
        assert proxy.sockets.changed.wait_for(lambda: proxy.sockets.opened >= number, 20)


@pytest.mark.parametrize("treatment", ["refuse", "hang"])
async def test_run_does_not_wait_for_a_socket_that_never_opens(
    treatment: Any, proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.transport.websocket.OPEN_TIMEOUT", 600)
    proxy.sockets.treatment = treatment
    kit = make_kit(proxy.url, executor_type="websocket", timeout=60)
    for color in range(4):
        result = await kit.execute(workflows.picture(), {"color": color})
        assert (result.status, len(result.images)) == ("completed", 1), result.msg


async def test_run_without_events_ends_correctly(proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.sockets.treatment = "refuse"
    kit = make_kit(proxy.url, executor_type="websocket")
    failed = await kit.execute(workflows.failing())
    assert failed.msg == "The bomb: kaboom over 1 picture"
    assert len(failed.images) == 1
    assert (await kit.execute(workflows.showing({}))).status == "completed"


@pytest.mark.usefixtures("eager")
def test_late_socket_is_used(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.socket.RETRY_MOST", 0.25)
    name, node_gate = gate
    proxy.sockets.treatment = "refuse"
    run = make_kit(proxy.url).submit(workflows.gated(name))
    wait_until(run, "running")
    proxy.sockets.treatment = "pass"
    wait_for_sockets(proxy, 1)
    node_gate.open()
    assert run.result().status == "completed"


@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_prompt_with_a_lost_reply_is_found_and_not_sent_again(
    executor: Any, proxy: Proxy, make_kit: MakeKit, jobs: Jobs
) -> None:
    proxy.lost.add("/prompt")
    result = await make_kit(proxy.url, executor_type=executor).execute(workflows.picture(), {"color": 77})
    assert (result.status, len(result.images)) == ("completed", 1)
    assert len(proxy.requests("POST", "/prompt")) == 1
    assert jobs.history(str(result.prompt_id)) is not None


def test_job_lost_by_a_server_restart_is_reported(
    make_kit: MakeKit, gate: tuple[str, Gate], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_AGAIN", 0.1)
    name, node_gate = gate
    port = find_free_port()
    first = Sandbox(port=port, folder=tmp_path).start()
    runs = [make_kit(first.url)._prepare(workflows.gated(name), {}, listen=listen).start() for listen in (True, False)]
    node_gate.wait()
    for run in runs:
        wait_until_posted(run)
    first.stop()
    with Sandbox(port=port, folder=tmp_path):
        outcomes = []
        for run in runs:
            with pytest.raises(RunFailed) as caught:
                run.result()
            outcomes.append(caught.value.result.error.kind)
    # the listening run may still receive the interruption
    assert outcomes[1] == "gone"
    assert outcomes[0] in ("gone", "interrupted")


def wait_until_posted(run: Run) -> None:
    met = threading.Event()
    stop = run.subscribe(
        progress=lambda progress: (
            met.set() if progress.status == "running" or progress.queue_position is not None else None
        )
    )
    assert met.wait(20)
    stop()


async def test_server_that_is_briefly_unreachable_is_waited_for(
    proxy: Proxy, either: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate
    kit = make_kit(proxy.url, executor_type=either.executor_type)
    running = asyncio.ensure_future(kit.execute(workflows.gated(name)))
    await asyncio.to_thread(node_gate.wait)
    asked = threading.Event()

    def away(request: web.Request) -> web.Response:
        asked.set()
        return web.Response(status=502)

    proxy.answer = away
    proxy.sockets.treatment = "refuse"
    proxy.cut()
    assert await asyncio.to_thread(asked.wait, 20)
    node_gate.open()  # not before: a request that is on its way could still bring the end
    proxy.answer = lambda request: None
    assert (await running).status == "completed"


async def test_unreachable_server_is_given_up(
    proxy: Proxy, either: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate
    kit = make_kit(proxy.url, executor_type=either.executor_type, patience=0.3)
    running = asyncio.ensure_future(kit.execute(workflows.gated(name)))
    await asyncio.to_thread(node_gate.wait)
    proxy.answer = lambda request: web.Response(status=502)
    proxy.sockets.treatment = "refuse"
    proxy.cut()
    result = await running
    assert result.error is not None
    assert result.error.kind == "unreachable"
    assert "the job may still run there" in str(result.msg)
    assert result.prompt_id is not None


async def test_malformed_frames_are_ignored(sandbox: Sandbox, make_kit: MakeKit) -> None:
    frames: list[str | bytes] = [
        "", "[", "[" * 100_000, "null", "[]", '{"type": "status"}', '{"data": []}',
        '{"type": 1, "data": {"prompt_id": []}}', b"", b"\0" * 7, b"\0\0\0\1\0\0\0\1", b"\0\0\0\3\0\0\0\1x",
        b"\0\0\0\4\xff\xff\xff\xff{}", b"\0\0\0\4\0\0\0\2{}x", b"\0\0\0\4\0\0\0\2[]x",
    ]  # fmt: skip
    with Proxy(sandbox.url) as proxy:
        proxy.sockets.greeting = frames
        result = await make_kit(proxy.url, executor_type="websocket").execute(workflows.text())
        assert result.status == "completed"
        assert proxy.sockets.opened == 1


def test_garbage_collected_kit_closes_its_connections(proxy: Proxy) -> None:
    for _ in range(5):
        ComfyKit(proxy.url).run(workflows.text())
    gc.collect()
    with proxy.sockets.changed:
        assert proxy.sockets.changed.wait_for(lambda: not proxy.sockets.open, 20)
    assert proxy.sockets.opened == 5


def test_import_and_use_do_not_configure_logging_or_warnings(sandbox: Sandbox) -> None:
    script = f"""
import logging, warnings
before = (logging.root.handlers[:], logging.root.level, logging.lastResort, warnings.filters[:])
from comfykit_jupyter import ComfyKit
kit = ComfyKit({sandbox.url!r})
kit.run({workflows.text()!r})
assert before == (logging.root.handlers[:], logging.root.level, logging.lastResort, warnings.filters[:])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_normal_runs_log_nothing(kit: ComfyKit, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "comfykit_jupyter"):
        kit.run(workflows.text())
        with contextlib.suppress(RunFailed):
            kit.run(workflows.failing())
    assert not [record for record in caplog.records if record.name.startswith("comfykit_jupyter")]


@pytest.mark.parametrize("moment", ["connect_tcp.started", "connect_tcp.complete"])
def test_connection_that_is_being_opened_while_the_kit_is_closed_does_not_stay_open(
    moment: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """httpx no longer knows this connection when it is there: its request would leave it open."""
    over = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        await reader.read()
        over.set()
        writer.close()

    async def request() -> int:
        async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
            host, port = server.sockets[0].getsockname()
            connection = Connection(f"http://{host}:{port}", Settings(), no_headers)

            async def close(self: Meter, name: str, info: Any) -> None:
                if name == f"connection.{moment}":
                    await connection.close()

            monkeypatch.setattr(Meter, "trace", close)
            answer = await connection.exchange("GET", "/")
            await asyncio.wait_for(over.wait(), PATIENCE)
            return answer.status_code

    async def no_headers() -> dict[str, str]:
        return {}

    assert loop.call(request()) == 200


@pytest.mark.parametrize("turns", range(5))
def test_double_that_stops_closes_the_connection_that_it_is_accepting(turns: int) -> None:
    """Otherwise the garbage collector finds it later, and pytest blames another test."""

    class Late(Served):
        async def closing(self) -> None:
            peer.connect(("127.0.0.1", self.port))
            for _ in range(turns):
                await asyncio.sleep(0)

        async def handle(self, request: web.Request) -> web.StreamResponse:
            raise NotImplementedError

    with socket.socket() as peer, Late():
        pass
    gc.collect()
