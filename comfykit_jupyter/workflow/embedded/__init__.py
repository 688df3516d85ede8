"""Workflows that files carry: found by the bytes of the file, whatever its name, without reading all of it.

A picture, video, sound or model that ComfyUI saved holds two texts: `prompt`, the exact graph that ran, and `workflow`,
what the editor showed. Each format keeps them elsewhere; `read_carried` knows where. A file may be damaged or hostile:
then nothing is found. Nothing here raises, reads more than `TEXT_LIMIT` of texts, or goes on for ever.
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
    """What a media file carries: the texts under `prompt` and `workflow`, None where there is none."""

    kind: str
    """What the file is, for a message: "a PNG picture"."""
    prompt: str | None
    workflow: str | None


def read_carried(data: bytes | BinaryIO) -> Carried | None:
    """What a file carries; None when it is no picture, video, sound or model of a known kind.

    Args:
        data: its bytes, or the file itself, open for reading and able to seek. The file's position is kept.
    """
    file = io.BytesIO(data) if isinstance(data, bytes) else data
    start = file.tell()
    try:
        reader = Reader(file)
        head = reader.at(0, min(HEAD, reader.size))
        found = _recognise(head)
        if found is None:
            return None
        kind, read = found
        texts = Texts()
        try:
            read(reader, texts)
            _open_comment(texts)
        except (Damaged, ValueError, RecursionError):
            pass  # what was found up to there counts
        return Carried(kind, texts.found.get("prompt"), texts.found.get("workflow"))
    except (Damaged, OSError, ValueError):
        return None
    finally:
        file.seek(start)


def _recognise(head: bytes) -> tuple[str, Callable[[Reader, Texts], None]] | None:
    """What a file is by how it begins, and its reader."""
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "a PNG picture", read_png
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "a WebP picture", read_webp
    if head.startswith(b"\xff\xd8\xff"):
        return "a JPEG picture", read_jpeg
    if head[:1] == b"\0" and head[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free"):
        return "an AVIF or HEIC picture" if head[8:12] in _STILL else "an MP4 file", read_mp4
    if head.startswith(b"\x1aE\xdf\xa3"):
        return "a WebM or Matroska video", read_matroska
    if head.startswith(b"fLaC"):
        return "a FLAC sound", read_flac
    if head.startswith(b"OggS"):
        return "an Ogg sound", read_ogg
    if head.startswith(b"ID3") or (head[:1] == b"\xff" and head[1:2] > b"\xdf" and head[:2] not in _ORDER_MARKS):
        return "an MP3 sound", read_mp3
    if head.startswith(b"glTF"):
        return "a GLB model", read_glb
    if head[5:8] == b"\0\0\0" and head[8:9] == b"{":
        return "a file of tensors", read_safetensors
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip()
    if text.startswith(b"<svg") or (text.startswith(b"<?xml") and b"<svg" in text):
        return "an SVG picture", read_svg
    return None


_STILL = (b"avif", b"avis", b"heic", b"heix", b"mif1")
_ORDER_MARKS = (b"\xff\xfe",)  # UTF-16, which is text


def _open_comment(texts: Texts) -> None:
    """VideoHelperSuite puts both texts, as JSON, into the comment of its videos."""
    if not {"prompt", "workflow"} & set(texts.found) and "comment" in texts.found:
        texts.add_values(json.loads(texts.found["comment"]))
