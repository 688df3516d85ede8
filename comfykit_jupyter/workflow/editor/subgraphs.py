"""Promote widgets: let an instance of a subgraph show widgets of inner nodes, with values of its own.

An instance has an input slot for each input of its subgraph. A slot whose inner link leads to a widget shows that
widget, with a value of its own ("promoted"). Files of 2025 also list widgets that no input leads to ("proxies"): a
newer editor adds an input for each of them, an older one leaves them where they are.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from comfykit_jupyter.workflow.editor.file import INPUT_NODE, End, File, Graph, Link, Node, Port, Proxy
from comfykit_jupyter.workflow.editor.quirks import EDITOR_CLASSES
from comfykit_jupyter.workflow.editor.widgets import Slot, Widget, set_value
from comfykit_jupyter.workflow.errors import WorkflowError, one_line
from comfykit_jupyter.workflow.nodes import MISSING

_MAX_DEPTH = 32
"""How deep subgraphs may contain subgraphs."""
_MAX_PROXIES = 1000
"""How many widgets one instance may show."""
_BYPASS_MARK = "proxyBypassedToSubgraphInput"
_PREFIX = re.compile(r"\s*(\d{1,15})\s*:\s*(.+)", re.DOTALL)


def sort_leaves_first(file: File, workflow_name: str) -> list[Graph]:
    """Return the subgraphs, each behind those that it contains; raise WorkflowError for a circle."""
    depth: dict[str, int] = {}
    for start in file.subgraphs:
        path = {start: _iter_used(file, start)} if start not in depth else {}  # the open subgraphs, outermost first
        while path:
            id_ = next(reversed(path))
            inner = next((each for each in path[id_] if each not in depth), None)
            if inner is None:
                del path[id_]
                depth[id_] = 1 + max((depth[each] for each in _iter_used(file, id_)), default=0)
            elif inner in path:
                name = one_line(file.subgraphs[inner].name)
                raise WorkflowError(
                    f"{workflow_name}: the subgraph {name} contains itself: open and save it in the editor"
                )
            else:
                path[inner] = _iter_used(file, inner)
    if any(each > _MAX_DEPTH for each in depth.values()):
        raise WorkflowError(f"{workflow_name}: its subgraphs are more than {_MAX_DEPTH} deep")
    return [file.subgraphs[id_] for id_ in depth]


def _iter_used(file: File, id_: str) -> Iterator[str]:
    return (node.type for node in file.subgraphs[id_].nodes.values() if node.type in file.subgraphs)


@dataclass
class Promotion:
    """Promotes widgets while the graphs of a file are assembled, one after another, inner ones first."""

    file: File
    workflow_name: str
    recent: bool

    def __post_init__(self) -> None:
        self.hosts: dict[str, list[Node]] = {id_: [] for id_ in self.file.subgraphs}
        self._numbers = count(1)

    def assemble(self, node: Node) -> None:
        """Assemble an instance of a subgraph: its slots, the widgets that they show, and their values."""
        graph = self.file.subgraphs[node.type]
        saved = {slot.name: slot for slot in node.slots}
        node.slots = []
        for port in graph.inputs:
            link = saved[port.name].link if port.name in saved else None
            node.slots.append(Slot(port.name, port.type, link))
            self._show(node, node.slots[-1], port)
        for port, output in zip(graph.outputs, node.outputs, strict=False):
            output.type = port.type
        self.hosts[graph.id].append(node)
        values = node.values if isinstance(node.values, list) else []
        held = {} if not self.recent else _read_quarantine(node)
        shown = [slot for slot in node.slots if slot.promoted is not None]
        for slot, value in zip(shown, [*values, *[MISSING] * len(shown)], strict=False):
            value = held.get(slot.name, value)
            _set_promoted(slot, value)
        if not self.recent:
            self._fill_listed(node, values)

    def migrate(self, node: Node) -> None:
        """Add an input to an instance for each proxy that has none, and set the proxies' values."""
        graph = self.file.subgraphs[node.type]
        if len(node.proxies) > _MAX_PROXIES:
            raise WorkflowError(
                f"{self.workflow_name}: node {one_line(node.id)} shows more than {_MAX_PROXIES:,} widgets"
            )
        proxies = [_normalize(graph, proxy) for proxy in node.proxies]
        values = node.values if isinstance(node.values, list) else []
        shown = self._find_shown(node, graph) if proxies else {}
        primitives: dict[str, list[tuple[str, Any]]] = {}
        for at, proxy in enumerate(proxies):
            value = values[at] if at < len(values) and values[at] is not None else MISSING
            slot = shown.get((proxy.source, proxy.widget)) or self._find_migrated(node, graph, proxy)
            inner = graph.nodes.get(proxy.source)
            if slot is None and inner is not None:
                if inner.type == "PrimitiveNode":
                    primitives.setdefault(proxy.source, []).append((proxy.widget, value))
                elif (slot := self._add_input(node, graph, inner, proxy)) is not None:
                    shown[proxy.source, proxy.widget] = slot
            _set_promoted(slot, value)
        for source, entries in primitives.items():
            self._replace_primitive(node, graph, graph.nodes[source], entries)

    def _find_migrated(self, node: Node, graph: Graph, proxy: Proxy) -> Slot | None:
        """Return the slot of a proxy that is an input already: named by "-1", or in the place of a primitive node."""
        inner = graph.nodes.get(proxy.source)
        name: Any = proxy.widget
        if inner is not None and inner.type == "PrimitiveNode":
            name = inner.properties.get(_BYPASS_MARK)
        elif inner is not None or proxy.source != "-1":
            return None
        return next((each for each in node.slots if each.name == name), None)

    def _show(self, node: Node, slot: Slot, port: Port) -> None:
        """Let a slot of an instance show the first widget that its inner links lead to."""
        graph = self.file.subgraphs[node.type]
        ends = list(_iter_ends(graph, port))
        widget = next((end.widget for end in ends if end.widget is not None), None)
        if widget is None and any(self._is_unknown(end.node) and end.slot.widget for end in ends):
            # The server lacks the inner node, but the instance still has a value in its place.
            widget = Widget(slot.name)
        if widget is not None:
            slot.widget = slot.name
            slot.promoted = widget if widget.shared else Widget(slot.name, widget.value, spec=widget.spec)

    def _is_unknown(self, node: Node) -> bool:
        """Return whether the server lacks the class of a node."""
        return node.definition is None and node.type not in EDITOR_CLASSES and node.type not in self.file.subgraphs

    def _fill_listed(self, node: Node, values: list[Any]) -> None:
        """Set values as an older editor does: the list has one for each proxy, and proxies of "-1" are inputs."""
        for proxy, value in zip(node.proxies, values, strict=False):
            slot = next((each for each in node.slots if each.name == proxy.widget and each.promoted), None)
            if proxy.source == "-1" and value is not None and slot is not None and slot.promoted is not None:
                set_value(slot.promoted, value)

    def _find_shown(self, node: Node, graph: Graph) -> dict[tuple[str, str], Slot]:
        """Return the slots of an instance that show a widget, by the inner node and the name of its widget or slot."""
        found: dict[tuple[str, str], Slot] = {}
        for slot, port in zip(node.slots, graph.inputs, strict=False):
            for end in _iter_ends(graph, port):
                inner = end.node.type in self.file.subgraphs
                if inner or end.widget is not None:
                    found.setdefault((end.node.id, end.slot.name if inner else end.slot.widget or ""), slot)
                    break
        return found

    def _add_input(self, node: Node, graph: Graph, inner: Node, proxy: Proxy) -> Slot | None:
        name = proxy.widget
        if name.startswith("$$"):  # it shows a preview
            return None
        if inner.type in self.file.subgraphs:
            target = self._find_inner_slot(inner, proxy)
        else:
            target = (
                next((slot for slot in inner.slots if slot.widget == name), None) if inner.find_widget(name) else None
            )
        if target is None:
            return None
        port = self._add_port(graph, name, target.type)
        self._connect(graph, port, End(inner, target, target.promoted or inner.find_widget(target.widget)))
        return self._add_slots(node, graph, port)

    def _find_inner_slot(self, inner: Node, proxy: Proxy) -> Slot | None:
        """Return the slot of an inner instance that shows what a proxy means; without a node, its name is enough."""
        graph = self.file.subgraphs[inner.type]
        for slot, port in zip(inner.slots, graph.inputs, strict=False):
            behind = next(((end.node.id, end.slot.widget) for end in _iter_ends(graph, port)), None)
            same = behind == (proxy.inner, proxy.widget)
            named = not proxy.inner and (
                slot.name == proxy.widget or (behind is not None and behind[1] == proxy.widget)
            )
            if slot.promoted is not None and (same or named):
                return slot
        return None

    def _replace_primitive(self, node: Node, graph: Graph, primitive: Node, entries: list[tuple[str, Any]]) -> None:
        """Replace a primitive node that is shown outside by an input of the subgraph."""
        names = {name for name, _ in entries}
        ends = _find_primitive_ends(graph, primitive)
        if len(names) != 1 or not ends:
            return
        output = primitive.outputs[0]
        title = primitive.title if primitive.title != "PrimitiveNode" else ""
        port = self._add_port(graph, title or names.pop(), output.type)
        for end in ends:
            self._connect(graph, port, end)
        output.links.clear()
        primitive.properties = {**primitive.properties, _BYPASS_MARK: port.name}
        _set_promoted(
            self._add_slots(node, graph, port),
            next((value for _, value in entries if value is not MISSING), MISSING),
        )

    def _add_port(self, graph: Graph, name: str, type_: str) -> Port:
        names = {port.name for port in graph.inputs}
        free = next(each for each in _iter_names(name) if each not in names)
        graph.inputs.append(Port(free, type_, []))
        return graph.inputs[-1]

    def _connect(self, graph: Graph, port: Port, end: End) -> None:
        id_ = f"proxy:{next(self._numbers)}"
        if end.slot.link is not None:
            graph.ends.pop(end.slot.link, None)
        graph.links[id_] = Link(INPUT_NODE, len(graph.inputs) - 1, end.node.id)
        graph.ends[id_] = end
        port.links.append(id_)
        end.slot.link = id_

    def _add_slots(self, node: Node, graph: Graph, port: Port) -> Slot | None:
        """Add a slot for a new input to all instances of a subgraph."""
        for host in self.hosts[graph.id]:
            host.slots.append(Slot(port.name, port.type))
            self._show(host, host.slots[-1], port)
        return node.slots[-1]


def _set_promoted(slot: Slot | None, value: Any) -> None:
    """Set the value of the widget that a slot shows, if there are both."""
    if slot is not None and slot.promoted is not None and value is not MISSING:
        set_value(slot.promoted, value)


def _find_primitive_ends(graph: Graph, primitive: Node) -> list[End]:
    """Return the ends of a primitive node's links; none if one is broken, or the types differ."""
    if not primitive.outputs:
        return []
    output = primitive.outputs[0]
    ends = [graph.ends[id_] for id_ in output.links if id_ in graph.ends]
    types = {end.slot.type for end in ends} - {"*", output.type}
    return ends if len(ends) == len(output.links) and (output.type == "*" or not types) else []


def _normalize(graph: Graph, proxy: Proxy) -> Proxy:
    """Return a proxy without the IDs that older files write in front of the widget's name."""
    inner = graph.nodes.get(proxy.source)
    if inner is not None and (
        inner.find_widget(proxy.widget) or any(slot.name == proxy.widget for slot in inner.slots)
    ):
        return proxy
    while (match := _PREFIX.fullmatch(proxy.widget)) is not None:
        proxy = Proxy(proxy.source, match[2], match[1])
    return proxy


def _iter_ends(graph: Graph, port: Port) -> Iterator[End]:
    """Yield the ends of the links of a subgraph's input."""
    return (graph.ends[id_] for id_ in port.links if id_ in graph.ends)


def _iter_names(name: str) -> Iterator[str]:
    yield name
    for number in count(1):
        yield f"{name}_{number}"


def _read_quarantine(node: Node) -> dict[str, Any]:
    """Return values that an editor put aside because it did not find their input when it migrated proxies."""
    raw = node.properties.get("proxyWidgetErrorQuarantine")
    found: dict[str, Any] = {}
    for each in raw if isinstance(raw, list) else ():
        entry = each.get("originalEntry") if isinstance(each, dict) else None
        if isinstance(entry, list) and len(entry) >= 2 and entry[0] == "-1" and isinstance(entry[1], str):
            value = each.get("hostValue")
            if value is not None:
                found.setdefault(entry[1], value)
    return found
