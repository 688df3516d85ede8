"""Read a file in any form: paths, URLs, bytes, images, arrays, outputs of earlier runs."""

from __future__ import annotations

import asyncio
import io
import os
import uuid
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.backends.base import Backend
from comfykit_jupyter.client.errors import ParameterError, Problem
from comfykit_jupyter.client.local_files import CHUNK_SIZE, compute_digest, get_local_folder
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.transport.download import fetch_file
from comfykit_jupyter.workflow.document.workflow import Upload
from comfykit_jupyter.workflow.errors import short_repr
from comfykit_jupyter.workflow.media_kinds import find_suffix
from comfykit_jupyter.workflow.spelling import find_nearest


@dataclass(frozen=True)
class RemoteFile:
    """A file that the server already has; `name` is what a prompt contains for it."""

    name: Any

    def compute_hash(self) -> Any:
        """Return what identifies the file."""
        return self.name

    def remove(self) -> None:
        """Do nothing: it is not a copy."""


@dataclass(frozen=True)
class LocalFile:
    """A file to upload; `temporary` says that `content` is a copy which is deleted afterwards."""

    content: Path | bytes
    suffix: str
    temporary: bool = False

    def compute_hash(self) -> str:
        """Return the SHA-256 of its content."""
        return compute_digest(self.content)[0]

    def remove(self) -> None:
        """Delete it if it is a copy."""
        if self.temporary and isinstance(self.content, Path):
            self.content.unlink(missing_ok=True)


async def read_file(upload: Upload, server: Backend | None) -> RemoteFile | LocalFile:
    """Return the file that a value without a mask stands for; see `read_media`.

    Raises:
        ParameterError: The value is not a file.
        SourceError: It can't be read.
    """
    value = upload.value
    if isinstance(value, Media):
        if server is not None and value.origin.url == server.url and (name := server.reference_to(value)) is not None:
            return RemoteFile(name)
        return LocalFile(await value.origin.fetch(value), _choose_suffix(value.name, upload))
    if isinstance(value, (str, os.PathLike)):
        return await _read_named(os.fspath(value), upload, server)
    return await asyncio.to_thread(_encode, value, upload)


async def _read_named(text: str, upload: Upload, server: Backend | None) -> RemoteFile | LocalFile:
    known = server.find_remote_file(text) if server is not None else None
    if known is not None and "://" in text:
        return RemoteFile(known)
    output = server.find_output(text) if server is not None else None
    if output is not None:
        copy = await output.origin.fetch(output)
        head = await asyncio.to_thread(_read_head, copy)
        return LocalFile(copy, _choose_suffix("", upload, head))
    if text.startswith(("http://", "https://")):
        copy = await fetch_file(text)
        head = await asyncio.to_thread(_read_head, copy)
        return LocalFile(copy, _choose_suffix(urlsplit(text).path, upload, head), temporary=True)
    if (path := await asyncio.to_thread(find_local_file, text)) is not None:
        return LocalFile(path, _choose_suffix(path.name, upload))
    if known is not None or text in upload.choices:
        return RemoteFile(known or text)
    similar = find_nearest(text, upload.choices)
    hint = f"did you mean {similar!r} on the server?" if similar else "use a path, a URL, or a name on the server"
    raise build_error(upload, f"there is no file {short_repr(text, 200)}: {hint}")


def find_local_file(text: str) -> Path | None:
    """Return the file of this name on this machine, if there is one."""
    try:
        path = Path(text).expanduser()
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long, a forbidden character, an unknown home
        return None


def _encode(value: Any, upload: Upload) -> LocalFile:
    """Encode an object as the bytes of a file."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return LocalFile(data, _choose_suffix("", upload, data))
    if hasattr(value, "savefig"):
        buffer = io.BytesIO()
        value.savefig(buffer, format="png")
        return LocalFile(buffer.getvalue(), ".png")
    if hasattr(value, "__array_interface__") and hasattr(value, "shape"):
        value = _convert_array(value, upload)
    if hasattr(value, "save") and hasattr(value, "mode"):
        buffer = io.BytesIO()
        image = value if value.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else value.convert("RGB")
        image.save(buffer, format="PNG", compress_level=1)
        return LocalFile(buffer.getvalue(), ".png")
    if hasattr(value, "read"):
        return _copy_rest(value, upload)
    raise build_error(
        upload,
        f"a {type(value).__name__} can't be uploaded: use a path, a URL, bytes, an open file, a Pillow image, "
        "a NumPy array or an output of an earlier run",
    )


def _copy_rest(file: Any, upload: Upload) -> LocalFile:
    """Copy what is left to read of an open file, of any length."""
    chunk = file.read(CHUNK_SIZE)
    if not isinstance(chunk, bytes):
        raise build_error(upload, "the file is open in text mode: open it with mode 'rb'")
    if not chunk:
        raise build_error(upload, "nothing is left to read in the open file: open it again")
    suffix = _choose_suffix(str(getattr(file, "name", "")), upload, chunk)
    path = get_local_folder() / uuid.uuid4().hex
    try:
        with path.open("wb") as copy:
            while chunk:
                copy.write(chunk)
                chunk = file.read(CHUNK_SIZE)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return LocalFile(path, suffix, temporary=True)


def _convert_array(value: Any, upload: Upload) -> Any:
    """Convert an array to a Pillow image: height × width (× 1, 3 or 4) of integers 0…255, booleans, or floats 0…1."""
    from PIL import Image

    if len(value.shape) == 4 and value.shape[0] == 1:
        value = value[0]
    if len(value.shape) == 3 and value.shape[2] == 1:
        value = value[:, :, 0]
    if not (len(value.shape) == 2 or (len(value.shape) == 3 and value.shape[2] in (3, 4))):
        raise build_error(upload, f"an array must have the shape height × width × 3, not {tuple(value.shape)}")
    if value.dtype.kind == "b":
        value = value.astype("uint8") * 255
    elif value.dtype.kind == "f":
        value = (value.clip(0, 1) * 255).round().astype("uint8")
    elif value.dtype != "uint8":
        if value.min() < 0 or value.max() > 255:
            raise build_error(upload, f"an array of {value.dtype} must have values from 0 to 255")
        value = value.astype("uint8")
    return Image.fromarray(value)


def _choose_suffix(name: str, upload: Upload, head: bytes = b"") -> str:
    return find_suffix(name, head, upload.kind or "image")


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def build_error(upload: Upload, message: str) -> ParameterError:
    """Return the error of a value that can't be read."""
    where = f"{upload.parameter} ({upload.node_title})"
    return ParameterError((Problem(upload.parameter, f"{where}: {message}", upload.node_id, upload.node_title),))
