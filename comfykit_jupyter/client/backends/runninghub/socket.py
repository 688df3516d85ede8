"""The socket of a task of RunningHub: live progress and previews, where it is there. Nothing waits for it.

Its address holds a secret of its own, and is never shown. It needs no key of ours.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.backends.preview import read_preview
from comfykit_jupyter.client.transport.websocket import connector

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Follower
    from comfykit_jupyter.client.backends.runninghub.api import Api
    from comfykit_jupyter.client.settings import Settings

logger = logging.getLogger(__name__)

_TOLD = frozenset({"execution_start", "execution_cached", "executing", "progress", "progress_state"})
_ENDS = frozenset({"execution_success", "execution_error", "execution_interrupted"})
"""What may be the task's end, or but a node's: a reason to ask."""


async def listen_to(url: str, run: Follower, api: Api, settings: Settings) -> None:
    """Tell a run what its socket says, until that breaks. Never raises but for cancellation."""
    if not _is_trusted(url, api.url):
        logger.debug("the address of a task's socket is of somebody else")
        return
    try:
        async with connector(url, {}, settings) as connection:
            async for frame in connection:
                if isinstance(frame, bytes):
                    _on_binary(frame, run)
                else:
                    _on_text(frame, run)
    except Exception as error:  # noqa: BLE001 - it is a hint: without it the run is followed all the same
        logger.debug("the socket of a task broke: %s", type(error).__name__)  # its message may hold the address


def _is_trusted(url: str, site: str) -> bool:
    """Whether an address that the site told is one of its own."""
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
        event = json.loads(frame)
        kind, data = event["type"], event["data"]
    except (ValueError, TypeError, KeyError, RecursionError):
        return
    if not isinstance(kind, str) or not isinstance(data, Mapping):
        return
    if kind in _ENDS or (kind == "executing" and data.get("node") is None):
        run.on_break()  # whether it is the end is for the site to say
    elif kind == "executed":
        about: dict[str, Any] = {"node": data.get("node"), "prompt_id": run.id}  # files have no address here
        run.on_event({"type": kind, "data": about})
    elif kind in _TOLD:
        run.on_event({"type": kind, "data": {**data, "prompt_id": run.id}})


def _on_binary(frame: bytes, run: Follower) -> None:
    preview = read_preview(frame, run.id)
    if preview is not None:
        run.on_preview(replace(preview, prompt_id=run.id))
