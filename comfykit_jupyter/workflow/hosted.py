"""Workflows that lie in a cloud and are run there by an id: how people name them, and what is known of an app."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from comfykit_jupyter.workflow.errors import WorkflowError, one_line
from comfykit_jupyter.workflow.nodes import Definitions, NodeDefinition
from comfykit_jupyter.workflow.tolerant import parse_id, to_list, to_mapping

_ID = re.compile(r"[0-9]{1,25}")
_NAMED = re.compile(r"(rh|rh-app):([0-9]{1,25})")
# Where the site shows workflows and apps; a language may go before, and more may follow.
_PAGE = re.compile(
    r"(?:/#)?(?:/[a-z]{2}(?:-[a-z]{2})?)?/"
    r"(?P<page>workflow|post|run/workflow|ai-detail|app|run/ai-app)/(?P<id>[0-9]{1,25})(?:[/?#].*)?",
    re.IGNORECASE,
)
_APPS = frozenset({"ai-detail", "app", "run/ai-app"})
_SITES = ("runninghub.cn", "runninghub.ai")

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
"""What a field of an app is to a node, by its `fieldType`, as in `/object_info`; all else is text."""


@dataclass(frozen=True)
class Hosted:
    """A workflow of RunningHub: `app` for what its site calls an AI app. `site` is that of a page that named it."""

    id: str
    app: bool = False
    site: str = ""

    @property
    def name(self) -> str:
        """What a person gives to name it."""
        return f"{'rh-app' if self.app else 'rh'}:{self.id}"

    def is_on_other_site(self, site: str) -> bool:
        """Whether the page that named it is of the other one of the two public sites.

        Args:
            site: the address of the site in use; at any other address than these there may be either, behind a proxy.
        """
        named, own = _host(self.site), _host(site)
        return named in _SITES and own in _SITES and named != own

    @classmethod
    def parse(cls, text: str, site: str) -> Hosted | None:
        """The workflow that a text names: `1904136902449209346`, `rh:ID`, `rh-app:ID`, the address of its page.

        Args:
            text: what was given.
            site: the address of the site in use; pages of the public ones are known as well.
        """
        if _ID.fullmatch(text):
            return cls(text)
        if named := _NAMED.fullmatch(text):
            return cls(named[2], app=named[1] == "rh-app")
        if not text.startswith(("http://", "https://")):
            return None
        try:
            parts, own = urlsplit(text), urlsplit(site)
        except ValueError:
            return None
        if parts.netloc != own.netloc and _host(text) not in _SITES:
            return None
        rest = parts._replace(scheme="", netloc="").geturl()
        page = _PAGE.fullmatch(rest)
        if page is None:
            return None
        return cls(page["id"], page["page"].lower() in _APPS, f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}")

    @classmethod
    def from_reference(cls, content: Any) -> Hosted | None:
        """The workflow that a file refers to: `{"_source": "runninghub", "workflow_id": "…"}`, or a `webapp_id`."""
        if not isinstance(content, Mapping) or "runninghub" not in (content.get("_source"), content.get("source")):
            return None
        for key, app in (("workflow_id", False), ("webapp_id", True)):
            id_ = (parse_id(content.get(key)) or "").strip()
            if _ID.fullmatch(id_):
                return cls(id_, app)
        raise WorkflowError('it refers to RunningHub, and names no workflow: give it "workflow_id": "1904…"')


def _host(url: str) -> str:
    return (urlsplit(url).hostname or "").lower().removeprefix("www.")


def build_app_prompt(demo: Mapping[str, Any], hosted: Hosted, called: str) -> tuple[dict[str, Any], Definitions]:
    """What is known of an app as a prompt: its nodes with the inputs that may be set, and the definitions of these.

    The titles declare each of these inputs as a parameter: by its name, or with the node's id where two have the same.
    The classes are of this app only: another one may let other inputs of the same nodes be set.

    Args:
        demo: what the site tells of it.
        hosted: its id.
        called: what to call it in a message.

    Raises:
        WorkflowError: there is nothing that may be set.
    """
    fields = [field for field in to_list(demo.get("nodeInfoList")) if _is_field(field)]
    if not fields:
        raise WorkflowError(f"{called} has no inputs that may be set: its author has to choose them on the site")
    counts = Counter(field["fieldName"] for field in fields)
    nodes: dict[str, list[Mapping[str, Any]]] = {}
    for field in fields:
        nodes.setdefault(str(field["nodeId"]), []).append(field)
    prompt: dict[str, Any] = {}
    definitions: dict[str, NodeDefinition] = {}
    for id_, own in nodes.items():
        name = _class(own[0])
        class_type = f"{name} ({hosted.name}/{one_line(id_)})"
        inputs, specs, markers = {}, {}, [re.sub(r"[$,]", " ", name)]
        for field in own:
            key = field["fieldName"]
            specs[key], inputs[key] = _spec(field)
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


def _class(field: Mapping[str, Any]) -> str:
    return one_line(str(field.get("nodeName") or "Node"), 80)


def _spec(field: Mapping[str, Any]) -> tuple[list[Any], Any]:
    """The definition of a field, as in `/object_info`, and the value that it begins with."""
    kind = str(field.get("fieldType") or "").upper()
    told = [] if kind in ("IMAGE", "AUDIO", "VIDEO") else _told(field.get("fieldData"))
    spec = told or _TYPES.get(kind) or ["STRING", {"multiline": True}]
    options = to_mapping(spec[1]) if len(spec) > 1 else {}
    tooltip = one_line(str(field.get("description") or field.get("descriptionEn") or ""), 500)
    return [spec[0], {**options, "tooltip": tooltip}], _typed(field.get("fieldValue"), spec[0])


def _typed(value: Any, type_: Any) -> Any:
    """A value that the site has as text, as what it is; as it stands where it is no such thing."""
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


def _told(data: Any) -> list[Any]:
    """What a field's `fieldData` says: the node's own definition of it, or the choices, an object each. JSON, or text.

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
