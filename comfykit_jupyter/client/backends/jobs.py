"""`Job`: what a server tells of the jobs in its queue and its history, of whomever they are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.workflow.progress.progress import RunState, apply_history
from comfykit_jupyter.workflow.progress.records import read_binding
from comfykit_jupyter.workflow.workflow import Workflow

MOST = 1000
"""Jobs of a history that are asked for at most."""


@dataclass(frozen=True)
class Job:
    """One job of a server. Its texts are as the server has them: escape them before they are shown.

    Attributes:
        prompt_id: what `kit.attach` takes.
        status: `running`, `queued` (with its `place` in the queue, from 1), `completed`, `failed` or `cancelled`.
        values: by parameter, as far as the titles of its prompt name some, and its seeds.
        nodes: nodes of its prompt. files: files that it has made.
        began: when it began, in seconds since 1970, by the server's clock. seconds: how long it took.
        message: why it failed.
    """

    prompt_id: str
    status: str
    place: int | None = None
    values: Mapping[str, Any] = field(default_factory=dict)
    nodes: int = 0
    files: int = 0
    began: float | None = None
    seconds: float | None = None
    message: str = ""


def how_many(most: Any) -> int:
    """A number of jobs that are to be told.

    Raises:
        ComfyKitError: it is none.
    """
    if not isinstance(most, int) or isinstance(most, bool) or not 1 <= most <= MOST:
        raise ComfyKitError(f"history: {str(most)[:60]!r} is no number of runs from 1 to {MOST}")
    return most


def from_item(item: Any, status: str, place: int | None = None, **known: Any) -> Job:
    """A job from the server's item: `[number, prompt_id, prompt, extra_data, outputs]`."""
    item = item if isinstance(item, list) else []
    prompt = item[2] if len(item) > 2 else None
    extra = item[3] if len(item) > 3 else None
    known = {"prompt_id": str(item[1]) if len(item) > 1 else "", **known}
    try:
        workflow = Workflow.parse({"prompt": prompt, "extra_data": extra})
        went_in = read_binding(workflow)
    except ComfyKitError:
        return Job(status=status, place=place, **known)
    values = {**went_in.params, **went_in.seeds}
    return Job(status=status, place=place, values=values, nodes=len(workflow.prompt), **known)


def from_record(prompt_id: str, entry: Mapping[str, Any]) -> Job:
    """A job that has ended, from its entry in a history."""
    item = entry.get("prompt")
    prompt = item[2] if isinstance(item, list) and len(item) > 2 and isinstance(item[2], dict) else {}
    classes = {id_: node for id_, node in prompt.items() if isinstance(node, dict) and "class_type" in node}
    state = apply_history(RunState.create(prompt_id, classes, {}, 0.0), entry, 0.0)
    error = state.error
    return from_item(
        item,
        "cancelled" if error is not None and error.stopped else state.status,
        prompt_id=prompt_id,
        files=sum(_files(output) for output in state.outputs.values()),
        began=_began(entry),
        seconds=None if state.started is None or state.ended is None else state.ended - state.started,
        message="" if error is None else error.message,
    )


def _files(output: Mapping[str, Any]) -> int:
    lists = (value for value in output.values() if isinstance(value, list))
    return sum(isinstance(each, dict) and "filename" in each for value in lists for each in value)


def _began(entry: Mapping[str, Any]) -> float | None:
    """The first time stamp of the record, which has milliseconds."""
    status = entry.get("status")
    messages = status.get("messages") if isinstance(status, dict) else None
    for message in messages if isinstance(messages, list) else ():
        stamp = message[1].get("timestamp") if isinstance(message, list) and len(message) == 2 else None
        if isinstance(stamp, int) and 0 < stamp < 10**14:
            return stamp / 1000
    return None
