"""Test that endless responses are read up to a limit and then fail with a one-line message."""

from __future__ import annotations

import asyncio
import gzip
import json
import zlib
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ServerError
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy

PIECE = b"0," * (1 << 20)
MakeEndless = Callable[..., None]
KINDS = ["plain", "packed", "packed nothing"]


async def generate_endless_body(kind: str) -> AsyncIterator[bytes]:
    """Yield an endless list of zeros, or the beginning of a list and endless empty compressed blocks."""
    packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    yield b"[" if kind == "plain" else packing.compress(b"[") + packing.flush(zlib.Z_SYNC_FLUSH)
    nothing = packing.flush(zlib.Z_FULL_FLUSH) * (1 << 18)
    while True:
        if kind == "packed":
            yield packing.compress(PIECE) + packing.flush(zlib.Z_SYNC_FLUSH)
        else:
            yield PIECE if kind == "plain" else nothing


@pytest.fixture
def make_endless(proxy: Proxy) -> Iterator[MakeEndless]:
    """Return a function that makes the proxy's responses to a path endless."""
    begun: list[asyncio.Transport] = []

    def answer_to(path: str, kind: str = "packed") -> None:
        headers = {"Content-Type": "application/json", **({} if kind == "plain" else {"Content-Encoding": "gzip"})}

        def answer(request: web.BaseRequest) -> web.Response | None:
            if request.path != path:
                return None
            assert isinstance(request.transport, asyncio.Transport)
            begun.append(request.transport)
            return web.Response(body=generate_endless_body(kind), headers=headers)

        proxy.answer = answer

    def cut() -> None:
        for transport in begun:
            transport.abort()  # the rest would never be read

    yield answer_to
    proxy.call(cut)


@pytest.mark.parametrize("kind", KINDS)
def test_endless_response_is_too_large(kind: str, make_endless: MakeEndless, proxy: Proxy, make_kit: MakeKit) -> None:
    make_endless("/history", kind)
    with pytest.raises(ServerError, match=r"to /history is too large: more than 128 MB$"):
        make_kit(proxy.url).history()


ASKED: dict[str, tuple[str, int, Callable[[ComfyKit], Any]]] = {
    "server": ("/system_stats", 16, lambda kit: kit.server().message),
    "queue": ("/queue", 128, lambda kit: kit.queue()),
    "models": ("/models", 128, lambda kit: kit.models()),
    "run": ("/prompt", 16, lambda kit: kit.run(workflows.picture())),
}


@pytest.mark.parametrize("name", ASKED)
def test_every_request_has_a_size_limit(name: str, make_endless: MakeEndless, proxy: Proxy, make_kit: MakeKit) -> None:
    path, most, ask = ASKED[name]
    make_endless(path)
    try:
        message = ask(make_kit(proxy.url))
    except ServerError as error:
        message = str(error)
    assert message.startswith(f"the answer of {proxy.url} to {path} is too large: more than {most} MB")


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b"{}") + b"more", "gzip"),
        (gzip.compress(b"{}")[:-1], "gzip"),
        (b"no gzip at all", "gzip"),
        (b"{}", "br"),
    ],
    ids=["data after the end", "truncated", "not compressed", "encoding that was not requested"],
)
def test_invalid_compression_is_reported(packed: bytes, encoding: str, proxy: Proxy, make_kit: MakeKit) -> None:
    headers = {"Content-Encoding": encoding}
    proxy.answer = lambda request: web.Response(body=packed, headers=headers) if request.path == "/history" else None
    with pytest.raises(ServerError, match="compress"):
        make_kit(proxy.url).history()


def test_compressed_response_is_read(proxy: Proxy, make_kit: MakeKit) -> None:
    body = gzip.compress(json.dumps(["many", "x" * 3_000_000]).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    proxy.answer = lambda request: web.Response(body=body, headers=headers) if request.path == "/models" else None
    assert make_kit(proxy.url).models() == ["many", "x" * 3_000_000]
