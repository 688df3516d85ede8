"""Test servers that outlive the process that has started them: taken over, or ended."""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import httpx
import pytest

from comfykit_jupyter.client.backends.comfyui import kept_server
from comfykit_jupyter.client.backends.comfyui.kept_server import KeptServer

SERVER = """
import http.server, os, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        if self.path == "/end": os._exit(1)
        self.send_response(200); self.end_headers(); self.wfile.write(sys.argv[2].encode())
    def log_message(self, *_): pass
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs locks that the system releases")


def build_command(word: str) -> list[str]:
    return [sys.executable, "-S", "-c", SERVER.replace("{", "{{").replace("}", "}}"), "{port}", f"{word} {{number}}"]


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(kept_server, "PREFIX", f"test-{uuid.uuid4().hex[:8]}")
    monkeypatch.setattr(kept_server, "LOOK", 0.02)
    monkeypatch.setattr(kept_server, "AGAIN", 0.02)


@contextlib.asynccontextmanager
async def keeping(command: list[str], linger: float = 20) -> AsyncIterator[KeptServer]:
    server = KeptServer(command, linger)
    task = asyncio.ensure_future(server.keep())
    try:
        yield server
    finally:
        task.cancel()
        await asyncio.wait({task})


async def wait_until(is_so: Callable[[], Awaitable[bool]]) -> None:
    until = time.monotonic() + 30
    while not await is_so():
        assert time.monotonic() < until
        await asyncio.sleep(0.02)


async def read(url: str) -> str:
    async with httpx.AsyncClient(trust_env=False) as client:
        try:
            return (await client.get(f"{url}/system_stats")).text
        except httpx.HTTPError:
            return ""


async def test_the_next_process_takes_a_server_over_or_ends_it() -> None:
    async def answers() -> bool:
        return bool(server.url)

    async with keeping(build_command("one")) as server, keeping(build_command("one")) as other:
        await wait_until(answers)
        first = server.url
        assert await read(first) == "one 0"
        assert (server.number, other.number) == (0, 1)
    assert server.url == ""
    async with keeping(build_command("one")) as server:
        await wait_until(answers)
        assert server.url == first
    async with keeping(build_command("two"), linger=0) as server:
        await wait_until(answers)
        assert await read(server.url) == "two 0"
        assert await read(first) == ""
        last = server.url

    async def is_gone() -> bool:
        return await read(last) == ""

    await wait_until(is_gone)


async def test_a_server_that_is_killed_is_started_again() -> None:
    async def answers_at_another_address() -> bool:
        assert server.problem == ""
        return server.url not in ("", first)

    first = ""
    async with keeping(build_command("one")) as server:
        await wait_until(answers_at_another_address)
        first = server.url
        async with httpx.AsyncClient(trust_env=False) as client:
            with contextlib.suppress(httpx.HTTPError):
                await client.get(f"{first}/end")
        await wait_until(answers_at_another_address)


async def test_a_command_that_ends_is_a_problem_that_is_named() -> None:
    async def has_problem() -> bool:
        return bool(server.problem)

    for command, problem in (
        ([sys.executable, "-S", "-c", "raise SystemExit('no such model')"], "the command ended: no such model"),
        ([sys.executable, "{gpu}"], "'gpu'"),
    ):
        async with keeping(command) as server:
            await wait_until(has_problem)
            assert problem in server.problem
            assert server.url == ""
