"""Find the size and the date of the model files that a prompt names: a file may be replaced by another of its name."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple
from weakref import WeakKeyDictionary

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.missing.finder import find_known_folder
from comfykit_jupyter.workflow.model_names import is_model_name

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.backends.model_files import ModelFile

MAX_AGE = 30.0
"""Seconds after which a folder is listed again."""
PATIENCE = 5.0
"""Seconds that a run waits for the lists. They are worth knowing, no more."""


class ModelPlace(NamedTuple):
    """An input that names a model file."""

    class_type: str
    field: str
    name: str


def find_model_places(prompt: Mapping[str, Any]) -> list[ModelPlace]:
    """Return the inputs of a prompt that name model files."""
    return [
        ModelPlace(node["class_type"], field, value)
        for node in prompt.values()
        for field, value in node["inputs"].items()
        if is_model_name(value)
    ]


class _Listing:
    """The model files of a server, as far as they were asked for."""

    def __init__(self) -> None:
        self.began = time.monotonic()
        self.folders: list[str] | None = None
        self.files: dict[str, dict[str, ModelFile]] = {}
        self.lock = asyncio.Lock()


_listings: WeakKeyDictionary[Backend, _Listing] = WeakKeyDictionary()


async def find_model_files(
    server: Backend, places: Iterable[ModelPlace], *, fresh: bool = False
) -> dict[str, ModelFile]:
    """Return the size and date of model files by name, as far as the server says them in time.

    Args:
        server: The server.
        places: The inputs that name them.
        fresh: Whether the server is asked again, although it was asked a moment ago.
    """
    listing = _listings.get(server)
    if listing is None or fresh or time.monotonic() - listing.began > MAX_AGE:
        listing = _listings[server] = _Listing()
    found: dict[str, ModelFile] = {}
    with contextlib.suppress(ComfyKitError, TimeoutError, asyncio.TimeoutError):
        await loop.wait_for(_find_all(server, listing, sorted(set(places)), found), PATIENCE)
    return found


async def _find_all(
    server: Backend, listing: _Listing, places: Iterable[ModelPlace], found: dict[str, ModelFile]
) -> None:
    async with listing.lock:
        for place in places:
            name = place.name.replace("\\", "/")
            known = find_known_folder(place.class_type, place.field)
            for folder in [known] if known else await _list_folders(server, listing):
                if folder not in listing.files:
                    listing.files[folder] = {}  # also if it can't be listed
                    listing.files[folder] = await server.list_model_files(folder)
                if name in listing.files[folder]:
                    found[place.name] = listing.files[folder][name]
                    break


async def _list_folders(server: Backend, listing: _Listing) -> list[str]:
    if listing.folders is None:
        listing.folders = []
        listing.folders = await server.list_models(None)
    return listing.folders
