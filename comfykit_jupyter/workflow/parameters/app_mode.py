"""Read the inputs and outputs that a workflow's author chose to show in App mode (`extra.linearData`).

The author points at widgets of the editor's graph, but a run needs inputs of the prompt. Most are the same. The widget
of a primitive node or of a subgraph stands for the inputs that it is linked to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfykit_jupyter.workflow.editor.file import File, Graph, Node, read_file
from comfykit_jupyter.workflow.errors import WorkflowError

_MAX_ENTRIES = 1000
_MAX_STEPS = 1000
"""How far links are followed: they may go in circles, and subgraphs multiply."""

Place = tuple[str, str]
"""One input of a prompt: the node's ID and the input's name."""


def find_app_inputs(graph: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[tuple[str, tuple[Place, ...]]]:
    """Return the inputs that the app shows: the widget's name, and the inputs that it sets. Never raises."""
    entries = [each for each in _read_entries(graph, "inputs") if isinstance(each, list) and len(each) > 1]
    # The nodes of subgraphs may have other IDs in the prompt: see `read_file`.
    files = [
        file for renumber in (False, True) if entries and (file := _read_graph(graph, renumber=renumber)) is not None
    ]
    shown = []
    for node_id, widget, *_ in entries:
        if isinstance(widget, str):
            name = _parse_node_id(node_id, widget, graph)
            places = next((found for file in files if (found := _find_places(file, name, widget, prompt))), None)
            if places:
                shown.append((widget, tuple(places)))
    return shown


def find_app_outputs(graph: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[str]:
    """Return the IDs of the nodes whose outputs the app shows. Never raises."""
    return [str(id_) for id_ in _read_entries(graph, "outputs") if isinstance(id_, (str, int)) and str(id_) in prompt]


def _read_entries(graph: Mapping[str, Any], key: str) -> list[Any]:
    extra = graph.get("extra")
    data = extra.get("linearData") if isinstance(extra, Mapping) else None
    entries = data.get(key) if isinstance(data, Mapping) else None
    return entries[:_MAX_ENTRIES] if isinstance(entries, list) else []


def _read_graph(graph: Mapping[str, Any], *, renumber: bool) -> File | None:
    try:
        return read_file(graph, "workflow", renumber=renumber)
    except WorkflowError:
        return None


def _parse_node_id(given: Any, widget: str, graph: Mapping[str, Any]) -> str:
    """Return the ID of a node: newer editors write the graph's ID in front of it, and the widget's name behind."""
    prefix = f"{graph.get('id')}:"
    text = str(given)
    return text[len(prefix) :].removesuffix(f":{widget}") if text.startswith(prefix) else text


def _find_places(file: File, node_id: str, widget: str, prompt: Mapping[str, Any]) -> dict[Place, None]:
    """Return the inputs of the prompt that the widget of a node sets, in order."""
    places: dict[Place, None] = {}
    waiting = [(file.root, "", node_id, widget)]  # graph, what its nodes have in front of their IDs, node, widget
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
            elif node.type == "PrimitiveNode":
                ends = [end for output in node.outputs for end in _iter_ends(graph, output.links)]
                waiting += [(graph, prefix, *end) for end in reversed(ends)]
    return places


def _find_inner_widgets(inner: Graph, node: Node, name: str) -> list[Place]:
    """Return the widgets in a subgraph that a widget of its instance stands for."""
    linked = [end for port in inner.inputs if port.name == name for end in _iter_ends(inner, port.links)]
    return linked + [(proxy.source, proxy.widget) for proxy in node.proxies if proxy.widget == name]


def _iter_ends(graph: Graph, links: list[str]) -> Iterator[Place]:
    """Yield the ends of links: the node, and the widget of the slot."""
    for id_ in links:
        link = graph.links.get(id_)
        node = graph.nodes.get(link.target) if link is not None else None
        slot = node.slot(id_) if node is not None else None
        if node is not None and slot is not None:
            yield node.id, slot.widget or slot.name
