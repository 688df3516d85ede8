"""Test servers and gateways that answer twice, or with the answer to something else."""

from __future__ import annotations

import asyncio
import json
import re
from typing import Any

import httpx
import pytest
from aiohttp import web

from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.connection import Connection
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .proxy import Proxy


async def answer_twice(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer each request with its path, twice, in one piece."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        body = head.split()[1].split(b"?")[0]
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
        writer.write(answer * 2)


@pytest.mark.parametrize("query", ["", "token=1"])
async def test_answer_that_comes_twice_is_not_the_answer_to_the_next_request(query: str) -> None:
    async def no_headers() -> dict[str, str]:
        return {}

    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        try:
            await answer_twice(reader, writer)
        except asyncio.IncompleteReadError:
            writer.close()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        connection = Connection(url, Settings(comfyui_url=url), no_headers, query=query)
        answers = [(await connection.exchange("GET", f"/{number}")).text for number in range(5)]
        client = await connection.get_client()
        streamed = []
        for number in range(3):
            async with client.stream("GET", f"/{number}") as response:
                streamed.append((await response.aread()).decode())
        await connection.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.sleep(0)
    assert answers == [f"/{number}" for number in range(5)]
    assert streamed == [f"/{number}" for number in range(3)]


@pytest.mark.usefixtures("eager")
@pytest.mark.parametrize("answer", [{}, {"prompt_id": None}, {"prompt_id": 7}, {"queue_running": []}], ids=json.dumps)
async def test_answer_without_an_id_says_nothing_about_the_job(
    answer: Any, proxy: Proxy, make_kit: MakeKit, jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The job is looked for: it may run or not."""
    monkeypatch.setattr("comfykit_jupyter.client.running.late.SETTLING", 0.2)
    proxy.answer = lambda request: web.json_response(answer) if request.path == "/prompt" else None
    result = await make_kit(proxy.url).execute(workflows.text())
    assert result.error is not None
    assert (result.error.kind, len(proxy.requests("POST", "/prompt"))) == ("unknown", 1)


async def test_job_of_another_run_is_not_mistaken_for_ours(proxy: Proxy, make_kit: MakeKit, jobs: Jobs) -> None:
    """A gateway repeats the answer to an earlier prompt."""
    kit = make_kit(proxy.url)
    first = await kit.execute(workflows.text("first"))

    def answer(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        httpx.post(f"{proxy.target}/prompt", content=proxy.seen[-1].body)
        return web.json_response({"prompt_id": first.prompt_id, "number": 0, "node_errors": {}})

    proxy.answer = answer
    second = await kit.execute(workflows.text("second"))
    assert (second.status, second.texts, second.prompt_id == first.prompt_id) == ("completed", ["second"], False)


async def test_time_out_of_a_gateway_is_not_a_rejection(proxy: Proxy, make_kit: MakeKit) -> None:
    """The gateway may have passed the prompt on."""

    def answer(request: web.Request) -> web.Response | None:
        if request.path != "/prompt":
            return None
        httpx.post(f"{proxy.target}/prompt", content=proxy.seen[-1].body)
        return web.json_response({"detail": "try again"}, status=408)

    proxy.answer = answer
    result = await make_kit(proxy.url).execute(workflows.text())
    assert (result.status, result.texts) == ("completed", ["hello"]), result.msg
    assert len(proxy.requests("POST", "/prompt")) == 1


async def test_rejection_by_a_gateway_is_a_rejection(proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.answer = lambda request: (
        web.json_response({"detail": "too large"}, status=413) if request.path == "/prompt" else None
    )
    result = await make_kit(proxy.url).execute(workflows.text())
    assert result.error is not None
    assert result.error.kind == "refused"
    assert re.search("413|no reason", str(result.msg))
