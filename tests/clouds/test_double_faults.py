"""The double's scripted failures: error codes, lost and malformed responses, other formats of normal ones."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from tests.client import workflows

from .api_client import PATHS, WORKFLOW, ApiClient
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
    NOT_FOUND,
    WRONG_PATH,
    Fate,
    Held,
    Output,
    Refusal,
    Reply,
    RunningHub,
    build_huge,
    build_page,
    changes,
)

FLAT = {"v2/run/workflow", "v2/run/ai-app", "v2/query"}
"""The endpoints without an envelope."""
REASON = {
    "current_outputs": {},
    "exception_type": "TypeError",
    "node_name": "SONIC_PreData",
    "current_inputs": {},
    "traceback": ['  File "/workspace/ComfyUI/execution.py", line 1208, in execute\n'],
    "node_id": "276",
    "exception_message": "SONIC_PreData.sampler_main() missing 2 required positional arguments",
}


def read_error(name: str, answer: Any) -> tuple[Any, Any]:
    """Return a response's code and message, wherever the endpoint puts them."""
    if name in FLAT:
        return answer["errorCode"], answer["errorMessage"]
    return answer["code"], answer["message" if name == "v2/upload" else "msg"]


@pytest.mark.parametrize("name", PATHS)
def test_every_endpoint_sends_every_code_in_its_own_format(cloud: RunningHub, ask: ApiClient, name: str) -> None:
    for code, identifier in IDENTIFIERS.items():
        cloud.answer(name, code)
        cloud.answer(name, Refusal(str(code), changes.HOSTILE))
        shown = str(code) if name in FLAT else code
        assert read_error(name, ask(name)) == (shown, identifier)
        assert read_error(name, ask(name)) == (str(code), changes.HOSTILE)


def test_scripted_responses_come_in_order_then_normal_ones(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.answer("create", 421, times=2)
    cloud.answer("create", build_page(429, {"Retry-After": "3"}))
    assert [ask.create()["code"] for _ in range(2)] == [421, 421]
    answer = ask.send("create", workflowId=WORKFLOW)
    assert (answer.status_code, answer.headers["Retry-After"]) == (429, "3")
    assert answer.headers["Content-Type"] == "text/html"
    assert not cloud.tasks
    assert ask.create()["code"] == 0
    assert len(cloud.find_requests("create")) == 4
    cloud.answer("status", 1003, times=None)
    assert [ask("status", taskId=cloud.task.id)["code"] for _ in range(5)] == [1003] * 5
    cloud.reset_answer("status")
    assert ask("status", taskId=cloud.task.id)["code"] == 0


def test_an_unknown_endpoint_cannot_be_scripted(cloud: RunningHub) -> None:
    with pytest.raises(ValueError, match="unknown endpoint 'creat'"):
        cloud.answer("creat", 421)


@pytest.mark.parametrize(("reply", "tasks"), [(DROPPED, 0), (LOST, 1)])
def test_a_connection_can_break_before_or_after_the_task_is_created(
    cloud: RunningHub, ask: ApiClient, reply: Reply, tasks: int
) -> None:
    cloud.answer("create", reply)
    with pytest.raises(httpx.RemoteProtocolError):
        ask.create()
    assert len(cloud.tasks) == tasks


def test_a_response_can_break_off(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.answer("create", CUT)
    with pytest.raises(httpx.RemoteProtocolError):
        ask.create()
    assert len(cloud.tasks) == 1


@pytest.mark.parametrize(("reply", "tasks"), [(HANGING, 0), (LOST_HANGING, 1)])
def test_a_response_can_never_arrive(cloud: RunningHub, ask: ApiClient, reply: Reply, tasks: int) -> None:
    cloud.answer("create", reply)
    ask.http.timeout = httpx.Timeout(20, read=0.5)
    with pytest.raises(httpx.ReadTimeout):
        ask.create()
    cloud.wait_for(lambda: len(cloud.tasks) == tasks)


@pytest.mark.parametrize("done", [False, True])
def test_a_response_can_be_held_back(cloud: RunningHub, ask: ApiClient, done: bool) -> None:
    event = threading.Event()
    cloud.answer("create", Held(event, done=done))
    with ThreadPoolExecutor() as threads:
        answer = threads.submit(ask.create)
        cloud.wait_for(lambda: cloud.tasks if done else cloud.find_requests("create"))
        assert bool(cloud.tasks) == done
        assert not answer.done()
        event.set()
        assert answer.result()["code"] == 0


@pytest.mark.parametrize("reply", [EMPTY, NO_JSON, build_page(502)])
def test_a_response_can_be_invalid_json(cloud: RunningHub, ask: ApiClient, reply: Reply) -> None:
    cloud.answer("outputs", reply)
    with pytest.raises(json.JSONDecodeError):
        ask("outputs", taskId="1")


def test_responses_can_be_huge_or_endless(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.answer("outputs", build_huge(3_000_000))
    assert len(ask.send("outputs", taskId="1").content) > 3_000_000
    cloud.answer("outputs", FLOOD)
    came = 0
    with ask.http.stream("POST", ask.url + PATHS["outputs"]) as response:
        for piece in response.iter_bytes():
            came += len(piece)
            if came > 3_000_000:
                break
    assert ask("accountStatus")["code"] == 0


def test_endpoints_can_be_missing_with_http_200(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.answer("v2/upload", NOT_FOUND)
    cloud.answer("v2/query", WRONG_PATH)
    assert ask.upload("a.png", b"abc", v2=True) == {"code": 404, "msg": "NOT_FOUND"}
    assert ask("v2/query", taskId="1") == {"code": 412, "msg": "TOKEN_INVALID", "data": None}
    assert not cloud.uploads


@pytest.mark.parametrize("reply", [build_page(500, done=True), Refusal(500, done=True)])
def test_an_error_can_follow_a_completed_action(cloud: RunningHub, ask: ApiClient, reply: Reply | Refusal) -> None:
    cloud.answer("create", reply)
    assert "500" in ask.send("create", workflowId=WORKFLOW).text
    assert len(cloud.tasks) == 1


# Other formats of normal responses


def build_created_check(**data: Any) -> Callable[[Any], bool]:
    return lambda answer: answer["code"] == 0 and {**answer["data"], **data} == answer["data"]


ERRORS = {"6": {"errors": ["bad"]}}
VARIANTS: list[tuple[changes.Change, Callable[[Any], bool]]] = [
    (changes.code_as_text, lambda answer: answer["code"] == "0"),
    (changes.with_code("200"), lambda answer: answer["code"] == "200"),
    (changes.with_message(changes.HOSTILE), lambda answer: answer["msg"] == changes.HOSTILE),
    (changes.with_error_messages, lambda answer: answer["errorMessages"] is None),
    (changes.task_id_as_number, lambda answer: answer["data"]["taskId"] > 2**53),
    (changes.with_prompt_tips(""), build_created_check(promptTips="")),
    (changes.with_prompt_tips("node 107 missing model"), build_created_check(promptTips="node 107 missing model")),
    (changes.with_prompt_tips({"node_errors": {}}), build_created_check(promptTips={"node_errors": {}})),
    (changes.without_prompt_tips, lambda answer: "promptTips" not in answer["data"]),
    (
        changes.with_node_errors(**ERRORS),
        lambda answer: json.loads(answer["data"]["promptTips"])["node_errors"] == ERRORS,
    ),
    (changes.failed_at_once, build_created_check(taskStatus="FAILED")),
    (changes.with_socket("ws://10.0.0.1/ws"), build_created_check(netWssUrl="ws://10.0.0.1/ws")),
    (changes.without_data, lambda answer: answer["data"] is None),
]


@pytest.mark.parametrize(("change", "holds"), VARIANTS)
def test_created_tasks_have_other_known_formats(
    cloud: RunningHub, ask: ApiClient, change: changes.Change, holds: Callable[[Any], bool]
) -> None:
    cloud.answer("create", change)
    assert holds(ask.create())
    assert len(cloud.tasks) == 1


def test_missing_outputs_can_have_code_0(cloud: RunningHub, ask: ApiClient) -> None:
    task_id = ask.create()["data"]["taskId"]
    cloud.wait(task_id)
    cloud.answer("outputs", changes.legacy_running)
    cloud.answer("outputs", changes.legacy_running_in_chinese)
    assert ask("outputs", taskId=task_id) == {"code": 0, "msg": "APIKEY_TASK_IS_QUEUED", "data": None}
    assert ask("outputs", taskId=task_id) == {"code": 0, "msg": "任务正在运行中", "data": None}
    cloud.answer("outputs", changes.legacy_running)
    assert ask("outputs", taskId=task_id)["data"]


def test_a_running_task_can_lack_a_socket(cloud: RunningHub, ask: ApiClient) -> None:
    task_id = ask.create()["data"]["taskId"]
    cloud.wait(task_id)
    cloud.task.polls = 1
    cloud.sockets.has_url = False
    assert ask("outputs", taskId=task_id)["data"] == {"netWssUrl": None}


def test_states_have_other_known_formats(cloud: RunningHub, ask: ApiClient) -> None:
    task_id = ask.create()["data"]["taskId"]
    cloud.answer("status", changes.state_as_object)
    cloud.answer("status", changes.with_state(""))
    cloud.answer("v2/query", changes.with_state(""))
    cloud.answer("v2/query", changes.state_in_lower_case)
    cloud.answer("v2/query", changes.in_envelope)
    assert ask("status", taskId=task_id)["data"] == {"taskStatus": "QUEUED"}
    assert ask("status", taskId=task_id)["data"] == ""
    assert ask("v2/query", taskId=task_id)["status"] == ""
    assert ask("v2/query", taskId=task_id)["status"].islower()
    assert ask("v2/query", taskId=task_id)["data"]["taskId"] == task_id


def test_results_have_other_known_formats(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.fates.append(Fate(outputs=[Output("9", "a.png", b"")]))
    task_id = ask.create()["data"]["taskId"]
    ask.wait_for_end(cloud, task_id)
    cloud.answer("v2/query", changes.without_node_ids)
    cloud.answer("v2/query", changes.without_results)
    (result,) = ask("v2/query", taskId=task_id)["results"]
    assert [*result] == ["url", "outputType", "text"]
    assert ask("v2/query", taskId=task_id)["results"] is None


def test_failures_have_other_known_formats(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.fates.append(Fate("FAILED", reason=REASON))
    task_id = ask.create()["data"]["taskId"]
    assert ask.wait_for_end(cloud, task_id)["failedReason"] == REASON
    for change in (changes.reason_as_json, changes.without_reason):
        cloud.answer("v2/query", change)
        cloud.answer("outputs", change)
    cloud.answer("outputs", changes.traceback_as_list)
    assert json.loads(ask("v2/query", taskId=task_id)["failedReason"]) == REASON
    assert ask("v2/query", taskId=task_id)["failedReason"] == {}
    reason = json.loads(ask("outputs", taskId=task_id)["data"]["failedReason"])
    assert json.loads(reason["traceback"]) == REASON["traceback"]
    assert ask("outputs", taskId=task_id) == {"code": 805, "msg": "APIKEY_TASK_STATUS_ERROR", "data": None}
    assert ask("outputs", taskId=task_id)["data"]["failedReason"]["traceback"] == REASON["traceback"]


def test_a_graph_can_be_an_object(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.answer("getJsonApiFormat", changes.graph_as_object)
    assert ask("getJsonApiFormat", workflowId=WORKFLOW)["data"]["prompt"] == workflows.picture()


# Files


@pytest.mark.parametrize(("status", "code"), [(403, "AccessDenied"), (404, "NoSuchKey")])
def test_file_urls_expire_like_those_of_an_object_store(
    cloud: RunningHub, ask: ApiClient, status: int, code: str
) -> None:
    (result,) = ask.wait_for_end(cloud, ask.create()["data"]["taskId"])["results"]
    cloud.files.expired = status
    answer = httpx.get(result["url"])
    assert (answer.status_code, answer.headers["Content-Type"]) == (status, "application/xml; charset=utf-8")
    assert f"<Code>{code}</Code>" in answer.text


def test_a_download_can_break_off_or_redirect(cloud: RunningHub, ask: ApiClient) -> None:
    (result,) = ask.wait_for_end(cloud, ask.create()["data"]["taskId"])["results"]
    cloud.answer("file", CUT)
    cloud.answer("file", Reply(status=302, headers={"Location": f"{cloud.url}/elsewhere"}))
    with pytest.raises(httpx.RemoteProtocolError):
        httpx.get(result["url"])
    assert httpx.get(result["url"]).headers["Location"] == f"{cloud.url}/elsewhere"
    assert httpx.get(result["url"]).headers["Content-Type"] == "image/png"


def test_files_can_have_any_name(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.files.name = lambda name: f"ü x&y #1%?\n<b>{name}"
    (result,) = ask.wait_for_end(cloud, ask.create()["data"]["taskId"])["results"]
    assert httpx.get(result["url"]).headers["Content-Type"] == "image/png"


@pytest.mark.parametrize("where", ["authorization", "cookie", "header", "query", "body"])
def test_secrets_sent_to_the_file_server_are_recorded(cloud: RunningHub, ask: ApiClient, where: str) -> None:
    (result,) = ask.wait_for_end(cloud, ask.create()["data"]["taskId"])["results"]
    httpx.get(result["url"])
    assert cloud.files.leaks == []
    headers = {"authorization": {"Authorization": "Bearer x"}, "cookie": {"Cookie": "a=b"}, "header": {"X": cloud.key}}
    query = {"key": cloud.task.auth} if where == "query" else None
    content = cloud.key if where == "body" else None
    httpx.request("GET", result["url"], headers=headers.get(where), params=query, content=content)
    assert cloud.files.leaks


def test_the_api_sets_a_cookie_for_itself_only(cloud: RunningHub, ask: ApiClient) -> None:
    (result,) = ask.wait_for_end(cloud, ask.create()["data"]["taskId"])["results"]
    assert ask.http.cookies["acw_tc"] == cloud.cookie
    assert ask.http.get(result["url"]).status_code == 200
    assert cloud.files.leaks == []
