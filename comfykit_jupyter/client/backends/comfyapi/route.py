"""The route to a server that speaks Comfy API v2: the kit's address shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.addresses import COMFY_API_PATH
from comfykit_jupyter.client.backends.route import Route

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.settings import Settings


class ComfyAPIRoute(Route):
    """See `Route`."""

    def handles(self, source: Any, settings: Settings) -> bool:  # noqa: ARG002
        """Return whether the kit's address belongs to such a server, whatever the workflow."""
        if settings.api is not None:
            return settings.api == "v2"
        parts = urlsplit(settings.comfyui_url)
        host = (parts.hostname or "").lower()
        return host == "cloud.comfy.org" or host.endswith(".run.comfy.app") or parts.path.endswith(COMFY_API_PATH)

    def load(self) -> type[Backend]:
        """Import the backend."""
        from comfykit_jupyter.client.backends.comfyapi.backend import ComfyAPI

        return ComfyAPI
