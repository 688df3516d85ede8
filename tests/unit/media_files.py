"""Builders of media files with embedded texts, as ComfyUI and common tools write them."""

from __future__ import annotations

import io
import json
import struct
import tempfile
import zlib
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

Texts = Mapping[str, str]
Make = Callable[[Texts], bytes]


def _make_image() -> Image.Image:
    return Image.new("RGB", (8, 8), "red")


def _encode(picture: Image.Image, form: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, form, **options)
    return buffer.getvalue()


def png(texts: Texts) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text)
    return _encode(_make_image(), "PNG", pnginfo=info)


def png_packed(texts: Texts) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        info.add_text(key, text, zip=True)
    return _encode(_make_image(), "PNG", pnginfo=info)


def png_international(texts: Texts) -> bytes:
    info = PngInfo()
    for number, (key, text) in enumerate(texts.items()):
        info.add_itxt(key, text, "en", key, zip=number == 0)
    return _encode(_make_image(), "PNG", pnginfo=info)


def animated_png(texts: Texts) -> bytes:
    info = PngInfo()
    for key, text in texts.items():
        info.add(b"comf", key.encode() + b"\0" + text.encode("latin-1"), True)
    return _encode(_make_image(), "PNG", pnginfo=info, save_all=True, append_images=[Image.new("RGB", (8, 8))])


def _exif(texts: Texts) -> Image.Exif:
    exif = Image.Exif()
    for tag, (key, text) in zip((0x0110, 0x010F), texts.items(), strict=False):
        exif[tag] = f"{key}:{text}"
    return exif


def webp(texts: Texts) -> bytes:
    return _encode(_make_image(), "WEBP", exif=_exif(texts))


def animated_webp(texts: Texts) -> bytes:
    return _encode(_make_image(), "WEBP", exif=_exif(texts), save_all=True, append_images=[Image.new("RGB", (8, 8))])


def jpeg(texts: Texts) -> bytes:
    return _encode(_make_image(), "JPEG", exif=_exif(texts))


def jpeg_user_comment(texts: Texts) -> bytes:
    exif = Image.Exif()
    exif.get_ifd(0x8769)[0x9286] = b"UNICODE\0" + json.dumps(dict(texts)).encode("utf-16-be")
    return _encode(_make_image(), "JPEG", exif=exif)


def jpeg_comment(texts: Texts) -> bytes:
    return _encode(_make_image(), "JPEG", comment=json.dumps(dict(texts)).encode())


def _make_video(form: str, codec: str, texts: Texts, **options: str) -> bytes:
    with tempfile.TemporaryDirectory() as folder:  # some formats are read back while they are written
        path = Path(folder) / "file"
        _write_video(str(path), form, codec, texts, options)
        return path.read_bytes()


def _write_video(path: str, form: str, codec: str, texts: Texts, options: dict[str, str]) -> None:
    with av.open(path, "w", format=form, options=options) as container:
        container.metadata.update(texts)
        stream: Any = container.add_stream(codec, rate=Fraction(8))
        stream.width = stream.height = 32
        stream.pix_fmt = "yuv420p"
        for _ in range(3):
            frame = av.VideoFrame.from_ndarray(np.zeros((32, 32, 3), np.uint8), format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def mp4(texts: Texts) -> bytes:
    return _make_video("mp4", "libx264", texts, movflags="use_metadata_tags")


def mp4_for_the_web(texts: Texts) -> bytes:
    return _make_video("mp4", "libx264", texts, movflags="use_metadata_tags+faststart")


def mp4_fragmented(texts: Texts) -> bytes:
    return _make_video("mp4", "libx264", texts, movflags="use_metadata_tags+frag_keyframe+empty_moov")


def mov(texts: Texts) -> bytes:
    return _make_video("mov", "libx264", texts, movflags="use_metadata_tags")


def mp4_comment(texts: Texts) -> bytes:
    return _make_video("mp4", "libx264", {"comment": json.dumps(dict(texts))})


def webm(texts: Texts) -> bytes:
    return _make_video("webm", "libvpx-vp9", texts)


def webm_live(texts: Texts) -> bytes:
    return _make_video("webm", "libvpx-vp9", texts, live="1")


def mkv(texts: Texts) -> bytes:
    return _make_video("matroska", "libx264", texts)


def _make_audio(form: str, codec: str, texts: Texts, **options: str) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=form, options=options) as container:
        container.metadata.update(texts)
        stream: Any = container.add_stream(codec, rate=48000)
        stream.layout = "mono"
        resampler = av.AudioResampler(stream.codec_context.format, "mono", 48000, stream.codec_context.frame_size)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 9600), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 48000
        for block in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(block))
        container.mux(stream.encode(None))
    return buffer.getvalue()


def flac(texts: Texts) -> bytes:
    return _make_audio("flac", "flac", texts)


def mp3(texts: Texts) -> bytes:
    return _make_audio("mp3", "libmp3lame", texts)


def mp3_old(texts: Texts) -> bytes:
    return _make_audio("mp3", "libmp3lame", texts, id3v2_version="3")


def opus(texts: Texts) -> bytes:
    return _make_audio("ogg", "libopus", texts)


def vorbis(texts: Texts) -> bytes:
    """Return the headers of a Vorbis stream, page by page."""
    comments = [f"{key}={text}".encode() for key, text in texts.items()]
    block = struct.pack("<I4sI", 4, b"test", len(comments))
    block += b"".join(struct.pack("<I", len(each)) + each for each in comments)
    pages = [_make_page(b"\x01vorbis" + bytes(23))]
    packet, most = b"\x03vorbis" + block + b"\x01", 255 * 255
    while len(packet) >= most:
        pages.append(_make_page(packet[:most], ends=False))
        packet = packet[most:]
    return b"".join([*pages, _make_page(packet), _make_page(b"\x05vorbis")])


def _make_page(data: bytes, *, ends: bool = True) -> bytes:
    sizes = [255] * (len(data) // 255) + ([len(data) % 255] if ends else [])
    return b"OggS" + bytes(10) + b"one!" + bytes(8) + bytes([len(sizes), *sizes]) + data


def m4a(texts: Texts) -> bytes:
    return _make_audio("ipod", "aac", texts, movflags="use_metadata_tags")


def svg(texts: Texts) -> bytes:
    values = {key: json.loads(text) for key, text in texts.items()}
    head = '<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg">\n  <metadata>\n    <![CDATA[\n'
    return f"{head}{json.dumps(values)}\n    ]]>\n  </metadata>\n<rect/></svg>".encode()


def glb(texts: Texts) -> bytes:
    content = json.dumps({"asset": {"version": "2.0", "extras": dict(texts)}}).encode()
    content += b" " * (-len(content) % 4)
    return struct.pack("<4sIII4s", b"glTF", 2, 20 + len(content), len(content), b"JSON") + content


def latent(texts: Texts) -> bytes:
    header = json.dumps({"__metadata__": dict(texts), "x": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]}})
    return struct.pack("<Q", len(header)) + header.encode()


KINDS: tuple[Make, ...] = (
    png, png_packed, png_international, animated_png, webp, animated_webp, jpeg, jpeg_user_comment, jpeg_comment, mp4,
    mp4_for_the_web, mp4_fragmented, mov, mp4_comment, webm, webm_live, mkv, flac, mp3, mp3_old, opus, vorbis, m4a,
    svg, glb, latent,
)  # fmt: skip


def make_chunk(kind: bytes, data: bytes) -> bytes:
    """Return a PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
