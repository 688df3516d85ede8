"""Test runs on servers that answer slowly, byte by byte, or not at all."""

from __future__ import annotations

import asyncio
import threading
import time
from typing import Any

import pytest
from aiohttp import web

from . import workflows
from .conftest import MakeKit
from .nodes import Gate
from .proxy import Proxy


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
