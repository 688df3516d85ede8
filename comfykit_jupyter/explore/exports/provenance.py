"""What a bundle says about the server that made it, and what differs on the one here."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.model_files import ModelFile
from comfykit_jupyter.client.checking.check import check
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.missing.model_files import ModelPlace, find_model_files
from comfykit_jupyter.explore.ledger.ledger import apply_patch
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import WorkflowError, one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend

MAX_CHECKED = 20
"""Prompts that are checked, each with other model files."""
MAX_LINES = 100
"""Packs and model files that are compared."""


async def describe_server(
    server: Backend, places: Iterable[ModelPlace], used: Mapping[str, Any]
) -> dict[str, dict[str, Any]]:
    """Return the packs of a server and the model files, as far as they are known.

    Args:
        server: The server, which may be away.
        places: The inputs that name model files.
        used: The size and date of the files when they were used, as lines of the journal have them.

    Returns:
        `packs`, versions by name; and `model_files`, each with its size, hash, and the input that names it.
    """
    places = set(places)
    packs: dict[str, str] = {}
    with contextlib.suppress(ComfyKitError):  # what is not known is left out
        packs = await server.find_packs()
    now = await find_model_files(server, places)
    files: dict[str, Any] = {}
    for place in sorted(places):
        file = ModelFile.parse(used.get(place.name)) or now.get(place.name)
        if file is None:
            continue
        about = files[place.name] = {"size": file.size, "class": place.class_type, "input": place.field}
        with contextlib.suppress(ComfyKitError):
            if now.get(place.name) == file and (digest := await server.find_model_hash(place.name, file.size)):
                about["hash"] = digest
    return {"packs": packs, "model_files": files}


async def find_differences(server: Backend, workflow: Workflow, manifest: Mapping[str, Any]) -> list[str]:
    """Return what differs here from the server that made a bundle, one line each. Its parts may be anything.

    Args:
        server: The server here.
        workflow: The workflow of the bundle.
        manifest: What the bundle says.
    """
    found: dict[str, None] = {}
    for each in _list_workflows(workflow, manifest):
        report = await check(server, each, {})
        found.update((one_line(problem.message, 300), None) for problem in report.problems)
    version = there = manifest["server_version"]
    with contextlib.suppress(ComfyKitError):
        version = (await server.status()).version or there
    lines = [*found]
    if there and version != there:
        lines.append(f"ComfyUI {one_line(version)} here, {one_line(there)} there: images may differ")
    return [*lines, *await _compare_packs(server, manifest), *await _compare_models(server, manifest)]


def _list_workflows(workflow: Workflow, manifest: Mapping[str, Any]) -> list[Workflow]:
    """Return the workflow as it was run, once for each set of model files."""
    found: dict[str, Workflow] = {}
    for run in manifest["runs"]:
        models = run.get("models")
        mark = json.dumps(sorted(map(str, models))) if isinstance(models, Mapping) else ""
        if mark in found or len(found) == MAX_CHECKED:
            continue
        with contextlib.suppress(WorkflowError, TypeError, ValueError, KeyError, AttributeError):  # made by hand
            found[mark] = Workflow.parse(apply_patch(workflow.prompt, run.get("patch") or []), workflow.name)
    return list(found.values()) or [workflow]


async def _compare_packs(server: Backend, manifest: Mapping[str, Any]) -> list[str]:
    there = manifest.get("packs")
    if not isinstance(there, Mapping) or not there:
        return []
    here: Mapping[str, str] = {}
    with contextlib.suppress(ComfyKitError):
        here = await server.find_packs()
    if not here:
        return []
    lines = []
    for name, version in list(there.items())[:MAX_LINES]:
        if not isinstance(version, str) or here.get(name) == version:
            continue
        own = f"{one_line(here[name])} here" if name in here else "not here"
        lines.append(f"{one_line(str(name), 100)}: {own}, {one_line(version, 100)} there")
    return lines


async def _compare_models(server: Backend, manifest: Mapping[str, Any]) -> list[str]:
    there = manifest.get("model_files")
    if not isinstance(there, Mapping):
        return []
    known = {
        ModelPlace(str(about.get("class")), str(about.get("input")), str(name)): about
        for name, about in list(there.items())[:MAX_LINES]
        if isinstance(about, Mapping)
    }
    here = await find_model_files(server, known, fresh=True)
    lines = []
    for place, about in known.items():
        file = here.get(place.name)
        if file is None:
            continue  # that it is missing is a problem of the workflow
        if file.size != about.get("size"):
            lines.append(
                f"{one_line(place.name, 100)}: another file of this name, with {file.size:,} bytes here and "
                f"{_format_size(about.get('size'))} there"
            )
        elif isinstance(digest := about.get("hash"), str):
            with contextlib.suppress(ComfyKitError):
                own = await server.find_model_hash(place.name, file.size)
                if own and own != digest:
                    lines.append(f"{one_line(place.name, 100)}: another file of this name and size, by its hash")
    return lines


def _format_size(size: Any) -> str:
    return f"{size:,}" if isinstance(size, int) else short_repr(size, 40)
