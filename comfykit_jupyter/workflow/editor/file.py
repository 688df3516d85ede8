"""Read and check the file that the editor saves: graphs of nodes, slots and links.

Node classes are not known here: `layout.py` adds what a class's definition says, `convert.py` puts both together.
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
"""The ID that links in a subgraph have as their origin if they begin at its inputs."""
MUTED: Final = 2
BYPASSED: Final = 4


@dataclass(slots=True)
class Link:
    """A wire from an output to an input. The input itself knows the link: the index in the file is often stale."""

    origin: str
    origin_slot: int
    target: str


@dataclass(slots=True)
class Output:
    """An output of a node, and the IDs of the links that begin there."""

    type: str
    links: list[str]


@dataclass(frozen=True)
class Proxy:
    """A widget of an inner node that an instance of a subgraph shows; `inner` is the node behind it, if given."""

    source: str
    widget: str
    inner: str = ""


@dataclass(slots=True)
class Node:
    """A node as it was saved.

    Its class adds `definition`, `layout`, `widgets` and further `slots`. `proxies` are the widgets of inner nodes that
    an instance of a subgraph shows.
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

    def find_widget(self, name: str | None) -> Widget | None:
        """Return the widget of a name."""
        return next((widget for widget in self.widgets if widget.name == name), None)

    def find_slot(self, link: str) -> Slot | None:
        """Return the input slot that a link leads to."""
        return next((slot for slot in self.slots if slot.link == link), None)


@dataclass(slots=True)
class Port:
    """An input or an output of a subgraph, with the IDs of its links inside, and the label that its author gave it."""

    name: str
    type: str
    links: list[str]
    label: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The end of a link: the input slot, and the widget beside it, if there is one."""

    node: Node
    slot: Slot
    widget: Widget | None


@dataclass
class Graph:
    """The workflow itself, or the definition of a subgraph, which has an ID and ports.

    `ends` are the ends of its links by ID, once its nodes have all their slots: see `find_ends`.
    """

    id: str
    name: str
    nodes: dict[str, Node]
    links: dict[str, Link]
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)
    ends: dict[str, End] = field(default_factory=dict)

    def find_ends(self) -> None:
        """Find the ends of the links."""
        for node in self.nodes.values():
            widgets = {widget.name: widget for widget in reversed(node.widgets)}
            for slot in node.slots:
                link = self.links.get(slot.link) if slot.link is not None else None
                if link is not None and link.target == node.id and slot.link is not None:
                    widget = slot.promoted or widgets.get(slot.widget or "")
                    self.ends.setdefault(slot.link, End(node, slot, widget))


@dataclass
class File:
    """Everything in a file: the workflow, and the definitions of its subgraphs by ID."""

    root: Graph
    subgraphs: dict[str, Graph]

    def iter_graphs(self) -> Iterator[Graph]:
        """Yield the workflow, then its subgraphs."""
        yield self.root
        yield from self.subgraphs.values()


def is_editor_graph(data: Any) -> bool:
    """Return whether data is in editor format (a dict with a list of nodes), and not a prompt."""
    return isinstance(data, Mapping) and isinstance(data.get("nodes"), list)


def read_file(data: Mapping[str, Any], workflow_name: str, *, renumber: bool) -> File:
    """Read a file in editor format.

    Args:
        data: The file's JSON.
        workflow_name: What messages call it.
        renumber: Whether to give nodes of subgraphs other IDs if two graphs use the same, as newer editors do.

    Raises:
        WorkflowError: It is not such a file, or has something in it that no editor writes.
    """
    if not is_editor_graph(data):
        raise WorkflowError(f'{workflow_name} is not in editor format (it has no list of "nodes")')
    raw: dict[str, Mapping[str, Any]] = {}
    for definition in _iter_definitions(data, workflow_name):
        id_ = parse_id(definition.get("id"))
        if id_ is None:
            raise WorkflowError(f"{workflow_name}: a subgraph has {describe_type(definition.get('id'))} as its ID")
        raw.setdefault(id_, definition)
    root = read_graph("", data, workflow_name)
    subgraphs = {id_: read_graph(id_, each, workflow_name) for id_, each in raw.items()}
    if renumber:
        _renumber(root, subgraphs, [data.get("last_node_id"), to_mapping(data.get("state")).get("lastNodeId")])
    return File(root, subgraphs)


def _iter_definitions(data: Mapping[str, Any], workflow_name: str) -> Iterator[Mapping[str, Any]]:
    """Yield the definitions of subgraphs, those within other definitions last."""
    waiting = [data]
    while waiting:
        definitions = to_mapping(waiting.pop(0).get("definitions"))
        for each in read_objects(definitions.get("subgraphs"), f"{workflow_name}: a subgraph"):
            yield each
            waiting.append(each)


def read_graph(id_: str, data: Mapping[str, Any], workflow_name: str) -> Graph:
    """Read one graph: a subgraph has an ID, the workflow has none."""
    name = to_text(data.get("name")) or id_
    where = f"{workflow_name}: subgraph {one_line(name)}" if id_ else workflow_name
    nodes: dict[str, Node] = {}
    for raw in read_objects(data.get("nodes"), f"{where}: a node"):
        node = _read_node(raw, where)
        if node.id in nodes:
            raise WorkflowError(f"{where}: two nodes have the ID {one_line(node.id)}: open and save it in the editor")
        nodes[node.id] = node
    links = dict(_read_links(data.get("links"), where))
    inputs, outputs = (_read_ports(data, key) for key in ("inputs", "outputs")) if id_ else ([], [])
    for link_id, link in links.items():  # a port's own list may lack links
        if link.origin == INPUT_NODE and 0 <= link.origin_slot < len(inputs):
            port = inputs[link.origin_slot]
            if link_id not in port.links:
                port.links.append(link_id)
    return Graph(id_, name, nodes, links, inputs, outputs)


def _read_node(raw: Mapping[str, Any], where: str) -> Node:
    id_ = parse_id(raw.get("id"))
    if id_ is None:
        raise WorkflowError(f"{where}: a node has {describe_type(raw.get('id'))} as its ID")
    type_ = raw.get("type")
    if not isinstance(type_, str):
        raise WorkflowError(f"{where}: node {one_line(id_)} has no class ({short_repr(type_)})")
    mode = raw.get("mode")
    label = f"{where}: node {one_line(id_)} ({one_line(type_)})"
    try:
        values = to_plain_json(raw.get("widgets_values"))
    except ValueError as error:
        raise WorkflowError(f"{label}: {error}") from None
    properties = to_mapping(raw.get("properties"))
    slots = [
        Slot(
            to_text(each.get("name")),
            _read_type(each.get("type")),
            parse_id(each.get("link")),
            to_text(to_mapping(each.get("widget")).get("name")) or None,
        )
        for each in read_objects(raw.get("inputs"), f"{label}: an input")
    ]
    outputs = [
        Output(_read_type(each.get("type")), parse_ids(each.get("links")))
        for each in read_objects(raw.get("outputs"), f"{label}: an output")
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
        proxies=_read_proxies(properties.get("proxyWidgets")),
    )


def _read_links(raw: Any, where: str) -> Iterator[tuple[str, Link]]:
    """Read the table of links in both of its forms: `[id, origin, slot, target, slot, type]`, or objects."""
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
            raise WorkflowError(f"{where}: {short_repr(each)} is not a link")
        names = [parse_id(id_), parse_id(origin), parse_id(target)]
        index = parse_slot_index(slot)
        if names[0] is None or names[1] is None or names[2] is None or index is None:
            raise WorkflowError(f"{where}: {short_repr(each)} is not a link")
        yield names[0], Link(names[1], index, names[2])


def _read_ports(data: Mapping[str, Any], key: str) -> list[Port]:
    return [
        Port(
            to_text(each.get("name")),
            _read_type(each.get("type")),
            parse_ids(each.get("linkIds")),
            to_text(each.get("label")),
        )
        for each in to_list(data.get(key))
        if isinstance(each, Mapping)
    ]


def _read_proxies(raw: Any) -> list[Proxy]:
    """Read the list of proxies; if one of them is invalid, return none, as the editor does."""
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
    """Give each node in a subgraph an ID that no other graph uses, counting on from the highest."""
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


def _read_type(value: Any) -> str:
    """Return the type of a slot. Very old files have 0 or -1 for any type, or a list of choices for COMBO."""
    if isinstance(value, list):
        return "COMBO"
    return value if isinstance(value, str) else "*"
