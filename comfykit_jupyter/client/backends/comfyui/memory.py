"""Read how much memory a ComfyUI server has, from its answer to `/system_stats`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.untrusted_json import to_mapping

_MOST = 2**60
"""Bytes that a server may claim to have."""


def read_memory(stats: Any) -> dict[str, Any]:
    """Return the attributes of `Server` about memory; those that are missing or make no sense are left out."""
    stats = to_mapping(stats)
    devices = stats.get("devices")
    device = to_mapping(devices[0]) if isinstance(devices, list) and devices else {}
    found: dict[str, Any] = dict(_read_pair(to_mapping(stats.get("system")), "ram"))
    name = device.get("name")
    if isinstance(name, str):
        found["device"] = one_line(name, 80)
    if device.get("type") != "cpu":  # it has no memory of its own
        found |= _read_pair(device, "vram")
    return found


def _read_pair(owner: Mapping[Any, Any], kind: str) -> dict[str, int]:
    total, free = owner.get(f"{kind}_total"), owner.get(f"{kind}_free")
    if type(total) is int and type(free) is int and 0 <= free <= total <= _MOST and total:
        return {f"{kind}_total": total, f"{kind}_free": free}
    return {}
