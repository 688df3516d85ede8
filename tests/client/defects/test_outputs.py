"""Test defects of outputs, including those of failed runs."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import Package
from tests.client.proxy import Served

from .scenes import EXECUTORS, Write, get_patience


def test_14_every_output_is_kept(package: Package, sandbox: Sandbox, write: Write) -> None:
    keys = {
        "3d": "a.glb",
        "latents": "b.latent",
        "images": "c.tif",
        "a_images": "d.png",
        "video": "e.mp4",
        "f": "f.svg",
    }
    output = {key: [{"filename": name, "subfolder": "", "type": "output"}] for key, name in keys.items()}
    result = package.execute(sandbox.url, write(workflows.showing(output)))
    found = [url for kind in ("images", "videos", "audios", "files") for url in result[kind]]
    assert sorted(parse_qs(urlsplit(url).query)["filename"][0] for url in found) == sorted(keys.values())


def test_15_malformed_output_does_not_affect_others(package: Package, sandbox: Sandbox, write: Write) -> None:
    good = {"filename": "good.png", "subfolder": "", "type": "output"}
    result = package.execute(sandbox.url, write(workflows.showing({"images": ["odd", good], "audio": {"x": 1}})))
    assert (result["status"], len(result["images"])) == ("completed", 1)


@EXECUTORS
def test_17_failure_names_its_node_and_keeps_earlier_outputs(
    executor: str, package: Package, sandbox: Sandbox, write: Write
) -> None:
    graph = workflows.failing()
    graph["3"]["_meta"]["title"] = "The bomb"
    result = package.execute(sandbox.url, write(graph), executor=executor)
    assert result["msg"] == "The bomb: kaboom over 1 picture"
    assert len(result["images"]) == 1


def test_17_rejected_output_node_is_a_warning(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.picture()
    graph["3"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}, "_meta": {"title": "Half"}}
    result = package.execute(sandbox.url, write(graph))
    assert result["status"] == "completed"
    assert "Half" in "".join(result.get("warnings", ()))


def test_24_run_with_only_a_3d_model_completes(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.showing({"3d": [{"filename": "a.glb", "subfolder": "", "type": "output"}]})
    result = package.execute(sandbox.url, write(graph), executor="websocket")
    assert result["status"] == "completed", result["msg"]


def test_24_output_of_an_expanded_node_keeps_its_name(package: Package, write: Write) -> None:
    graph = workflows.showing({})
    graph["1"]["_meta"] = {"title": "$output.words"}
    with Served(serve_expanding_node) as server:
        result = package.execute(server.url, write(graph), executor="websocket", seconds=get_patience(package))
    assert (result["status"], result["texts_by_var"]) == ("completed", {"words": ["hello"]}), result["msg"]


async def serve_expanding_node(request: web.Request) -> web.StreamResponse:
    """Serve a ComfyUI whose node 1 expands to node 1:3, which shows a text."""
    if request.path == "/ws":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        _SOCKETS[request.query["clientId"]] = socket
        async for _ in socket:
            pass
        return socket
    if request.path == "/prompt":
        body = await request.json()
        prompt_id = body.get("prompt_id", "the-run")
        output = {"text": ["hello"]}
        shown = {"prompt_id": prompt_id, "node": "1:3", "display_node": "1", "output": output}
        events = [("execution_start", {}), ("executing", {"node": "1", "display_node": "1"}), ("executed", shown),
                  ("execution_success", {}), ("executing", {"node": None})]  # fmt: skip
        status = {"status_str": "success", "completed": True, "messages": []}
        meta = {"1:3": {"node_id": "1:3", "display_node": "1", "parent_node": "1", "real_node_id": "1"}}
        _RECORDS[prompt_id] = {"outputs": {"1:3": output}, "meta": meta, "status": status, "prompt": []}
        listener = _SOCKETS[body["client_id"]]

        async def send_events() -> None:
            await asyncio.sleep(0)  # after the response
            for kind, data in events:
                await listener.send_json({"type": kind, "data": {"prompt_id": prompt_id, **data}})

        _SENDING.append(asyncio.ensure_future(send_events()))
        return web.json_response({"prompt_id": prompt_id, "number": 1, "node_errors": {}})
    if request.path.startswith("/history/"):
        prompt_id = request.path.rpartition("/")[2]
        return web.json_response({prompt_id: _RECORDS[prompt_id]} if prompt_id in _RECORDS else {})
    return web.json_response({"queue_running": [], "queue_pending": []} if request.path == "/queue" else {})


_SOCKETS: dict[str, web.WebSocketResponse] = {}
_RECORDS: dict[str, Any] = {}
_SENDING: list[asyncio.Future[None]] = []
