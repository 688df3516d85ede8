"""Remove prompt and workflow from the copies of images: the pixels stay as they are.

Pillow would decode and encode again, which changes JPEG and lossy WebP. Each format is a list of blocks, of which those
with texts are left out.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

from comfykit_jupyter.client.errors import ComfyKitError

_PNG_TEXTS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"eXIf", b"tIME"})
_WEBP_TEXTS = frozenset({b"EXIF", b"XMP "})
_WEBP_FLAGS = 0x08 | 0x04
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def strip_metadata(data: bytes, name: str) -> bytes:
    """Return an image without its texts.

    Args:
        data: The bytes of the file.
        name: Its name, for the message.

    Raises:
        ComfyKitError: It is not a PNG, JPEG or WebP image, or is damaged.
    """
    try:
        if data.startswith(_PNG_HEAD):
            return _PNG_HEAD + b"".join(block for kind, block in _iter_png(data) if kind not in _PNG_TEXTS)
        if data.startswith(b"\xff\xd8"):
            return b"\xff\xd8" + b"".join(_iter_jpeg(data))
        if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
            body = b"WEBP" + b"".join(_iter_webp(data))
            return b"RIFF" + struct.pack("<I", len(body)) + body
    except (struct.error, IndexError, ValueError):
        raise ComfyKitError(f"{name} is damaged: its metadata can't be removed") from None
    raise ComfyKitError(f"{name}: metadata can be removed from PNG, JPEG and WebP images only")


def _iter_png(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = len(_PNG_HEAD)
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        yield kind, data[at : at + 12 + length]
        at += 12 + length


def _iter_jpeg(data: bytes) -> Iterator[bytes]:
    at = 2
    while data[at] == 0xFF:
        marker = data[at + 1]
        if marker == 0xDA:  # the pixels follow
            yield data[at:]
            return
        length = int(struct.unpack(">H", data[at + 2 : at + 4])[0])
        if marker not in (0xE1, 0xED, 0xFE):  # EXIF and XMP, Photoshop, comment
            yield data[at : at + 2 + length]
        at += 2 + length
    raise ValueError


def _iter_webp(data: bytes) -> Iterator[bytes]:
    at = 12
    while at + 8 <= len(data):
        kind, length = struct.unpack("<4sI", data[at : at + 8])
        block = data[at : at + 8 + length + length % 2]
        if kind == b"VP8X":
            block = block[:8] + bytes([block[8] & ~_WEBP_FLAGS]) + block[9:]
        if kind not in _WEBP_TEXTS:
            yield block
        at += 8 + length + length % 2
