"""Subgraphs unfolded into one flat list of nodes, and where each of their inputs comes from in the end.

A link is followed through everything that does not run: instances of subgraphs, their inputs and outputs, reroutes,
and bypassed nodes, which pass on an input of the same type.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

from comfykit_jupyter.workflow.editor import BYPASSED, INPUT_NODE, MUTED, VIRTUAL, File, Graph, Node
from comfykit_jupyter.workflow.errors import WorkflowError, plain

_MOST_NODES: Final = 200_000


@dataclass(eq=False)
class Step:
    """A node at its place: `id` is its own, behind those of the instances around it (`outer:inner`)."""

    id: str
    node: Node
    scope: Scope
    inner: Scope | None = None


@dataclass(eq=False)
class Scope:
    """A graph at its place: the workflow, or the inside of `host`."""

    graph: Graph
    host: Step | None = None
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass(frozen=True)
class Value:
    """An input that comes from a widget of an instance of a subgraph."""

    value: Any


Source: TypeAlias = tuple[str, int] | Value | None
"""The id of a node and the index of its output; or a value; or nothing."""


def unfold(file: File, called: str, *, recent: bool) -> list[Step]:
    """All nodes of a file, also those that don't run, in the order in which the editor lists them.

    Raises WorkflowError when there are more than 200,000: subgraphs in subgraphs multiply.
    """
    root = Scope(file.root)
    found: list[Step] = []
    waiting = deque(Step(node.id, node, root) for node in execution_order(file.root))
    for step in waiting:
        root.steps[step.node.id] = step
    while waiting:
        step = waiting.popleft()
        found.append(step)
        if len(found) + len(waiting) > _MOST_NODES:
            raise WorkflowError(f"{called}: its subgraphs unfold to more than {_MOST_NODES:,} nodes")
        node = step.node
        idle = recent and step.scope is root and node.mode in (MUTED, BYPASSED)
        if node.type in file.subgraphs and not idle:
            step.inner = Scope(file.subgraphs[node.type], step)
            inner = [Step(f"{step.id}:{each.id}", each, step.inner) for each in step.inner.graph.nodes.values()]
            step.inner.steps = {each.node.id: each for each in inner}
            waiting.extendleft(reversed(inner))
    return found


def execution_order(graph: Graph) -> list[Node]:
    """The nodes of a graph, each behind those it is linked to; what is in a circle comes last."""
    waiting = {id_: sum(slot.link is not None for slot in node.slots) for id_, node in graph.nodes.items()}
    ready = deque(node for id_, node in graph.nodes.items() if not waiting[id_])
    ordered: dict[str, Node] = {}
    followed: set[str] = set()
    while ready:
        node = ready.popleft()
        ordered[node.id] = node
        for id_ in (id_ for output in node.outputs for id_ in output.links):
            link = graph.links.get(id_)
            if link is None or id_ in followed or link.target not in waiting:
                continue
            followed.add(id_)
            waiting[link.target] -= 1
            if not waiting[link.target] and link.target not in ordered:
                ready.append(graph.nodes[link.target])
    return [*ordered.values(), *(node for id_, node in graph.nodes.items() if id_ not in ordered)]


def source(step: Step, index: int, called: str, *, recent: bool) -> Source:
    """Where the input at `index` of a node comes from. Raises WorkflowError for a circle of things that don't run."""
    seen: set[tuple[int, bool, int]] = set()
    outwards, wanted = False, ""  # `outwards`: at an output of the step; `wanted`: the type of the input asked for
    while True:
        here = (id(step), outwards, index)
        if here in seen:
            raise WorkflowError(f"{called}: node {plain(step.id)} is linked in a circle: undo one of those links")
        seen.add(here)
        node, graph = step.node, step.scope.graph
        if not outwards:
            slot = node.slots[index] if 0 <= index < len(node.slots) else None
            link = graph.links.get(slot.link) if slot is not None and slot.link is not None else None
            if slot is None or link is None:
                return None
            host = step.scope.host
            index = link.origin_slot
            if link.origin == INPUT_NODE and host is not None:
                outer = host.node.slots[index] if 0 <= index < len(host.node.slots) else None
                if outer is None or (outer.link is None and outer.promoted is None):
                    return None
                if outer.link is None and outer.promoted is not None:
                    return Value(outer.promoted.value)
                step, wanted = host, ""
                continue
            origin = step.scope.steps.get(link.origin)
            if origin is None:
                return None
            step, outwards, wanted = origin, True, wanted or slot.type
        elif node.mode == MUTED and recent:
            return None
        elif node.mode == BYPASSED:
            outwards, index, wanted = False, _passed(node, index, wanted), ""
        elif step.inner is not None:
            port = step.inner.graph.outputs[index] if 0 <= index < len(step.inner.graph.outputs) else None
            link = _first(step.inner.graph, port.links) if port is not None else None
            if link is None:
                return None
            index = link.origin_slot
            if link.origin == INPUT_NODE:
                outwards = False
                continue
            origin = step.inner.steps.get(link.origin)
            if origin is None:
                return None
            step = origin
        elif node.type in VIRTUAL and node.definition is None:
            outwards = False
        else:
            return step.id, index


def _first(graph: Graph, ids: Iterable[str]) -> Any:
    return next((graph.links[id_] for id_ in ids if id_ in graph.links), None)


def _passed(node: Node, index: int, wanted: str) -> int:
    """The index of the input that a bypassed node passes on at an output; -1 when none fits."""
    types = [slot.type for slot in node.slots]
    if wanted in ("", "*"):
        return index if index < len(types) else 0
    if not 0 <= index < len(node.outputs):
        return -1
    own = node.outputs[index].type
    fitting = [at for at, each in enumerate(types) if fits(each, own) and fits(each, wanted)]
    if index in fitting:
        return index
    if wanted in types:
        return types.index(wanted)
    return fitting[0] if fitting else -1


def fits(one: str, other: str) -> bool:
    """Whether slots of these types can be linked: "*" and "" are any type, "A,B" either of them."""
    if one in ("", "*") or other in ("", "*") or one == other:
        return True
    left, right = set(one.lower().split(",")), set(other.lower().split(","))
    return bool(left & right) or not {"", "*"}.isdisjoint(left | right)
