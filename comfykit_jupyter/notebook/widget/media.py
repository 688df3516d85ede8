"""Bytes for the browser, which never talks to the server: pictures and files in pieces.

And the other way: what a page uploads, and what Python puts into a form, becomes a file in a private folder.
"""

from __future__ import annotations

import hashlib
import logging
import mimetypes
import os
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import get_local_folder
from comfykit_jupyter.client.results.media import to_safe_name
from comfykit_jupyter.client.results.thumbnail import make_thumbnail

logger = logging.getLogger(__name__)

PIECE = 1024 * 1024
"""Bytes of a piece, in both directions: a notebook's socket loses frames of ten times as much."""
THUMBNAIL_SIDE = 512
"""Pixels: a tile of 256 on a screen of double density."""
UPLOAD_BYTES, UPLOADS = 2 * 1024**3, 16
"""Bytes of one upload, and uploads that may be under way at once."""


@cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(4, thread_name_prefix="comfykit-media")


def work(job: Callable[[], object]) -> None:
    """Run what takes time, such as fetching, decoding, telling the server to cancel, in a thread. Returns at once."""
    _workers().submit(_logged, job)


def _logged(job: Callable[[], object]) -> None:
    try:
        job()
    except Exception:
        logger.exception("what a widget had done in the background failed")


def piece(path: Path, mime: str, size: str, offset: int) -> tuple[dict[str, Any], list[bytes]]:
    """The answer to a page that asks for a file: its thumbnail as a whole, or a piece of the file itself.

    Raises:
        ComfyKitError: the offset is none, or there is no thumbnail of such a file.
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
        raise ComfyKitError(f"{path.name} has {total} bytes: nothing begins at {offset}")
    with path.open("rb") as file:
        file.seek(offset)
        return {"total": total, "mime": mime, "offset": offset}, [file.read(PIECE)]


def guess_mime(path: Path) -> str:
    """The MIME type by suffix."""
    return mimetypes.guess_type(path.name)[0] or "application/octet-stream"


class Upload:
    """A file that arrives in pieces, in any order."""

    def __init__(self, folder: Path, name: str, size: int) -> None:
        self.name, self.size = to_safe_name(name), size
        self._lock = threading.Lock()
        self._pieces: dict[int, int] = {}
        handle, path = tempfile.mkstemp(dir=folder)
        os.close(handle)
        self.path = Path(path)

    def put(self, offset: int, data: bytes) -> int:
        """Keep a piece; returns how many bytes are there now.

        Raises:
            ComfyKitError: the piece lies outside of the file.
            OSError: it can't be written, as when the upload was given up.
        """
        if not 0 <= offset <= self.size - len(data) or len(data) > PIECE:
            raise ComfyKitError(f"{self.name}: a piece at {offset} does not fit in {self.size} bytes")
        with self._lock:
            with self.path.open("r+b") as file:
                file.seek(offset)
                file.write(data)
            self._pieces[offset] = len(data)
            return sum(self._pieces.values())


class Inbox:
    """A folder of files by content: the same bytes are there once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._uploads: dict[str, Upload] = {}

    def keep(self, data: bytes, name: str) -> Path:
        """The file of these bytes, under this name."""
        path = self._place(hashlib.sha256(data).hexdigest(), name)
        path.write_bytes(data)
        return path

    def receive(self, key: str, name: str, size: int, offset: int, data: bytes) -> tuple[int, Path | None]:
        """Take a piece of an upload. Returns the bytes received so far, and the file once it is complete.

        Raises:
            ComfyKitError: too large, or the piece does not fit.
        """
        if not 0 < size <= UPLOAD_BYTES:
            raise ComfyKitError(f"{to_safe_name(name)}: {size} bytes; an upload holds 1 to {UPLOAD_BYTES} bytes")
        with self._lock:
            upload = self._uploads.get(key)
            if upload is None:
                if len(self._uploads) >= UPLOADS:
                    self._uploads.pop(next(iter(self._uploads))).path.unlink(missing_ok=True)
                upload = self._uploads[key] = Upload(self.folder, name, size)
        received = upload.put(offset, data)
        if received < upload.size:
            return received, None
        with self._lock:
            self._uploads.pop(key, None)
        with upload.path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(PIECE):
                digest.update(block)
        path = self._place(digest.hexdigest(), upload.name)
        upload.path.replace(path)
        return received, path

    def _place(self, digest: str, name: str) -> Path:
        folder = self.folder / digest[:16]
        folder.mkdir(exist_ok=True)
        return folder / to_safe_name(name)


@cache
def inbox() -> Inbox:
    """The inbox of this process."""
    folder = get_local_folder() / "inbox"
    folder.mkdir(exist_ok=True)
    return Inbox(folder)
