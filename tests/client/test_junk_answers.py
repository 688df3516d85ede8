"""Test that answers that make no sense are not taken for an answer about the job."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from aiohttp import web

from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy

JUNK: list[Any] = [[], None, "x", {"ID": None}, {"ID": []}, {"ID": {}}, {"error": "x"}, {"detail": "x"}]


@pytest.mark.parametrize("executor", ["http", "websocket"])
@pytest.mark.parametrize("junk", JUNK, ids=json.dumps)
async def test_junk_in_the_history_is_waited_out(
    junk: Any, executor: Any, proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_QUEUE", 0.001)
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_AGAIN", 0)
    proxy.sockets.treatment = "refuse"
    answered = 0

    def answer(request: web.Request) -> web.Response | None:
        nonlocal answered
        if not request.path.startswith("/history/") or answered == 5:
            return None
        answered += 1
        prompt_id = request.path.split("/")[2]
        return web.Response(text=json.dumps(junk).replace("ID", prompt_id), content_type="application/json")

    proxy.answer = answer
    result = await make_kit(proxy.url, executor_type=executor).execute(workflows.text())
    assert (result.status, result.texts, answered) == ("completed", ["hello"], 5)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("junk", [{}, {"error": "x"}, {"queue_running": [], "queue_pending": None}], ids=json.dumps)
async def test_junk_in_the_queue_is_waited_out(junk: Any, proxy: Proxy, make_kit: MakeKit, gate: Any) -> None:
    name, node_gate = gate
    answered = asyncio.Event()
    here = asyncio.get_running_loop()

    def answer(request: web.Request) -> web.Response | None:
        if request.path != "/queue" or answered.is_set():
            return None
        here.call_soon_threadsafe(answered.set)
        return web.json_response(junk)

    proxy.answer = answer
    running = asyncio.ensure_future(make_kit(proxy.url).execute(workflows.gated(name)))
    await asyncio.wait_for(answered.wait(), 20)
    node_gate.open()
    result = await running
    assert (result.status, len(result.images)) == ("completed", 1)


async def test_permanent_junk_is_given_up(proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.sockets.treatment = "refuse"
    proxy.answer = lambda request: web.json_response([]) if request.path.startswith("/history/") else None
    result = await make_kit(proxy.url, patience=0.3).execute(workflows.text())
    assert result.error is not None
    assert result.error.kind == "unreachable"
    assert "its answer to /history makes no sense" in str(result.msg)
