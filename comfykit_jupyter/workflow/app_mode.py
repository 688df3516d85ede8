"""App mode: the inputs and outputs that a workflow's author chose to show (`extra.linearData` of the editor's graph).

The author points at widgets of the editor's graph; a run takes inputs of the prompt. Most are the same; the widget of a
primitive node or of a subgraph stands for the inputs that it is linked to.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from comfykit_jupyter.workflow.editor.file import File, Graph, read_file
from comfykit_jupyter.workflow.errors import WorkflowError

_MOST = 1000

Place = tuple[str, str]
"""One input of a prompt: node id and field."""


def find_app_inputs(graph: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[tuple[str, tuple[Place, ...]]]:
    """The inputs that the app shows: the widget's name, and what it fills in the prompt. Never fails."""
    entries = [each for each in _entries(graph, "inputs") if isinstance(each, list) and len(each) > 1]
    # The nodes of subgraphs may have got other ids on the way to the prompt: see `read`.
    files = [file for renumber in (False, True) if entries and (file := _read(graph, renumber=renumber)) is not None]
    shown = []
    for node_id, widget, *_ in entries:
        if isinstance(widget, str):
            name = _node_id(node_id, widget, graph)
            places = next((found for file in files if (found := _places(file, name, widget, prompt))), None)
            if places:
                shown.append((widget, tuple(places)))
    return shown


def find_app_outputs(graph: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[str]:
    """The ids of the nodes whose outputs the app shows. Never fails."""
    return [str(id_) for id_ in _entries(graph, "outputs") if isinstance(id_, (str, int)) and str(id_) in prompt]


def _entries(graph: Mapping[str, Any], key: str) -> list[Any]:
    extra = graph.get("extra")
    data = extra.get("linearData") if isinstance(extra, Mapping) else None
    entries = data.get(key) if isinstance(data, Mapping) else None
    return entries[:_MOST] if isinstance(entries, list) else []


def _read(graph: Mapping[str, Any], *, renumber: bool) -> File | None:
    try:
        return read_file(graph, "workflow", renumber=renumber)
    except WorkflowError:
        return None


def _node_id(given: Any, widget: str, graph: Mapping[str, Any]) -> str:
    """The id of the node, which newer editors write with the graph's id before it and the widget's name behind."""
    prefix = f"{graph.get('id')}:"
    text = str(given)
    return text[len(prefix) :].removesuffix(f":{widget}") if text.startswith(prefix) else text


def _places(file: File, node_id: str, widget: str, prompt: Mapping[str, Any]) -> dict[Place, None]:
    """The inputs of the prompt that the widget of a node fills, in order."""
    places: dict[Place, None] = {}
    waiting = [(file.root, "", node_id, widget)]  # with what the nodes of a graph have before their ids
    for _ in range(_MOST):  # steps: links may go in circles, and subgraphs multiply
        if not waiting:
            break
        graph, prefix, id_, name = waiting.pop()
        full = prefix + id_
        if full in prompt:
            if name in prompt[full]["inputs"]:
                places[full, name] = None
            continue
        node = graph.nodes.get(id_)
        if node is None:
            continue
        within = file.subgraphs.get(node.type)
        if within is not None:
            inner = [end for port in within.inputs if port.name == name for end in _ends(within, port.links)]
            inner += [(proxy.source, proxy.widget) for proxy in node.proxies if proxy.widget == name]
            waiting += [(within, f"{full}:", *end) for end in reversed(inner)]
        elif node.type == "PrimitiveNode":
            ends = [end for output in node.outputs for end in _ends(graph, output.links)]
            waiting += [(graph, prefix, *end) for end in reversed(ends)]
    return places


def _ends(graph: Graph, links: list[str]) -> Iterator[Place]:
    """Where links end: the node, and the widget of the slot."""
    for id_ in links:
        link = graph.links.get(id_)
        node = graph.nodes.get(link.target) if link is not None else None
        slot = node.slot(id_) if node is not None else None
        if node is not None and slot is not None:
            yield node.id, slot.widget or slot.name
