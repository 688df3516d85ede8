"""The file that the editor saves, as data: graphs of nodes, slots and links, read once and checked.

Nothing is known here of node classes: see `widgets.py` for what a class's definition adds, `graph.py` for the whole.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from comfykit_jupyter.workflow.errors import WorkflowError, kind_of, plain, shown
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.widgets import Layout, Slot, Widget

INPUT_NODE: Final = "-10"
"""The id by which the links of a subgraph name its own inputs as their origin."""
_GROUP: Final = "workflow/"
MUTED: Final = 2
BYPASSED: Final = 4
VIRTUAL: Final = frozenset({"Note", "MarkdownNote", "PrimitiveNode", "Reroute"})
"""The classes that only the editor knows: they never run."""


@dataclass
class Link:
    """A wire from an output to an input. Which input that is, the input says: the index kept here is often stale."""

    origin: str
    origin_slot: int
    target: str


@dataclass
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


@dataclass
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


@dataclass
class Port:
    """An input or an output of a subgraph: its name, its type, and the ids of the links inside that it has."""

    name: str
    type: str
    links: list[str]


@dataclass
class Graph:
    """The workflow itself, or the definition of a subgraph (then with an id, and ports)."""

    id: str
    name: str
    nodes: dict[str, Node]
    links: dict[str, Link]
    inputs: list[Port] = field(default_factory=list)
    outputs: list[Port] = field(default_factory=list)


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


@dataclass
class File:
    """All that was saved: the workflow, the definitions of its subgraphs by id, of its group nodes by class."""

    root: Graph
    subgraphs: dict[str, Graph]
    groups: dict[str, Group]

    def graphs(self) -> Iterator[Graph]:
        """The workflow, then its subgraphs."""
        yield self.root
        yield from self.subgraphs.values()

    def classes(self) -> frozenset[str]:
        """All classes but those that only the editor or this file knows."""
        graphs = [*self.graphs(), *(group.graph for group in self.groups.values())]
        found = {node.type for graph in graphs for node in graph.nodes.values()}
        mine = {*self.groups, *(f"workflow>{name[len(_GROUP) :]}" for name in self.groups), *self.subgraphs}
        return frozenset(found - mine - VIRTUAL)


def is_editor_graph(data: Any) -> bool:
    """Whether `data` is what the editor saves (a dict with a list of nodes), and not a prompt."""
    return isinstance(data, Mapping) and isinstance(data.get("nodes"), list)


def read(data: Mapping[str, Any], called: str, *, renumber: bool) -> File:
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
        id_ = _identity(definition.get("id"))
        if id_ is None:
            raise WorkflowError(f"{called}: a subgraph has {kind_of(definition.get('id'))} for an id")
        raw.setdefault(id_, definition)
    root = _graph("", data, called)
    subgraphs = {id_: _graph(id_, each, called) for id_, each in raw.items()}
    if renumber:
        _renumber(root, subgraphs, data.get("last_node_id"))
    groups = _mapping(_mapping(data.get("extra")).get("groupNodes"))
    return File(root, subgraphs, {_GROUP + name: _group(name, raw, called) for name, raw in groups.items()})


def _definitions(data: Mapping[str, Any], called: str) -> Iterator[Mapping[str, Any]]:
    """The definitions of subgraphs, those in other definitions last."""
    waiting = [data]
    while waiting:
        definitions = _mapping(waiting.pop(0).get("definitions"))
        for each in _objects(definitions.get("subgraphs"), f"{called}: a subgraph"):
            yield each
            waiting.append(each)


def _graph(id_: str, data: Mapping[str, Any], called: str) -> Graph:
    name = _text(data.get("name")) or id_
    where = f"{called}: subgraph {plain(name)}" if id_ else called
    nodes: dict[str, Node] = {}
    for raw in _objects(data.get("nodes"), f"{where}: a node"):
        node = _node(raw, where)
        if node.id in nodes:
            raise WorkflowError(f"{where}: two nodes have the id {plain(node.id)}: open and save it in the editor")
        nodes[node.id] = node
    links = dict(_links(data.get("links"), where))
    inputs, outputs = (_ports(data, key) for key in ("inputs", "outputs")) if id_ else ([], [])
    for link_id, link in links.items():  # what the list of a port lost
        if link.origin == INPUT_NODE and 0 <= link.origin_slot < len(inputs):
            port = inputs[link.origin_slot]
            if link_id not in port.links:
                port.links.append(link_id)
    return Graph(id_, name, nodes, links, inputs, outputs)


def _group(name: Any, raw: Any, called: str) -> Group:
    where = f"{called}: group {shown(name)}"
    data = _mapping(raw)
    listed = list(_objects(data.get("nodes"), f"{where}: a node"))
    graph = _graph("", {"nodes": [{**each, "id": at} for at, each in enumerate(listed)]}, where)
    nodes = list(graph.nodes.values())
    for node in nodes:  # the links that they had where the group was made
        for slot in node.slots:
            slot.link = None
        for output in node.outputs:
            output.links = []
    for at, each in enumerate(_list(data.get("links"))):
        places = [_index(place) for place in each[:4]] if isinstance(each, list) and len(each) >= 4 else [None] * 4
        origin, origin_slot, target, target_slot = places
        if origin is None or origin_slot is None or target is None or target_slot is None:
            continue  # a link from or to the outside
        if max(origin, target) >= len(nodes) or target_slot >= len(nodes[target].slots):
            raise WorkflowError(f"{where}: {shown(each)} links what it doesn't have")
        graph.links[str(at)] = Link(str(origin), origin_slot, str(target))
        nodes[target].slots[target_slot].link = str(at)
        if origin_slot < len(nodes[origin].outputs):
            nodes[origin].outputs[origin_slot].links.append(str(at))
    group = Group(graph, set(), {}, {})
    for each in _list(data.get("external")):
        if isinstance(each, list) and len(each) >= 2 and (index := _index(each[1])) is not None:
            group.external.add((str(each[0]), index))
    for node, saved in zip(nodes, listed, strict=True):
        for each in _objects(saved.get("inputs"), f"{where}: an input"):
            if label := _text(each.get("label")):
                group.labels[node.id, _text(each.get("name"))] = label
        config = _mapping(_mapping(data.get("config")).get(node.id))
        for kind in ("input", "output"):
            for key, each in _mapping(config.get(kind)).items():
                if isinstance(_mapping(each).get("visible"), bool):
                    group.shown[node.id, kind, str(key)] = each["visible"]
                if label := _text(_mapping(each).get("name")):
                    group.labels[node.id, str(key)] = label
    return group


def _node(raw: Mapping[str, Any], where: str) -> Node:
    id_ = _identity(raw.get("id"))
    if id_ is None:
        raise WorkflowError(f"{where}: a node has {kind_of(raw.get('id'))} for an id")
    type_ = raw.get("type")
    if not isinstance(type_, str):
        raise WorkflowError(f"{where}: node {plain(id_)} has no class ({shown(type_)})")
    mode = raw.get("mode")
    properties = _mapping(raw.get("properties"))
    called = f"{where}: node {plain(id_)} ({plain(type_)})"
    slots = [
        Slot(
            _text(each.get("name")),
            _type(each.get("type")),
            _identity(each.get("link")),
            _text(_mapping(each.get("widget")).get("name")) or None,
        )
        for each in _objects(raw.get("inputs"), f"{called}: an input")
    ]
    outputs = [
        Output(_type(each.get("type")), _identities(each.get("links")))
        for each in _objects(raw.get("outputs"), f"{called}: an output")
    ]
    return Node(
        id=id_,
        type=type_,
        title=_text(raw.get("title")),
        mode=mode if isinstance(mode, int) else 0,
        slots=slots,
        outputs=outputs,
        values=raw.get("widgets_values"),
        properties=properties,
        proxies=_proxies(properties.get("proxyWidgets")),
    )


def _links(raw: Any, where: str) -> Iterator[tuple[str, Link]]:
    """The table of links, in both of its forms: `[id, origin, slot, target, slot, type]`, or an object each."""
    if raw is None:
        return
    if not isinstance(raw, list):
        raise WorkflowError(f'{where}: "links" is {kind_of(raw)}, not a list')
    for each in raw:
        if isinstance(each, list) and len(each) >= 5:
            id_, origin, slot, target = each[:4]
        elif isinstance(each, Mapping):
            id_, origin, slot, target = (each.get(key) for key in ("id", "origin_id", "origin_slot", "target_id"))
        elif each is None:
            continue
        else:
            raise WorkflowError(f"{where}: {shown(each)} is no link")
        names = [_identity(id_), _identity(origin), _identity(target)]
        index = _index(slot)
        if names[0] is None or names[1] is None or names[2] is None or index is None:
            raise WorkflowError(f"{where}: {shown(each)} is no link")
        yield names[0], Link(names[1], index, names[2])


def _ports(data: Mapping[str, Any], key: str) -> list[Port]:
    return [
        Port(_text(each.get("name")), _type(each.get("type")), _identities(each.get("linkIds")))
        for each in _list(data.get(key))
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


def _renumber(root: Graph, subgraphs: Mapping[str, Graph], last: Any) -> None:
    """Gives each node in a subgraph an id that no other graph has, counting on from the last that was given."""
    used = set(root.nodes)
    highest = last if isinstance(last, int) and 0 <= last < 2**53 else 0
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


def _objects(raw: Any, what: str) -> Iterator[Mapping[str, Any]]:
    if raw is None:
        return
    if not isinstance(raw, list):
        raise WorkflowError(f"{what} was looked for in {kind_of(raw)}, not in a list")
    for each in raw:
        if not isinstance(each, Mapping):
            raise WorkflowError(f"{what} is {kind_of(each)}, not an object")
        yield each


def _identity(value: Any) -> str | None:
    """The id of a node or a link as text: files have them as numbers, or as text."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return str(value) if value.bit_length() < 64 else None
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 2**53 else None
    return value if isinstance(value, str) and len(value) <= 200 else None


def _identities(raw: Any) -> list[str]:
    return [id_ for id_ in map(_identity, _list(raw)) if id_ is not None]


def _index(value: Any) -> int | None:
    """The index of a slot; some files have it as text."""
    if isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 6:
        return int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and -1 <= value < 100_000 else None


def _type(value: Any) -> str:
    """The type of a slot. Very old files have 0 or -1 for "anything", or a combo's list of choices."""
    if isinstance(value, list):
        return "COMBO"
    return value if isinstance(value, str) else "*"


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, Mapping) else {}


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""
