"""Read the workflow that a user names: a path, a URL, a dict, media that carry one, a reference to a cloud."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
from collections.abc import Mapping
from dataclasses import dataclass
from numbers import Integral
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import SourceError, WorkflowError
from comfykit_jupyter.client.inputs.examples import find_example
from comfykit_jupyter.client.inputs.routing import find_hosted
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.transport.download import fetch_file
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
from comfykit_jupyter.workflow.json_values import MAX_BITS
from comfykit_jupyter.workflow.loras import LOADERS
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.settings import Settings


def format_id(value: Any) -> Any:
    """Return a number as text, since a cloud's ID may be given as one; anything else is returned unchanged."""
    if isinstance(value, bool) or not isinstance(value, Integral):
        return value
    return str(value) if int(value).bit_length() <= MAX_BITS else value


def take_snapshot(source: Any, settings: Settings) -> Any:
    """Return a workflow's source as it is now: the owner of a dict may change it while the run is prepared.

    Returns:
        A `Workflow` for a dict, a `HostedWorkflow` for one stored in a cloud, the error for one that can't be read.
        Other sources, such as paths, are returned as they are.
    """
    failure = None
    source = format_id(source)
    try:
        if isinstance(source, Mapping):
            return Workflow.parse(source)
    except WorkflowError as error:
        failure = error  # it may be a reference
    try:
        return find_hosted(source, settings) or failure or source
    except WorkflowError as error:
        return error


@dataclass(frozen=True)
class WorkflowReader:
    """Reads the workflow that a snapshot names; see `read_workflow`."""

    source: Any
    server: Backend

    @property
    def is_local(self) -> bool:
        """Whether it can be read without asking a server."""
        if isinstance(self.source, str):
            return not isinstance(self.source, Media) and not self.source.startswith(("http://", "https://"))
        return isinstance(self.source, (Workflow, WorkflowError, os.PathLike, bytes, bytearray))

    async def read(self) -> Workflow:
        """Read it, but do not convert it."""
        return await read_workflow(self.source, self.server)


async def read_workflow(source: Any, server: Backend) -> Workflow:
    """Read the workflow that a snapshot names; `convert_workflow` is next.

    Args:
        source: See `take_snapshot`.
        server: Where the workflow runs.

    Raises:
        SourceError: It can't be read.
        WorkflowError: It was read, and is not a workflow.
        ServerError: The server of an output can't be reached, or no longer has it.
    """
    if isinstance(source, Workflow):
        return source
    if isinstance(source, WorkflowError):
        raise source
    if isinstance(source, HostedWorkflow):
        return await server.read_hosted(source)
    if isinstance(source, (bytes, bytearray)):
        return await asyncio.to_thread(Workflow.parse, bytes(source))
    if isinstance(source, io.IOBase):
        return await asyncio.to_thread(Workflow.parse, source)  # type: ignore[arg-type]
    if isinstance(source, Media):
        return await asyncio.to_thread(_read_file, await source.origin.fetch(source), Path(source.name).stem)
    if not isinstance(source, (str, os.PathLike)):
        raise SourceError(f"a workflow must be a path, a URL or a dict, not {type(source).__name__}")
    text = os.fspath(source)
    if text.startswith(("http://", "https://")):
        copy = await fetch_file(text)  # not into memory: a video may be large, and only a small part of it is read
        try:
            return await asyncio.to_thread(_read_file, copy, _get_stem(urlsplit(text).path))
        finally:
            copy.unlink(missing_ok=True)
    return await asyncio.to_thread(_read_file, find_example(text) or Path(text))


async def convert_workflow(workflow: Workflow, server: Backend) -> Workflow:
    """Return the workflow in API format, with the loaders of its LoRAs; both need the node definitions of the server.

    Raises:
        ServerError: The server is unreachable.
        WorkflowError: The server lacks nodes or LoRAs of the workflow, or the graph is broken.
    """
    found = await _convert_format(workflow, server)
    if not found.needs_loaders:
        return found
    if not server.has_object_info:
        raise WorkflowError(f"loras: {server.url} does not say which LoRAs it has: add their loaders in the editor")
    classes = [*found.classes, *LOADERS]
    with contextlib.suppress(WorkflowError):
        return found.insert_loras(await server.get_definitions(classes))
    return found.insert_loras(await server.get_definitions(classes, fresh=True))  # it may have new files


async def _convert_format(workflow: Workflow, server: Backend) -> Workflow:
    """Return the workflow in API format."""
    if workflow.resolved:
        return workflow
    if not server.has_object_info:
        raise WorkflowError(
            f"{one_line(workflow.name)} is in editor format, which {server.url} can't convert: export it in API "
            "format, or convert it with a ComfyUI server: kit.load(workflow).save('api.json')"
        )
    known = await server.get_definitions(workflow.classes)
    with contextlib.suppress(WorkflowError):
        return await asyncio.to_thread(workflow.resolve, known)
    known = await server.get_definitions(workflow.classes, fresh=True)  # missing nodes may have been installed since
    return await asyncio.to_thread(workflow.resolve, known)


def _read_file(path: Path, name: str | None = None) -> Workflow:
    try:
        path = path.expanduser()
        with path.open("rb") as file:
            return Workflow.parse(file, path.stem if name is None else name)
    except FileNotFoundError:
        raise SourceError(_explain_missing(path)) from None
    except (OSError, ValueError, RuntimeError) as error:  # a null character is a ValueError, "~nobody" a RuntimeError
        reason = error.strerror if isinstance(error, OSError) else None
        raise SourceError(f"{one_line(str(path))} can't be read: {reason or error}") from None


def _explain_missing(path: Path) -> str:
    """Return a message about a missing file, with the name that may have been meant."""
    folder = path.parent
    if not folder.is_dir():
        return f"there is no folder {folder} (the current folder is {Path.cwd()})"
    similar = find_nearest(path.name, [entry.name for entry in folder.iterdir()][:10_000])
    hint = f": did you mean {similar}?" if similar else ""
    return f"no file {path.name} in {folder.resolve()}{hint}"


def _get_stem(path: str) -> str:
    return Path(path).stem or "workflow"
