"""A server that answers without an end: it is heard out up to a bound, and what it is asked for fails with one line."""

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

from . import workflows
from .conftest import MakeKit
from .proxy import Proxy

PIECE = b"0," * (1 << 20)
WithoutEnd = Callable[..., None]
KINDS = ["plain", "packed", "packed nothing"]


async def endless(kind: str) -> AsyncIterator[bytes]:
    """A list of zeros without an end; or its beginning, and packages of nothing without an end."""
    packing = zlib.compressobj(wbits=16 + zlib.MAX_WBITS)
    yield b"[" if kind == "plain" else packing.compress(b"[") + packing.flush(zlib.Z_SYNC_FLUSH)
    nothing = packing.flush(zlib.Z_FULL_FLUSH) * (1 << 18)
    while True:
        if kind == "packed":
            yield packing.compress(PIECE) + packing.flush(zlib.Z_SYNC_FLUSH)
        else:
            yield PIECE if kind == "plain" else nothing


@pytest.fixture
def without_end(proxy: Proxy) -> Iterator[WithoutEnd]:
    """A function that has the proxy answer without an end to a path."""
    begun: list[asyncio.Transport] = []

    def answer_to(path: str, kind: str = "packed") -> None:
        headers = {"Content-Type": "application/json", **({} if kind == "plain" else {"Content-Encoding": "gzip"})}

        def answer(request: web.BaseRequest) -> web.Response | None:
            if request.path != path:
                return None
            assert isinstance(request.transport, asyncio.Transport)
            begun.append(request.transport)
            return web.Response(body=endless(kind), headers=headers)

        proxy.answer = answer

    def cut() -> None:
        for transport in begun:
            transport.abort()  # what waits to be sent is never read

    yield answer_to
    proxy.call(cut)


@pytest.mark.parametrize("kind", KINDS)
def test_it_is_told_that_the_answer_is_too_large(
    kind: str, without_end: WithoutEnd, proxy: Proxy, make_kit: MakeKit
) -> None:
    without_end("/history", kind)
    with pytest.raises(ServerError, match=r"to /history is too large: more than 256 MB$"):
        make_kit(proxy.url).history()


ASKED: dict[str, tuple[str, Callable[[ComfyKit], Any]]] = {
    "the server itself": ("/system_stats", lambda kit: kit.server().message),
    "its queue": ("/queue", lambda kit: kit.queue()),
    "its models": ("/models", lambda kit: kit.models()),
    "a run": ("/prompt", lambda kit: kit.run(workflows.picture())),
}


@pytest.mark.parametrize("name", ASKED)
def test_whatever_is_asked_for_ends(name: str, without_end: WithoutEnd, proxy: Proxy, make_kit: MakeKit) -> None:
    path, ask = ASKED[name]
    without_end(path)
    try:
        told = ask(make_kit(proxy.url))
    except ServerError as error:
        told = str(error)
    assert told.startswith(f"the answer of {proxy.url} to {path} is too large: more than 256 MB")


@pytest.mark.parametrize(
    ("packed", "encoding"),
    [
        (gzip.compress(b"{}") + b"more", "gzip"),
        (gzip.compress(b"{}")[:-1], "gzip"),
        (b"no gzip at all", "gzip"),
        (b"{}", "br"),
    ],
    ids=["more behind its end", "too short", "not packed", "packed in a way that was not asked for"],
)
def test_what_can_not_be_unpacked_is_told(packed: bytes, encoding: str, proxy: Proxy, make_kit: MakeKit) -> None:
    headers = {"Content-Encoding": encoding}
    proxy.answer = lambda request: web.Response(body=packed, headers=headers) if request.path == "/history" else None
    with pytest.raises(ServerError, match="compress"):
        make_kit(proxy.url).history()


def test_a_packed_answer_is_read(proxy: Proxy, make_kit: MakeKit) -> None:
    body = gzip.compress(json.dumps(["many", "x" * 3_000_000]).encode())
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    proxy.answer = lambda request: web.Response(body=body, headers=headers) if request.path == "/models" else None
    assert make_kit(proxy.url).models() == ["many", "x" * 3_000_000]
