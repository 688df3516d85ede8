"""Read what a workflow's author chose to show: in App mode (`extra.linearData`), and on the nodes of subgraphs.

The author points at widgets of the editor's graph, but a run needs inputs of the prompt. Most are the same. The widget
of a primitive node or of a subgraph stands for the inputs that it is linked to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from comfykit_jupyter.workflow.editor.file import File, Graph, Node, Port, read_file
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.nodes import is_link

_MAX_ENTRIES = 1000
_MAX_STEPS = 1000
"""How far links are followed: they may go in circles, and subgraphs multiply."""

_PRIMITIVE = "PrimitiveNode"
_PASSING = (_PRIMITIVE, "Reroute")
"""The editor's nodes that pass a value on, and that no prompt has."""

Place = tuple[str, str]
"""One input of a prompt: the node's ID and the input's name."""


@dataclass(frozen=True)
class AppWidget:
    """A widget that the author shows.

    Attributes:
        node_id: The node that has it in the editor's outermost graph.
        title: The title of that node; "" if it has none.
        widget: The widget's name.
        label: What the author calls it; "" if they left it as it was.
        places: The inputs of the prompt that it sets.
        instance: Whether the node is an instance of a subgraph.
        primitive: Whether it is one of the editor's primitive nodes.
    """

    node_id: str
    title: str
    widget: str
    label: str
    places: tuple[Place, ...]
    instance: bool = False
    primitive: bool = False


def find_app_inputs(graph: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[AppWidget]:
    """Return the widgets that the app shows, in its order. Never raises."""
    entries = [each for each in _read_entries(graph, "inputs") if isinstance(each, list) and len(each) > 1]
    files = _read_files(graph) if entries else []
    shown = []
    for node_id, widget, *_ in entries:
        if isinstance(widget, str):
            id_ = _parse_node_id(node_id, widget, graph)
            id_ = _find_inner_node(id_, prompt)
            found = next((each for file in files if (each := _find_widget(file, id_, widget, "", prompt))), None)
            if found is not None:
                shown.append(found)
    return shown


def find_instances(graph: Mapping[str, Any], prompt: Mapping[str, Any]) -> dict[str, list[AppWidget]]:
    """Return what the subgraphs of the outermost graph show that no link sets, by the ID of their nodes. Never raises.

    The order follows the list of proxies, which files of 2025 have, then the subgraph's inputs. The editor's
    primitive nodes, which no prompt has, are among them: each shows one value.
    """
    files = _read_files(graph)
    instances: dict[str, list[AppWidget]] = {}
    for id_, node in files[0].root.nodes.items() if files else ():
        inner = files[0].subgraphs.get(node.type)
        if inner is None and node.type != _PRIMITIVE:
            continue
        shown: dict[tuple[Place, ...], AppWidget] = {}
        for source, widget in _list_widgets(node, inner) if inner is not None else (("", "value"),):
            found = (_find_widget(file, id_, widget, source, prompt) for file in files)
            if (each := next((each for each in found if each is not None), None)) is not None:
                shown.setdefault(each.places, each)
        instances[id_] = list(shown.values())
    return instances


def find_app_outputs(graph: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[str]:
    """Return the IDs of the nodes whose outputs the app shows. Never raises."""
    return [str(id_) for id_ in _read_entries(graph, "outputs") if isinstance(id_, (str, int)) and str(id_) in prompt]


def _read_entries(graph: Mapping[str, Any], key: str) -> list[Any]:
    extra = graph.get("extra")
    data = extra.get("linearData") if isinstance(extra, Mapping) else None
    entries = data.get(key) if isinstance(data, Mapping) else None
    return entries[:_MAX_ENTRIES] if isinstance(entries, list) else []


def _read_files(graph: Mapping[str, Any]) -> list[File]:
    """Read the graph; the nodes of subgraphs may have other IDs in the prompt: see `read_file`."""
    try:
        return [read_file(graph, "workflow", renumber=renumber) for renumber in (False, True)]
    except WorkflowError:
        return []


def _list_widgets(node: Node, inner: Graph) -> Iterator[tuple[str, str]]:
    """Yield the widgets that an instance shows: the inner node, "" for an input of the subgraph, and the name."""
    for proxy in node.proxies[:_MAX_ENTRIES]:
        ports = [port for port in inner.inputs if proxy.source == "-1" and port.name == proxy.widget]
        if not ports:
            end = (proxy.source, proxy.widget)
            ports = [port for port in inner.inputs if end in _iter_ends(inner, port.links)]
        yield ("", ports[0].name) if ports else (proxy.source, proxy.widget)
    for port in inner.inputs[:_MAX_ENTRIES]:
        yield "", port.name


def _find_widget(file: File, node_id: str, widget: str, source: str, prompt: Mapping[str, Any]) -> AppWidget | None:
    """Return a widget with the inputs that it sets; None if there are none, or links set all of them.

    `source` is the inner node that a proxy names; "" stands for the widget of the node itself.
    """
    node = file.root.nodes.get(node_id)
    inner = file.subgraphs.get(node.type) if node is not None else None
    start = (file.root, "", node_id, widget)
    if inner is not None and source in inner.nodes:
        start = (inner, f"{node_id}:", source, widget)
    places = tuple(place for place in _find_places(file, start, prompt) if not is_link(_get_value(prompt, place)))
    if not places:
        return None
    port = next((port for port in inner.inputs if port.name == widget), None) if inner is not None else None
    label = _read_label(port, places) if port is not None else ""
    title = node.title or (inner.name if inner is not None else "") if node is not None else ""
    primitive = node is not None and node.type == _PRIMITIVE
    if primitive and title != _PRIMITIVE:
        label = title
    return AppWidget(node_id, title, widget, label, places, inner is not None, primitive)


def _read_label(port: Port, places: tuple[Place, ...]) -> str:
    """Return what the author calls an input of a subgraph; "" if its name is only that of the inner widget."""
    if port.label:
        return port.label
    inner = places[0][1].rpartition(".")[2]
    own = port.name.rpartition(".")[2]
    return "" if own.rstrip("0123456789").rstrip("_") in (inner, inner.rstrip("0123456789")) else port.name


def _get_value(prompt: Mapping[str, Any], place: Place) -> Any:
    return prompt[place[0]]["inputs"].get(place[1])


def _parse_node_id(given: Any, widget: str, graph: Mapping[str, Any]) -> str:
    """Return the ID of a node: newer editors write the graph's ID in front of it, and the widget's name behind."""
    prefix = f"{graph.get('id')}:"
    text = str(given)
    return text[len(prefix) :].removesuffix(f":{widget}") if text.startswith(prefix) else text


def _find_inner_node(node_id: str, prompt: Mapping[str, Any]) -> str:
    """Return the ID in the prompt of a node that the app names without the subgraph that it is in."""
    inner = [] if node_id in prompt else [id_ for id_ in prompt if id_.endswith(f":{node_id}")]
    return inner[0] if len(inner) == 1 else node_id


def _find_places(file: File, start: tuple[Graph, str, str, str], prompt: Mapping[str, Any]) -> dict[Place, None]:
    """Return the inputs of the prompt that the widget of a node sets, in order.

    `start` is the graph, what its nodes have in front of their IDs in the prompt, the node, and the widget's name.
    """
    places: dict[Place, None] = {}
    waiting = [start]
    for _ in range(_MAX_STEPS):
        if not waiting:
            break
        graph, prefix, id_, name = waiting.pop()
        full = prefix + id_
        if full in prompt:
            if name in prompt[full]["inputs"]:
                places[full, name] = None
        elif id_ in graph.nodes:
            node = graph.nodes[id_]
            inner = file.subgraphs.get(node.type)
            if inner is not None:
                waiting += [(inner, f"{full}:", *end) for end in reversed(_find_inner_widgets(inner, node, name))]
            elif node.type in _PASSING:
                ends = [end for output in node.outputs for end in _iter_ends(graph, output.links)]
                waiting += [(graph, prefix, *end) for end in reversed(ends)]
    return places


def _find_inner_widgets(inner: Graph, node: Node, name: str) -> list[Place]:
    """Return the widgets in a subgraph that a widget of its instance stands for."""
    linked = [end for port in inner.inputs if port.name == name for end in _iter_ends(inner, port.links)]
    return linked or [(proxy.source, proxy.widget) for proxy in node.proxies if proxy.widget == name]


def _iter_ends(graph: Graph, links: list[str]) -> Iterator[Place]:
    """Yield the ends of links: the node, and the widget of the slot."""
    for id_ in links:
        link = graph.links.get(id_)
        node = graph.nodes.get(link.target) if link is not None else None
        slot = node.find_slot(id_) if node is not None else None
        if node is not None and slot is not None:
            yield node.id, slot.widget or slot.name
