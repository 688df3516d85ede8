"""The socket of a task on RunningHub: live progress and previews, where there is one. Nothing waits for it.

Its address holds a secret of its own, and is never shown. It needs no key.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.backends.preview import read_preview
from comfykit_jupyter.client.transport.websocket import open_websocket
from comfykit_jupyter.workflow.untrusted_json import parse_json

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.follower import Follower
    from comfykit_jupyter.client.settings import Settings

logger = logging.getLogger(__name__)

_PROGRESS = frozenset({"execution_start", "execution_cached", "executing", "progress", "progress_state"})
_ENDS = frozenset({"execution_success", "execution_error", "execution_interrupted"})
"""Events that may be the end of the task, or only of a node: a reason to ask the site."""


async def listen_to_socket(url: str, run: Follower, settings: Settings, site: str) -> None:
    """Pass on what a task's socket sends, until it breaks. Never raises, except for cancellation.

    Args:
        url: The address of the socket, as the site gave it.
        run: The run that the task is.
        settings: How the socket is reached.
        site: The address of the site.
    """
    if not _is_trusted(url, site):
        logger.debug("the address of a task's socket is on another site")
        return
    try:
        async with open_websocket(url, {}, settings) as connection:
            async for frame in connection:
                if isinstance(frame, bytes):
                    _on_binary(frame, run)
                else:
                    _on_text(frame, run)
    except Exception as error:  # noqa: BLE001 - the run is followed without the socket as well
        logger.debug("the socket of a task broke: %s", type(error).__name__)  # its message may hold the address


def _is_trusted(url: str, site: str) -> bool:
    """Return whether the address of a socket is on the site itself."""
    try:
        host, own = (urlsplit(each).hostname or "" for each in (url, site))
        secure = urlsplit(url).scheme == "wss" or urlsplit(site).scheme == "http"
    except ValueError:
        return False
    own = own.removeprefix("www.")
    known = {own, "runninghub.cn", "runninghub.ai"} if own.startswith("runninghub.") else {own}
    trusted = any(host == each or host.endswith(f".{each}") for each in known)
    return trusted and secure and url.startswith(("ws://", "wss://"))


def _on_text(frame: str, run: Follower) -> None:
    try:
        event = parse_json(frame)
        kind, data = event["type"], event["data"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return
    if not isinstance(kind, str) or not isinstance(data, Mapping):
        return
    if kind in _ENDS or (kind == "executing" and data.get("node") is None):
        run.on_break()  # the site knows whether this is the end
    elif kind == "executed":
        about: dict[str, Any] = {"node": data.get("node"), "prompt_id": run.id}  # here, files come without an address
        run.on_event({"type": kind, "data": about})
    elif kind in _PROGRESS:
        run.on_event({"type": kind, "data": {**data, "prompt_id": run.id}})


def _on_binary(frame: bytes, run: Follower) -> None:
    preview = read_preview(frame, run.id)
    if preview is not None:
        run.on_preview(replace(preview, prompt_id=run.id))
