"""Files to and from a ComfyUI server, in chunks: an uploaded file is named after its content."""

from __future__ import annotations

import asyncio
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.local_files import MAX_MEDIA_BYTES, build_upload_name, make_local_path, open_source
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.transport.body import TooLarge, iter_body, save_chunks
from comfykit_jupyter.workflow.untrusted_json import parse_json

if TYPE_CHECKING:
    import httpx


class FileServer(Protocol):
    """What this module needs of a server."""

    url: str

    async def request(self, method: str, path: str, *, retry: bool | None = None, **options: Any) -> httpx.Response:
        """See `Api.request`."""

    def stream(self, path: str, **options: Any) -> AbstractAsyncContextManager[httpx.Response]:
        """See `Api.stream`."""

    def lock_file(self, name: str) -> asyncio.Lock:
        """See `Api.lock_file`."""


async def upload(server: FileServer, source: Path | bytes, suffix: str) -> str:
    """Upload a file, unless the server has it already, and return the name that its nodes know it by.

    Args:
        server: The server.
        source: A file, or the bytes of one.
        suffix: The suffix of its name there, such as `.png`: nodes recognise the kind by it.

    Raises:
        ServerError: It did not arrive.
        SourceError: It can't be read.
    """
    name, size = await asyncio.to_thread(build_upload_name, source, suffix)
    async with server.lock_file(name):
        if await _has_file(server, name, size):
            return name
        with open_source(source) as content:
            return await _post(server, name, content, size)


async def _post(server: FileServer, name: str, content: IO[bytes], size: int) -> str:
    response = await server.request(
        "POST",
        "/upload/image",
        retry=True,  # a file that is there twice is the same one; the kit may be closed during the first attempt
        size=size,
        files={"image": (name, content, "application/octet-stream")},
        data={"type": "input"},
    )
    if response.status_code == 413:
        raise ServerError(f"{server.url} rejects the file because of its size (--max-upload-size sets the limit)")
    try:
        answer = parse_json(response.content)
        stored, subfolder = str(answer["name"]), str(answer.get("subfolder") or "")
    except (ValueError, TypeError, KeyError, AttributeError):
        raise ServerError(f"{server.url} rejects the file: it answers {response.status_code}") from None
    return f"{subfolder}/{stored}" if subfolder else stored


async def _has_file(server: FileServer, name: str, size: int) -> bool:
    """Return whether the server has a file of this name, which is made from its content, and of this size."""
    try:
        answer = await server.request("HEAD", "/view", params={"filename": name, "type": "input"})
    except ServerError as error:
        if error.status is None:
            raise
        return False  # some proxies do not support HEAD: upload it
    return answer.status_code == 200 and answer.headers.get("content-length") == str(size)


async def download(server: FileServer, media: Media) -> Path:
    """Download an output.

    Raises:
        ServerError: The server can't be reached, or no longer has the file.
    """
    target = make_local_path(media.name)
    try:
        query = {key: part for key, part in media.query.items() if part}
        async with server.stream("/view", params=query) as response:
            await save_chunks(iter_body(response, MAX_MEDIA_BYTES), target)
    except TooLarge as error:
        raise ServerError(f"{media.name} on {server.url} is too large: {error}") from None
    except ServerError as error:
        if error.status == 404:
            message = f"{server.url} does not have {media.name}: it was never there, or has been deleted"
            raise ServerError(message, status=404) from None
        raise
    return target
