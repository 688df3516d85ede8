"""A task's socket provides progress and previews, and cannot do harm."""

from __future__ import annotations

import asyncio
import json
import logging
import struct

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ExecuteResult
from comfykit_jupyter.client.backends.preview import Preview
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.client.transport import websocket
from comfykit_jupyter.workflow.progress.progress import Progress
from tests.client import workflows
from tests.client.nodes import Gate
from tests.client.proxy import Served

from .api_client import WORKFLOW
from .runninghub import NOT_FOUND, Polls, Refusal, RunningHub, changes


@pytest.fixture(autouse=True)
def _gated(cloud: RunningHub, gate: tuple[str, Gate]) -> None:
    """A workflow of three steps, which starts only when a socket is open."""
    cloud.workflows[WORKFLOW] = workflows.gated(gate[0])
    cloud.waits_for_socket = True
    gate[1].open()


class Seen:
    """The progress and previews that a subscriber of a run gets."""

    def __init__(self, run: Run) -> None:
        self.progress: list[Progress] = []
        self.previews: list[Preview] = []
        run.subscribe(progress=self.progress.append, preview=self.previews.append)


def run_and_watch(kit: ComfyKit) -> tuple[ExecuteResult, Seen]:
    run = kit.submit(WORKFLOW)
    seen = Seen(run)
    return run.result(), seen


@pytest.mark.parametrize("when", ["at the beginning", "later", "by the older route"])
def test_progress_and_previews_arrive(when: str, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.pace = Polls(queued=0 if when == "at the beginning" else 2, running=20)
    if when == "by the older route":
        cloud.answer("v2/query", NOT_FOUND, times=None)
    result, seen = run_and_watch(kit)
    assert result.image.pil().size == (32, 16)
    assert cloud.sockets.opened == 1
    assert {(each.node_title, each.steps) for each in seen.progress} >= {("The gate", 3)}
    assert {each.node_id for each in seen.previews} == {"3"}
    assert len(seen.previews) == 2
    fractions = [each.fraction for each in seen.progress]
    assert fractions == sorted(fractions)
    assert "3" in result.node_times
    (request,) = cloud.sockets.requests
    assert "Authorization" not in request.headers
    assert cloud.key not in str(request)


def test_the_http_executor_opens_no_socket(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.waits_for_socket = False
    assert asyncio.run(kit.execute(WORKFLOW)).status == "completed"
    assert not cloud.sockets.requests


@pytest.mark.parametrize("treatment", ["refuse", "hang", "silent", "cut", "early", "untold"])
def test_an_unusable_socket_does_no_harm(
    treatment: str, kit: ComfyKit, cloud: RunningHub, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(websocket, "OPEN_TIMEOUT", 0.2)
    cloud.pace = Polls(queued=0, running=4)
    if treatment == "cut":
        cloud.sockets.cut_after = 2
    elif treatment == "early":
        cloud.sockets.early_success = True
    elif treatment == "untold":
        cloud.sockets.has_url = False
    else:
        cloud.sockets.treatment = treatment  # type: ignore[assignment]
    result, _ = run_and_watch(kit)
    assert (result.status, result.warnings) == ("completed", [])
    assert result.image.pil().size == (32, 16)


def test_the_socket_alone_does_not_end_a_run(kit: ComfyKit, cloud: RunningHub) -> None:
    frames = [
        {"type": "execution_error", "data": {"node_id": "3", "exception_message": "no"}},
        {"type": "execution_interrupted", "data": {}},
        {"type": "executing", "data": {"node": None}},
        {"type": "executed", "data": {"node": "2", "output": {"images": [{"filename": "evil.png"}]}}},
    ]
    cloud.sockets.noise = tuple(json.dumps(frame) for frame in frames)
    result, _ = run_and_watch(kit)
    assert result.status == "completed"
    assert "evil" not in str(result.outputs)


HOSTILE = (
    "{", "[]", "null", "7", '"x"', "[" * 100_000, '{"type": 7, "data": {}}', '{"type": "progress"}',
    '{"type": "progress", "data": null}', '{"type": "progress", "data": {"value": "x", "max": -1, "node": []}}',
    '{"type": "progress", "data": {"value": 1e400, "max": 1, "node": "3"}}',
    '{"type": "executing", "data": {"node": {"a": 1}}}', '{"type": "executing", "data": {"node": "nowhere"}}',
    '{"type": "executed", "data": {"node": ["x"]}}', '{"type": "progress_state", "data": {"nodes": [1]}}',
    '{"type": "execution_cached", "data": {"nodes": {"a": 1}}}', json.dumps({"type": changes.HOSTILE, "data": {}}),
    b"", b"\0", b"\0\0\0\1", struct.pack(">II", 1, 99) + b"x", struct.pack(">II", 4, 1 << 31) + b"{}",
    struct.pack(">II", 4, 2) + b"{}", struct.pack(">II", 4, 4) + b"null", struct.pack(">II", 99, 1) + b"\xff" * 99,
    b"\x00" * 300_000,
)  # fmt: skip


def test_hostile_frames_do_no_harm(kit: ComfyKit, cloud: RunningHub, caplog: pytest.LogCaptureFixture) -> None:
    cloud.sockets.noise = HOSTILE
    cloud.pace = Polls(queued=0, running=20)
    result, seen = run_and_watch(kit)
    assert (result.status, result.warnings) == ("completed", [])
    assert {each.node_id for each in seen.previews} >= {"3"}
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]


@pytest.mark.parametrize(
    "address",
    [
        "wss://runninghub.ai.evil.example/ws",
        "ws://localhost:{port}/ws",
        "http://127.0.0.1:{port}/ws",
        "ws://127.0.0.1@localhost:{port}/ws",
        "//127.0.0.1:{port}/ws",
        "ws://[",
        "ws://",
        "nonsense",
        "",
        7,
        None,
        ["ws://127.0.0.1:{port}"],
    ],
    ids=str,
)
def test_a_socket_on_another_host_is_not_opened(address: object, kit: ComfyKit, cloud: RunningHub) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.Response(status=404)

    with Served(serve) as elsewhere:
        url = address.format(port=elsewhere.port) if isinstance(address, str) else address
        cloud.waits_for_socket = False
        cloud.sockets.has_url = False
        cloud.answer("create", changes.with_socket(url))
        cloud.answer("outputs", Refusal(804, data={"netWssUrl": url}), times=2)
        result, _ = run_and_watch(kit)
    assert result.status == "completed"
    assert seen == []


def test_a_socket_does_not_follow_redirects(kit: ComfyKit, cloud: RunningHub) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(str(request.url))
        return web.Response(status=404)

    async def redirect(request: web.Request) -> web.StreamResponse:
        return web.Response(status=307, headers={"Location": f"{elsewhere.url}/ws?{request.query_string}"})

    cloud.waits_for_socket = False
    with Served(serve) as elsewhere, Served(redirect) as near:
        cloud.answer("create", changes.with_socket(f"{near.url.replace('http', 'ws')}/ws?Rh-Comfy-Auth=secret"))
        result, _ = run_and_watch(kit)
    assert result.status == "completed"
    assert seen == []
