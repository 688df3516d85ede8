"""The kit that the magics and forms of this process share."""

from __future__ import annotations

from typing import Any

from comfykit_jupyter.client import settings
from comfykit_jupyter.client.kit import ComfyKit

_current: ComfyKit | None = None


@settings.hide_arguments
def connect(comfyui_url: str | None, **options: Any) -> ComfyKit:
    """Set the server of all kits in this process that name none, and return the kit that the magics share.

    Args:
        comfyui_url: The server's address; None resets it to what the environment says.
        options: Further settings for that server, as for `ComfyKit`.

    Raises:
        SettingsError: A setting can't be used.
    """
    settings.set_connected({} if comfyui_url is None else {"comfyui_url": comfyui_url, **options})
    return get_current_kit()


def get_current_kit() -> ComfyKit:
    """Return the kit that the magics share; a new one if the settings have changed, in the environment for example."""
    global _current
    kit = ComfyKit()
    if _current is None or _current._settings != kit._settings:  # noqa: SLF001 - both are kits
        _current = kit
    return _current
