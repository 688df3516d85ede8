"""What went into a run, read from the prompt that a server has on record: the values by the titles, the seeds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfykit_jupyter.workflow.binding import Binding
from comfykit_jupyter.workflow.inputs import NodeInput
from comfykit_jupyter.workflow.nodes import MISSING, SEED_NAMES
from comfykit_jupyter.workflow.workflow import Workflow


def read_binding(workflow: Workflow) -> Binding:
    """The values that a prompt was sent with. Nothing is drawn, nothing is changed.

    >>> node = {"class_type": "KSampler", "inputs": {"seed": 7, "steps": 20}, "_meta": {"title": "$steps"}}
    >>> binding = read_binding(Workflow.parse({"1": node}))
    >>> binding.params, binding.seeds
    ({'steps': 20}, {'KSampler.seed': 7})
    """
    params: dict[str, Any] = {}
    seeds: dict[str, int] = {}
    named: set[tuple[str, str]] = set()
    for parameter in workflow.parameters.values():
        for slot in (NodeInput.find(workflow.prompt, target, None) for target in parameter.targets):
            if slot.default is MISSING:
                continue
            params.setdefault(parameter.name, slot.default)
            if type(slot.default) is int and slot.is_seed(parameter.name):
                named.add((slot.node_id, slot.field))
                seeds.setdefault(parameter.name, slot.default)
    for node_id, node in workflow.prompt.items():
        for field in SEED_NAMES & node["inputs"].keys():
            value = node["inputs"][field]
            if type(value) is int and (node_id, field) not in named:
                seeds[workflow.build_address(node_id, field)] = value
    return Binding(dict(workflow.prompt), params, seeds, (), {})


def find_queued_ids(items: Any) -> set[str]:
    """The prompt ids in one half of `/queue`."""
    return {str(item[1]) for item in find_queued_items(items)}


def find_queued_items(items: Any) -> list[list[Any]]:
    """The items of one half of `/queue`: `[number, prompt_id, prompt, extra_data, outputs]`."""
    return [item for item in items if isinstance(item, list) and len(item) > 1] if isinstance(items, list) else []


def is_queued(queue: Mapping[str, Any], prompt_id: str) -> bool:
    """Whether a job waits or runs."""
    return any(prompt_id in find_queued_ids(queue.get(part)) for part in ("queue_running", "queue_pending"))
