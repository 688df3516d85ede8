"""Files on their way: to the server under a name made from their content, and back from it; both piece by piece."""

from __future__ import annotations

import asyncio
import hashlib
import io
import re
import threading
import uuid
from pathlib import Path
from typing import IO, TYPE_CHECKING

from comfykit_jupyter.client.body import TooLarge, pieces
from comfykit_jupyter.client.errors import ServerError, SourceError
from comfykit_jupyter.client.media import Media, safe_name

if TYPE_CHECKING:
    from comfykit_jupyter.client.comfyui import ComfyUI

PIECE = 1 << 20
"""Bytes that are read or written at a time."""
MEDIA_LIMIT = 2 * 1024 * 1024 * 1024
"""Bytes of one file that are fetched at most."""

_folder_lock = threading.Lock()
_folder: Path | None = None


def local_folder() -> Path:
    """The folder of this process's local copies; it goes when the process ends."""
    global _folder
    with _folder_lock:
        if _folder is None or not _folder.is_dir():
            from comfykit_jupyter.client.own_folder import own_folder

            _folder = own_folder()
        return _folder


def without_folders(text: str) -> str:
    """A text without the folders of this process: of the files in them the names are left."""
    if _folder is None or str(_folder) not in text:
        return text
    return re.sub(re.escape(str(_folder)) + r"[/\\](?:[\w.-]+[/\\])*", "", text)


async def upload(server: ComfyUI, source: Path | bytes, suffix: str) -> str:
    """Send a file, unless the server has it already; returns the name by which its nodes know it.

    Args:
        server: where to.
        source: a file, or the bytes of one.
        suffix: of its name there, such as `.png`: nodes tell kinds apart by it.

    Raises:
        ServerError: it did not arrive. SourceError: it can't be read.
    """
    try:
        digest, size = await asyncio.to_thread(digest_of, source)
    except OSError as error:
        raise SourceError(f"{source!s:.200} can't be read: {error.strerror or error}") from None
    name = f"comfykit-{digest[:24]}{suffix}"
    async with server.moving(name):
        if await _has(server, name, size):
            return name
        if isinstance(source, bytes):
            return await _post(server, name, io.BytesIO(source))
        with source.open("rb") as content:
            return await _post(server, name, content)


async def _post(server: ComfyUI, name: str, content: IO[bytes]) -> str:
    response = await server.request(
        "POST",
        "/upload/image",
        retry=False,
        files={"image": (name, content, "application/octet-stream")},
        data={"type": "input"},
    )
    if response.status_code == 413:
        raise ServerError(f"{server.url} takes no file as large as this one (--max-upload-size sets its limit)")
    try:
        answer = response.json()
        stored, subfolder = str(answer["name"]), str(answer.get("subfolder") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ServerError(f"{server.url} did not take the file: it answers {response.status_code}") from None
    return f"{subfolder}/{stored}" if subfolder else stored


async def _has(server: ComfyUI, name: str, size: int) -> bool:
    """Whether the server has a file of this name, which is made from its content, and of this size."""
    try:
        answer = await server.request("HEAD", "/view", params={"filename": name, "type": "input"})
    except ServerError as error:
        if error.status is None:
            raise
        return False  # some proxies know no HEAD: send it
    return answer.status_code == 200 and answer.headers.get("content-length") == str(size)


def digest_of(source: Path | bytes) -> tuple[str, int]:
    """The SHA-256 of a file, or of the bytes of one, and how many bytes it has. Raises OSError."""
    digest = hashlib.sha256()
    if isinstance(source, bytes):
        digest.update(source)
        return digest.hexdigest(), len(source)
    size = 0
    with source.open("rb") as file:
        while piece := file.read(PIECE):
            digest.update(piece)
            size += len(piece)
    return digest.hexdigest(), size


async def download(server: ComfyUI, media: Media) -> Path:
    """A local copy of a file that a run made.

    Raises:
        ServerError: the server is away, or no longer has the file.
    """
    folder = local_folder() / uuid.uuid4().hex
    folder.mkdir()
    target = folder / safe_name(media.name)
    try:
        named = {key: part for key, part in media.query.items() if part}
        async with server.stream("/view", params=named) as response:
            with target.open("wb") as file:
                async for piece in pieces(response, MEDIA_LIMIT):
                    file.write(piece)
    except TooLarge as error:
        raise ServerError(f"{server.url} sends {error} as {media.name}") from None
    except ServerError as error:
        if error.status == 404:
            raise ServerError(f"{server.url} has no {media.name}: it never was there, or is gone", status=404) from None
        raise
    return target
