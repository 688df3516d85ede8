"""List where the time of an ended run went, for the page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.parameters.titles import parse_title

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

MAX_NODES = 20
"""Nodes that are listed, the slowest first."""
TITLE_LENGTH = 80


def list_node_times(result: ExecuteResult) -> list[dict[str, Any]]:
    """List the slowest nodes of a run, with the seconds that each took."""
    slowest = sorted(result.node_times.items(), key=lambda pair: -pair[1])[:MAX_NODES]
    return [{"node": _get_title(result.prompt.get(id_), id_), "seconds": round(seconds, 3)} for id_, seconds in slowest]


def _get_title(node: Any, node_id: str) -> str:
    """Return what to call a node of a prompt."""
    if not isinstance(node, dict):
        return node_id
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, dict) else None
    shown = parse_title(title).text if isinstance(title, str) else ""
    return str(shown or node.get("class_type") or node_id)[:TITLE_LENGTH]
