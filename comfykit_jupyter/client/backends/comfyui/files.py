"""Files on their way: to the server under a name made from their content, and back from it; both piece by piece."""

from __future__ import annotations

import asyncio
import io
import uuid
from pathlib import Path
from typing import IO, TYPE_CHECKING

from comfykit_jupyter.client.errors import ServerError, SourceError
from comfykit_jupyter.client.local_files import MAX_MEDIA_BYTES, compute_digest, get_local_folder
from comfykit_jupyter.client.results.media import Media, to_safe_name
from comfykit_jupyter.client.transport.body import TooLarge, pieces

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI


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
        digest, size = await asyncio.to_thread(compute_digest, source)
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


async def download(server: ComfyUI, media: Media) -> Path:
    """A local copy of a file that a run made.

    Raises:
        ServerError: the server is away, or no longer has the file.
    """
    folder = get_local_folder() / uuid.uuid4().hex
    folder.mkdir()
    target = folder / to_safe_name(media.name)
    try:
        named = {key: part for key, part in media.query.items() if part}
        async with server.stream("/view", params=named) as response:
            with target.open("wb") as file:
                async for piece in pieces(response, MAX_MEDIA_BYTES):
                    file.write(piece)
    except TooLarge as error:
        raise ServerError(f"{server.url} sends {error} as {media.name}") from None
    except ServerError as error:
        if error.status == 404:
            raise ServerError(f"{server.url} has no {media.name}: it never was there, or is gone", status=404) from None
        raise
    return target
