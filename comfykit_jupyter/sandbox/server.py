"""The HTTP server: the routes of ComfyUI's protocol, each also below `/api`."""

from __future__ import annotations

import asyncio
import functools
import json
import math
import os
import platform
import sys
import time
import uuid
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any

from aiohttp import web

from comfykit_jupyter.sandbox import nodes as _nodes  # noqa: F401 - fills NODES
from comfykit_jupyter.sandbox.definitions import Definitions
from comfykit_jupyter.sandbox.execution import Executor
from comfykit_jupyter.sandbox.files import FileRoutes
from comfykit_jupyter.sandbox.folders import ServerFolders
from comfykit_jupyter.sandbox.guard import is_loopback, make_guard
from comfykit_jupyter.sandbox.interface.node import NODES
from comfykit_jupyter.sandbox.jobs import cancel_jobs, find_job, is_known_job, list_jobs
from comfykit_jupyter.sandbox.prompt_queue import Job, PromptQueue
from comfykit_jupyter.sandbox.serving import start_server, stop_server
from comfykit_jupyter.sandbox.sockets import Sockets
from comfykit_jupyter.sandbox.validation import build_problem, validate

if TYPE_CHECKING:
    from collections.abc import Mapping

COMFYUI_VERSION = "0.33.0"
"""The ComfyUI version whose protocol this server speaks."""

MAX_UPLOAD_SIZE = 100 * 1024 * 1024
"""Default limit of an upload, in bytes."""

_MAX_JSON = 32 * 1024 * 1024
"""Largest JSON body, in bytes."""

_MAX_DEPTH = 200
"""Deepest nesting of a JSON body, in levels."""

_MAX_NUMBER = 300
"""Longest position in the queue, in characters: with fewer digits an integer is also a float."""

_STOP_TIMEOUT = 5.0
"""Seconds that a running node has to notice that the server is stopping."""

_SECRETS = ("api_key_comfy_org", "auth_token_comfy_org")
"""Keys of `extra_data` that are never stored."""

_json_response = functools.partial(web.json_response, dumps=functools.partial(json.dumps, allow_nan=False))

_PAGE = """<!doctype html><html lang="en"><meta charset="utf-8"><title>ComfyUI sandbox</title>
<h1>ComfyUI sandbox</h1>
<p>A small server that speaks the protocol of ComfyUI {version}. Its nodes do real work on the CPU, but it has no
diffusion model: use it to try workflows out.</p>
<p><a href="/object_info">nodes</a> · <a href="/queue">queue</a> · <a href="/history">history</a> ·
<a href="/system_stats">system</a></p></html>
"""


class Server:
    """A server on one event loop.

    Args:
        folder: Folder that holds its files; created if missing.
        host: Address to listen on.
        port: Port to listen on; 0 picks a free one.
        allow_remote: Allow a `host` that is not a loopback address.
        max_upload_size: Largest accepted upload, in bytes.
        step_seconds: Seconds that each step of a node takes at least.

    Raises:
        ValueError: `host` is not a loopback address and `allow_remote` is false, or `port` is not a port number.
    """

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        port: int = 0,
        allow_remote: bool = False,
        max_upload_size: int = MAX_UPLOAD_SIZE,
        step_seconds: float = 0,
    ) -> None:
        if not allow_remote and not is_loopback(host):
            raise ValueError(
                f"other machines can reach host {host!r} and could run any workflow here:"
                " pass allow_remote=True (--allow-remote) to allow it"
            )
        if not 0 <= port <= 65_535:
            raise ValueError(f"port must be between 0 and 65535, not {port}")
        self.folders = ServerFolders(folder)
        self._host, self._port = host, port
        self._allow_remote = allow_remote
        self._max_upload_size = max_upload_size
        self._step_seconds = step_seconds
        self._features = {
            "supports_preview_metadata": True,
            "supports_model_type_tags": False,
            "max_upload_size": max_upload_size,
            "extension": {},
            "node_replacements": False,
            "assets": False,
        }
        self._number = 0

    @property
    def url(self) -> str:
        """Address of the started server, without a trailing slash."""
        return f"http://[{self._host}]:{self._port}" if ":" in self._host else f"http://{self._host}:{self._port}"

    async def start(self) -> None:
        """Start listening.

        Raises:
            OSError: The server can't listen on its address, for example because the port is in use.
        """
        self._sockets = Sockets(asyncio.get_running_loop(), self._build_greeting, self._features)
        self._queue = PromptQueue(lambda remaining: self._sockets.send("status", _format_status(remaining)))
        self._executor = Executor(self._queue, self.folders, self._sockets, self._step_seconds)
        app = web.Application(middlewares=[make_guard(allow_remote=self._allow_remote)], client_max_size=_MAX_JSON)
        app.add_routes(self._build_routes())
        app.on_shutdown.append(lambda _: self._sockets.close())
        self._runner = web.AppRunner(app, access_log=None, handle_signals=False, shutdown_timeout=1.0)
        await self._runner.setup()
        try:
            self._listener = await start_server(self._runner, self._host, self._port)
            self._port = self._listener.getsockname()[1]
        except OSError:
            await self._runner.cleanup()
            raise
        self._executor.start()

    async def stop(self) -> None:
        """Interrupt the running job, close all connections and stop listening."""
        self._queue.close()
        await asyncio.to_thread(self._executor.join, _STOP_TIMEOUT)
        await stop_server(self._runner, self._listener)

    def _build_greeting(self, client_id: str) -> list[tuple[str, Mapping[str, Any]]]:
        status = {**_format_status(self._queue.count_remaining()), "sid": client_id}
        greeting: list[tuple[str, Mapping[str, Any]]] = [("status", status)]
        node_id = self._executor.find_executing_node(client_id)
        if node_id is not None:
            greeting.append(("executing", {"node": node_id}))
        return greeting

    def _build_routes(self) -> list[web.RouteDef]:
        files = FileRoutes(self.folders, self._max_upload_size)
        routes = [
            web.get("/ws", self._sockets.handle),
            web.get("/prompt", self._get_prompt),
            web.post("/prompt", self._post_prompt),
            web.get("/queue", self._get_queue),
            web.post("/queue", self._post_queue),
            web.post("/interrupt", self._post_interrupt),
            web.get("/history", self._get_history),
            web.get("/history/{prompt_id}", self._get_history_entry),
            web.post("/history", self._post_history),
            web.post("/upload/image", files.upload_image),
            web.post("/upload/mask", files.upload_mask),
            web.get("/view", files.view),
            web.get("/object_info", self._get_object_info),
            web.get("/object_info/{class_type}", self._get_node_info),
            web.get("/models", self._get_models),
            web.get("/models/{folder}", self._get_models_in),
            web.get("/experiment/models/{folder}", self._get_model_files),
            web.get("/view_metadata/{folder}", self._get_metadata),
            web.get("/embeddings", self._get_embeddings),
            web.get("/system_stats", self._get_system_stats),
            web.get("/features", self._get_features),
            web.get("/extensions", self._get_extensions),
            web.post("/free", self._post_free),
        ]
        return [
            web.get("/", self._get_page),
            *routes,
            *(web.route(route.method, f"/api{route.path}", route.handler) for route in routes),
            web.get("/api/jobs", self._get_jobs),
            web.post("/api/jobs/cancel", self._cancel_jobs),
            web.get("/api/jobs/{prompt_id}", self._get_job),
            web.post("/api/jobs/{prompt_id}/cancel", self._cancel_job),
        ]

    async def _get_page(self, _: web.Request) -> web.Response:
        headers = {"Content-Security-Policy": "default-src 'none'"}
        return web.Response(text=_PAGE.format(version=COMFYUI_VERSION), content_type="text/html", headers=headers)

    async def _get_prompt(self, _: web.Request) -> web.Response:
        return _json_response({"exec_info": {"queue_remaining": self._queue.count_remaining()}})

    async def _post_prompt(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        if "prompt" not in body:
            return _reject(build_problem("no_prompt", "No prompt provided", "No prompt provided"))
        number: float = self._number
        if "number" in body:
            try:
                number = _parse_number(body["number"])
            except ValueError as error:
                return _reject(build_problem("invalid_prompt", "number must be a number", str(error)))
        else:
            number = -number if body.get("front") else number
            self._number += 1
        targets = body.get("partial_execution_targets")
        target_ids = None if targets is None else {str(node_id) for node_id in targets}
        verdict = validate(body["prompt"], self.folders, target_ids)
        if verdict.error is not None:
            return _reject(verdict.error, verdict.node_errors)
        given = body.get("extra_data")
        extra = {key: value for key, value in given.items() if key not in _SECRETS} if isinstance(given, dict) else {}
        if "client_id" in body:
            extra["client_id"] = body["client_id"]
        extra["create_time"] = int(time.time() * 1000)
        job = Job(number, str(body.get("prompt_id") or uuid.uuid4()), body["prompt"], extra, verdict.outputs)
        self._queue.put(job)
        return _json_response({"prompt_id": job.prompt_id, "number": number, "node_errors": verdict.node_errors})

    async def _get_queue(self, _: web.Request) -> web.Response:
        waiting, running, _history = self._queue.take_snapshot()
        return _json_response(
            {"queue_running": [job.to_item() for job in running], "queue_pending": [job.to_item() for job in waiting]}
        )

    async def _post_queue(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        if body.get("clear"):
            self._queue.clear()
        self._queue.delete(_parse_ids(body.get("delete")))
        return web.Response()

    async def _post_interrupt(self, request: web.Request) -> web.Response:
        try:
            body = await _read_body(request)
        except web.HTTPInternalServerError:  # like ComfyUI: without a JSON body, interrupt whatever is running
            body = {}
        prompt_id = body.get("prompt_id")
        self._queue.interrupt(None if prompt_id is None else str(prompt_id))
        return web.Response()

    async def _get_history(self, request: web.Request) -> web.Response:
        try:
            max_items = int(request.query["max_items"]) if "max_items" in request.query else None
            offset = int(request.query.get("offset", "-1"))
        except ValueError as error:
            raise web.HTTPBadRequest(text="max_items and offset must be integers") from error
        return _json_response(self._queue.list_history(None if max_items is None else max(max_items, 0), offset))

    async def _get_history_entry(self, request: web.Request) -> web.Response:
        prompt_id = request.match_info["prompt_id"]
        entry = self._queue.find_history(prompt_id)
        return _json_response({} if entry is None else {prompt_id: entry})

    async def _post_history(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        if body.get("clear"):
            self._queue.forget()
        self._queue.forget(_parse_ids(body.get("delete")))
        return web.Response()

    async def _get_object_info(self, _: web.Request) -> web.Response:
        definitions = Definitions(self.folders)
        return _json_response({class_type: definitions.build_object_info(class_type) for class_type in NODES})

    async def _get_node_info(self, request: web.Request) -> web.Response:
        class_type = request.match_info["class_type"]
        if class_type not in NODES:
            return _json_response({})
        return _json_response({class_type: Definitions(self.folders).build_object_info(class_type)})

    async def _get_models(self, _: web.Request) -> web.Response:
        return _json_response(self.folders.list_model_folders())

    async def _get_models_in(self, request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in self.folders.list_model_folders():
            return web.Response(status=404)
        return _json_response(self.folders.list_models(folder))

    async def _get_model_files(self, request: web.Request) -> web.Response:
        folder = request.match_info["folder"]
        if folder not in self.folders.list_model_folders():
            return web.Response(status=404)
        return _json_response(self.folders.describe_models(folder))

    async def _get_metadata(self, request: web.Request) -> web.Response:
        folder, name = request.match_info["folder"], request.query.get("filename", "")
        found = self.folders.read_metadata(folder, name) if folder in self.folders.list_model_folders() else None
        return web.Response(status=404) if found is None else _json_response(found)

    async def _get_embeddings(self, _: web.Request) -> web.Response:
        return _json_response([str(PurePath(name).with_suffix("")) for name in self.folders.list_models("embeddings")])

    async def _get_system_stats(self, _: web.Request) -> web.Response:
        total, free = _read_memory()
        system = {
            "os": sys.platform,
            "ram_total": total,
            "ram_free": free,
            "comfyui_version": COMFYUI_VERSION,
            "required_frontend_version": "",
            "installed_templates_version": "",
            "required_templates_version": "",
            "comfy_package_versions": [],
            "python_version": sys.version.replace("\n", " "),
            "pytorch_version": "none",
            "embedded_python": False,
            "deploy_environment": "comfykit-jupyter-sandbox",
            "argv": ["comfykit_jupyter.sandbox"],
        }
        device = {
            "name": f"cpu ({platform.machine()}), sandbox: no diffusion model runs here",
            "type": "cpu",
            "index": None,
            "vram_total": total,
            "vram_free": free,
            "torch_vram_total": total,
            "torch_vram_free": free,
        }
        return _json_response({"system": system, "devices": [device]})

    async def _get_features(self, _: web.Request) -> web.Response:
        return _json_response(self._features)

    async def _get_extensions(self, _: web.Request) -> web.Response:
        return _json_response([])

    async def _post_free(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        if body.get("free_memory"):  # there are no models to unload
            self._executor.free()
        return web.Response()

    async def _get_jobs(self, request: web.Request) -> web.Response:
        try:
            return _json_response(list_jobs(self._queue, request.query))
        except ValueError as error:
            return _json_response({"error": str(error)}, status=400)

    async def _get_job(self, request: web.Request) -> web.Response:
        job = find_job(self._queue, request.match_info["prompt_id"])
        return _json_response({"error": "Job not found"}, status=404) if job is None else _json_response(job)

    async def _cancel_job(self, request: web.Request) -> web.Response:
        return _json_response({"cancelled": cancel_jobs(self._queue, [request.match_info["prompt_id"]])})

    async def _cancel_jobs(self, request: web.Request) -> web.Response:
        body = await _read_body(request)
        ids = body.get("job_ids")
        if not isinstance(ids, list) or not all(isinstance(job_id, str) for job_id in ids):
            return _json_response({"error": "job_ids must be a list of strings"}, status=400)
        unknown = [job_id for job_id in ids if not is_known_job(self._queue, job_id)]
        if unknown:  # cancel all of them or none
            return _json_response({"error": "Job not found", "job_ids": unknown}, status=404)
        return _json_response({"cancelled": cancel_jobs(self._queue, ids)})


async def _read_body(request: web.Request) -> dict[str, Any]:
    """Return the JSON object in a request's body, or answer like ComfyUI if the body is anything else.

    Its `number` is not checked here: a wrong one has another answer.
    """
    try:
        body = json.loads(await request.read())
    except (ValueError, RecursionError):
        body = None
    if not isinstance(body, dict) or not _is_storable({key: body[key] for key in body if key != "number"}):
        raise web.HTTPInternalServerError(text="500 Internal Server Error\n\nServer got itself in trouble")
    return body


def _is_storable(value: Any) -> bool:
    """Return whether a JSON value can be written as JSON again, inside the history: it is shallow and finite."""
    level = [value]
    for _ in range(_MAX_DEPTH):
        parts = [part for value in level for part in (value.values() if isinstance(value, dict) else value)]
        if not all(math.isfinite(part) for part in parts if isinstance(part, float)):
            return False
        level = [part for part in parts if isinstance(part, (dict, list))]
        if not level:
            return True
    return False


def _parse_number(value: Any) -> float:
    """Return a position in the queue; ValueError for what has no place in its order, such as NaN."""
    if not isinstance(value, (int, float, str)) or len(str(value)) > _MAX_NUMBER:
        raise ValueError(f"a {type(value).__name__} is not a number, or is too long")
    number = float(value)
    if not math.isfinite(number):
        raise ValueError(f"{number} is not a finite number")
    return number


def _reject(error: Mapping[str, Any], node_errors: Mapping[str, Any] | None = None) -> web.Response:
    return _json_response({"error": error, "node_errors": node_errors or {}}, status=400)


def _parse_ids(value: Any) -> set[str]:
    return {str(prompt_id) for prompt_id in value} if isinstance(value, list) else set()


def _format_status(remaining: int) -> dict[str, Any]:
    return {"status": {"exec_info": {"queue_remaining": remaining}}}


def _read_memory() -> tuple[int, int]:
    """Return the machine's total and free memory in bytes, or zeros if unknown."""
    try:
        page = os.sysconf("SC_PAGE_SIZE")
        return page * os.sysconf("SC_PHYS_PAGES"), page * os.sysconf("SC_AVPHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows has no sysconf; macOS has no count of free pages
        return 0, 0
