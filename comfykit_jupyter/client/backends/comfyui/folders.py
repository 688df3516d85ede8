"""Find the folders of a ComfyUI server: it names its model folders, and the input folder is near them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from itertools import pairwise
from pathlib import PurePath
from typing import Any, Protocol
from urllib.parse import quote

from comfykit_jupyter.client.backends.folders import Folders
from comfykit_jupyter.client.backends.model_files import ModelFile, parse_model_files
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.workflow.untrusted_json import to_list, to_mapping

_MAX_FOLDERS = 500
_ROUTES = ("/internal/folder_paths", "/experiment/models")


class FolderServer(Protocol):
    """What this module needs of a server."""

    async def request_json(self, method: str, path: str, **options: Any) -> Any:
        """See `Api.request_json`."""

    async def read_stats(self) -> Any:
        """See `Api.read_stats`."""


async def find_folders(server: FolderServer) -> Folders | None:
    """Return where the server says that its folders are, or None if it doesn't."""
    models: dict[str, tuple[str, ...]] = {}
    for route in _ROUTES:
        models = await _read_models(server, route)
        if models:
            break
    if not models:
        return None
    stats = to_mapping(await server.read_stats())
    arguments = [each for each in to_list(to_mapping(stats.get("system")).get("argv")) if isinstance(each, str)]
    inputs = dict.fromkeys([*_read_arguments(arguments), *_guess_inputs(models.values())])
    return Folders(models, tuple(inputs)[:_MAX_FOLDERS])


async def list_model_files(server: FolderServer, folder: str) -> dict[str, ModelFile]:
    """Return the size and date of the model files in a folder; nothing if the server has no such route."""
    try:
        answer = await server.request_json("GET", f"/experiment/models/{quote(folder, safe='')}")
    except ServerError as error:
        if error.status is None and not error.sent:
            raise
        return {}
    return parse_model_files(answer)


async def read_model_metadata(server: FolderServer, folder: str, name: str) -> Any:
    """Return the metadata of a model file; None if it has none, or the server has no such route or can't read it.

    Servers answer 404 for all files but safetensors, for those without metadata, and for headers of more than 1 MB.
    """
    if not name.endswith(".safetensors"):
        return None
    route = f"/view_metadata/{quote(folder, safe='')}"
    try:
        return await server.request_json("GET", route, params={"filename": name})
    except ServerError as error:
        if error.status is None and not error.sent:
            raise
        return None


async def _read_models(server: FolderServer, route: str) -> dict[str, tuple[str, ...]]:
    try:
        answer = await server.request_json("GET", route)
    except ServerError as error:
        if error.status is None and not error.sent:
            raise
        return {}
    if isinstance(answer, list):
        pairs = [(to_mapping(each).get("name"), to_mapping(each).get("folders")) for each in answer[:_MAX_FOLDERS]]
    else:
        pairs = list(to_mapping(answer).items())[:_MAX_FOLDERS]
    return {
        name: tuple(path for path in to_list(paths)[:_MAX_FOLDERS] if isinstance(path, str) and path)
        for name, paths in pairs
        if isinstance(name, str)
    }


def _read_arguments(arguments: list[str]) -> Iterator[str]:
    """Yield the folders of inputs that the server's command line names. Relative ones depend on where it began."""
    given: Mapping[str, str] = dict(pairwise(arguments)) | dict(
        each.split("=", 1) for each in arguments if each.startswith("--") and "=" in each
    )
    if "--input-directory" in given:
        yield given["--input-directory"]
    if "--base-directory" in given:
        yield str(PurePath(given["--base-directory"]) / "input")
    if arguments:
        yield str(PurePath(arguments[0]).parent / "input")


def _guess_inputs(paths: Iterable[tuple[str, ...]]) -> Iterator[str]:
    """Yield the folders of inputs that stand beside folders called `models`."""
    for path in (PurePath(each) for many in paths for each in many):
        for parent in path.parents:
            if parent.name == "models":
                yield str(parent.parent / "input")
                break
