"""A planted key goes to its own Comfy API v2 server and appears nowhere else."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKitError
from comfykit_jupyter.notebook.page.writer import writer
from tests.client import workflows
from tests.client.test_secrets import Elsewhere
from tests.kits import MakeKit

from .double import KEY, Double, Output, Reply, set_status

SECRETS = {"api_key": KEY, "cookies": '{"session": "planted-cookie"}', "headers": {"X-Access": "planted-header"}}
PLANTED = ("planted", "signed-")
PICTURE = Output("2", "a.png", "image", "image/png", b"a picture")


@pytest.fixture
def elsewhere() -> Iterator[Elsewhere]:
    with Elsewhere() as site:
        yield site


def find_secrets(shown: Any) -> list[str]:
    return [secret for secret in PLANTED if secret in str(shown)]


async def test_every_request_to_the_server_carries_the_secrets(double: Double, make_kit: MakeKit, quick: None) -> None:
    double.plan = [set_status("running"), set_status("succeeded", outputs=[PICTURE])]
    kit = make_kit(double.base, executor_type="websocket", **SECRETS)
    result = await kit.execute(workflows.inverted(), {"image": b"\x89PNG a picture"})
    await asyncio.to_thread(result.image.read)
    assert set(double.routes) >= {"POST /assets", "POST /jobs", "GET /jobs/{id}", "GET /assets/{id}/content"}
    for seen in double.seen:
        carried = [seen.headers.get(name) for name in ("Authorization", "Cookie", "X-Access")]
        assert carried == [f"Bearer {KEY}", "session=planted-cookie", "planted-header"], seen.path
    (body,) = [json.loads(seen.body) for seen in double.seen if seen.method == "POST" and seen.path.endswith("/jobs")]
    assert body["extra_data"] == {"api_key_comfy_org": KEY}
    assert not find_secrets(body["workflow"])


async def test_what_the_address_holds_goes_to_the_server_only(
    double: Double, elsewhere: Elsewhere, make_kit: MakeKit, quick: None, caplog: pytest.LogCaptureFixture
) -> None:
    """A gateway in front of the server asks for a token; the server itself for a key."""
    double.plan = [set_status("running"), set_status("succeeded", outputs=[PICTURE])]
    with caplog.at_level(logging.DEBUG):
        kit = make_kit(f"{double.base}?token=planted-token", executor_type="websocket", api_key=KEY)
        result = await kit.execute(workflows.inverted(), {"image": b"\x89PNG a picture"})
        await asyncio.to_thread(result.image.read)
    assert result.status == "completed", result.msg
    assert not [seen.path for seen in double.seen if not seen.path.endswith("token=planted-token")]
    assert not [seen.path for seen in double.files.seen if "planted-token" in seen.path]
    assert not find_secrets([result, result.image, kit, caplog.text])


async def test_without_a_key_no_secret_is_sent(make_kit: MakeKit, quick: None) -> None:
    with Double(key=None) as double:
        assert (await make_kit(double.base).execute(workflows.picture())).status == "completed"
        assert not any("Authorization" in seen.headers for seen in double.seen)
        (body,) = [json.loads(seen.body) for seen in double.seen if seen.method == "POST"]
        assert body.keys() == {"workflow"}


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize(
    "route", ["POST /jobs", "GET /jobs/{id}", "GET /jobs/{id}/events", "POST /assets", "POST /jobs/{id}/cancel"]
)
async def test_a_redirect_never_gets_the_secrets(
    route: str, status: int, double: Double, elsewhere: Elsewhere, make_kit: MakeKit, quick: None
) -> None:
    double.plan = [set_status("running")] * 10 + [set_status("succeeded")]
    double.fail(route, *[Reply(status, text="over there", headers={"Location": f"{elsewhere.url}/api/v2/x"})] * 3)
    kit = make_kit(double.base, executor_type="websocket", patience=0, **SECRETS)
    run = kit.submit(workflows.inverted(), image=b"\x89PNG a picture")
    if route.endswith("cancel"):
        double.wait_for("GET /jobs/{id}")
        with pytest.raises(ComfyKitError, match="redirects to") as caught:
            await asyncio.to_thread(run.cancel)
        assert not find_secrets(caught.value)
    result = await run.wait_for_result()
    assert not find_secrets(result.msg)
    assert not elsewhere.seen


@pytest.mark.parametrize("kind", ["302", "asset elsewhere"])
async def test_a_file_on_another_host_is_downloaded_without_secrets(
    kind: str, double: Double, elsewhere: Elsewhere, make_kit: MakeKit, quick: None
) -> None:
    double.plan = [set_status("succeeded", outputs=[PICTURE])]
    result = await make_kit(double.base, **SECRETS).execute(workflows.picture())
    if kind == "302":
        double.fail("GET /assets/{id}/content", Reply(302, text="", headers={"Location": f"{elsewhere.url}/x?sig=1"}))
    await asyncio.to_thread(result.image.read)
    assert not find_secrets([seen.headers for seen in double.files.seen])
    assert not find_secrets(elsewhere.seen)
    assert bool(elsewhere.seen) == (kind == "302")


async def test_links_to_other_hosts_are_not_followed(
    double: Double, elsewhere: Elsewhere, make_kit: MakeKit, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    format_job = double._format_job

    def format_with_other_links(job: Any) -> dict[str, Any]:
        lure = f"{elsewhere.url}/api/v2/jobs/{job.id}"
        return {**format_job(job), "urls": {"self": lure, "events": f"{lure}/events", "cancel": f"{lure}/cancel"}}

    monkeypatch.setattr(double, "_format_job", format_with_other_links)
    double.plan = [set_status("running"), set_status("running"), set_status("succeeded", outputs=[PICTURE])]
    assert (await make_kit(double.base, **SECRETS).execute(workflows.picture())).status == "completed"
    assert not elsewhere.seen


async def test_secrets_appear_nowhere(
    double: Double, make_kit: MakeKit, quick: None, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    shown: list[Any] = []
    echo = f"what is {KEY}?"
    with caplog.at_level(logging.DEBUG):
        double.plan = [
            set_status("running"),
            set_status("succeeded", outputs=[PICTURE, Output("3", "t.txt", "text", "text/plain", b"t")]),
        ]
        kit = make_kit(double.base, executor_type="websocket", patience=0, **SECRETS)
        shown += [
            kit,
            kit._settings,
            kit.find_backend(),
            kit.server(),
            kit.queue(),
            kit.history(),
            kit.options(timeout=3),
        ]
        run = kit.submit(workflows.inverted(), image=b"\x89PNG a picture")
        results = [await run]
        await asyncio.to_thread(results[0].image.read)
        page = await asyncio.to_thread(results[0].to_html, tmp_path / "page.html")
        shown += [run, run.progress, results[0].image, results[0]._repr_mimebundle_(), page.read_text(encoding="utf-8")]
        error = {"code": "node_execution_error", "message": echo, "node_id": "2", "traceback": f"{echo}\n{echo}"}
        double.plan = [set_status("failed", error=error)]
        results.append(await kit.execute(workflows.picture()))
        for reply in (
            Reply(401, "unauthorized", echo),
            Reply(402, "insufficient_credits", echo),
            Reply(422, "invalid_workflow", echo, details={"node_errors": {"1": [{"field": echo, "reason": echo}]}}),
            Reply(500, "upstream_error", echo),
            Reply(302, text=echo, headers={"Location": f"http://elsewhere.example/?{KEY}"}),
            Reply(404, text=echo),
        ):
            double.fail("POST /jobs", reply)
            results.append(await kit.execute(workflows.picture()))
        results.append(await make_kit("http://127.0.0.1:1/api/v2", **SECRETS).execute(workflows.picture()))
        for each in results:
            shown += [each, *(getattr(each, field.name) for field in dataclasses.fields(each))]
        await kit.close()
    assert "[key]" in str(results[1].error)
    assert not find_secrets([[str(each), repr(each)] for each in shown])
    assert not find_secrets(_read_own_logs(caplog))


def _read_own_logs(caplog: pytest.LogCaptureFixture) -> str:
    """Return what our code logged in this process, without the double's logs."""
    messages = [record.getMessage() for record in caplog.records if not record.name.startswith("aiohttp")]
    assert any("HTTP Request: " in line for line in messages)
    return "\n".join(messages)


def test_a_form_contains_no_secrets(double: Double, make_kit: MakeKit, quick: None) -> None:
    double.plan = [set_status("succeeded", outputs=[PICTURE])]
    form = make_kit(double.base, **SECRETS).form(workflows.picture())
    form.run().result()
    assert writer.drain(20)
    assert "a.png" in str(form.get_state())
    assert not find_secrets(form.get_state())
    form.close()
