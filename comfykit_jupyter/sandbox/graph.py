"""The graph of a prompt: its links, its cycles and the order in which its nodes run."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any

from comfykit_jupyter.sandbox.interface.node import NODES

Prompt = dict[str, dict[str, Any]]
"""Nodes by ID: `{"class_type": …, "inputs": {name: value or link}}`."""

Declared = Mapping[str, Collection[str]]
"""The input names of each node in a prompt. Other keys of a node's `inputs` are ignored."""


def is_link(value: object) -> bool:
    """Return whether an input's value is a link: `[node ID, slot]`."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and isinstance(value[0], str)
        and isinstance(value[1], int)
        and not isinstance(value[1], bool)
    )


def unwrap_value(value: Any) -> Any:
    """Return an input's value; `{"__value__": […]}` wraps a list so that it is not mistaken for a link."""
    return value["__value__"] if isinstance(value, dict) and set(value) == {"__value__"} else value


def find_upstream(prompt: Prompt, node_id: str, declared: Declared) -> Iterator[str]:
    """Yield the IDs of the nodes that a node's inputs are linked to, in the prompt's order."""
    for name, value in prompt[node_id]["inputs"].items():
        if name in declared[node_id] and is_link(value) and value[0] in prompt:
            yield value[0]


def walk_postorder(
    prompt: Prompt, outputs: Iterable[str], declared: Declared
) -> tuple[list[str], dict[str, list[str]]]:
    """Return the outputs and all they depend on, each node after its inputs, and the cycles by one of their nodes."""
    found: dict[str, None] = {}
    cycles: dict[str, list[str]] = {}
    for output in outputs:
        path: dict[str, Iterator[str]] = {}
        stack = [] if output in found else [output]
        while stack:
            node_id = stack[-1]
            if node_id not in path:
                path[node_id] = find_upstream(prompt, node_id, declared)
            source = next((source for source in path[node_id] if source not in found), None)
            if source is None:
                del path[stack.pop()]
                found[node_id] = None
            elif source in path:
                ids = list(path)
                cycles[node_id] = [*ids[ids.index(source) :], source]
            else:
                stack.append(source)
    return list(found), cycles


def order_nodes(prompt: Prompt, outputs: Iterable[str], cached: Collection[str], declared: Declared) -> list[str]:
    """Return the nodes to run for these outputs, in execution order.

    A node runs after those it depends on. Among the nodes that are ready, outputs come first, then nodes that feed an
    output directly, then nodes one step further away, so that users see something early. A cached node hides all nodes
    it depends on, and is included only if it is an output.

    Args:
        prompt: A valid prompt.
        outputs: IDs of output nodes.
        cached: IDs of nodes whose results are cached.
        declared: The nodes' input names.
    """
    found: dict[str, None] = {}
    waits_for: dict[str, set[str]] = {}
    feeds: dict[str, set[str]] = {}
    stack = list(reversed(list(outputs)))
    while stack:
        node_id = stack.pop()
        if node_id in found:
            continue
        found[node_id] = None
        sources: list[str] = []
        if node_id not in cached:
            sources = [source for source in find_upstream(prompt, node_id, declared) if source not in cached]
        waits_for[node_id] = set(sources)
        for source in sources:
            feeds.setdefault(source, set()).add(node_id)
        stack.extend(sources)

    distance = dict.fromkeys(found, 3)
    nearest = {node_id for node_id in found if NODES[prompt[node_id]["class_type"]].output_node}
    for steps in range(3):
        distance.update((node_id, steps) for node_id in nearest if distance[node_id] > steps)
        nearest = {source for node_id in nearest for source in waits_for[node_id]}
    keys = {node_id: (distance[node_id], place, node_id) for place, node_id in enumerate(found)}
    ready = [keys[node_id] for node_id in found if not waits_for[node_id]]
    heapq.heapify(ready)
    result: list[str] = []
    while ready:
        _, _, node_id = heapq.heappop(ready)
        result.append(node_id)
        for fed in feeds.get(node_id, ()):
            waits_for[fed].discard(node_id)
            if not waits_for[fed]:
                heapq.heappush(ready, keys[fed])
    return result
