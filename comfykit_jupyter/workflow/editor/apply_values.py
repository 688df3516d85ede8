"""Put the values of a run into the editor's graph, so that an image opened in the editor shows what made it.

This works for the nodes of the workflow itself, and for primitive nodes that feed them. Other values stay as they were
saved: those inside a subgraph, those that an old file has no place for, and those that change which widgets a node has.
The prompt beside the graph is exact in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfykit_jupyter.workflow.editor.file import File, Link, Node, read_file
from comfykit_jupyter.workflow.editor.layout import Layout
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.nodes import Definitions, NodeDefinition, is_link


def find_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[tuple[str, str], tuple[Any, Any]]:
    """Return the values that differ between two prompts of the same nodes, by node ID and input: before, after."""
    found: dict[tuple[str, str], tuple[Any, Any]] = {}
    for id_, node in after.items():
        own = before[id_]
        if own is not node:
            for field, value in node["inputs"].items():
                former = own["inputs"].get(field)
                if value != former and not is_link(value):
                    found[id_, field] = (former, value)
    return found


def apply_values(
    graph: Mapping[str, Any], changed: Mapping[tuple[str, str], tuple[Any, Any]], definitions: Definitions
) -> Mapping[str, Any]:
    """Return a graph in editor format with new values in its widgets; never raise.

    Args:
        graph: The graph as it was saved, which is not changed.
        changed: The changes, as `find_changes` returns them.
        definitions: The definitions of the node classes.
    """
    try:
        file = read_file(graph, "workflow", renumber=False) if changed else None
    except WorkflowError:
        file = None
    if file is None:
        return graph
    edited: dict[str, list[Any] | dict[str, Any]] = {}
    for (id_, field), (former, value) in changed.items():
        found = _find_place(file, id_, field, definitions)
        if found is None:
            continue
        node, place = found
        values = edited.get(node.id, node.values)
        values = dict(values) if isinstance(values, Mapping) else list(values)
        if _is_same(values[place], former):  # else the file is older than the definition, and this is another widget
            values[place] = value
            edited[node.id] = values
    if not edited:
        return graph
    return {**graph, "nodes": [_replace_values(node, edited) for node in graph["nodes"]]}


def _replace_values(node: Mapping[str, Any], edited: Mapping[str, Any]) -> Mapping[str, Any]:
    id_ = str(node.get("id"))
    return {**node, "widgets_values": edited[id_]} if id_ in edited else node


def _find_place(file: File, id_: str, field: str, definitions: Definitions) -> tuple[Node, Any] | None:
    """Return the node, and the place in its values where the editor keeps the value of an input."""
    node = file.root.nodes.get(id_)
    definition = definitions.get(node.type) if node is not None else None
    if node is None or definition is None:
        return None
    slot = next((slot for slot in node.slots if field in (slot.name, slot.widget)), None)
    link = file.root.links.get(slot.link) if slot is not None and slot.link is not None else None
    if link is not None:
        return _find_primitive_place(file, link)
    if isinstance(node.values, Mapping):
        return (node, field) if field in node.values else None
    return _find_widget_place(node, field, definition) if isinstance(node.values, list) else None


def _find_primitive_place(file: File, link: Link) -> tuple[Node, Any] | None:
    origin = file.root.nodes.get(link.origin)
    if origin is None or origin.type != "PrimitiveNode" or not isinstance(origin.values, list):
        return None
    return (origin, 0) if origin.values else None


def _find_widget_place(node: Node, field: str, definition: NodeDefinition) -> tuple[Node, Any] | None:
    layout = Layout(definition)
    layout.connect(node.slots)
    layout.fill(node.values)
    saved = [widget for widget in layout.widgets if widget.saved]
    place = next((at for at, widget in enumerate(saved) if widget.name == field), len(saved))
    if place >= min(len(saved), len(node.values)):
        return None
    spec = saved[place].spec
    return None if spec is None or spec.variants is not None else (node, place)


def _is_same(kept: Any, former: Any) -> bool:
    """Return whether the file has the value that the prompt was made with; a text may have had alternatives."""
    return bool(kept == former) or (isinstance(kept, str) and isinstance(former, str))
