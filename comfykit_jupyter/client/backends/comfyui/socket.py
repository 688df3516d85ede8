"""The event socket of a ComfyUI server: one connection for all runs of a kit, opened when needed, reopened when lost.

Events are a hint, not the truth: whoever listens is told when the connection breaks, and asks the server then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from comfykit_jupyter.client.backends.base import Listener
from comfykit_jupyter.client.backends.preview import Preview, read_preview
from comfykit_jupyter.client.loop import wait_for
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.websocket import _wire, connector

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

logger = logging.getLogger(__name__)
_wire.setLevel(logging.INFO)  # at DEBUG websockets logs the headers it sends, and with them the secrets

PATIENCE = 1.0
"""Seconds that the first run waits for it; from then on runs do without, until it is there."""
RETRY_FIRST, RETRY_MOST = 0.25, 10.0
"""Seconds between attempts to reopen: the first, and the most as they double."""


class EventSocket:
    """The socket of one server. Lives on the background loop.

    Args:
        settings: the server's address, and how it is reached.
    """

    def __init__(self, settings: Settings) -> None:
        self.client_id = uuid.uuid4().hex
        self.connected = False
        self._settings = settings
        self._url = _socket_url(settings.comfyui_url, self.client_id)
        self._listeners: dict[str, list[Listener]] = {}
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._running: str | None = None

    def subscribe(self, prompt_id: str, listener: Listener, headers: Mapping[str, str]) -> None:
        """Tell a run of its events from now on; a connection is opened if there is none.

        `headers` are sent with the handshake: cookies, the bearer token. No redirect takes them to another origin.
        """
        self._listeners.setdefault(prompt_id, []).append(listener)
        if self._task is None or self._task.done():
            self._tried.clear()
            self._task = asyncio.create_task(self._keep(dict(headers)))

    async def ready(self) -> bool:
        """Whether there is a connection; while the first attempt is under way, that is waited for, but not long."""
        with contextlib.suppress(asyncio.TimeoutError):
            await wait_for(self._tried.wait(), PATIENCE)
        self._tried.set()  # a handshake that hangs delays one run, not all
        return self.connected

    def unsubscribe(self, prompt_id: str, listener: Listener) -> None:
        """Tell it no more."""
        left = [each for each in self._listeners.get(prompt_id, ()) if each is not listener]
        if left:
            self._listeners[prompt_id] = left
            return
        self._listeners.pop(prompt_id, None)
        if self._running == prompt_id:
            self._running = None

    async def close(self) -> None:
        """Close the connection; the next run opens a new one."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
        self.connected = False

    async def _keep(self, headers: dict[str, str]) -> None:
        """Connect, listen, and connect again for as long as there is somebody to tell."""
        from websockets.exceptions import WebSocketException

        pause = RETRY_FIRST
        while True:
            try:
                async with connector(self._url, headers, self._settings) as connection:
                    await connection.send(
                        json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
                    )
                    self.connected = True
                    self._tried.set()
                    pause = RETRY_FIRST
                    await self._listen(connection)
            except (OSError, WebSocketException, asyncio.TimeoutError, ImportError) as error:
                # ImportError: a SOCKS proxy, and no package for it. The runs look at the history instead
                logger.debug("no event socket: %s", error)
            finally:
                self.connected = False
                self._tried.set()
                for listener in [each for listeners in self._listeners.values() for each in listeners]:
                    listener.on_break()
            if not self._listeners:
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, RETRY_MOST)

    async def _listen(self, connection: ClientConnection) -> None:
        async for frame in connection:
            if isinstance(frame, str):
                self._on_text(frame)
            else:
                self._on_binary(frame)

    def _on_text(self, frame: str) -> None:
        try:
            event = json.loads(frame)
            prompt_id = event["data"].get("prompt_id")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        if isinstance(prompt_id, str) and (listeners := self._listeners.get(prompt_id)):
            self._running = prompt_id
            for listener in listeners:
                listener.on_event(event)

    def _on_binary(self, frame: bytes) -> None:
        """A preview; its older form does not say whose it is: a server runs one prompt at a time."""
        preview = read_preview(frame, self._running)
        if preview is not None:
            self._show(preview)

    def _show(self, preview: Preview) -> None:
        for listener in self._listeners.get(preview.prompt_id, ()):
            listener.on_preview(preview)


def _socket_url(url: str, client_id: str) -> str:
    parts = urlsplit(url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/ws", f"clientId={client_id}", ""))
