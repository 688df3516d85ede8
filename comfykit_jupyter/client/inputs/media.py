"""Read media values: paths, URLs, bytes, images, arrays, outputs of earlier runs."""

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
from comfykit_jupyter.client.local_files import CHUNK_SIZE, get_local_folder
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.transport.download import fetch_file
from comfykit_jupyter.workflow.media_kinds import find_suffix
from comfykit_jupyter.workflow.spelling import find_nearest
from comfykit_jupyter.workflow.workflow import Upload


@dataclass(frozen=True)
class RemoteFile:
    """A file that the server has already, by what stands in a prompt for it: the name that its nodes know."""

    name: Any


@dataclass(frozen=True)
class LocalFile:
    """A file to be sent."""

    content: Path | bytes
    suffix: str
    temporary: bool = False
    """Whether `content` is a copy that nobody needs once it is sent."""


async def read_media(upload: Upload, server: Backend | None) -> RemoteFile | LocalFile:
    """What a media parameter's value stands for.

    It may be a path, bytes, an open file, a Pillow picture, a NumPy array (height × width × 3, 0…255 or 0…1), a
    Matplotlib figure, a URL, a name that the server has, or an output of an earlier run: on the same server that is
    not sent again, if it can be had there. Without a server, only what can be sent to one.

    Raises:
        ParameterError: it is none of these. SourceError: it can't be read.
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
    if text.startswith(("http://", "https://")):
        copy = await fetch_file(text)
        return LocalFile(
            copy, _choose_suffix(urlsplit(text).path, upload, await asyncio.to_thread(_read_head, copy)), temporary=True
        )
    if (path := await asyncio.to_thread(_local, text)) is not None:
        return LocalFile(path, _choose_suffix(path.name, upload))
    if known is not None or text in upload.choices:
        return RemoteFile(known or text)
    similar = find_nearest(text, upload.choices)
    hint = (
        f"; did you mean {similar!r}, which the server has?" if similar else " (a path, a URL, or a name on the server)"
    )
    raise _wrong(upload, f"there is no file {text[:200]!r}{hint}")


def _local(text: str) -> Path | None:
    """The file of this name, if it is one at all."""
    try:
        path = Path(text).expanduser()
        return path if path.is_file() else None
    except (OSError, ValueError, RuntimeError):  # too long for a name, a character that none has, no such home
        return None


def _encode(value: Any, upload: Upload) -> LocalFile:
    """An object as the bytes of a file."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return LocalFile(data, _choose_suffix("", upload, data))
    if hasattr(value, "savefig"):
        buffer = io.BytesIO()
        value.savefig(buffer, format="png")
        return LocalFile(buffer.getvalue(), ".png")
    if hasattr(value, "__array_interface__") and hasattr(value, "shape"):
        value = _from_array(value, upload)
    if hasattr(value, "save") and hasattr(value, "mode"):
        buffer = io.BytesIO()
        picture = value if value.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else value.convert("RGB")
        picture.save(buffer, format="PNG", compress_level=1)
        return LocalFile(buffer.getvalue(), ".png")
    if hasattr(value, "read"):
        return _copy(value, upload)
    raise _wrong(
        upload,
        f"a {type(value).__name__} can't be sent: give a path, a URL, bytes, an open file, a Pillow picture, "
        "a NumPy array or an output of an earlier run",
    )


def _copy(file: Any, upload: Upload) -> LocalFile:
    """What is left to read of an open file, however long it is."""
    piece = file.read(CHUNK_SIZE)
    if not isinstance(piece, bytes):
        raise _wrong(upload, "the file is open as text: open it with mode 'rb'")
    if not piece:
        raise _wrong(upload, "the open file has nothing left to read: open it anew")
    suffix = _choose_suffix(str(getattr(file, "name", "")), upload, piece)
    path = get_local_folder() / uuid.uuid4().hex
    with path.open("wb") as copy:
        while piece:
            copy.write(piece)
            piece = file.read(CHUNK_SIZE)
    return LocalFile(path, suffix, temporary=True)


def _from_array(value: Any, upload: Upload) -> Any:
    """A Pillow picture from an array: height × width (× 1, 3 or 4), whole numbers 0…255, truth values, or 0…1."""
    from PIL import Image

    if len(value.shape) == 4 and value.shape[0] == 1:
        value = value[0]
    if len(value.shape) == 3 and value.shape[2] == 1:
        value = value[:, :, 0]
    if not (len(value.shape) == 2 or (len(value.shape) == 3 and value.shape[2] in (3, 4))):
        raise _wrong(upload, f"an array of shape {tuple(value.shape)} is no picture: height × width × 3 is")
    if value.dtype.kind == "b":
        value = value.astype("uint8") * 255
    elif value.dtype.kind == "f":
        value = (value.clip(0, 1) * 255).round().astype("uint8")
    elif value.dtype != "uint8":
        if value.min() < 0 or value.max() > 255:
            raise _wrong(upload, f"an array of {value.dtype} must hold 0…255")
        value = value.astype("uint8")
    return Image.fromarray(value)


def _choose_suffix(name: str, upload: Upload, head: bytes = b"") -> str:
    return find_suffix(name, head, upload.kind or "image")


def _read_head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _wrong(upload: Upload, message: str) -> ParameterError:
    where = f"{upload.parameter} ({upload.node_title})"
    return ParameterError((Problem(upload.parameter, f"{where}: {message}", upload.node_id, upload.node_title),))
