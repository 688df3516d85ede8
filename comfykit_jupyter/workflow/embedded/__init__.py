"""Read the workflows that media files carry, recognizing files by their bytes and reading only what is needed.

An image, video, audio file or model that ComfyUI saved has two texts in it: `prompt`, the exact graph that ran, and
`workflow`, the graph in editor format. Each file format has them in another place. A file may be damaged or hostile:
then nothing is found. Nothing here raises, reads more than `TEXT_LIMIT` bytes of text, or runs for ever.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import BinaryIO

from comfykit_jupyter.workflow.embedded.audio import read_flac, read_mp3, read_ogg
from comfykit_jupyter.workflow.embedded.binary import HEAD, TEXT_LIMIT, Damaged, Reader, Texts
from comfykit_jupyter.workflow.embedded.images import read_jpeg, read_png, read_svg, read_webp
from comfykit_jupyter.workflow.embedded.models import read_glb, read_safetensors
from comfykit_jupyter.workflow.embedded.videos import read_matroska, read_mp4

__all__ = ["TEXT_LIMIT", "Carried", "read_carried"]


@dataclass(frozen=True)
class Carried:
    """The texts that a media file carries under `prompt` and `workflow`, each None if it is missing."""

    kind: str
    """The type of the file in words, such as "a PNG image"."""
    prompt: str | None
    workflow: str | None


def read_carried(data: bytes | BinaryIO) -> Carried | None:
    """Read the texts that a file carries, or return None if it is not a media file of a known type.

    Args:
        data: The file's bytes, or the open file, which must be able to seek. Its position is kept.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.tell()
    try:
        reader = Reader(file)
        head = reader.read(0, min(HEAD, reader.size))
        found = _recognize(head)
        if found is None:
            return None
        kind, read = found
        texts = Texts()
        try:
            read(reader, texts)
            _read_comment(texts)
        except (Damaged, ValueError, RecursionError):
            pass  # keep what was found so far
        return Carried(kind, texts.found.get("prompt"), texts.found.get("workflow"))
    except (Damaged, OSError, ValueError):
        return None
    finally:
        file.seek(start)


def _recognize(head: bytes) -> tuple[str, Callable[[Reader, Texts], None]] | None:
    """Return the type of a file, by its first bytes, and the function that reads it."""
    for start, kind, read in _SIGNATURES:
        if head.startswith(start):
            return kind, read
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP image", read_webp
    if head[:1] == b"\0" and head[4:8] in _MP4_BOXES:
        return "an AVIF or HEIC image" if head[8:12] in _STILL_BRANDS else "an MP4 file", read_mp4
    if head[:1] == b"\xff" and head[1:2] > b"\xdf" and head[:2] not in _BYTE_ORDER_MARKS:
        return "an MP3 file", read_mp3
    if head[5:8] == b"\0\0\0" and head[8:9] == b"{":
        return "a safetensors file", read_safetensors
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "an SVG image", read_svg
    return None


_SIGNATURES: tuple[tuple[bytes, str, Callable[[Reader, Texts], None]], ...] = (
    (b"\x89PNG\r\n\x1a\n", "a PNG image", read_png),
    (b"\xff\xd8\xff", "a JPEG image", read_jpeg),
    (b"\x1aE\xdf\xa3", "a WebM or Matroska video", read_matroska),
    (b"fLaC", "a FLAC file", read_flac),
    (b"OggS", "an Ogg file", read_ogg),
    (b"ID3", "an MP3 file", read_mp3),
    (b"glTF", "a GLB model", read_glb),
)
_MP4_BOXES = (b"ftyp", b"moov", b"mdat", b"wide", b"free")
_STILL_BRANDS = (b"avif", b"avis", b"heic", b"heix", b"mif1")
_BYTE_ORDER_MARKS = (b"\xff\xfe",)  # UTF-16, which is text


def _read_comment(texts: Texts) -> None:
    """Read the comment of a video: VideoHelperSuite writes both texts there, as JSON."""
    if not {"prompt", "workflow"} & set(texts.found) and "comment" in texts.found:
        texts.add_values(json.loads(texts.found["comment"]))
