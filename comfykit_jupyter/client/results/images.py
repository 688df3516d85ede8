"""Open images that come from a server: only in formats that ComfyUI and browsers use."""

from __future__ import annotations

import contextlib
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image

FORMATS = ("PNG", "JPEG", "MPO", "WEBP", "GIF", "AVIF", "BMP", "TIFF")
"""Pillow's names of the formats. For PostScript it starts Ghostscript, whatever the file is called: not for us."""
MAX_PIXELS = 200_000_000
"""Pixels of an image that is decoded: more would take gigabytes of memory."""
_opening = threading.Lock()
"""Held while warning filters are changed: two threads that do so at once would leave one of the changes behind."""


def open_image(source: Path | IO[bytes]) -> Image.Image:
    """Open an image; its pixels are decoded when they are needed.

    Args:
        source: The file, or its content. Whatever its name says, the format is found by its first bytes.

    Raises:
        ValueError: The file is not an image in one of the formats, is broken, or is too large. The message contains no
            path.
    """
    from PIL import Image, UnidentifiedImageError

    Image.init()
    known = [each for each in FORMATS if each in Image.OPEN]  # AVIF depends on how Pillow was built
    with map_decoding_errors(), _opening, warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # MAX_PIXELS is our limit
        try:
            image = Image.open(source, formats=known)
        except UnidentifiedImageError:  # its message contains the path
            raise ValueError("it is not an image in a known format") from None
        except Image.DecompressionBombError:
            raise ValueError("it has too many pixels to decode safely") from None
    if image.width * image.height > MAX_PIXELS:
        raise ValueError(f"it has {image.width} × {image.height} pixels, more than {MAX_PIXELS:,}")
    return image


@contextlib.contextmanager
def map_decoding_errors() -> Iterator[None]:
    """Raise ValueError for whatever Pillow's plugins raise while they decode a broken file.

    Their exceptions are of many types, such as `struct.error`, or RuntimeError from libavif.
    """
    try:
        yield
    except ValueError:
        raise
    except Exception as error:  # noqa: BLE001 - see above
        raise ValueError(describe_failure(error)) from None


def describe_failure(error: Exception) -> str:
    """Return why Pillow failed, without the path that the system's errors contain."""
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)
