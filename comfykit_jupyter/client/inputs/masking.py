"""Make the PNG of a masked image: upright, the colours unchanged, 255 − mask as its alpha."""

from __future__ import annotations

import hashlib
import io
import os
import shutil
import threading
import uuid
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.local_files import compute_digest, get_local_folder
from comfykit_jupyter.client.results.images import map_decoding_errors, open_image
from comfykit_jupyter.client.results.thumbnail import Thumbnail

if TYPE_CHECKING:
    from PIL import Image
    from PIL.PngImagePlugin import PngInfo

OVERLAY_SIDE = 256
"""Pixels of the longer side of the image that a notebook keeps."""
_OVERLAY_COLOUR = (235, 0, 110)
_OVERLAY_STRENGTH = 0.55
_MAX_KEPT = 6
"""Files that are kept, so that the checks, the key and the upload of a run make the PNG once."""
_TURNED = (5, 6, 7, 8)
"""The EXIF orientations that exchange width and height."""

_lock = threading.Lock()
_kept: OrderedDict[str, tuple[Path, bytes]] = OrderedDict()


def make_masked_png(value: Masked, content: Path | bytes) -> Path:
    """Return a PNG of an image with its mask; the caller deletes it.

    Args:
        value: The image and its mask.
        content: The image's file.

    Raises:
        ValueError: The image can't be read, has another size, or is animated. The message contains no path.
        SourceError: The file can't be read.
    """
    key = hashlib.sha256(f"{compute_digest(content)[0]} {value.id} {value.size}".encode()).hexdigest()
    copy = get_local_folder() / f"{uuid.uuid4().hex}.png"
    with _lock:  # one at a time: a large image takes hundreds of megabytes
        found = _kept.get(key)
        if found is None or not found[0].is_file():
            found = _compose(value, content, get_local_folder() / f"{uuid.uuid4().hex}.png")
            _kept[key] = found
        _kept.move_to_end(key)
        while len(_kept) > _MAX_KEPT:
            _kept.popitem(last=False)[1][0].unlink(missing_ok=True)
        path, value.overlay = found
        try:
            os.link(path, copy)
        except OSError:  # not every file system has links
            shutil.copyfile(path, copy)
    return copy


def make_overlay(value: Masked, content: Path | bytes, side: int) -> Thumbnail:
    """Make a small image with the mask drawn over it.

    Raises:
        ValueError: The image can't be read. The message contains no path.
    """
    with map_decoding_errors(), _open_upright(content, side) as (image, size):
        return _draw_overlay(image, value.open_mask(), side, size)


def make_view(content: Path | bytes, side: int) -> Thumbnail:
    """Make a JPEG of the colours of an image within `side` × `side` pixels, also where it is transparent.

    Raises:
        ValueError: The image can't be read. The message contains no path.
    """
    with map_decoding_errors(), _open_upright(content, side) as (image, size):
        return _encode(_shrink(image, side), "JPEG", size)


def make_mask_view(mask: Image.Image, side: int) -> Thumbnail:
    """Make a PNG of a mask within `side` × `side` pixels: black, opaque where the mask is set."""
    from PIL import Image

    small = mask.copy()
    small.thumbnail((side, side))
    return _encode(Image.merge("LA", (Image.new("L", small.size), small)), "PNG", mask.size)


def read_upright_size(content: Path | bytes) -> tuple[int, int]:
    """Return the width and height of an image as it is seen. Its pixels are not decoded.

    Raises:
        ValueError: It can't be read. The message contains no path.
    """
    with map_decoding_errors(), _open(content) as image:
        return _get_upright_size(image)


def check_mask_size(value: Masked, size: tuple[int, int]) -> None:
    """Raise ValueError if a mask is not of the size of its upright image."""
    if size != value.size:
        raise ValueError(
            f"the mask has {value.size[0]} × {value.size[1]} pixels, and the upright image {size[0]} × {size[1]}"
        )


def read_own_mask(content: Path | bytes) -> Image.Image | None:
    """Return the mask that ComfyUI's *Load Image* finds in an image; None if the image has no alpha.

    Raises:
        ValueError: It can't be read. The message contains no path.
    """
    from PIL import ImageChops

    with map_decoding_errors(), _open(content) as image:
        if "A" not in image.getbands() and not (image.mode == "P" and "transparency" in image.info):
            return None
        with _open_upright(content, None) as (upright, _):
            alpha = upright if "A" in upright.getbands() else upright.convert("RGBA")
            return ImageChops.invert(alpha.getchannel("A"))


def to_rgb(image: Image.Image) -> Image.Image:
    """Return the colours of an image as ComfyUI's *Load Image* reads them."""
    if image.mode == "I":
        image = image.point(lambda value: value * (1 / 255))
    return image.convert("RGB")


def _open(content: Path | bytes) -> Image.Image:
    return open_image(io.BytesIO(content) if isinstance(content, bytes) else content)


@contextmanager
def _open_upright(content: Path | bytes, side: int | None) -> Iterator[tuple[Image.Image, tuple[int, int]]]:
    """Open an image, turned upright, and its full size; a JPEG is decoded at a fraction of it if `side` is enough."""
    from PIL import ImageOps

    with _open(content) as image:
        size = _get_upright_size(image)
        if side is not None:
            image.draft("RGB", (side, side))
        yield ImageOps.exif_transpose(image), size


def _get_upright_size(image: Image.Image) -> tuple[int, int]:
    turned = image.getexif().get(0x0112) in _TURNED
    return (image.height, image.width) if turned else image.size


def _compose(value: Masked, content: Path | bytes, target: Path) -> tuple[Path, bytes]:
    """Write the PNG of an image with its mask, and return its path and a small image of both."""
    from PIL import ImageChops

    with map_decoding_errors(), _open(content) as image:
        if getattr(image, "n_frames", 1) > 1 and image.format != "MPO":  # such a JPEG has other views of one image
            raise ValueError("it is animated: a mask is for a still image")
        size = _get_upright_size(image)
        check_mask_size(value, size)
        texts = _copy_texts(image)
    mask = value.open_mask()
    with map_decoding_errors(), _open_upright(content, None) as (upright, _):
        colours = to_rgb(upright)
        profile = upright.info.get("icc_profile") if upright.mode in ("RGB", "RGBA") else None
    overlay = _draw_overlay(colours, mask, OVERLAY_SIDE, size).data
    colours.putalpha(ImageChops.invert(mask))
    draft = target.with_suffix(".part")
    try:
        colours.save(draft, format="PNG", compress_level=1, pnginfo=texts, icc_profile=profile)
        draft.replace(target)
    finally:
        draft.unlink(missing_ok=True)
    return target, overlay


def _copy_texts(image: Image.Image) -> PngInfo | None:
    """Return the texts of a PNG, such as the workflow that it carries; None for other formats."""
    from PIL.PngImagePlugin import PngInfo, iTXt

    if image.format != "PNG":
        return None
    texts: dict[str, Any] = getattr(image, "text", {})  # this reads the file to its end
    info = PngInfo()
    for name, text in texts.items():
        if isinstance(text, iTXt):
            info.add_itxt(name, text, text.lang or "", text.tkey or "")
        else:
            info.add_text(name, text)
    return info


def _draw_overlay(image: Image.Image, mask: Image.Image, side: int, size: tuple[int, int]) -> Thumbnail:
    from PIL import Image

    small = _shrink(image, side)
    strength = mask.resize(small.size, Image.Resampling.BOX).point(lambda level: level * _OVERLAY_STRENGTH)
    small.paste(_OVERLAY_COLOUR, (0, 0), strength)
    return _encode(small, "WEBP", size)


def _shrink(image: Image.Image, side: int) -> Image.Image:
    """Return a copy of the colours of an image within `side` × `side` pixels."""
    from PIL import Image

    scale = min(1.0, side / max(image.size))
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    colours = image if image.mode == "RGB" else to_rgb(image)
    return colours.resize(size, Image.Resampling.BICUBIC, reducing_gap=2.0)


def _encode(image: Image.Image, form: str, size: tuple[int, int]) -> Thumbnail:
    out = io.BytesIO()
    image.save(out, form, quality=85)
    return Thumbnail(out.getvalue(), f"image/{form.lower()}", image.width, image.height, size)
