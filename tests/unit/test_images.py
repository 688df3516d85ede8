"""Images from a server: only the formats that browsers and ComfyUI know are opened, and no program is started."""

from __future__ import annotations

import io
import struct
import threading
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, features

from comfykit_jupyter import ComfyKitError
from comfykit_jupyter.client.results.images import open_image
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.thumbnail import make_thumbnail

from .test_render import Folder

POSTSCRIPT = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n{} loop\nshowpage\n%%EOF\n"


def build_png(width: int, height: int, data: bytes = b"") -> bytes:
    """Build a PNG that says how large it is, whatever its data."""

    def build_chunk(name: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))

    head = build_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + build_chunk(b"IDAT", data) + build_chunk(b"IEND", b"")


def make_media(folder: Path, content: bytes) -> Media:
    (folder / "cat.png").write_bytes(content)
    return Media(Folder(folder), {"filename": "cat.png", "subfolder": "", "type": "output"}, node="9", var="9")


def test_postscript_that_is_called_an_image_is_not_run(tmp_path: Path, ghostscript: Path) -> None:
    media = make_media(tmp_path, POSTSCRIPT)
    with pytest.raises(ComfyKitError, match=r"cat\.png can't be read as an image"):
        media.pil()
    with pytest.raises(ValueError, match="can't be read"):
        make_thumbnail(POSTSCRIPT, 64)
    assert not ghostscript.exists()


@pytest.mark.parametrize(
    "content",
    [build_png(60_000, 60_000), build_png(8, 8, b"junk"), build_png(8, 8)[:40], b"", b"no image"],
    ids=["too large", "broken", "cut", "empty", "text"],
)
def test_a_broken_image_is_an_error_of_ours(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(ComfyKitError, match=r"cat\.png"):
        make_media(tmp_path, content).pil()


def test_images_opened_in_threads_leave_the_warning_filters(monkeypatch: pytest.MonkeyPatch) -> None:
    before, open_file, others = [*warnings.filters], Image.open, list[threading.Thread]()
    opened, ended = threading.Event(), threading.Event()

    def open_slowly(*args: Any, **options: Any) -> Image.Image:
        """Let another thread open an image before this one has ended, and until after that."""
        if others:
            opened.set()
            ended.wait(10)
        else:
            others.append(threading.Thread(target=open_image, args=(io.BytesIO(build_png(8, 8)),)))
            others[0].start()
            opened.wait(0.05)
        return open_file(*args, **options)

    monkeypatch.setattr(Image, "open", open_slowly)
    open_image(io.BytesIO(build_png(8, 8)))
    ended.set()
    others[0].join()
    assert opened.is_set()
    assert [*warnings.filters] == before


def build_exif(*entries: tuple[int, int, bytes]) -> bytes:
    """Return EXIF data: a tag, its type and its value of four bytes each."""
    rows = b"".join(struct.pack("<HHI4s", tag, kind, 1, value) for tag, kind, value in entries)
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + rows + bytes(4)


@pytest.mark.skipif(not features.check("avif"), reason="Pillow has no AVIF")
def test_errors_of_libavif_are_errors_of_ours(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 8)).save(buffer, "AVIF")
    content = buffer.getvalue().replace(b"iloc", b"xloc")
    with pytest.raises(ComfyKitError, match=r"cat\.png can't be read as an image: Failed to decode"):
        make_media(tmp_path, content).pil()
    with pytest.raises(ValueError, match="the image can't be read: Failed to decode"):
        make_thumbnail(content, 64)


def test_thumbnail_of_an_image_whose_exif_is_broken_is_an_error(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    exif = build_exif((0x0112, 3, b"\6\0\0\0"), (0x0100, 11, struct.pack("<f", 1.5)))
    Image.new("RGB", (8, 8)).save(buffer, "JPEG", exif=exif)
    with pytest.raises(ValueError, match="the image can't be read"):
        make_thumbnail(buffer.getvalue(), 64)


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF"])
def test_the_formats_of_outputs_are_read(tmp_path: Path, form: str) -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (9, 7), (255, 0, 0)).save(buffer, form)
    assert make_media(tmp_path, buffer.getvalue()).pil().size == (9, 7)
    assert make_thumbnail(buffer.getvalue(), 64).original == (9, 7)
