"""Read the texts in GLB models and safetensors files (latents, checkpoints): both begin with JSON."""

from __future__ import annotations

import json
from typing import Any

from comfykit_jupyter.workflow.embedded.binary import TEXT_LIMIT, Damaged, Reader, Texts


def read_glb(reader: Reader, texts: Texts) -> None:
    """Read the `extras` of the asset."""
    head = reader.read(12, 8)
    if head[4:] != b"JSON":
        raise Damaged
    asset = _read_json(reader, 20, int.from_bytes(head[:4], "little")).get("asset")
    texts.add_values(asset.get("extras") if isinstance(asset, dict) else None)


def read_safetensors(reader: Reader, texts: Texts) -> None:
    """Read `__metadata__` of the header."""
    texts.add_values(_read_json(reader, 8, int.from_bytes(reader.read(0, 8), "little")).get("__metadata__"))


def _read_json(reader: Reader, offset: int, length: int) -> dict[str, Any]:
    if length > TEXT_LIMIT:
        raise Damaged
    found = json.loads(reader.read(offset, length))
    return found if isinstance(found, dict) else {}
