"""Open images that clients uploaded: in known formats only, since Pillow starts Ghostscript for PostScript."""

from __future__ import annotations

from pathlib import Path

from PIL import Image

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "AVIF", "BMP", "TIFF", "PPM", "ICO", "TGA")


def open_image(path: Path) -> Image.Image:
    """Open an image; its pixels are decoded when they are needed.

    Raises:
        OSError: The file is not an image in a known format.
        DecompressionBombError: The image is so large that decoding it could exhaust the memory.
    """
    Image.init()
    return Image.open(path, formats=[each for each in FORMATS if each in Image.OPEN])  # AVIF may not be built in
