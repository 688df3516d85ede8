"""True answers in the other shapes that RunningHub is known to give them: for `RunningHub.answer`.

Each takes the body of a true answer and gives the changed one; those with arguments give such a function.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
Change = Callable[[Body], Body]

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e`rm -rf`\r\nA second line {{7*7}} ${HOME} \x00</script>"
"""A text that is shown somewhere, and must do nothing there."""


# Envelopes


def code_as_text(body: Body) -> Body:
    return {**body, "code": str(body["code"])}


def with_code(code: int | str) -> Change:
    """Another code for success (200, "0", "200"), or anything else that comes with the true data."""
    return lambda body: {**body, "code": code}


def with_message(text: str) -> Change:
    """Another message: `msg`, `message` or `errorMessage`, wherever one stands."""
    names = ("msg", "message", "errorMessage")
    return lambda body: {key: text if key in names else value for key, value in body.items()}


def with_error_messages(body: Body) -> Body:
    return {**body, "errorMessages": None}


def in_envelope(body: Body) -> Body:
    """A v2 answer, which has none."""
    return {"code": 0, "msg": "success", "data": body}


# What was created


def task_id_as_number(body: Body) -> Body:
    data = _data(body)
    return _in_data(body, taskId=int(data["taskId"])) if data.get("taskId") else body


def with_prompt_tips(tips: object) -> Change:
    """Any `promptTips`: JSON in a text, an object, a plain text, an empty one."""
    return lambda body: _in_data(body, promptTips=tips)


def without_prompt_tips(body: Body) -> Body:
    data = {key: value for key, value in _data(body).items() if key != "promptTips"}
    return {**body, "data": data or None} if "data" in body else data


def with_node_errors(**errors: object) -> Change:
    """A prompt that was taken in part: node errors beside `result: true`."""
    tips = {"result": True, "error": None, "outputs_to_execute": ["9"], "node_errors": errors}
    return with_prompt_tips(json.dumps(tips))


def failed_at_once(body: Body) -> Body:
    """Taken by code 0, and FAILED already: the prompt was not valid."""
    error = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}
    tips = {"result": False, "error": error, "outputs_to_execute": [], "node_errors": {}}
    state = "taskStatus" if "data" in body else "status"
    return _in_data(body, promptTips=json.dumps(tips), **{state: "FAILED"})


def with_socket(url: object) -> Change:
    """Another `netWssUrl`, wherever one could stand."""
    return lambda body: {**body, "data": {**(body["data"] or {}), "netWssUrl": url}}


def without_data(body: Body) -> Body:
    return {**body, "data": None}


# What was asked about a task


def legacy_running(body: Body) -> Body:
    """Outputs that are not there yet, by code 0: only the message says so."""
    return {"code": 0, "msg": body["msg"], "data": None} if body["code"] in {804, 813} else body


def legacy_running_in_chinese(body: Body) -> Body:
    return {"code": 0, "msg": "任务正在运行中", "data": None} if body["code"] in {804, 813} else body


def with_state(state: object) -> Change:
    """Another state in the v1 status or the v2 query; `""` happens, and states that nobody knows may."""
    return lambda body: {**body, "status": state} if "status" in body else {**body, "data": state}


def state_as_object(body: Body) -> Body:
    return {**body, "data": {"taskStatus": body["data"]}}


def state_in_lower_case(body: Body) -> Body:
    return {**body, "status": body["status"].lower()}


def without_results(body: Body) -> Body:
    """A v2 success that lists nothing yet."""
    return {**body, "results": None}


def without_node_ids(body: Body) -> Body:
    """Results as the older v2 documents have them."""
    results = body["results"] or []
    return {**body, "results": [{key: one[key] for key in one if key != "nodeId"} for one in results] or None}


def reason_as_json(body: Body) -> Body:
    """A `failedReason` that is JSON in a text, of v1 or v2."""
    if "failedReason" in body:
        return {**body, "failedReason": json.dumps(body["failedReason"])}
    return _in_data(body, failedReason=json.dumps(body["data"]["failedReason"])) if body["data"] else body


def traceback_as_list(body: Body) -> Body:
    """A v1 `failedReason` whose traceback is a list, as in v2."""
    if body["code"] != 805 or not body["data"]:
        return body
    reason = body["data"]["failedReason"]
    return _in_data(body, failedReason={**reason, "traceback": json.loads(reason["traceback"])})


def without_reason(body: Body) -> Body:
    """A failure of which nothing is said."""
    return {**body, "failedReason": {}} if "failedReason" in body else {**body, "data": None}


# Workflows


def graph_as_object(body: Body) -> Body:
    return _in_data(body, prompt=json.loads(body["data"]["prompt"]))


def _data(body: Body) -> Body:
    """What an answer says: what is in the envelope, if it has one; empty for a refusal."""
    return body.get("data", body) or {}


def _in_data(body: Body, **values: object) -> Body:
    """The body with other values, in the envelope if it has one; a refusal as it is."""
    if "data" not in body:
        return {**body, **values}
    return {**body, "data": {**body["data"], **values}} if body["data"] else body
