"""Test defects of RunningHub runs: workflow IDs, values, creating and following tasks, and where the key is sent."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import Package
from tests.clouds.runninghub import LOST, Fate, Output, Polls, RunningHub, changes

from .scenes import Write, get_patience

WORKFLOW = "1904136902449209346"


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[RunningHub]:
    """A cloud whose tasks have already ended at the first poll."""
    with RunningHub(sandbox.url) as cloud:
        cloud.workflows[WORKFLOW] = workflows.picture()
        cloud.pace = Polls(queued=0, running=0)
        yield cloud


def execute(package: Package, cloud: RunningHub, source: Any = WORKFLOW, params: Any = None, **more: Any) -> Any:
    """Run `await kit.execute(source, params)` with a kit for the cloud."""
    kit = {"runninghub_url": cloud.url, "runninghub_api_key": cloud.key, "runninghub_retry_count": 1}
    return package.execute(cloud._server_url, source, params, kit={**kit, **more.pop("kit", {})}, **more)


def test_20_file_can_refer_to_a_workflow(package: Package, cloud: RunningHub, write: Write) -> None:
    result = execute(package, cloud, write({"_source": "runninghub", "workflow_id": WORKFLOW}))
    assert result["status"] == "completed", result["msg"]


def test_22_api_key_is_not_sent_to_the_host_of_a_text(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.text()
    cloud.texts_as_files = True
    result = execute(package, cloud, params={"say": "hello"})
    assert (result["status"], result["texts"]) == ("completed", ["hello"])
    assert cloud.files.requests
    assert cloud.files.leaks == []


def test_22_api_key_of_the_server_is_not_sent_to_the_cloud(package: Package, cloud: RunningHub) -> None:
    execute(package, cloud, kit={"runninghub_api_key": None, "api_key": "planted-secret"})
    assert "planted-secret" not in str([str(request) for request in cloud.requests])


def test_27_non_ascii_digits_are_not_a_workflow_id(package: Package, cloud: RunningHub) -> None:
    result = execute(package, cloud, "²")
    assert result["status"] == "failed"
    assert not cloud.requests


def test_27_file_can_be_named_like_an_id(package: Package, cloud: RunningHub, tmp_path: Path) -> None:
    (tmp_path / "12345").write_text(json.dumps(workflows.picture()))
    result = execute(package, cloud, "12345", folder_of_work=str(tmp_path))
    assert result["status"] == "completed", result["msg"]
    assert not cloud.requests


def test_28_missing_required_value_creates_no_task(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW]["1"]["_meta"]["title"] = "$width!"
    assert execute(package, cloud)["status"] == "failed"
    assert not cloud.find_requests("create")


def test_28_missing_file_creates_no_task(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.inverted()
    execute(package, cloud, params={"image": "my-hoilday.png"})
    assert not cloud.find_requests("create")


@pytest.mark.parametrize("field", ["seed", "noise_seed"])
def test_28_seeds_of_the_workflow_are_kept(field: str, package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW]["3"] = {"class_type": "KSampler", "inputs": {field: 4711}, "_meta": {"title": "Sampler"}}
    cloud.fates.append(Fate())
    assert execute(package, cloud)["status"] == "completed"
    assert cloud.task.graph["3"]["inputs"][field] == 4711


def test_28_lost_reply_does_not_create_a_second_task(package: Package, cloud: RunningHub) -> None:
    cloud.concurrency = 9
    cloud.answer("create", LOST)
    execute(package, cloud)
    assert len(cloud.tasks) == 1


def test_28_rejected_task_is_not_retried(package: Package, cloud: RunningHub) -> None:
    cloud.answer("create", 433, times=None)
    execute(package, cloud)
    assert len(cloud.find_requests("create")) == 1


def test_28_unknown_state_is_not_polled_faster(package: Package, cloud: RunningHub) -> None:
    cloud.fates.append(Fate())
    for endpoint in ("status", "v2/query"):
        cloud.answer(endpoint, changes.with_state("CREATE"), times=None)
    execute(package, cloud, seconds=1, pauses=1)
    looks = [request for request in cloud.requests if request.endpoint in ("status", "v2/query", "outputs")]
    assert len(looks) < 10


def test_28_revoked_key_ends_the_wait(package: Package, cloud: RunningHub) -> None:
    for endpoint in ("status", "v2/query", "outputs"):
        cloud.answer(endpoint, 802, times=None)
    assert (
        execute(package, cloud, kit={"runninghub_retry_count": 0}, seconds=get_patience(package))["status"] == "failed"
    )


def test_28_node_id_can_be_a_number(package: Package, cloud: RunningHub) -> None:
    cloud.answer("v2/query", lambda body: number_nodes(body, "results"), times=None)
    cloud.answer("outputs", lambda body: number_nodes(body, "data"), times=None)
    assert list(execute(package, cloud)["images_by_var"]) == ["cover"]


def test_28_output_can_lack_a_type(package: Package, cloud: RunningHub) -> None:
    cloud.answer("v2/query", lambda body: remove_types(body, "results"), times=None)
    cloud.answer("outputs", lambda body: remove_types(body, "data"), times=None)
    result = execute(package, cloud)
    assert (result["status"], len(result["images"])) == ("completed", 1), result["msg"]


def test_28_every_output_is_kept(package: Package, cloud: RunningHub) -> None:
    names = ("a.webm", "b.ogg", "c.m4a", "d.glb", "e.zip", "f.bmp")
    cloud.fates.append(Fate(outputs=[Output("2", name, b"content") for name in names]))
    result = execute(package, cloud)
    assert sum(len(result[kind]) for kind in ("images", "videos", "audios", "files")) == len(names)


def test_28_failure_names_node_and_reason(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.failing()
    cloud.workflows[WORKFLOW]["3"]["_meta"]["title"] = "The bomb"
    result = execute(package, cloud)
    assert result["msg"] == "The bomb: kaboom over 1 picture"


def number_nodes(body: dict[str, Any], key: str) -> dict[str, Any]:
    return {**body, key: body[key] and [{**each, "nodeId": int(each["nodeId"])} for each in body[key]]}


def remove_types(body: dict[str, Any], key: str) -> dict[str, Any]:
    return {**body, key: body[key] and [{**each, "fileType": None, "outputType": None} for each in body[key]]}
