"""The kit that magics and forms share in this process."""

from __future__ import annotations

from typing import Any

from comfykit_jupyter.client import settings
from comfykit_jupyter.client.kit import ComfyKit

_current: ComfyKit | None = None
_options: dict[str, Any] = {}


def connect(comfyui_url: str | None, **options: Any) -> ComfyKit:
    """Set the server of all kits in this process that name none; returns the kit that magics share. None: as before."""
    global _options
    settings.connected = None if comfyui_url is None else settings.resolve_settings(comfyui_url, **options)
    _options = {} if comfyui_url is None else options
    return get_current_kit()


def get_current_kit() -> ComfyKit:
    """The kit that magics share: another one when the settings have changed, by a key in the environment, say."""
    global _current
    kit = ComfyKit(**_options)
    if _current is None or _current._settings != kit._settings:  # noqa: SLF001 - one of its own kind
        _current = kit
    return _current
