"""The editor's graph with the values of a run, so that a picture opened in the editor shows what made it.

Done for the nodes of the workflow itself and the primitive nodes that feed them. A value inside a subgraph, one that an
old file has no place for, or one that changes which widgets its node has, stays as it was saved: the prompt beside the
graph is exact in any case.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfykit_jupyter.workflow.editor.file import File, Node, read_file
from comfykit_jupyter.workflow.editor.layout import Layout
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.nodes import Definitions, is_link


def find_changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[tuple[str, str], tuple[Any, Any]]:
    """The values that differ between two prompts of the same nodes: by node id and field, before and after."""
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
    """A graph of the editor with these values in its widgets; itself where there are none. Never fails.

    Args:
        graph: as the editor saved it; it is not changed.
        changed: see `changes`.
        definitions: of the classes of the nodes.
    """
    try:
        file = read_file(graph, "workflow", renumber=False) if changed else None
    except WorkflowError:
        file = None
    if file is None:
        return graph
    edited: dict[str, list[Any] | dict[str, Any]] = {}
    for (id_, field), (former, value) in changed.items():
        found = _place(file, id_, field, definitions)
        if found is None:
            continue
        node, place = found
        values = edited.get(node.id, node.values)
        values = dict(values) if isinstance(values, Mapping) else list(values)
        if _is_same(values[place], former):  # else the file is older than its definition, and this is another widget
            values[place] = value
            edited[node.id] = values
    if not edited:
        return graph
    return {**graph, "nodes": [_edited(node, edited) for node in graph["nodes"]]}


def _edited(node: Mapping[str, Any], edited: Mapping[str, Any]) -> Mapping[str, Any]:
    id_ = str(node.get("id"))
    return {**node, "widgets_values": edited[id_]} if id_ in edited else node


def _place(file: File, id_: str, field: str, definitions: Definitions) -> tuple[Node, Any] | None:
    """The node and the place in its values where the editor keeps the value of an input."""
    node = file.root.nodes.get(id_)
    definition = definitions.get(node.type) if node is not None else None
    if node is None or definition is None:
        return None
    slot = next((slot for slot in node.slots if field in (slot.name, slot.widget)), None)
    link = file.root.links.get(slot.link) if slot is not None and slot.link is not None else None
    if link is not None:
        origin = file.root.nodes.get(link.origin)
        fed = origin is not None and origin.type == "PrimitiveNode" and isinstance(origin.values, list)
        return (origin, 0) if origin is not None and fed and origin.values else None
    if isinstance(node.values, Mapping):
        return (node, field) if field in node.values else None
    if not isinstance(node.values, list):
        return None
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
    """Whether the file has there what the prompt was made with. Of a text with choices in it, one was chosen."""
    return bool(kept == former) or (isinstance(kept, str) and isinstance(former, str))
