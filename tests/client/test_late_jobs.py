"""Test jobs whose answer is lost, or whose prompt arrives late, when their run may have been given up already."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKitError, RunFailed
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import PATIENCE, Gate
from .proxy import Proxy


@pytest.mark.usefixtures("eager")
async def test_prompt_without_an_answer_may_have_arrived(
    proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.2)

    def swallow(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    proxy.answer = swallow
    with pytest.raises(ServerError, match="no job with its ID is there; one that arrives") as caught:
        await make_kit(proxy.url).submit(workflows.picture())
    assert caught.value.result.error.kind == "unknown"
    assert len(proxy.requests("POST", "/prompt")) == 1


async def test_lost_prompt_is_looked_for_in_the_queue_in_time(
    proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However few looks at the history there were: each may take long on a slow server."""
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_QUEUE", 1e9)
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_HISTORY", 0.05)
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.1)
    proxy.answer = lambda request: web.Response(text="<html>") if request.path == "/prompt" else None
    result = await asyncio.wait_for(make_kit(proxy.url).execute(workflows.text()), 20)
    assert result.error is not None
    assert result.error.kind == "unknown"


def test_prompt_that_arrives_late_is_followed(proxy: Proxy, sandbox: Sandbox, make_kit: MakeKit, jobs: Jobs) -> None:
    """A gateway times out (504) while the server is still receiving the prompt."""
    kept: list[bytes] = []

    def gateway(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        kept.append(proxy.seen[-1].body)
        return web.Response(status=504)

    proxy.answer = gateway
    run = make_kit(proxy.url).submit(workflows.picture())
    proxy.wait_for(lambda seen: seen.path == f"/history/{run.prompt_id}")
    httpx.post(f"{sandbox.url}/prompt", content=kept[0], headers={"Content-Type": "application/json"})
    assert run.result().status == "completed"


@pytest.mark.parametrize("given_up", ["by itself", "by the user"])
@pytest.mark.parametrize("gated", [True, False])
def test_job_that_arrives_after_its_run_was_given_up_is_cancelled_or_reported(
    gated: bool,
    given_up: str,
    proxy: Proxy,
    sandbox: Sandbox,
    make_kit: MakeKit,
    jobs: Jobs,
    gate: tuple[str, Gate],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_QUEUE", 0.001)
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.1 if given_up == "by itself" else 600)
    monkeypatch.setattr("comfykit_jupyter.client.running.late.PAUSE", 0.01)
    kept: list[bytes] = []

    def gateway(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        kept.append(proxy.seen[-1].body)
        return web.Response(status=504)

    proxy.answer = gateway
    run = make_kit(proxy.url).submit(workflows.gated(gate[0]) if gated else workflows.text())
    proxy.wait_for(lambda seen: seen.path == f"/history/{run.prompt_id}")
    if given_up == "by the user":
        run.cancel()
    with pytest.raises(ComfyKitError, match="one that arrives within a minute is cancelled") as caught:
        run.result()
    assert caught.value.result.error.kind == ("unknown" if given_up == "by itself" else "cancelled")
    httpx.post(f"{sandbox.url}/prompt", content=kept[0], headers={"Content-Type": "application/json"})
    wait_for_log(caplog, "late")
    jobs.expect()
    assert not gate[1].opened.is_set()


def wait_for_log(caplog: pytest.LogCaptureFixture, word: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not any(word in record.message for record in caplog.records):
        assert time.monotonic() < deadline
        time.sleep(0.01)


async def test_job_that_arrives_after_its_caller_left_is_cancelled(
    proxy: Proxy,
    sandbox: Sandbox,
    make_kit: MakeKit,
    jobs: Jobs,
    gate: tuple[str, Gate],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller leaves while a gateway keeps the prompt, which then answers that it could not deliver it."""
    monkeypatch.setattr("comfykit_jupyter.client.running.executable.CANCEL_TIMEOUT", 0.1)
    monkeypatch.setattr("comfykit_jupyter.client.running.late.PAUSE", 0.01)
    kept: list[bytes] = []
    answering = threading.Event()

    async def wait() -> AsyncIterator[bytes]:
        await asyncio.to_thread(answering.wait, PATIENCE)
        yield b"no answer"

    def gateway(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        kept.append(proxy.seen[-1].body)
        return web.Response(status=504, body=wait())

    proxy.answer = gateway
    running = asyncio.ensure_future(make_kit(proxy.url).execute(workflows.gated(gate[0])))
    await asyncio.to_thread(proxy.wait_for, lambda seen: seen.path == "/prompt")
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    answering.set()
    await asyncio.to_thread(
        httpx.post, f"{sandbox.url}/prompt", content=kept[0], headers={"Content-Type": "application/json"}
    )
    await asyncio.to_thread(wait_for_log, caplog, "late: it has been cancelled")
    jobs.expect()


async def test_job_that_arrives_after_its_caller_left_and_the_answer_was_lost_is_cancelled(
    proxy: Proxy,
    sandbox: Sandbox,
    make_kit: MakeKit,
    jobs: Jobs,
    gate: tuple[str, Gate],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The caller leaves while a gateway keeps the prompt, which answers at once that it could not deliver it."""
    monkeypatch.setattr("comfykit_jupyter.client.running.late.PAUSE", 0.01)
    kept: list[bytes] = []
    answering = threading.Event()

    async def wait() -> AsyncIterator[bytes]:
        await asyncio.to_thread(answering.wait, PATIENCE)
        yield b"no answer"

    def gateway(request: web.Request) -> web.Response | None:
        if request.path == "/queue":
            answering.set()  # the caller has left, and asks for its job
        if request.path != "/prompt":
            return None
        kept.append(proxy.seen[-1].body)
        return web.Response(status=504, body=wait())

    proxy.answer = gateway
    run = make_kit(proxy.url).submit(workflows.gated(gate[0]))
    await asyncio.to_thread(proxy.wait_for, lambda seen: seen.path == "/prompt")
    run._get_job().cancel()
    with pytest.raises(ComfyKitError, match="cancelled: no job with its ID is there; one that arrives"):
        await asyncio.to_thread(run.result)
    await asyncio.to_thread(
        httpx.post, f"{sandbox.url}/prompt", content=kept[0], headers={"Content-Type": "application/json"}
    )
    await asyncio.to_thread(wait_for_log, caplog, "late: it has been cancelled")
    jobs.expect()


def test_lost_job_that_arrives_just_after_its_cancellation_is_cancelled(
    proxy: Proxy, sandbox: Sandbox, make_kit: MakeKit, jobs: Jobs, gate: tuple[str, Gate]
) -> None:
    """It comes between the look of the cancellation at the queue and the next look of the run."""
    kept: list[bytes] = []

    def gateway(request: web.Request) -> web.Response | None:
        if request.path == "/prompt":
            kept.append(proxy.seen[-1].body)
            return web.Response(status=504)
        if request.path == "/queue" and kept:
            httpx.post(f"{sandbox.url}/prompt", content=kept.pop(), headers={"Content-Type": "application/json"})
            return web.json_response({"queue_running": [], "queue_pending": []})
        return None

    proxy.answer = gateway
    run = make_kit(proxy.url).submit(workflows.gated(gate[0]))
    proxy.wait_for(lambda seen: seen.path == f"/history/{run.prompt_id}")
    run.cancel()
    with pytest.raises(RunFailed, match="cancelled"):
        run.result(20)
    assert run.status == "cancelled"
    jobs.expect()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("chooses_ids", [True, False])
def test_late_job_that_a_cancellation_finds_during_a_look_is_not_missing(
    chooses_ids: bool, proxy: Proxy, sandbox: Sandbox, make_kit: MakeKit, jobs: Jobs
) -> None:
    """It has run between the look of the run at the history and the one of the cancellation."""
    cancelled = threading.Event()

    def read_prompt() -> dict[str, Any]:
        sent: dict[str, Any] = json.loads(proxy.requests("POST", "/prompt")[0].body)
        return sent

    async def answer_late() -> AsyncIterator[bytes]:
        await asyncio.to_thread(cancelled.wait, PATIENCE)
        yield b"{}"

    def gateway(request: web.Request) -> web.Response | None:
        if request.path == "/prompt":
            return web.Response(status=504)
        if not proxy.requests("POST", "/prompt"):
            return None
        path = f"/history/{read_prompt()['prompt_id']}"
        if request.path == path and len(proxy.requests("GET", path)) == 1:
            return web.Response(body=answer_late())
        return None

    proxy.answer = gateway
    proxy.sockets.treatment = "refuse"
    run = make_kit(proxy.url).submit(workflows.text())
    proxy.wait_for(lambda seen: seen.path == f"/history/{run.id}")
    late = {**read_prompt(), "prompt_id": None} if chooses_ids else read_prompt()
    prompt_id = httpx.post(f"{sandbox.url}/prompt", json=late).json()["prompt_id"]
    jobs.expect()
    run.cancel()
    cancelled.set()
    assert (run.result().status, run.prompt_id) == ("completed", prompt_id)
