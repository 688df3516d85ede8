"""Files to and from RunningHub: each content is uploaded once, and outputs are copied, since the site deletes them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.retry import Busy, backoff, retry
from comfykit_jupyter.client.backends.runninghub.api import Answer, Api, is_temporary
from comfykit_jupyter.client.errors import ComfyKitError, ServerError, SourceError
from comfykit_jupyter.client.local_files import build_upload_name, make_local_path, open_source
from comfykit_jupyter.client.transport.download import fetch_file
from comfykit_jupyter.client.transport.tls import build_tls_context
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.untrusted_json import to_mapping

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.values.binding import Upload

UPLOAD_LIFE = 12 * 3600.0
"""Seconds after an upload in which the file is believed to be there still. The site keeps files for a day."""
UPLOAD_LIMIT = 30 * 1024 * 1024
"""Maximum size in bytes of a file for the older upload route."""
DOWNLOAD_TIMEOUT = 3600.0
"""Seconds for an output, however slowly it arrives."""
PAUSE = 1.0
"""Seconds before an upload or a download is repeated; twice as many each time."""
PAUSE_MOST = 8.0
"""Maximum of these pauses."""
_NEW_UPLOAD = "/openapi/v2/media/upload/binary"
_OLD_UPLOAD = "/task/openapi/upload"


class Files:
    """The files of one key.

    Args:
        api: The site.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._sent: dict[str, tuple[float, str]] = {}
        self._copies: dict[str, Path] = {}

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> str:
        """Upload a file, unless that was done lately, and return the name that nodes know it by.

        Raises:
            ServerError: It did not arrive.
            SourceError: It can't be read, or is too large.
        """
        name, size = await asyncio.to_thread(build_upload_name, content, suffix)
        async with self._api.connection.lock_file(name):
            at, stored = self._sent.get(name, (float("-inf"), ""))
            if time.monotonic() - at > UPLOAD_LIFE:
                stored = await self._upload(content, name, size, needed)
                self._sent[name] = (time.monotonic(), stored)
        return stored

    async def _upload(self, content: Path | bytes, name: str, size: int, needed: Upload) -> str:
        """Upload by the newer route, or by the older one where the site lacks the newer one."""
        what = f"the file for {needed.parameter}"
        answer = await self._upload_to(_NEW_UPLOAD, content, name, {}, what)
        if answer is None:
            if size > UPLOAD_LIMIT:
                raise SourceError(
                    f"{needed.parameter} ({needed.node_title}): the file has {size / 2**20:.0f} MB, and RunningHub "
                    f"accepts at most {UPLOAD_LIMIT >> 20} MB: give a smaller file"
                )
            form = {"apiKey": self._api.key, "fileType": "input"}
            answer = await self._upload_to(_OLD_UPLOAD, content, name, form, what)
        if answer is None:
            raise ServerError(f"{self._api.url} has no route for uploads")
        stored = to_mapping(answer.data).get("fileName")
        if not words.is_success(answer.code) or not isinstance(stored, str) or not stored:
            raise ServerError(self._api.format_refusal(answer, what))
        return stored

    async def _upload_to(
        self, path: str, content: Path | bytes, name: str, form: Mapping[str, str], what: str
    ) -> Answer | None:
        """Return the answer to a file; None where the route does not exist.

        An upload may be repeated: the file is named after its content, so that two uploads are one file.
        """

        async def attempt() -> Answer:
            with open_source(content) as file:
                answer = await self._api.send_file(path, {"file": (name, file)}, form)
            if answer.code in words.PASSING:
                raise Busy(self._api.format_refusal(answer, what), code=answer.code)
            return answer

        try:
            answer = await retry(attempt, self._build_pauses(), is_temporary)
        except ServerError as error:
            if error.status == 404:
                return None
            raise
        missing = answer.status == 404 or answer.code in words.NO_SUCH_ROUTE or answer.message == "NOT_FOUND"
        return None if missing else answer

    async def copy(self, url: str, name: str) -> Path:
        """Return a local copy of an output, downloaded once, without our secrets.

        Raises:
            ServerError: It is not there any more, or does not arrive.
        """
        async with self._api.connection.lock_file(url):
            path = self._copies.get(url)
            if path is None or not path.is_file():
                fetched = await self._download(url, name)
                path = self._copies[url] = fetched.rename(make_local_path(name))
        return path

    async def _download(self, url: str, name: str) -> Path:
        """Download an output, and try again where that may help: it has been paid for."""
        tls, proxy = build_tls_context(self._api.settings.verify), self._api.settings.proxy

        async def attempt() -> Path:
            return await loop.wait_for(fetch_file(url, tls=tls, proxy=proxy), DOWNLOAD_TIMEOUT)

        try:
            return await retry(attempt, self._build_pauses(), _is_passing)
        except asyncio.TimeoutError:
            raise ServerError(f"{name} did not arrive within {DOWNLOAD_TIMEOUT:g} s") from None
        except SourceError as error:
            if error.passing:
                raise ServerError(f"{name} did not arrive: {error}") from None
            raise ServerError(f"{name} is not there (RunningHub keeps files for a day): {error}") from None

    def _build_pauses(self) -> islice[float]:
        return islice(backoff(PAUSE, PAUSE_MOST), self._api.retries)


def _is_passing(error: ComfyKitError) -> bool:
    return isinstance(error, SourceError) and error.passing
