"""`Tunnel`: another way to a server than its address, as of a cluster whose servers only its own nodes can reach."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import httpx

    from comfykit_jupyter.client.settings import Settings


class Tunnel(Protocol):
    """A way to one server. It is used on the background loop."""

    def build_transport(self) -> httpx.AsyncBaseTransport:
        """Return what carries requests. It raises httpx's errors, and calls the extension `trace` when it has begun."""

    def open_socket(self, url: str, headers: dict[str, str], settings: Settings) -> Any:
        """Return a context manager for an event socket; see `open_websocket`. It raises OSError if it breaks."""
