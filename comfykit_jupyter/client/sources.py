"""What users name: a workflow (path, URL, dict, a picture that carries one), a media value (path, URL, picture…)."""

from __future__ import annotations

import asyncio
import contextlib
import io
import os
import uuid
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from ssl import SSLError
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.body import TooLarge, pieces
from comfykit_jupyter.client.elsewhere import get
from comfykit_jupyter.client.errors import ParameterError, Problem, SourceError, WorkflowError
from comfykit_jupyter.client.media import Media
from comfykit_jupyter.client.transfer import MEDIA_LIMIT, PIECE, local_folder
from comfykit_jupyter.workflow.errors import plain
from comfykit_jupyter.workflow.params import nearest
from comfykit_jupyter.workflow.workflow import Upload, Workflow

if TYPE_CHECKING:
    from ssl import SSLContext

    from comfykit_jupyter.client.backend import Backend

FEW = 10
"""Keys of a dict that only refers to a workflow."""
DOWNLOAD_TIMEOUT = 30.0
"""Seconds without a byte."""

_MAGIC = (
    (b"\x89PNG", ".png"),
    (b"\xff\xd8\xff", ".jpg"),
    (b"GIF8", ".gif"),
    (b"fLaC", ".flac"),
    (b"ID3", ".mp3"),
    (b"\xff\xfb", ".mp3"),
    (b"OggS", ".ogg"),
    (b"\x1aE\xdf\xa3", ".webm"),
    (b"BM", ".bmp"),
)

_SUFFIXES = {"image": ".png", "video": ".mp4", "audio": ".wav"}
"""The suffix of bytes that say nothing of themselves, by the kind of their parameter."""


def snapshot(source: Any) -> Any:
    """A workflow's source as it is now: the owner of a dict may change it while the run is made ready."""
    if not isinstance(source, Mapping):
        return source
    try:
        return Workflow.parse(source)
    except WorkflowError as error:
        return dict(source) if len(source) < FEW else error  # it may refer to one that lies elsewhere


async def read_workflow(source: Any) -> Workflow:
    """The workflow that a path, URL, dict, output of a run or `snapshot` names; see `resolve` for what is next.

    Raises:
        SourceError: it can't be read. WorkflowError: it was read, and is no workflow.
        ServerError: the server of an output is away, or no longer has it.
    """
    if isinstance(source, Workflow):
        return source
    if isinstance(source, WorkflowError):
        raise source
    if isinstance(source, Mapping):
        return Workflow.parse(source)
    if isinstance(source, (bytes, bytearray)):
        return await asyncio.to_thread(Workflow.parse, bytes(source))
    if isinstance(source, io.IOBase):
        return await asyncio.to_thread(Workflow.parse, source)  # type: ignore[arg-type]
    if isinstance(source, Media):
        return await asyncio.to_thread(_read_file, await source.origin.fetch(source), Path(source.name).stem)
    if not isinstance(source, (str, os.PathLike)):
        raise SourceError(f"a workflow is a path, a URL or a dict, not {type(source).__name__}")
    text = os.fspath(source)
    if text.startswith(("http://", "https://")):
        copy = await fetch_file(text)  # a video is large, and only what it carries is wanted of it
        try:
            return await asyncio.to_thread(_read_file, copy, _stem(urlsplit(text).path))
        finally:
            copy.unlink(missing_ok=True)
    return await asyncio.to_thread(_read_file, Path(text))


async def resolve(workflow: Workflow, server: Backend) -> Workflow:
    """The workflow with its prompt: what the editor saved is converted by the definitions of the server it runs on.

    Raises:
        ServerError: the server is away. WorkflowError: it lacks nodes of the workflow, or the graph is broken.
    """
    if workflow.resolved:
        return workflow
    if not server.describes:
        raise WorkflowError(
            f"{plain(workflow.name)} is as the editor saved it, and {server.url} does not tell what its nodes take: "
            "export it in API format, or have a ComfyUI server convert it: kit.load(workflow).save('api.json')"
        )
    known = await server.definitions(workflow.classes)
    with contextlib.suppress(WorkflowError):
        return await asyncio.to_thread(workflow.resolve, known)
    # what was missing may have been installed
    return await asyncio.to_thread(workflow.resolve, await server.definitions(workflow.classes, fresh=True))


def _read_file(path: Path, name: str | None = None) -> Workflow:
    try:
        path = path.expanduser()
        with path.open("rb") as file:
            return Workflow.parse(file, path.stem if name is None else name)
    except FileNotFoundError:
        raise SourceError(_missing(path)) from None
    except (OSError, ValueError, RuntimeError) as error:
        reason = error.strerror if isinstance(error, OSError) else None
        raise SourceError(f"{plain(str(path))} can't be read: {reason or error}") from None


def _missing(path: Path) -> str:
    """That a file is not there, and which one may have been meant."""
    folder = path.parent
    if not folder.is_dir():
        return f"no folder {folder} (looked from {Path.cwd()})"
    similar = nearest(path.name, [entry.name for entry in folder.iterdir()][:10_000])
    hint = f"; did you mean {similar}?" if similar else ""
    return f"no file {path.name} in {folder.resolve()}{hint}"


async def fetch_file(url: str, *, tls: SSLContext | None = None, proxy: str | None = None) -> Path:
    """A local copy of the file behind a URL; `tls` and `proxy` as for `elsewhere.get`.

    Raises:
        SourceError: there is no answer, it says no, or it is larger than `MEDIA_LIMIT` bytes.
    """
    copy = local_folder() / uuid.uuid4().hex
    try:
        with copy.open("wb") as file:
            async for piece in _pieces(url, MEDIA_LIMIT, tls, proxy):
                file.write(piece)
    except BaseException:
        copy.unlink(missing_ok=True)
        raise
    return copy


async def _pieces(url: str, limit: int, tls: SSLContext | None, proxy: str | None) -> AsyncIterator[bytes]:
    """What is behind a URL, piece by piece, asked for with no secret of ours."""
    import httpx

    host = urlsplit(url).hostname
    try:
        async with get(url, DOWNLOAD_TIMEOUT, tls=tls, proxy=proxy) as response:
            if (status := response.status_code) != 200:
                passing = status == 429 or status >= 500
                raise SourceError(f"{host} answers {status} to {urlsplit(url).path}", passing=passing)
            async for piece in pieces(response, limit):
                yield piece
    except TooLarge:
        raise SourceError(f"what {host} sends is larger than {limit >> 20} MB") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, SSLError) as error:
        passing = isinstance(error, (httpx.TransportError, SSLError))
        raise SourceError(
            f"{host or url[:80]} can't be read: {str(error) or type(error).__name__}", passing=passing
        ) from None


@dataclass(frozen=True)
class OnServer:
    """A file that the server has already, by what stands in a prompt for it: the name that its nodes know."""

    name: Any


@dataclass(frozen=True)
class ToSend:
    """A file to be sent."""

    content: Path | bytes
    suffix: str
    temporary: bool = False
    """Whether `content` is a copy that nobody needs once it is sent."""


async def read_media(upload: Upload, server: Backend | None) -> OnServer | ToSend:
    """What a media parameter's value stands for.

    It may be a path, bytes, an open file, a Pillow picture, a NumPy array (height × width × 3, 0…255 or 0…1), a
    Matplotlib figure, a URL, a name that the server has, or an output of an earlier run: on the same server that is
    not sent again, if it can be had there. Without a server, only what can be sent to one.

    Raises:
        ParameterError: it is none of these. SourceError: it can't be read.
    """
    value = upload.value
    if isinstance(value, Media):
        if server is not None and value.origin.url == server.url and (name := server.name_of(value)) is not None:
            return OnServer(name)
        return ToSend(await value.origin.fetch(value), _suffix(value.name, upload))
    if isinstance(value, (str, os.PathLike)):
        return await _read_named(os.fspath(value), upload, server)
    return await asyncio.to_thread(_encode, value, upload)


async def _read_named(text: str, upload: Upload, server: Backend | None) -> OnServer | ToSend:
    known = server.named(text) if server is not None else None
    if known is not None and "://" in text:
        return OnServer(known)
    if text.startswith(("http://", "https://")):
        copy = await fetch_file(text)
        return ToSend(copy, _suffix(urlsplit(text).path, upload, await asyncio.to_thread(_head, copy)), temporary=True)
    if (path := await asyncio.to_thread(_local, text)) is not None:
        return ToSend(path, _suffix(path.name, upload))
    if known is not None or text in upload.choices:
        return OnServer(known or text)
    similar = nearest(text, upload.choices)
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


def _encode(value: Any, upload: Upload) -> ToSend:
    """An object as the bytes of a file."""
    if isinstance(value, (bytes, bytearray, memoryview)):
        data = bytes(value)
        return ToSend(data, _suffix("", upload, data))
    if hasattr(value, "savefig"):
        buffer = io.BytesIO()
        value.savefig(buffer, format="png")
        return ToSend(buffer.getvalue(), ".png")
    if hasattr(value, "__array_interface__") and hasattr(value, "shape"):
        value = _from_array(value, upload)
    if hasattr(value, "save") and hasattr(value, "mode"):
        buffer = io.BytesIO()
        picture = value if value.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16") else value.convert("RGB")
        picture.save(buffer, format="PNG", compress_level=1)
        return ToSend(buffer.getvalue(), ".png")
    if hasattr(value, "read"):
        return _copy(value, upload)
    raise _wrong(
        upload,
        f"a {type(value).__name__} can't be sent: give a path, a URL, bytes, an open file, a Pillow picture, "
        "a NumPy array or an output of an earlier run",
    )


def _copy(file: Any, upload: Upload) -> ToSend:
    """What is left to read of an open file, however long it is."""
    piece = file.read(PIECE)
    if not isinstance(piece, bytes):
        raise _wrong(upload, "the file is open as text: open it with mode 'rb'")
    if not piece:
        raise _wrong(upload, "the open file has nothing left to read: open it anew")
    suffix = _suffix(str(getattr(file, "name", "")), upload, piece)
    path = local_folder() / uuid.uuid4().hex
    with path.open("wb") as copy:
        while piece:
            copy.write(piece)
            piece = file.read(PIECE)
    return ToSend(path, suffix, temporary=True)


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


def _suffix(name: str, upload: Upload, data: bytes = b"") -> str:
    """The suffix of a name; where it has none, what the first bytes say."""
    suffix = Path(name).suffix.lower()
    if suffix and len(suffix) <= 6 and suffix[1:].isalnum():
        return suffix
    for magic, known in _MAGIC:
        if data.startswith(magic):
            return known
    if data[:4] == b"RIFF":
        return ".webp" if data[8:12] == b"WEBP" else ".wav"
    if data[4:8] == b"ftyp":
        return ".mp4"
    return _SUFFIXES.get(upload.kind or "image", ".bin")


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(16)


def _stem(path: str) -> str:
    return Path(path).stem or "workflow"


def _wrong(upload: Upload, message: str) -> ParameterError:
    where = f"{upload.parameter} ({upload.node_title})"
    return ParameterError((Problem(upload.parameter, f"{where}: {message}", upload.node_id, upload.node_title),))
