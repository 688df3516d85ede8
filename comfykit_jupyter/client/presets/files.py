"""The files that presets name: found inside of the kernel's folder only, or copied beside the preset."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, SourceError
from comfykit_jupyter.client.inputs.files import LocalFile, find_local_file
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.masking import check_mask_size, read_upright_size
from comfykit_jupyter.client.inputs.media import read_media
from comfykit_jupyter.client.local_files import compute_digest, write_whole
from comfykit_jupyter.client.loop import call
from comfykit_jupyter.client.results.images import map_decoding_errors, open_image
from comfykit_jupyter.workflow.document.workflow import Upload
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.file_names import is_device_name
from comfykit_jupyter.workflow.presets.names import to_key

FOLDER = "presets"
"""The folder of presets, in the kernel's."""
MAX_PATH_LENGTH = 1000
"""Characters of a path in a preset."""
MAX_COPY_BYTES = 200_000_000
"""Bytes of a file that is copied beside a preset."""
_PARAMETER_LENGTH = 30
"""Characters of a parameter's name in the name of a file."""


class PresetFiles:
    """The files of presets.

    Args:
        root: The kernel's folder; no preset names a file outside of it.
    """

    def __init__(self, root: Path) -> None:
        self.root = root

    @property
    def folder(self) -> Path:
        """The folder of the presets."""
        return self.root / FOLDER

    def read_file(self, value: Any, name: str) -> Any:
        """Return the value of a media parameter; see `FileReader`."""
        if not isinstance(value, Mapping):
            return self.find_path(value, name)
        path = self.find_path(value["file"], name)
        return self._read_masked(path, value["mask"], name) if "mask" in value else path

    def _read_masked(self, path: str, text: str, name: str) -> Masked:
        """Return an image with the mask of a preset.

        Raises:
            ComfyKitError: The mask can't be read, or does not fit the image.
        """
        mask, image = find_local_file(self.find_path(text, name)), find_local_file(path)
        if mask is None:
            raise ComfyKitError(f"there is no file {short_repr(text, 200)} to read the mask from")
        try:
            with map_decoding_errors(), open_image(mask) as opened:
                value = Masked(path, opened)
            if image is not None:
                check_mask_size(value, read_upright_size(image))
        except ValueError as error:
            raise ComfyKitError(str(error)) from None
        return value

    def find_path(self, text: str, name: str) -> str:
        """Return the path of a file in the kernel's folder; a name that is not there is one on the server.

        Raises:
            ComfyKitError: It is outside of the folder, or not a file.
        """
        if not _is_relative(text):
            raise ComfyKitError(
                f"{short_repr(text)} is not in the folder of the notebook: a preset names no other files"
            )
        path = self.root / text
        try:
            if not path.exists() and not path.is_symlink():
                return text
            if not path.resolve().is_relative_to(self.root.resolve()):
                raise ComfyKitError(f"{short_repr(text)} is a link to a file outside of the folder of the notebook")
            if not path.is_file():
                raise ComfyKitError(f"{short_repr(text)} is not a file")
        except (OSError, ValueError, RuntimeError):
            raise ComfyKitError(f"{one_line(name)}: {short_repr(text)} can't be read") from None
        return text if Path.cwd() == self.root else str(path)

    def keep(self, upload: Upload, preset: str) -> Any:
        """Return what a preset has for a media value; a file outside of the kernel's folder is copied beside it.

        Raises:
            ComfyKitError: The file can't be read, or is too large.
        """
        value = upload.value
        if isinstance(value, Masked):
            image = self.keep(replace(upload, value=value.image), preset)
            return {"file": image, "mask": self._copy(value.mask, ".png", f"{upload.parameter}_mask", preset)}
        if isinstance(value, str) and type(value) is not str:
            value = value if hasattr(value, "origin") else str(value)
        try:
            source = call(read_media(upload, None))
        except ParameterError:
            # A name on the server, unless it could only be a path of this machine.
            if isinstance(value, str) and _is_relative(value):
                return value
            raise
        if not isinstance(source, LocalFile):
            return source.name
        try:
            if isinstance(source.content, Path) and not source.temporary:
                inside = self._find_inside(source.content, preset)
                if inside is not None:
                    return inside
            return self._copy(source.content, source.suffix, upload.parameter, preset)
        finally:
            source.remove()

    def _find_inside(self, path: Path, preset: str) -> str | None:
        """Return the relative path of a file that can stay where it is; None if it has to be copied."""
        resolved, root = path.resolve(), self.root.resolve()
        if not resolved.is_relative_to(root):
            return None
        text = resolved.relative_to(root).as_posix()
        is_of_other = text.startswith(f"{FOLDER}/") and not self.is_owned(text, preset)
        return text if _is_relative(text) and not is_of_other else None

    def _copy(self, content: Path | bytes, suffix: str, parameter: str, preset: str) -> str:
        digest, size = compute_digest(content)
        if size > MAX_COPY_BYTES:
            raise SourceError(
                f"{one_line(parameter)}: the file has more than {MAX_COPY_BYTES // 1_000_000} MB: "
                "put it into the folder of the notebook, and use it from there"
            )
        target = self.folder / build_file_name(preset, parameter, digest, suffix)
        with write_whole(target) as draft:
            if isinstance(content, bytes):
                draft.write_bytes(content)
            else:
                shutil.copyfile(content, draft)
        return f"{FOLDER}/{target.name}"

    @staticmethod
    def is_owned(text: str, preset: str) -> bool:
        """Return whether a path names a file that was written for a preset, and is deleted with it."""
        folder, _, name = text.rpartition("/")
        return folder == FOLDER and _build_pattern(preset).fullmatch(name) is not None

    def find_owned(self, preset: str) -> set[str]:
        """Return the paths of the files that were written for a preset."""
        pattern = _build_pattern(preset)
        names = [entry.name for entry in self.folder.iterdir() if pattern.fullmatch(entry.name) and not entry.is_dir()]
        return {f"{FOLDER}/{name}" for name in names}

    def delete(self, paths: Iterable[str]) -> None:
        """Delete files that were written for presets."""
        for path in paths:
            (self.root / path).unlink(missing_ok=True)

    def rename(self, text: str, preset: str, new: str) -> str:
        """Copy a file that was written for a preset, to be a file of the preset's new name; return its path.

        If the names differ only in case, it is renamed instead: some systems take both for the same file.
        """
        if not self.is_owned(text, preset):
            return text
        source = self.folder / text.removeprefix(f"{FOLDER}/")
        target = self.folder / f"{new}{source.name[len(preset) :]}"
        if not source.is_file() or source.is_symlink():
            pass
        elif to_key(new) == to_key(preset):
            source.replace(target)
        elif not target.exists():
            with write_whole(target) as draft:
                shutil.copyfile(source, draft)
        return f"{FOLDER}/{target.name}"


def iterate_paths(values: Mapping[str, Any]) -> Iterator[str]:
    """Yield the texts in the values of a preset that may be paths."""
    for value in values.values():
        if isinstance(value, Mapping):
            yield from map(str, value.values())
        elif isinstance(value, str):
            yield value


def build_file_name(preset: str, parameter: str, digest: str, suffix: str) -> str:
    """Return the name of a file that is written beside a preset: by its content, so that none is ever changed."""
    clean = re.sub(r"[^A-Za-z0-9_-]", "_", parameter)[:_PARAMETER_LENGTH] or "file"
    if clean != parameter:  # two parameters must not get the same name
        clean = (
            f"{clean[: _PARAMETER_LENGTH - 5]}-{hashlib.sha256(parameter.encode('utf-8', 'replace')).hexdigest()[:4]}"
        )
    return f"{preset}.{clean}-{digest[:16]}{suffix.lower()}"


def _build_pattern(preset: str) -> re.Pattern[str]:
    return re.compile(
        rf"{re.escape(preset)}\.[A-Za-z0-9_-]{{1,{_PARAMETER_LENGTH}}}-[0-9a-f]{{16}}(\.[a-z0-9]{{1,8}})?"
    )


def _is_relative(text: str) -> bool:
    """Return whether a text can be the relative path of a file, on any system, or a name on the server."""
    if not text or len(text) > MAX_PATH_LENGTH or "\0" in text or "://" in text or text.startswith("~"):
        return False
    parts = text.replace("\\", "/").split("/")
    if ".." in parts or any(is_device_name(part) for part in parts):
        return False
    windows = PureWindowsPath(text)
    return not PurePosixPath(text).is_absolute() and not windows.drive and not windows.root
