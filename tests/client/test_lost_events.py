"""Test runs whose socket loses messages while it stays open, as behind some gateways."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ExecuteResult
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy


async def execute(proxy: Proxy, make_kit: MakeKit, graph: workflows.Graph, **options: Any) -> ExecuteResult:
    kit = make_kit(proxy.url, executor_type="websocket", **options)
    await kit.execute(workflows.text())  # the socket is open for the next run
    proxy.seen.clear()
    proxy.sockets.dropped.add("executed")
    return await kit.execute(graph)


async def test_outputs_that_the_socket_lost_are_read_from_the_history(proxy: Proxy, make_kit: MakeKit) -> None:
    result = await execute(proxy, make_kit, workflows.picture())
    assert (result.status, len(result.images), result.warnings) == ("completed", 1, [])


async def test_outputs_of_a_node_that_the_server_can_not_describe_are_read_as_well(
    proxy: Proxy, make_kit: MakeKit
) -> None:
    """Whether it is an output node is not known, but nothing uses what it gives."""
    proxy.answer = lambda request: web.json_response([]) if request.path == "/object_info/TestShow" else None
    result = await execute(proxy, make_kit, workflows.showing({"text": ["a"]}))
    assert (result.status, result.texts, result.warnings) == ("completed", ["a"], [])


@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_output_node_may_give_nothing(executor: Any, proxy: Proxy, make_kit: MakeKit) -> None:
    result = await make_kit(proxy.url, executor_type=executor).execute(workflows.showing({}))
    assert (result.status, result.outputs, result.warnings) == ("completed", {"1": {}}, [])


@pytest.mark.parametrize("history", ["none", "away"])
async def test_run_without_a_record_ends_with_a_warning(
    history: str, proxy: Proxy, make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def answer(request: web.Request) -> web.Response | None:
        if not request.path.startswith("/history/"):
            return None
        return web.json_response({}) if history == "none" else web.Response(status=502)

    proxy.answer = answer
    result = await execute(proxy, make_kit, workflows.picture(), patience=0.3)
    assert (result.status, result.images, result.error) == ("completed", [], None)
    assert [warning.partition(":")[0] for warning in result.warnings] == ["outputs may be missing"]


@pytest.mark.parametrize("history", ["none", "away"])
async def test_an_end_without_a_word_of_success_is_no_success(history: str, proxy: Proxy, make_kit: MakeKit) -> None:
    """A server says `executing` without a node at every end, also after an error."""
    kit = make_kit(proxy.url, executor_type="websocket", patience=0.3)
    await kit.execute(workflows.text())
    proxy.sockets.dropped.add("execution_error")
    empty = history == "none"
    proxy.answer = lambda request: (
        (web.json_response({}) if empty else web.Response(status=502)) if "/history/" in request.path else None
    )
    result = await kit.execute(workflows.failing())
    assert result.status == "failed"
    assert result.error is not None
    assert result.error.kind == ("gone" if empty else "unreachable")
    assert result.error.message.startswith("the job has ended, but") or empty
    assert list(result.outputs or ()) == ["2"]  # what it gave before
