"""What a run gave: all of it, also of one that failed."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import Package
from tests.client.proxy import Served

from .scenes import EXECUTORS, WAIT, Write


def test_14_nothing_that_a_node_gives_is_dropped(package: Package, sandbox: Sandbox, write: Write) -> None:
    keys = {
        "3d": "a.glb",
        "latents": "b.latent",
        "images": "c.tif",
        "a_images": "d.png",
        "video": "e.mp4",
        "f": "f.svg",
    }
    output = {key: [{"filename": name, "subfolder": "", "type": "output"}] for key, name in keys.items()}
    told = package.execute(sandbox.url, write(workflows.showing(output)))
    found = [url for kind in ("images", "videos", "audios", "files") for url in told[kind]]
    assert sorted(parse_qs(urlsplit(url).query)["filename"][0] for url in found) == sorted(keys.values())


def test_15_an_odd_entry_does_not_spoil_the_rest(package: Package, sandbox: Sandbox, write: Write) -> None:
    good = {"filename": "good.png", "subfolder": "", "type": "output"}
    told = package.execute(sandbox.url, write(workflows.showing({"images": ["odd", good], "audio": {"x": 1}})))
    assert (told["status"], len(told["images"])) == ("completed", 1)


@EXECUTORS
def test_17_a_failure_names_its_node_and_keeps_what_was_made(
    executor: str, package: Package, sandbox: Sandbox, write: Write
) -> None:
    graph = workflows.failing()
    graph["3"]["_meta"]["title"] = "The bomb"
    told = package.execute(sandbox.url, write(graph), executor=executor)
    assert told["msg"] == "The bomb: kaboom over 1 picture"
    assert len(told["images"]) == 1


def test_17_what_was_left_out_of_a_prompt_is_told(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.picture()
    graph["3"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}, "_meta": {"title": "Half"}}
    told = package.execute(sandbox.url, write(graph))
    assert told["status"] == "completed"
    assert "Half" in "".join(told.get("warnings", ()))


def test_24_a_run_that_gives_only_a_model_has_completed(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.showing({"3d": [{"filename": "a.glb", "subfolder": "", "type": "output"}]})
    told = package.execute(sandbox.url, write(graph), executor="websocket")
    assert told["status"] == "completed", told["msg"]


def test_24_an_output_of_a_node_that_expanded_has_its_name(package: Package, write: Write) -> None:
    graph = workflows.showing({})
    graph["1"]["_meta"] = {"title": "$output.words"}
    with Served(expanding) as server:
        told = package.execute(server.url, write(graph), executor="websocket", seconds=WAIT)
    assert (told["status"], told["texts_by_var"]) == ("completed", {"words": ["hello"]}), told["msg"]


async def expanding(request: web.Request) -> web.StreamResponse:
    """A server whose node 1 expands to another, 1:3, that shows a text."""
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

        async def tell() -> None:
            await asyncio.sleep(0)  # after the answer
            for kind, data in events:
                await listener.send_json({"type": kind, "data": {"prompt_id": prompt_id, **data}})

        _TELLING.append(asyncio.ensure_future(tell()))
        return web.json_response({"prompt_id": prompt_id, "number": 1, "node_errors": {}})
    if request.path.startswith("/history/"):
        prompt_id = request.path.rpartition("/")[2]
        return web.json_response({prompt_id: _RECORDS[prompt_id]} if prompt_id in _RECORDS else {})
    return web.json_response({"queue_running": [], "queue_pending": []} if request.path == "/queue" else {})


_SOCKETS: dict[str, web.WebSocketResponse] = {}
_RECORDS: dict[str, Any] = {}
_TELLING: list[asyncio.Future[None]] = []
