"""Test reading response bodies that arrive in any pieces, compressed or not, up to a limit."""

from __future__ import annotations

import asyncio
import contextlib
import gzip
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.client.transport.body import TooLarge, read_body, save_chunks

LARGE = 1 << 30


class PieceStream(httpx.AsyncByteStream):
    """A stream of pieces of these sizes, followed by the rest."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data, self._sizes = data, sizes

    async def __aiter__(self) -> AsyncIterator[bytes]:
        data = self._data
        for size in self._sizes:
            yield data[:size]
            data = data[size:]
        yield data


def read(data: bytes, sizes: list[int], encoding: str = "", limit: int = LARGE) -> bytes:
    headers = {"Content-Encoding": encoding} if encoding else {}
    answer = httpx.Response(
        200, headers=headers, stream=PieceStream(data, sizes), request=httpx.Request("GET", "http://x/")
    )
    return asyncio.run(read_body(answer, limit)).content


DATA = st.binary(max_size=3000) | st.integers(0, 5_000_000).map(bytes)
SIZES = st.lists(st.integers(0, 500), max_size=20)


@given(DATA, SIZES)
def test_body_does_not_depend_on_its_pieces(data: bytes, sizes: list[int]) -> None:
    assert read(data, sizes) == data
    assert read(gzip.compress(data), sizes, "gzip") == data


@given(DATA, SIZES, st.integers(1, 40))
def test_truncated_compressed_body_is_rejected(data: bytes, sizes: list[int], less: int) -> None:
    packed = gzip.compress(data)
    cut = packed[: max(1, len(packed) - less)]
    with pytest.raises(httpx.DecodingError):
        read(cut, sizes, "gzip")


@given(DATA, SIZES, st.data())
def test_no_more_than_the_limit_is_read(data: bytes, sizes: list[int], choose: st.DataObject) -> None:
    limit = choose.draw(st.integers(0, len(data)))
    packed = gzip.compress(data)
    if limit < len(data):
        with pytest.raises(TooLarge):
            read(data, sizes, limit=limit)
    if limit < max(len(data), len(packed)):
        with pytest.raises(TooLarge):
            read(packed, sizes, "gzip", limit)


@given(st.binary(min_size=1, max_size=3000), SIZES)
def test_invalid_gzip_is_rejected(data: bytes, sizes: list[int]) -> None:
    with contextlib.suppress(httpx.DecodingError):
        assert read(data, sizes, "gzip") == gzip.decompress(data)


@pytest.mark.parametrize("ending", [TooLarge, asyncio.CancelledError])
def test_file_whose_chunks_do_not_all_arrive_is_removed(ending: type[BaseException], tmp_path: Path) -> None:
    async def give_one() -> AsyncIterator[bytes]:
        yield b"one"
        raise ending

    with pytest.raises(ending):
        asyncio.run(save_chunks(give_one(), tmp_path / "copy"))
    assert not [*tmp_path.iterdir()]
