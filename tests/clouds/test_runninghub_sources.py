"""IDs, page URLs and files that name a workflow on RunningHub, and how it is read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ComfyKitError
from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.proxy import Served
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .runninghub import IDENTIFIERS, App, Field, Reply, RunningHub, changes

APP = "1937084629516193794"
PAGES = [
    "workflow/{}",
    "post/{}",
    "run/workflow/{}",
    "zh-cn/workflow/{}",
    "#/workflow/{}",
    "workflow/{}?inviteCode=x#y",
]
APP_PAGES = ["ai-detail/{}", "app/{}", "run/ai-app/{}", "en/ai-detail/{}", "ai-detail/{}/?from=home"]
SITES = ["https://www.runninghub.ai", "https://runninghub.cn", "http://www.runninghub.cn"]
NO_IDS = ["²", "12³4", "１９０４", "١٩٠٤", "19 04", "-1904", "1904.0", "rh:", "rh:abc", "rh-app:", "1" * 40]


@pytest.fixture
def app(cloud: RunningHub) -> App:
    cloud.apps[APP] = App("A picture", WORKFLOW, [Field("1", "width", "INT"), Field("1", "height", "INT")])
    return cloud.apps[APP]


@pytest.mark.parametrize("name", [WORKFLOW, f"rh:{WORKFLOW}"])
async def test_a_workflow_runs_by_its_id(name: str, kit: ComfyKit, cloud: RunningHub) -> None:
    result = await kit.execute(name, {"width": 48})
    assert result.status == "completed"
    assert result.prompt_id == cloud.task.id
    assert (result.workflow_name, result.server) == (WORKFLOW, cloud.url)
    assert list(result.images_by_var) == ["cover"]
    assert result.image.pil().size == (48, 16)
    assert kit.run(Path(name)).status == "completed"


async def test_an_id_may_be_a_number(kit: ComfyKit, cloud: RunningHub) -> None:
    for number in (int(WORKFLOW), np.int64(WORKFLOW)):
        result = await kit.execute(number)
        assert result.status == "completed", result.msg
        assert (await kit.check(number)).ok
    assert kit.attach(int(str(result.prompt_id))).result().status == "completed"
    for wrong in (True, 1.0, -5, 10**40):
        assert (await kit.execute(wrong)).status == "failed", wrong  # type: ignore[arg-type]


@pytest.mark.parametrize("page", PAGES)
def test_a_page_url_names_its_workflow(page: str, kit: ComfyKit, cloud: RunningHub) -> None:
    for site in (cloud.url, *SITES):
        assert kit.load(f"{site}/{page.format(WORKFLOW)}").prompt["1"]["class_type"] == "EmptyImage"
    assert {request.body["workflowId"] for request in cloud.find_requests("getJsonApiFormat")} == {WORKFLOW}


@pytest.mark.parametrize("page", APP_PAGES)
def test_a_page_url_names_its_app(page: str, kit: ComfyKit, cloud: RunningHub, app: App) -> None:
    for site in (cloud.url, *SITES):
        assert list(kit.load(f"{site}/{page.format(APP)}").parameters) == ["width", "height"]
    assert cloud.find_requests("apiCallDemo")
    assert not cloud.find_requests("getJsonApiFormat")


def test_an_app_runs_by_its_id(kit: ComfyKit, cloud: RunningHub, app: App) -> None:
    result = kit.run(f"rh-app:{APP}", width=48)
    assert result.image.pil().size == (48, 16)
    assert result.workflow_name == "A picture"
    (request,) = cloud.find_requests("ai-app/run")
    assert request.body["webappId"] == int(APP)


REFERENCES: list[dict[str, Any]] = [
    {"_source": "runninghub", "workflow_id": WORKFLOW},
    {"source": "runninghub", "workflow_id": WORKFLOW},
    {"_source": "runninghub", "workflow_id": int(WORKFLOW), "name": "mine"},
    {"_source": "runninghub", "workflow_id": f" {WORKFLOW}\n"},
]


@pytest.mark.parametrize("reference", REFERENCES)
async def test_a_file_or_dict_can_refer_to_a_workflow(
    reference: dict[str, Any], kit: ComfyKit, cloud: RunningHub, tmp_path: Path
) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(reference))
    for source in (reference, path, str(path)):
        assert kit.run(source, {"width": 48}).status == "completed"
    assert (await kit.execute_json(reference)).status == "completed"
    assert [request.body["workflowId"] for request in cloud.find_requests("create")] == [WORKFLOW] * 4


def test_a_file_can_refer_to_an_app(kit: ComfyKit, cloud: RunningHub, app: App, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps({"_source": "runninghub", "webapp_id": APP}))
    assert kit.run(path, width=40).image.pil().size == (40, 16)


@pytest.mark.parametrize("reference", [{"_source": "runninghub"}, {"source": "runninghub", "workflow_id": "none"}])
def test_an_incomplete_reference_says_what_is_missing(reference: dict[str, Any], kit: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(reference))
    for source in (reference, path):
        result = kit.run(source)
        assert result.status == "failed"
        assert '"workflow_id": "1904' in str(result.msg)


def test_a_url_of_a_reference_file_says_what_to_pass(kit: ComfyKit, cloud: RunningHub) -> None:
    async def serve(_: web.Request) -> web.StreamResponse:
        return web.json_response(REFERENCES[0])

    with Served(serve) as site:
        result = kit.run(f"{site.url}/mine.json")
    assert result.status == "failed"
    assert WORKFLOW in str(result.msg)
    assert not cloud.requests


def test_a_similar_url_on_another_host_is_a_file(kit: ComfyKit, cloud: RunningHub) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(str(request.headers))
        return web.json_response({})

    with Served(serve) as site:
        result = kit.run(f"{site.url}/workflow/{WORKFLOW}")
    assert result.status == "failed"
    assert len(seen) == 1
    assert cloud.key not in seen[0]
    assert not cloud.requests


async def test_a_file_named_like_an_id_is_a_file(
    make_kit: MakeKit, cloud: RunningHub, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "12345").write_text(json.dumps(workflows.picture()))
    result = await make_kit(comfyui_url=sandbox.url).execute("12345", {"width": 24})
    assert result.image.pil().size == (24, 16)
    assert not cloud.requests
    cloud.workflows["12345"] = workflows.picture()
    assert make_kit().run("rh:12345").server == cloud.url


def test_an_invalid_id_is_not_requested(kit: ComfyKit, cloud: RunningHub) -> None:
    for name in NO_IDS:
        result = kit.run(name)
        assert result.status == "failed"
        assert "no file" in str(result.msg)
    assert not cloud.requests


def test_a_workflow_is_cached_for_a_while(kit: ComfyKit, cloud: RunningHub) -> None:
    for _ in range(2):
        kit.run(WORKFLOW)
    assert len(cloud.find_requests("getJsonApiFormat")) == 1
    assert kit.dry_run(f"rh:{WORKFLOW}").workflow == WORKFLOW
    assert len(cloud.find_requests("getJsonApiFormat")) == 1


def test_inputs_added_by_the_site_are_ignored(kit: ComfyKit, cloud: RunningHub) -> None:
    graph = cloud.workflows[WORKFLOW]
    graph["1"]["inputs"]["speak_and_recognation"] = {"__value__": [False, True]}
    graph["1"]["_meta"]["title"] = "Leinwand 画布 🎨, $width"
    cloud.answer("getJsonApiFormat", changes.graph_as_object)
    assert kit.load(WORKFLOW).get_title("1") == "Leinwand 画布 🎨"
    assert kit.run(WORKFLOW, width=40).image.pil().size == (40, 16)


NO_GRAPHS: list[Any] = [
    {"code": 0, "msg": "success", "data": None},
    {"code": 0, "data": {"prompt": None}},
    {"code": 0, "data": {"prompt": "{"}},
    {"code": 0, "data": {"prompt": "[]"}},
    {"code": 0, "data": {"prompt": 7}},
    {"code": 0, "data": {"prompt": {"nodes": [{"id": 1, "type": "A"}], "links": []}}},
    {"code": 0, "data": "hello"},
]


def test_a_malformed_graph_is_reported(kit: ComfyKit, cloud: RunningHub) -> None:
    for answer in NO_GRAPHS:
        cloud.answer("getJsonApiFormat", Reply(answer))
        result = kit.run(WORKFLOW)
        assert result.status == "failed"
        assert f"gives no graph for the workflow {WORKFLOW}" in str(result.msg)


def test_a_rejected_workflow_is_requested_once(kit: ComfyKit, cloud: RunningHub) -> None:
    codes = sorted(IDENTIFIERS.keys() - {200, 808, 1003, 1005, 1010, 1011})
    for code in codes:
        for endpoint, name in (("getJsonApiFormat", WORKFLOW), ("apiCallDemo", f"rh-app:{APP}")):
            cloud.answer(endpoint, code, times=None)
            result = kit.run(name)
            assert result.status == "failed"
            assert f"(code {code})" in str(result.msg)
            cloud.reset_answer(endpoint)
    assert len(cloud.requests) == 2 * len(codes)


def test_a_rejection_says_what_to_do(kit: ComfyKit, cloud: RunningHub) -> None:
    for code, what in {
        380: "it has no such workflow",
        810: "run once, on the site",
        802: "does not know the key",
        801: "become a member",
    }.items():
        cloud.answer("getJsonApiFormat", code)
        assert what in str(kit.run(WORKFLOW).msg)


def test_a_temporary_error_is_retried(kit: ComfyKit, cloud: RunningHub) -> None:
    for code in (1003, 1005, 1010):
        cloud.answer("getJsonApiFormat", code)
    assert kit.load(WORKFLOW).parameters
    cloud.answer("getJsonApiFormat", 1010, times=None)
    with pytest.raises(ComfyKitError, match=r"it is temporarily unavailable.*\(code 1010\)"):
        kit.options(runninghub_retry_count=1).load(WORKFLOW)
    assert len(cloud.find_requests("getJsonApiFormat")) == 6


async def test_without_a_key_nothing_is_requested(make_kit: MakeKit, cloud: RunningHub) -> None:
    kit = make_kit(runninghub_api_key=None, api_key="that-of-comfyui")
    result = await kit.execute(WORKFLOW)
    assert result.status == "failed"
    assert "RUNNINGHUB_API_KEY" in str(result.msg)
    assert not cloud.requests
