"""Test clouds behind a gateway that repeats an earlier answer: the task of another run is not taken for ours."""

from __future__ import annotations

import json

from tests.client import workflows
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .comfyapi.double import KEY, Double, Output, Reply, set_status
from .runninghub import RunningHub


def test_job_of_another_run_is_not_followed_in_comfy_api(make_kit: MakeKit, quick: None) -> None:
    with Double() as double:
        kit = make_kit(comfyui_url=double.base, api_key=KEY, raise_on_error=False)
        first = kit.run(workflows.text("first"))
        answer = json.dumps({"id": first.prompt_id, "status": "queued"})
        double.fail("POST /jobs", Reply(201, text=answer, after=True))
        double.plan = [set_status("succeeded", outputs=[Output("2", "b.png", "image", "image/png", b"b")])]
        second = kit.run(workflows.text("second"))
        assert (second.status, len(second.images), double.count("POST /jobs")) == ("completed", 1, 2)
        assert second.prompt_id != first.prompt_id


def test_task_of_another_run_is_not_followed_in_runninghub(cloud: RunningHub, make_kit: MakeKit) -> None:
    kit = make_kit(raise_on_error=False)
    first = kit.run(WORKFLOW)
    answer = {"code": 0, "msg": "success", "data": {"taskId": first.prompt_id, "taskStatus": "RUNNING"}}
    cloud.answer("create", lambda body: answer)
    second = kit.run(WORKFLOW)
    assert second.error is not None
    assert (second.error.kind, len(cloud.find_requests("create"))) == ("unknown", 2)
    assert "the task may be running" in str(second.msg)
