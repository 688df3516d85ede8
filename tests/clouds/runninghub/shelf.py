"""Workflows and the apps made from them."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .codes import ApiError

Graph = dict[str, Any]
SEEDS = ("seed", "noise_seed")
"""Inputs that get a random value in every run, unless they are given."""
_MAX_ID = (1 << 63) - 1


@dataclass(frozen=True)
class Field:
    """A parameter of an app."""

    node_id: str
    name: str
    type: str
    """STRING, INT, FLOAT, LIST, SWITCH, BOOLEAN, IMAGE, AUDIO or VIDEO."""
    description: str = ""
    data: str | None = None
    """The `fieldData` to send, instead of that derived from the node's definition."""


@dataclass(frozen=True)
class App:
    """An app: a workflow and some of its parameters."""

    name: str
    workflow_id: str
    fields: Sequence[Field]
    password: str | None = None


def parse_id(value: Any, what: str) -> str:
    """Return an ID as a string.

    Raises:
        ApiError: Code 301 if it is not a valid ID.
    """
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    if not (text.isascii() and text.isdigit() and 0 < int(text) <= _MAX_ID):
        raise ApiError(301, f"{what} must be greater than 0")
    return text


def apply_values(graph: Graph, target: Graph, given: Any) -> Graph:
    """Return a copy of the target with new seeds and the values of a `nodeInfoList`, which must fit the saved graph.

    Raises:
        ApiError: Code 803 if a node or field is missing, or the list is malformed.
    """
    if not isinstance(given, list):
        raise ApiError(803, "APIKEY_INVALID_NODE_INFO: nodeInfoList is not a list")
    made: Graph = json.loads(json.dumps(target))
    fixed = set()
    for item in given:
        node_id, name, value = _parse_item(item)
        inputs = graph.get(node_id, {}).get("inputs", {})
        if name not in inputs:
            kind = "field_not_found_in_node" if node_id in graph else "node_not_found_in_workflow"
            raise ApiError(803, f"APIKEY_INVALID_NODE_INFO: {kind}, nodeId: {node_id}, fieldName: {name}")
        fixed.add((node_id, name))
        if node_id in made:
            made[node_id]["inputs"][name] = _convert_like(inputs[name], value)
    for node_id, node in made.items():
        for name in SEEDS:
            if (node_id, name) not in fixed and isinstance(node["inputs"].get(name), int):
                node["inputs"][name] = _draw_other_seed(node["inputs"][name])
    return made


def describe_app(app: App, graph: Graph, definitions: Mapping[str, Any], curl: str) -> dict[str, Any]:
    """Return an app's description in apiCallDemo: all values are strings, `fieldData` is a string of JSON."""
    fields = []
    for field in app.fields:
        node = graph[field.node_id]
        class_type = node["class_type"]
        inputs = definitions.get(class_type, {}).get("input", {})
        spec = {**inputs.get("required", {}), **inputs.get("optional", {})}.get(field.name, [field.type, {}])
        fields.append(
            {
                "nodeId": field.node_id,
                "nodeName": class_type,
                "fieldName": field.name,
                "fieldValue": _to_text(node["inputs"][field.name]),
                "fieldData": _format_field_data(field.type, spec) if field.data is None else field.data,
                "fieldType": field.type,
                "description": field.description,
                "descriptionEn": field.description,
            }
        )
    return {
        "webappName": app.name,
        "covers": [],
        "accessEncrypted": app.password is not None,
        "curl": curl,
        "nodeInfoList": fields,
    }


def _parse_item(item: Any) -> tuple[str, str, Any]:
    if not isinstance(item, dict) or not isinstance(item.get("nodeId"), str) or "fieldValue" not in item:
        raise ApiError(803, "APIKEY_INVALID_NODE_INFO: an element lacks nodeId, fieldName or fieldValue")
    if not isinstance(item.get("fieldName"), str) or isinstance(item["fieldValue"], (list, dict)):
        raise ApiError(803, "APIKEY_INVALID_NODE_INFO: an element lacks nodeId, fieldName or fieldValue")
    return item["nodeId"], item["fieldName"], item["fieldValue"]


def _convert_like(original: Any, value: Any) -> Any:
    """Convert a string to the type of the original value if possible; otherwise leave it to ComfyUI."""
    if not isinstance(value, str) or not isinstance(original, (bool, int, float)):
        return value
    if isinstance(original, bool):
        return {"true": True, "false": False}.get(value.lower(), value)
    kinds: tuple[Callable[[str], Any], ...] = (int, float)
    for kind in kinds:
        try:
            return kind(value)
        except ValueError:
            continue
    return value


def _draw_other_seed(seed: int) -> int:
    drawn = random.getrandbits(48)
    return drawn + (drawn == seed)


def _to_text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _format_field_data(kind: str, spec: Sequence[Any]) -> str:
    options = spec[1] if len(spec) > 1 else {}
    choices = spec[0] if isinstance(spec[0], list) else options.get("options")
    if kind not in {"LIST", "SWITCH"} or choices is None:
        return json.dumps(spec)
    listed: list[dict[str, Any]] = [{"name": choice, "index": choice, "description": choice} for choice in choices]
    return json.dumps([*listed, {"default": choices[0], "description": "忽略"}], ensure_ascii=False)
