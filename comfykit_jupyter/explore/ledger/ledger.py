"""`Ledger`: the folder of the runs. It reads and writes the journal, originals and templates."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from collections.abc import Container, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.explore.ledger.entries import MARKS, MAX_NOTE, Entries, Marks, RunEntry, is_mark
from comfykit_jupyter.explore.ledger.journal import Journal, format_now, try_lock
from comfykit_jupyter.explore.ledger.objects import ObjectStore, remove_old_parts
from comfykit_jupyter.workflow.errors import short_repr

_README = "Runs of ComfyUI workflows, kept by comfykit-jupyter: journal/ is what happened, objects/ the files.\n"
MAX_TAG = 100
LOCK_PATIENCE = 2.0
"""Seconds that another process may hold the lock."""
LOCK_INTERVAL = 0.002
"""Seconds between two attempts to lock."""

_lock = threading.Lock()
_open: dict[Path, Ledger] = {}


def open_ledger(folder: Path) -> Ledger:
    """Return the ledger of a folder; one object for each folder in a process."""
    with _lock:
        return _open.setdefault(folder, Ledger(folder))


@contextlib.contextmanager
def pause_collection() -> Iterator[None]:
    """Collect no garbage for a moment: ten thousand runs are many small objects, and none of them is garbage."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


class Ledger:
    """All runs that were kept in a folder, by any process. Reading it again costs little when nothing is new.

    Args:
        folder: The folder; it is created with the first run.

    Attributes:
        folder: The folder.
        journal: What happened.
        store: The originals.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = Journal(folder / "journal")
        self.store = ObjectStore(folder)
        self._entries = Entries()
        self._lock = threading.RLock()
        self._held = threading.local()
        self._is_ready = False
        self._templates: dict[str, Any] = {}

    def __repr__(self) -> str:
        return f"<Ledger {str(self.folder)!r}>"

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Check for new lines once instead of for each row: on a network file system that takes milliseconds."""
        self.read()
        before, self._held.here = getattr(self._held, "here", False), True
        try:
            yield
        finally:
            self._held.here = before

    def read(self) -> Entries:
        """Return all runs and sweeps, with those that other processes have added."""
        if getattr(self._held, "here", False):
            return self._entries
        with self._lock, pause_collection():
            for file, event in self.journal.iter_new():
                self._entries.apply(file, event)
            return self._entries

    def append(self, event: Mapping[str, Any], *, sync: bool = False) -> None:
        """Append a line to the journal, with the time if it has none.

        Raises:
            OSError: It can't be written.
        """
        self._prepare_folder()
        self.journal.append({"at": format_now(), **event}, sync=sync)

    def _prepare_folder(self) -> None:
        """Create the folder, which only its owner can read, and which git ignores."""
        if self._is_ready:
            return
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in ((".gitignore", "*\n"), ("README", _README)):
            with contextlib.suppress(FileExistsError), (self.folder / name).open("x", encoding="utf-8") as file:
                file.write(content)
        self._is_ready = True

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Hold a lock against other processes, where the system can. It is held for milliseconds.

        Raises:
            OSError: The folder can't be written.
        """
        self._prepare_folder()
        descriptor = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            until = time.monotonic() + LOCK_PATIENCE
            while not try_lock(descriptor) and time.monotonic() < until:  # a process that was stopped keeps it
                time.sleep(LOCK_INTERVAL)
            yield
        finally:
            os.close(descriptor)

    def compact(self) -> int:
        """Merge the files of the journal whose writers are gone, without runs that were forgotten and their values.

        Returns:
            How many files were merged.

        Raises:
            OSError: It can't be written.
        """
        with self._lock:
            entries = self.read()
            emptied = {each.id: each.sequence for each in entries.sweeps.values() if each.is_emptied}

            def is_wanted(event: Mapping[str, Any]) -> bool:
                if event["event"] == "sweep":
                    sequence = event.get("seq", 0)
                    return not isinstance(sequence, int) or sequence >= emptied.get(str(event.get("id")), 0)
                return event["event"] == "forgotten" or not _is_about(event, entries.forgotten)

            self.store.remove_parts()
            remove_old_parts(self.journal.folder.glob("*.part"))
            return self.journal.compact(is_wanted)

    def empty_sweeps(self, ids: Iterable[str]) -> None:
        """Remove the values of sweeps; their seeds stay the same. `compact` removes the older lines.

        Raises:
            OSError: It can't be written.
        """
        sweeps = self.read().sweeps
        for entry in [sweeps[each] for each in ids if each in sweeps]:
            line = {"event": "sweep", "id": entry.id, "salt": entry.salt, "generation": entry.generation}
            self.append({**line, "since": entry.since, "seq": entry.sequence + 1, "emptied": True})

    def is_kept(self, digest: str) -> bool:
        """Return whether a file is here, or at least its thumbnail."""
        return bool(digest) and (self.store.find(digest) is not None or self.store.has_thumbnail(digest))

    def remove_unused(self, files: Iterable[str]) -> None:
        """Delete files, by their hashes, that no run and no sweep needs; their thumbnails as well."""
        entries = self.read()
        used = {digest for entry in list(entries.runs.values()) for digest in list_files(entry)}
        used |= {sweep.template for sweep in list(entries.sweeps.values())}
        for digest in set(files) - used:
            self.store.remove(digest, thumbnail=True)

    # -- templates -----------------------------------------------------------------------------------------------------

    def add_template(self, name: str, prompt: Mapping[str, Any]) -> str:
        """Keep a workflow's prompt once, and return its hash.

        Raises:
            OSError: It can't be written.
        """
        self._prepare_folder()
        digest = self.store.add_json(prompt)
        with self._lock:
            known = digest in self._templates
            self._templates[digest] = prompt
        if not known and digest not in self.read().templates:
            self.append({"event": "template", "hash": digest, "name": name})
        return digest

    def build_prompt(self, entry: RunEntry) -> dict[str, Any] | None:
        """Return the prompt that was sent; None if its template is gone, or the line was edited."""
        template = self._templates.get(entry.template)
        if template is None:
            template = self.store.read_json(entry.template)
            if not isinstance(template, dict):
                return None
            with self._lock:
                self._templates[entry.template] = template
        try:
            prompt = apply_patch(template, entry.patch)
        except (TypeError, ValueError, AttributeError, KeyError):  # edited by hand
            return None
        return prompt if all(map(_is_node, prompt.values())) else None

    # -- marks ---------------------------------------------------------------------------------------------------------

    def mark(
        self,
        target: str,
        values: Mapping[str, Any] | None = None,
        *,
        add_tags: Iterable[str] = (),
        remove_tags: Iterable[str] = (),
    ) -> None:
        """Change marks of a run or an output, and leave all others as they are.

        Args:
            target: A run's ID; for one of its outputs, followed by `/` and its index.
            values: `star`, `rejected` (bool), `rating` (0 to 5), `note` (text).
            add_tags: Tags to add.
            remove_tags: Tags to remove.

        Raises:
            ComfyKitError: A value is not allowed.
            OSError: The journal can't be written.
        """
        given = {name: _check_mark(name, value) for name, value in (values or {}).items()}
        added, removed = [_check_tag(tag) for tag in add_tags], [_check_tag(tag) for tag in remove_tags]
        if not (given or added or removed):
            return
        with self._lock:  # two threads must not take the same number
            event = {"event": "mark", "target": target, "seq": self.read().sequence + 1, "set": given}
            self.append(event | ({"add_tags": added} if added else {}) | ({"remove_tags": removed} if removed else {}))

    def get_marks(self, id: str, output: int | None = None) -> Marks:  # noqa: A002 - as in Row
        """Return the marks of a run, or of one of its outputs, as they are now."""
        return self.read().get_marks(id, output)


def list_given_files(entry: RunEntry) -> set[str]:
    """Return the hashes of the files that a run was given."""
    return {value.removeprefix("sha256:") for value in entry.files.values() if value.startswith("sha256:")}


def list_files(entry: RunEntry) -> set[str]:
    """Return the hashes of the files of a run: those that it was given, its workflow, and its outputs."""
    return list_given_files(entry) | {entry.template, *(output.hash for output in entry.outputs)} - {""}


def apply_patch(template: Mapping[str, Any], patch: Iterable[list[Any]]) -> dict[str, Any]:
    """Return a prompt: the template's, with some inputs set. It shares the nodes that are not changed.

    Args:
        template: The workflow's own prompt.
        patch: Node ID, input and value of each; a value without an input is a whole node.
    """
    prompt = dict(template)
    copied: set[str] = set()
    for node_id, name, value in patch:
        if name is None:
            prompt[node_id] = value
            copied.add(node_id)
            continue
        if node_id not in copied:
            node = prompt.get(node_id, {})
            prompt[node_id] = {**node, "inputs": dict(node.get("inputs", {}))}
            copied.add(node_id)
        prompt[node_id]["inputs"][name] = value
    return prompt


def build_patch(template: Mapping[str, Any], prompt: Mapping[str, Any]) -> list[list[Any]]:
    """Return what turns a template into a prompt; see `apply_patch`."""
    patch: list[list[Any]] = []
    for node_id, node in prompt.items():
        own = template.get(node_id)
        if own is node:
            continue
        if (
            own is None
            or own.get("class_type") != node.get("class_type")
            or own["inputs"].keys() - node["inputs"].keys()
        ):
            patch.append([node_id, None, node])
            continue
        before = own["inputs"]
        for name, value in node["inputs"].items():
            if name not in before or type(before[name]) is not type(value) or before[name] != value:
                patch.append([node_id, name, value])
    return patch


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)


def _is_about(event: Mapping[str, Any], ids: Container[str]) -> bool:
    """Return whether a line is about one of these runs."""
    id_ = event.get("id") or event.get("target")
    return isinstance(id_, str) and id_.partition("/")[0] in ids


def _check_mark(name: str, value: Any) -> Any:
    if name not in MARKS:
        raise ComfyKitError(f"unknown mark {short_repr(name)}: use one of {', '.join(MARKS)}, or tags")
    if name in ("star", "rejected"):
        return bool(value)
    if name == "rating" and value is None:
        return 0
    if name == "score":
        with contextlib.suppress(TypeError, ValueError, OverflowError):
            value = float(value)
    if not is_mark(name, value):
        rule = {
            "rating": f"an integer between 0 and 5, not {short_repr(value)}",
            "score": f"a number, not {short_repr(value)}",
            "note": f"text of at most {MAX_NOTE:,} characters",
        }
        raise ComfyKitError(f"{name} must be {rule[name]}")
    return value


def _check_tag(tag: Any) -> str:
    if not isinstance(tag, str) or not tag.strip() or len(tag) > MAX_TAG:
        raise ComfyKitError(f"a tag is text of 1 to {MAX_TAG} characters, not {short_repr(tag)}")
    return tag.strip()
