"""Unfold subgraphs into one flat list of nodes, and find where each input comes from.

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

_MAX_NODES: Final = 100_000
_MAX_INPUTS: Final = 2_000_000


@dataclass(eq=False, slots=True)
class Step:
    """A node in its scope; `id` has the IDs of the instances around it in front (`outer:inner`)."""

    id: str
    node: Node
    scope: Scope
    inner: Scope | None = None


@dataclass(eq=False, slots=True)
class Scope:
    """The nodes of one graph: the workflow, or the inside of `host`, an instance of a subgraph."""

    graph: Graph
    host: Step | None = None
    steps: dict[str, Step] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Value:
    """A source that is a widget of an instance of a subgraph."""

    value: Any


Source: TypeAlias = tuple[str, int] | Value | None
"""The ID of a node and the index of its output; or a value; or None."""


class _Place(NamedTuple):
    """An input of a node or, if `outwards`, an output; `wanted` is the type to find, "" for the input's own."""

    step: Step
    outwards: bool
    at: int
    wanted: str


def unfold(file: File, workflow_name: str, *, recent: bool) -> list[Step]:
    """Return all nodes of a file, also those that don't run, in the order of the editor.

    Raises:
        WorkflowError: There are more than 100,000: subgraphs in subgraphs multiply.
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
        if len(found) + len(waiting) > _MAX_NODES or inputs > _MAX_INPUTS:
            raise WorkflowError(
                f"{workflow_name}: its subgraphs unfold to more than {_MAX_NODES:,} nodes, or to too many inputs"
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
    """Sort the nodes of a graph, each behind those it is linked to; circles come last."""
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
    """Finds where inputs come from, and remembers it: a long chain is followed only once."""

    def __init__(self, workflow_name: str, *, recent: bool) -> None:
        self._workflow_name = workflow_name
        self._recent = recent
        self._known: dict[_Place, Source] = {}

    def find(self, step: Step, index: int) -> Source:
        """Find where an input of a node comes from; raise WorkflowError for a circle of nodes that don't run."""
        place: _Place | Source = _Place(step, outwards=False, at=index, wanted="")
        passed: dict[_Place, None] = {}
        while isinstance(place, _Place):
            if place in passed:
                where = f"{self._workflow_name}: node {one_line(place.step.id)}"
                raise WorkflowError(f"{where} is linked in a circle: undo one of those links")
            passed[place] = None
            place = self._known[place] if place in self._known else self._step_back(place)
        for each in passed:
            self._known[each] = place
        return place

    def _step_back(self, place: _Place) -> _Place | Source:
        """Go back one step: from an input along its link, or from an output to what is behind it."""
        step, outwards, index, wanted = place
        node = step.node
        if not outwards:
            return self._find_behind_input(step, index, wanted)
        if node.mode == MUTED and self._recent:
            return None
        if node.mode == BYPASSED:
            return _Place(step, outwards=False, at=_find_passed_input(node, index, wanted), wanted="")
        if step.inner is not None:
            return self._find_behind_output(step.inner, index, wanted)
        if node.type in EDITOR_CLASSES and node.definition is None:
            return _Place(step, outwards=False, at=index, wanted=wanted)
        return step.id, index

    def _find_behind_input(self, step: Step, index: int, wanted: str) -> _Place | Source:
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

    def _find_behind_output(self, scope: Scope, index: int, wanted: str) -> _Place | Source:
        links, outputs = scope.graph.links, scope.graph.outputs
        ids = outputs[index].links if 0 <= index < len(outputs) else []
        link = next((links[id_] for id_ in ids if id_ in links), None)
        if link is None:
            return None
        if link.origin == INPUT_NODE and scope.host is not None:
            return _Place(scope.host, outwards=False, at=link.origin_slot, wanted=wanted)
        origin = scope.steps.get(link.origin)
        return None if origin is None else _Place(origin, True, link.origin_slot, wanted)


def _find_passed_input(node: Node, index: int, wanted: str) -> int:
    """Return the index of the input that a bypassed node passes on at an output, or -1 if none fits."""
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
    """Return whether slots of two types can be linked: "*" and "" are any type, "A,B" is either."""
    if one in ("", "*") or other in ("", "*") or one == other:
        return True
    left, right = set(one.lower().split(",")), set(other.lower().split(","))
    return bool(left & right) or not {"", "*"}.isdisjoint(left | right)
