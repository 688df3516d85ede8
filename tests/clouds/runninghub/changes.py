"""Changes of RunningHub's normal responses to other known formats, for `RunningHub.answer`.

Each function takes the body of a normal response and returns the changed body. Those with other arguments return such a
function.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Body = dict[str, Any]
Change = Callable[[Body], Body]

HOSTILE = "<img src=x onerror=alert(1)>\x1b[31m\u202e`rm -rf`\r\nA second line {{7*7}} ${HOME} \x00</script>"
"""A text that must have no effect wherever it is displayed."""


# Envelopes


def code_as_text(body: Body) -> Body:
    return {**body, "code": str(body["code"])}


def with_code(code: int | str) -> Change:
    """Replace the code, for example by another one for success (200, "0", "200")."""
    return lambda body: {**body, "code": code}


def with_message(text: str) -> Change:
    """Replace the message: `msg`, `message` or `errorMessage`, whichever is present."""
    names = ("msg", "message", "errorMessage")
    return lambda body: {key: text if key in names else value for key, value in body.items()}


def with_error_messages(body: Body) -> Body:
    return {**body, "errorMessages": None}


def in_envelope(body: Body) -> Body:
    """Put a v2 response into an envelope, which it normally lacks."""
    return {"code": 0, "msg": "success", "data": body}


# Created tasks


def task_id_as_number(body: Body) -> Body:
    data = _data(body)
    return _in_data(body, taskId=int(data["taskId"])) if data.get("taskId") else body


def with_prompt_tips(tips: object) -> Change:
    """Replace `promptTips`: by a string of JSON, an object, a plain text or an empty string."""
    return lambda body: _in_data(body, promptTips=tips)


def without_prompt_tips(body: Body) -> Body:
    data = {key: value for key, value in _data(body).items() if key != "promptTips"}
    return {**body, "data": data or None} if "data" in body else data


def with_node_errors(**errors: object) -> Change:
    """Mark the prompt as accepted in part: node errors with `result: true`."""
    tips = {"result": True, "error": None, "outputs_to_execute": ["9"], "node_errors": errors}
    return with_prompt_tips(json.dumps(tips))


def failed_at_once(body: Body) -> Body:
    """Mark the task as accepted with code 0 but FAILED: the prompt was invalid."""
    error = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}
    tips = {"result": False, "error": error, "outputs_to_execute": [], "node_errors": {}}
    state = "taskStatus" if "data" in body else "status"
    return _in_data(body, promptTips=json.dumps(tips), **{state: "FAILED"})


def with_socket(url: object) -> Change:
    """Replace `netWssUrl`."""
    return lambda body: {**body, "data": {**(body["data"] or {}), "netWssUrl": url}}


def without_data(body: Body) -> Body:
    return {**body, "data": None}


# States, outputs and failures of tasks


def legacy_running(body: Body) -> Body:
    """Report missing outputs with code 0: only the message says so."""
    return {"code": 0, "msg": body["msg"], "data": None} if body["code"] in {804, 813} else body


def legacy_running_in_chinese(body: Body) -> Body:
    return {"code": 0, "msg": "任务正在运行中", "data": None} if body["code"] in {804, 813} else body


def with_state(state: object) -> Change:
    """Replace the state in a v1 status or v2 query; `""` occurs, and unknown states may."""
    return lambda body: {**body, "status": state} if "status" in body else {**body, "data": state}


def state_as_object(body: Body) -> Body:
    return {**body, "data": {"taskStatus": body["data"]}}


def state_in_lower_case(body: Body) -> Body:
    return {**body, "status": body["status"].lower()}


def called_failed(code: str = "") -> Change:
    """Call a v2 success a failure with this code and the message "success", as the site does now and then."""

    def change(body: Body) -> Body:
        if body.get("status") not in ("SUCCESS", "CANCEL"):
            return body
        failure: Body = {"errorCode": code, "errorMessage": "success", "failedReason": {}, "results": None}
        return {**body, **failure, "status": "FAILED"}

    return change


def without_results(body: Body) -> Body:
    """Remove the results from a v2 success."""
    return {**body, "results": None}


def without_node_ids(body: Body) -> Body:
    """Format the results as in the older v2 documents, without node IDs."""
    results = body["results"] or []
    return {**body, "results": [{key: one[key] for key in one if key != "nodeId"} for one in results] or None}


def reason_as_json(body: Body) -> Body:
    """Encode `failedReason` as a string of JSON, in v1 or v2."""
    if "failedReason" in body:
        return {**body, "failedReason": json.dumps(body["failedReason"])}
    return _in_data(body, failedReason=json.dumps(body["data"]["failedReason"])) if body["data"] else body


def traceback_as_list(body: Body) -> Body:
    """Make the traceback in a v1 `failedReason` a list, as in v2."""
    if body["code"] != 805 or not body["data"]:
        return body
    reason = body["data"]["failedReason"]
    return _in_data(body, failedReason={**reason, "traceback": json.loads(reason["traceback"])})


def without_reason(body: Body) -> Body:
    """Remove the reason of a failure."""
    return {**body, "failedReason": {}} if "failedReason" in body else {**body, "data": None}


# Workflows


def graph_as_object(body: Body) -> Body:
    return _in_data(body, prompt=json.loads(body["data"]["prompt"]))


def _data(body: Body) -> Body:
    """Return the content of a response's envelope, or the response itself; empty for an error."""
    return body.get("data", body) or {}


def _in_data(body: Body, **values: object) -> Body:
    """Replace values of a response, inside its envelope if it has one; leave errors unchanged."""
    if "data" not in body:
        return {**body, **values}
    return {**body, "data": {**body["data"], **values}} if body["data"] else body
