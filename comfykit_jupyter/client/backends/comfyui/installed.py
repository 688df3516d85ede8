"""Find out what is installed on a ComfyUI server, as far as it says so: versions of node packs, hashes of models."""

from __future__ import annotations

from typing import Any, Protocol

from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.workflow.untrusted_json import to_list, to_mapping

_MAX_ENTRIES = 2_000
"""Packs, or assets, that are read of an answer."""
_MAX_TEXT = 200
"""Characters of a name, a version or a hash; longer ones are ignored."""
_PACK_ROUTES = ("/customnode/installed", "/v2/customnode/installed")
"""Where ComfyUI-Manager lists the packs: the one that is installed as a pack, and the one that is a part of ComfyUI."""


class InstalledServer(Protocol):
    """What this module needs of a server."""

    async def request_json(self, method: str, path: str, **options: Any) -> Any:
        """See `Api.request_json`."""

    async def read_stats(self) -> Any:
        """See `Api.read_stats`."""


async def find_packs(server: InstalledServer) -> dict[str, str]:
    """Return the version of PyTorch and those of the node packs in use, by name.

    Only ComfyUI-Manager knows the packs; without it there are none.

    Raises:
        ServerError: The server can't be reached.
    """
    system = to_mapping(to_mapping(await server.read_stats()).get("system"))
    found = {"PyTorch": system["pytorch_version"]} if _is_version(system.get("pytorch_version")) else {}
    for route in _PACK_ROUTES:
        packs = to_mapping(await _ask(server, route))
        for name, about in list(packs.items())[:_MAX_ENTRIES]:
            pack = to_mapping(about)
            version = pack.get("ver")
            if pack.get("enabled") is not False and _is_version(version) and len(name) <= _MAX_TEXT:
                found[name] = version
        if packs:
            break
    return found


async def find_model_hash(server: InstalledServer, name: str, size: int) -> str:
    """Return the hash of a model file, such as `blake3:…`, from the list of assets; "" if the server has none.

    ComfyUI makes this list if it was started with `--enable-assets`. This was never run against such a server.

    Args:
        server: The server.
        name: The file, with the folders below the folder of its kind.
        size: Its size in bytes, since folders may have files of the same name.

    Raises:
        ServerError: The server can't be reached.
    """
    base = name.replace("\\", "/").rpartition("/")[2]
    answer = to_mapping(await _ask(server, "/api/assets", params={"include_tags": "models", "name_contains": base}))
    for asset in map(to_mapping, to_list(answer.get("assets"))[:_MAX_ENTRIES]):
        own = str(asset.get("name") or "").replace("\\", "/").rpartition("/")[2]
        digest = asset.get("asset_hash") or asset.get("hash")
        if own == base and asset.get("size") == size and isinstance(digest, str) and len(digest) <= _MAX_TEXT:
            return digest
    return ""


async def _ask(server: InstalledServer, path: str, **options: Any) -> Any:
    """Return the answer of a route; None for an error, as from a server that has no such route.

    Raises:
        ServerError: The server can't be reached.
    """
    try:
        return await server.request_json("GET", path, **options)
    except ServerError as error:
        if error.status is None and not error.sent:
            raise
        return None


def _is_version(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _MAX_TEXT and value != "none"
