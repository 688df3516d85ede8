"""Small images of large ones and of videos: what a notebook keeps, and what the page shows first."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.results.images import MAX_PIXELS, map_decoding_errors, open_image
from comfykit_jupyter.client.results.video_frames import is_video, read_first_frame

if TYPE_CHECKING:
    from PIL import Image


@dataclass(frozen=True)
class Thumbnail:
    """An encoded image; `original` is the width and height in pixels of what it was made from."""

    data: bytes
    mime: str
    width: int
    height: int
    original: tuple[int, int]


def make_thumbnail(source: bytes | Path, side: int, form: str = "WEBP", quality: int = 80) -> Thumbnail:
    """Make a thumbnail within `side` × `side` pixels; of an animation or a video its first frame. Never enlarges.

    Args:
        source: The encoded image, or the file of an image or video.
        side: The most pixels of the longer side.
        form: Pillow's name of the format: WEBP, PNG or JPEG.
        quality: The quality of WEBP and JPEG, 1 to 100.

    Raises:
        ValueError: The file can't be read, or the image is too large. The message contains no path.
    """
    try:
        with map_decoding_errors():
            if isinstance(source, Path) and is_video(source):
                return _shrink(read_first_frame(source, MAX_PIXELS), side, form, quality)
            with open_image(io.BytesIO(source) if isinstance(source, bytes) else source) as image:
                return _shrink(image, side, form, quality)
    except ValueError as error:
        raise ValueError(f"the image can't be read: {error}") from None


def _shrink(image: Image.Image, side: int, form: str, quality: int) -> Thumbnail:
    from PIL import Image, ImageOps

    original = image.size
    image.draft("RGB", (side, side))  # JPEG only: decodes at a fraction of the size
    small = ImageOps.exif_transpose(image)
    transparent = small.mode in ("RGBA", "LA", "PA") or "transparency" in small.info
    small = small.convert("RGBA" if transparent and form != "JPEG" else "RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, form, quality=quality)
    return Thumbnail(out.getvalue(), f"image/{form.lower()}", small.width, small.height, original)
