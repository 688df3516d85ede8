"""The clients' web sockets: what is sent to whom, in the order in which it was said, by whichever thread.

A socket that is replaced by another one with the same client id gets nothing more, but stays open.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import struct
import threading
import uuid
from typing import TYPE_CHECKING, Any

from aiohttp import WSCloseCode, WSMsgType, web

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from PIL import Image

PREVIEW_SIZE = 512
"""The longer side of a preview, pixels at most."""
PREVIEW_QUALITY = 95

_PREVIEW, _TEXT, _PREVIEW_WITH_METADATA = 1, 3, 4
_JPEG = 1
_MAX_INCOMING = 64 * 1024  # bytes; clients only ever send their feature flags
_GOODBYE = 1.0  # seconds that a client gets to answer a goodbye
_MAX_ABSENT = 1000  # client ids that are remembered
_MAX_WAITING_TRANSIENT = 16 * 1024 * 1024  # bytes that a client has not read yet: from here on it gets no previews
_MAX_WAITING = 64 * 1024 * 1024  # … and from here on it is let go


def encode_jpeg(image: Image.Image) -> bytes:
    """A preview frame: at most 512 pixels long and wide, smaller images as they are."""
    if max(image.size) > PREVIEW_SIZE:
        image = image.copy()
        image.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    buffer = io.BytesIO()
    (image if image.mode == "RGB" else image.convert("RGB")).save(buffer, "JPEG", quality=PREVIEW_QUALITY)
    return buffer.getvalue()


class _Client:
    """One open socket, and what is still to be sent on it."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.accepts_metadata = False
        self.waiting: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.waiting_bytes = 0
        self.overrun = asyncio.Event()

    def send(self, frame: str | bytes, *, transient: bool) -> None:
        """Let a frame wait; a transient one, that the next of its kind replaces, only if not too much waits already."""
        if transient and self.waiting_bytes > _MAX_WAITING_TRANSIENT:
            return
        if self.waiting_bytes > _MAX_WAITING:
            self.overrun.set()
            return
        self.waiting_bytes += len(frame)
        self.waiting.put_nowait(frame)

    async def write(self) -> None:
        """Send what is waiting, until the task is cancelled or the connection is gone."""
        while True:
            frame = await self.waiting.get()
            self.waiting_bytes -= len(frame)
            try:
                if isinstance(frame, str):
                    await self.socket.send_str(frame)
                else:
                    await self.socket.send_bytes(frame)
            except ConnectionError:
                return


class Sockets:
    """All open sockets, by client id. All but `handle` and `close` may be called by any thread.

    Args:
        loop: the event loop that the sockets live on.
        greeting: given a client id, the messages with which its connection begins.
        features: what the server answers to a client's feature flags.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        greeting: Callable[[str], list[tuple[str, Mapping[str, Any]]]],
        features: Mapping[str, Any],
    ) -> None:
        self._loop = loop
        self._greeting = greeting
        self._features = features
        self._clients: dict[str, _Client] = {}
        self._open: set[web.WebSocketResponse] = set()
        self._joined = threading.Condition()
        self._absent: dict[str, None] = {}

    def is_connected(self, client_id: str | None) -> bool:
        """Whether anybody hears what is sent to this client."""
        return client_id in self._clients

    def accepts_metadata(self, client_id: str) -> bool:
        """Whether this client is there and takes previews with their metadata."""
        client = self._clients.get(client_id)
        return client is not None and client.accepts_metadata

    def wait_for_client(self, client_id: str, timeout: float) -> bool:
        """Wait until this client is there, at most so many seconds; False if it did not come.

        It is not waited for again then, until it has been there: a client that only asks would lose time in every run.
        """
        with self._joined:
            if client_id in self._absent or self._joined.wait_for(lambda: self.is_connected(client_id), timeout):
                return self.is_connected(client_id)
            while len(self._absent) >= _MAX_ABSENT:
                del self._absent[next(iter(self._absent))]
            self._absent[client_id] = None
            return False

    def send(self, event: str, data: Mapping[str, Any], client_id: str | None = None) -> None:
        """Send a message to one client, or to everybody."""
        if client_id in self._clients or (client_id is None and self._clients):
            self._schedule(_format_message(event, data), client_id, transient=event == "progress_state")

    def send_text(self, text: str, node_id: str, client_id: str) -> None:
        """Send a text that a running node shows."""
        name = node_id.encode()
        self._schedule(
            struct.pack(f">II{len(name)}s", _TEXT, len(name), name) + text.encode(), client_id, transient=True
        )

    def send_preview(self, image: bytes, metadata: Mapping[str, Any], client_id: str) -> None:
        """Send a JPEG of how a node's picture looks by now, with its metadata if the client takes them."""
        client = self._clients.get(client_id)
        if client is None:
            return
        if client.accepts_metadata:
            about = json.dumps({**metadata, "image_type": "image/jpeg"}).encode()
            self._schedule(
                struct.pack(">II", _PREVIEW_WITH_METADATA, len(about)) + about + image, client_id, transient=True
            )
        else:
            self._schedule(struct.pack(">II", _PREVIEW, _JPEG) + image, client_id, transient=True)

    def _schedule(self, frame: str | bytes, client_id: str | None, *, transient: bool) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server has stopped, a node has not
            self._loop.call_soon_threadsafe(self._deliver, frame, client_id, transient)

    def _deliver(self, frame: str | bytes, client_id: str | None, transient: bool) -> None:
        if client_id is None:
            for client in self._clients.values():
                client.send(frame, transient=transient)
        elif client_id in self._clients:
            self._clients[client_id].send(frame, transient=transient)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """The `/ws` route."""
        # Previews are compressed already, and the rest is small: deflating it would only take time.
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MAX_INCOMING, timeout=_GOODBYE)
        await socket.prepare(request)
        client_id = request.query.get("clientId") or uuid.uuid4().hex
        client = _Client(socket)
        self._clients[client_id] = client
        self._open.add(socket)
        for event, data in self._greeting(client_id):
            client.send(_format_message(event, data), transient=False)
        with self._joined:
            self._absent.pop(client_id, None)
            self._joined.notify_all()
        writer = asyncio.create_task(client.write())
        reader = asyncio.create_task(self._read(client))
        overrun = asyncio.create_task(client.overrun.wait())
        try:
            await asyncio.wait({writer, reader, overrun}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (writer, reader, overrun):
                task.cancel()
            await asyncio.gather(writer, reader, overrun, return_exceptions=True)
            if self._clients.get(client_id) is client:
                del self._clients[client_id]
            self._open.discard(socket)
        if client.overrun.is_set() and request.transport is not None:
            request.transport.abort()
        return socket

    async def _read(self, client: _Client) -> None:
        """Read what the client sends: its first message may be its feature flags."""
        first = True
        async for message in client.socket:
            if message.type is WSMsgType.TEXT and first and (flags := _parse_feature_flags(message.data)) is not None:
                client.accepts_metadata = flags.get("supports_preview_metadata") is True
                client.send(_format_message("feature_flags", self._features), transient=False)
            first = False

    async def close(self) -> None:
        """Tell every client that the server goes away."""
        goodbyes = [socket.close(code=WSCloseCode.GOING_AWAY, message=b"The server stops") for socket in self._open]
        await asyncio.gather(*goodbyes, return_exceptions=True)


def _format_message(event: str, data: Mapping[str, Any]) -> str:
    return json.dumps({"type": event, "data": data})


def _parse_feature_flags(text: str) -> Mapping[str, Any] | None:
    try:
        message = json.loads(text)
    except (ValueError, RecursionError):
        return None
    if not isinstance(message, dict) or message.get("type") != "feature_flags":
        return None
    flags = message.get("data")
    return flags if isinstance(flags, dict) else {}
