"""The body of an answer, read up to a limit that holds both for the bytes on the wire and for what they unpack to."""

from __future__ import annotations

import asyncio
import time
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.untrusted_json import TooManyElementsError

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

ENCODING = "gzip"
"""The compression that is asked for, by its name in `Accept-Encoding`."""
SLOWEST_FILE = 1000
"""Bytes per second that have to arrive of a file, in each window."""
WINDOW = 60.0
"""Seconds over which they are counted."""
_CHUNK_SIZE = 1 << 20
_SMALL = 1 << 18
"""Bytes of JSON that are parsed at once: it takes a few milliseconds."""
_GZIP = 16 + zlib.MAX_WBITS


class TooLarge(Exception):
    """An answer is larger than the limit for it."""


async def iter_body(response: httpx.Response, limit: float) -> AsyncIterator[bytes]:
    """Yield the body of an answer, unpacked, in chunks of at most 1 MB.

    httpx's own way gives no sign of life while what arrives unpacks to nothing, and that may last for ever.

    Args:
        response: An answer whose body was not read yet.
        limit: Maximum size in bytes, packed and unpacked.

    Raises:
        TooLarge: The body is larger.
        httpx.HTTPError: The connection broke, or the body has a compression that was not asked for.
    """
    import httpx

    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed not in ("", "identity", "gzip", "x-gzip"):
        message = f"the answer has an unknown compression: {one_line(packed)}"
        raise httpx.DecodingError(message, request=response.request)
    unpacker = zlib.decompressobj(_GZIP) if "gzip" in packed else None
    received = given = 0
    async for raw in response.aiter_raw():
        received += len(raw)
        try:
            for chunk in (raw,) if unpacker is None else _unpack(unpacker, raw):
                given += len(chunk)
                if given > limit:
                    break
                if chunk:
                    yield chunk
        except zlib.error:
            raise httpx.DecodingError("the compressed answer is damaged", request=response.request) from None
        if max(received, given) > limit:
            raise TooLarge(f"more than {int(limit) >> 20} MB")
    if unpacker is not None and received and not unpacker.eof:
        raise httpx.DecodingError("the compressed answer ends too early", request=response.request)


async def save_chunks(chunks: AsyncIterator[bytes], target: Path) -> None:
    """Write the chunks of a body to a file. If they do not all arrive, the file is removed.

    Raises:
        httpx.ReadTimeout: A server that sends a byte now and then is as good as silent.
    """
    import httpx

    since, received = time.monotonic(), 0
    try:
        with target.open("wb") as file:
            async for chunk in chunks:
                file.write(chunk)
                received += len(chunk)
                if time.monotonic() - since > WINDOW:
                    if received < SLOWEST_FILE * WINDOW:
                        raise httpx.ReadTimeout("the file arrives too slowly")
                    since, received = time.monotonic(), 0
    except BaseException:
        target.unlink(missing_ok=True)
        raise


async def read_body(response: httpx.Response, limit: int) -> httpx.Response:
    """Return an answer with its body read. Raises as `iter_body`."""
    import httpx

    content = bytearray()
    async for chunk in iter_body(response, limit):
        content += chunk
    # the body is unpacked already
    headers = [each for each in response.headers.multi_items() if each[0].lower() != "content-encoding"]
    return httpx.Response(response.status_code, headers=headers, content=bytes(content), request=response.request)


async def parse_body(content: bytes, parse: Callable[[bytes], T]) -> T:
    """Parse the body of an answer; a large one in another thread, so that the event loop serves other runs meanwhile.

    Raises:
        TooLarge: It has too many elements.
        ValueError, RecursionError: `parse` can't parse it.
    """
    try:
        return parse(content) if len(content) <= _SMALL else await asyncio.to_thread(parse, content)
    except TooManyElementsError as error:
        raise TooLarge(str(error)) from None


def _unpack(unpacker: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while data:
        if unpacker.eof:
            raise zlib.error("there are bytes after the end")
        yield unpacker.decompress(data, _CHUNK_SIZE)
        data = unpacker.unused_data or unpacker.unconsumed_tail
