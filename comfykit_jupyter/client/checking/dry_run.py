"""`ComfyKit.dry_run`: find out what a run would send, and how it differs from the workflow's file. Sends nothing."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.inputs.files import RemoteFile
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.media import read_media
from comfykit_jupyter.client.inputs.workflows import convert_workflow, read_workflow
from comfykit_jupyter.workflow.editor.apply_values import find_changes
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import MISSING, RANDOM, is_link

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.document.workflow import Binding, Upload, Workflow

MAX_LENGTH = 120
"""Characters of a value in a `Change`."""
_CONTEXT = 20
"""Characters before the place where two long values begin to differ."""
_RANDOM_SEED = "a seed drawn for each run"


@dataclass(frozen=True)
class Change:
    """One input that a run would change.

    Attributes:
        node_id: ID of the node.
        node_title: Title of the node.
        field: Name of the input.
        before: Its value in the file, on one line.
        after: The value that would be sent, on one line.

    Example:
        >>> (change,) = kit.dry_run("text.json", subject="a cat").changes
        >>> change.before, change.after
        ('"a red fox in the snow"', '"a cat"')
    """

    node_id: str
    node_title: str
    field: str
    before: str
    after: str


@dataclass(frozen=True, repr=False)
class DryRun:
    """What `ComfyKit.dry_run` found; printed, it is a headline and a line for each change.

    Attributes:
        server: Address of the server that the prompt would go to.
        workflow: Name of the workflow.
        changes: The inputs that differ from the workflow's file.
        prompt: The whole prompt, in API format. Files that would be uploaded have no name in it yet.
        warnings: A line for each value of a preset that does not fit.

    Example:
        >>> found = kit.dry_run("text.json", subject="a cat")
        >>> [(change.field, change.before, change.after) for change in found.changes]
        [('value', '"a red fox in the snow"', '"a cat"')]
        >>> found.prompt["1"]["inputs"]
        {'value': 'a cat'}
    """

    server: str
    workflow: str
    changes: tuple[Change, ...]
    prompt: Mapping[str, Any]
    warnings: tuple[str, ...] = ()

    @property
    def headline(self) -> str:
        """One line: what would go where."""
        count = len(self.changes)
        changed = "unchanged" if not count else "with 1 input changed" if count == 1 else f"with {count} inputs changed"
        return f"nothing was sent: {one_line(self.workflow)} would go to {self.server} {changed}"

    def __str__(self) -> str:
        lines = (f"  {each.node_title}  {each.field}: {each.before} → {each.after}" for each in self.changes)
        return "\n".join([self.headline, *lines, *(f"  warning: {each}" for each in self.warnings)])

    __repr__ = __str__


async def build_dry_run(
    server: Backend, source: Any, values: Mapping[str, Any], *, expand_choices: bool = True
) -> DryRun:
    """Find out what a run would send; see `ComfyKit.dry_run`."""
    workflow = await convert_workflow(await read_workflow(source, server), server)
    definitions = await server.get_definitions(workflow.classes)
    binding = workflow.bind(values, definitions, expand_choices=expand_choices)
    titles = {id_: workflow.get_title(id_, definitions) for id_ in workflow.prompt}
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for (id_, field), (before, after) in find_changes(workflow.prompt, binding.prompt).items():
        own = _format_own(workflow, titles, id_, field, before)
        is_seed = binding.drawn.get((id_, field)) == RANDOM
        found[id_, field] = (own, _RANDOM_SEED) if is_seed else _shorten_pair(own, _format_value(after))
    for (id_, field), text in binding.drawn.items():
        if text != RANDOM:
            own = _format_own(workflow, titles, id_, field)
            pair = _shorten_pair(own, _format_value(text))
            found[id_, field] = (pair[0], f"{pair[1]}, drawn for each run")
    for upload in binding.uploads:
        own = _format_own(workflow, titles, upload.node_id, upload.field)
        after = await _describe_upload(upload, server)
        found[upload.node_id, upload.field] = (one_line(own, MAX_LENGTH), one_line(after, MAX_LENGTH))
    order = {id_: index for index, id_ in enumerate(workflow.prompt)}
    changes = tuple(
        Change(id_, _format_title(titles, id_), one_line(field), *found[id_, field])
        for id_, field in sorted(found, key=lambda place: order[place[0]])
    )
    return DryRun(server.url, workflow.name, changes, _copy_prompt(binding), binding.warnings)


def _copy_prompt(binding: Binding) -> Mapping[str, Any]:
    return {id_: {**node, "inputs": dict(node["inputs"])} for id_, node in binding.prompt.items()}


def _format_title(titles: Mapping[str, str], node_id: str) -> str:
    """Return a node's title, with its ID if another node has the same title."""
    title = titles[node_id]
    same = sum(each == title for each in titles.values())
    return one_line(title if same == 1 else f"{title} ({node_id})")


def _format_own(workflow: Workflow, titles: Mapping[str, str], node_id: str, field: str, value: Any = None) -> str:
    """Format what the workflow's file has in an input."""
    value = workflow.prompt[node_id]["inputs"].get(field, MISSING) if value is None else value
    if value is MISSING:
        return "nothing"
    if is_link(value) and value[0] in workflow.prompt:
        return f"a link from {titles[value[0]]}"
    return _format_value(value)


def _format_value(value: Any) -> str:
    """Format a value on one line; a text has quotes, so that "7" differs from 7."""
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, default=str)


def _shorten_pair(before: str, after: str) -> tuple[str, str]:
    """Shorten two values so that the place where they begin to differ is still in them."""
    start = 0
    if max(len(before), len(after)) > MAX_LENGTH:
        same = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
        start = max(0, (same or min(len(before), len(after))) - _CONTEXT)
    cut = [f"…{text[start:]}" if start and len(text) > start else text for text in (before, after)]
    return one_line(cut[0], MAX_LENGTH), one_line(cut[1], MAX_LENGTH)


async def _describe_upload(upload: Upload, server: Backend) -> str:
    """Describe what would be sent for a media value. A file must exist; nothing is downloaded.

    Raises:
        ParameterError: There is no such file.
    """
    value = upload.value
    is_url = isinstance(value, str) and value.startswith(("http://", "https://"))
    if isinstance(value, str) and server.find_output(value) is not None:
        return "upload of an earlier output"
    if is_url and server.find_remote_file(value) is None:
        parts = urlsplit(value)  # the query is left out: it may contain a secret
        return f"upload of {parts.scheme}://{parts.hostname}{parts.path}"
    if isinstance(value, Masked):
        return f"upload of {one_line(str(value), MAX_LENGTH)}"
    if not isinstance(value, str) and not hasattr(value, "__fspath__"):
        return f"upload of a {type(value).__name__}"
    source = await read_media(upload, server)
    if isinstance(source, RemoteFile):
        return f"{_format_value(source.name)}, which the server has"
    size = source.content.stat().st_size if isinstance(source.content, Path) else len(source.content)
    return f"upload of {Path(str(value)).name}, {size:,} bytes"
