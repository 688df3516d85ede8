"""Translate RunningHub's answers into ComfyUI's: codes, rejected prompts, records; build requests.

Whatever the site answers may be nonsense: what makes no sense is left out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

from comfykit_jupyter.workflow.document.workflow import Binding, Workflow
from comfykit_jupyter.workflow.errors import ParameterError, Problem, one_line
from comfykit_jupyter.workflow.nodes import SEED_NAMES, is_link
from comfykit_jupyter.workflow.untrusted_json import to_list, to_mapping

State = Literal["CREATE", "QUEUED", "RUNNING", "SUCCESS", "FAILED", "CANCEL", ""]

PENDING = {804: "RUNNING", 813: "QUEUED"}
"""Codes of tasks that have not ended."""
MISSING = frozenset({807, 423, 1004})
"""Codes of tasks that do not exist: never submitted, or deleted."""
NO_SUCH_ROUTE = frozenset({404, 412})
"""Codes of paths that the site does not know; 412 is called TOKEN_INVALID."""
PASSING = frozenset({1003, 1005, 1010, 1011, 808})
"""Codes of passing failures: a request that changes nothing may be sent again."""
BACK_OFF: Mapping[int, float] = {415: 30, 421: 20, 429: 10, 804: 20, 1003: 10, 1010: 30, 1011: 30, 1520: 20}
"""Seconds until a rejected task, which does not exist, is sent again; half as many more each time.

429 is HTTP's: too many requests.
"""
UNKNOWN = frozenset({500, 1005})
"""Codes of failures after which it is not known whether a task was created."""
_NO_REASON = frozenset({500, 805, 1000})
"""Codes of failures that give no reason."""
QUEUES = frozenset({415, 421, 804, 1520})
"""The codes in `BACK_OFF` that only mean that other tasks come first: the task is sent again without limit."""
BACK_OFF_MOST = 120.0

_REASONS: Mapping[int, str] = {
    301: "it rejects the request",
    380: "it has no such workflow",
    401: "it does not know the key: check runninghub_api_key",
    414: "the account does not have enough coins: top it up on the site",
    415: "all its machines are busy",
    416: "the account does not have enough money: top it up on the site",
    421: "the account already runs as many tasks as it may",
    433: "the workflow is not valid",
    435: "the account has no dedicated machine of this kind: set runninghub_instance_type='plus'",
    436: "the account's membership has ended, or this needs a dedicated machine",
    500: "it failed without giving a reason",
    801: "keys of free accounts can't be used: become a member on the site",
    802: "it does not know the key: check runninghub_api_key",
    803: "the workflow has no such input",
    805: "the task failed",
    806: "it does not know the key: check runninghub_api_key",
    808: "the file did not arrive",
    809: "the file is too large: at most 30 MB",
    810: "the workflow must have been saved, and run once, on the site: open it there and run it",
    811: "it does not know the enterprise key",
    812: "the enterprise account does not have enough money: top it up on the site",
    814: "1000 tasks are already queued: wait for some to end",
    901: "it has no such app",
    1000: "it failed without giving a reason",
    1001: "it does not know the address",
    1002: "it does not know the key: check runninghub_api_key",
    1003: "too many requests",
    1005: "it failed temporarily",
    1006: "the task took too long",
    1007: "it rejects the request",
    1008: "it rejects the request",
    1010: "it is temporarily unavailable",
    1011: "it is busy",
    1012: "a service that it uses failed",
    1013: "a file could not be processed",
    1014: "this needs an enterprise key",
    1015: "the task failed",
    1101: "the workflow has no such input",
    1501: "its moderation rejected the content",
    1504: "the model took too long",
    1505: "it rejects images of real people",
    1520: "the account already runs as many tasks as it may",
}
KEY = frozenset({301, 401, 412, 801, 802, 806, 811, 1002, 1014})
"""Codes that reject the account: another attempt changes nothing."""
OTHER_SITE = frozenset({301, 380, 802, 806, 901, 1002, 401})
"""Codes that a key or a workflow of the other site causes, among other things."""

SEEDS_MAY_DIFFER = (
    "RunningHub may draw other seeds for a graph that is not saved there: the result shows the seeds that were sent"
)
"""Nothing fixes them: `nodeInfoList` accepts only the nodes of a saved workflow."""

_TASK_PAGE = "/call-api/call-record-detail/"


def parse_code(value: Any) -> int | None:
    """Parse a code, which may come as text; return None if there is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    return int(value) if isinstance(value, str) and re.fullmatch(r"-?[0-9]{1,9}", value.strip()) else None


def is_success(code: int | None) -> bool:
    """Return whether a code means success."""
    return code in (0, 200)


def is_without_reason(code: int | None) -> bool:
    """Return whether the code of a failed task does not say why it failed."""
    return code is None or is_success(code) or code in _NO_REASON


def describe_code(code: int) -> str:
    """Describe a code."""
    return _REASONS.get(code, f"code {code}")


def format_reason(code: int | None, answer: Any = "") -> str:
    """Format why the site rejects a request: what the code means, and the site's own words if they say more."""
    meant = _REASONS.get(code) if code is not None else None
    words = one_line(str(answer or ""), 300)
    # what it says is often but the name of the code: TASK_QUEUE_MAXED
    says = words if words and not re.fullmatch(r"[A-Z0-9_ ]+|success|fail(ed)?|unknown error", words) else ""
    number = f"code {code}" if code is not None else "no code"
    return f"{meant}: {says} ({number})" if meant and says else f"{meant or words or 'it gives no reason'} ({number})"


def build_task_url(site: str, task_id: str) -> str:
    """Return the URL of the page that shows a task to its owner."""
    return f"{site}{_TASK_PAGE}{task_id}"


def build_node_info(workflow: Workflow, binding: Binding) -> list[dict[str, Any]]:
    """Build `nodeInfoList`: the values that differ from the saved workflow's, and every seed.

    The site draws a seed that it is not sent again. An app is sent all its values.

    Raises:
        ParameterError: A value is for an input that the saved workflow lacks, or that is linked there.
    """
    problems, given = [], {}
    for (id_, field), value in binding.inputs.items():
        inputs = workflow.prompt[id_]["inputs"]
        saved = inputs.get(field)
        if value == saved:
            continue
        if field not in inputs or is_link(saved):
            what = "is linked to another node" if field in inputs else "is not in the workflow"
            where = f"{one_line(field)} ({workflow.get_title(id_)}, node {one_line(id_)})"
            message = f"{where}: the input {what}, and RunningHub sets only values that were saved there"
            problems.append(
                Problem(workflow.build_address(id_, field), message, id_, workflow.get_title(id_), field=field)
            )
        given[id_, field] = value
    if problems:
        raise ParameterError(problems)
    app = workflow.hosted is not None and workflow.hosted.app
    for id_, node in binding.prompt.items():
        for field, value in node["inputs"].items():
            if (field in SEED_NAMES or app) and type(value) in (str, int, float, bool):
                given.setdefault((id_, field), value)
    return [
        {"nodeId": id_, "fieldName": field, "fieldValue": _to_app_value(value) if app else value}
        for (id_, field), value in given.items()
    ]


def has_seeds(prompt: Mapping[str, Any]) -> bool:
    """Return whether a prompt has seeds as values."""
    return any(
        field in SEED_NAMES and not is_link(value)
        for node in prompt.values()
        for field, value in node["inputs"].items()
    )


def _to_app_value(value: Any) -> Any:
    """Return a value of an app as its site has it: all values are texts there."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value) if isinstance(value, (int, float)) else value


def parse_tips(answer: Any) -> Mapping[str, Any]:
    """Parse `promptTips`, ComfyUI's answer to the prompt, as JSON or an object; see `find_remark` for other texts."""
    return to_mapping(_parse_json(answer))


def _parse_json(answer: Any) -> Any:
    """Parse a text as JSON, or return None; return other values unchanged."""
    try:
        return json.loads(answer) if isinstance(answer, str) else answer
    except (ValueError, RecursionError):
        return None


def find_remark(answer: Any) -> str:
    """Return the plain words of `promptTips` or of a reason, or "" if it is JSON."""
    words = answer.strip() if isinstance(answer, str) and _parse_json(answer) is None else ""
    return "" if words == "null" else one_line(words, 500)


def build_node_errors(found: Mapping[str, Any]) -> dict[str, Any]:
    """Build ComfyUI's `node_errors` from parsed `promptTips`; some are only texts there."""
    errors = {}
    for id_, about in to_mapping(found.get("node_errors")).items():
        listed = about.get("errors") if isinstance(about, Mapping) else about
        own = [
            each if isinstance(each, Mapping) else {"message": str(each)}
            for each in (listed if isinstance(listed, list) else [listed])
            if each
        ]
        errors[str(id_)] = {**to_mapping(about), "errors": own or [{"message": "it gives no reason"}]}
    return errors


def is_refused(found: Mapping[str, Any], status: str) -> bool:
    """Return whether nothing of a prompt runs: errors may be about some of its outputs only."""
    if status == "FAILED" or found.get("result") is False or found.get("error"):
        return True
    return "outputs_to_execute" in found and not found["outputs_to_execute"] and bool(found.get("node_errors"))


def build_refusal(code: int | None, answer: Any, prompt_tips: Any) -> dict[str, Any]:
    """Build ComfyUI's answer to a rejected prompt: `{"error": …, "node_errors": …}`."""
    found = parse_tips(prompt_tips) or parse_tips(answer)
    error = found.get("error")
    said = to_mapping(error).get("message") or (error if isinstance(error, str) else "") or find_remark(prompt_tips)
    said = str(said or ("" if found else answer) or "")
    message = one_line(said, 500) if is_success(code) else format_reason(code, said)
    return {"error": {"message": message}, "node_errors": build_node_errors(found)}


def parse_failure(answer: Any) -> dict[str, Any]:
    """Parse `failedReason` to the data of ComfyUI's `execution_error`; empty if there is none."""
    found = to_mapping(_parse_json(answer)) or {"exception_message": find_remark(answer)}
    trace = found.get("traceback")
    lines = _parse_json(trace)
    error = {
        "node_id": _to_text(found.get("node_id")),
        "node_type": _to_text(found.get("node_name")),
        "exception_message": _to_text(found.get("exception_message")),
        "exception_type": _to_text(found.get("exception_type")),
        "traceback": lines if isinstance(lines, list) else [trace] if isinstance(trace, str) and trace else [],
    }
    return error if any(error.values()) else {}


def _to_text(value: Any) -> str:
    return str(value) if isinstance(value, (str, int, float)) else ""


def build_record(
    results: Iterable[Mapping[str, Any]],
    *,
    error: Mapping[str, Any] | None = None,
    interrupted: bool = False,
    seconds: float = 0,
) -> dict[str, Any]:
    """Build the record of a task that has ended, as in ComfyUI's history.

    Args:
        results: what it gave: `node`, and a `text`, or the `url` and `name` of a file.
        error: its `execution_error`, if it failed.
        interrupted: whether it was cancelled.
        seconds: how long it ran, where that is known.
    """
    outputs: dict[str, dict[str, list[Any]]] = {}
    for each in results:
        output = outputs.setdefault(each["node"], {})
        if "text" in each:
            output.setdefault("text", []).append(each["text"])
        else:
            entry = {"filename": each["name"], "subfolder": "", "type": "output", "url": each["url"]}
            output.setdefault("images", []).append(entry)
    end: tuple[str, Mapping[str, Any]] = ("execution_success", {})
    if error is not None:
        end = ("execution_error", error)
    elif interrupted:
        end = ("execution_interrupted", {})
    times = [{"timestamp": 1}, {"timestamp": 1 + round(seconds * 1000)}] if seconds > 0 else [{}, {}]
    messages = [["execution_start", times[0]], [end[0], {**end[1], **times[1]}]]
    status = "success" if error is None and not interrupted else "error"
    return {
        "outputs": outputs,
        "status": {"status_str": status, "completed": status == "success", "messages": messages},
    }


def parse_results(answer: Any) -> list[dict[str, Any]]:
    """Parse a task's results, from either kind of answer: `node` ("" if it is not given), `url`, `text`."""
    found = []
    for each in to_list(answer):
        result = to_mapping(each)
        url, text = result.get("url") or result.get("fileUrl"), result.get("text")
        node = result.get("nodeId")
        about: dict[str, Any] = {"node": str(node) if isinstance(node, (str, int)) else ""}
        if isinstance(url, str) and url.startswith(("http://", "https://")) and len(url) < 8000:
            suffix = result.get("outputType") or result.get("fileType")
            found.append({**about, "url": url, "name": build_file_name(url, suffix)})
        elif isinstance(text, str):
            found.append({**about, "text": text})
    return found


def build_file_name(url: str, suffix: Any) -> str:
    """Build a file's name from its URL, and the type that the site gives."""
    try:
        name = PurePosixPath(unquote(urlsplit(url).path)).name
    except ValueError:
        name = ""
    known = suffix.lower().lstrip(".") if isinstance(suffix, str) and re.fullmatch(r"\.?\w{1,10}", suffix) else ""
    if known and "." not in name:
        name = f"{name or 'file'}.{known}"
    return name or "file"


def parse_cost(answer: Any) -> dict[str, float]:
    """Parse what a task cost: `coins`, `money`, and the `seconds` that were paid; only what is given."""
    names = {
        "coins": "consumeCoins",
        "money": "consumeMoney",
        "third_party_money": "thirdPartyConsumeMoney",
        "seconds": "taskCostTime",
    }
    found = {}
    for name, key in names.items():
        number = _parse_number(to_mapping(answer).get(key))
        if number > 0:
            found[name] = number
    return found


def _parse_number(value: Any) -> float:
    try:
        number = float(value) if isinstance(value, (str, int, float)) and not isinstance(value, bool) else 0.0
    except (ValueError, OverflowError):
        return 0.0
    return number if 0 <= number < 1e12 else 0.0
