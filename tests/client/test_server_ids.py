"""Test runs on servers that choose the prompt ID, whatever the client proposes."""

from __future__ import annotations

import json
import threading
from typing import Any

import httpx
import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKitError, RunFailed
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy
from .test_cancel import is_known, wait_for
from .test_late_jobs import wait_for_log


@pytest.fixture
def chooser(proxy: Proxy) -> Proxy:
    """A server that chooses the prompt ID."""
    proxy.chooses_ids = True
    return proxy


@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_job_is_followed_by_the_server_s_id(executor: Any, chooser: Proxy, make_kit: MakeKit, jobs: Jobs) -> None:
    kit = make_kit(chooser.url, executor_type=executor)
    run = kit.submit(workflows.picture(), color=7)
    result = await run
    assert (result.status, len(result.images)) == ("completed", 1)
    assert result.prompt_id == run.prompt_id != run.id
    assert jobs.history(run.prompt_id) is not None
    assert (await kit.attach(run.prompt_id)).images == result.images


def test_running_job_shows_steps_and_previews_and_is_cancelled(
    chooser: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    previews: list[str] = []
    run = make_kit(chooser.url).submit(workflows.gated(name, steps=3))
    run.subscribe(preview=lambda preview: previews.append(preview.prompt_id))
    node_gate.wait()
    wait_for(run, lambda run: run.progress.step == 2)
    run.cancel()
    with pytest.raises(RunFailed):
        run.result()
    assert run.status == "cancelled"
    assert set(previews) <= {run.id}
    jobs.expect()


@pytest.mark.parametrize("kits", [1, 2])
def test_job_that_is_still_being_sent_is_followed_by_its_new_id(
    kits: int, chooser: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate
    held = chooser.held["/prompt"] = threading.Event()
    kit = make_kit(chooser.url)
    run = kit.submit(workflows.gated(name))
    found = (kit if kits == 1 else make_kit(chooser.url)).attach(run.id)
    held.set()
    wait_for(found, lambda found: found.workflow is not None and found.status == "running")
    node_gate.open()
    assert found.result(20).images == run.result(20).images
    assert found.result().prompt_id == run.prompt_id != run.id


@pytest.mark.usefixtures("eager")
def test_queued_job_knows_its_position_and_is_cancelled(
    chooser: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    other = jobs.post(workflows.gated(name))
    node_gate.wait()
    run = make_kit(chooser.url).submit(workflows.picture())
    wait_for(run, is_known)
    assert run.progress.queue_position == 1
    run.cancel()
    with pytest.raises(RunFailed, match="cancelled before it started"):
        run.result()
    jobs.expect(other)


@pytest.fixture
def loser(chooser: Proxy) -> Proxy:
    """A server that chooses the prompt ID, and whose answer to a prompt is lost."""
    chooser.lost = {"/prompt"}
    return chooser


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_job_whose_answer_was_lost_is_followed(executor: Any, loser: Proxy, make_kit: MakeKit) -> None:
    kit = make_kit(loser.url, executor_type=executor)
    run = kit.submit(workflows.picture(), color=7)
    result = await run
    assert (result.status, len(result.images)) == ("completed", 1)
    assert result.prompt_id == run.prompt_id != run.id
    assert len(loser.requests("POST", "/prompt")) == 1


@pytest.mark.usefixtures("eager")
def test_job_whose_answer_was_lost_is_cancelled(
    loser: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    run = make_kit(loser.url).submit(workflows.gated(name))
    node_gate.wait()
    run.cancel()
    with pytest.raises(RunFailed):
        run.result()
    assert run.status == "cancelled"
    jobs.expect()


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("gated", [True, False])
def test_job_that_arrives_late_under_another_id_is_cancelled_or_reported(
    gated: bool,
    proxy: Proxy,
    sandbox: Sandbox,
    make_kit: MakeKit,
    jobs: Jobs,
    gate: tuple[str, Gate],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.running.late.PAUSE", 0.01)
    proxy.answer = lambda request: web.Response(status=504) if request.path == "/prompt" else None
    run = make_kit(proxy.url).submit(workflows.gated(gate[0]) if gated else workflows.text())
    proxy.wait_for(lambda seen: seen.path == f"/history/{run.prompt_id}")
    run.cancel()
    with pytest.raises(ComfyKitError, match="one that arrives within a minute is cancelled"):
        run.result()
    sent = json.loads(proxy.requests("POST", "/prompt")[0].body)
    id_ = httpx.post(f"{sandbox.url}/prompt", json={**sent, "prompt_id": None}).json()["prompt_id"]
    wait_for_log(caplog, f"received the job {id_} late")
    jobs.expect()
    assert not gate[1].opened.is_set()


@pytest.mark.usefixtures("eager")
async def test_another_prompt_of_the_same_sender_is_not_followed(
    proxy: Proxy, sandbox: Sandbox, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Everybody on a server can read who sent a job, and can send another prompt in that name."""
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.1)

    def replace(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        sent = json.loads(proxy.seen[-1].body)
        httpx.post(f"{sandbox.url}/prompt", json={**sent, "prompt_id": None, "prompt": workflows.text("another")})
        return web.Response(status=504)

    proxy.answer = replace
    with pytest.raises(ComfyKitError, match="no job with its ID is there"):
        await make_kit(proxy.url).submit(workflows.text("mine"))
