"""A task is created once: only a request that certainly created no task is retried."""

from __future__ import annotations

import json
import threading
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ExecuteResult
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.runninghub import api as runninghub_api
from comfykit_jupyter.client.backends.runninghub import backend as runninghub_backend
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.running import executable
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.clouds import runninghub as words
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .clock import advance
from .runninghub import (
    CUT,
    DROPPED,
    EMPTY,
    FLOOD,
    HANGING,
    IDENTIFIERS,
    LOST,
    LOST_HANGING,
    NO_JSON,
    App,
    Field,
    Refusal,
    Reply,
    RunningHub,
    build_huge,
    build_page,
    changes,
)
from .runninghub.script import Answer

LOSSES: dict[str, Answer] = {
    "the connection breaks": DROPPED,
    "the answer is lost": LOST,
    "the answer is cut off": CUT,
    "no answer": HANGING,
    "no answer, though it runs": LOST_HANGING,
    "an endless answer": FLOOD,
    "an empty answer": EMPTY,
    "invalid JSON": NO_JSON,
    "a web page with status 200": build_page(200),
    "a web page with status 500": build_page(500),
    "a web page of a gateway": build_page(502, done=True),
    "a timeout of a gateway": build_page(504, done=True),
    "JSON with status 500": Reply({"code": 1, "msg": "error"}, 500),
    "a list": Reply([1]),
    "a text": Reply('"hello"'),
    "null": Reply("null"),
    "no code": Reply({"msg": "success"}),
    "a code that is a word": changes.with_code("zero"),
    "no data": changes.without_data,
    "no task ID": lambda body: {**body, "data": {**body["data"], "taskId": None}},
    "an invalid task ID": lambda body: {**body, "data": {**body["data"], "taskId": "../1"}},
    "an unknown error": Refusal(500, done=True),
    "an internal error": 1005,
    "a huge answer": build_huge(3 << 20),
}


@pytest.mark.parametrize("loss", LOSSES)
def test_a_task_that_may_exist_is_not_sent_again(
    loss: str, kit: ComfyKit, make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runninghub_api, "ANSWER_TIMEOUT", 0.3)
    monkeypatch.setattr(runninghub_api, "ANSWER_LIMIT", 1 << 20)
    cloud.answer("create", LOSSES[loss], times=None)
    result = kit.run(WORKFLOW)
    assert len(cloud.find_requests("create")) == 1
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "unknown"
    assert "the task may be running" in str(result.msg)
    assert "kit.attach(TASK_ID)" in str(result.msg)
    assert cloud.url in str(result.msg)
    assert result.prompt_id is None


def test_the_error_of_a_lost_response_has_the_result(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.answer("create", LOST)
    with pytest.raises(ServerError, match="not sent again, because you would pay twice") as caught:
        make_kit().run(WORKFLOW, width=48)
    assert caught.value.result.params["width"] == 48
    assert caught.value.sent
    # the lost task can be attached by its ID
    assert make_kit().attach(cloud.task.id).result().image.pil().size == (48, 16)


@pytest.mark.parametrize("code", [421, 415, 1520, 804, "421"])
def test_a_run_waits_while_the_account_is_at_its_limit(code: int | str, make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.answer("create", Refusal(code), times=5)
    notes: set[str] = set()
    run = make_kit(runninghub_retry_count=0).submit(WORKFLOW)
    run.subscribe(progress=lambda progress: notes.add(progress.note))
    assert run.result().status == "completed"
    assert len(cloud.find_requests("create")) == 6
    assert any("trying again in" in note for note in notes)


@pytest.mark.parametrize("trouble", [1003, 1010, 1011, build_page(429), Reply({"msg": "slow down"}, 429)], ids=str)
def test_a_temporary_rejection_is_retried_a_few_times(trouble: Answer, make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.answer("create", trouble, times=2)
    kit = make_kit(raise_on_error=False, runninghub_retry_count=2)
    assert kit.run(WORKFLOW).status == "completed"
    assert len(cloud.find_requests("create")) == 3
    cloud.requests.clear()
    cloud.answer("create", trouble, times=None)
    result = kit.run(WORKFLOW)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "unreachable"
    assert result.prompt_id is None
    assert len(cloud.find_requests("create")) == 3


def test_retry_after_is_respected(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", build_page(429, {"Retry-After": "0"}))
    notes: list[str] = []
    run = kit.submit(WORKFLOW)
    run.subscribe(progress=lambda progress: notes.append(progress.note))
    assert run.result().status == "completed"
    assert any("too many requests" in note for note in notes)


def test_retry_pauses_grow_up_to_a_limit() -> None:
    for seconds in words.BACK_OFF.values():
        for times in (0, 1, 2, 30):
            pause = runninghub_backend.compute_next_pause(seconds, times)
            base = min(seconds * 1.5**times, 120)
            assert base <= pause <= 1.2 * base


def test_an_unreachable_site_is_retried_a_few_times(sandbox: Sandbox, make_kit: MakeKit, cloud: RunningHub) -> None:
    with RunningHub(sandbox.url) as other:
        other.workflows[WORKFLOW] = cloud.workflows[WORKFLOW]
        kit = make_kit(runninghub_url=other.url, runninghub_api_key=other.key, raise_on_error=False)
        kit.load(WORKFLOW)
    result = kit.run(WORKFLOW)
    assert result.error is not None
    assert result.error.kind == "unreachable"
    assert f"RunningHub can't be reached at {other.url}" in str(result.msg)
    assert result.prompt_id is None


FATAL = sorted(IDENTIFIERS.keys() - {200, 500, 1005, 813} - words.BACK_OFF.keys())


def test_any_other_rejection_is_reported_without_a_retry(kit: ComfyKit, cloud: RunningHub) -> None:
    for code in FATAL:
        for refusal in (Refusal(code), Refusal(str(code), changes.HOSTILE)):
            cloud.requests.clear()
            cloud.answer("create", refusal)
            result = kit.run(WORKFLOW)
            assert len(cloud.find_requests("create")) == 1
            assert result.error is not None
            assert result.error.kind == "refused", code
            assert f"(code {code})" in str(result.msg)
            assert "\x1b" not in str(result.msg)
            assert result.prompt_id is None


@pytest.mark.parametrize(
    ("code", "what"),
    [
        (414, "not have enough coins: top it up"),
        (416, "not have enough money: top it up"),
        (812, "not have enough money"),
        (435, "runninghub_instance_type='plus'"),
        (801, "become a member"),
        (810, "run once, on the site"),
        (433, "the workflow is not valid"),
        (814, "wait for some to end"),
    ],
)
def test_a_rejection_says_what_to_do(code: int, what: str, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", code)
    assert what in str(kit.run(WORKFLOW).msg)


# Prompt tips in the response


def run_rejected(kit: ComfyKit, **values: Any) -> ExecuteResult:
    result = kit.run(WORKFLOW, values)
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == "refused"
    return result


def test_a_prompt_rejected_by_comfyui_names_node_and_input(kit: ComfyKit, cloud: RunningHub) -> None:
    result = run_rejected(kit, width=-5)
    assert result.error is not None
    assert (result.error.node_id, result.error.node_title, result.error.field) == ("1", "Canvas", "width")
    assert result.error.class_type == "EmptyImage"
    assert "Canvas (node 1): Value -5 smaller than min of 1" in str(result.msg)
    assert not cloud.tasks


NODE_ERRORS = {"1": {"errors": [{"type": "x", "message": "too wide", "extra_info": {"input_name": "width"}}]}}


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (None, "the workflow is not valid (code 433)"),
        ({}, "the workflow is not valid (code 433)"),
        ({"promptTips": None}, "the workflow is not valid (code 433)"),
        ({"promptTips": ""}, "the workflow is not valid (code 433)"),
        ({"promptTips": "{}"}, "the workflow is not valid (code 433)"),
        ({"promptTips": "node 107 missing model"}, "the workflow is not valid: node 107 missing model (code 433)"),
        ({"promptTips": json.dumps({"node_errors": NODE_ERRORS})}, "Canvas (node 1): too wide"),
        ({"promptTips": {"node_errors": NODE_ERRORS}}, "Canvas (node 1): too wide"),
        ({"promptTips": {"node_errors": {"1": {"errors": ["too wide"]}}}}, "Canvas (node 1): too wide"),
        ({"promptTips": {"node_errors": {"1": "too wide"}}}, "Canvas (node 1): too wide"),
        ({"promptTips": {"error": {"type": "x", "message": "no outputs"}}}, "not valid: no outputs (code 433)"),
        ({"promptTips": {"error": "no outputs"}}, "not valid: no outputs (code 433)"),
        ({"promptTips": [1]}, "the workflow is not valid (code 433)"),
        ([], "the workflow is not valid (code 433)"),
        ("text", "the workflow is not valid (code 433)"),
    ],
    ids=str,
)
def test_a_rejected_prompt_is_understood_in_every_format(
    data: Any, what: str, kit: ComfyKit, cloud: RunningHub
) -> None:
    cloud.answer("create", Refusal(433, data=data))
    assert what in str(run_rejected(kit).msg)


def test_a_missing_node_does_not_suggest_check(kit: ComfyKit, cloud: RunningHub) -> None:
    errors = {"1": {"errors": [{"type": "value_not_in_list", "message": "Value not in list"}]}}
    cloud.answer("create", Refusal(433, data={"promptTips": {"node_errors": errors}}))
    message = str(run_rejected(kit).msg)
    assert "Canvas (node 1): Value not in list" in message
    assert "kit.check" not in message


def test_the_reason_can_be_in_the_message(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", Refusal(433, json.dumps({"node_errors": NODE_ERRORS})))
    assert "Canvas (node 1): too wide" in str(run_rejected(kit).msg)
    cloud.answer("create", Refusal(433, "Node 12 lacks a model"))
    assert "not valid: Node 12 lacks a model (code 433)" in str(run_rejected(kit).msg)


def test_a_task_that_fails_on_creation_is_a_rejected_prompt(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", changes.failed_at_once)
    result = run_rejected(kit)
    assert "Prompt outputs failed validation" in str(result.msg)
    assert result.prompt_id == cloud.task.id
    assert not cloud.find_requests("v2/query")


@pytest.mark.parametrize(
    "tips",
    [
        {"result": False, "error": None, "node_errors": NODE_ERRORS},
        {"result": True, "error": "it can't run", "node_errors": {}},
        {"result": True, "error": None, "outputs_to_execute": [], "node_errors": NODE_ERRORS},
    ],
    ids=str,
)
def test_a_task_of_a_rejected_prompt_is_cancelled(tips: Any, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", changes.with_prompt_tips(json.dumps(tips)))
    result = run_rejected(kit)
    assert result.prompt_id == cloud.task.id
    assert cloud.task.cancels == 1


@pytest.mark.parametrize(
    "tips",
    [
        None,
        "",
        "{}",
        "null",
        {},
        [],
        7,
        True,
        "[]",
        {"result": True},
        {"node_errors": None},
        {"outputs_to_execute": []},
    ],
    ids=repr,
)
def test_empty_prompt_tips_are_not_a_rejection(tips: Any, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", changes.with_prompt_tips(tips))
    result = kit.run(WORKFLOW)
    assert (result.status, result.warnings) == ("completed", [])


def test_plain_text_prompt_tips_are_a_warning(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", changes.with_prompt_tips("node 107 is slow"))
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert [line for line in result.warnings if "node 107 is slow" in line] == result.warnings != []


def test_a_partly_accepted_prompt_is_a_warning(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", changes.with_node_errors(**{"1": {"errors": ["bad"]}}))
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert result.warnings == ["left out: Canvas (node 1): bad"]


@pytest.mark.parametrize(
    "change",
    [
        changes.code_as_text,
        changes.with_code(200),
        changes.with_code("200"),
        changes.with_code(804),
        changes.with_code(813),
        changes.task_id_as_number,
        changes.with_error_messages,
        changes.without_prompt_tips,
        changes.with_message(changes.HOSTILE),
    ],
)
def test_a_created_task_is_understood_in_every_format(change: changes.Change, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", change)
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert result.prompt_id == cloud.task.id


def test_the_instance_type_is_sent(make_kit: MakeKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    make_kit(runninghub_instance_type="plus").run(WORKFLOW)
    assert cloud.task.instance_type == "plus"
    monkeypatch.setenv("RUNNINGHUB_INSTANCE_TYPE", "ultra")
    make_kit().run(WORKFLOW)
    assert cloud.task.instance_type == "ultra"


def test_no_option_is_sent_that_was_not_set(kit: ComfyKit, cloud: RunningHub) -> None:
    kit.run(WORKFLOW)
    assert set(cloud.find_requests("create")[0].body) == {"apiKey", "nodeInfoList", "workflowId"}


@pytest.mark.parametrize("name", [WORKFLOW, "rh-app:1937084629516193794"])
def test_queue_retention_and_password_are_sent(name: str, make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.passwords[WORKFLOW] = "open sesame"
    cloud.apps["1937084629516193794"] = App("A", WORKFLOW, [Field("1", "width", "INT")], password="open sesame")
    kit = make_kit(
        runninghub_use_personal_queue=True, runninghub_retain_seconds=30, runninghub_access_password="open sesame"
    )
    assert kit.run(name).status == "completed"
    body = cloud.task.body
    assert (body["usePersonalQueue"], body["retainSeconds"], body["accessPassword"]) == (True, 30, "open sesame")
    assert cloud.files.leaks == []


def test_a_wrong_password_is_refused_and_not_repeated(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.passwords[WORKFLOW] = "open sesame"
    kit = make_kit(raise_on_error=False, runninghub_access_password="open barley")
    result = kit.run(WORKFLOW)
    assert result.status == "failed"
    assert "accessPassword is wrong" in str(result.msg)
    cloud.answer("create", Refusal(301, "accessPassword open barley is wrong"))
    assert "accessPassword [password] is wrong" in str(kit.run(WORKFLOW).msg)
    assert "open barley" not in f"{kit!r}{kit._settings!r}"


def test_a_password_stays_with_its_site(make_kit: MakeKit, cloud: RunningHub) -> None:
    kit = make_kit(runninghub_access_password="open sesame")
    assert kit.options(runninghub_url="http://other:1").runninghub_access_password is None


# Leaving during creation


def hold_create(kit: ComfyKit, cloud: RunningHub, answer: Answer) -> Run:
    """Submit a run and wait until its create request is in flight."""
    cloud.answer("create", answer)
    run = kit.submit(WORKFLOW)
    cloud.wait_for(lambda: cloud.find_requests("create"))
    return run


@pytest.mark.parametrize("done", [False, True])
def test_a_task_is_cancelled_if_the_caller_leaves_during_creation(done: bool, kit: ComfyKit, cloud: RunningHub) -> None:
    from .runninghub import Held

    event = threading.Event()
    run = hold_create(kit, cloud, Held(event, done=done))
    canceller = threading.Thread(target=run.cancel)
    canceller.start()
    event.set()
    canceller.join()
    result = run.result()
    assert run.status == "cancelled"
    assert cloud.task.cancels == 1
    assert result.prompt_id == cloud.task.id


def test_leaving_during_creation_reports_a_lost_response(
    kit: ComfyKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executable, "CANCEL_TIMEOUT", 0.2)
    run = hold_create(kit.options(timeout=20), cloud, HANGING)
    advance(20)
    result = run.result()
    assert result.error is not None
    assert result.error.kind == "timeout"
    assert any("may still run" in line for line in result.warnings)
    assert len(cloud.find_requests("create")) == 1


def test_leaving_before_a_task_is_accepted_costs_nothing(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("create", 421, times=None)
    run = kit.submit(WORKFLOW)
    cloud.wait_for(lambda: len(cloud.find_requests("create")) > 1)
    run.cancel()
    result = run.result()
    assert (run.status, result.prompt_id, result.warnings) == ("cancelled", None, [])
    assert not cloud.tasks
    assert not cloud.find_requests("cancel")
    assert not cloud.find_requests("v2/query")


def test_a_task_is_logged_before_its_id_is_known(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    known: list[str] = []
    began, released = threading.Event(), threading.Event()

    def add(_url: str, _run_id: str, prompt_id: str, *_: Any) -> None:
        began.set()
        assert released.wait(30)
        known.append(prompt_id)

    monkeypatch.setattr(job_log, "add", add)
    run = kit.submit(WORKFLOW)
    assert began.wait(30)
    assert not run.delivered
    released.set()
    assert [run.result().prompt_id] == known
