"""`Job`: one job in the queue or the history of a server, no matter who submitted it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.senders import Sender
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import short_repr
from comfykit_jupyter.workflow.progress.progress import RunState, apply_history
from comfykit_jupyter.workflow.progress.records import read_binding, read_times

LIMIT = 1000
"""Maximum number of jobs that one call returns."""


@dataclass(frozen=True)
class Job:
    """One job of a server. Its texts are as the server has them: escape them before you put them into HTML.

    Attributes:
        prompt_id: What `kit.attach` accepts.
        status: `running`, `queued` (with its `place` in the queue, from 1), `completed`, `failed` or `cancelled`.
        values: The values of its parameters and its seeds, by name. Empty if its prompt can't be read.
        owner: Who sent it. `kernel`: this kernel, or this user and it is attached here. `user`: another kernel or
            script of this user on this machine. `other`: anybody else, or a program such as ComfyUI's page.
        nodes: The number of nodes in its prompt.
        files: The number of files that it has made.
        began: When it started, in seconds since 1970, by the server's clock.
        seconds: Seconds that it took.
        message: Why it failed.
        server: The address of its server, where a kit has several.

    Example:
        >>> result = kit.run("text.json", subject="a cat")
        >>> job = kit.history(1)[0]
        >>> job.prompt_id == result.prompt_id, job.status, job.values["subject"]
        (True, 'completed', 'a cat')
    """

    prompt_id: str
    status: str
    place: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    owner: str = "other"
    nodes: int = 0
    files: int = 0
    began: float | None = None
    seconds: float | None = None
    message: str = ""
    server: str = ""


def check_limit(limit: Any) -> int:
    """Return the number of jobs to ask for.

    Raises:
        ComfyKitError: It is not an integer between 1 and `LIMIT`.
    """
    if not isinstance(limit, int) or isinstance(limit, bool) or not 1 <= limit <= LIMIT:
        raise ComfyKitError(f"history: limit must be an integer between 1 and {LIMIT}, not {short_repr(limit)}")
    return limit


def build_queued_job(item: Any, status: str, place: int | None = None, **known: Any) -> Job:
    """Build a job from an item of the queue: `[number, prompt_id, prompt, extra_data, outputs]`."""
    item = item if isinstance(item, list) else []
    prompt = item[2] if len(item) > 2 else None
    extra = item[3] if len(item) > 3 else None
    sender = Sender.parse(extra)
    known = {
        "prompt_id": str(item[1]) if len(item) > 1 else "",
        "owner": "other" if sender is None else sender.owner,
        **known,
    }
    try:
        workflow = Workflow.parse({"prompt": prompt, "extra_data": extra})
        binding = read_binding(workflow)
    except ComfyKitError:
        return Job(status=status, place=place, **known)
    values = {**binding.params, **binding.seeds}
    return Job(status=status, place=place, values=values, nodes=len(workflow.prompt), **known)


def build_ended_job(prompt_id: str, entry: Mapping[str, Any]) -> Job:
    """Build a job that has ended from its record."""
    item = entry.get("prompt")
    prompt = item[2] if isinstance(item, list) and len(item) > 2 and isinstance(item[2], dict) else {}
    classes = {id_: node for id_, node in prompt.items() if isinstance(node, dict) and "class_type" in node}
    state = apply_history(RunState.create(prompt_id, classes, {}, 0.0), entry, 0.0)
    error = state.error
    return build_queued_job(
        item,
        "cancelled" if error is not None and error.stopped else state.status,
        prompt_id=prompt_id,
        files=sum(_count_files(output) for output in state.outputs.values()),
        began=read_times(entry).started,
        seconds=None if state.started is None or state.ended is None else state.ended - state.started,
        message="" if error is None else error.message,
    )


def _count_files(output: Mapping[str, Any]) -> int:
    lists = (value for value in output.values() if isinstance(value, list))
    return sum(isinstance(each, dict) and "filename" in each for value in lists for each in value)
