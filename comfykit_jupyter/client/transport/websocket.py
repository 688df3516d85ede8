"""Open a websocket with the settings of a kit."""

from __future__ import annotations

import logging
from typing import Any

from comfykit_jupyter.client.settings import Settings, is_loopback
from comfykit_jupyter.client.transport.tls import tls_context

_wire = logging.getLogger(f"{__name__}.wire")


OPEN_TIMEOUT = 10.0
"""Seconds for the opening handshake; a proxy that blocks sockets often says nothing at all."""


FRAME_LIMIT = 64 * 1024 * 1024
"""Bytes of one frame: a preview or a node's output is far smaller, whatever is larger is no use to us."""


def connector(url: str, headers: dict[str, str], settings: Settings) -> Any:
    """A socket that opens, and closes, as a context; its address and headers, which hold secrets, go to no log."""
    from websockets.asyncio.client import connect

    class Connect(connect):
        def process_redirect(self, exc: Exception) -> Exception | str:
            """No redirect is followed: the handshake carries secrets, and they stay with their origin."""
            return exc

    return Connect(
        url,
        additional_headers=headers,
        max_size=FRAME_LIMIT,
        open_timeout=OPEN_TIMEOUT,
        close_timeout=1,
        logger=_wire,
        ping_timeout=60,
        compression=None,
        proxy=settings.proxy or (None if is_loopback(url) else True),
        ssl=(tls_context(settings.verify) or True) if url.startswith("wss:") else None,
    )
