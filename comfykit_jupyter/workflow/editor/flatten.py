"""Subgraphs unfolded into one flat list of nodes, and where each of their inputs comes from in the end.

A link is followed through everything that does not run: instances of subgraphs, their inputs and outputs, reroutes,
and bypassed nodes, which pass on an input of the same type.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, TypeAlias

from comfykit_jupyter.workflow.editor.file import BYPASSED, INPUT_NODE, MUTED, File, Graph, Node
from comfykit_jupyter.workflow.editor.quirks import EDITOR_CLASSES
from comfykit_jupyter.workflow.errors import WorkflowError, one_line

_MOST_NODES: Final = 100_000
_MOST_INPUTS: Final = 2_000_000


@dataclass(eq=False, slots=True)
class Step:
    """A node at its place: `id` is its own, behind those of the instances around it (`outer:inner`)."""

    id: str
    node: Node
    scope: Scope
    inner: Scope | None = None


@dataclass(eq=False, slots=True)
class Scope:
    """A graph at its place: the workflow, or the inside of `host`."""

    graph: Graph
    host: Step | None = None
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Value:
    """An input that comes from a widget of an instance of a subgraph."""

    value: Any


Source: TypeAlias = tuple[str, int] | Value | None
"""The id of a node and the index of its output; or a value; or nothing."""


class _Place(NamedTuple):
    """An input of a node, or (`outwards`) an output, and the type that is wanted there: "" for the input's own."""

    step: Step
    outwards: bool
    at: int
    wanted: str


def unfold(file: File, called: str, *, recent: bool) -> list[Step]:
    """All nodes of a file, also those that don't run, in the order in which the editor lists them.

    Raises WorkflowError when there are more than 100,000: subgraphs in subgraphs multiply.
    """
    root = Scope(file.root)
    found: list[Step] = []
    inputs = 0
    waiting = deque(Step(node.id, node, root) for node in sort_nodes(file.root))
    for step in waiting:
        root.steps[step.node.id] = step
    while waiting:
        step = waiting.popleft()
        found.append(step)
        inputs += len(step.node.slots) + len(step.node.widgets)
        if len(found) + len(waiting) > _MOST_NODES or inputs > _MOST_INPUTS:
            raise WorkflowError(
                f"{called}: its subgraphs unfold to more than {_MOST_NODES:,} nodes, or these to very many inputs"
            )
        node = step.node
        idle = recent and step.scope is root and node.mode in (MUTED, BYPASSED)
        if node.type in file.subgraphs and not idle:
            step.inner = Scope(file.subgraphs[node.type], step)
            inner = [Step(f"{step.id}:{each.id}", each, step.inner) for each in step.inner.graph.nodes.values()]
            step.inner.steps = {each.node.id: each for each in inner}
            waiting.extendleft(reversed(inner))
    return found


def sort_nodes(graph: Graph) -> list[Node]:
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


class Sources:
    """Where inputs come from. What was followed once is known: long chains with many ends take no longer."""

    def __init__(self, called: str, *, recent: bool) -> None:
        self._called = called
        self._recent = recent
        self._known: dict[_Place, Source] = {}

    def find(self, step: Step, index: int) -> Source:
        """Where the input at `index` of a node comes from. Raises WorkflowError for a circle of what doesn't run."""
        place: _Place | Source = _Place(step, outwards=False, at=index, wanted="")
        passed: dict[_Place, None] = {}
        while isinstance(place, _Place):
            if place in passed:
                raise WorkflowError(
                    f"{self._called}: node {one_line(place.step.id)} is linked in a circle: undo one of those links"
                )
            passed[place] = None
            place = self._known[place] if place in self._known else self._next(place)
        for each in passed:
            self._known[each] = place
        return place

    def _next(self, place: _Place) -> _Place | Source:
        """One step back along a link: from an input, or from an output to what is behind it."""
        step, outwards, index, wanted = place
        node = step.node
        if not outwards:
            return self._behind_input(step, index, wanted)
        if node.mode == MUTED and self._recent:
            return None
        if node.mode == BYPASSED:
            return _Place(step, outwards=False, at=_passed(node, index, wanted), wanted="")
        if step.inner is not None:
            return self._behind_output(step.inner, index, wanted)
        if node.type in EDITOR_CLASSES and node.definition is None:
            return _Place(step, outwards=False, at=index, wanted=wanted)
        return step.id, index

    def _behind_input(self, step: Step, index: int, wanted: str) -> _Place | Source:
        slots = step.node.slots
        slot = slots[index] if 0 <= index < len(slots) else None
        link = step.scope.graph.links.get(slot.link) if slot is not None and slot.link is not None else None
        if slot is None or link is None:
            return None
        host = step.scope.host
        if link.origin != INPUT_NODE or host is None:
            origin = step.scope.steps.get(link.origin)
            return None if origin is None else _Place(origin, True, link.origin_slot, wanted or slot.type)
        outer = host.node.slots[link.origin_slot] if 0 <= link.origin_slot < len(host.node.slots) else None
        if outer is None or outer.link is not None:
            return _Place(host, outwards=False, at=link.origin_slot, wanted="")
        return Value(outer.promoted.value) if outer.promoted is not None else None

    def _behind_output(self, scope: Scope, index: int, wanted: str) -> _Place | Source:
        links, outputs = scope.graph.links, scope.graph.outputs
        ids = outputs[index].links if 0 <= index < len(outputs) else []
        link = next((links[id_] for id_ in ids if id_ in links), None)
        if link is None:
            return None
        if link.origin == INPUT_NODE and scope.host is not None:
            return _Place(scope.host, outwards=False, at=link.origin_slot, wanted=wanted)
        origin = scope.steps.get(link.origin)
        return None if origin is None else _Place(origin, True, link.origin_slot, wanted)


def _passed(node: Node, index: int, wanted: str) -> int:
    """The index of the input that a bypassed node passes on at an output; -1 when none fits."""
    types = [slot.type for slot in node.slots]
    if wanted in ("", "*"):
        return index if index < len(types) else 0
    if not 0 <= index < len(node.outputs):
        return -1
    own = node.outputs[index].type
    fitting = [at for at, each in enumerate(types) if is_linkable(each, own) and is_linkable(each, wanted)]
    if index in fitting:
        return index
    if wanted in types:
        return types.index(wanted)
    return fitting[0] if fitting else -1


def is_linkable(one: str, other: str) -> bool:
    """Whether slots of these types can be linked: "*" and "" are any type, "A,B" either of them."""
    if one in ("", "*") or other in ("", "*") or one == other:
        return True
    left, right = set(one.lower().split(",")), set(other.lower().split(","))
    return bool(left & right) or not {"", "*"}.isdisjoint(left | right)
