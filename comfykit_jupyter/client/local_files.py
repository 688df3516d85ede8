"""Files on this machine: those to be uploaded or saved, and the folder of this process's local copies."""

from __future__ import annotations

import contextlib
import hashlib
import io
import re
import shutil
import threading
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO

from comfykit_jupyter.client.errors import SourceError
from comfykit_jupyter.workflow.file_names import number_name, to_safe_name

CHUNK_SIZE = 1 << 20
"""Bytes that are read or written at a time."""
MAX_COPIES = 10_000
"""How many files of one name are numbered in a folder."""
MAX_MEDIA_BYTES = 2 * 1024 * 1024 * 1024
"""Bytes of one file that is downloaded."""

_folder_lock = threading.Lock()
_folder: Path | None = None

_SERVER_FOLDER = re.compile(r"(?<![\w:/\\.])(?:[A-Za-z]:)?[/\\](?:[^\s'\"/\\:*?<>|]{1,255}[/\\]){1,64}(?=[\w.-])")
"""The folder of an absolute path, in a text that may have quotes and URLs."""


def get_local_folder() -> Path:
    """Return the folder of this process's local copies; it is removed when the process ends."""
    global _folder
    with _folder_lock:
        if _folder is None or not _folder.is_dir():
            from comfykit_jupyter.client.temp_dir import make_temp_dir

            _folder = make_temp_dir()
        return _folder


def make_local_path(name: str) -> Path:
    """Return a path for a local copy, in a folder of its own. Its name is made from one that a server gave."""
    folder = get_local_folder() / uuid.uuid4().hex
    folder.mkdir()
    return folder / to_safe_name(name)


@contextlib.contextmanager
def write_whole(target: Path) -> Iterator[Path]:
    """Yield the path of a file to write; it replaces the target when it is complete. Missing folders are created."""
    target.parent.mkdir(parents=True, exist_ok=True)
    start = target.name.encode("utf-8", "ignore")[:200].decode("utf-8", "ignore")
    draft = target.with_name(f".{start}.{uuid.uuid4().hex[:8]}")
    try:
        yield draft
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)


def strip_folders(text: str) -> str:
    """Return a text without the paths of our local copies; their file names are kept."""
    if _folder is None or str(_folder) not in text:
        return text
    return re.sub(re.escape(str(_folder)) + r"[/\\](?:[\w.-]+[/\\])*", "", text)


def strip_server_folders(text: str) -> str:
    """Return a server's message without the folders of its paths: the name of a file says enough. URLs are kept."""
    return _SERVER_FOLDER.sub("", text)


def compute_digest(source: Path | bytes) -> tuple[str, int]:
    """Return the SHA-256 of a file, or of the bytes of one, and its size in bytes.

    Raises:
        SourceError: The file can't be read.
    """
    if isinstance(source, bytes):
        return hashlib.sha256(source).hexdigest(), len(source)
    digest, size = hashlib.sha256(), 0
    try:
        with source.open("rb") as file:
            while chunk := file.read(CHUNK_SIZE):
                digest.update(chunk)
                size += len(chunk)
    except OSError as error:
        raise SourceError(f"{source!s:.200} can't be read: {error.strerror or error}") from None
    return digest.hexdigest(), size


def build_upload_name(source: Path | bytes, suffix: str) -> tuple[str, int]:
    """Return the name under which a file is uploaded, and its size in bytes. Equal contents have equal names.

    Args:
        source: A file, or the bytes of one.
        suffix: The suffix of the name, such as `.png`: nodes recognise the kind by it.

    Raises:
        SourceError: The file can't be read.
    """
    digest, size = compute_digest(source)
    return f"comfykit-{digest[:24]}{suffix}", size


def open_source(source: Path | bytes) -> IO[bytes]:
    """Open a file, or the bytes of one, for reading."""
    return io.BytesIO(source) if isinstance(source, bytes) else source.open("rb")


def is_folder(path: str | Path) -> bool:
    """Return whether a path that a user gave is a folder: one that exists, or one with a `/` at its end."""
    return str(path).endswith(("/", "\\")) or Path(path).expanduser().is_dir()


def copy_file(source: Path, target: Path, *, overwrite: bool, taken: Collection[Path] = ()) -> Path:
    """Copy a file and return the path of the copy; if there is a file of that name, the copy gets a number.

    Args:
        source: The file.
        target: Where the copy goes; missing folders are created.
        overwrite: Whether an existing file is replaced.
        taken: Files that are not replaced in any case.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    for number in range(1, MAX_COPIES + 1):
        path = target.with_name(number_name(target.name, number))
        if not overwrite or path in taken:
            try:
                path.open("xb").close()  # from here on the name is ours
            except FileExistsError:
                continue
        shutil.copyfile(source, path)
        return path
    raise FileExistsError(f"{target} and {MAX_COPIES - 1:,} numbered files exist already")
