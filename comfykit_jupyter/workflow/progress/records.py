"""Read what went into a run from the prompt in a server's record; read its queue."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, TypeGuard

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import MISSING, SEED_NAMES
from comfykit_jupyter.workflow.parameters.inputs import NodeInput
from comfykit_jupyter.workflow.values.binding import Binding

QUEUE_PARTS = ("queue_running", "queue_pending")
WORKFLOW_NAME = "comfykit_workflow"
"""The key in a job's `extra_data` that has the name of its workflow: a server keeps it, and does not use it."""


def read_binding(workflow: Workflow) -> Binding:
    """Return the values and seeds that a prompt was sent with; draw and change nothing.

    >>> node = {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20}, "_meta": {"title": "$steps"}}
    >>> binding = read_binding(Workflow.parse({"1": node}))
    >>> binding.params, binding.seeds
    ({'steps': 20}, {'KSampler.seed': 7})
    """
    params: dict[str, Any] = {}
    seeds: dict[str, int] = {}
    named: set[tuple[str, str]] = set()
    for parameter in workflow.parameters.values():
        for found in (NodeInput.find(workflow.prompt, target, None) for target in parameter.targets):
            if found.default is MISSING:
                continue
            params.setdefault(parameter.name, found.default)
            if type(found.default) is int and found.is_seed(parameter.name):
                named.add((found.node_id, found.field))
                seeds.setdefault(parameter.name, found.default)
    for node_id, node in workflow.prompt.items():
        for field in SEED_NAMES & node["inputs"].keys():
            value = node["inputs"][field]
            if type(value) is int and (node_id, field) not in named:
                seeds[workflow.build_address(node_id, field)] = value
    return Binding(dict(workflow.prompt), params, seeds, (), {})


@dataclass(frozen=True)
class Times:
    """When a job was created, began and ended by the server's clock, in seconds since 1970; None if not known."""

    created: float | None = None
    started: float | None = None
    ended: float | None = None

    @property
    def seconds(self) -> float | None:
        """The seconds of its execution."""
        return _subtract(self.ended, self.started)

    @property
    def waited(self) -> float | None:
        """The seconds that it waited in the queue."""
        return _subtract(self.started, self.created)


def read_times(entry: Mapping[str, Any]) -> Times:
    """Read the times in a record, which has them in milliseconds.

    >>> messages = [["execution_start", {"timestamp": 5000}], ["execution_success", {"timestamp": 6500}]]
    >>> times = read_times({"prompt": [0, "id", {}, {"create_time": 1000}], "status": {"messages": messages}})
    >>> times.waited, times.seconds
    (4.0, 1.5)
    """
    status = entry.get("status")
    messages = status.get("messages") if isinstance(status, Mapping) else None
    rows = messages if isinstance(messages, list) else []
    parts = [row[1] for row in rows if isinstance(row, list) and len(row) == 2 and isinstance(row[1], Mapping)]
    stamps = [stamp for part in parts if (stamp := _to_seconds(part.get("timestamp"))) is not None]
    item = entry.get("prompt")
    extra = item[3] if isinstance(item, list) and len(item) > 3 else None
    created = _to_seconds(extra.get("create_time")) if isinstance(extra, Mapping) else None
    return Times(created, min(stamps, default=None), max(stamps, default=None))


def _to_seconds(stamp: Any) -> float | None:
    return stamp / 1000 if type(stamp) is int and 0 < stamp < 10**14 else None


def _subtract(later: float | None, earlier: float | None) -> float | None:
    return None if later is None or earlier is None else round(max(0.0, later - earlier), 3)


def is_queue(answer: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether an answer is a queue: other JSON says nothing about the jobs in it."""
    return isinstance(answer, dict) and all(isinstance(answer.get(part), list) for part in QUEUE_PARTS)


def is_record(answer: Any) -> TypeGuard[dict[str, Any]]:
    """Return whether an answer is the record of a job: other JSON says nothing about its end."""
    return isinstance(answer, dict) and isinstance(answer.get("outputs"), dict)


def count_outputs(record: Mapping[str, Any]) -> int:
    """Return how many nodes and outputs a record has."""
    outputs = record["outputs"]
    lists = [each for output in outputs.values() if isinstance(output, dict) for each in output.values()]
    return len(outputs) + len(lists) + sum(len(each) for each in lists if isinstance(each, list))


def keep_ids(_part: str, item: Any, *, whole: Collection[str] = ()) -> Any:
    """Return an item of the queue with its number, its ID and its client only: prompts may be megabytes.

    Args:
        item: `[number, prompt_id, prompt, extra_data, outputs]`.
        whole: IDs of the jobs whose items are kept as they are.

    >>> keep_ids("queue_running", [0, "a", {"1": {}}, {"client_id": "me", "extra_pnginfo": {}}, ["1"]])
    [0, 'a', {}, {'client_id': 'me'}, []]
    """
    if not isinstance(item, list) or len(item) < 2 or item[1] in whole:
        return item
    extra = item[3] if len(item) > 3 else None
    client = extra.get("client_id") if isinstance(extra, dict) else None
    return [item[0], item[1], {}, {} if client is None else {"client_id": client}, []]


def read_workflow_name(extra_data: Any) -> str:
    """Return the name of a job's workflow, if it was submitted by this package; else ""."""
    name = extra_data.get(WORKFLOW_NAME) if isinstance(extra_data, Mapping) else None
    return one_line(name, 200) if isinstance(name, str) else ""


def find_queued_ids(items: Any) -> set[str]:
    """Return the prompt IDs in one half of `/queue`."""
    return {str(item[1]) for item in find_queued_items(items)}


def find_queued_items(items: Any) -> list[list[Any]]:
    """Return the items in one half of `/queue`: `[number, prompt_id, prompt, extra_data, outputs]`."""
    return [item for item in items if isinstance(item, list) and len(item) > 1] if isinstance(items, list) else []


def find_all_queued_ids(queue: Mapping[str, Any]) -> frozenset[str]:
    """Return the prompt IDs of all jobs that are queued or running."""
    return frozenset().union(*(find_queued_ids(queue.get(part)) for part in QUEUE_PARTS))


def rename_queued(queue: Mapping[str, Any], prompt_id: str, new: str) -> Mapping[str, Any]:
    """Return a queue in which one job has another prompt ID.

    >>> rename_queued({"queue_running": [[0, "a"], [1, "b"]]}, "b", "c")
    {'queue_running': [[0, 'a'], [1, 'c']], 'queue_pending': []}
    """
    if prompt_id == new:
        return queue
    return {
        part: [
            [item[0], new, *item[2:]] if item[1] == prompt_id else item for item in find_queued_items(queue.get(part))
        ]
        for part in QUEUE_PARTS
    }
