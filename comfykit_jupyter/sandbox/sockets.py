"""The clients' web sockets: messages are sent in order, from any thread.

If a client opens a second socket with the same client ID, the first one stays open but gets no more messages.
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
"""Longest side of a preview, in pixels."""

PREVIEW_QUALITY = 95
"""JPEG quality of a preview, 1 to 100."""

# Types of binary messages, and the image format inside a preview.
_PREVIEW = 1
_TEXT = 3
_PREVIEW_WITH_METADATA = 4
_JPEG = 1

_MAX_INCOMING = 64 * 1024
"""Largest message from a client, in bytes; clients only send their feature flags."""

_CLOSE_TIMEOUT = 1.0
"""Seconds that a client has to answer a close frame."""

_MAX_ABSENT = 1000
"""Number of remembered client IDs that never connected."""

_MAX_WAITING_TRANSIENT = 16 * 1024 * 1024
"""Unread bytes beyond which a client gets no more previews and progress."""

_MAX_WAITING = 64 * 1024 * 1024
"""Unread bytes beyond which a client is disconnected."""


def encode_jpeg(image: Image.Image) -> bytes:
    """Encode a preview as JPEG, scaled down to `PREVIEW_SIZE` if it is larger."""
    if max(image.size) > PREVIEW_SIZE:
        image = image.copy()
        image.thumbnail((PREVIEW_SIZE, PREVIEW_SIZE))
    buffer = io.BytesIO()
    (image if image.mode == "RGB" else image.convert("RGB")).save(buffer, "JPEG", quality=PREVIEW_QUALITY)
    return buffer.getvalue()


class _Client:
    """An open socket and the frames that wait to be sent on it."""

    def __init__(self, socket: web.WebSocketResponse) -> None:
        self.socket = socket
        self.accepts_metadata = False
        self.waiting: asyncio.Queue[str | bytes] = asyncio.Queue()
        self.waiting_bytes = 0
        self.overrun = asyncio.Event()

    def send(self, frame: str | bytes, *, transient: bool) -> None:
        """Queue a frame. Drop it if it is transient (soon outdated) and too much is waiting already."""
        if transient and self.waiting_bytes > _MAX_WAITING_TRANSIENT:
            return
        if self.waiting_bytes > _MAX_WAITING:
            self.overrun.set()
            return
        self.waiting_bytes += len(frame)
        self.waiting.put_nowait(frame)

    async def write(self) -> None:
        """Send the queued frames until the task is cancelled or the connection is lost."""
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
    """All open sockets, by client ID. Every method except `handle` and `close` is thread-safe.

    Args:
        loop: Event loop that the sockets belong to.
        greeting: Returns the first messages for a new connection, given its client ID.
        features: The server's feature flags.
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
        """Return whether this client has an open socket."""
        return client_id in self._clients

    def accepts_metadata(self, client_id: str) -> bool:
        """Return whether this client is connected and accepts previews with metadata."""
        client = self._clients.get(client_id)
        return client is not None and client.accepts_metadata

    def wait_for_client(self, client_id: str, timeout: float) -> bool:
        """Wait at most `timeout` seconds for this client to connect; return whether it is connected.

        A client that did not connect in time is not waited for again until it connects. Otherwise a client that only
        polls would lose time in every run.
        """
        with self._joined:
            if client_id in self._absent or self._joined.wait_for(lambda: self.is_connected(client_id), timeout):
                return self.is_connected(client_id)
            while len(self._absent) >= _MAX_ABSENT:
                del self._absent[next(iter(self._absent))]
            self._absent[client_id] = None
            return False

    def send(self, event: str, data: Mapping[str, Any], client_id: str | None = None) -> None:
        """Send a message to one client, or to all."""
        if client_id in self._clients or (client_id is None and self._clients):
            self._schedule(_format_message(event, data), client_id, transient=event == "progress_state")

    def send_text(self, text: str, node_id: str, client_id: str) -> None:
        """Send a text that a running node displays."""
        name = node_id.encode()
        self._schedule(
            struct.pack(f">II{len(name)}s", _TEXT, len(name), name) + text.encode(), client_id, transient=True
        )

    def send_preview(self, image: bytes, metadata: Mapping[str, Any], client_id: str) -> None:
        """Send a JPEG preview of a node's image, with its metadata if the client accepts it."""
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
        with contextlib.suppress(RuntimeError):  # the loop is closed: the server stopped before the node did
            self._loop.call_soon_threadsafe(self._deliver, frame, client_id, transient)

    def _deliver(self, frame: str | bytes, client_id: str | None, transient: bool) -> None:
        if client_id is None:
            for client in self._clients.values():
                client.send(frame, transient=transient)
        elif client_id in self._clients:
            self._clients[client_id].send(frame, transient=transient)

    async def handle(self, request: web.Request) -> web.WebSocketResponse:
        """Serve the `/ws` route."""
        # Previews are already compressed and everything else is small, so compression would only cost time.
        socket = web.WebSocketResponse(compress=False, max_msg_size=_MAX_INCOMING, timeout=_CLOSE_TIMEOUT)
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
        """Read the client's messages; the first one may hold its feature flags."""
        first = True
        async for message in client.socket:
            if message.type is WSMsgType.TEXT and first and (flags := _parse_feature_flags(message.data)) is not None:
                client.accepts_metadata = flags.get("supports_preview_metadata") is True
                client.send(_format_message("feature_flags", self._features), transient=False)
            first = False

    async def close(self) -> None:
        """Close every socket, with the reason that the server is going away."""
        reason = b"The server is stopping"
        closing = [socket.close(code=WSCloseCode.GOING_AWAY, message=reason) for socket in self._open]
        await asyncio.gather(*closing, return_exceptions=True)


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
