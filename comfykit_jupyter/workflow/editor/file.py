"""The file that the editor saves, as data: graphs of nodes, slots and links, read once and checked.

Nothing is known here of node classes: see `widgets.py` for what a class's definition adds, `graph.py` for the whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comfykit_jupyter.workflow.editor.layout import Layout
from comfykit_jupyter.workflow.editor.widgets import Slot, Widget
from comfykit_jupyter.workflow.errors import WorkflowError, describe_type, one_line, short_repr
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT, to_plain_json
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.untrusted_json import (
    parse_id,
    parse_ids,
    parse_slot_index,
    read_objects,
    to_list,
    to_mapping,
    to_text,
)

INPUT_NODE: Final = "-10"
"""The id by which the links of a subgraph name its own inputs as their origin."""
MUTED: Final = 2
BYPASSED: Final = 4


@dataclass(slots=True)
class Link:
    """A wire from an output to an input. Which input that is, the input says: the index kept here is often stale."""

    origin: str
    origin_slot: int
    target: str


@dataclass(slots=True)
class Output:
    """An output of a node, and the ids of the links that begin there."""

    type: str
    links: list[str]


@dataclass(frozen=True)
class Proxy:
    """A widget of an inner node that an instance of a subgraph shows; `inner` is the node behind it, if told."""

    source: str
    widget: str
    inner: str = ""


@dataclass(slots=True)
class Node:
    """A node as it was saved. From its class come `definition`, `widgets`, and the rest of `slots` (see `widgets.py`).

    `proxies` is what an instance of a subgraph shows of inner nodes.
    """

    id: str
    type: str
    title: str
    mode: int
    slots: list[Slot]
    outputs: list[Output]
    values: Any
    properties: Mapping[str, Any]
    proxies: list[Proxy] = field(default_factory=list)
    widgets: list[Widget] = field(default_factory=list)
    definition: NodeDefinition | None = None
    layout: Layout | None = None

    def widget(self, name: str | None) -> Widget | None:
        """The widget of that name."""
        return next((widget for widget in self.widgets if widget.name == name), None)

    def slot(self, link: str) -> Slot | None:
        """The input slot that a link leads to."""
        return next((slot for slot in self.slots if slot.link == link), None)


@dataclass(slots=True)
class Port:
    """An input or an output of a subgraph: its name, its type, and the ids of the links inside that it has."""

    name: str
    type: str
    links: list[str]


@dataclass(frozen=True, slots=True)
class End:
    """Where a link ends: the input slot, and the widget beside it, if there is one."""

    node: Node
    slot: Slot
    widget: Widget | None


@dataclass
class Graph:
    """The workflow itself, or the definition of a subgraph (then with an id, and ports).

    `ends` are those of its links, by their ids, once its nodes have got all their slots: see `find_ends`.
    """

    id: str
    name: str
    nodes: dict[str, Node]
    links: dict[str, Link]
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    ends: dict[str, End] = field(default_factory=dict)

    def find_ends(self) -> None:
        """Looks up where the links end."""
        for node in self.nodes.values():
            widgets = {widget.name: widget for widget in reversed(node.widgets)}
            for slot in node.slots:
                link = self.links.get(slot.link) if slot.link is not None else None
                if link is not None and link.target == node.id and slot.link is not None:
                    widget = slot.promoted or widgets.get(slot.widget or "")
                    self.ends.setdefault(slot.link, End(node, slot, widget))


@dataclass
class File:
    """All that was saved: the workflow, and the definitions of its subgraphs by id."""

    root: Graph
    subgraphs: dict[str, Graph]

    def graphs(self) -> Iterator[Graph]:
        """The workflow, then its subgraphs."""
        yield self.root
        yield from self.subgraphs.values()


def is_editor_graph(data: Any) -> bool:
    """Whether `data` is what the editor saves (a dict with a list of nodes), and not a prompt."""
    return isinstance(data, Mapping) and isinstance(data.get("nodes"), list)


def read_file(data: Mapping[str, Any], called: str, *, renumber: bool) -> File:
    """Reads the editor's file.

    Args:
        data: the file's JSON.
        called: what messages call it.
        renumber: give the nodes of subgraphs other ids where two graphs use the same, as newer editors do.

    Raises:
        WorkflowError: it is not such a file, or holds something that no editor writes there.
    """
    if not is_editor_graph(data):
        raise WorkflowError(f'{called} is not a workflow of the editor (it has no list of "nodes")')
    raw: dict[str, Mapping[str, Any]] = {}
    for definition in _definitions(data, called):
        id_ = parse_id(definition.get("id"))
        if id_ is None:
            raise WorkflowError(f"{called}: a subgraph has {describe_type(definition.get('id'))} for an id")
        raw.setdefault(id_, definition)
    root = read_graph("", data, called)
    subgraphs = {id_: read_graph(id_, each, called) for id_, each in raw.items()}
    if renumber:
        _renumber(root, subgraphs, [data.get("last_node_id"), to_mapping(data.get("state")).get("lastNodeId")])
    return File(root, subgraphs)


def _definitions(data: Mapping[str, Any], called: str) -> Iterator[Mapping[str, Any]]:
    """The definitions of subgraphs, those in other definitions last."""
    waiting = [data]
    while waiting:
        definitions = to_mapping(waiting.pop(0).get("definitions"))
        for each in read_objects(definitions.get("subgraphs"), f"{called}: a subgraph"):
            yield each
            waiting.append(each)


def read_graph(id_: str, data: Mapping[str, Any], called: str) -> Graph:
    """Reads one graph: the workflow has no id, a subgraph has."""
    name = to_text(data.get("name")) or id_
    where = f"{called}: subgraph {one_line(name)}" if id_ else called
    nodes: dict[str, Node] = {}
    for raw in read_objects(data.get("nodes"), f"{where}: a node"):
        node = _node(raw, where)
        if node.id in nodes:
            raise WorkflowError(f"{where}: two nodes have the id {one_line(node.id)}: open and save it in the editor")
        nodes[node.id] = node
    links = dict(_links(data.get("links"), where))
    inputs, outputs = (_ports(data, key) for key in ("inputs", "outputs")) if id_ else ([], [])
    for link_id, link in links.items():  # what the list of a port lost
        if link.origin == INPUT_NODE and 0 <= link.origin_slot < len(inputs):
            port = inputs[link.origin_slot]
            if link_id not in port.links:
                port.links.append(link_id)
    return Graph(id_, name, nodes, links, inputs, outputs)


def _node(raw: Mapping[str, Any], where: str) -> Node:
    id_ = parse_id(raw.get("id"))
    if id_ is None:
        raise WorkflowError(f"{where}: a node has {describe_type(raw.get('id'))} for an id")
    type_ = raw.get("type")
    if not isinstance(type_, str):
        raise WorkflowError(f"{where}: node {one_line(id_)} has no class ({short_repr(type_)})")
    mode = raw.get("mode")
    called = f"{where}: node {one_line(id_)} ({one_line(type_)})"
    try:
        values = to_plain_json(raw.get("widgets_values"))
    except ValueError as error:
        raise WorkflowError(f"{called}: {error}") from None
    properties = to_mapping(raw.get("properties"))
    slots = [
        Slot(
            to_text(each.get("name")),
            _type(each.get("type")),
            parse_id(each.get("link")),
            to_text(to_mapping(each.get("widget")).get("name")) or None,
        )
        for each in read_objects(raw.get("inputs"), f"{called}: an input")
    ]
    outputs = [
        Output(_type(each.get("type")), parse_ids(each.get("links")))
        for each in read_objects(raw.get("outputs"), f"{called}: an output")
    ]
    return Node(
        id=id_,
        type=type_,
        title=to_text(raw.get("title")),
        mode=mode if isinstance(mode, int) else 0,
        slots=slots,
        outputs=outputs,
        values=values,
        properties=properties,
        proxies=_proxies(properties.get("proxyWidgets")),
    )


def _links(raw: Any, where: str) -> Iterator[tuple[str, Link]]:
    """The table of links, in both of its forms: `[id, origin, slot, target, slot, type]`, or an object each."""
    if raw is None:
        return
    if not isinstance(raw, list):
        raise WorkflowError(f'{where}: "links" is {describe_type(raw)}, not a list')
    for each in raw:
        if isinstance(each, list) and len(each) >= 5:
            id_, origin, slot, target = each[:4]
        elif isinstance(each, Mapping):
            id_, origin, slot, target = (each.get(key) for key in ("id", "origin_id", "origin_slot", "target_id"))
        elif each is None:
            continue
        else:
            raise WorkflowError(f"{where}: {short_repr(each)} is no link")
        names = [parse_id(id_), parse_id(origin), parse_id(target)]
        index = parse_slot_index(slot)
        if names[0] is None or names[1] is None or names[2] is None or index is None:
            raise WorkflowError(f"{where}: {short_repr(each)} is no link")
        yield names[0], Link(names[1], index, names[2])


def _ports(data: Mapping[str, Any], key: str) -> list[Port]:
    return [
        Port(to_text(each.get("name")), _type(each.get("type")), parse_ids(each.get("linkIds")))
        for each in to_list(data.get(key))
        if isinstance(each, Mapping)
    ]


def _proxies(raw: Any) -> list[Proxy]:
    """The list of proxies, or of none if one of them is odd: so does the editor."""
    if isinstance(raw, str):
        try:
            raw = json.loads(raw)
        except (ValueError, RecursionError):
            return []
    if not isinstance(raw, list):
        return []
    found: list[Proxy] = []
    for each in raw:
        if not isinstance(each, list) or len(each) not in (2, 3) or not all(isinstance(part, str) for part in each):
            return []
        found.append(Proxy(*each))
    return found


def _renumber(root: Graph, subgraphs: Mapping[str, Graph], last: list[Any]) -> None:
    """Gives each node in a subgraph an id that no other graph has, counting on from the last that was given."""
    used = set(root.nodes)
    highest = max((each for each in last if isinstance(each, int) and each <= LARGEST_EXACT), default=0)
    changed: dict[str, dict[str, str]] = {}
    for id_, graph in subgraphs.items():
        names: dict[str, str] = {}
        for old in graph.nodes:
            if old not in used:
                used.add(old)
                highest = max(highest, int(old)) if old.isascii() and old.isdecimal() and len(old) < 16 else highest
                continue
            highest += 1
            while str(highest) in used:
                highest += 1
            names[old] = str(highest)
            used.add(names[old])
        if names:
            changed[id_] = names
            _rename(graph, names)
    for graph in (root, *subgraphs.values()):
        for node in graph.nodes.values():
            names = changed.get(node.type, {})
            node.proxies = [
                Proxy(names.get(each.source, each.source), each.widget, each.inner) for each in node.proxies
            ]


def _rename(graph: Graph, names: Mapping[str, str]) -> None:
    graph.nodes = {names.get(id_, id_): node for id_, node in graph.nodes.items()}
    for id_, node in graph.nodes.items():
        node.id = id_
    for link in graph.links.values():
        link.origin = names.get(link.origin, link.origin)
        link.target = names.get(link.target, link.target)


def _type(value: Any) -> str:
    """The type of a slot. Very old files have 0 or -1 for "anything", or a combo's list of choices."""
    if isinstance(value, list):
        return "COMBO"
    return value if isinstance(value, str) else "*"
