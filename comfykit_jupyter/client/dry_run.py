"""`DryRun`: what a run would send, told by what differs from the workflow's file. Nothing is sent."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.inputs.media import RemoteFile, read_media
from comfykit_jupyter.client.inputs.workflows import convert_workflow, read_workflow
from comfykit_jupyter.workflow.editor.apply_values import find_changes
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import MISSING, is_link

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.workflow import Binding, Upload, Workflow

LENGTH = 120
"""Characters of a value that are told."""
_AROUND = 20
"""Characters that are told before the place where two long values begin to differ."""


@dataclass(frozen=True)
class Change:
    """One input that a run would be given otherwise than the file says; `before` and `after` are one line each."""

    node_id: str
    node_title: str
    field: str
    before: str
    after: str


@dataclass(frozen=True, repr=False)
class DryRun:
    """What `kit.dry_run` found: where the prompt would go, and what differs in it from the workflow's file.

    `prompt` is the whole of it, in API format; files that would be sent have no name in it yet.
    """

    server: str
    workflow: str
    changes: tuple[Change, ...]
    prompt: Mapping[str, Any]

    @property
    def headline(self) -> str:
        """One line: what would go where."""
        count = len(self.changes)
        differ = "as the file is" if not count else "with 1 input changed" if count == 1 else f"with {count} changed"
        return f"nothing was sent: {one_line(self.workflow)} would go to {self.server} {differ}"

    def __str__(self) -> str:
        lines = (f"  {each.node_title}  {each.field}: {each.before} → {each.after}" for each in self.changes)
        return "\n".join([self.headline, *lines])

    __repr__ = __str__


async def dry_run(server: Backend, source: Any, values: Mapping[str, Any]) -> DryRun:
    """See `ComfyKit.dry_run`."""
    workflow = await convert_workflow(await read_workflow(source, server), server)
    drawn: set[int] = set()

    def draw(low: int, high: int) -> int:
        from random import SystemRandom

        number = SystemRandom().randint(low, high)
        drawn.add(number)
        return number

    definitions = await server.definitions(workflow.classes)
    binding = workflow.bind(values, definitions, draw=draw)
    titles = {id_: workflow.get_title(id_, definitions) for id_ in workflow.prompt}
    found: dict[tuple[str, str], tuple[str, str]] = {}
    for (id_, field), (before, after) in find_changes(workflow.prompt, binding.prompt).items():
        anew = type(after) is int and after in drawn and after in binding.seeds.values()
        told = (_own(workflow, titles, id_, field, before), "a seed drawn for each run" if anew else _told(after))
        found[id_, field] = told if anew else _shortened(*told)
    for upload in binding.uploads:
        own = _own(workflow, titles, upload.node_id, upload.field)
        found[upload.node_id, upload.field] = (one_line(own, LENGTH), one_line(await _file(upload, server), LENGTH))
    order = {id_: index for index, id_ in enumerate(workflow.prompt)}
    told_changes = tuple(
        Change(id_, _title(titles, id_), one_line(field), *found[id_, field])
        for id_, field in sorted(found, key=lambda place: order[place[0]])
    )
    return DryRun(server.url, workflow.name, told_changes, _prompt(binding))


def _prompt(binding: Binding) -> Mapping[str, Any]:
    return {id_: {**node, "inputs": dict(node["inputs"])} for id_, node in binding.prompt.items()}


def _title(titles: Mapping[str, str], node_id: str) -> str:
    """The node's title, with its id where two are called so."""
    title = titles[node_id]
    alike = sum(each == title for each in titles.values())
    return one_line(title if alike == 1 else f"{title} ({node_id})")


def _own(workflow: Workflow, titles: Mapping[str, str], node_id: str, field: str, value: Any = None) -> str:
    """What the file has there."""
    value = workflow.prompt[node_id]["inputs"].get(field, MISSING) if value is None else value
    if value is MISSING:
        return "nothing"
    if is_link(value) and value[0] in workflow.prompt:
        return f"a link from {titles[value[0]]}"
    return _told(value)


def _told(value: Any) -> str:
    """A value in one line: texts in quotes, so that 7 is told from "7"."""
    if isinstance(value, str):
        return json.dumps(str(value), ensure_ascii=False)
    return json.dumps(value, ensure_ascii=False, default=str)


def _shortened(before: str, after: str) -> tuple[str, str]:
    """Two values cut to what can be told; of long ones the place where they begin to differ is among it."""
    start = 0
    if max(len(before), len(after)) > LENGTH:
        same = next((at for at, pair in enumerate(zip(before, after, strict=False)) if pair[0] != pair[1]), 0)
        start = max(0, (same or min(len(before), len(after))) - _AROUND)
    cut = [f"…{text[start:]}" if start and len(text) > start else text for text in (before, after)]
    return one_line(cut[0], LENGTH), one_line(cut[1], LENGTH)


async def _file(upload: Upload, server: Backend) -> str:
    """What would be sent for a media value: it is looked for, and read no further than that takes.

    Raises:
        ParameterError: there is no such file.
    """
    value = upload.value
    address = isinstance(value, str) and value.startswith(("http://", "https://"))
    if address and server.find_remote_file(value) is None:
        parts = urlsplit(value)  # without the query, in which there may be a secret
        return f"upload of what is at {parts.scheme}://{parts.hostname}{parts.path}"
    if not isinstance(value, str) and not hasattr(value, "__fspath__"):
        return f"upload of a {type(value).__name__}"
    source = await read_media(upload, server)
    if isinstance(source, RemoteFile):
        return f"{_told(source.name)}, which the server has"
    size = source.content.stat().st_size if isinstance(source.content, Path) else len(source.content)
    return f"upload of {Path(str(value)).name}, {size:,} bytes"
