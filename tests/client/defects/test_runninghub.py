"""RunningHub: what names a workflow there, what is sent, how a task is created and waited for, where the key goes."""

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

from .scenes import WAIT, Write

WORKFLOW = "1904136902449209346"


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[RunningHub]:
    """A cloud whose tasks have ended when one looks."""
    with RunningHub(sandbox.url) as cloud:
        cloud.workflows[WORKFLOW] = workflows.picture()
        cloud.pace = Polls(queued=0, running=0)
        yield cloud


def execute(package: Package, cloud: RunningHub, source: Any = WORKFLOW, params: Any = None, **more: Any) -> Any:
    """`await kit.execute(source, params)` of a kit for the cloud."""
    kit = {"runninghub_url": cloud.url, "runninghub_api_key": cloud.key, "runninghub_retry_count": 1}
    return package.execute(cloud._server_url, source, params, kit={**kit, **more.pop("kit", {})}, **more)


def test_20_a_file_may_refer_to_a_workflow(package: Package, cloud: RunningHub, write: Write) -> None:
    told = execute(package, cloud, write({"_source": "runninghub", "workflow_id": WORKFLOW}))
    assert told["status"] == "completed", told["msg"]


def test_22_the_key_does_not_go_to_the_host_of_a_text(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.text()
    cloud.texts_as_files = True
    told = execute(package, cloud, params={"say": "hello"})
    assert (told["status"], told["texts"]) == ("completed", ["hello"])
    assert cloud.files.requests
    assert cloud.files.leaks == []


def test_22_the_key_of_the_server_does_not_go_to_the_cloud(package: Package, cloud: RunningHub) -> None:
    execute(package, cloud, kit={"runninghub_api_key": None, "api_key": "planted-secret"})
    assert "planted-secret" not in str([str(request) for request in cloud.requests])


def test_27_digits_that_are_none_name_no_workflow(package: Package, cloud: RunningHub) -> None:
    told = execute(package, cloud, "²")
    assert told["status"] == "failed"
    assert not cloud.requests


def test_27_a_file_may_be_called_like_an_id(package: Package, cloud: RunningHub, tmp_path: Path) -> None:
    (tmp_path / "12345").write_text(json.dumps(workflows.picture()))
    told = execute(package, cloud, "12345", folder_of_work=str(tmp_path))
    assert told["status"] == "completed", told["msg"]
    assert not cloud.requests


def test_28_a_required_value_that_is_missing_costs_nothing(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW]["1"]["_meta"]["title"] = "$width!"
    assert execute(package, cloud)["status"] == "failed"
    assert not cloud.find_requests("create")


def test_28_a_file_that_is_nowhere_costs_nothing(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.inverted()
    execute(package, cloud, params={"image": "my-hoilday.png"})
    assert not cloud.find_requests("create")


@pytest.mark.parametrize("field", ["seed", "noise_seed"])
def test_28_the_seeds_of_the_workflow_are_those_that_run(field: str, package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW]["3"] = {"class_type": "KSampler", "inputs": {field: 4711}, "_meta": {"title": "Sampler"}}
    cloud.fates.append(Fate())
    assert execute(package, cloud)["status"] == "completed"
    assert cloud.task.graph["3"]["inputs"][field] == 4711


def test_28_a_task_is_created_once_though_the_answer_is_lost(package: Package, cloud: RunningHub) -> None:
    cloud.concurrency = 9
    cloud.answer("create", LOST)
    execute(package, cloud)
    assert len(cloud.tasks) == 1


def test_28_a_task_that_is_refused_is_not_offered_again(package: Package, cloud: RunningHub) -> None:
    cloud.answer("create", 433, times=None)
    execute(package, cloud)
    assert len(cloud.find_requests("create")) == 1


def test_28_an_unknown_state_is_no_reason_to_hurry(package: Package, cloud: RunningHub) -> None:
    cloud.fates.append(Fate())
    for endpoint in ("status", "v2/query"):
        cloud.answer(endpoint, changes.with_state("CREATE"), times=None)
    execute(package, cloud, seconds=1)
    looks = [request for request in cloud.requests if request.endpoint in ("status", "v2/query", "outputs")]
    assert len(looks) < 10


def test_28_a_key_that_is_revoked_ends_the_wait(package: Package, cloud: RunningHub) -> None:
    for endpoint in ("status", "v2/query", "outputs"):
        cloud.answer(endpoint, 802, times=None)
    assert execute(package, cloud, kit={"runninghub_retry_count": 0}, seconds=WAIT)["status"] == "failed"


def test_28_a_node_may_be_told_by_a_number(package: Package, cloud: RunningHub) -> None:
    cloud.answer("v2/query", lambda body: numbered(body, "results"), times=None)
    cloud.answer("outputs", lambda body: numbered(body, "data"), times=None)
    assert list(execute(package, cloud)["images_by_var"]) == ["cover"]


def test_28_a_file_may_be_of_no_type(package: Package, cloud: RunningHub) -> None:
    cloud.answer("v2/query", lambda body: untyped(body, "results"), times=None)
    cloud.answer("outputs", lambda body: untyped(body, "data"), times=None)
    told = execute(package, cloud)
    assert (told["status"], len(told["images"])) == ("completed", 1), told["msg"]


def test_28_no_file_is_dropped(package: Package, cloud: RunningHub) -> None:
    names = ("a.webm", "b.ogg", "c.m4a", "d.glb", "e.zip", "f.bmp")
    cloud.fates.append(Fate(outputs=[Output("2", name, b"content") for name in names]))
    told = execute(package, cloud)
    assert sum(len(told[kind]) for kind in ("images", "videos", "audios", "files")) == len(names)


def test_28_a_failure_says_which_node_and_why(package: Package, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.failing()
    cloud.workflows[WORKFLOW]["3"]["_meta"]["title"] = "The bomb"
    told = execute(package, cloud)
    assert told["msg"] == "The bomb: kaboom over 1 picture"


def numbered(body: dict[str, Any], key: str) -> dict[str, Any]:
    return {**body, key: body[key] and [{**each, "nodeId": int(each["nodeId"])} for each in body[key]]}


def untyped(body: dict[str, Any], key: str) -> dict[str, Any]:
    return {**body, key: body[key] and [{**each, "fileType": None, "outputType": None} for each in body[key]]}
