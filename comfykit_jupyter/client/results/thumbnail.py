"""Small pictures of large ones, and of videos: what a notebook keeps, and what a page shows until one looks closer."""

from __future__ import annotations

import io
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.results.first_frame import is_video, read_first_frame

if TYPE_CHECKING:
    from PIL import Image

PIXELS = 200_000_000
"""Pixels of a picture that is opened at all: more would take gigabytes to decode."""


@dataclass(frozen=True)
class Thumbnail:
    """An encoded picture. `width` and `height` are its own, `original` those of the picture it was made from."""

    data: bytes
    mime: str
    width: int
    height: int
    original: tuple[int, int]


def make_thumbnail(source: bytes | Path, side: int, form: str = "WEBP", quality: int = 80) -> Thumbnail:
    """The picture within `side` × `side` pixels; of an animation or a video its first frame; never enlarged.

    Args:
        source: the encoded picture, or the file of a picture or video.
        side: pixels of the longer side, at most.
        form: Pillow's name of the format: WEBP, PNG or JPEG.
        quality: of WEBP and JPEG, 1 to 100.

    Raises:
        ValueError: it is nothing that can be read, or far too large. The message names no path.
    """
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the bound is ours
            if isinstance(source, Path) and is_video(source):
                return _small(read_first_frame(source, PIXELS), side, form, quality)
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source) as picture:
                return _small(picture, side, form, quality)
    except UnidentifiedImageError:  # its message has the path
        raise ValueError("the image can't be read") from None
    except (OSError, SyntaxError, TypeError, OverflowError, MemoryError, Image.DecompressionBombError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else error
        raise ValueError(f"the image can't be read: {reason}") from None


def _small(picture: Image.Image, side: int, form: str, quality: int) -> Thumbnail:
    from PIL import Image, ImageOps

    original = picture.size
    if original[0] * original[1] > PIXELS:
        raise ValueError(f"the image is too large to show: {original[0]} × {original[1]} pixels")
    picture.draft("RGB", (side, side))  # JPEG only: decodes at a fraction of the size
    small = ImageOps.exif_transpose(picture)
    clear = small.mode in ("RGBA", "LA", "PA") or "transparency" in small.info
    small = small.convert("RGBA" if clear and form != "JPEG" else "RGB")
    small.thumbnail((side, side), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    small.save(out, form, quality=quality)
    return Thumbnail(out.getvalue(), f"image/{form.lower()}", small.width, small.height, original)
