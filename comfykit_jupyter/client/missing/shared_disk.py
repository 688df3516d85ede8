"""Prove that a server uses this machine's disk. Its address can't: 127.0.0.1 may be the end of a tunnel."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import stat
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.workflow.errors import one_line, short_repr
from comfykit_jupyter.workflow.values.binding import Upload

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend

_PROBE_BYTES = 64
_COMPARED = 50
"""How many models of a folder are looked for on this machine."""


class NotShared(ComfyKitError):
    """It is not proven that a server uses this machine's disk; the message says what is missing."""


async def find_shared_folder(server: Backend, folder: str) -> Path:
    """Return a folder of models of a server on this machine, once that is proven.

    A small file of random content is uploaded and has to be found in the server's folder of inputs. The folder of
    models is one that the server names, and holds the models that the server lists.

    Args:
        server: The server.
        folder: The name of the folder, such as `checkpoints`.

    Returns:
        The real path of the folder, without links.

    Raises:
        NotShared: It is not proven.
        ServerError: The server can't be reached.
    """
    places = await server.find_folders()
    if places is None:
        raise NotShared(f"{server.url} does not say where its folders are")
    candidates = [Path(each) for each in places.models.get(folder, ())]
    if not candidates:
        raise NotShared(f"{server.url} has no folder of models called {short_repr(folder)}")
    await _prove(server, [Path(each) for each in places.inputs])
    listed = await server.list_models(folder)
    found = await asyncio.to_thread(_choose_folder, candidates, listed[:_COMPARED])
    if found is None:
        raise NotShared(f"the folder {one_line(folder)} of {server.url} is not on this machine")
    return found


async def _prove(server: Backend, inputs: list[Path]) -> None:
    """Upload a file, find it in one of the folders, and delete it again."""
    content = secrets.token_bytes(_PROBE_BYTES)
    name = await server.upload(content, ".txt", Upload("probe", "", "", "", None, content))
    if not isinstance(name, str) or not name or any(part in ("..", "") for part in name.split("/")):
        raise NotShared(f"{server.url} does not name the uploaded file")
    found = await asyncio.to_thread(_find_probe, inputs, name, content)
    if not found:
        raise NotShared(f"{server.url} does not use this machine's disk: a file that was uploaded is not found here")


def _find_probe(folders: Iterable[Path], name: str, content: bytes) -> bool:
    for folder in folders:
        path = folder.joinpath(*name.split("/"))
        with contextlib.suppress(OSError, ValueError):
            status = path.lstat()
            if stat.S_ISREG(status.st_mode) and status.st_size == len(content) and path.read_bytes() == content:
                path.unlink()
                return True
    return False


def _choose_folder(candidates: list[Path], listed: list[str]) -> Path | None:
    """Return the first folder that can be written to, if all of them together hold what the server lists."""
    real = [path for each in candidates if each.is_absolute() and (path := _resolve(each)) is not None]
    here = [name for name in listed if any((folder / name.replace("\\", "/")).exists() for folder in real)]
    if not real or len(here) < len(listed):
        return None
    return next((folder for folder in real if os.access(folder, os.W_OK | os.X_OK)), None)


def _resolve(folder: Path) -> Path | None:
    try:
        path = folder.resolve(strict=True)
    except (OSError, RuntimeError, ValueError):
        return None
    return path if path.is_dir() else None
