"""Test what a run says while its server does not answer, and that the user can stop waiting."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.comfyui import follow, socket
from comfykit_jupyter.client.running.cancel import stop_waiting
from comfykit_jupyter.client.running.run import Run
from tests.kits import MakeKit

from . import workflows
from .nodes import Gate
from .proxy import Proxy
from .test_cancel import wait_for


def is_silent(run: Run) -> bool:
    return run.progress.gives_up_in is not None


def take_away(proxy: Proxy) -> None:
    """Make a server refuse everything, as one that has died behind its gateway."""
    proxy.answer = lambda request: web.Response(status=502)
    proxy.sockets.treatment = "refuse"
    proxy.cut()


def start(proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], **settings: Any) -> Run:
    name, node_gate = gate
    run = make_kit(proxy.url, executor_type="websocket", **settings).submit(workflows.gated(name))
    node_gate.wait()
    return run


@pytest.fixture
def run(proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]) -> Run:
    """A run whose server has gone away."""
    run = start(proxy, make_kit, gate)
    take_away(proxy)
    wait_for(run, is_silent)
    return run


def test_run_counts_down_until_it_is_given_up(run: Run) -> None:
    progress = run.progress
    assert progress.gives_up_in is not None
    assert 50 < progress.gives_up_in <= 60
    assert progress.remaining is None
    assert f"the server does not answer, trying for {progress.gives_up_in:.0f} s more" in str(progress)
    stop_waiting([run])


def test_waiting_stops_at_once(run: Run) -> None:
    stop_waiting([run])
    wait_for(run, lambda run: run.status == "cancelled")
    error = asyncio.run(run.wait_for_result()).error
    assert error is not None
    assert error.message == "stopped waiting: the server does not answer, and the job may still run there"


def test_run_continues_when_the_server_answers_again(run: Run, proxy: Proxy, gate: tuple[str, Gate]) -> None:
    proxy.answer = lambda request: None
    proxy.sockets.treatment = "pass"
    wait_for(run, lambda run: not is_silent(run))
    gate[1].open()
    assert run.result(20).status == "completed"


def test_server_that_hangs_is_noticed_by_its_socket(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(socket, "QUIET", 0.05)
    monkeypatch.setattr(socket, "SILENT", 0.05)
    run = start(proxy, make_kit, gate)
    thaw = freeze(proxy)
    try:
        wait_for(run, is_silent)
    finally:
        thaw()
    wait_for(run, lambda run: not is_silent(run))
    gate[1].open()
    assert run.result(20).status == "completed"


def test_slow_answer_of_a_polled_server_is_noticed(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SLOW", 0.05)
    name, node_gate = gate
    run = make_kit(proxy.url, executor_type="http").submit(workflows.gated(name))
    node_gate.wait()
    thaw = freeze(proxy)
    try:
        wait_for(run, is_silent)
    finally:
        thaw()
    wait_for(run, lambda run: not is_silent(run))
    node_gate.open()
    assert run.result(20).status == "completed"


def freeze(proxy: Proxy) -> Callable[[], None]:
    """Block the proxy's thread, as a server that hangs; return what continues it."""
    go_on = threading.Event()
    blocked = threading.Event()

    def block() -> None:
        blocked.set()
        go_on.wait(20)

    proxy._loop.call_soon_threadsafe(block)
    assert blocked.wait(20)
    return go_on.set


def test_answering_server_is_not_called_silent(kit: ComfyKit) -> None:
    seen: list[float | None] = []
    run = kit.submit(workflows.picture())
    run.subscribe(progress=lambda progress: seen.append(progress.gives_up_in))
    run.result(20)
    assert set(seen) == {None}
