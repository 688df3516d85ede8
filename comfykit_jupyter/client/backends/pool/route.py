"""The route to several servers: whatever is not hosted in a cloud runs on one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.route import Route

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.settings import Settings


class PoolRoute(Route):
    """See `Route`."""

    def handles(self, source: Any, settings: Settings) -> bool:  # noqa: ARG002
        """Return whether the kit has several servers."""
        return bool(settings.servers)

    def load(self) -> type[Backend]:
        """Import the backend."""
        from comfykit_jupyter.client.backends.pool.backend import Pool

        return Pool
