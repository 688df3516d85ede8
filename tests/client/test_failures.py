"""Test that failed runs say what went wrong and where, and keep earlier outputs."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ComfyKitError, RunFailed, ServerError
from tests.kits import MakeKit, end_time

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy, Served
from .test_cancel import wait_for


async def test_failing_node_is_named_and_earlier_outputs_are_kept(either: ComfyKit) -> None:
    result = await either.execute(workflows.failing())
    assert (result.status, result.msg) == ("failed", "The bomb: kaboom over 1 picture")
    error = result.error
    assert error is not None
    assert (error.kind, error.node_id, error.node_title, error.class_type) == (
        "node_error",
        "3",
        "The bomb",
        "TestBoom",
    )
    assert error.exception_type == "ValueError"
    assert any("boom" in line for line in error.traceback)
    assert len(result.images_by_var["cover"]) == 1
    assert result.prompt_id
    assert result.duration is not None


async def test_rejected_prompt_names_node_and_input(either: ComfyKit) -> None:
    graph = workflows.picture()
    graph["2"]["inputs"]["images"] = ["1", 7]
    graph["2"]["_meta"]["title"] = "Keep it"
    result = await either.execute(graph)
    assert result.error is not None
    assert (result.status, result.error.kind, result.error.node_title) == ("failed", "refused", "Keep it")
    assert result.error.field == "images"
    assert result.msg is not None
    assert "Keep it (node 2)" in result.msg
    assert "\n" not in result.msg


@pytest.mark.parametrize(
    ("graph", "message"),
    [
        ({"1": {"class_type": "NoSuchNode", "inputs": {}}}, "NoSuchNode"),
        (
            {"1": {"class_type": "EmptyImage", "inputs": {"width": 8, "height": 8, "batch_size": 1, "color": 0}}},
            "output",
        ),
        ({"1": {"class_type": "SaveImage", "inputs": {}}}, "images"),
    ],
)
async def test_rejected_prompt_gives_the_reason(graph: workflows.Graph, message: str, either: ComfyKit) -> None:
    result = await either.execute(graph)
    assert result.error is not None
    assert (result.status, result.error.kind) == ("failed", "refused")
    assert message in str(result.msg)


ADVICE = "(kit.check lists what is missing)"


async def test_rejection_for_missing_nodes_or_files_gives_advice(either: ComfyKit) -> None:
    unknown = await either.execute({"1": {"class_type": "NoSuchNode", "inputs": {}}})
    assert str(unknown.msg).endswith(ADVICE)
    graph = workflows.inverted()
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": "nowhere.png"}}
    missing = await either.execute(graph)
    assert "Load Image (node 1)" in str(missing.msg)
    assert str(missing.msg).endswith(ADVICE)
    graph["9"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 5], "filename_prefix": "x"}}
    assert str((await either.execute(graph)).msg).count(ADVICE) == 1
    graph = workflows.picture()
    graph["2"]["inputs"]["images"] = ["1", 7]
    assert ADVICE not in str((await either.execute(graph)).msg)


@pytest.mark.parametrize("kind", ["invalid_prompt", "missing_node_type", "value_not_in_list"])
async def test_error_types_of_old_and_new_servers_give_advice(kind: str, proxy: Proxy, make_kit: MakeKit) -> None:
    error = {"type": kind, "message": "It is not there", "details": "Node ID '#1'", "extra_info": {}}
    body = {"error": error, "node_errors": []}
    proxy.answer = lambda request: web.json_response(body, status=400) if request.path == "/prompt" else None
    result = await make_kit(proxy.url).execute(workflows.picture())
    assert result.msg == f"the server rejected the prompt: It is not there: Node ID '#1' {ADVICE}"


async def test_partly_accepted_prompt_warns_of_omitted_outputs(either: ComfyKit) -> None:
    graph = workflows.picture()
    graph["9"] = {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 5], "filename_prefix": "x"},
        "_meta": {"title": "Lost"},
    }
    result = await either.execute(graph)
    assert (result.status, len(result.images)) == ("completed", 1)
    assert len(result.warnings) == 1
    assert result.warnings[0].startswith("left out: Lost (node 9)")


async def test_unreachable_server_is_named_with_advice(make_kit: MakeKit) -> None:
    kit = make_kit("http://127.0.0.1:1")
    for kind in ("http", "websocket"):
        result = await kit.options(executor_type=kind).execute(workflows.picture())
        assert result.error is not None
        assert (result.status, result.error.kind, result.prompt_id) == ("failed", "unreachable", None)
        assert str(result.msg).startswith("no ComfyUI server at http://127.0.0.1:1: start it")
    with pytest.raises(ServerError, match="no ComfyUI server"):
        await kit.submit(workflows.picture())


async def test_timeout_cancels_the_run_and_names_the_current_node(
    make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    kit = make_kit(timeout=0.5)
    result = await kit.execute(workflows.gated(gate[0]))
    assert result.error is not None
    assert (result.status, result.error.kind) == ("failed", "timeout")
    assert str(result.msg).startswith("not done within 0.5 s: ")
    jobs.expect()
    run = kit.options(timeout=60).submit(workflows.gated(gate[0]))
    await asyncio.to_thread(wait_for, run, lambda run: run.progress.step == 2)
    end_time(run)
    with pytest.raises(RunFailed, match="not done within 60 s: The gate 2/3"):
        await run
    jobs.expect()


@pytest.mark.usefixtures("eager")
async def test_removed_job_is_reported(either: ComfyKit, gate: tuple[str, Gate], jobs: Jobs, make_kit: MakeKit) -> None:
    name, node_gate = gate
    jobs.post(workflows.gated(name))
    node_gate.wait()
    run = either._prepare(workflows.picture(), {}, listen=either.executor_type == "websocket").start()
    await _wait_until_queued(run)
    await _delete(run.server, run.prompt_id)
    result = await run.wait_for_result()
    assert result.error is not None
    assert (result.status, result.error.kind) == ("failed", "gone")
    assert "no longer knows this job" in str(result.msg)


async def _wait_until_queued(run: Any) -> None:
    known = asyncio.Event()
    here = asyncio.get_running_loop()
    run.subscribe(
        progress=lambda progress: progress.queue_position is not None and here.call_soon_threadsafe(known.set)
    )
    await asyncio.wait_for(known.wait(), 20)


async def _delete(url: str, prompt_id: str) -> None:
    async with httpx.AsyncClient() as client:
        await client.post(f"{url}/queue", json={"delete": [prompt_id]})


async def test_job_stopped_by_another_client_was_interrupted(either: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    running = asyncio.ensure_future(either.execute(workflows.gated(name)))
    await asyncio.to_thread(node_gate.wait)
    async with httpx.AsyncClient() as client:
        await client.post(f"{either.comfyui_url}/interrupt")
    result = await running
    assert result.error is not None
    assert (result.status, result.error.kind) == ("failed", "interrupted")
    assert str(result.msg) == "the run was interrupted at The gate"


GARBAGE: dict[str, Any] = {
    "not found": lambda: web.Response(status=404, text="404: Not Found"),
    "a page": lambda: web.Response(text="<html>Hello</html>", content_type="text/html"),
    "a list": lambda: web.json_response([1, 2, 3]),
    "deep": lambda: web.Response(text="[" * 100_000, content_type="application/json"),
    "nothing": lambda: web.Response(),
    "broken": lambda: web.Response(status=500, text="oops"),
    "away": lambda: web.Response(status=502),
    "unauthorised": lambda: web.Response(status=401),
    "moved": lambda: web.Response(status=302, headers={"Location": "http://127.0.0.1:1/login\x1b"}),
}


@pytest.mark.parametrize("name", GARBAGE)
async def test_server_that_is_not_comfyui_is_reported(name: str, make_kit: MakeKit) -> None:
    async def serve(_: web.Request) -> web.StreamResponse:
        response: web.StreamResponse = GARBAGE[name]()
        return response

    with Served(serve) as site:
        result = await make_kit(site.url, timeout=10).execute(workflows.text())
        assert make_kit(site.url).server().reachable is False
    assert result.error is not None
    assert (result.status, result.error.kind) == ("failed", "unreachable")
    assert site.url in str(result.msg)
    assert "\n" not in str(result.msg)
    assert len(str(result.msg)) < 400
    if name == "not found":
        assert "is not a ComfyUI server" in str(result.msg)


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("name", [name for name in GARBAGE if name != "not found"])
async def test_invalid_reply_to_a_prompt_fails_without_a_retry(
    name: str, proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.2)
    proxy.answer = lambda request: GARBAGE[name]() if request.path == "/prompt" else None
    with pytest.raises(ComfyKitError) as caught:
        await make_kit(proxy.url).submit(workflows.text())
    assert caught.value.result.error.kind == ("unreachable" if name == "unauthorised" else "unknown")
    assert len(proxy.requests("POST", "/prompt")) == 1


HOSTILE_REFUSALS: list[Any] = [
    {},
    {"error": "text"},
    {"error": {"message": "a\nb" * 1000}, "node_errors": {"1": {"errors": [{"message": {"x": 1}}, 5]}}},
    {"error": None, "node_errors": [1]},
    {"error": [], "node_errors": {"1": 5, "zz": {"errors": [{}]}}},
]


@pytest.mark.parametrize("body", HOSTILE_REFUSALS, ids=json.dumps)
async def test_malformed_rejection_is_reported_in_one_line(body: Any, proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.answer = lambda request: web.json_response(body, status=400) if request.path == "/prompt" else None
    result = await make_kit(proxy.url).execute(workflows.text())
    assert result.error is not None
    assert result.error.kind == "refused"
    assert "\n" not in str(result.msg)
