"""Outputs that are kept: media whose files are in the folder of the runs."""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from os.path import splitext
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.explore.ledger.entries import Output, RunEntry
from comfykit_jupyter.explore.ledger.objects import ObjectStore
from comfykit_jupyter.workflow.errors import one_line


class KeptOrigin:
    """Where kept media come from: the store of originals.

    Args:
        store: The store.
        why: What to say of a file that is not there.
    """

    url = "kept"

    def __init__(self, store: ObjectStore, why: str) -> None:
        self.store = store
        self._why = why

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the path of the original, or the output's name if it was not kept."""
        digest, name = str(entry["hash"]), str(entry["filename"])
        suffix = splitext(name)[1]  # noqa: PTH122 - a Path for each of thousands takes longer than all else
        path = self.store.format_path(digest, suffix) if digest else name
        return path, {"filename": name, "hash": digest}

    async def fetch(self, media: Media) -> Path:
        """Return the original.

        Raises:
            ComfyKitError: It is not here.
        """
        path = self.store.find(media.query["hash"])
        if path is None:
            raise ComfyKitError(f"{one_line(media.name)} {self._why}")
        return path


class FileOrigin:
    """Where media come from that a scan found: a file that stays where it is."""

    url = "file"

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the path of the file."""
        return str(entry["path"]), {"filename": str(entry["filename"]), "path": str(entry["path"])}

    async def fetch(self, media: Media) -> Path:
        """Return the file.

        Raises:
            ComfyKitError: It is no longer there.
        """
        path = Path(media.query["path"])
        if not path.is_file():
            raise ComfyKitError(f"{one_line(str(path))} is no longer there")
        return path


def is_found_file_there(entry: RunEntry) -> bool:
    """Return whether the file of a run that a scan found is still where it was."""
    return os.path.isfile(entry.found)  # noqa: PTH113 - Path.is_file raises for a name that is too long


def build_media(store: ObjectStore, output: Output, found: str = "") -> Media:
    """Return an output of a run that was kept.

    Args:
        store: The originals.
        output: The output.
        found: The path of its file, if a scan found it.
    """
    if found:
        return Media(FileOrigin(), {"filename": output.name, "path": found}, node=output.node, var=output.var)
    origin = _get_origin(store, is_known=bool(output.hash))
    entry = {"filename": output.name, "hash": output.hash}
    return Media(origin, entry, node=output.node, var=output.var, animated=output.animated)


@functools.lru_cache(maxsize=16)
def _get_origin(store: ObjectStore, *, is_known: bool) -> KeptOrigin:
    """Return the origin of outputs that were kept, or of which only the name is known."""
    why = (
        "is no longer here: its original was pruned or deleted, or only its thumbnail was kept"
        if is_known
        else "was not kept: only its name is known"
    )
    return KeptOrigin(store, why)
