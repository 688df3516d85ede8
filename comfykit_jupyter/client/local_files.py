"""Files on this machine: the folder of local copies, and the digest of a file."""

from __future__ import annotations

import hashlib
import re
import threading
from pathlib import Path

from comfykit_jupyter.client.errors import SourceError

CHUNK_SIZE = 1 << 20
"""Bytes that are read or written at a time."""


MAX_MEDIA_BYTES = 2 * 1024 * 1024 * 1024
"""Bytes of one file that are fetched at most."""
_folder_lock = threading.Lock()
_folder: Path | None = None


def get_local_folder() -> Path:
    """The folder of this process's local copies; it goes when the process ends."""
    global _folder
    with _folder_lock:
        if _folder is None or not _folder.is_dir():
            from comfykit_jupyter.client.temp_dir import make_temp_dir

            _folder = make_temp_dir()
        return _folder


def strip_folders(text: str) -> str:
    """A text without the folders of this process: of the files in them the names are left."""
    if _folder is None or str(_folder) not in text:
        return text
    return re.sub(re.escape(str(_folder)) + r"[/\\](?:[\w.-]+[/\\])*", "", text)


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
            while piece := file.read(CHUNK_SIZE):
                digest.update(piece)
                size += len(piece)
    except OSError as error:
        raise SourceError(f"{source!s:.200} can't be read: {error.strerror or error}") from None
    return digest.hexdigest(), size
