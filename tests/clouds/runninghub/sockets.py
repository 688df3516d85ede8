"""The web sockets (`/ws/c_instance`): frames of the real run among others, and possible failures."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import secrets
from collections import defaultdict
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlencode

from aiohttp import web

from .files import Request
from .task import Frame, Task

NOISE: tuple[Frame, ...] = ("pong", b"\xff\xfe\x00", b"", "[]", '{"type": "crystools.monitor"}', "{")
"""Frames that ComfyUI never sends, which a client must ignore."""


class Sockets:
    """The open sockets and their settings.

    `treatment`: serve a socket, reject it with 403, never respond (`hang`), or open it and stay silent.
    """

    def __init__(self) -> None:
        self.treatment: Literal["serve", "refuse", "hang", "silent"] = "serve"
        self.noise: tuple[Frame, ...] = NOISE
        """Frames sent before the first one of the run."""
        self.cut_after: int | None = None
        """Number of the run's frames after which the connection is aborted."""
        self.early_success = False
        """Whether `execution_success` is already sent after the first node."""
        self.has_url = True
        """Whether responses contain the address of a socket."""
        self.opened = 0
        self.requests: list[Request] = []
        self.on_join: Callable[[Task], None] = lambda task: None
        self._open: defaultdict[str, set[asyncio.Queue[Frame | None]]] = defaultdict(set)

    def build_url(self, base: str, task: Task) -> str | None:
        """Return the address of a task's socket; its query contains a credential."""
        if not self.has_url:
            return None
        query = {
            "c_host": "10.129.160.41",
            "c_port": "80",
            "clientId": task.client_id,
            "workflowId": task.workflow_id,
            "Rh-Comfy-Auth": task.auth,
        }
        return f"{base.replace('http', 'ws', 1)}/ws/c_instance?{urlencode(query)}"

    def send(self, task: Task, frame: Frame) -> None:
        """Send a frame to the sockets open now; later ones miss it."""
        for waiting in self._open[task.id]:
            waiting.put_nowait(frame)

    def close_all(self, task: Task) -> None:
        """Close the sockets of a finished task."""
        for waiting in self._open[task.id]:
            waiting.put_nowait(None)

    async def serve(self, request: web.Request, task: Task | None) -> web.StreamResponse:
        """Serve a socket until its task has ended or its client has disconnected."""
        if (
            task is None
            or self.treatment == "refuse"
            or not _is_same_credential(request.query.get("Rh-Comfy-Auth", ""), task.auth)
        ):
            return web.Response(status=403, text="<html><body>403 Forbidden</body></html>", content_type="text/html")
        if self.treatment == "hang":
            await asyncio.Event().wait()
        socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        self.opened += 1
        waiting: asyncio.Queue[Frame | None] = asyncio.Queue()
        if self.treatment == "serve":
            self._open[task.id].add(waiting)
        writer = asyncio.create_task(self._write(request, socket, waiting, task))
        reader = asyncio.create_task(_read(socket))
        if self.treatment == "serve":
            self.on_join(task)
            if task.ended.is_set():
                waiting.put_nowait(None)
        try:
            await asyncio.wait({writer, reader}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._open[task.id].discard(waiting)
            for each in (writer, reader):
                each.cancel()
            await asyncio.gather(writer, reader, return_exceptions=True)
            await socket.close()
        return socket

    async def _write(
        self, request: web.Request, socket: web.WebSocketResponse, waiting: asyncio.Queue[Frame | None], task: Task
    ) -> None:
        if self.treatment == "silent":
            await asyncio.Event().wait()
        for noise in self.noise:
            await _send(socket, noise)
        count, first = 0, self.early_success
        while (frame := await waiting.get()) is not None:
            await _send(socket, frame)
            if first and isinstance(frame, str) and '"executing"' in frame:
                first = False
                await _send(socket, _build_success(json.loads(frame)["data"].get("node")))
            count += 1
            if count == self.cut_after and request.transport is not None:
                request.transport.abort()
                return


def _build_success(node_id: str | None) -> str:
    return json.dumps({"type": "execution_success", "data": {"node": node_id}})


async def _send(socket: web.WebSocketResponse, frame: Frame) -> None:
    await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))


async def _read(socket: web.WebSocketResponse) -> None:
    async for _ in socket:  # ignore all messages from the client
        pass


def _is_same_credential(given: str, auth: str) -> bool:
    """Return whether two base64 credentials are equal after decoding."""
    try:
        return secrets.compare_digest(base64.b64decode(given), base64.b64decode(auth))
    except (binascii.Error, ValueError):
        return False
