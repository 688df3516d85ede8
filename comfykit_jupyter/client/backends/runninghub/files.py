"""Files on their way to RunningHub, once per content, and back from it, since they live there for a day."""

from __future__ import annotations

import asyncio
import io
import time
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.runninghub.api import Answer, Api, Busy
from comfykit_jupyter.client.errors import ServerError, SourceError
from comfykit_jupyter.client.local_files import compute_digest, get_local_folder
from comfykit_jupyter.client.results.media import to_safe_name
from comfykit_jupyter.client.transport.download import fetch_file
from comfykit_jupyter.client.transport.tls import tls_context
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.untrusted_json import to_mapping

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.binding import Upload

UPLOAD_LIFE = 12 * 3600.0
"""Seconds for which a file that was sent is believed to be there still."""
UPLOAD_LIMIT = 30 * 1024 * 1024
"""Bytes that the older of the two ways to send a file takes."""
FETCHING_TIMEOUT = 3600.0
"""Seconds for an output, however slowly it comes."""
PAUSE, PAUSE_MOST = 1.0, 8.0
"""Seconds before a file is sent, or fetched, again: twice as many each time."""
_NEW_UPLOAD, _OLD_UPLOAD = "/openapi/v2/media/upload/binary", "/task/openapi/upload"


class Files:
    """The files of one key.

    Args:
        api: the site.
        again: how often a file is sent again that did not arrive.
    """

    def __init__(self, api: Api, again: int) -> None:
        self._api = api
        self._again = again
        self._sent: dict[str, tuple[float, str]] = {}
        self._copies: dict[str, Path] = {}

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> str:
        """Send a file, unless that was done lately; returns the name by which nodes know it there.

        Raises:
            ServerError: it did not arrive. SourceError: it can't be read, or is too large.
        """
        try:
            digest, size = await asyncio.to_thread(compute_digest, content)
        except OSError as error:
            raise SourceError(f"{content!s:.200} can't be read: {error.strerror or error}") from None
        async with self._api.connection.moving(digest):
            at, name = self._sent.get(digest + suffix, (float("-inf"), ""))
            if time.monotonic() - at > UPLOAD_LIFE:
                name = await self._send(content, f"comfykit-{digest[:24]}{suffix}", size, needed)
                self._sent[digest + suffix] = (time.monotonic(), name)
        return name

    async def _send(self, content: Path | bytes, name: str, size: int, needed: Upload) -> str:
        """By the newer route; where the site has none, by the older one. The content names the file: twice is once."""
        answer = await self._send_by(_NEW_UPLOAD, content, name, {})
        if answer is None:
            if size > UPLOAD_LIMIT:
                raise SourceError(
                    f"{needed.parameter} ({needed.node_title}): {size / 2**20:.0f} MB are more than the "
                    f"{UPLOAD_LIMIT >> 20} MB that RunningHub takes: give a smaller file"
                )
            answer = await self._send_by(_OLD_UPLOAD, content, name, {"apiKey": self._api.key, "fileType": "input"})
        if answer is None:
            raise ServerError(f"{self._api.url} has no route by which files are sent")
        stored = to_mapping(answer.data).get("fileName")
        if not words.is_success(answer.code) or not isinstance(stored, str) or not stored:
            raise ServerError(self._api.line(answer, f"the file for {needed.parameter}"))
        return stored

    async def _send_by(self, path: str, content: Path | bytes, name: str, data: Mapping[str, str]) -> Answer | None:
        """The answer to a file; None where there is no such route."""
        left, pause = self._again, PAUSE
        while True:
            failure: ServerError | None = None
            try:
                with io.BytesIO(content) if isinstance(content, bytes) else content.open("rb") as file:
                    answer = await self._api.send_file(path, {"file": (name, file)}, data)
            except ServerError as error:
                if error.status == 404:
                    return None
                if error.status in (401, 403) or left <= 0:
                    raise
                failure = error
            else:
                if answer.status == 404 or answer.code in words.NO_SUCH_ROUTE or answer.said == "NOT_FOUND":
                    return None
                if answer.code not in words.PASSING or left <= 0:
                    return answer
            left -= 1
            await asyncio.sleep(max(pause, failure.pause if isinstance(failure, Busy) else 0))
            pause = min(2 * pause, PAUSE_MOST)

    async def copy(self, url: str, name: str) -> Path:
        """A local copy of an output, fetched once, with no secret of ours.

        Raises:
            ServerError: it is no longer there, or does not arrive.
        """
        async with self._api.connection.moving(url):
            path = self._copies.get(url)
            if path is None or not path.is_file():
                fetched = await self._fetch(url, name)
                folder = get_local_folder() / uuid.uuid4().hex
                folder.mkdir()
                path = self._copies[url] = fetched.rename(folder / to_safe_name(name))
        return path

    async def _fetch(self, url: str, name: str) -> Path:
        """It is asked for again where that may help: it has been paid, and lives for a day."""
        tls, proxy = tls_context(self._api.settings.verify), self._api.settings.proxy
        left, pause = self._again, PAUSE
        while True:
            try:
                return await loop.wait_for(fetch_file(url, tls=tls, proxy=proxy), FETCHING_TIMEOUT)
            except asyncio.TimeoutError:
                raise ServerError(f"{name} did not arrive within {FETCHING_TIMEOUT:g} s") from None
            except SourceError as error:
                if not error.passing:
                    raise ServerError(
                        f"{name} is not there (any more: RunningHub keeps files for a day): {error}"
                    ) from None
                if left <= 0:
                    raise ServerError(f"{name} did not arrive: {error}") from None
            left -= 1
            await asyncio.sleep(pause)
            pause = min(2 * pause, PAUSE_MOST)
