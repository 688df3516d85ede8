"""Add the files that ComfyUI has saved: their metadata says what made them."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError, WorkflowError
from comfykit_jupyter.explore.ledger.key import KeyMaker
from comfykit_jupyter.explore.ledger.ledger import Ledger, build_patch
from comfykit_jupyter.explore.ledger.recorder import to_line
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.embedded import read_carried
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.media_kinds import WORKFLOW_SUFFIXES
from comfykit_jupyter.workflow.progress.records import read_binding

MAX_FILES = 1_000_000
_COUNTER = re.compile(r"_\d+_?$")


def scan_folder(ledger: Ledger, folder: Path) -> str:
    """Add a row for each file of a folder that carries a prompt, and say what was found; see `Runs.scan`.

    Raises:
        ComfyKitError: There is no such folder.
        OSError: The journal can't be written.
    """
    if not folder.is_dir():
        raise ComfyKitError(f"there is no folder {one_line(str(folder))}")
    known = ledger.read().runs.keys() | ledger.read().forgotten
    templates: dict[frozenset[tuple[str, str]], tuple[str, Mapping[str, Any], KeyMaker]] = {}
    added = before = without = 0
    for path, state in _iter_files(folder.resolve()):
        id_ = _build_id(path, state)
        if id_ in known:
            before += 1
            continue
        workflow = _read_prompt(path)
        if workflow is None:
            without += 1
            continue
        _add(ledger, id_, path, state, workflow, templates)
        added += 1
    facts = [f"{added:,} new"]
    facts += [f"{before:,} known"] if before else []
    facts += [f"{without:,} without a workflow"] if without else []
    return f"{one_line(str(folder))}: {', '.join(facts)}"


def _iter_files(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """Yield the media files in a folder and those in it, without following links."""
    count = 0
    for root, folders, names in os.walk(folder):
        folders.sort()
        for name in sorted(names):
            path = Path(root, name)
            if path.suffix.lower() in WORKFLOW_SUFFIXES and not path.is_symlink():
                count += 1
                if count > MAX_FILES:
                    return
                try:
                    yield path, path.stat()
                except OSError:
                    continue


def _build_id(path: Path, state: os.stat_result) -> str:
    """Return the ID of a file's row: another one if the file is replaced."""
    content = f"{path}\0{state.st_size}\0{state.st_mtime_ns}".encode("utf-8", "surrogateescape")
    return f"found-{hashlib.sha256(content).hexdigest()[:32]}"


def _read_prompt(path: Path) -> Workflow | None:
    try:
        with path.open("rb") as file:
            carried = read_carried(file)
        if carried is None or carried.prompt is None:
            return None
        return Workflow.parse(carried.prompt, _COUNTER.sub("", path.stem) or path.stem)
    except (OSError, WorkflowError):
        return None


def _add(
    ledger: Ledger,
    id: str,  # noqa: A002 - as in Row
    path: Path,
    state: os.stat_result,
    workflow: Workflow,
    templates: dict[frozenset[tuple[str, str]], tuple[str, Mapping[str, Any], KeyMaker]],
) -> None:
    """Add the row of a file. Files of the same nodes share a template."""
    shape = frozenset((node_id, node["class_type"]) for node_id, node in workflow.prompt.items())
    if shape not in templates:
        digest = ledger.add_template(workflow.name, workflow.prompt)
        templates[shape] = (digest, workflow.prompt, KeyMaker())
    template, prompt, keys = templates[shape]
    binding = read_binding(workflow)
    made = datetime.fromtimestamp(state.st_mtime, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
    ledger.append(
        {
            "event": "found",
            "id": id,
            "path": str(path),
            "output": path.name,
            "key": keys.compute(workflow.prompt),
            "name": workflow.name,
            "template": template,
            "patch": build_patch(prompt, workflow.prompt),
            "params": to_line(binding.params),
            "seeds": dict(binding.seeds),
            "at": made,
        }
    )
