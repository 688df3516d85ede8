"""Download a file from a URL that a user gave."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from ssl import SSLContext, SSLError
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import SourceError
from comfykit_jupyter.client.local_files import MAX_MEDIA_BYTES, get_local_folder
from comfykit_jupyter.client.transport.anonymous import get
from comfykit_jupyter.client.transport.body import TooLarge, pieces

DOWNLOAD_TIMEOUT = 30.0
"""Seconds without a byte."""


async def fetch_file(url: str, *, tls: SSLContext | None = None, proxy: str | None = None) -> Path:
    """A local copy of the file behind a URL; `tls` and `proxy` as for `elsewhere.get`.

    Raises:
        SourceError: there is no answer, it says no, or it is larger than `MAX_MEDIA_BYTES` bytes.
    """
    copy = get_local_folder() / uuid.uuid4().hex
    try:
        with copy.open("wb") as file:
            async for piece in _pieces(url, MAX_MEDIA_BYTES, tls, proxy):
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
