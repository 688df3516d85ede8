"""The formats of RunningHub's responses, from its documents and the test data of other clients."""

from __future__ import annotations

import json
from typing import Any

from .codes import ApiError
from .task import Output, Task

Body = dict[str, Any]


def format_success(data: Any, msg: str = "success") -> Body:
    """Build a v1 response."""
    return {"code": 0, "msg": msg, "data": data}


def format_error(refusal: ApiError) -> Body:
    """Build a v1 error."""
    return {"code": refusal.code, "msg": refusal.msg, "data": refusal.data}


def format_upload_error(refusal: ApiError) -> Body:
    """Build an error of the v2 upload, which has `message` instead of `msg`."""
    return {"code": refusal.code, "message": refusal.msg, "data": refusal.data}


def format_task_error(refusal: ApiError) -> Body:
    """Build an error of the other v2 endpoints, which have no envelope."""
    return {
        "taskId": "",
        "status": "",
        "errorCode": str(refusal.code),
        "errorMessage": refusal.msg,
        "failedReason": {},
        "usage": None,
        "results": None,
        "clientId": "",
        "promptTips": "",
    }


def format_prompt_tips(task: Task) -> str:
    """Return ComfyUI's verdict on the prompt, as a string of JSON."""
    return json.dumps(
        {"result": True, "error": None, "outputs_to_execute": task.outputs_to_execute, "node_errors": task.node_errors}
    )


def format_created(task: Task, url: str | None) -> Body:
    """Build the v1 response for a created task."""
    return format_success(
        {
            "netWssUrl": url,
            "taskId": task.id,
            "clientId": task.client_id,
            "taskStatus": task.state,
            "promptTips": format_prompt_tips(task),
        }
    )


def format_created_v2(task: Task) -> Body:
    """Build the v2 response for a created task, which has no socket URL."""
    return {
        "taskId": task.id,
        "status": task.state,
        "errorCode": "",
        "errorMessage": "",
        "results": None,
        "clientId": task.client_id,
        "promptTips": format_prompt_tips(task),
    }


def format_file(output: Output, url: str, seconds: int) -> Body:
    """Build an element of the v1 outputs."""
    return {
        "fileUrl": url,
        "fileType": output.file_type,
        "taskCostTime": str(seconds),
        "nodeId": output.node_id,
        "thirdPartyConsumeMoney": None,
        "consumeMoney": None,
        "consumeCoins": str(compute_coins(seconds)),
    }


def format_result(output: Output, url: str, *, as_file: bool) -> Body:
    """Build an element of the v2 results: a file, or an inline text."""
    return {
        "url": url if as_file else None,
        "nodeId": output.node_id,
        "outputType": output.file_type,
        "text": None if as_file else output.text,
    }


def format_failed_reason(reason: Body) -> Body:
    """Build the `failedReason` of the v1 outputs, whose parts are strings of JSON."""
    parts = ("traceback", "current_inputs", "current_outputs")
    return {key: json.dumps(value) if key in parts else value for key, value in reason.items()}


def format_query(task: Task, state: str, results: list[Body] | None) -> Body:
    """Build the v2 response about a task."""
    failed = state == "FAILED"
    ended = state in {"SUCCESS", "FAILED", "CANCEL"}
    return {
        "taskId": task.id,
        "status": state,
        "errorCode": task.error_code if failed else "",
        "errorMessage": task.error_message if failed else "",
        "failedReason": task.reason if failed else {},
        "usage": {
            "consumeMoney": None,
            "consumeCoins": str(compute_coins(task.seconds)) if ended else None,
            "taskCostTime": str(task.seconds) if ended else "0",
            "thirdPartyConsumeMoney": None,
        },
        "results": results,
        "clientId": "",
        "promptTips": "",
    }


def compute_coins(seconds: int) -> int:
    """Return a run's price in coins: one for every five seconds, rounded up."""
    return -(-seconds // 5)
