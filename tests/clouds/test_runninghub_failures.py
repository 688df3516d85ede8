"""A failed task reports which node failed and why, in every known format."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.runninghub import follow
from tests.client import workflows
from tests.client.nodes import Gate
from tests.kits import MakeKit

from .api_client import WORKFLOW, ApiClient
from .conftest import wait_until_running
from .runninghub import NOT_FOUND, Fate, Output, RunningHub, changes

REASON = {
    "current_outputs": {},
    "exception_type": "TypeError",
    "node_name": "EmptyImage",
    "current_inputs": {},
    "traceback": ['  File "/workspace/ComfyUI/execution.py", line 1208, in execute\n', "    more\n"],
    "node_id": "1",
    "exception_message": "sampler_main() missing 2 required positional arguments",
}


@pytest.mark.parametrize("route", ["newer", "older"])
def test_a_failed_node_is_named(route: str, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.failing()
    if route == "older":
        cloud.answer("v2/query", NOT_FOUND, times=None)
    result = kit.run(WORKFLOW)
    assert result.status == "failed"
    error = result.error
    assert error is not None
    assert (error.kind, error.node_id, error.node_title, error.class_type) == (
        "node_error",
        "3",
        "The bomb",
        "TestBoom",
    )
    assert error.exception_type == "ValueError"
    assert any("kaboom" in line for line in error.traceback)
    assert result.msg == "The bomb: kaboom over 1 picture"


SHAPES = {
    "as it is": lambda body: body,
    "JSON": changes.reason_as_json,
    "JSON in the older route": lambda body: {**body, "failedReason": None},
    "a trace of one text": lambda body: {**body, "failedReason": {**REASON, "traceback": "".join(REASON["traceback"])}},
    "a trace that is JSON": lambda body: {
        **body,
        "failedReason": {**REASON, "traceback": json.dumps(REASON["traceback"])},
    },
    "numbers": lambda body: {**body, "failedReason": {**REASON, "node_id": 1}},
    "in an envelope": changes.in_envelope,
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_failure_is_understood_in_every_format(shape: str, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate("FAILED", reason=REASON, error_code="805"))
    change = SHAPES[shape]

    def answer(body: dict[str, Any]) -> Any:
        return change(body) if body["status"] == "FAILED" or shape == "in an envelope" else body

    cloud.answer("v2/query", answer, times=None)
    cloud.answer("outputs", changes.reason_as_json, times=None)
    result = kit.run(WORKFLOW)
    error = result.error
    assert error is not None
    assert (error.kind, error.node_id, error.node_title, error.class_type) == (
        "node_error",
        "1",
        "Canvas",
        "EmptyImage",
    )
    assert (error.exception_type, error.message) == ("TypeError", REASON["exception_message"])
    assert "".join(error.traceback) == "".join(REASON["traceback"])
    assert result.msg == f"Canvas: {REASON['exception_message']}"


@pytest.mark.parametrize(
    "reason",
    [None, {}, "", "{}", [], 7, {"exception_message": None}, {"exception_message": ["x"], "traceback": 7}],
    ids=repr,
)
def test_without_a_reason_the_code_is_reported(reason: Any, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate("FAILED", error_code="1501", error_message="content moderation failed"))
    cloud.answer("v2/query", lambda body: {**body, "failedReason": reason}, times=None)
    cloud.answer("outputs", changes.without_reason, times=None)
    result = kit.run(WORKFLOW)
    assert result.error is not None
    assert result.error.kind == "node_error"
    assert "its moderation rejected the content" in str(result.msg)
    assert "(code 1501)" in str(result.msg)


def test_a_reason_can_be_a_string(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate("FAILED"))
    cloud.answer("v2/query", lambda body: {**body, "failedReason": "out of memory"}, times=None)
    assert "out of memory" in str(kit.run(WORKFLOW).msg)


def test_a_reason_can_name_a_node_without_a_message(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate("FAILED", reason={"node_id": "1"}))
    result = kit.run(WORKFLOW)
    assert str(result.msg).startswith("Canvas: the task failed: it failed without giving a reason")
    assert "(code 1000)" in str(result.msg)


def test_hostile_reasons_are_treated_as_text(kit: ComfyKit, cloud: RunningHub) -> None:
    reason: dict[str, Any] = {
        **REASON,
        "exception_message": changes.HOSTILE,
        "node_id": changes.HOSTILE,
        "node_name": changes.HOSTILE,
    }
    reason["traceback"] = [changes.HOSTILE, None, 7]
    cloud.fates.append(Fate("FAILED", reason=reason, error_message=changes.HOSTILE))
    result = kit.run(WORKFLOW)
    assert result.status == "failed"
    html = str(result._repr_mimebundle_()["text/html"])
    assert "<img src=x" not in html
    assert "\x1b" not in repr(result)


def test_outputs_before_a_failure_are_kept(kit: ComfyKit, cloud: RunningHub) -> None:
    made = [Output("2", "picture.png", b"\x89PNG")]
    cloud.fates.append(Fate(outputs=made))
    cloud.answer(
        "v2/query",
        lambda body: {**body, "status": "FAILED", "failedReason": REASON} if body["status"] == "SUCCESS" else body,
        times=None,
    )
    result = kit.run(WORKFLOW)
    assert result.status == "failed"
    assert len(result["cover"]) == 1


def test_a_failure_of_an_attached_task_names_the_node_class(kit: ComfyKit, cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW] = workflows.failing()
    again = kit.attach(ask.create()["data"]["taskId"]).result()
    assert again.error is not None
    assert (again.error.kind, again.error.node_id, again.error.class_type) == ("node_error", "3", "TestBoom")
    assert "TestBoom" in str(again.msg)
    assert "kaboom over 1 picture" in str(again.msg)


def test_an_error_names_the_workflow_of_its_run(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.failing()
    run = make_kit(raise_on_error=False).submit(WORKFLOW, width=40)
    result = run.result()
    assert result.params["width"] == 40
    assert result.prompt["1"]["inputs"]["width"] == 40
    assert result.prompt_id == run.prompt_id == cloud.task.id


# Cancelled elsewhere


def test_a_task_cancelled_elsewhere_is_reported_as_cancelled(
    kit: ComfyKit, cloud: RunningHub, ask: ApiClient, gate: tuple[str, Gate]
) -> None:
    name, task_gate = gate
    cloud.workflows[WORKFLOW] = workflows.gated(name)
    run = kit.submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    ask("cancel", taskId=cloud.task.id)
    result = run.result()
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "interrupted"
    assert run.status == "cancelled"


def test_the_older_route_reports_a_cancelled_task_as_failed(
    kit: ComfyKit, cloud: RunningHub, gate: tuple[str, Gate]
) -> None:
    name, task_gate = gate
    cloud.workflows[WORKFLOW] = workflows.gated(name)
    cloud.answer("v2/query", NOT_FOUND, times=None)
    run = kit.submit(WORKFLOW)
    task_gate.wait()
    run.cancel()
    assert run.result().error.kind == "cancelled"  # type: ignore[union-attr]
    assert run.status == "cancelled"


def test_a_succeeded_task_that_disappears_has_no_outputs_to_wait_for(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", changes.without_results, times=None)
    cloud.answer("outputs", 807, times=None)
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert "does not have the outputs yet" in result.warnings[0]
    assert len(cloud.find_requests("outputs")) <= follow.OUTPUTS_TRIES + follow.SOCKET_TRIES


# Called failed without a reason


@pytest.mark.parametrize("code", ["", "0", "1000", "805"])
def test_a_task_without_a_reason_is_not_failed_if_its_outputs_exist(
    code: str, kit: ComfyKit, cloud: RunningHub
) -> None:
    cloud.answer("v2/query", changes.called_failed(code), times=None)
    result = kit.run(WORKFLOW, width=48)
    assert result.status == "completed", result.msg
    assert result["cover"][0].pil().size == (48, 16)
    assert result.warnings == ["RunningHub calls the task failed without a reason, but has its outputs"]
    assert result.raw[0]["nodeId"] == "2"
    assert len(cloud.find_requests("create")) == 1


def test_outputs_that_come_late_are_waited_for(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", changes.called_failed(), times=None)
    cloud.hidden = 2
    assert kit.run(WORKFLOW).status == "completed"


def test_a_code_with_a_reason_is_a_failure_that_keeps_the_outputs(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", changes.called_failed("1501"), times=None)
    result = kit.run(WORKFLOW)
    assert result.status == "failed"
    assert "its moderation rejected the content" in str(result.msg)
    assert len(result["cover"]) == 1


def test_no_outputs_and_no_reason_is_a_failure(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate())
    cloud.answer("v2/query", changes.called_failed(), times=None)
    result = kit.run(WORKFLOW)
    assert (result.status, result.warnings) == ("failed", [])


def test_a_cancelled_task_that_is_called_failed_is_cancelled(
    kit: ComfyKit, cloud: RunningHub, gate: tuple[str, Gate]
) -> None:
    name, task_gate = gate
    cloud.workflows[WORKFLOW] = workflows.gated(name)
    cloud.answer("v2/query", changes.called_failed(), times=None)
    run = kit.submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    run.cancel()
    assert run.result().error.kind == "cancelled"  # type: ignore[union-attr]
