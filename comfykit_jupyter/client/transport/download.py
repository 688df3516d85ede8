"""Download a file from a URL that a user gave."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from ssl import SSLContext, SSLError
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import SourceError
from comfykit_jupyter.client.local_files import MAX_MEDIA_BYTES, get_local_folder
from comfykit_jupyter.client.transport.anonymous import open_url
from comfykit_jupyter.client.transport.body import TooLarge, iter_body, save_chunks

DOWNLOAD_TIMEOUT = 30.0
"""Seconds without a byte."""


async def fetch_file(url: str, *, tls: SSLContext | None = None, proxy: str | None = None) -> Path:
    """Download the file behind a URL; `tls` and `proxy` as for `open_url`.

    Raises:
        SourceError: There is no answer, it is an error, or it is larger than `MAX_MEDIA_BYTES`.
    """
    copy = get_local_folder() / uuid.uuid4().hex
    await save_chunks(_iter_url(url, MAX_MEDIA_BYTES, tls, proxy), copy)
    return copy


async def _iter_url(url: str, limit: int, tls: SSLContext | None, proxy: str | None) -> AsyncIterator[bytes]:
    """Yield what is behind a URL, in chunks. It is asked for without our secrets."""
    import httpx

    try:
        host, path = urlsplit(url).hostname, urlsplit(url).path
        httpx.URL(url)
    except (ValueError, httpx.InvalidURL):  # their messages may repeat a password, and so does the address
        raise SourceError("the address of the file is not valid: give one such as http://gpu-box/cat.png") from None
    try:
        async with open_url(url, DOWNLOAD_TIMEOUT, tls=tls, proxy=proxy) as response:
            if (status := response.status_code) != 200:
                passing = status == 429 or status >= 500
                raise SourceError(f"{host} answers {status} to {path}", passing=passing)
            async for chunk in iter_body(response, limit):
                yield chunk
    except TooLarge:
        raise SourceError(f"the file from {host} is larger than {limit >> 20} MB") from None
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, SSLError) as error:
        passing = isinstance(error, (httpx.TransportError, SSLError))
        raise SourceError(
            f"{host or 'the address'} can't be read: {str(error) or type(error).__name__}", passing=passing
        ) from None
