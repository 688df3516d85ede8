"""The route to a ComfyUI server: it runs whatever no other backend runs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.route import Route

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.settings import Settings


class ComfyUIRoute(Route):
    """See `Route`."""

    def handles(self, source: Any, settings: Settings) -> bool:  # noqa: ARG002
        """Return True."""
        return True

    def load(self) -> type[Backend]:
        """Import the backend."""
        from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI

        return ComfyUI
