"""Translate jobs of Comfy API v2 into what ComfyUI sends: its queue, history, events and errors.

Whatever a server sends may be nonsense: what makes no sense is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import Any, TypeGuard

from comfykit_jupyter.workflow.nodes import find_sources

ENDED = frozenset({"succeeded", "failed", "canceled"})
"""States with an outcome. A job that is `expired` has ended too, and its outputs are deleted."""

_MAX_AHEAD = 10_000
"""How many jobs ahead in the queue are counted."""
_ID_LENGTH = 2000
"""Characters of an ID: comfy-api-proxy's contain the name of a file."""
_KEYS = {"image": "images", "video": "gifs", "audio": "audio", "text": "text_files", "latent": "latents"}
_REASONS = {
    "missing_input": ("required_input_missing", "Required input is missing"),
    "invalid_value": ("value_not_in_list", "The value does not fit"),
}
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(\.\d+)?(Z|[+-]\d\d:\d\d)?")


def build_queue(job: Mapping[str, Any], id_: str, prompt: Mapping[str, Any] | None) -> dict[str, Any]:
    """Build what `/queue` would answer for a queued or running job; `id_` is its ID here."""
    item = [_MAX_AHEAD, id_, *([prompt] if prompt is not None else [])]
    if job.get("status") != "queued":
        return {"queue_running": [item], "queue_pending": []}
    position = job.get("queue_position")
    if isinstance(position, bool) or not isinstance(position, int):
        return {"queue_running": [], "queue_pending": [[None, *item[1:]]]}  # its position is not known
    return {"queue_running": [], "queue_pending": [*[[0, ""]] * max(0, min(position, _MAX_AHEAD)), item]}


def build_record(job: Mapping[str, Any], prompt: Mapping[str, Any] | None, texts: Mapping[str, str]) -> dict[str, Any]:
    """Build what `/history` would answer for a job that has ended.

    Args:
        job: The job, in one of the states in `ENDED`.
        prompt: The prompt that it ran, if it is known.
        texts: The texts among its outputs that were read, by output ID.
    """
    started, ended = (parse_time(job.get(key)) for key in ("started_at", "completed_at"))
    times = [{"timestamp": round(at * 1000)} for at in (started, ended) if started is not None and at is not None]
    messages: list[Any] = [["execution_start", time] for time in times[:1]]
    last = times[-1] if times else {}
    status = job.get("status")
    if status == "succeeded":
        messages.append(["execution_success", last])
    elif status == "canceled":
        messages.append(["execution_interrupted", last])
    else:
        messages.append(["execution_error", {**_build_error(job.get("error")), **last}])
    outcome = "success" if status == "succeeded" else "error"
    return {
        "prompt": [0, str(job.get("id")), *([prompt] if prompt is not None else [])],
        "outputs": build_outputs(job.get("outputs"), texts, job.get("id")),
        "status": {"status_str": outcome, "completed": status == "succeeded", "messages": messages},
    }


def build_outputs(listed: Any, texts: Mapping[str, str], job_id: Any) -> dict[str, dict[str, list[Any]]]:
    """Build outputs by node ID, as in ComfyUI's history; `texts` are the texts among them, by output ID.

    URLs are left out: they are signed, and expire.
    """
    found: dict[str, dict[str, list[Any]]] = {}
    for output in filter_objects(listed):
        node, id_, name = (output.get(key) for key in ("node_id", "id", "name"))
        if not isinstance(node, str) or not is_id(id_):
            continue
        of_node = found.setdefault(node, {})
        if id_ in texts:
            of_node.setdefault("text", []).append(texts[id_])
            continue
        entry = {"filename": name if isinstance(name, str) and name else "file", "type": "output", "id": id_}
        if isinstance(job_id, str):
            entry["job"] = job_id
        entry |= {key: output[key] for key in ("content_type", "size_bytes", "hash") if output.get(key)}
        of_node.setdefault(_KEYS.get(str(output.get("type")), "files"), []).append(entry)
    return found


def is_id(value: Any) -> TypeGuard[str]:
    """Return whether a value is an ID that can be sent in a request."""
    return isinstance(value, str) and 0 < len(value) <= _ID_LENGTH and value.isascii() and value.isprintable()


def filter_objects(listed: Any) -> list[Mapping[str, Any]]:
    """Return the objects in a list; none if it is not a list."""
    return [item for item in listed if isinstance(item, Mapping)] if isinstance(listed, list) else []


def build_events(progress: Any, id_: str, prompt: Mapping[str, Any] | None) -> Iterable[dict[str, Any]]:
    """Yield ComfyUI's events for a snapshot of progress; `id_` is the job's ID here.

    Done nodes are not named: they are those that the running node needs. The fraction of the whole is used if a server
    counts all nodes; comfy-api-proxy counts those that have started.
    """
    if not isinstance(progress, Mapping):
        return
    yield {"type": "execution_start", "data": {"prompt_id": id_}}
    node, step, steps = (progress.get(key) for key in ("current_node", "step", "steps"))
    if isinstance(node, str) and node:
        for done in _find_needed(node, prompt or {}):
            yield {"type": "executed", "data": {"prompt_id": id_, "node": done}}
        yield {"type": "executing", "data": {"prompt_id": id_, "node": node}}
        yield {"type": "progress", "data": {"prompt_id": id_, "node": node, "value": step, "max": steps}}
    total = progress.get("nodes_total")
    if isinstance(total, int) and total >= len(prompt or {}) > 0:
        yield {"type": "progress_overall", "data": {"prompt_id": id_, "fraction": progress.get("value")}}


def build_refusal(code: str, message: str, details: Any) -> dict[str, Any]:
    """Build ComfyUI's answer to a rejected prompt: what is wrong, by node and input."""
    node_errors = details.get("node_errors") if isinstance(details, Mapping) else None
    errors: dict[str, Any] = {}
    for node, about in node_errors.items() if isinstance(node_errors, Mapping) else ():
        if isinstance(about, Mapping):
            errors[str(node)] = about  # some servers pass on what ComfyUI said
        elif problems := filter_objects(about):
            errors[str(node)] = {"errors": [_build_problem(problem) for problem in problems]}
    return {"error": {"type": code, "message": message or code, "details": ""}, "node_errors": errors}


def parse_prompt(value: Any) -> Mapping[str, Any] | None:
    """Return a prompt in API format that a server sent, or None if it is not one."""
    nodes = value.values() if isinstance(value, Mapping) else ()
    fine = all(isinstance(node, Mapping) and isinstance(node.get("inputs"), Mapping) for node in nodes)
    return value if nodes and fine else None


def is_same_prompt(ours: Mapping[str, Any], theirs: Any) -> bool:
    """Return whether a server's record is of a prompt that was sent; its files may have other names there."""
    if not isinstance(theirs, Mapping) or ours.keys() != theirs.keys():
        return False
    for id_, node in ours.items():
        other = theirs[id_]
        inputs = other.get("inputs") if isinstance(other, Mapping) else None
        if not isinstance(inputs, Mapping) or other.get("class_type") != node["class_type"]:
            return False
        if inputs.keys() != node["inputs"].keys():
            return False
        for field, value in node["inputs"].items():
            if not (inputs[field] == value or (is_asset(value) and isinstance(inputs[field], (str, Mapping)))):
                return False
    return True


def build_asset(id_: str, hash_: Any = None, name: Any = None) -> dict[str, Any]:
    """Build the value that stands for a file in a prompt."""
    hints = {key: value for key, value in (("hash", hash_), ("file_path", name)) if isinstance(value, str) and value}
    return {"__type": "core/ASSET", "info": {"id": id_, **hints}}


def is_asset(value: Any) -> bool:
    """Return whether a value in a prompt stands for a file."""
    return isinstance(value, Mapping) and value.get("__type") == "core/ASSET"


def parse_time(value: Any) -> float | None:
    """Parse a time such as `2026-01-31T12:00:00.25Z` to seconds since 1970; return None if it is not a time."""
    match = _TIME.fullmatch(value) if isinstance(value, str) and len(value) < 60 else None
    if match is None:
        return None
    seconds, fraction, zone = match.groups()
    try:
        at = datetime.fromisoformat(f"{seconds}{'+00:00' if zone in (None, 'Z') else zone}")
        return at.astimezone(timezone.utc).timestamp() + float(fraction or 0)
    except (ValueError, OverflowError, OSError):
        return None


def _find_needed(node: str, prompt: Mapping[str, Any]) -> set[str]:
    """Return the IDs of the nodes that a node needs."""
    found: set[str] = set()
    left = [node] if node in prompt else []
    while left:
        sources = {source for source in find_sources(prompt[left.pop()]) if source in prompt} - found
        found |= sources
        left += sources
    return found - {node}


def _build_error(error: Any) -> dict[str, Any]:
    """Build the data of ComfyUI's `execution_error` from a job's error."""
    if not isinstance(error, Mapping):
        return {}
    code, traceback = error.get("code"), error.get("traceback")
    return {
        "node_id": error.get("node_id"),
        "node_type": error.get("class_type"),
        "exception_message": error.get("message"),
        "exception_type": None if code == "node_execution_error" else code,
        "traceback": traceback.splitlines(keepends=True) if isinstance(traceback, str) else traceback,
    }


def _build_problem(problem: Mapping[str, Any]) -> dict[str, Any]:
    """Build one of the `node_errors` from `{"field": …, "reason": …}`."""
    field, reason = str(problem.get("field") or ""), str(problem.get("reason") or "")
    kind, message = _REASONS.get(reason, (reason, str(problem.get("message") or reason.replace("_", " "))))
    return {"type": kind, "message": message, "details": field, "extra_info": {"input_name": field or None}}
