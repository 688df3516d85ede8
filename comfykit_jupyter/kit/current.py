"""The kit that the magics and forms of this process share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from comfykit_jupyter.client import settings
from comfykit_jupyter.kit.kit import ComfyKit

_current: ComfyKit | None = None


@settings.hide_arguments
def connect(comfyui_url: str | Sequence[Any] | None, **options: Any) -> ComfyKit:
    """Set the server of all kits in this process that name none, and return the kit that the magics share.

    Args:
        comfyui_url: The server's address, or several; None resets it to what the environment says.
        options: Further settings for that server, as for `ComfyKit`.

    Raises:
        SettingsError: A setting can't be used.
    """
    given = {} if comfyui_url is None else {"comfyui_url": comfyui_url, **options}
    if given and (several := ComfyKit(**given)._settings.servers):  # noqa: SLF001 - its kits are kept for all
        given = {**options, "servers": several}
    settings.set_connected(given)
    return get_current_kit()


def get_current_kit() -> ComfyKit:
    """Return the kit that the magics share; a new one if the settings have changed, in the environment for example."""
    global _current
    kit = ComfyKit()
    if _current is None or _current._settings != kit._settings:  # noqa: SLF001 - both are kits
        _current = kit
    return _current
