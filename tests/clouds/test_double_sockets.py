"""The double's sockets pass on the server's messages to connected clients, and can fail on request."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from websockets.exceptions import ConnectionClosedError, InvalidStatus
from websockets.sync.client import ClientConnection, connect

from tests.client import workflows
from tests.client.nodes import GATES, PATIENCE

from .api_client import WORKFLOW, ApiClient
from .runninghub import Polls, RunningHub


@pytest.fixture(autouse=True)
def _waiting(cloud: RunningHub) -> None:
    """Report tasks as running immediately, but really run them only when a socket is open."""
    cloud.pace, cloud.waits_for_socket = Polls(queued=0), True


@contextmanager
def open_socket(ask: ApiClient) -> Iterator[ClientConnection]:
    """Create a task and open its socket."""
    with connect(ask.create()["data"]["netWssUrl"]) as socket:
        yield socket


def read_frames(socket: ClientConnection) -> list[str | bytes]:
    """Return all frames until the socket closes."""
    return [*socket]


def filter_events(frames: list[str | bytes]) -> list[tuple[str, dict[str, Any]]]:
    """Return ComfyUI's messages among the frames."""
    found = []
    for frame in frames:
        try:
            message = json.loads(frame)
        except ValueError:
            continue
        if isinstance(message, dict) and "data" in message:
            found.append((message["type"], message["data"]))
    return found


def test_a_socket_gets_a_run_from_start_to_end(cloud: RunningHub, ask: ApiClient) -> None:
    GATES["heard"].open()
    cloud.workflows[WORKFLOW] = workflows.gated("heard")
    with open_socket(ask) as socket:
        frames = read_frames(socket)
    kinds = [kind for kind, _ in filter_events(frames)]
    assert kinds[0] == "status"
    assert {"execution_start", "execution_cached", "executing", "progress", "executed", "execution_success"} <= {*kinds}
    assert ("executing", {"node": None, "prompt_id": cloud.task.id}) in filter_events(frames)
    assert any(isinstance(frame, bytes) and frame[:8] == b"\0\0\0\1\0\0\0\1" for frame in frames)
    cloud.wait(cloud.task.id)


def test_sockets_also_send_frames_unknown_to_comfyui(cloud: RunningHub, ask: ApiClient) -> None:
    with open_socket(ask) as socket:
        assert {*read_frames(socket)} >= {*cloud.sockets.noise}


def test_a_late_socket_misses_earlier_frames(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW] = workflows.gated("late")
    cloud.waits_for_socket = False
    url = ask.create()["data"]["netWssUrl"]
    GATES["late"].wait()
    if not url:  # it had not started by then
        cloud.wait_for(lambda: cloud.task.begun)  # the gate can be reached before the cloud gets the message
        url = ask("outputs", taskId=cloud.task.id)["data"]["netWssUrl"]
    with connect(url) as socket:
        socket.recv(PATIENCE)
        GATES["late"].open()
        kinds = [kind for kind, _ in filter_events(read_frames(socket))]
    assert "execution_start" not in kinds
    assert "execution_success" in kinds


def test_a_socket_of_a_finished_task_gets_no_frames(cloud: RunningHub, ask: ApiClient) -> None:
    url = ask.create()["data"]["netWssUrl"]
    with connect(url) as socket:
        read_frames(socket)
    cloud.wait(cloud.task.id)
    with connect(url) as socket:
        assert filter_events(read_frames(socket)) == []


def test_a_preview_is_downloaded_with_the_sockets_credential(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW]["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    with open_socket(ask) as socket:
        frames = filter_events(read_frames(socket))
    (image,) = next(data["output"]["images"] for kind, data in frames if kind == "executed")
    auth = {"Rh-Comfy-Auth": cloud.task.auth}
    assert ask.http.get(f"{cloud.url}/view", params={**image, **auth}).headers["Content-Type"] == "image/png"
    expired = ask.http.get(f"{cloud.url}/view", params={**image, "Rh-Comfy-Auth": "x"})
    assert (expired.status_code, expired.headers["Content-Type"]) == (200, "text/html; charset=utf-8")


@pytest.mark.parametrize("how", ["refused", "credential", "client"])
def test_a_socket_can_be_rejected(cloud: RunningHub, ask: ApiClient, how: str) -> None:
    url = ask.create()["data"]["netWssUrl"]
    if how == "refused":
        cloud.sockets.treatment = "refuse"
    elif how == "credential":
        url = url.replace(parse_qs(urlsplit(url).query)["Rh-Comfy-Auth"][0][:20], "x" * 20)
    else:
        url = url.replace(cloud.task.client_id, "somebody")
    with pytest.raises(InvalidStatus, match="403"), connect(url):
        pass
    assert not cloud.task.started


def test_a_run_continues_when_its_socket_breaks(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.sockets.cut_after = 3
    with open_socket(ask) as socket, pytest.raises(ConnectionClosedError):
        read_frames(socket)
    assert ask.wait_for_end(cloud, cloud.task.id)["status"] == "SUCCESS"


def test_a_socket_can_hang_or_stay_silent(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.sockets.treatment = "hang"
    url = ask.create()["data"]["netWssUrl"]
    with pytest.raises(TimeoutError), connect(url, open_timeout=0.5):
        pass
    cloud.sockets.treatment = "silent"
    with connect(url) as socket, pytest.raises(TimeoutError):
        socket.recv(0.5)
    assert not cloud.task.started


def test_execution_success_can_come_early(cloud: RunningHub, ask: ApiClient) -> None:
    GATES["early"].open()
    cloud.workflows[WORKFLOW] = workflows.gated("early")
    cloud.sockets.early_success = True
    with open_socket(ask) as socket:
        frames = filter_events(read_frames(socket))
    kinds = [kind for kind, _ in frames]
    assert kinds.index("execution_success") < kinds.index("executed")
    assert frames[kinds.index("execution_success")][1]["node"]


async def test_the_command_line_runs_a_command_with_a_filled_cloud() -> None:
    code = (
        "import os, httpx;"
        "url, key = os.environ['RUNNINGHUB_BASE_URL'], os.environ['RUNNINGHUB_API_KEY'];"
        "body = {'apiKey': key, 'workflowId': '1904136902449209346'};"
        "print(httpx.post(url + '/api/openapi/getJsonApiFormat', json=body).json()['msg']);"
        "raise SystemExit(3)"
    )
    arguments = ("-m", "tests.clouds.runninghub", "--", sys.executable, "-c", code)
    process = await asyncio.create_subprocess_exec(sys.executable, *arguments, stdout=asyncio.subprocess.PIPE)
    output, _ = await process.communicate()
    assert (output.decode().split(), process.returncode) == (["SUCCESS"], 3)
