"""Test what is read of the packs and models that a server says it has."""

from __future__ import annotations

from typing import Any

import pytest

from comfykit_jupyter.client.backends.comfyui.installed import find_model_hash, find_packs
from comfykit_jupyter.client.errors import ServerError


class Answers:
    """A server that answers some routes."""

    def __init__(self, stats: Any = None, **answers: Any) -> None:
        self._stats = stats
        self._answers = answers

    async def request_json(self, method: str, path: str, **options: Any) -> Any:
        name = path.strip("/").replace("/", "_")
        if name not in self._answers:
            raise ServerError("not here", status=404)
        return self._answers[name]

    async def read_stats(self) -> Any:
        return self._stats


async def test_packs_are_those_of_the_manager_that_are_enabled() -> None:
    installed = {
        "fox": {"ver": "1.2.0", "cnr_id": "fox", "enabled": True},
        "cat": {"ver": "nightly"},
        "off": {"ver": "1", "enabled": False},
        "odd": 3,
        "none": {"ver": None},
    }
    stats = {"system": {"pytorch_version": "2.9.0+cu130"}}
    found = {"PyTorch": "2.9.0+cu130", "fox": "1.2.0", "cat": "nightly"}
    assert await find_packs(Answers(stats, customnode_installed=installed)) == found
    assert await find_packs(Answers(stats, v2_customnode_installed=installed)) == found
    assert await find_packs(Answers(stats)) == {"PyTorch": "2.9.0+cu130"}
    odd: Any
    for odd in (None, [], {"system": 3}, {"system": {"pytorch_version": 7}}):
        assert await find_packs(Answers(odd, customnode_installed=[1])) == {}


async def test_hashes_are_those_of_the_file_with_this_name_and_size() -> None:
    assets = [
        {"name": "fox.safetensors", "size": 4, "asset_hash": "blake3:no"},
        {"name": "sub/fox.safetensors", "size": 3, "asset_hash": "blake3:yes"},
        7,
    ]
    assert await find_model_hash(Answers(api_assets={"assets": assets}), "sub/fox.safetensors", 3) == "blake3:yes"
    assert await find_model_hash(Answers(api_assets={"assets": assets}), "cat.safetensors", 3) == ""
    assert await find_model_hash(Answers(), "fox.safetensors", 3) == ""


async def test_a_server_that_is_away_is_said() -> None:
    class Away(Answers):
        async def request_json(self, method: str, path: str, **options: Any) -> Any:
            raise ServerError("away")

    with pytest.raises(ServerError):
        await find_model_hash(Away(), "fox.safetensors", 3)
