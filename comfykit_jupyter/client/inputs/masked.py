"""`Masked`: an image with a mask, as the value of an image input."""

from __future__ import annotations

import hashlib
import io
import os
from copy import copy
from functools import cached_property
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from comfykit_jupyter.client.errors import ParameterError, Problem
from comfykit_jupyter.client.inputs.files import LocalFile, find_local_file, read_file
from comfykit_jupyter.client.loop import call
from comfykit_jupyter.client.results.images import MAX_PIXELS, map_decoding_errors, open_image
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.document.workflow import Upload
from comfykit_jupyter.workflow.errors import describe_type, one_line, short_repr

if TYPE_CHECKING:
    from PIL import Image

ID_LENGTH = 16
"""Digits of a mask's ID."""


class Masked:
    """An image with a mask: where the mask is set, an inpainting workflow repaints the image.

    Give it wherever an image is accepted: to `kit.run`, a form, a sweep, `kit.map` or a magic. What is sent is a PNG:
    the image turned upright, its colours unchanged, with 255 − mask as its alpha, as ComfyUI's *Load Image* reads it.

    The mask is copied, so that a later change of the array does not change the value. To keep a value in files, write
    `image` and `mask` (the bytes of a PNG); `Masked(image, mask)` is the same value again.

    Args:
        image: The image: whatever an image input accepts, such as a path, a URL, or an output of an earlier run.
        mask: Its mask, in the size of the upright image: an array (height × width) of booleans, floats from 0 to 1 or
            uint8; or an image, as a path, bytes, a Pillow image or an output, of which white is repainted.

    Attributes:
        image: The image as it was given; bytes for an image that was an object, such as an array.
        mask: The mask as an 8-bit grey PNG, 255 where it is set.
        size: Width and height of the mask, in pixels.
        id: Identifies the mask by its pixels.

    Raises:
        ParameterError: The mask is not one.
        SourceError: The mask can't be read.

    Example:
        >>> import numpy as np
        >>> mask = np.zeros((64, 48), bool)
        >>> mask[:32] = True
        >>> Masked("photo.jpg", mask).size
        (48, 64)
    """

    def __init__(self, image: Any, mask: Any) -> None:
        self.image = _to_kept(image)
        grey = _to_grey(mask)
        self.mask: bytes = _encode(grey)
        self.size: tuple[int, int] = grey.size
        self.id = _compute_id(grey)
        self.overlay: bytes | None = None
        """A small WebP image with the mask drawn over it, once the value was sent."""

    @property
    def is_kept(self) -> bool:
        """Whether results keep the value as it is: its image is named, not included."""
        return not isinstance(self.image, bytes)

    @property
    def has_url(self) -> bool:
        """Whether the image has to be fetched before it can be checked."""
        return isinstance(self.image, str) and self.image.startswith(("http://", "https://"))

    @cached_property
    def _name(self) -> str:
        if isinstance(self.image, bytes):
            return f"image {hashlib.sha256(self.image).hexdigest()[:ID_LENGTH]}"
        if isinstance(self.image, Media):
            return self.image.name
        text = str(os.fspath(self.image))
        if "://" in text:
            return PurePath(urlsplit(text).path).name or text  # the query may contain a secret
        return text

    def with_image(self, image: Any) -> Masked:
        """Return the same mask with an image that is in another place."""
        other = copy(self)
        other.__dict__.pop("_name", None)
        other.image = _to_kept(image)
        return other

    def open_mask(self) -> Image.Image:
        """Return the mask as a grey Pillow image."""
        image = open_image(io.BytesIO(self.mask))
        image.load()
        return image

    def __str__(self) -> str:
        return f"{self._name}, mask {self.id}"

    def __repr__(self) -> str:
        width, height = self.size
        return f"<Masked {one_line(self._name, 200)}, mask {self.id}, {width} × {height}>"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Masked):
            return NotImplemented
        return (self.id, type(self.image), self.image) == (other.id, type(other.image), other.image)

    def __hash__(self) -> int:
        return hash((self.id, self._name))


def _to_kept(image: Any) -> Any:
    """Return an image in a form that does not change: objects such as arrays and open files become bytes."""
    if isinstance(image, Masked):
        return image.image
    if isinstance(image, (str, os.PathLike, bytes)):
        return image
    return _read("image", image)


def _read(name: str, value: Any) -> Path | bytes:
    """Return the file or the bytes of an argument.

    Raises:
        ParameterError: It is not an image.
    """
    if name == "mask" and type(value) is str and "://" not in value and find_local_file(value) is None:
        raise _build_error(f"there is no file {short_repr(value, 200)} to read the mask from")
    source = call(read_file(Upload(name, "", "Masked", name, "image", value), None))
    if not isinstance(source, LocalFile):
        raise _build_error(f"{name} can't be read: give a path, a URL, bytes, a Pillow image or an array")
    if not source.temporary:
        return source.content
    try:
        return Path(source.content).read_bytes() if isinstance(source.content, Path) else source.content
    finally:
        source.remove()


def _to_grey(mask: Any) -> Image.Image:
    """Return a mask as a grey image, 255 where it is set.

    Raises:
        ParameterError: It is not a mask.
    """
    if hasattr(mask, "shape") and hasattr(mask, "dtype"):
        return _convert_array(mask)
    if not (hasattr(mask, "save") and hasattr(mask, "mode")):
        if isinstance(mask, bool) or mask is None or isinstance(mask, (int, float, list, tuple, dict)):
            raise _build_error(f"mask must be an array (height × width) or an image, not {describe_type(mask)}")
        content = _read("mask", mask)
        try:
            with (
                map_decoding_errors(),
                open_image(io.BytesIO(content) if isinstance(content, bytes) else content) as image,
            ):
                return _convert_image(image)
        except ValueError as error:
            raise _build_error(f"mask can't be read: {error}") from None
    return _convert_image(mask)


def _convert_image(image: Image.Image) -> Image.Image:
    from PIL import ImageOps

    if image.width * image.height > MAX_PIXELS:
        raise _build_error(f"mask has {image.width} × {image.height} pixels, more than {MAX_PIXELS:,}")
    image = ImageOps.exif_transpose(image)
    if "A" in image.getbands() or "transparency" in image.info:
        if image.convert("RGBA").getchannel("A").getextrema() != (255, 255):
            raise _build_error("mask has transparent pixels: give a grey image, white where it is to be repainted")
        image = image.convert("RGB")
    if image.mode == "F":
        raise _build_error("mask must be a grey image of 8 bits, or an array of floats from 0 to 1")
    if image.mode.startswith("I"):
        image = image.convert("I").point(lambda value: value * (1 / 257))
    return image.convert("L")


def _convert_array(mask: Any) -> Image.Image:
    """Return an array as a grey image; also one of a batch or a channel of 1, as ComfyUI's masks are."""
    from PIL import Image

    if not hasattr(mask, "__array_interface__"):
        try:
            mask = mask.__array__()  # a tensor
        except Exception as error:  # noqa: BLE001 - each library has its own, such as for a tensor on a GPU
            raise _build_error(f"mask can't be read as an array: {one_line(str(error), 200)}") from None
    shape = tuple(mask.shape)
    if len(shape) == 3 and 1 in (shape[0], shape[2]):
        mask = mask[0] if shape[0] == 1 else mask[:, :, 0]
    if len(mask.shape) != 2 or 0 in mask.shape:
        raise _build_error(f"mask must have the shape height × width, not {shape}")
    if mask.shape[0] * mask.shape[1] > MAX_PIXELS:
        raise _build_error(f"mask has {mask.shape[1]} × {mask.shape[0]} pixels, more than {MAX_PIXELS:,}")
    if mask.dtype.kind == "f":
        if not (mask.min() >= 0 and mask.max() <= 1):  # also for NaN
            raise _build_error("mask must have floats from 0 to 1")
        mask = (mask * 255).round()
    elif mask.dtype.kind == "b":
        mask = mask.astype("uint8") * 255
    elif mask.dtype != "uint8":
        raise _build_error(f"mask must have booleans, uint8, or floats from 0 to 1, not {mask.dtype}")
    return Image.fromarray(mask.astype("uint8"))


def _encode(grey: Image.Image) -> bytes:
    buffer = io.BytesIO()
    grey.save(buffer, format="PNG", compress_level=3)
    return buffer.getvalue()


def _compute_id(grey: Image.Image) -> str:
    digest = hashlib.sha256(f"{grey.width} {grey.height} ".encode())
    digest.update(grey.tobytes())
    return digest.hexdigest()[:ID_LENGTH]


def _build_error(message: str) -> ParameterError:
    return ParameterError((Problem("mask", f"Masked: {message}"),))
