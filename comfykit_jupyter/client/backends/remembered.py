"""`RememberedOrigin`: a server or cloud of which only the address is known, as after a pickle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.settings import Settings, resolve_settings

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.results.media import Media

_backends: dict[tuple[type[Backend], str], tuple[Settings, Backend]] = {}
"""By kind and address, the backends that fetch media whose own backend is in another process; with their settings."""


def get_place(kind: type[Backend]) -> str:
    """Return the name of a kind of server or cloud, which is the name of its folder."""
    return kind.__module__.split(".")[-2]


class RememberedOrigin:
    """Where media come from that another process, or an earlier one, has produced.

    It connects when a file is needed. Secrets come from this process's own settings, and only if these are for the same
    address: what is connected, or the environment.

    Args:
        kind: The kind of the server or cloud.
        url: Its address.
    """

    def __init__(self, kind: type[Backend], url: str) -> None:
        self.url = url
        self._kind = kind

    @property
    def place(self) -> str:
        """See `Backend.place`."""
        return get_place(self._kind)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.url}>"

    def __reduce__(self) -> tuple[type[RememberedOrigin], tuple[type[Backend], str]]:
        return RememberedOrigin, (self._kind, self.url)

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the address of a file, and what `fetch` needs to get it, from its entry in a record."""
        return self._get_backend().locate(entry)

    async def fetch(self, media: Media) -> Path:
        """Return a local copy of the file, downloaded on the first call."""
        return await self._get_backend().fetch(media)

    def _get_backend(self) -> Backend:
        settings, name = resolve_settings({}), self._kind.url_setting
        if getattr(settings, name) != self.url:
            settings = replace(Settings(), **{name: getattr(resolve_settings({name: self.url}), name)})  # no secrets
        known, backend = _backends.get((self._kind, self.url), (None, None))
        if backend is None or known != settings:
            backend = self._kind(settings)
            _backends[self._kind, self.url] = (settings, backend)
        return backend
