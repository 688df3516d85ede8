"""The event socket of a ComfyUI server: one connection for all runs of a kit, opened when needed, reopened when lost.

Events are a hint, not the truth: a listener hears when the connection breaks, and asks the server then.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
import uuid
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit, urlunsplit

from comfykit_jupyter.client.backends.follower import Listener
from comfykit_jupyter.client.backends.preview import read_preview
from comfykit_jupyter.client.backends.retry import backoff
from comfykit_jupyter.client.loop import end_task, wait_for
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.websocket import open_websocket
from comfykit_jupyter.workflow.untrusted_json import parse_json

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

    from comfykit_jupyter.client.transport.tunnel import Tunnel

logger = logging.getLogger(__name__)

PATIENCE = 1.0
"""Seconds that the first run waits for the socket; later runs start without it until it is open."""
QUIET = 1.0
"""Seconds without a message after which the server is asked for a sign of life."""
SILENT = 1.5
"""Seconds that this sign may take before the runs show that the server is silent."""
RETRY_FIRST = 0.25
"""Seconds before the socket is opened again; twice as many each time."""
RETRY_MOST = 10.0
"""Maximum of these pauses."""


class EventSocket:
    """The socket of one server. It lives on the background loop.

    Args:
        settings: The server's address, and how it is reached.
        tunnel: Another way to it.
    """

    def __init__(self, settings: Settings, tunnel: Tunnel | None = None) -> None:
        self.client_id = uuid.uuid4().hex
        self.connected = False
        self._settings = settings
        self._open = open_websocket if tunnel is None else tunnel.open_socket
        self._url = _build_url(settings, self.client_id)
        self._listeners: dict[str, list[Listener]] = {}
        self._ids: dict[str, str] = {}
        self._heard_at: dict[str, float] = {}
        self._task: asyncio.Task[None] | None = None
        self._tried = asyncio.Event()
        self._running: str | None = None
        self._received_at = float("-inf")

    def subscribe(self, prompt_id: str, listener: Listener, headers: Mapping[str, str]) -> None:
        """Send a run its events from now on; a connection is opened if there is none.

        `headers` go with the handshake: cookies, the bearer token. No redirect takes them to another origin.
        """
        self._listeners.setdefault(prompt_id, []).append(listener)
        if self._task is None or self._task.done():
            self._tried.clear()
            self._task = asyncio.create_task(self._keep(dict(headers)))

    async def wait_until_open(self) -> bool:
        """Return whether the socket is open, after a short wait for the first attempt to open it."""
        with contextlib.suppress(asyncio.TimeoutError):
            await wait_for(self._tried.wait(), PATIENCE)
        self._tried.set()  # a handshake that hangs delays only one run
        return self.connected

    def rename(self, id: str, prompt_id: str) -> None:  # noqa: A002 - as in Run
        """Send a run the events of the prompt ID that the server chose. Earlier ones were not recognised as its own."""
        self._ids[prompt_id] = id
        for listener in self._listeners.get(id, ()):
            listener.on_break()

    def get_last_heard(self, id: str) -> float:  # noqa: A002 - as in Run
        """Return when the last event of a run came, on the monotonic clock: so long ago the server was there."""
        return self._heard_at.get(id, float("-inf"))

    def unsubscribe(self, prompt_id: str, listener: Listener) -> None:
        """Send a run no more events."""
        left = [each for each in self._listeners.get(prompt_id, ()) if each is not listener]
        if left:
            self._listeners[prompt_id] = left
            return
        self._listeners.pop(prompt_id, None)
        self._heard_at.pop(prompt_id, None)
        self._ids = {theirs: own for theirs, own in self._ids.items() if own != prompt_id}
        if self._running == prompt_id:
            self._running = None

    async def close(self) -> None:
        """Close the connection; the next run opens a new one."""
        task, self._task = self._task, None
        if task is not None:
            await end_task(task)
        self.connected = False

    async def _keep(self, headers: dict[str, str]) -> None:
        """Connect, listen, and connect again as long as there is a listener."""
        from websockets.exceptions import WebSocketException

        pauses = backoff(RETRY_FIRST, RETRY_MOST)
        while True:
            try:
                async with self._open(self._url, headers, self._settings) as connection:
                    await connection.send(
                        json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}})
                    )
                    self.connected = True
                    self._received_at = time.monotonic()
                    self._tried.set()
                    pauses = backoff(RETRY_FIRST, RETRY_MOST)
                    watching = asyncio.create_task(self._watch(connection))
                    try:
                        await self._listen(connection)
                    finally:
                        watching.cancel()
            except (OSError, WebSocketException, asyncio.TimeoutError, ImportError) as error:
                # ImportError: the package for a SOCKS proxy is missing. The runs read the history instead
                logger.debug("no event socket: %s", type(error).__name__)  # its message may hold a proxy's password
            finally:
                self.connected = False
                self._tried.set()
                for listener in [each for listeners in self._listeners.values() for each in listeners]:
                    listener.on_break()
            if not self._listeners:
                return
            await asyncio.sleep(next(pauses))

    async def _watch(self, connection: ClientConnection) -> None:
        """Notify the runs when the server is silent and when it answers again. A slow server keeps its connection."""
        from websockets.exceptions import ConnectionClosed

        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(max(QUIET / 10, self._received_at + QUIET - time.monotonic()))
                if time.monotonic() - self._received_at < QUIET:
                    continue
                answer = await connection.ping()
                done, _ = await asyncio.wait({answer}, timeout=SILENT)
                if not done:
                    self._report_silence(self._received_at + self._settings.patience)
                    await answer
                    self._report_silence(None)
                self._received_at = time.monotonic()

    def _report_silence(self, gives_up_at: float | None) -> None:
        for listener in [each for listeners in self._listeners.values() for each in listeners]:
            listener.on_silence(gives_up_at)

    async def _listen(self, connection: ClientConnection) -> None:
        async for frame in connection:
            self._received_at = time.monotonic()
            if isinstance(frame, str):
                self._on_text(frame)
            else:
                self._on_binary(frame)

    def _on_text(self, frame: str) -> None:
        try:
            event = parse_json(frame)
            prompt_id = event["data"].get("prompt_id")
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            return
        if not isinstance(prompt_id, str):
            return
        id_ = self._ids.get(prompt_id, prompt_id)
        if listeners := self._listeners.get(id_):
            self._running = id_
            self._heard_at[id_] = time.monotonic()
            event["data"]["prompt_id"] = id_
            for listener in listeners:
                listener.on_event(event)

    def _on_binary(self, frame: bytes) -> None:
        """Pass on a preview. Its older form does not name its run, but a server runs one prompt at a time."""
        preview = read_preview(frame, self._running)
        if preview is not None:
            preview = replace(preview, prompt_id=self._ids.get(preview.prompt_id, preview.prompt_id))
            for listener in self._listeners.get(preview.prompt_id, ()):
                listener.on_preview(preview)


def _build_url(settings: Settings, client_id: str) -> str:
    parts = urlsplit(settings.comfyui_url)
    scheme = "wss" if parts.scheme == "https" else "ws"
    query = "&".join(filter(None, [f"clientId={client_id}", settings.address_secrets.query]))
    return urlunsplit((scheme, parts.netloc, f"{parts.path.rstrip('/')}/ws", query, ""))
