"""The double's tasks: states, outputs, failures and limits, in the documented formats."""

from __future__ import annotations

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from PIL import Image

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.nodes import GATES

from .api_client import WORKFLOW, ApiClient
from .runninghub import Fate, Output, Polls, RunningHub

TIPS: dict[str, Any] = {"result": True, "error": None, "outputs_to_execute": ["2"], "node_errors": {}}


# States of a task


def test_a_queued_task_has_the_documented_format(cloud: RunningHub, ask: ApiClient) -> None:
    answer = ask.create(instanceType="plus")
    task = cloud.task
    assert json.loads(answer["data"].pop("promptTips")) == TIPS
    assert answer == {
        "code": 0,
        "msg": "success",
        "data": {"netWssUrl": None, "taskId": task.id, "clientId": task.client_id, "taskStatus": "QUEUED"},
    }
    assert len(task.id) == 19
    assert len(task.client_id) == 32
    assert task.instance_type == "plus"


def test_a_running_task_has_a_socket_url_with_a_credential(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.pace, cloud.waits_for_socket = Polls(queued=0), True
    answer = ask.create()["data"]
    assert answer["taskStatus"] == "RUNNING"
    address = urlsplit(answer["netWssUrl"])
    query = {key: value for key, (value,) in parse_qs(address.query).items()}
    assert (address.scheme, address.path) == ("ws", "/ws/c_instance")
    assert (query["clientId"], query["workflowId"]) == (answer["clientId"], WORKFLOW)
    auth = json.loads(base64.b64decode(query["Rh-Comfy-Auth"]))
    assert auth["signExpire"] - auth["ts"] == 7 * 24 * 3600 * 1000


def test_a_task_is_queued_then_runs_and_has_public_outputs(cloud: RunningHub, ask: ApiClient) -> None:
    task_id = ask.create(("1", "width", 48))["data"]["taskId"]
    cloud.wait(task_id)
    assert ask("outputs", taskId=task_id) == {"code": 813, "msg": "APIKEY_TASK_IS_QUEUED", "data": None}
    running = ask("outputs", taskId=task_id)
    assert (running["code"], running["msg"]) == (804, "APIKEY_TASK_IS_RUNNING")
    assert running["data"]["netWssUrl"].startswith("ws://")
    answer = ask("outputs", taskId=task_id)
    url = answer["data"][0].pop("fileUrl")
    assert answer == {
        "code": 0,
        "msg": "success",
        "data": [
            {
                "fileType": "png",
                "taskCostTime": "0",
                "nodeId": "2",
                "thirdPartyConsumeMoney": None,
                "consumeMoney": None,
                "consumeCoins": "0",
            }
        ],
    }
    assert url.startswith(f"{cloud.files_url}/")
    assert urlsplit(url).port != urlsplit(cloud.url).port
    assert Image.open(io.BytesIO(httpx.get(url).content)).size == (48, 16)
    assert cloud.files.leaks == []


def test_v2_responses_have_no_envelope_and_no_socket(cloud: RunningHub, ask: ApiClient) -> None:
    answer = ask("v2/run/workflow", nodeInfoList=[])
    assert json.loads(answer.pop("promptTips")) == TIPS
    assert answer == {
        "taskId": cloud.task.id,
        "status": "QUEUED",
        "errorCode": "",
        "errorMessage": "",
        "results": None,
        "clientId": cloud.task.client_id,
    }
    cloud.wait(cloud.task.id)
    states = [ask("v2/query", taskId=cloud.task.id)["status"] for _ in range(2)]
    assert states == ["QUEUED", "RUNNING"]
    answer = ask("v2/query", taskId=cloud.task.id, apiKey=cloud.key)
    assert httpx.get(answer["results"][0].pop("url")).status_code == 200
    assert answer == {
        "taskId": cloud.task.id,
        "status": "SUCCESS",
        "errorCode": "",
        "errorMessage": "",
        "failedReason": {},
        "usage": {"consumeMoney": None, "consumeCoins": "0", "taskCostTime": "0", "thirdPartyConsumeMoney": None},
        "results": [{"nodeId": "2", "outputType": "png", "text": None}],
        "clientId": "",
        "promptTips": "",
    }


def test_each_state_lasts_the_requested_number_of_polls(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.pace = Polls(create=1, queued=2, running=3)
    task_id = ask.create()["data"]["taskId"]
    cloud.wait(task_id)
    states = [ask("v2/query", taskId=task_id)["status"] for _ in range(7)]
    assert states == ["CREATE", "QUEUED", "QUEUED", "RUNNING", "RUNNING", "RUNNING", "SUCCESS"]


def test_the_old_status_is_a_plain_word(cloud: RunningHub, ask: ApiClient) -> None:
    task_id = ask.create()["data"]["taskId"]
    cloud.wait(task_id)
    states = [ask("status", taskId=task_id) for _ in range(3)]
    assert states == [{"code": 0, "msg": "", "data": state} for state in ("QUEUED", "RUNNING", "SUCCESS")]


def test_a_task_is_running_until_its_real_run_ends(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW] = workflows.gated("as long as it runs")
    task_id = ask.create()["data"]["taskId"]
    GATES["as long as it runs"].wait()
    states = [ask("v2/query", taskId=task_id)["status"] for _ in range(6)]
    assert states == ["QUEUED", *["RUNNING"] * 5]
    GATES["as long as it runs"].open()
    assert ask.wait_for_end(cloud, task_id)["status"] == "SUCCESS"


def test_outputs_can_appear_after_success(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.hidden = 2
    task_id = ask.create()["data"]["taskId"]
    assert ask.wait_for_end(cloud, task_id)["status"] == "SUCCESS"
    assert [ask("outputs", taskId=task_id)["code"] for _ in range(3)] == [804, 804, 0]


def test_a_text_is_a_file_in_v1_and_inline_in_v2(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW] = workflows.text("ein Fuchs, 狐")
    task_id = ask.create()["data"]["taskId"]
    assert ask.wait_for_end(cloud, task_id)["results"] == [
        {"url": None, "nodeId": "2", "outputType": "txt", "text": "ein Fuchs, 狐"}
    ]
    (output,) = ask("outputs", taskId=task_id)["data"]
    file = httpx.get(output["fileUrl"])
    assert (output["fileType"], file.headers["Content-Type"]) == ("txt", "text/plain; charset=utf-8")
    assert file.content.decode() == "ein Fuchs, 狐"
    cloud.texts_as_files = True
    assert ask("v2/query", taskId=task_id)["results"][0]["url"] == output["fileUrl"]


def test_previews_are_not_outputs(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW]["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    task_id = ask.create()["data"]["taskId"]
    assert ask.wait_for_end(cloud, task_id)["results"] == []
    assert ask("outputs", taskId=task_id) == {"code": 0, "msg": "success", "data": []}


def test_the_parts_of_a_failure_are_json_strings_in_v1_and_objects_in_v2(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW] = workflows.failing()
    task_id = ask.create()["data"]["taskId"]
    query = ask.wait_for_end(cloud, task_id)
    assert (query["status"], query["results"]) == ("FAILED", None)
    assert isinstance(query["failedReason"]["traceback"], list)
    answer = ask("outputs", taskId=task_id)
    reason = answer["data"]["failedReason"]
    assert (answer["code"], answer["msg"]) == (805, "APIKEY_TASK_STATUS_ERROR")
    assert (reason["node_id"], reason["node_name"]) == ("3", "TestBoom")
    assert (reason["exception_type"], reason["exception_message"]) == ("ValueError", "kaboom over 1 picture\n")
    assert isinstance(json.loads(reason["traceback"]), list)
    assert isinstance(json.loads(reason["current_inputs"]), dict)
    assert ask("status", taskId=task_id)["data"] == "FAILED"


def test_a_prompt_rejected_by_comfyui_is_rejected_with_its_errors(cloud: RunningHub, ask: ApiClient) -> None:
    answer = ask.create(("1", "width", -5))
    tips = json.loads(answer["data"]["promptTips"])
    assert (answer["code"], answer["msg"]) == (433, "VALIDATE_PROMPT_FAILED")
    assert tips["node_errors"]["1"]["errors"][0]["type"] == "value_smaller_than_min"
    assert not cloud.tasks


def test_a_cancelled_task_is_cancel_in_v2_and_an_error_in_v1(
    sandbox: Sandbox, cloud: RunningHub, ask: ApiClient
) -> None:
    cloud.workflows[WORKFLOW] = workflows.gated("cancelled")
    task_id = ask.create()["data"]["taskId"]
    GATES["cancelled"].wait()
    for _ in range(2):
        assert ask("cancel", taskId=task_id) == {"code": 0, "msg": "success", "data": None}
    assert cloud.task.cancels == 2
    assert ask("v2/query", taskId=task_id)["status"] == "CANCEL"
    assert ask("outputs", taskId=task_id) == {"code": 805, "msg": "APIKEY_TASK_STATUS_ERROR", "data": None}
    GATES["cancelled"].open()
    assert ask.create()["code"] == 0


def test_a_run_that_waits_for_a_socket_starts_after_its_polls(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.waits_for_socket = True
    task_id = ask.create()["data"]["taskId"]
    states = [ask("v2/query", taskId=task_id)["status"] for _ in range(2)]
    assert states == ["QUEUED", "RUNNING"]
    assert not cloud.task.started
    assert ask("v2/query", taskId=task_id)["status"] in {"RUNNING", "SUCCESS"}
    assert ask.wait_for_end(cloud, task_id)["status"] == "SUCCESS"


def test_an_unknown_task_is_rejected(cloud: RunningHub, ask: ApiClient) -> None:
    for name in ("status", "outputs", "cancel"):
        assert ask(name, taskId="1904")["code"] == 807
        assert ask(name, taskId="x") == {"code": 301, "msg": "taskId must be positive", "data": None}
    cloud.not_found = 423
    assert ask("cancel", taskId="1904") == {"code": 423, "msg": "TASK_NOT_FOUNED", "data": None}
    assert ask("v2/query", taskId="1904")["errorCode"] == "1004"
    assert ask("v2/query", taskId="0")["errorCode"] == "1007"


def test_a_fate_replaces_a_run(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.fates += [Fate(outputs=[Output("4", "mesh.glb", b"glTF")]), Fate("FAILED", reason={"node_id": "276"})]
    query = ask.wait_for_end(cloud, ask.create()["data"]["taskId"])
    assert (query["usage"]["taskCostTime"], query["usage"]["consumeCoins"]) == ("83", "17")
    assert [result["outputType"] for result in query["results"]] == ["glb"]
    assert httpx.get(query["results"][0]["url"]).content == b"glTF"
    query = ask.wait_for_end(cloud, ask.create()["data"]["taskId"])
    assert (query["errorCode"], query["failedReason"]) == ("1000", {"node_id": "276"})


# Concurrency


def test_one_task_runs_at_a_time_unless_more_are_allowed(cloud: RunningHub, ask: ApiClient) -> None:
    first = ask.create()["data"]["taskId"]
    assert ask.create() == {"code": 421, "msg": "TASK_QUEUE_MAXED", "data": None}
    assert ask("v2/run/workflow")["errorCode"] == "421"
    ask.wait_for_end(cloud, first)
    assert ask.create()["code"] == 0
    cloud.concurrency = 2
    assert [ask.create()["code"] for _ in range(2)] == [0, 421]


def test_only_one_of_many_simultaneous_requests_is_accepted(cloud: RunningHub, ask: ApiClient) -> None:
    with ThreadPoolExecutor(8) as threads:
        codes = [answer["code"] for answer in threads.map(lambda _: ask.create(), range(8))]
    assert sorted(codes) == [0, *[421] * 7]


def test_an_exclusive_key_can_queue_until_its_queue_is_full(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.personal_queue_limit = 1
    assert [ask.create(usePersonalQueue="true")["code"] for _ in range(2)] == [0, 421]
    cloud.account["apiType"] = "EXCLUSIVE"
    assert [ask.create(usePersonalQueue="true")["code"] for _ in range(2)] == [0, 814]
