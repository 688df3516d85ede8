"""Masks that are painted in the page: what is painted on, and the PNGs that come back."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.masking import make_mask_view, make_view, read_own_mask, read_upright_size
from comfykit_jupyter.client.results.images import map_decoding_errors, open_image

if TYPE_CHECKING:
    from PIL import Image

VIEW_SIDE = 2560
"""Pixels of the longer side of the image that is painted on."""
MAX_BYTES = 64 * 1024 * 1024
"""Bytes of a mask from the page."""
MAX_MASKS = 16
"""Masks that are kept, so that strokes can be changed after they were sent."""
UNTOUCHED = 128
"""The level of pixels that keep what the base has."""
ALPHA = "alpha"
"""What the page calls the mask that the image itself has."""

Piece = tuple[dict[str, Any], list[bytes]]


class PaintedMasks:
    """The masks of one form by their IDs, newest last."""

    def __init__(self) -> None:
        self._masks: OrderedDict[str, Masked] = OrderedDict()

    def add(self, value: Masked) -> None:
        """Keep a mask."""
        self._masks[value.id] = value
        self._masks.move_to_end(value.id)
        while len(self._masks) > MAX_MASKS:
            self._masks.popitem(last=False)

    def find(self, id: str) -> Masked:  # noqa: A002 - as the page calls it
        """Return a mask.

        Raises:
            ComfyKitError: It is not known here.
        """
        if id not in self._masks:
            raise ComfyKitError("this mask is no longer available: paint it again")
        return self._masks[id]

    def read(self, path: Path, file: Path, base: str, *, invert: bool) -> Image.Image:
        """Return the mask that the page has sent.

        Args:
            path: The PNG: 255 where the mask is set, 128 where it is as in the base.
            file: The image.
            base: The ID of the mask that was painted on, `alpha`, or "" for none.
            invert: Whether the base is inverted.

        Raises:
            ComfyKitError: It is not a mask of this image.
        """
        from PIL import Image, ImageChops

        try:
            size = read_upright_size(file)
            with map_decoding_errors(), open_image(path) as image:
                is_fitting = image.format == "PNG" and image.mode == "L" and image.size == size
                painted = image.copy() if is_fitting else None
            below = self._open_base(base, file)
        except ValueError as error:
            raise ComfyKitError(f"the mask can't be read: {error}") from None
        below = Image.new("L", size) if below is None else below
        if painted is None or below.size != size:
            raise ComfyKitError("the mask does not fit the image: paint it again")
        below = ImageChops.invert(below) if invert else below
        untouched = painted.point(lambda level: 255 if level == UNTOUCHED else 0)
        return Image.composite(below, painted, untouched)

    def _open_base(self, base: str, file: Path) -> Image.Image | None:
        if base == ALPHA:
            return read_own_mask(file)
        return self.find(base).open_mask() if base else None


def read_view(file: Path) -> Piece:
    """Answer a page that requests the image to paint on.

    Raises:
        ComfyKitError: It can't be read.
    """
    try:
        small = make_view(file, VIEW_SIDE)
    except ValueError as error:
        raise ComfyKitError(f"{file.name}: the image can't be read: {error}") from None
    return _answer(small.data, small.mime, small.original)


def read_base(value: Any, file: Path) -> Piece:
    """Answer a page that requests the mask that an image has already; no bytes if it has none.

    Raises:
        ComfyKitError: It can't be read.
    """
    try:
        mask = value.open_mask() if isinstance(value, Masked) else read_own_mask(file)
    except ValueError as error:
        raise ComfyKitError(f"{file.name}: the image can't be read: {error}") from None
    if mask is None:
        return _answer(b"", "image/png", (0, 0))
    small = make_mask_view(mask, VIEW_SIDE)
    return _answer(small.data, small.mime, small.original)


def _answer(data: bytes, mime: str, size: tuple[int, int]) -> Piece:
    return {"total": len(data), "mime": mime, "offset": 0, "width": size[0], "height": size[1]}, [data]
