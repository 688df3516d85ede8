"""Turn group nodes, which came before subgraphs, into subgraphs of their own.

A group node has the values of all its inner nodes in one list, and slots for what no inner link leads to. Its inner
nodes are known by their index in the group, also in a prompt: `outer:2`.
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
from comfykit_jupyter.workflow.nodes import MISSING, Definitions, NodeDefinition
from comfykit_jupyter.workflow.untrusted_json import parse_slot_index, read_objects, to_list, to_mapping, to_text

_MAX_NODES: Final = 100_000
_OUTPUT_NODE: Final = "-20"


@dataclass
class Group:
    """The definition of a group node.

    Attributes:
        graph: Its nodes, with their index as the ID.
        external: The outputs (node, index) that are also linked to the outside.
        visible: Whether an input or output (node, "input" or "output", name or index) is visible, if the file says so.
        labels: What an input (node, name) is called.
    """

    graph: Graph
    external: set[tuple[str, int]]
    visible: dict[tuple[str, str, str], bool]
    labels: dict[tuple[str, str], str]


def read_groups(data: Mapping[str, Any], workflow_name: str) -> dict[str, Group]:
    """Read the definitions of group nodes in an editor's file, by class; raise WorkflowError for invalid ones."""
    groups = to_mapping(to_mapping(data.get("extra")).get("groupNodes"))
    read = {name: _read_group(name, raw, workflow_name) for name, raw in groups.items()}
    return {f"workflow{mark}{name}": group for name, group in read.items() for mark in "/>"}


def ungroup(file: File, groups: Mapping[str, Group], definitions: Definitions, workflow_name: str) -> None:
    """Replace the group nodes of a workflow by instances of subgraphs; raise WorkflowError if they are too many."""
    left = _MAX_NODES
    for node in file.root.nodes.values():
        group = groups.get(node.type)
        if group is None or node.type in definitions:
            continue
        left -= len(group.graph.nodes)
        if left < 0:
            raise WorkflowError(f"{workflow_name}: its group nodes hold more than {_MAX_NODES:,} nodes")
        graph = _Unpacked(node, group, definitions).graph
        file.subgraphs[graph.id] = graph
        node.type, node.values = graph.id, None


def _read_group(name: Any, raw: Any, workflow_name: str) -> Group:
    where = f"{workflow_name}: group {short_repr(name)}"
    data = to_mapping(raw)
    saved = list(read_objects(data.get("nodes"), f"{where}: a node"))
    graph = read_graph("", {"nodes": [{**each, "id": at} for at, each in enumerate(saved)]}, where)
    _link_nodes(graph, data.get("links"), where)
    group = Group(graph, set(), {}, {})
    for each in to_list(data.get("external")):
        if isinstance(each, list) and len(each) >= 2 and (index := parse_slot_index(each[1])) is not None:
            group.external.add((str(each[0]), index))
    for node, own in zip(graph.nodes.values(), saved, strict=True):
        for each in read_objects(own.get("inputs"), f"{where}: an input"):
            if label := to_text(each.get("label")):
                group.labels[node.id, to_text(each.get("name"))] = label
        _read_config(group, node, to_mapping(to_mapping(data.get("config")).get(node.id)))
    return group


def _link_nodes(graph: Graph, raw: Any, where: str) -> None:
    """Replace the nodes' links from where the group was made by the group's links."""
    nodes = list(graph.nodes.values())
    for node in nodes:
        for slot in node.slots:
            slot.link = None
        for output in node.outputs:
            output.links = []
    for at, each in enumerate(to_list(raw)):
        if not isinstance(each, list) or len(each) < 4:
            continue
        origin, origin_slot, target, target_slot = (parse_slot_index(place) for place in each[:4])
        if origin is None or origin_slot is None or target is None or target_slot is None:
            continue  # a link from or to the outside
        if max(origin, target) >= len(nodes) or target_slot >= len(nodes[target].slots):
            raise WorkflowError(f"{where}: the link {short_repr(each)} names a node or an input that does not exist")
        graph.links[str(at)] = Link(str(origin), origin_slot, str(target))
        nodes[target].slots[target_slot].link = str(at)
        if origin_slot < len(nodes[origin].outputs):
            nodes[origin].outputs[origin_slot].links.append(str(at))


def _read_config(group: Group, node: Node, config: Mapping[str, Any]) -> None:
    """Read which inputs and outputs of a node the group shows, and what it calls them."""
    for kind in ("input", "output"):
        for key, each in to_mapping(config.get(kind)).items():
            about = to_mapping(each)
            if isinstance(about.get("visible"), bool):
                group.visible[node.id, kind, str(key)] = about["visible"]
            if label := to_text(about.get("name")):
                group.labels[node.id, str(key)] = label


class _Unpacked:
    """One group node, turned into a subgraph of its own."""

    def __init__(self, node: Node, group: Group, definitions: Definitions) -> None:
        self.group = group
        self.graph: Graph = deepcopy(group.graph)
        self.graph.id = f"group:{node.id}"
        self._seen: dict[str, int] = {}
        self._values: Iterator[Any] = iter(node.values if isinstance(node.values, list) else ())
        later: list[tuple[Node, str, str]] = []
        for inner in self.graph.nodes.values():
            definition = definitions.get(inner.type)
            if definition is not None:
                later += self._unpack_node(inner, definition)
            elif inner.type == "PrimitiveNode":
                self._unpack_primitive(inner)
            elif inner.type == "Reroute":
                self._unpack_reroute(inner)
        for inner, name, type_ in later:  # inputs with a widget come behind all others
            self._add_input(inner, name, type_)

    def _unpack_node(self, inner: Node, definition: NodeDefinition) -> list[tuple[Node, str, str]]:
        """Fill a node, and return its linked widgets as (node, name, type): they become inputs of the group."""
        layout = Layout(definition)
        converted = {slot.name for slot in inner.slots if slot.widget == slot.name}
        self._fill(inner, layout, converted)
        for slot in layout.slots:
            if slot.widget is None:
                self._add_input(inner, slot.name, slot.type)
        types = {slot.name: slot.type for slot in layout.slots}
        self._add_outputs(inner, definition.outputs)
        return [(inner, slot.name, types.get(slot.name, slot.type)) for slot in inner.slots if slot.widget]

    def _fill(self, inner: Node, layout: Layout, converted: set[str]) -> None:
        """Give an inner node its part of the values; a linked input keeps its own."""
        own = inner.values if isinstance(inner.values, list) else []
        values: list[Any] = []
        kept = False
        for widget in layout.widgets:
            if widget.spec is not None:
                kept = widget.name in converted
                if not kept:
                    self._choose_name(inner, widget.name)
            if widget.saved:
                value = MISSING if kept else next(self._values, MISSING)
                if value is MISSING:
                    value = own[len(values)] if len(values) < len(own) else widget.value
                values.append(value)
        inner.values = values

    def _unpack_primitive(self, inner: Node) -> None:
        output = inner.outputs[0] if inner.outputs else None
        if output is None or not output.links:
            return
        self._choose_name(inner, "value")
        count = PRIMITIVE_VALUES.get(output.type, 1)
        inner.values = [value for _ in range(count) if (value := next(self._values, MISSING)) is not MISSING]

    def _unpack_reroute(self, inner: Node) -> None:
        used = bool(inner.outputs and inner.outputs[0].links)
        linked = bool(inner.slots and inner.slots[0].link is not None)
        if used and linked and (inner.id, 0) not in self.group.external:
            return
        type_ = inner.outputs[0].type if inner.outputs else "*"
        if inner.slots and not linked:
            self._add_port(inner, inner.slots[0], self._choose_name(inner, type_))
        self._add_outputs(inner, (type_,))

    def _add_input(self, inner: Node, name: str, type_: str) -> None:
        """Make an input that no inner link leads to an input of the group."""
        slot = next((slot for slot in inner.slots if slot.name == name), None)
        if slot is not None and slot.link is not None:
            return
        port_name = self._choose_name(inner, name)
        if self.group.visible.get((inner.id, "input", name)) is False:
            return
        if slot is None:
            slot = Slot(name, type_)
            inner.slots.append(slot)
        self._add_port(inner, slot, port_name)

    def _add_port(self, inner: Node, slot: Slot, port_name: str) -> None:
        id_ = f"in:{len(self.graph.inputs)}"
        self.graph.links[id_] = Link(INPUT_NODE, len(self.graph.inputs), inner.id)
        self.graph.inputs.append(Port(port_name, slot.type, [id_]))
        slot.link = id_

    def _add_outputs(self, inner: Node, types: tuple[str, ...]) -> None:
        for at, type_ in enumerate(types):
            linked = at < len(inner.outputs) and bool(inner.outputs[at].links)
            hidden = linked and (inner.id, at) not in self.group.external
            if self.group.visible.get((inner.id, "output", str(at)), not hidden):
                id_ = f"out:{len(self.graph.outputs)}"
                self.graph.links[id_] = Link(inner.id, at, _OUTPUT_NODE)
                self.graph.outputs.append(Port(str(at), type_, [id_]))

    def _choose_name(self, inner: Node, name: str) -> str:
        """Return what the group calls an input of an inner node: no name twice."""
        label = self.group.labels.get((inner.id, name), "")
        key = chosen = label or name
        if chosen in self._seen or (inner.type == "PrimitiveNode" and inner.title):
            prefix = f"{inner.title or inner.type} "
            key = chosen = prefix + name
            if chosen in self._seen:
                chosen = f"{prefix}{self._seen[chosen]} {name}"
        self._seen[key] = self._seen.get(key, 1) + 1
        return chosen
