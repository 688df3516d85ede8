"""Exchange files with the page in pieces: the browser never talks to the server.

What a page uploads, and what Python puts into a form, becomes a file in a private folder.
"""

from __future__ import annotations

import hashlib
import logging
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.masking import make_overlay
from comfykit_jupyter.client.local_files import get_local_folder, write_whole
from comfykit_jupyter.client.results.thumbnail import make_thumbnail
from comfykit_jupyter.workflow.file_names import to_safe_name

logger = logging.getLogger(__name__)

PIECE_BYTES = 1024 * 1024
"""Bytes of a piece, in both directions: a notebook's socket loses frames of ten times the size."""
THUMBNAIL_SIDE = 512
"""Pixels of a thumbnail's longer side: a tile of 256 on a screen with double density."""
MAX_UPLOAD_BYTES = 2 * 1024**3
"""Bytes of one upload."""
MAX_UPLOADS = 16
"""Uploads in progress at once; a new one replaces the oldest."""


@cache
def _get_workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="comfykit-media")


def run_in_background(job: Callable[[], object]) -> Future[None]:
    """Run a slow job (a download, a thumbnail, a request to the server) in a worker thread. Returns at once."""
    return _get_workers().submit(_run_logged, job)


def _run_logged(job: Callable[[], object]) -> None:
    try:
        job()
    except Exception:
        logger.exception("a background job of a widget failed")


def read_piece(path: Path, mime: str, size: str, offset: int) -> tuple[dict[str, Any], list[bytes]]:
    """Answer a page that requests a file: with the whole thumbnail, or with one piece of the file.

    Args:
        path: The local file.
        mime: Its MIME type.
        size: `thumb` for the thumbnail; anything else means the file itself.
        offset: Where the piece begins, in bytes.

    Raises:
        ComfyKitError: The offset is outside of the file, or a thumbnail can't be made.
    """
    if size == "thumb":
        try:
            small = make_thumbnail(path, THUMBNAIL_SIDE)
        except ValueError as error:
            raise ComfyKitError(f"{path.name}: {error}") from None
        about = {"total": len(small.data), "mime": small.mime, "offset": 0}
        return {**about, "width": small.original[0], "height": small.original[1]}, [small.data]
    total = path.stat().st_size
    if not 0 <= offset <= total:
        raise ComfyKitError(f"{path.name}: offset {offset} is outside of its {total} bytes")
    with path.open("rb") as file:
        file.seek(offset)
        return {"total": total, "mime": mime, "offset": offset}, [file.read(PIECE_BYTES)]


def draw_masked(value: Masked, file: Path) -> Path:
    """Return a small image with its mask drawn over it.

    Raises:
        ComfyKitError: The image can't be read.
    """
    try:
        small = make_overlay(value, file, THUMBNAIL_SIDE)
    except ValueError as error:
        raise ComfyKitError(f"{file.name}: {error}") from None
    return get_inbox().keep(small.data, "masked.webp")


class Upload:
    """A file that arrives in pieces, in any order.

    Args:
        folder: Where it is kept.
        name: Its name, as the page sent it.
        size: Its bytes.
    """

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.name, self.size = to_safe_name(name), size
        self._lock = threading.Lock()
        self._pieces: dict[int, int] = {}
        handle, path = tempfile.mkstemp(dir=folder)
        os.close(handle)
        self.path = Path(path)

    def put(self, offset: int, data: bytes) -> int:
        """Write a piece, and return how many bytes have arrived.

        Raises:
            ComfyKitError: The piece is outside of the file.
            OSError: The piece can't be written, for example because the upload was dropped.
        """
        if not 0 <= offset <= self.size - len(data) or len(data) > PIECE_BYTES:
            raise ComfyKitError(
                f"{self.name}: a piece of {len(data)} bytes at {offset} does not fit in {self.size} bytes"
            )
        with self._lock:
            with self.path.open("r+b") as file:
                file.seek(offset)
                file.write(data)
            self._pieces[offset] = len(data)
            return sum(self._pieces.values())


class Inbox:
    """A folder of files by content: the same bytes are kept once.

    Args:
        folder: The folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def keep(self, data: bytes, name: str) -> Path:
        """Keep a file, and return its path. A file that is there is complete, and may be being read."""
        path = self._make_path(hashlib.sha256(data).hexdigest(), name)
        if not path.is_file():
            with write_whole(path) as draft:
                draft.write_bytes(data)
        return path

    def receive(self, key: str, name: str, size: int, offset: int, data: bytes) -> tuple[int, Path | None]:
        """Receive a piece of an upload; return the bytes received so far, and the path once the file is complete.

        Args:
            key: Identifies the upload.
            name: The name of the file.
            size: Its bytes.
            offset: Where the piece begins.
            data: The piece.

        Raises:
            ComfyKitError: The file is empty or too large, or the piece does not fit.
        """
        if not 0 < size <= MAX_UPLOAD_BYTES:
            raise ComfyKitError(f"{to_safe_name(name)}: an upload must have 1 to {MAX_UPLOAD_BYTES} bytes, not {size}")
        with self._lock:
            upload = self._uploads.get(key)
            if upload is None:
                if len(self._uploads) >= MAX_UPLOADS:
                    self._uploads.pop(next(iter(self._uploads))).path.unlink(missing_ok=True)
                upload = self._uploads[key] = Upload(self.folder, name, size)
        received = upload.put(offset, data)
        if received < upload.size:
            return received, None
        with self._lock:
            self._uploads.pop(key, None)
        with upload.path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(PIECE_BYTES):
                digest.update(block)
        path = self._make_path(digest.hexdigest(), upload.name)
        upload.path.replace(path)
        return received, path

    def _make_path(self, digest: str, name: str) -> Path:
        folder = self.folder / digest[:16]
        folder.mkdir(exist_ok=True)
        return folder / to_safe_name(name)


@cache
def get_inbox() -> Inbox:
    """Return the inbox of this process."""
    folder = get_local_folder() / "inbox"
    folder.mkdir(exist_ok=True)
    return Inbox(folder)
