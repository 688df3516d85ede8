"""Check that a file is what its suffix `.safetensors` says: a header in JSON, then tensors, and nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from typing import Any

LENGTH_BYTES = 8
"""Bytes before the header, which hold its length."""
MAX_HEADER_BYTES = 100_000_000
"""The longest header that the format allows."""
_ITEM_BITS: Mapping[str, int] = {
    "F64": 64, "I64": 64, "U64": 64, "C64": 64, "F32": 32, "I32": 32, "U32": 32, "F16": 16, "BF16": 16, "I16": 16,
    "U16": 16, "F8_E4M3": 8, "F8_E5M2": 8, "F8_E8M0": 8, "F8_E4M3FNUZ": 8, "F8_E5M2FNUZ": 8, "I8": 8, "U8": 8,
    "BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6,
}  # fmt: skip


class NotSafetensors(ValueError):
    """A file is not a safetensors file; the message says why, to follow "it is not a safetensors file: "."""


def read_header_length(start: bytes) -> int:
    """Return how many bytes the header has, from the first 8 bytes of a file.

    Raises:
        NotSafetensors: No header is so long, or so short.
    """
    length = int.from_bytes(start[:LENGTH_BYTES], "little")
    if len(start) < LENGTH_BYTES or not 2 <= length <= MAX_HEADER_BYTES:
        raise NotSafetensors("it has no header")
    return length


def check_header(header: bytes, size: int | None) -> None:
    """Check a header, and that the file is exactly as long as it says.

    Args:
        header: The header, without the 8 bytes before it.
        size: The bytes of the whole file; None if unknown.

    Raises:
        NotSafetensors: The header is not one, or the file has another size.
    """
    if header[:1] != b"{":
        raise NotSafetensors("it has no header")
    try:
        tensors = json.loads(header)
    except (ValueError, RecursionError):
        raise NotSafetensors("its header is not JSON") from None
    ends = [_read_end(each) for name, each in tensors.items() if name != "__metadata__"]
    expected = LENGTH_BYTES + len(header) + max(ends, default=0)
    if not ends:
        raise NotSafetensors("it has no tensors")
    if size is not None and size != expected:
        raise NotSafetensors(f"it has {size:,} bytes, and its header describes {expected:,}")


def _read_end(tensor: Any) -> int:
    """Return the offset of the end of a tensor, in bytes behind the header."""
    entry = tensor if isinstance(tensor, dict) else {}
    offsets, shape, type_ = _read_sizes(entry.get("data_offsets")), _read_sizes(entry.get("shape")), entry.get("dtype")
    if shape is None or offsets is None or len(offsets) != 2 or offsets[0] > offsets[1] or not isinstance(type_, str):
        raise NotSafetensors("its header describes no tensors")
    count = prod(shape)
    bits = _ITEM_BITS.get(type_)
    if bits is not None and (count * bits + 7) // 8 != offsets[1] - offsets[0]:
        raise NotSafetensors("the size of a tensor differs from its header")
    return offsets[1]


def _read_sizes(value: Any) -> list[int] | None:
    return value if isinstance(value, list) and all(type(each) is int and 0 <= each < 2**63 for each in value) else None
