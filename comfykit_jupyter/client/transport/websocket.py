"""Open a websocket with the settings of a kit."""

from __future__ import annotations

import logging
from typing import Any

from comfykit_jupyter.client.addresses import is_loopback
from comfykit_jupyter.client.settings import Settings
from comfykit_jupyter.client.transport.tls import build_tls_context

logger = logging.getLogger(__name__)

_wire_logger = logging.Logger(f"{__name__}.wire", logging.INFO)  # noqa: LOG001 - see below
"""At DEBUG websockets logs the headers that it sends. This logger is not registered, so that nothing sets its level."""
_wire_logger.parent = logger

OPEN_TIMEOUT = 10.0
"""Seconds for the opening handshake: a proxy that blocks sockets often does not answer at all."""
FRAME_LIMIT = 64 * 1024 * 1024
"""Maximum size of a frame in bytes: previews and the outputs of nodes are far smaller."""


def open_websocket(url: str, headers: dict[str, str], settings: Settings) -> Any:
    """Return a context manager for a socket. Its address and headers hold secrets, and go to no log."""
    from websockets.asyncio.client import connect

    class Connect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            """Follow no redirect: the handshake carries secrets, and they stay with their origin."""
            return exc

    return Connect(
        url,
        additional_headers=headers,
        max_size=FRAME_LIMIT,
        open_timeout=OPEN_TIMEOUT,
        close_timeout=1,
        logger=_wire_logger,
        ping_timeout=60,
        compression=None,
        proxy=settings.proxy or (None if is_loopback(url) else True),
        ssl=build_tls_context(settings.verify) if url.startswith("wss:") else None,
    )
