"""`PresetFolder`: the presets in the folder of a kernel, as files `presets/NAME.toml`."""

from __future__ import annotations

import os
import stat
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError, SourceError
from comfykit_jupyter.client.local_files import write_whole
from comfykit_jupyter.client.presets.files import FOLDER, PresetFiles, iterate_paths
from comfykit_jupyter.workflow.document.workflow import Upload
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.presets.names import check_name, to_key
from comfykit_jupyter.workflow.presets.preset import MAX_BYTES, Preset, find_hash, format_preset, parse_preset
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
    from comfykit_jupyter.workflow.lora_stack import Stack
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.check import CheckedValue

SUFFIX = ".toml"
MAX_PRESETS = 500
"""Presets that are listed."""
MAX_ENTRIES = 10_000
"""Entries of the folder that are looked at."""


@dataclass(frozen=True)
class ListedPreset:
    """A preset in a list.

    Attributes:
        name: Its name.
        preset: What its file has; None if it can't be read.
        error: Why it can't be read.
    """

    name: str
    preset: Preset | None = None
    error: str = ""


class PresetFolder:
    """The presets in the folder of a kernel.

    Args:
        root: The folder of the kernel; by default the current one.
    """

    def __init__(self, root: Path | None = None) -> None:
        self.root = Path.cwd() if root is None else root
        self.files = PresetFiles(self.root)

    def list(self) -> list[ListedPreset]:
        """Return all presets, by name; those that can't be read with the reason."""
        return [self._list_one(name) for name in sorted(self.find_names(), key=to_key)[:MAX_PRESETS]]

    def list_for(self, workflow: WorkflowGraph) -> tuple[str, ...]:
        """Return the names of the presets that were saved for a workflow, or for another version of it."""
        return tuple(each.name for each in self.list() if each.preset is not None and each.preset.is_for(workflow))

    def read(self, name: str) -> Preset:
        """Read a preset.

        Raises:
            ComfyKitError: There is no such preset, or its file is not one.
        """
        name = check_name(name)
        names = self.find_names()
        if name not in names:
            meant = find_nearest(name, list(names))
            hint = f": did you mean {short_repr(meant)}?" if meant else f" in {self.files.folder}"
            raise SourceError(f"there is no preset {short_repr(name)}{hint}")
        return parse_preset(self._read_bytes(self.files.folder / names[name], name), name, self.files)

    def save(
        self,
        name: str,
        workflow: WorkflowGraph,
        checked: Mapping[str, CheckedValue],
        definitions: Definitions | None = None,
        loras: Stack | None = None,
    ) -> Path:
        """Save values as a preset. It replaces a preset of this name.

        Args:
            name: The name.
            workflow: The workflow, resolved.
            checked: The values, by parameter name.
            definitions: The server's node definitions, for titles in messages.
            loras: The stack of LoRAs; None for none.

        Raises:
            ComfyKitError: The name or a value can't be used, or another workflow has a preset of this name.
            OSError: The files can't be written.
        """
        name = check_name(name)
        self._check_free(name, workflow)
        values = {each: self._keep_value(name, value, workflow, definitions) for each, value in checked.items()}
        preset = Preset(name, values, one_line(workflow.name), find_hash(workflow), loras)
        path = self._write(preset)
        self._remove_unused(name)
        return path

    def rename(self, name: str, new: str) -> None:
        """Rename a preset, and the files that were written for it.

        Raises:
            ComfyKitError: There is no such preset, or another one has the new name.
            OSError: The files can't be written.
        """
        preset, new = self.read(name), check_name(new)
        if new == preset.name:
            return
        same = to_key(new) == to_key(preset.name)
        if not same and (other := self._find_alike(new)) is not None:
            raise ComfyKitError(f"there is a preset {short_repr(other)} already: use another name")
        values = {each: self._rename_files(value, preset.name, new) for each, value in preset.values.items()}
        old = self.files.folder / self.find_names()[preset.name]
        if same:
            old.replace(self.files.folder / f"{new}{SUFFIX}")
        self._write(replace(preset, name=new, values=values))
        if not same:
            old.unlink(missing_ok=True)
        self._remove_unused(preset.name)

    def delete(self, name: str) -> None:
        """Delete a preset, and the files that were written for it. A file that is not a preset is deleted, too.

        Raises:
            ComfyKitError: There is no such preset.
            OSError: It can't be deleted.
        """
        name = check_name(name)
        found = self.find_names().get(name)
        if found is None:
            raise SourceError(f"there is no preset {short_repr(name)}")
        (self.files.folder / found).unlink()
        self._remove_unused(name)

    # -- the files -----------------------------------------------------------------------------------------------------

    def find_names(self) -> dict[str, str]:
        """Return the names of all presets, each with the name of its file."""
        self._check_folder()
        found = {}
        try:
            with os.scandir(self.files.folder) as entries:
                for _, entry in zip(range(MAX_ENTRIES), entries, strict=False):
                    name = unicodedata.normalize("NFC", entry.name)
                    if name.endswith(SUFFIX) and _is_name(name.removesuffix(SUFFIX)):
                        found[name.removesuffix(SUFFIX)] = entry.name
        except FileNotFoundError:
            pass
        except OSError as error:
            raise SourceError(f"the folder {FOLDER} can't be read: {error.strerror or error}") from None
        return found

    def _check_folder(self) -> None:
        if not self.files.folder.resolve().is_relative_to(self.root.resolve()):
            raise SourceError(f"the folder {FOLDER} is a link to a place outside of the folder of the notebook")

    def _list_one(self, name: str) -> ListedPreset:
        try:
            return ListedPreset(name, self.read(name))
        except ComfyKitError as error:
            return ListedPreset(name, error=str(error))

    def _read_bytes(self, path: Path, name: str) -> bytes:
        where = f"preset {short_repr(name)}"
        if not path.resolve().is_relative_to(self.root.resolve()):
            raise SourceError(f"{where}: the file is a link to a place outside of the folder of the notebook")
        try:
            handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
            with os.fdopen(handle, "rb") as file:
                if not stat.S_ISREG(os.fstat(handle).st_mode):
                    raise SourceError(f"{where}: {path.name} is not a file")
                return file.read(MAX_BYTES + 1)
        except OSError as error:
            raise SourceError(f"{where} can't be read: {error.strerror or error}") from None

    def _check_free(self, name: str, workflow: WorkflowGraph) -> None:
        """Reject a name that another preset has."""
        other = self._find_alike(name)
        if other is None:
            return
        if other != name:
            raise ComfyKitError(f"there is a preset {short_repr(other)}: use this spelling, or another name")
        found = self._list_one(name).preset
        if found is not None and found.workflow and not found.is_for(workflow):
            raise ComfyKitError(
                f"preset {short_repr(name)} was saved for the workflow {short_repr(found.workflow)}: use another name"
            )

    def _find_alike(self, name: str) -> str | None:
        """Return the name of a preset whose file has the same name on some systems."""
        return next((each for each in self.find_names() if to_key(each) == to_key(name)), None)

    def _write(self, preset: Preset) -> Path:
        data = format_preset(preset)
        self._check_folder()
        path = self.files.folder / f"{preset.name}{SUFFIX}"
        with write_whole(path) as draft:
            draft.write_bytes(data)
        return path

    def _keep_value(
        self, name: str, checked: CheckedValue, workflow: WorkflowGraph, definitions: Definitions | None
    ) -> Any:
        """Return what a preset has for a value."""
        target, value = checked.inputs[0]
        if not target.upload:
            return list(checked.value) if isinstance(checked.value, tuple) else checked.value
        title = workflow.get_title(target.node_id, definitions)
        upload = Upload(checked.parameter.name, target.node_id, title, target.field, target.media, value)
        return self.files.keep(upload, name)

    def _rename_files(self, value: Any, name: str, new: str) -> Any:
        if isinstance(value, Mapping):
            return {key: self.files.rename(str(each), name, new) for key, each in value.items()}
        return self.files.rename(value, name, new) if isinstance(value, str) else value

    def _remove_unused(self, name: str) -> None:
        """Delete the files that were written for a preset and that no preset names any more."""
        unused = self.files.find_owned(name)
        for each in self.find_names() if unused else ():
            preset = self._list_one(each).preset
            unused.difference_update(iterate_paths(preset.values) if preset is not None else ())
        self.files.delete(unused)


def _is_name(text: str) -> bool:
    try:
        return check_name(text) == text
    except ComfyKitError:
        return False
