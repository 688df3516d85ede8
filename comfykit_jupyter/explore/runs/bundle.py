"""Bundles: a sweep as one ZIP file, to look at and to make again elsewhere. One from elsewhere is hostile."""

from __future__ import annotations

import hashlib
import json
import math
import re
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError, WorkflowError
from comfykit_jupyter.client.local_files import CHUNK_SIZE, get_local_folder
from comfykit_jupyter.explore.exports.provenance import find_differences
from comfykit_jupyter.explore.runs.rows import Rows
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import one_line, short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.kit.kit import ComfyKit

FORMAT = 1
MANIFEST = "manifest.json"
MAX_FILES = 200_000
MAX_MANIFEST_BYTES = 64 << 20
MAX_FILE_BYTES = 4 << 30
MAX_BYTES = 64 << 30
_DAMAGED = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError)
"""What `zipfile` raises for a damaged file."""
_ENCRYPTED = 1
"""The flag of an encrypted file."""
_OBJECT = re.compile(r"objects/([0-9a-f]{64})(\.[a-z0-9]{1,10})")


@dataclass(frozen=True)
class Bundle:
    """A sweep from a bundle. `take` adds it to the folder of the runs.

    Attributes:
        name: The name of the sweep.
        workflow: Its workflow.
        points: How many points it has.
        differences: What differs here, one line each: missing nodes and models, other versions of the server and of
            packs, other model files of the same name.
        files: How many files it has, and how many bytes they take.

    Example:
        bundle = kit.runs.open("fox.zip")
        print(bundle)
        rows = bundle.take()
        kit.runs.again(rows[0])
    """

    name: str
    workflow: Workflow
    points: int
    differences: tuple[str, ...]
    files: tuple[int, int]
    _path: Path = field(repr=False)
    _manifest: Mapping[str, Any] = field(repr=False)
    _ledger: Ledger = field(repr=False)

    def __str__(self) -> str:
        count, size = self.files
        lines = [f"{one_line(self.name)}: {self.points:,} points, {count:,} files, {size / (1 << 20):.1f} MB"]
        return "\n".join([*lines, *(f"  {line}" for line in self.differences or ["no differences from this machine"])])

    __repr__ = __str__

    def take(self) -> Rows:
        """Add the bundle's runs and files to the folder of the runs, and return the rows.

        Raises:
            ComfyKitError: A file is damaged. What was read before stays.
            OSError: It can't be written.
        """
        known = self._ledger.read().runs
        with zipfile.ZipFile(self._path) as bundle:
            for info in bundle.infolist():
                if (found := _OBJECT.fullmatch(info.filename)) and self._ledger.store.find(found[1]) is None:
                    _take_file(bundle, info, found[1], found[2], self._ledger)
        template = self._ledger.add_template(self.workflow.name, self.workflow.prompt)
        ids = []
        for run in self._manifest["runs"]:
            ids.append(run["id"])
            if run["id"] not in known:
                for line in _build_lines(run, template):
                    self._ledger.append(line)
        return Rows(self._ledger, ids)


def open_bundle(kit: ComfyKit, ledger: Ledger, path: Path) -> Bundle:
    """Look into a bundle; see `Runs.open`."""
    try:
        with zipfile.ZipFile(path) as bundle:
            infos = bundle.infolist()
            size = _check_files(infos, path)
            with bundle.open(MANIFEST) as file:
                content = file.read(MAX_MANIFEST_BYTES + 1)
        if len(content) > MAX_MANIFEST_BYTES:
            raise ComfyKitError(f"{one_line(path.name)}: its manifest is larger than {MAX_MANIFEST_BYTES >> 20} MB")
        manifest = _check_manifest(json.loads(content, parse_float=_parse_float, parse_constant=_parse_float))
        workflow = Workflow.parse(manifest["prompt"], one_line(manifest["workflow"]) or "workflow")
    except FileNotFoundError:
        raise ComfyKitError(f"there is no file {one_line(str(path), 200)}") from None
    except (*_DAMAGED, OSError, KeyError, ValueError, TypeError, RecursionError, WorkflowError) as error:
        raise ComfyKitError(
            f"{one_line(path.name)} is not a bundle, or is damaged: {one_line(str(error), 200)}"
        ) from None
    differences = loop.call(find_differences(kit.find_backend(workflow), workflow, manifest))
    objects = sum(_OBJECT.fullmatch(info.filename) is not None for info in infos)
    return Bundle(
        one_line(manifest["name"]),
        workflow,
        len(manifest["runs"]),
        tuple(differences),
        (objects, size),
        path,
        manifest,
        ledger,
    )


def _parse_float(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is not a number")
    return number


def _check_files(infos: list[zipfile.ZipInfo], path: Path) -> int:
    """Reject a bundle with unexpected, too many or too large files; return their size in bytes."""
    name = one_line(path.name)
    if len(infos) > MAX_FILES:
        raise ComfyKitError(f"{name} has {len(infos):,} files, more than {MAX_FILES:,}")
    for info in infos:
        if info.filename != MANIFEST and not _OBJECT.fullmatch(info.filename):
            raise ComfyKitError(f"{name} is not a bundle: it has a file {short_repr(info.filename, 100)}")
        if info.flag_bits & _ENCRYPTED or info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise ComfyKitError(f"{name} is not a bundle, or is damaged: a file is encrypted, or packed in another way")
        if info.file_size > MAX_FILE_BYTES:
            raise ComfyKitError(f"{name} has a file of {info.file_size >> 20:,} MB")
    size = sum(info.file_size for info in infos)
    if size > MAX_BYTES:
        raise ComfyKitError(f"{name} has files of {size >> 30:,} GB")
    return size


def _check_manifest(manifest: Any) -> dict[str, Any]:
    """Return a manifest whose parts have the right types.

    Raises:
        ValueError: They have not.
    """
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise ValueError("it has another format: update comfykit-jupyter")
    texts = {name: str(manifest.get(name) or "") for name in ("name", "workflow", "server_version")}
    runs = []
    for run in manifest.get("runs") or []:
        if not isinstance(run, dict) or not re.fullmatch(r"[A-Za-z0-9-]{1,100}", str(run.get("id"))):
            raise ValueError("a run has no ID")
        runs.append({**run, "id": str(run["id"])})
    return {**manifest, **texts, "runs": runs}


def _build_lines(run: Mapping[str, Any], template: str) -> list[dict[str, Any]]:
    """Return the lines of a run in the journal. Invalid parts are skipped when they are read."""
    at = run.get("at") if isinstance(run.get("at"), str) else ""
    names = ("id", "key", "name", "patch", "params", "seeds", "files", "models", "loras", "inserted")
    sent = {
        **{name: run.get(name) for name in names},
        "event": "sent",
        "template": template,
        "server": "",
    }
    end = {name: run.get(name) for name in ("id", "seconds", "outputs", "version")}
    mark = {
        "event": "mark",
        "target": run["id"],
        "seq": 0,
        "set": run.get("marks") or {},
        "add_tags": run.get("tags") or [],
    }
    own = {"at": at} if at else {}
    return [{**sent, **own}, {**end, "event": "end", "status": "completed", **own}, mark]


def _take_file(bundle: zipfile.ZipFile, info: zipfile.ZipInfo, digest: str, suffix: str, ledger: Ledger) -> None:
    """Add one file to the folder of the runs, if its content has the hash that its name says."""
    part = get_local_folder() / f"{digest}{suffix}"
    found, size = hashlib.sha256(), 0
    try:
        with bundle.open(info) as read, part.open("wb") as write:
            while chunk := read.read(CHUNK_SIZE):
                size += len(chunk)
                if size > info.file_size:
                    break
                found.update(chunk)
                write.write(chunk)
        if found.hexdigest() != digest:
            raise zipfile.BadZipFile(f"the content of {digest[:12]}{suffix} does not match its name")
        ledger.store.add_file(part, suffix)
    except _DAMAGED as error:
        raise ComfyKitError(
            f"{one_line(bundle.filename or 'the bundle', 200)} is damaged: {one_line(str(error), 200)}"
        ) from None
    finally:
        part.unlink(missing_ok=True)
