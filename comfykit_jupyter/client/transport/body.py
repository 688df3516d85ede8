"""The body of an answer, read up to a bound that holds for what comes over the wire and for what it unpacks to."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterator, Iterator
from typing import TYPE_CHECKING

from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    import httpx

ENCODING = "gzip"
"""How an answer may be packed, as `Accept-Encoding` says it."""
_PIECE = 1 << 20
_GZIP = 16 + zlib.MAX_WBITS


class TooLarge(Exception):
    """An answer has more bytes than are read of one."""


async def pieces(response: httpx.Response, limit: float) -> AsyncIterator[bytes]:
    """What an answer holds, piece by piece, unpacked; a piece has 1 MB at most.

    httpx's own way gives no sign of life as long as what comes unpacks to nothing, which may be for ever.

    Args:
        response: one whose body was not read yet.
        limit: bytes that are read at the most, packed or not.

    Raises:
        TooLarge: there are more. httpx.HTTPError: the connection broke, or it is packed in a way that nobody asked for.
    """
    import httpx

    packed = response.headers.get("content-encoding", "").strip().lower()
    if packed not in ("", "identity", "gzip", "x-gzip"):
        raise httpx.DecodingError(f"the answer is packed as {one_line(packed)}", request=response.request)
    unpacker = zlib.decompressobj(_GZIP) if "gzip" in packed else None
    received = given = 0
    async for raw in response.aiter_raw():
        received += len(raw)
        try:
            for piece in (raw,) if unpacker is None else _unpacked(unpacker, raw):
                given += len(piece)
                if given > limit:
                    break
                if piece:
                    yield piece
        except zlib.error:
            raise httpx.DecodingError("the answer is packed, and damaged", request=response.request) from None
        if max(received, given) > limit:
            raise TooLarge(f"more than {int(limit) >> 20} MB")
    if unpacker is not None and received and not unpacker.eof:
        raise httpx.DecodingError("the answer is packed, and ends too early", request=response.request)


async def whole(response: httpx.Response, limit: int) -> httpx.Response:
    """An answer with its body read. Raises as `pieces`."""
    import httpx

    content = bytearray()
    async for piece in pieces(response, limit):
        content += piece
    # the body is decoded already
    headers = [(name, told) for name, told in response.headers.multi_items() if name.lower() != "content-encoding"]
    return httpx.Response(response.status_code, headers=headers, content=bytes(content), request=response.request)


def _unpacked(unpacker: zlib._Decompress, data: bytes) -> Iterator[bytes]:
    while data:
        if unpacker.eof:
            raise zlib.error("there is more behind its end")
        yield unpacker.decompress(data, _PIECE)
        data = unpacker.unused_data or unpacker.unconsumed_tail
