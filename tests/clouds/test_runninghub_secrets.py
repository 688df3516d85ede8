"""The key goes to its own site only; neither the key nor a socket's credential appears anywhere else."""

from __future__ import annotations

import base64
import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.local_files import get_local_folder
from comfykit_jupyter.notebook.page.writer import writer
from tests.client import workflows
from tests.client.nodes import Gate
from tests.client.proxy import Served
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .runninghub import App, Fate, Field, Polls, Refusal, RunningHub, build_page, changes

APP = "1937084629516193794"


class Elsewhere(Served):
    """Another origin, which records all requests."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(f"{request.url} {request.headers} {(await request.read())!r}")
        return web.Response(body=b"\x89PNG")


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as site:
        yield site


def list_secrets(cloud: RunningHub) -> set[str]:
    """Return all secrets (the key and the sockets' credentials) in all encodings in which they are sent."""
    found = {cloud.key, cloud.key[8:], base64.b64encode(cloud.key.encode()).decode()}
    for task in cloud.tasks.values():
        signed = json.loads(base64.b64decode(task.auth))["sign"]
        found |= {task.auth, quote(task.auth, safe=""), signed}
    return found


def list_parts(result: Any) -> list[Any]:
    """Return all parts of a result."""
    return [result, *(getattr(result, field.name) for field in dataclasses.fields(result))]


def test_secrets_appear_nowhere(
    make_kit: MakeKit, cloud: RunningHub, gate: tuple[str, Gate], caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for name in ("", "httpx", "httpcore", "websockets", "websockets.client", "asyncio", "comfykit_jupyter"):
        caplog.set_level(logging.DEBUG, name)
    cloud.pace, cloud.waits_for_socket = Polls(queued=0, running=8), True
    cloud.workflows[WORKFLOW] = workflows.gated(gate[0])
    cloud.apps[APP] = App("A picture", WORKFLOW, [Field("1", "width", "INT")])
    gate[1].open()
    kit = make_kit(raise_on_error=False)
    backend = kit.find_backend(WORKFLOW)
    shown: list[Any] = [kit, kit._settings, backend, kit.server(WORKFLOW), kit.options(timeout=3)]
    run = kit.submit(WORKFLOW, width=48)
    result = run.result()
    assert result.status == "completed"
    assert cloud.sockets.opened == 1
    shown += [run, run.progress, result.image, kit.dry_run(WORKFLOW, width=3), kit.load(WORKFLOW).prompt]
    results = [result, kit.run(f"rh-app:{APP}"), kit.attach(cloud.task.id).result(), kit.run(WORKFLOW, nothing=1)]
    key, echo = cloud.key, f"the key {cloud.key} is wrong"
    for endpoint in ("create", "v2/query", "getJsonApiFormat", "apiCallDemo"):
        for answer in (
            Refusal(802, echo),
            Refusal(433, echo, {"promptTips": echo}),
            changes.with_message(echo),
            lambda body: {**body, "failedReason": {"exception_message": key, "traceback": [key]}, "status": "FAILED"},
            build_page(302, {"Location": f"{cloud.url}/?apiKey={cloud.key}"}),
            build_page(502),
        ):
            cloud.answer(endpoint, answer)
            other = make_kit(raise_on_error=False, runninghub_retry_count=0)
            results.append(other.run(f"rh-app:{APP}" if endpoint == "apiCallDemo" else WORKFLOW))
            cloud.reset_answer(endpoint)
            for task in cloud.tasks.values():
                task.end, task.polls = "FAILED", 99
    results.append(make_kit(raise_on_error=False, runninghub_url="http://127.0.0.1:1").run(WORKFLOW))
    for each in results:
        shown += list_parts(each)
        shown += [each._repr_mimebundle_(), each.to_html(tmp_path / "result.html").read_text()]
    shown.append(kit.load(WORKFLOW).save(tmp_path / "workflow.json").read_text())
    text = "\n".join([*map(str, shown), *map(repr, shown), caplog.text])
    assert "picture_" in text
    assert "[key]" in text
    assert not [secret for secret in list_secrets(cloud) if secret in text]
    for path in [*tmp_path.rglob("*"), *get_local_folder().rglob("*")]:
        assert not path.is_file() or not [each for each in list_secrets(cloud) if each.encode() in path.read_bytes()], (
            path
        )


def test_a_form_contains_no_secrets(make_kit: MakeKit, cloud: RunningHub) -> None:
    form = make_kit().form(WORKFLOW)
    result = form.run().result()
    assert writer.drain(20)
    state = str(form.get_state())
    form.close()
    assert result.image.name in state
    assert not [secret for secret in list_secrets(cloud) if secret in state]


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("endpoint", ["getJsonApiFormat", "apiCallDemo", "create", "v2/query", "v2/upload", "cancel"])
def test_a_redirect_never_gets_the_key(
    endpoint: str, status: int, kit: ComfyKit, cloud: RunningHub, elsewhere: Elsewhere, gate: tuple[str, Gate]
) -> None:
    cloud.workflows[WORKFLOW] = workflows.inverted()
    cloud.apps[APP] = App("A picture", WORKFLOW, [Field("1", "image", "IMAGE")])
    cloud.answer(endpoint, build_page(status, {"Location": f"{elsewhere.url}/api"}), times=None)
    source = f"rh-app:{APP}" if endpoint == "apiCallDemo" else WORKFLOW
    if endpoint == "cancel":
        cloud.workflows[WORKFLOW] = workflows.gated(gate[0])
        run = kit.submit(WORKFLOW)
        cloud.wait_for(lambda: cloud.find_requests("v2/query"))
        with pytest.raises(ServerError, match="redirects to another address"):
            run.cancel()
        gate[1].open()
        assert run.result().status == "completed"
    else:
        result = kit.run(source, image=b"\x89PNG")
        assert result.status == "failed"
        assert "redirects to another address" in str(result.msg)
    assert elsewhere.seen == []
    assert len(cloud.find_requests("create")) <= 1


def test_other_hosts_get_no_secrets(kit: ComfyKit, cloud: RunningHub, elsewhere: Elsewhere) -> None:
    cloud.workflows[WORKFLOW] = workflows.inverted()
    cloud.fates.append(Fate())
    results = [{"url": f"{elsewhere.url}/a.png", "nodeId": "3"}, {"url": f"{elsewhere.url}/b.txt", "nodeId": "3"}]
    cloud.answer("v2/query", lambda body: {**body, "results": results}, times=None)
    assert kit.run(WORKFLOW, image=f"{elsewhere.url}/cat.png").status == "completed"
    assert kit.run(f"{elsewhere.url}/workflow.json").status == "failed"
    assert len(elsewhere.seen) == 4
    assert not [secret for secret in list_secrets(cloud) if secret in str(elsewhere.seen)]
    assert "Authorization" not in str(elsewhere.seen)


def test_each_server_gets_only_its_own_key(make_kit: MakeKit, cloud: RunningHub, elsewhere: Elsewhere) -> None:
    kit = make_kit(
        comfyui_url=elsewhere.url, api_key="key-of-comfyui", cookies="a=cookie-of-comfyui", raise_on_error=False
    )
    assert kit.run(WORKFLOW).status == "completed"
    kit.run(workflows.text())
    assert "of-comfyui" not in str([str(request) for request in cloud.requests])
    assert "of-comfyui" in str(elsewhere.seen)
    assert cloud.key not in str(elsewhere.seen)
    assert cloud.files.leaks == []


@pytest.mark.parametrize(
    "key", ["two\nlines-secret", "schlüssel-secret", "with space-secret", "“secret”", "a\x00secret"]
)
def test_a_key_that_cannot_be_sent_is_rejected_without_showing_it(
    key: str, make_kit: MakeKit, cloud: RunningHub, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    result = make_kit(runninghub_api_key=key, raise_on_error=False).run(WORKFLOW)
    assert result.status == "failed"
    assert "runninghub_api_key" in str(result.msg)
    assert "secret" not in f"{result!r}{result.error}{caplog.text}"
    assert not cloud.requests


def test_a_key_pasted_with_a_newline_works(make_kit: MakeKit, cloud: RunningHub) -> None:
    assert make_kit(runninghub_api_key=f" {cloud.key}\n").run(WORKFLOW).status == "completed"


def test_the_key_comes_from_the_environment(
    make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUNNINGHUB_API_KEY", cloud.key)
    monkeypatch.setenv("RUNNINGHUB_BASE_URL", f"{cloud.url}/")
    assert make_kit(runninghub_api_key=None, runninghub_url=None).run(WORKFLOW).status == "completed"
