"""`Preset`: values of a workflow under a name, and the text of its file."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import TYPE_CHECKING, Any, Protocol

from comfykit_jupyter.workflow.errors import ComfyKitError, WorkflowError, describe_type, one_line, short_repr
from comfykit_jupyter.workflow.json_values import MAX_BITS
from comfykit_jupyter.workflow.lora_stack import Stack, read_stack, to_plain
from comfykit_jupyter.workflow.nodes import is_link

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.interface.graph import WorkflowGraph

FORMAT = 1
"""The format that is written, and the newest that is read."""
MAX_BYTES = 256 * 1024
"""Bytes of a file."""
MAX_VALUES = 1000
"""Values of a preset."""
MAX_ITEMS = 1000
"""Items of a value that is a list."""
LARGEST_INTEGER = 2**63 - 1
"""The largest integer that every reader of TOML accepts; a larger one is written as a string."""
HASH_LENGTH = 16
"""Digits of a workflow's hash."""
FILE_KEYS = frozenset({"file", "mask"})
"""What a value has that is an image with a mask."""
_SCALARS = (str, int, float, bool)


class FileReader(Protocol):
    """Reads the files that a preset names."""

    def read_file(self, value: Any, name: str) -> Any:
        """Return the value of a media parameter: a path, a name on the server, or an image with a mask.

        Args:
            value: What the preset has.
            name: The name of the parameter.

        Raises:
            ComfyKitError: It names a file outside of the folder, or a mask that can't be read or does not fit.
        """


@dataclass(frozen=True)
class Preset:
    """Values of a workflow under a name. A value that is absent is the workflow's own.

    Attributes:
        name: Its name.
        values: Its values by parameter name, as its file has them.
        workflow: The name of the workflow that it was saved for.
        hash: The hash of that workflow's nodes and links; see `compute_workflow_hash`.
        loras: Its stack of LoRAs; None if it leaves the workflow's own.
        files: What reads the files that it names.
    """

    name: str
    values: Mapping[str, Any] = field(default_factory=dict)
    workflow: str = ""
    hash: str = ""
    loras: Stack | None = None
    files: FileReader | None = None

    def is_for(self, workflow: WorkflowGraph) -> bool:
        """Return whether it was saved for a workflow, or for another version of it."""
        return self.workflow == one_line(workflow.name) or (bool(self.hash) and self.hash == find_hash(workflow))


def find_hash(workflow: WorkflowGraph) -> str:
    """Return the hash of a workflow; "" if it must be resolved first."""
    bare = getattr(workflow, "without_loras", workflow)  # the loaders of a stack come with the preset
    return compute_workflow_hash(bare.prompt) if getattr(bare, "resolved", True) else ""


def compute_workflow_hash(prompt: Mapping[str, Any]) -> str:
    """Return a hash of the nodes of a workflow and their links: the same whatever their values are."""
    nodes = {
        node_id: [
            node["class_type"],
            sorted((name, list(value) if is_link(value) else None) for name, value in node["inputs"].items()),
        ]
        for node_id, node in prompt.items()
    }
    text = json.dumps(nodes, sort_keys=True, default=str)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:HASH_LENGTH]


def parse_preset(data: bytes, name: str, files: FileReader | None = None) -> Preset:
    """Return the preset that the file of a preset has.

    Args:
        data: The content of the file.
        name: The name of the preset.
        files: What reads the files that it names.

    Raises:
        ComfyKitError: It is not a preset; the message says why.
    """
    where = f"preset {short_repr(name)}"
    if len(data) > MAX_BYTES:
        raise ComfyKitError(f"{where}: the file is larger than {MAX_BYTES // 1024} kB")
    try:
        found = tomllib.loads(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        reason = "nested too deeply" if isinstance(error, RecursionError) else one_line(str(error))
        raise ComfyKitError(f"{where}: the file is not valid TOML: {reason}") from None
    number = found.get("format")
    if type(number) is not int or number < 1:
        raise ComfyKitError(f"{where}: the file has no line `format = {FORMAT}`")
    if number > FORMAT:
        raise ComfyKitError(f"{where}: format {number} is newer than this version reads: update comfykit-jupyter")
    about, values = found.get("workflow", {}), found.get("values", {})
    if not isinstance(about, dict) or not isinstance(values, dict):
        raise ComfyKitError(f"{where}: [workflow] and [values] must be tables")
    if len(values) > MAX_VALUES:
        raise ComfyKitError(f"{where}: more than {MAX_VALUES} values")
    for parameter, value in values.items():
        if reason := explain_unfit(value):
            raise ComfyKitError(f"{where}: {one_line(parameter)}: {reason}")
    try:
        loras = read_stack(found["loras"]) if "loras" in found else None
    except WorkflowError as error:
        raise ComfyKitError(f"{where}: {error}") from None
    named = {key: one_line(text) if isinstance(text := about.get(key), str) else "" for key in ("name", "hash")}
    return Preset(name, values, named["name"], named["hash"], loras, files)


def format_preset(preset: Preset) -> bytes:
    """Return the content of the file of a preset.

    Raises:
        ComfyKitError: A value can't be kept in a file.
    """
    import tomli_w

    values = {}
    for name, value in preset.values.items():
        if reason := explain_unfit(value):
            raise ComfyKitError(f"{one_line(name)}: {reason}")
        values[name] = _to_toml(value)
    document: dict[str, Any] = {
        "format": FORMAT,
        "workflow": {"name": preset.workflow, "hash": preset.hash},
        "values": values,
    }
    if preset.loras is not None:
        document["loras"] = {
            name: value if isinstance(value, dict) else _to_toml(value)
            for name, value in to_plain(preset.loras).items()
        }
    # A reader of TOML changes the line ends of a text that is written over several lines.
    several = not any("\r" in text for text in _iterate_texts(values))
    try:
        data = tomli_w.dumps(document, multiline_strings=several).encode()
    except UnicodeEncodeError:
        raise ComfyKitError("a text contains half of a character, which can't be saved: type it again") from None
    if len(data) > MAX_BYTES:
        raise ComfyKitError(f"the values take more than {MAX_BYTES // 1024} kB, which is too much for a preset")
    return data


def explain_unfit(value: Any) -> str:
    """Return why a value can't be in a preset; "" if it can."""
    if isinstance(value, Mapping):
        is_file = (
            "file" in value and FILE_KEYS.issuperset(value) and all(isinstance(each, str) for each in value.values())
        )
        return "" if is_file else "a table must have `file`, and may have `mask`"
    if isinstance(value, (list, tuple)):
        if len(value) > MAX_ITEMS:
            return f"a list of more than {MAX_ITEMS} items"
        return next((reason for each in value if (reason := _explain_unfit_scalar(each))), "")
    return _explain_unfit_scalar(value)


def _explain_unfit_scalar(value: Any) -> str:
    if not isinstance(value, _SCALARS):
        return f"{describe_type(value)} can't be kept in a preset"
    if isinstance(value, float) and not isfinite(value):
        return f"{value} is not a finite number"
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        return f"the integer is too large ({value.bit_length()} bits)"
    return ""


def _to_toml(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: str(each) for name, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_to_toml(each) for each in value]
    if isinstance(value, int) and not isinstance(value, bool) and not -LARGEST_INTEGER - 1 <= value <= LARGEST_INTEGER:
        return str(value)
    return value


def _iterate_texts(values: Mapping[str, Any]) -> list[str]:
    texts = [*values]
    for value in values.values():
        parts = value.values() if isinstance(value, Mapping) else value if isinstance(value, list) else [value]
        texts += [each for each in parts if isinstance(each, str)]
    return texts
