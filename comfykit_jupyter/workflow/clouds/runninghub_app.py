"""Build the prompt of a RunningHub app, and the definitions of its nodes, from the site's description of it."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from comfykit_jupyter.workflow.errors import WorkflowError, one_line
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
from comfykit_jupyter.workflow.nodes import Definitions, NodeDefinition
from comfykit_jupyter.workflow.untrusted_json import to_list, to_mapping

_WORD = re.compile(r"[\w-]{1,60}")
_TYPES: Mapping[str, list[Any]] = {
    "INT": ["INT"],
    "FLOAT": ["FLOAT"],
    "BOOLEAN": ["BOOLEAN"],
    "SWITCH": ["BOOLEAN"],
    "IMAGE": [[], {"image_upload": True}],
    "AUDIO": [[], {"audio_upload": True}],
    "VIDEO": [[], {"video_upload": True}],
}
"""The definition of an app's field by its `fieldType`, as in `/object_info`; all others are text."""


def build_app_prompt(
    demo: Mapping[str, Any], hosted: HostedWorkflow, workflow_name: str
) -> tuple[dict[str, Any], Definitions]:
    """Build the prompt of an app from the inputs that it offers, and the definitions of its nodes.

    The titles declare each of these inputs as a parameter: by its name, or with the node's ID if two have the same.
    The classes are valid for this app only: another app may show other inputs of the same nodes.

    Args:
        demo: The site's description of the app.
        hosted: The app's ID.
        workflow_name: What messages call it.

    Raises:
        WorkflowError: The app has no inputs that may be set.
    """
    fields = [field for field in to_list(demo.get("nodeInfoList")) if _is_field(field)]
    if not fields:
        raise WorkflowError(f"{workflow_name} has no inputs that may be set: its author has to choose them on the site")
    counts = Counter(field["fieldName"] for field in fields)
    nodes: dict[str, list[Mapping[str, Any]]] = {}
    for field in fields:
        nodes.setdefault(str(field["nodeId"]), []).append(field)
    prompt: dict[str, Any] = {}
    definitions: dict[str, NodeDefinition] = {}
    for id_, own in nodes.items():
        name = _read_class(own[0])
        class_type = f"{name} ({hosted.name}/{one_line(id_)})"
        inputs, specs, markers = {}, {}, [re.sub(r"[$,]", " ", name)]
        for field in own:
            key = field["fieldName"]
            specs[key], inputs[key] = _build_spec(field)
            if _WORD.fullmatch(key):
                called_so = key if counts[key] == 1 else f"{key}_{id_}"
                markers.append(f"${called_so}.{key}")
        prompt[id_] = {"class_type": class_type, "inputs": inputs, "_meta": {"title": ", ".join(markers)}}
        raw = {"input": {"required": specs}, "display_name": name, "output": []}
        definitions[class_type] = NodeDefinition.parse(class_type, raw)
    return prompt, definitions


def _is_field(field: Any) -> bool:
    named = isinstance(field, Mapping) and isinstance(field.get("fieldName"), str)
    return named and isinstance(field.get("nodeId"), (str, int))


def _read_class(field: Mapping[str, Any]) -> str:
    return one_line(str(field.get("nodeName") or "Node"), 80)


def _build_spec(field: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """Return the definition of a field, as in `/object_info`, and its default."""
    kind = str(field.get("fieldType") or "").upper()
    own = [] if kind in ("IMAGE", "AUDIO", "VIDEO") else _parse_field_data(field.get("fieldData"))
    spec = own or _TYPES.get(kind) or ["STRING", {"multiline": True}]
    options = to_mapping(spec[1]) if len(spec) > 1 else {}
    tooltip = one_line(str(field.get("description") or field.get("descriptionEn") or ""), 500)
    return [spec[0], {**options, "tooltip": tooltip}], _convert_value(field.get("fieldValue"), spec[0])


def _convert_value(value: Any, type_: Any) -> Any:
    """Convert a value, which the site has as text, to its type; return it unchanged if it can't be converted."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    try:
        if type_ == "INT":
            return int(text)
        if type_ == "FLOAT":
            return float(text)
    except ValueError:
        return value
    if type_ == "BOOLEAN" and text.lower() in ("true", "false", "1", "0"):
        return text.lower() in ("true", "1")
    if isinstance(type_, list) and value not in type_:  # choices that are numbers
        return next((choice for choice in type_ if str(choice) == value), value)
    return value


def _parse_field_data(data: Any) -> list[Any]:
    """Parse a field's `fieldData`: the node's own definition of it, or its choices as objects; JSON or text.

    Seen: `[["a", "b"], {"default": "a"}]`, `["STRING", {"multiline": true}]`, `[{"index": "a", "description": "…"}]`.
    """
    if isinstance(data, str):
        try:
            data = json.loads(data)
        except (ValueError, RecursionError):
            return []
    found = to_list(data)
    if found and isinstance(found[0], Mapping):
        found = [[choice for each in found if (choice := to_mapping(each).get("index")) is not None]]
    if not found or not isinstance(found[0], (str, list)):
        return []
    if isinstance(found[0], list) and not all(isinstance(each, (str, int, float)) for each in found[0]):
        return []
    return found[:2] if found[0] else []
