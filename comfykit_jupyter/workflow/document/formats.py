"""Recognize a workflow in every form that people have it in.

It may be API or editor format, plain or wrapped (a request, an entry of the history, a job of the queue, what an image
carries), as a dict, JSON, or a media file. Anything else is rejected, in one line that says what was found.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sized
from dataclasses import dataclass
from io import IOBase, TextIOBase
from typing import Any, BinaryIO

from comfykit_jupyter.workflow.editor.convert import is_editor_graph
from comfykit_jupyter.workflow.errors import WorkflowError, describe_type, one_line, short_repr
from comfykit_jupyter.workflow.json_values import to_plain_json
from comfykit_jupyter.workflow.nodes import is_link
from comfykit_jupyter.workflow.untrusted_json import TooManyElementsError, parse_json

WORKFLOW_LIMIT = 64 * 1024 * 1024
"""The most bytes of JSON that are read. Media may be larger: only what they carry is read."""

MAX_NODES = 100_000
"""The most nodes that are read; the largest known workflows have 2,000."""
_MAX_ELEMENTS = 3_000_000
"""The most lists, objects and commas of its JSON."""
_MAX_WRAPPERS = 6
"""How deep a workflow may be wrapped; real ones are wrapped three times at most."""
_WANTED = "give a ComfyUI workflow (JSON, or a media file that carries one)"

_OTHER_KEYS = frozenset(
    {
        "client_id", "config", "definitions", "extra", "extra_data", "extra_pnginfo", "front", "groups", "last_link_id",
        "last_node_id", "links", "number", "prompt_id", "state", "version", "workflow",
    }
)  # fmt: skip
"""What tools write beside the nodes of an API file; everything else there must be a node."""
_FILES = (
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a compressed file (gzip)"),
    (b"%PDF", "a PDF document"),
    (b"GIF8", "a GIF image, which carries no workflow"),
    (b"RIFF", "an audio or video file (RIFF) that carries no workflow"),
)


@dataclass(frozen=True)
class Recognized:
    """A recognized workflow, copied to plain types of JSON.

    Attributes:
        prompt: The nodes in API format; None if there is only a graph in editor format.
        extra_pnginfo: Its key `workflow` is the graph in editor format, if there is one.
    """

    prompt: dict[str, Any] | None
    extra_pnginfo: dict[str, Any] | None


def recognize(data: Mapping[Any, Any] | list[Any] | str | bytes | BinaryIO, workflow_name: str) -> Recognized:
    """Return the workflow in some data, or raise WorkflowError; `workflow_name` names the data in the message."""
    if isinstance(data, (Mapping, list)):  # a list may be a job of the queue
        return _unwrap(data, None, workflow_name, _MAX_WRAPPERS)
    source: Any = data
    if isinstance(source, IOBase) and (isinstance(source, TextIOBase) or not source.seekable()):
        source = source.read(WORKFLOW_LIMIT + 1)  # it can't seek, so read all of it
    if not isinstance(source, (str, bytes)) and not hasattr(source, "seek"):
        raise WorkflowError(f"{workflow_name} is {describe_type(source)}, not a workflow: {_WANTED}")
    carried = None if isinstance(source, str) else _read_carried(source, workflow_name)
    if carried is not None:
        return carried
    text = source if isinstance(source, (str, bytes)) else source.read(WORKFLOW_LIMIT + 1)
    if len(text) > WORKFLOW_LIMIT:
        raise WorkflowError(f"{workflow_name} is larger than {WORKFLOW_LIMIT >> 20} MB, too large for a workflow")
    return _unwrap(_parse_text(text, workflow_name), None, workflow_name, _MAX_WRAPPERS)


def _read_carried(data: bytes | BinaryIO, workflow_name: str) -> Recognized | None:
    """Return the workflow that a media file carries, or None if it is not a media file.

    `prompt` wins over `workflow`: it is exactly what ran, with the seeds that were drawn, and needs no server to be
    read. The editor's graph may have values that were changed later.
    """
    from comfykit_jupyter.workflow.embedded import read_carried

    found = read_carried(data)
    if found is None:
        return None
    refused: WorkflowError | None = None
    editor = _parse_json(found.workflow)
    for graph in (_parse_json(found.prompt), editor):
        if isinstance(graph, Mapping):
            try:
                return _unwrap(graph, editor, workflow_name, _MAX_WRAPPERS)
            except WorkflowError as error:
                refused = refused or error
    if refused is not None:
        raise refused
    raise WorkflowError(
        f"{workflow_name} is {found.kind} that carries no workflow: ComfyUI writes one into the files that it saves, "
        "but most sites remove it; give the original file, or the workflow's JSON"
    )


def _parse_json(text: str | None) -> Any:
    """Parse a text as JSON, or return None: other programs write other texts under the same keys."""
    try:
        return None if text is None else parse_json(text, _MAX_ELEMENTS, parse_constant=_drop_constant)
    except (ValueError, RecursionError):
        return None


def _parse_text(data: str | bytes, workflow_name: str) -> Any:
    text = data if isinstance(data, str) else _decode_text(data, workflow_name)
    try:
        return parse_json(text.removeprefix("\ufeff"), _MAX_ELEMENTS, parse_constant=_drop_constant)
    except TooManyElementsError as error:
        raise WorkflowError(f"{workflow_name} has {error}, too many for a workflow") from None
    except json.JSONDecodeError as error:
        if text[:2000].lstrip().lower().startswith(("<!doctype html", "<html")):
            raise WorkflowError(f"{workflow_name} is a web page: give the URL of the file itself") from None
        known = _find_file_type(text[:16].encode("utf-8", "replace"))
        what = known or f"not JSON (line {error.lineno}, column {error.colno}: {error.msg})"
        raise WorkflowError(f"{workflow_name} is {what}: {_WANTED}") from None
    except RecursionError:
        raise WorkflowError(f"{workflow_name} is nested too deeply to be a workflow") from None
    except ValueError:  # an integer of thousands of digits
        raise WorkflowError(f"{workflow_name} has a number that is too large") from None


def _decode_text(data: bytes, workflow_name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WorkflowError(f"{workflow_name} is {_find_file_type(data) or 'not text in UTF-8'}: {_WANTED}") from None


def _find_file_type(data: bytes) -> str | None:
    return next((what for begin, what in _FILES if data.startswith(begin)), None)


def _drop_constant(_: str) -> None:
    """Return None for NaN and Infinity, which Python writes and JSON lacks: the editor writes null."""


def _unwrap(data: Any, editor: Any, workflow_name: str, depth: int) -> Recognized:
    """Unwrap a workflow, one layer per call; `editor` is the graph in editor format found so far."""
    if depth == 0:
        raise WorkflowError(f"{workflow_name} is nested too deeply to be a workflow")
    if isinstance(data, list) and len(data) > 2 and isinstance(data[2], Mapping):
        # a job of the queue or the history: number, ID, prompt, extra data, outputs
        data = {"prompt": data[2], "extra_data": data[3] if len(data) > 3 else None}
    if not isinstance(data, Mapping):
        raise WorkflowError(f"{workflow_name} is {describe_type(data)}, not a workflow: {_WANTED}")
    if "runninghub" in (data.get("_source"), data.get("source")):
        id_ = data.get("workflow_id")
        named = isinstance(id_, (str, int))
        which, given = (
            (f"the RunningHub workflow {short_repr(id_)}", one_line(f"rh:{id_}")) if named else ("one", "its ID")
        )
        raise WorkflowError(f"{workflow_name} contains no workflow, it only refers to {which}: give {given} instead")
    if is_editor_graph(data):
        if not data["nodes"]:
            raise WorkflowError(f"{workflow_name} has no nodes: save a workflow that has an output node")
        _check_count(data["nodes"], workflow_name)
        return Recognized(None, {"workflow": _copy(data, "the workflow", workflow_name)})
    editor = _find_editor_graph(data) or editor
    if not any(isinstance(each, Mapping) and "class_type" in each for each in data.values()):
        inner = _find_inner(data, workflow_name)
        if inner is not None:
            return _unwrap(inner, editor, workflow_name, depth - 1)
    extra = {"workflow": _copy(editor, "the editor's workflow", workflow_name)} if is_editor_graph(editor) else None
    return Recognized(_read_nodes(data, workflow_name), extra)


def _find_inner(data: Mapping[Any, Any], workflow_name: str) -> Any:
    """Return what a wrapper contains: a graph, a job, or the JSON of one; None if it is not a wrapper."""
    for key in ("prompt", "output", "workflow"):
        inner = data.get(key)
        inner = _parse_json(inner) if isinstance(inner, str) else inner
        if isinstance(inner, (Mapping, list)):
            return inner
    runs = [entry for entry in data.values() if isinstance(entry, Mapping) and isinstance(entry.get("prompt"), list)]
    if len(runs) > 1:
        raise WorkflowError(f"{workflow_name} is a history of {len(runs)} runs: give one of its entries")
    return runs[0] if runs else None


def _find_editor_graph(data: Mapping[Any, Any]) -> Any:
    """Return the graph in editor format that goes along with a prompt."""
    extra = data.get("extra_data")
    info = extra.get("extra_pnginfo") if isinstance(extra, Mapping) else data.get("extra_pnginfo")
    for place in (info, data):
        workflow = place.get("workflow") if isinstance(place, Mapping) else None
        workflow = _parse_json(workflow) if isinstance(workflow, str) else workflow
        if is_editor_graph(workflow):
            return workflow
    return None


def _read_nodes(graph: Mapping[Any, Any], workflow_name: str) -> dict[str, Any]:
    """Check and copy the nodes of a prompt, so that changes to the original don't affect a run."""
    if not graph:
        raise WorkflowError(f"{workflow_name} has no nodes: export a workflow that has an output node")
    if "cells" in graph and "nbformat" in graph:
        raise WorkflowError(f"{workflow_name} is a notebook: {_WANTED}")
    _check_count(graph, workflow_name)
    nodes = {
        str(id_) if type(id_) is int else id_: _read_node(id_, node, workflow_name)
        for id_, node in graph.items()
        if not _is_other_key(id_, node)
    }
    if not nodes:
        raise WorkflowError(f"{workflow_name} has no nodes: {_WANTED}")
    _fix_links(nodes)
    return nodes


def _check_count(nodes: Sized, workflow_name: str) -> None:
    """Reject so many nodes that reading them would take long."""
    if len(nodes) > MAX_NODES:
        raise WorkflowError(
            f"{workflow_name} has {len(nodes):,} nodes, too many for a workflow: at most {MAX_NODES:,} are read"
        )


def _is_other_key(id_: Any, node: Any) -> bool:
    known = isinstance(id_, str) and (id_ in _OTHER_KEYS or id_.startswith("_"))
    return known and not (isinstance(node, Mapping) and "class_type" in node)


def _read_node(id_: Any, node: Any, workflow_name: str) -> dict[str, Any]:
    if not isinstance(id_, str) and type(id_) is not int:
        raise WorkflowError(f"{workflow_name}: the node ID {short_repr(id_)} is {describe_type(id_)}, not text")
    if isinstance(node, Mapping) and "class_type" in node and node["class_type"] is None:
        raise WorkflowError(
            f"{workflow_name}: node {one_line(str(id_))} has no class, because it was not installed where the workflow "
            "was exported: install it there and export again"
        )
    class_type = node.get("class_type") if isinstance(node, Mapping) else None
    if not isinstance(class_type, str) or not class_type:
        if isinstance(node, Mapping) and "input" in node and "output" in node:
            raise WorkflowError(f"{workflow_name} is a list of node definitions (/object_info): {_WANTED}")
        raise WorkflowError(f'{workflow_name}: {short_repr(id_)} is not a node (it has no "class_type"): {_WANTED}')
    if not isinstance(node.get("inputs"), Mapping):
        raise WorkflowError(f'{workflow_name}: node {one_line(str(id_))} ({one_line(class_type)}) has no "inputs"')
    copied = _copy(node, f"node {one_line(str(id_))} ({one_line(class_type)})", workflow_name)
    # A server notes there whether a file has changed. It would believe the note instead of looking again.
    copied.pop("is_changed", None)
    return copied


def _fix_links(nodes: dict[str, Any]) -> None:
    """Turn links with numeric IDs into links if a file has no others: else two numbers are two numbers."""
    lists = [
        (node["inputs"], field, value)
        for node in nodes.values()
        for field, value in node["inputs"].items()
        if isinstance(value, list) and len(value) == 2
    ]
    if any(is_link(value) for _, _, value in lists):
        return
    for inputs, field, (source, slot) in lists:
        if type(source) is int and type(slot) is int and str(source) in nodes:
            inputs[field] = [str(source), slot]


def _copy(value: Mapping[Any, Any], what: str, workflow_name: str) -> dict[str, Any]:
    try:
        copied: dict[str, Any] = to_plain_json(value, lenient=True)
    except ValueError as error:
        raise WorkflowError(f"{workflow_name}: {what}: {error}") from None
    return copied
