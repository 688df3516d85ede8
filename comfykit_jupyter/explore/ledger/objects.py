"""`ObjectStore`: files by their content, and small images of them."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.local_files import CHUNK_SIZE, compute_digest
from comfykit_jupyter.client.results.thumbnail import make_thumbnail

THUMBNAIL_SIDE = 256
"""Pixels of the longer side."""
_PART_SECONDS = 24 * 3600.0
"""Seconds after which a file that is not complete was left by a process that is gone."""
_HASH = re.compile(r"[0-9a-f]{64}")
_UNSAFE = re.compile(r"[^A-Za-z0-9-]")
_SUFFIX = re.compile(r"\.[A-Za-z0-9]{1,10}")


class ObjectStore:
    """Originals in `objects/ab/`, named by their SHA-256, and thumbnails in `thumbs/ab/`, which may be deleted.

    A file is complete as soon as it has its name. Equal files are stored once.

    Args:
        folder: The folder of the runs.
    """

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self._thumbs = folder / "thumbs"
        self._root = f"{self._objects}{os.sep}"

    def add_file(self, source: Path, suffix: str) -> str:
        """Add a copy of a file, and return its hash.

        Args:
            source: The file.
            suffix: The suffix that it gets, such as `.png`.

        Raises:
            OSError: It can't be read or written.
            SourceError: It can't be read.
        """
        digest, size = compute_digest(source)
        target = self.build_path(digest, suffix)
        if not _has_size(target, size):
            with _write_whole(target) as part:
                _copy(source, part)
        return digest

    def add_bytes(self, content: bytes, suffix: str) -> str:
        """Add the bytes of a file, and return its hash.

        Raises:
            OSError: It can't be written.
        """
        digest, size = compute_digest(content)
        target = self.build_path(digest, suffix)
        if not _has_size(target, size):
            with _write_whole(target) as part:
                part.write_bytes(content)
        return digest

    def add_json(self, value: Any) -> str:
        """Add JSON, with sorted keys, and return its hash.

        Raises:
            OSError: It can't be written.
        """
        return self.add_bytes(json.dumps(value, sort_keys=True, separators=(",", ":")).encode(), ".json")

    def find(self, digest: str) -> Path | None:
        """Return the file with this hash; None if it is not here."""
        if not _HASH.fullmatch(digest):
            return None
        with contextlib.suppress(OSError):
            return next(
                (path for path in (self._objects / digest[:2]).glob(f"{digest}.*") if path.suffix != ".part"), None
            )
        return None

    def read_json(self, digest: str) -> Any:
        """Return JSON that was added; None if it is not here, or was changed since."""
        path = self.find(digest)
        if path is None:
            return None
        try:
            content = path.read_bytes()
            return json.loads(content) if compute_digest(content)[0] == digest else None
        except (OSError, ValueError, RecursionError):
            return None

    def remove(self, digest: str, *, thumbnail: bool = False) -> int:
        """Remove a file, and return how many bytes that frees.

        Args:
            digest: Its hash.
            thumbnail: Whether to remove the thumbnail as well.
        """
        freed = 0
        paths = [self.find(digest), *([self._build_thumbnail_path(digest)] if thumbnail else [])]
        for path in paths:
            with contextlib.suppress(OSError):
                if path is not None:
                    size = path.stat().st_size
                    path.unlink()
                    freed += size
        return freed

    def measure(self) -> int:
        """Return how many bytes all originals take."""
        return sum(path.stat().st_size for path in self._iter_files())

    def _iter_files(self) -> Iterator[Path]:
        if self._objects.is_dir():
            for folder in self._objects.iterdir():
                if folder.is_dir():
                    yield from folder.iterdir()

    def remove_parts(self) -> None:
        """Remove unfinished files of a killed process."""
        for folder in (self._objects, self._thumbs):
            remove_old_parts(folder.glob("*/*.part"))

    def has_thumbnail(self, digest: str) -> bool:
        """Return whether there is a thumbnail of a file."""
        return is_hash(digest) and self._build_thumbnail_path(digest).is_file()

    def get_thumbnail(self, digest: str) -> bytes | None:
        """Return a WebP image within 256 × 256 pixels of an image or video, made when it is first asked for."""
        if not _HASH.fullmatch(digest):
            return None
        return self._get_or_make(self._build_thumbnail_path(digest), self.find(digest))

    def get_thumbnail_of(self, source: Path, name: str) -> bytes | None:
        """Return a WebP image of a file that is not an original here; it is kept under a name."""
        return self._get_or_make(self._build_found_path(name), source)

    def remove_thumbnail_of(self, name: str) -> None:
        """Remove the thumbnail of a file that is not an original here."""
        self._build_found_path(name).unlink(missing_ok=True)

    def _build_found_path(self, name: str) -> Path:
        return self._thumbs / "found" / f"{_UNSAFE.sub('_', name)}.webp"

    def _get_or_make(self, path: Path, source: Path | None) -> bytes | None:
        with contextlib.suppress(OSError):
            return path.read_bytes()
        if source is None:
            return None
        try:
            small = make_thumbnail(source, THUMBNAIL_SIDE).data
        except ValueError:
            return None
        with contextlib.suppress(OSError), _write_whole(path) as part:
            part.write_bytes(small)
        return small

    def build_path(self, digest: str, suffix: str) -> Path:
        """Return where a file with this hash and suffix is, if it is here."""
        return Path(self.format_path(digest, suffix))

    def format_path(self, digest: str, suffix: str) -> str:
        """Return the same as text: for thousands of rows, paths take most of the time."""
        return f"{self._root}{digest[:2]}{os.sep}{digest}{suffix.lower() if _SUFFIX.fullmatch(suffix) else '.bin'}"

    def _build_thumbnail_path(self, digest: str) -> Path:
        return self._thumbs / digest[:2] / f"{digest}.webp"


@contextlib.contextmanager
def _write_whole(target: Path) -> Iterator[Path]:
    """Yield the path of a file to write; it gets its name when it is complete."""
    target.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    part = target.with_name(f"{target.stem}-{uuid.uuid4().hex[:8]}.part")
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    try:
        yield part
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _copy(source: Path, target: Path) -> None:
    with source.open("rb") as read, target.open("wb") as write:
        shutil.copyfileobj(read, write, CHUNK_SIZE)


def _has_size(path: Path, size: int) -> bool:
    try:
        return path.stat().st_size == size
    except OSError:
        return False


def remove_old_parts(paths: Iterable[Path]) -> None:
    """Remove files that were not completed within a day."""
    for path in paths:
        with contextlib.suppress(OSError):
            if time.time() - path.stat().st_mtime > _PART_SECONDS:
                path.unlink()


def is_hash(value: Any) -> bool:
    """Return whether a value is the hash of a file."""
    return isinstance(value, str) and _HASH.fullmatch(value) is not None
