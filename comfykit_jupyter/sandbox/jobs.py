"""The jobs API (`/api/jobs`): queued, running and finished jobs in one list."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.sandbox.folders import guess_media_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from comfykit_jupyter.sandbox.prompt_queue import Job, PromptQueue

STATUSES = ("pending", "in_progress", "completed", "failed", "cancelled")


def list_jobs(queue: PromptQueue, query: Mapping[str, str]) -> dict[str, Any]:
    """Return one page of jobs, by default newest first.

    Args:
        queue: The queue and history to read.
        query: `status` (comma-separated), `workflow_id`, `sort_by`, `sort_order`, `limit` and `offset`.

    Raises:
        ValueError: A query parameter has an invalid value.
    """
    wanted = [status for status in query.get("status", "").split(",") if status]
    for status in wanted:
        if status not in STATUSES:
            raise ValueError(f"status must be one of {', '.join(STATUSES)}, not {status[:80]!r}")
    sort_by, sort_order = query.get("sort_by", "created_at"), query.get("sort_order", "desc")
    if sort_by not in {"created_at", "execution_duration"}:
        raise ValueError("sort_by must be created_at or execution_duration")
    if sort_order not in {"asc", "desc"}:
        raise ValueError("sort_order must be asc or desc")
    offset = _parse_count(query, "offset", 0) or 0
    limit = _parse_count(query, "limit", 1)
    waiting, running, history = queue.take_snapshot()
    jobs = [
        *(_format_unfinished(job, "pending") for job in waiting),
        *(_format_unfinished(job, "in_progress") for job in running),
        *map(_format_finished, history.values()),
    ]
    workflow_id = query.get("workflow_id")
    jobs = [
        job for job in jobs if (not wanted or job["status"] in wanted) and workflow_id in {None, job.get("workflow_id")}
    ]
    jobs.sort(key=_get_creation_time if sort_by == "created_at" else _get_duration, reverse=sort_order == "desc")
    end = None if limit is None else offset + limit
    more = end is not None and end < len(jobs)
    page = {"offset": offset, "limit": limit, "total": len(jobs), "has_more": more}
    return {"jobs": jobs[offset:end], "pagination": page}


def find_job(queue: PromptQueue, prompt_id: str) -> dict[str, Any] | None:
    """Return a job with its prompt and outputs, or None if it is unknown."""
    waiting, running, history = queue.take_snapshot()
    for status, jobs in (("in_progress", running), ("pending", waiting)):
        for job in jobs:
            if job.prompt_id == prompt_id:
                return {**_format_unfinished(job, status), "workflow": _format_workflow(job.prompt, job.extra_data)}
    entry = history.get(prompt_id)
    if entry is None:
        return None
    _, _, prompt, extra_data, _ = entry["prompt"]
    return {
        **_format_finished(entry),
        "outputs": entry["outputs"],
        "execution_status": entry["status"],
        "workflow": _format_workflow(prompt, extra_data),
    }


def cancel_jobs(queue: PromptQueue, prompt_ids: Iterable[str]) -> bool:
    """Remove queued jobs and interrupt running ones; return whether there were any."""
    ids = set(prompt_ids)
    dropped = queue.delete(ids)
    return any([dropped, *(queue.interrupt(prompt_id) for prompt_id in ids)])


def is_known_job(queue: PromptQueue, prompt_id: str) -> bool:
    """Return whether a job is queued, running or in the history."""
    waiting, running, history = queue.take_snapshot()
    return prompt_id in history or any(job.prompt_id == prompt_id for job in (*waiting, *running))


def _parse_count(query: Mapping[str, str], name: str, least: int) -> int | None:
    if name not in query:
        return None
    text = query[name]
    if not text.isdecimal() or len(text) > 9 or int(text) < least:
        raise ValueError(f"{name} must be an integer of at least {least}, not {text[:80]!r}")
    return int(text)


def _get_creation_time(job: Mapping[str, Any]) -> int:
    created: int = job["create_time"]
    return created


def _get_duration(job: Mapping[str, Any]) -> int:
    duration: int = job.get("execution_end_time", 0) - job.get("execution_start_time", 0)
    return duration


def _format_workflow(prompt: Mapping[str, Any], extra_data: Mapping[str, Any]) -> dict[str, Any]:
    return {"prompt": prompt, "extra_data": extra_data}


def _format_common(number: float, prompt_id: str, extra_data: Mapping[str, Any], status: str) -> dict[str, Any]:
    job = {"id": prompt_id, "status": status, "priority": number, "create_time": extra_data["create_time"]}
    extra = extra_data.get("extra_pnginfo")
    workflow = extra.get("workflow") if isinstance(extra, dict) else None
    if isinstance(workflow, dict) and isinstance(workflow.get("id"), str):
        job["workflow_id"] = workflow["id"]
    return job


def _format_unfinished(job: Job, status: str) -> dict[str, Any]:
    return {**_format_common(job.number, job.prompt_id, job.extra_data, status), "outputs_count": 0}


def _format_finished(entry: Mapping[str, Any]) -> dict[str, Any]:
    number, prompt_id, _, extra_data, _ = entry["prompt"]
    messages: dict[str, Mapping[str, Any]] = dict(entry["status"]["messages"])
    status = "completed"
    if not entry["status"]["completed"]:
        status = "cancelled" if "execution_interrupted" in messages else "failed"
    job = _format_common(number, prompt_id, extra_data, status)
    ends = [
        messages[event]
        for event in messages
        if event in {"execution_success", "execution_error", "execution_interrupted"}
    ]
    job["execution_start_time"] = messages["execution_start"]["timestamp"]
    if ends:
        job["execution_end_time"] = ends[-1]["timestamp"]
    if "execution_error" in messages:
        job["execution_error"] = messages["execution_error"]
    files = list(_find_files(entry["outputs"]))
    previewable = [
        file
        for file in files
        if guess_media_type(file["filename"]).split("/")[0] in {"image", "video", "audio", "model"}
    ]
    job["outputs_count"] = len(files)
    job["previewable_outputs_count"] = len(previewable)
    saved_first = sorted(previewable, key=lambda file: file["type"] != "output")
    if saved_first:
        job["preview_output"] = saved_first[0]
    return job


def _find_files(outputs: Mapping[str, Mapping[str, Any]]) -> Iterable[dict[str, Any]]:
    for node_id, output in outputs.items():
        for kind, values in output.items():
            for value in values if isinstance(values, (list, tuple)) else ():
                if isinstance(value, dict) and "filename" in value:
                    yield {**value, "nodeId": node_id, "mediaType": kind}
