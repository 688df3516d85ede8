"""Files of Comfy API v2 on their way: sent once for each content, and fetched from wherever the server points to.

The server names a content by its blake3 hash. Python has none, and nobody should have to install one: what was sent is
known by its sha256 here, and the server's answer tells its own hash, by which it can be had again.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import mimetypes
import uuid
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from comfykit_jupyter.client.backends.comfyapi.api import insist, job_path
from comfykit_jupyter.client.errors import ServerError, SourceError
from comfykit_jupyter.client.local_files import MAX_MEDIA_BYTES, compute_digest, get_local_folder
from comfykit_jupyter.client.results.media import to_safe_name
from comfykit_jupyter.client.transport.anonymous import get
from comfykit_jupyter.client.transport.body import TooLarge, pieces
from comfykit_jupyter.client.transport.tls import tls_context
from comfykit_jupyter.workflow.clouds import comfyapi as words

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyapi.api import Answer, Api
    from comfykit_jupyter.client.results.media import Media

DOWNLOAD_TIMEOUT = 60.0
"""Seconds without a byte."""
SEND_AGAIN = (0.5, 2.0)
"""Seconds before a file is sent again that did not arrive."""


_GONE = (403, 404, 410)
"""What those who keep files answer when one is not there, or the time of its address is over."""


class Assets:
    """The files that were sent to one server.

    Args:
        api: that of the server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._sent: dict[str, Mapping[str, Any]] = {}

    async def send(self, source: Path | bytes, suffix: str) -> dict[str, Any]:
        """Send a file, unless the server has it already; returns what stands in a prompt for it.

        Args:
            source: a file, or the bytes of one.
            suffix: of its name there, such as `.png`: nodes tell kinds apart by it.

        Raises:
            ServerError: it did not arrive. SourceError: it can't be read.
        """
        try:
            sha256, _ = await asyncio.to_thread(compute_digest, source)
        except OSError as error:
            raise SourceError(f"{source!s:.200} can't be read: {error.strerror or error}") from None
        name = f"comfykit-{sha256[:24]}{suffix}"
        await self._api.connection.client()  # the locks are those of its event loop
        async with self._api.connection.moving(name):
            found = await insist(lambda: self._have(name, source), SEND_AGAIN)
            self._sent[name] = found
        return words.build_asset(found["id"], found.get("hash"), found.get("file_path"))

    async def _have(self, name: str, source: Path | bytes) -> Mapping[str, Any]:
        """Have a file on the server; sent twice, it is one file there."""
        return await self._again(name) or await self._post(name, source)

    async def _again(self, name: str) -> Mapping[str, Any] | None:
        """A file that was sent before, if the server has it still."""
        known = self._sent.get(name)
        if known is None:
            return None
        if isinstance(known.get("hash"), str):
            about = {"hash": known["hash"], "file_path": name}
            return _asset(await self._api.request("POST", "/assets/from-hash", again=True, json=about))
        return _asset(await self._api.request("GET", f"/assets/{quote(known['id'], safe='')}"))

    async def _post(self, name: str, source: Path | bytes) -> Mapping[str, Any]:
        if isinstance(source, bytes):
            return await self._send(name, io.BytesIO(source))
        with source.open("rb") as content:
            return await self._send(name, content)

    async def _send(self, name: str, content: IO[bytes]) -> Mapping[str, Any]:
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        answer = await self._api.request(
            "POST",
            "/assets",
            files={"file": (name, content, mime)},
            data={"content_type": mime, "file_path": name, "tags": "input"},
        )
        if answer.status == 413:
            raise ServerError(f"{self._api.url} takes no file as large as this one: {answer.message}", status=413)
        found = _asset(answer)
        if found is None:
            raise self._api.unexpected(answer, "a file")
        return found


async def download(api: Api, media: Media) -> Path:
    """A local copy of an output.

    Raises:
        ServerError: the server is away, or no longer has it.
    """
    folder = get_local_folder() / uuid.uuid4().hex
    folder.mkdir()
    target = folder / to_safe_name(media.name)
    try:
        try:
            await _store(api, content_path(media.query["id"]), target)
        except ServerError as error:
            if error.status != 404:
                raise
            await _store(api, await _told(api, media), target)
    except ServerError as error:
        if error.status != 404:
            raise
        raise ServerError(f"{api.url} has no {media.name}: it never was there, or is gone", status=404) from None
    return target


def content_path(id_: str) -> str:
    """Where the content of an asset is, after `/api/v2`."""
    return f"/assets/{quote(id_, safe='')}/content"


async def _store(api: Api, address: str, target: Path) -> None:
    try:
        async with content_of(api, address) as content:
            with target.open("wb") as file:
                async for piece in content:
                    file.write(piece)
    except TooLarge as error:
        raise ServerError(f"{api.url} sends {error} as {target.name}") from None


async def _told(api: Api, media: Media) -> str:
    """The address that a job tells of its output now, for servers that have it nowhere else.

    Raises:
        ServerError: it tells none.
    """
    answer = await api.request("GET", job_path(media.query["job"]))
    found = words.filter_objects(answer.body.get("outputs")) if isinstance(answer.body, dict) else []
    told = next((output.get("url") for output in found if output.get("id") == media.query["id"]), None)
    if not isinstance(told, str) or not told:
        raise ServerError(f"{api.url} does not tell where {media.name} is", status=404)
    return _joined(api, api.base, told)


@contextlib.asynccontextmanager
async def content_of(api: Api, address: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """A content, piece by piece, also where the server points to another host; that gets no secret.

    Args:
        api: that of the server.
        address: a path after `/api/v2`, or an address.

    Raises:
        ServerError: it can't be had.
    """
    target = address
    if address.startswith("/") or api.owns(address):
        async with api.stream(address, quiet=DOWNLOAD_TIMEOUT) as response:
            if not response.has_redirect_location:
                yield pieces(response, MAX_MEDIA_BYTES)
                return
            target = _joined(api, str(response.url), response.headers["location"])
    if api.owns(target):
        async with api.stream(target, quiet=DOWNLOAD_TIMEOUT) as response:
            if response.has_redirect_location:
                raise ServerError(f"{api.url} redirects again and again")
            yield pieces(response, MAX_MEDIA_BYTES)
    else:
        async with _elsewhere(api, target) as content:
            yield content


@contextlib.asynccontextmanager
async def _elsewhere(api: Api, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """What is behind an address that a server signed; it is a secret while it lasts, and in no message."""
    import httpx

    try:
        tls = tls_context(api.settings.verify)
        async with get(url, DOWNLOAD_TIMEOUT, tls=tls, proxy=api.settings.proxy) as response:
            if (status := response.status_code) not in (200, 206):
                raise ServerError(
                    f"{response.request.url.host} answers {status} instead of giving the file",
                    status=404 if status in _GONE else status,
                )
            yield pieces(response, MAX_MEDIA_BYTES)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServerError(f"the file can't be fetched from where the server keeps it: {type(error).__name__}") from None


def _joined(api: Api, base: str, address: str) -> str:
    """An address that a server gave, relative ones by what it belongs to.

    Raises:
        ServerError: it is none.
    """
    try:
        return urljoin(base, address)
    except ValueError:
        raise ServerError(f"{api.url} points to what is no address") from None


def _asset(answer: Answer) -> Mapping[str, Any] | None:
    """The asset of an answer."""
    body = answer.body if answer.status in (200, 201) else None
    return body if isinstance(body, dict) and isinstance(body.get("id"), str) and body["id"] else None
