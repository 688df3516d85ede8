"""The double of RunningHub handles workflows, keys, values, apps and uploads as documented."""

from __future__ import annotations

import io
import json
from typing import Any

import httpx
import pytest
from PIL import Image

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows

from .api_client import WORKFLOW, ApiClient
from .runninghub import App, Field, RunningHub

APP = "1937084629516193794"


def build_sampled() -> dict[str, Any]:
    """Build a workflow whose image depends on its seed, with an input that the site adds to text fields."""
    graph: dict[str, Any] = {
        "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": _MODEL}},
        "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "6": {
            "class_type": "CLIPTextEncode",
            "inputs": {"speak_and_recognation": {"__value__": [False, True]}, "text": "雪", "clip": ["4", 1]},
            "_meta": {"title": "$prompt.text · 提示词"},
        },
        "3": {
            "class_type": "KSampler",
            "inputs": {
                "seed": 669816362794144,
                "steps": 2,
                "cfg": 7.0,
                "sampler_name": "euler",
                "scheduler": "normal",
                "denoise": 1.0,
                "model": ["4", 0],
                "positive": ["6", 0],
                "negative": ["6", 0],
                "latent_image": ["5", 0],
            },
        },
        "8": {"class_type": "VAEDecode", "inputs": {"samples": ["3", 0], "vae": ["4", 2]}},
        "9": {"class_type": "SaveImage", "inputs": {"images": ["8", 0], "filename_prefix": "ComfyUI"}},
    }
    return graph


_MODEL = "procedural-dreams (no diffusion model).safetensors"


# Workflows


def test_a_graph_is_sent_as_json_text_with_titles_and_unusual_inputs(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows["7"] = build_sampled()
    answer = ask("getJsonApiFormat", workflowId="7")
    assert (answer["code"], answer["msg"]) == (0, "SUCCESS")
    assert json.loads(answer["data"]["prompt"]) == build_sampled()


@pytest.mark.parametrize("name", ["getJsonApiFormat", "create"])
@pytest.mark.parametrize(
    ("workflow_id", "code", "msg"),
    [
        ("", 301, "workflowId must be greater than 0"),
        ("0", 301, "workflowId must be greater than 0"),
        (None, 301, "workflowId must be greater than 0"),
        ("1", 380, "WORKFLOW_NOT_EXISTS"),
        ("8", 810, "WORKFLOW_NOT_SAVED_OR_NOT_RUNNING"),
    ],
)
def test_an_unknown_workflow_is_rejected(
    cloud: RunningHub, ask: ApiClient, name: str, workflow_id: str | None, code: int, msg: str
) -> None:
    cloud.workflows["8"] = workflows.picture()
    cloud.unsaved.add("8")
    assert ask(name, workflowId=workflow_id) == {"code": code, "msg": msg, "data": None}
    assert not cloud.tasks


# Keys


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("getJsonApiFormat", {"code": 802, "msg": "APIKEY_UNAUTHORIZED", "data": None}),
        ("create", {"code": 802, "msg": "APIKEY_UNAUTHORIZED", "data": None}),
        ("status", {"code": 301, "msg": "user not exist", "data": None}),
        ("v2/upload", {"code": 401, "message": "ApiKey verification failed: API Key不存在", "data": None}),
    ],
)
def test_each_endpoint_rejects_a_wrong_key_with_its_own_code(ask: ApiClient, name: str, answer: dict[str, Any]) -> None:
    ask.key = "0" * 32
    assert ask(name, workflowId=WORKFLOW, taskId="1") == answer


def test_a_wrong_key_gets_no_v2_task_status(ask: ApiClient) -> None:
    ask.key = "0" * 32
    answer = ask("v2/query", taskId="1")
    assert (answer["status"], answer["errorCode"]) == ("", "806")


def test_a_key_of_another_cloud_is_rejected(sandbox: Sandbox, cloud: RunningHub, ask: ApiClient) -> None:
    with RunningHub(sandbox.url) as other:
        other.wrong_key = 806
        ask.url = other.url
        assert ask.create()["code"] == 806
        assert ask("v2/query", taskId="1")["errorCode"] == "806"


def test_v1_accepts_a_key_in_the_body_unless_both_places_are_required(cloud: RunningHub) -> None:
    where, body = f"{cloud.url}/uc/openapi/accountStatus", {"apikey": cloud.key}
    assert httpx.post(where, json=body).json()["code"] == 0
    cloud.requires_bearer = True
    assert httpx.post(where, json=body).json()["code"] == 802
    assert httpx.post(where, json=body, headers={"Authorization": cloud.key}).json()["code"] == 802
    assert httpx.post(where, json=body, headers={"Authorization": f"Bearer {cloud.key}"}).json()["code"] == 0
    assert httpx.post(where, json={"apiKey": cloud.key}).json()["code"] == 802


@pytest.mark.parametrize("headers", [{}, {"Host": "www.example.com"}])
def test_an_unknown_path_or_wrong_host_header_gets_412(cloud: RunningHub, headers: dict[str, str]) -> None:
    path = "/uc/openapi/accountStatus" if headers else "/task/openapi/nothing"
    answer = httpx.post(cloud.url + path, json={"apikey": cloud.key}, headers=headers)
    assert answer.status_code == 200
    assert answer.json() == {"code": 412, "msg": "TOKEN_INVALID", "data": None}


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'"text"'])
def test_a_body_that_is_not_an_object_has_no_key(cloud: RunningHub, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    assert httpx.post(f"{cloud.url}/task/openapi/create", content=body, headers=headers).json()["code"] == 802


def test_the_account_has_numbers_as_strings(cloud: RunningHub, ask: ApiClient) -> None:
    ask.create()
    assert ask("accountStatus") == {
        "code": 0,
        "msg": "success",
        "data": {
            "remainCoins": "177814",
            "currentTaskCounts": "1",
            "remainMoney": None,
            "currency": None,
            "apiType": "NORMAL",
        },
    }
    assert ask("v2/queue/status")["data"] == {
        "apiKeyType": "NORMAL",
        "concurrentLimit": 1,
        "runningCount": "0",
        "queuedCount": "1",
        "totalCurrentTasks": "1",
    }


def test_without_coins_a_task_is_rejected_before_it_is_checked(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.account["remainCoins"] = "0"
    assert ask("create", workflowId="")["code"] == 416


# Values and seeds


def test_seeds_are_random_unless_given(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW], cloud.concurrency = build_sampled(), 3
    ask.create(("3", "steps", "1"))
    assert cloud.task.graph["3"]["inputs"]["seed"] != 669816362794144
    assert cloud.task.graph["3"]["inputs"]["steps"] == 1
    ask.create(("3", "seed", "669816362794144"))
    assert cloud.task.graph["3"]["inputs"]["seed"] == 669816362794144
    ask.create(workflow=json.dumps(build_sampled()))
    assert cloud.task.graph["3"]["inputs"]["seed"] != 669816362794144


@pytest.mark.parametrize(
    "given",
    [
        [{"nodeId": "7", "fieldName": "width", "fieldValue": 1}],
        [{"nodeId": "1", "fieldName": "control_after_generate", "fieldValue": "fixed"}],
        [{"nodeId": 1, "fieldName": "width", "fieldValue": 1}],
        [{"nodeId": "1", "fieldName": "width"}],
        [{"nodeId": "1", "fieldName": "width", "fieldValue": ["4", 0]}],
        {"1": {"width": 5}},
    ],
)
def test_a_value_for_a_missing_node_or_field_rejects_the_task(cloud: RunningHub, ask: ApiClient, given: object) -> None:
    assert ask("create", workflowId=WORKFLOW, nodeInfoList=given)["code"] == 803
    assert not cloud.tasks


def test_a_graph_in_the_request_replaces_the_saved_one(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.concurrency = 3
    graph = json.dumps(workflows.picture(prefix="other"))
    assert ask("create", workflowId="1", workflow=graph)["code"] == 0
    assert cloud.task.graph["2"]["inputs"]["filename_prefix"] == "other"
    assert ask("create", workflowId="", workflow=graph)["code"] == 301
    assert ask("create", workflowId="1", workflow=workflows.picture())["code"] == 301
    value = [{"nodeId": "1", "fieldName": "width", "fieldValue": 8}]
    assert ask("create", workflowId="1", workflow=graph, nodeInfoList=value)["code"] == 803
    assert ask("create", workflowId=WORKFLOW, workflow=graph, nodeInfoList=value)["code"] == 0


def test_extra_keys_of_a_value_are_ignored(cloud: RunningHub, ask: ApiClient) -> None:
    value = {"nodeId": "1", "fieldName": "width", "fieldValue": 8, "nodeName": "EmptyImage", "fieldType": "INT"}
    assert ask("create", workflowId=WORKFLOW, nodeInfoList=[value])["code"] == 0


# Apps


def test_an_app_has_its_parameters_as_strings(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.workflows[WORKFLOW] = build_sampled()
    cloud.apps[APP] = App(
        "雪",
        WORKFLOW,
        [Field("6", "text", "STRING", "提示词"), Field("3", "steps", "INT"), Field("4", "ckpt_name", "LIST")],
    )
    data = ask("apiCallDemo", webappId=APP)["data"]
    assert (data["webappName"], data["accessEncrypted"]) == ("雪", False)
    assert cloud.key in data["curl"]
    text, steps, model = data["nodeInfoList"]
    kind = json.loads(text.pop("fieldData"))
    assert text == {
        "nodeId": "6",
        "nodeName": "CLIPTextEncode",
        "fieldName": "text",
        "fieldValue": "雪",
        "fieldType": "STRING",
        "description": "提示词",
        "descriptionEn": "提示词",
    }
    assert kind[0] == "STRING"
    assert (steps["fieldValue"], json.loads(steps["fieldData"])[0]) == ("2", "INT")
    assert _MODEL in [choice.get("index") for choice in json.loads(model["fieldData"])]
    assert ask("apiCallDemo", webappId="5")["code"] == 901


@pytest.mark.parametrize(
    ("kind", "original"),
    [
        ("STRING", "text"),
        ("INT", 2**53 + 1),
        ("FLOAT", 0.5),
        ("LIST", "b"),
        ("SWITCH", "1"),
        ("BOOLEAN", True),
        ("IMAGE", "a.png"),
        ("AUDIO", "a.wav"),
        ("VIDEO", "a.mp4"),
    ],
)
def test_a_parameter_of_an_app_accepts_its_own_default(
    cloud: RunningHub, ask: ApiClient, kind: str, original: object
) -> None:
    cloud.workflows[WORKFLOW]["1"]["inputs"]["other"] = original  # an input that ComfyUI ignores
    cloud.apps[APP] = App("any", WORKFLOW, [Field("1", "other", kind, data='[{"index":"1","name":"on"}]')])
    (field,) = ask("apiCallDemo", webappId=APP)["data"]["nodeInfoList"]
    assert (field["fieldType"], field["fieldData"]) == (kind, '[{"index":"1","name":"on"}]')
    assert isinstance(field["fieldValue"], str)
    ask("ai-app/run", webappId=APP, nodeInfoList=[field])
    assert cloud.task.graph["1"]["inputs"]["other"] == original


def test_an_app_runs_by_id_with_its_password(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.apps[APP] = App("picture", WORKFLOW, [Field("1", "width", "INT")], password="open sesame")
    assert ask("ai-app/run", webappId=int(APP))["code"] == 301
    assert ask("ai-app/run", webappId=int(APP), nodeInfoList=[])["code"] == 301
    asked = {"webappId": int(APP), "nodeInfoList": [], "accessPassword": "open sesame"}
    answer = ask("ai-app/run", **asked)["data"]
    assert (answer["taskId"], answer["taskStatus"]) == (cloud.task.id, "QUEUED")
    assert ask.wait_for_end(cloud, answer["taskId"])["status"] == "SUCCESS"
    assert ask("quick-ai-app/run", **asked)["code"] == 301
    assert ask("quick-ai-app/run", quickCreateCode="006", **asked)["code"] == 0


# Uploads


@pytest.mark.parametrize("v2", [False, True])
def test_an_upload_is_named_by_its_hash_and_found_by_nodes(cloud: RunningHub, ask: ApiClient, v2: bool) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (5, 4), "red").save(buffer, "PNG")
    first = ask.upload("cat.png", buffer.getvalue(), v2=v2)["data"]
    assert first["fileName"] == ask.upload("dog.png", buffer.getvalue(), v2=v2)["data"]["fileName"]
    assert first["fileName"].startswith("openapi/" if v2 else "api/")
    assert cloud.uploads == {first["fileName"]: buffer.getvalue()}
    cloud.workflows[WORKFLOW] = workflows.inverted()
    results = ask.wait_for_end(cloud, ask.create(("1", "image", first["fileName"]))["data"]["taskId"])["results"]
    assert Image.open(io.BytesIO(httpx.get(results[0]["url"]).content)).size == (5, 4)


def test_uploads_have_the_documented_responses(cloud: RunningHub, ask: ApiClient) -> None:
    answer = ask.upload("a.png", b"abc")
    assert answer == {
        "code": 0,
        "msg": "success",
        "data": {"fileName": answer["data"]["fileName"], "fileType": "input"},
    }
    answer = ask.upload("a.png", b"abc", v2=True)
    url = answer["data"].pop("download_url")
    assert (answer["code"], answer["message"], answer["data"]["type"]) == (0, "success", "image")
    assert answer["data"]["size"] == "3"
    assert httpx.get(url).content == b"abc"
    assert "." not in ask.upload("a.zip", b"abc")["data"]["fileName"]


def test_the_old_upload_rejects_large_and_unsupported_files(cloud: RunningHub, ask: ApiClient) -> None:
    cloud.upload_limit = 10
    assert ask.upload("a.png", b"x" * 11) == {"code": 809, "msg": "APIKEY_FILE_SIZE_EXCEEDED", "data": None}
    assert ask.upload("a.exe", b"x")["code"] == 808
    assert not cloud.uploads


# What public clients send


@pytest.mark.parametrize("host", ["www.runninghub.cn", "www.runninghub.ai"])
def test_the_documents_host_header_is_accepted(host: str, cloud: RunningHub) -> None:
    where = f"{cloud.url}/uc/openapi/accountStatus"
    assert httpx.post(where, json={"apikey": cloud.key}, headers={"Host": host}).json()["code"] == 0


def test_the_account_accepts_both_spellings_of_the_key(cloud: RunningHub) -> None:
    where = f"{cloud.url}/uc/openapi/accountStatus"
    bearer = {"Authorization": f"Bearer {cloud.key}"}
    for name in ("apikey", "apiKey"):
        for headers in ({}, bearer):
            assert httpx.post(where, json={name: cloud.key}, headers=headers).json()["code"] == 0
        assert httpx.post(where, json={name: "wrong"}, headers=bearer).json()["code"] == 802
    assert httpx.post(where, json={}, headers={}).json()["code"] == 802


def test_an_upload_needs_no_file_type(cloud: RunningHub) -> None:
    where = f"{cloud.url}/task/openapi/upload"
    answer = httpx.post(where, data={"apiKey": cloud.key}, files={"file": ("a.png", b"png")}).json()
    assert (answer["code"], answer["data"]["fileType"]) == (0, "input")


@pytest.mark.parametrize("spelling", ["{}", "Bearer {}"])
def test_apps_are_listed_in_pages_also_for_a_bare_key(spelling: str, cloud: RunningHub) -> None:
    cloud.apps |= {str(number): App(f"App {number}", WORKFLOW, []) for number in range(1, 4)}
    where = f"{cloud.url}/openapi/v2/aiapp/list"
    asked, headers = {"current": 2, "size": 2, "sort": "HOTTEST"}, {"Authorization": spelling.format(cloud.key)}
    data = httpx.post(where, json=asked, headers=headers).json()["data"]
    assert (data["total"], data["pages"], data["hasNext"]) == (3, 2, False)
    assert [each["title"] for each in data["records"]] == ["App 3"]
    assert data["records"][0]["invokeExample"].endswith("/run/ai-app/3'")
    assert httpx.post(where, json=asked, headers={"Authorization": "wrong"}).json()["code"] == 401


def test_a_lora_is_sent_to_the_address_that_was_asked_for(cloud: RunningHub, ask: ApiClient) -> None:
    where, body = f"{cloud.url}/api/openapi/getLoraUploadUrl", {"loraName": "fox", "md5Hex": "0" * 32}
    data = httpx.post(where, json={"apiKey": cloud.key, **body}).json()["data"]
    assert data["fileName"] == f"api-lora-cn/{'0' * 32}.safetensors"
    assert httpx.put(data["url"], content=b"\xff\x00lora").status_code == 200
    assert httpx.get(data["url"]).content == b"\xff\x00lora"
    assert httpx.put(data["url"].replace("0.safe", "1.safe"), content=b"x").status_code == 405
    assert httpx.post(where, json={"apiKey": cloud.key, "loraName": "fox"}).json()["code"] == 301
