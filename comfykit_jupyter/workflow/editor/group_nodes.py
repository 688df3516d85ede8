"""Group nodes, which came before subgraphs: each is made into a subgraph of its own before anything else is done.

A group node has the values of all its inner nodes in one list, and slots for what is linked to none of them. Its inner
nodes are known by their place in the group, and so are they in a prompt: `outer:2`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any, Final

from comfykit_jupyter.workflow.editor.file import INPUT_NODE, File, Graph, Link, Node, Port, read_graph
from comfykit_jupyter.workflow.editor.layout import Layout
from comfykit_jupyter.workflow.editor.quirks import PRIMITIVE_VALUES
from comfykit_jupyter.workflow.editor.widgets import Slot
from comfykit_jupyter.workflow.errors import WorkflowError, short_repr
from comfykit_jupyter.workflow.nodes import MISSING, Definitions
from comfykit_jupyter.workflow.untrusted_json import parse_slot_index, read_objects, to_list, to_mapping, to_text

_MOST_NODES: Final = 100_000
_OUTPUT_NODE: Final = "-20"


@dataclass
class Group:
    """The definition of a group node: its nodes, by their place in it, and what it shows of them.

    `external` are the outputs (node, index) that are linked to the outside too; `shown` says of an input or output
    (node, "input" or "output", name or index) whether it is visible, and `labels` what an input (node, name) is called.
    """

    graph: Graph
    external: set[tuple[str, int]]
    shown: dict[tuple[str, str, str], bool]
    labels: dict[tuple[str, str], str]


def read_groups(data: Mapping[str, Any], called: str) -> dict[str, Group]:
    """The definitions of group nodes in an editor's file, by their class. Raises WorkflowError for what is none."""
    groups = to_mapping(to_mapping(data.get("extra")).get("groupNodes"))
    read = {name: _read(name, raw, called) for name, raw in groups.items()}
    return {f"workflow{mark}{name}": group for name, group in read.items() for mark in "/>"}


def ungroup(file: File, groups: Mapping[str, Group], definitions: Definitions, called: str) -> None:
    """Replaces the group nodes of a workflow by instances of subgraphs. WorkflowError: they are too many."""
    left = _MOST_NODES
    for node in file.root.nodes.values():
        group = groups.get(node.type)
        if group is None or node.type in definitions:
            continue
        left -= len(group.graph.nodes)
        if left < 0:
            raise WorkflowError(f"{called}: its group nodes hold more than {_MOST_NODES:,} nodes")
        graph = _Unpacked(node, group, definitions).graph
        file.subgraphs[graph.id] = graph
        node.type, node.values = graph.id, None


def _read(name: Any, raw: Any, called: str) -> Group:
    where = f"{called}: group {short_repr(name)}"
    data = to_mapping(raw)
    listed = list(read_objects(data.get("nodes"), f"{where}: a node"))
    graph = read_graph("", {"nodes": [{**each, "id": at} for at, each in enumerate(listed)]}, where)
    nodes = list(graph.nodes.values())
    for node in nodes:  # the links that they had where the group was made
        for slot in node.slots:
            slot.link = None
        for output in node.outputs:
            output.links = []
    for at, each in enumerate(to_list(data.get("links"))):
        places = (
            [parse_slot_index(place) for place in each[:4]] if isinstance(each, list) and len(each) >= 4 else [None] * 4
        )
        origin, origin_slot, target, target_slot = places
        if origin is None or origin_slot is None or target is None or target_slot is None:
            continue  # a link from or to the outside
        if max(origin, target) >= len(nodes) or target_slot >= len(nodes[target].slots):
            raise WorkflowError(f"{where}: {short_repr(each)} links what it doesn't have")
        graph.links[str(at)] = Link(str(origin), origin_slot, str(target))
        nodes[target].slots[target_slot].link = str(at)
        if origin_slot < len(nodes[origin].outputs):
            nodes[origin].outputs[origin_slot].links.append(str(at))
    group = Group(graph, set(), {}, {})
    for each in to_list(data.get("external")):
        if isinstance(each, list) and len(each) >= 2 and (index := parse_slot_index(each[1])) is not None:
            group.external.add((str(each[0]), index))
    for node, saved in zip(nodes, listed, strict=True):
        for each in read_objects(saved.get("inputs"), f"{where}: an input"):
            if label := to_text(each.get("label")):
                group.labels[node.id, to_text(each.get("name"))] = label
        config = to_mapping(to_mapping(data.get("config")).get(node.id))
        for kind in ("input", "output"):
            for key, each in to_mapping(config.get(kind)).items():
                if isinstance(to_mapping(each).get("visible"), bool):
                    group.shown[node.id, kind, str(key)] = each["visible"]
                if label := to_text(to_mapping(each).get("name")):
                    group.labels[node.id, str(key)] = label
    return group


class _Unpacked:
    """One group node as a subgraph that nothing else uses."""

    def __init__(self, node: Node, group: Group, definitions: Definitions) -> None:
        self.group = group
        self.graph: Graph = deepcopy(group.graph)
        self.graph.id = f"group:{node.id}"
        self._seen: dict[str, int] = {}
        self._values: Iterator[Any] = iter(node.values if isinstance(node.values, list) else ())
        later: list[tuple[Node, str, str]] = []
        for inner in self.graph.nodes.values():
            definition = definitions.get(inner.type)
            if inner.type == "PrimitiveNode" and definition is None:
                self._primitive(inner)
            elif inner.type == "Reroute" and definition is None:
                self._reroute(inner)
            elif definition is not None:
                layout = Layout(definition)
                converted = {slot.name for slot in inner.slots if slot.widget == slot.name}
                self._fill(inner, layout, converted)
                for slot in layout.slots:
                    if slot.widget is None:
                        self._input(inner, slot.name, slot.type)
                types = {slot.name: slot.type for slot in layout.slots}
                later += [(inner, slot.name, types.get(slot.name, slot.type)) for slot in inner.slots if slot.widget]
                self._outputs(inner, definition.outputs)
        for inner, name, type_ in later:
            self._input(inner, name, type_)

    def _fill(self, inner: Node, layout: Layout, converted: set[str]) -> None:
        """An inner node gets its part of the values; an input that is linked keeps what it has."""
        own = inner.values if isinstance(inner.values, list) else []
        values: list[Any] = []
        kept = False
        for widget in layout.widgets:
            if widget.spec is not None:
                kept = widget.name in converted
                if not kept:
                    self._name(inner, widget.name)
            if widget.saved:
                value = MISSING if kept else next(self._values, MISSING)
                if value is MISSING:
                    value = own[len(values)] if len(values) < len(own) else widget.value
                values.append(value)
        inner.values = values

    def _primitive(self, inner: Node) -> None:
        output = inner.outputs[0] if inner.outputs else None
        if output is None or not output.links:
            return
        self._name(inner, "value")
        count = PRIMITIVE_VALUES.get(output.type, 1)
        inner.values = [value for _ in range(count) if (value := next(self._values, MISSING)) is not MISSING]

    def _reroute(self, inner: Node) -> None:
        used = bool(inner.outputs and inner.outputs[0].links)
        linked = bool(inner.slots and inner.slots[0].link is not None)
        if used and linked and (inner.id, 0) not in self.group.external:
            return
        type_ = inner.outputs[0].type if inner.outputs else "*"
        if inner.slots and not linked:
            self._port(inner, inner.slots[0], self._name(inner, type_))
        self._outputs(inner, (type_,))

    def _input(self, inner: Node, name: str, type_: str) -> None:
        """An input that nothing inside is linked to becomes one of the group."""
        slot = next((slot for slot in inner.slots if slot.name == name), None)
        if slot is not None and slot.link is not None:
            return
        called = self._name(inner, name)
        if self.group.shown.get((inner.id, "input", name)) is False:
            return
        if slot is None:
            slot = Slot(name, type_)
            inner.slots.append(slot)
        self._port(inner, slot, called)

    def _port(self, inner: Node, slot: Slot, called: str) -> None:
        id_ = f"in:{len(self.graph.inputs)}"
        self.graph.links[id_] = Link(INPUT_NODE, len(self.graph.inputs), inner.id)
        self.graph.inputs.append(Port(called, slot.type, [id_]))
        slot.link = id_

    def _outputs(self, inner: Node, types: tuple[str, ...]) -> None:
        for at, type_ in enumerate(types):
            linked = at < len(inner.outputs) and bool(inner.outputs[at].links)
            hidden = linked and (inner.id, at) not in self.group.external
            if self.group.shown.get((inner.id, "output", str(at)), not hidden):
                id_ = f"out:{len(self.graph.outputs)}"
                self.graph.links[id_] = Link(inner.id, at, _OUTPUT_NODE)
                self.graph.outputs.append(Port(str(at), type_, [id_]))

    def _name(self, inner: Node, name: str) -> str:
        """What the group calls an input of an inner node: no name twice."""
        label = self.group.labels.get((inner.id, name), "")
        key = called = label or name
        if called in self._seen or (inner.type == "PrimitiveNode" and inner.title):
            prefix = f"{inner.title or inner.type} "
            key = called = prefix + name
            if called in self._seen:
                called = f"{prefix}{self._seen[called]} {name}"
        self._seen[key] = self._seen.get(key, 1) + 1
        return called
