"""Test how RunningHub workflows and apps are named, and how an app's inputs become a form."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.clouds.runninghub_app import build_app_prompt
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import ParameterError, WorkflowError
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow

AI, CN, OWN = "https://www.runninghub.ai", "https://www.runninghub.cn", "http://127.0.0.1:8080"
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)
TYPES = ("STRING", "INT", "FLOAT", "LIST", "SWITCH", "BOOLEAN", "IMAGE", "AUDIO", "VIDEO", "lora", "")


@pytest.mark.parametrize(
    ("text", "hosted"),
    [
        ("1904", HostedWorkflow("1904")),
        ("rh:1904", HostedWorkflow("1904")),
        ("rh-app:1904", HostedWorkflow("1904", app=True)),
        (f"{AI}/workflow/1904", HostedWorkflow("1904", site=AI)),
        (f"{CN}/post/1904?x=1", HostedWorkflow("1904", site=CN)),
        (f"{AI}/zh-CN/ai-detail/1904", HostedWorkflow("1904", app=True, site=AI)),
        (f"{AI}/AI-Detail/1904/", HostedWorkflow("1904", app=True, site=AI)),
        (f"{OWN}/run/ai-app/1904", HostedWorkflow("1904", app=True, site=OWN)),
        ("http://user:secret@runninghub.ai/app/1904", HostedWorkflow("1904", app=True, site="http://runninghub.ai")),
        ("https://WWW.RunningHub.AI/app/1904", HostedWorkflow("1904", app=True, site="https://WWW.RunningHub.AI")),
    ],
)
def test_ids_prefixes_and_urls_name_workflows_and_apps(text: str, hosted: HostedWorkflow) -> None:
    assert HostedWorkflow.parse(text, OWN) == hosted


@pytest.mark.parametrize(
    "text",
    [
        "", "²", "１９０４", "-1", "1904 ", "rh:", "RH:1904", "rh-app:x", "rh: 1904", "1904.json", "1" * 26,
        f"{AI}/workflow/", f"{AI}/workflow/19x", f"{AI}/", f"{AI}/call-api/workflow", f"{AI}/x/y/workflow/1904",
        "https://evil.example/workflow/1904", f"https://evil.example/{AI}/workflow/1904",
        "https://runninghub.ai.evil.example/workflow/1904", "https://www.runninghub.ai@evil.example/workflow/1904",
        "https://evil-runninghub.ai/workflow/1904", "http://127.0.0.1:8081/workflow/1904", "https://[/workflow/1904",
        "ftp://www.runninghub.ai/workflow/1904", "file:///workflow/1904", "www.runninghub.ai/workflow/1904",
    ],
)  # fmt: skip
def test_other_text_names_no_workflow(text: str) -> None:
    assert HostedWorkflow.parse(text, OWN) is None


def test_other_site_is_elsewhere_unless_a_proxy_serves_both() -> None:
    page = HostedWorkflow.parse(f"{CN}/workflow/1904", AI)
    assert page is not None
    assert page.is_on_other_site(AI)
    assert page.is_on_other_site("http://runninghub.ai")
    assert not page.is_on_other_site("https://runninghub.cn")
    assert not page.is_on_other_site(OWN)
    assert not HostedWorkflow("1904").is_on_other_site(AI)


@given(st.text() | st.from_regex(r"(https?://)?[a-z.@:\[\]/]{0,9}runninghub\.(ai|cn)[a-z0-9/#?@:\[\].-]{0,30}"))
def test_any_text_names_a_workflow_or_none(text: str) -> None:
    hosted = HostedWorkflow.parse(text, OWN)
    assert hosted is None or hosted.id.isascii()
    assert hosted is None or HostedWorkflow.parse(hosted.name, OWN) == HostedWorkflow(hosted.id, hosted.app)


def test_file_can_refer_to_a_workflow() -> None:
    assert HostedWorkflow.from_reference({"_source": "runninghub", "workflow_id": 1904}) == HostedWorkflow("1904")
    assert HostedWorkflow.from_reference({"source": "runninghub", "webapp_id": "1904 "}) == HostedWorkflow(
        "1904", app=True
    )
    assert HostedWorkflow.from_reference({"1": {"class_type": "A", "inputs": {}}}) is None
    for lacking in ({}, {"workflow_id": None}, {"workflow_id": True}, {"workflow_id": 10**5000}, {"webapp_id": "²"}):
        with pytest.raises(WorkflowError, match="names no workflow"):
            HostedWorkflow.from_reference({"_source": "runninghub", **lacking})


@given(ANYTHING)
def test_other_file_content_is_not_a_reference(content: Any) -> None:
    assert HostedWorkflow.from_reference(content) is None


FIELD = st.fixed_dictionaries(
    {},
    optional={
        "nodeId": st.sampled_from(["1", "2", 3]) | ANYTHING,
        "nodeName": st.sampled_from(["KSampler", "$x.y, $output.z"]) | ANYTHING,
        "fieldName": st.sampled_from(["seed", "text", "a b", "$x"]) | ANYTHING,
        "fieldValue": st.sampled_from(["1", "true", "x"]) | ANYTHING,
        "fieldType": st.sampled_from(TYPES) | ANYTHING,
        "fieldData": ANYTHING | ANYTHING.map(json.dumps) | st.text(max_size=5),
        "description": ANYTHING,
    },
)


@given(st.lists(FIELD | ANYTHING, max_size=5) | ANYTHING)
def test_malformed_app_gives_a_form_or_an_error(inputs: Any) -> None:
    hosted = HostedWorkflow("1904", app=True)
    try:
        prompt, definitions = build_app_prompt({"nodeInfoList": inputs}, hosted, "the app")
    except WorkflowError:
        return
    workflow = Workflow("the app", prompt, hosted=hosted)
    assert json.dumps([field.to_json() for field in workflow.fields(definitions)])
    assert not workflow.outputs
    with contextlib.suppress(ParameterError):
        workflow.bind({}, definitions)
