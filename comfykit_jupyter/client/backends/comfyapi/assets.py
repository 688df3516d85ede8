"""Files of Comfy API v2: uploaded once for each content, and downloaded from wherever the server points to.

The server names a content by its blake3 hash. Python lacks that hash, and a package for it should not be needed.
So this module knows an uploaded file by its sha256. It keeps the hash from the server's answer, to use the file again.
"""

from __future__ import annotations

import asyncio
import contextlib
import mimetypes
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote, urljoin

from comfykit_jupyter.client.backends.comfyapi.api import build_job_path, is_temporary
from comfykit_jupyter.client.backends.retry import retry
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.local_files import MAX_MEDIA_BYTES, build_upload_name, make_local_path, open_source
from comfykit_jupyter.client.transport.anonymous import open_url
from comfykit_jupyter.client.transport.body import TooLarge, iter_body, save_chunks
from comfykit_jupyter.client.transport.tls import build_tls_context
from comfykit_jupyter.workflow.clouds import comfyapi as words

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyapi.api import Answer, Api
    from comfykit_jupyter.client.results.media import Media

DOWNLOAD_TIMEOUT = 60.0
"""Seconds without a byte."""
UPLOAD_PAUSES = (0.5, 2.0)
"""Seconds before a file that did not arrive is uploaded again."""
_GONE = (403, 404, 410)
"""Statuses of storage services for a file that is not there, or whose signed address is no longer valid."""


class Assets:
    """The files that were uploaded to one server.

    Args:
        api: The API of the server.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._sent: dict[str, Mapping[str, Any]] = {}

    async def upload(self, source: Path | bytes, suffix: str) -> dict[str, Any]:
        """Upload a file, unless the server has it already, and return what stands for it in a prompt.

        Args:
            source: A file, or the bytes of one.
            suffix: The suffix of its name there, such as `.png`: nodes recognise the kind by it.

        Raises:
            ServerError: It did not arrive.
            SourceError: It can't be read.
        """
        name, _ = await asyncio.to_thread(build_upload_name, source, suffix)
        await self._api.connection.get_client()  # the locks belong to its event loop
        async with self._api.connection.lock_file(name):
            found = await retry(lambda: self._ensure(name, source), UPLOAD_PAUSES, is_temporary)
            self._sent[name] = found
        return words.build_asset(found["id"], found.get("hash"), found.get("file_path"))

    async def _ensure(self, name: str, source: Path | bytes) -> Mapping[str, Any]:
        """Return the asset of a file; uploaded twice, it is one asset."""
        return await self._find_uploaded(name) or await self._post_source(name, source)

    async def _find_uploaded(self, name: str) -> Mapping[str, Any] | None:
        """Return the asset of a file that was uploaded before, if the server still has it."""
        known = self._sent.get(name)
        if known is None:
            return None
        if isinstance(known.get("hash"), str):
            about = {"hash": known["hash"], "file_path": name}
            return _parse_asset(await self._api.request("POST", "/assets/from-hash", again=True, json=about))
        return _parse_asset(await self._api.request("GET", f"/assets/{quote(known['id'], safe='')}"))

    async def _post_source(self, name: str, source: Path | bytes) -> Mapping[str, Any]:
        size = len(source) if isinstance(source, bytes) else source.stat().st_size
        with open_source(source) as content:
            return await self._post(name, content, size)

    async def _post(self, name: str, content: IO[bytes], size: int) -> Mapping[str, Any]:
        mime = mimetypes.guess_type(name)[0] or "application/octet-stream"
        answer = await self._api.request(
            "POST",
            "/assets",
            size=size,
            files={"file": (name, content, mime)},
            data={"content_type": mime, "file_path": name, "tags": "input"},
        )
        if answer.status == 413:
            raise ServerError(f"{self._api.url} rejects the file because of its size: {answer.message}", status=413)
        found = _parse_asset(answer)
        if found is None:
            raise self._api.build_error(answer, "a file")
        return found


async def download(api: Api, media: Media) -> Path:
    """Download an output.

    Raises:
        ServerError: The server can't be reached, or no longer has it.
    """
    target = make_local_path(media.name)
    try:
        try:
            await _save(api, build_content_path(media.query["id"]), target)
        except ServerError as error:
            if error.status != 404 or not media.query["job"]:
                raise
            await _save(api, await _find_output_url(api, media), target)
    except ServerError as error:
        if error.status != 404:
            raise
        message = f"{api.url} does not have {media.name}: it was never there, or has been deleted"
        raise ServerError(message, status=404) from None
    return target


def build_content_path(id_: str) -> str:
    """Return the path of the content of an asset, after `/api/v2`."""
    return f"/assets/{quote(id_, safe='')}/content"


async def _save(api: Api, address: str, target: Path) -> None:
    try:
        async with open_content(api, address) as content:
            await save_chunks(content, target)
    except TooLarge as error:
        raise ServerError(f"{target.name} on {api.url} is too large: {error}") from None


async def _find_output_url(api: Api, media: Media) -> str:
    """Return the address that the job gives for its output now. Some servers have it nowhere else.

    Raises:
        ServerError: The job gives none.
    """
    answer = await api.request("GET", build_job_path(media.query["job"]))
    found = words.filter_objects(answer.body.get("outputs")) if isinstance(answer.body, dict) else []
    url = next((output.get("url") for output in found if output.get("id") == media.query["id"]), None)
    if not isinstance(url, str) or not url:
        raise ServerError(f"{api.url} does not say where {media.name} is", status=404)
    return _join(api, api.base, url)


@contextlib.asynccontextmanager
async def open_content(api: Api, address: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the chunks of a content, also if the server redirects to another host, which gets no secret.

    Args:
        api: The API of the server.
        address: A path after `/api/v2`, or an address.

    Raises:
        ServerError: The content can't be downloaded.
    """
    target = address
    if address.startswith("/") or api.owns(address):
        async with api.stream(address, quiet=DOWNLOAD_TIMEOUT) as response:
            if not response.has_redirect_location:
                yield iter_body(response, MAX_MEDIA_BYTES)
                return
            target = _join(api, str(response.url), response.headers["location"])
    if api.owns(target):
        async with api.stream(target, quiet=DOWNLOAD_TIMEOUT) as response:
            if response.has_redirect_location:
                raise ServerError(f"too many redirects from {api.url}")
            yield iter_body(response, MAX_MEDIA_BYTES)
    else:
        async with _open_elsewhere(api, target) as content:
            yield content


@contextlib.asynccontextmanager
async def _open_elsewhere(api: Api, url: str) -> AsyncIterator[AsyncIterator[bytes]]:
    """Yield the chunks behind an address that a server signed. It is a secret while it is valid, and in no message."""
    import httpx

    try:
        tls = build_tls_context(api.settings.verify)
        async with open_url(url, DOWNLOAD_TIMEOUT, tls=tls, proxy=api.settings.proxy) as response:
            if (status := response.status_code) not in (200, 206):
                raise ServerError(
                    f"{response.request.url.host} answers {status} instead of the file",
                    status=404 if status in _GONE else status,
                )
            yield iter_body(response, MAX_MEDIA_BYTES)
    except (httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise ServerError(f"the file can't be downloaded from the server's storage: {type(error).__name__}") from None


def _join(api: Api, base: str, address: str) -> str:
    """Return an address that a server gave; a relative one is resolved against `base`.

    Raises:
        ServerError: It is not an address.
    """
    try:
        return urljoin(base, address)
    except ValueError:
        raise ServerError(f"{api.url} gives an invalid address") from None


def _parse_asset(answer: Answer) -> Mapping[str, Any] | None:
    """Return the asset in an answer; None if there is none."""
    body = answer.body if answer.status in (200, 201) else None
    return body if isinstance(body, dict) and isinstance(body.get("id"), str) and body["id"] else None
