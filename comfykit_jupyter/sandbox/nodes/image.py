"""Image nodes: create, scale, crop, blend, blur and batch images."""

from __future__ import annotations

import numpy as np
from PIL import Image

from comfykit_jupyter.sandbox.interface.node import Context, Output, Spec, node
from comfykit_jupyter.sandbox.interface.values import Floats, check_pixels

_METHODS = {
    "nearest-exact": Image.Resampling.NEAREST,
    "bilinear": Image.Resampling.BILINEAR,
    "area": Image.Resampling.BOX,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
    "bislerp": Image.Resampling.BICUBIC,
}
_IMAGE: Spec = ("IMAGE", {})
_METHOD: Spec = (["nearest-exact", "bilinear", "area", "bicubic", "lanczos"], {})


def resize_planes(planes: Floats, width: int, height: int, method: str = "bicubic", center: bool = False) -> Floats:
    """Resize planes of shape (…, height, width).

    Args:
        planes: The planes to resize.
        width: New width in pixels.
        height: New height in pixels.
        method: One of the nodes' upscale methods.
        center: Crop the planes around their centre to the new proportions, instead of distorting them.
    """
    old_height, old_width = planes.shape[-2:]
    box = (0.0, 0.0, float(old_width), float(old_height))
    if center:
        cut_width = min(old_width, old_height * width / height)
        cut_height = min(old_height, old_width * height / width)
        left, top = (old_width - cut_width) / 2, (old_height - cut_height) / 2
        box = (left, top, left + cut_width, top + cut_height)
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), _METHODS[method], box))
        for plane in np.ascontiguousarray(planes, dtype=np.float32).reshape(-1, old_height, old_width)
    ]
    return np.stack(resized).reshape(*planes.shape[:-2], height, width)


def resize(images: Floats, width: int, height: int, method: str = "bicubic", center: bool = False) -> Floats:
    """Resize a batch of images of shape (batch, height, width, 3); see `resize_planes`."""
    check_pixels(width, height, len(images))
    if images.shape[1:3] == (height, width):
        return images
    planes = resize_planes(np.moveaxis(images, 3, 1), width, height, method, center)
    return np.ascontiguousarray(np.moveaxis(planes, 1, 3)).clip(0, 1)


def fit_size(old: tuple[int, int], width: int, height: int) -> tuple[int, int]:
    """Return the new size in pixels; a side of 0 follows from the other in proportion, and two zeros keep the size."""
    old_width, old_height = old
    if not width and not height:
        return old
    return (
        width or max(1, round(old_width * height / old_height)),
        height or max(1, round(old_height * width / old_width)),
    )


@node(
    "EmptyImage",
    display_name="Empty Image",
    category="image",
    required={
        "width": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "height": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "batch_size": ("INT", {"default": 1, "min": 1, "max": 4096}),
        "color": ("INT", {"default": 0, "min": 0, "max": 0xFFFFFF, "step": 1, "display": "color"}),
    },
    returns=("IMAGE",),
)
def empty_image(_: Context, width: int, height: int, batch_size: int = 1, color: int = 0) -> Output:
    """Create images of one colour, 0xRRGGBB."""
    check_pixels(width, height, batch_size)
    rgb = np.array([color >> 16 & 255, color >> 8 & 255, color & 255], dtype=np.float32) / 255
    return Output((np.tile(rgb, (batch_size, height, width, 1)),))


@node(
    "ImageScale",
    display_name="Upscale Image",
    category="image/upscaling",
    required={
        "image": _IMAGE,
        "upscale_method": _METHOD,
        "width": ("INT", {"default": 512, "min": 0, "max": 16384, "step": 1}),
        "height": ("INT", {"default": 512, "min": 0, "max": 16384, "step": 1}),
        "crop": (["disabled", "center"], {}),
    },
    returns=("IMAGE",),
)
def image_scale(_: Context, image: Floats, upscale_method: str, width: int, height: int, crop: str) -> Output:
    """Scale images to a size; a side of 0 follows from the other in proportion."""
    new_width, new_height = fit_size((image.shape[2], image.shape[1]), width, height)
    return Output((resize(image, new_width, new_height, upscale_method, crop == "center"),))


@node(
    "ImageScaleBy",
    display_name="Upscale Image By",
    category="image/upscaling",
    required={
        "image": _IMAGE,
        "upscale_method": _METHOD,
        "scale_by": ("FLOAT", {"default": 1.0, "min": 0.01, "max": 8.0, "step": 0.01}),
    },
    returns=("IMAGE",),
)
def image_scale_by(_: Context, image: Floats, upscale_method: str, scale_by: float) -> Output:
    """Scale images by a factor."""
    width, height = (max(1, round(side * scale_by)) for side in (image.shape[2], image.shape[1]))
    return Output((resize(image, width, height, upscale_method),))


@node(
    "ImageInvert",
    display_name="Invert Image Colors",
    category="image/color",
    required={"image": _IMAGE},
    returns=("IMAGE",),
)
def image_invert(_: Context, image: Floats) -> Output:
    """Invert the colours of images."""
    return Output((1 - image,))


@node(
    "ImageBlend",
    display_name="Blend Images",
    category="image/filters",
    required={
        "image1": _IMAGE,
        "image2": _IMAGE,
        "blend_factor": ("FLOAT", {"default": 0.5, "min": 0.0, "max": 1.0, "step": 0.01}),
        "blend_mode": (
            "COMBO",
            {
                "multiselect": False,
                "options": ["normal", "multiply", "screen", "overlay", "soft_light", "difference"],
            },
        ),
    },
    returns=("IMAGE",),
)
def image_blend(_: Context, image1: Floats, image2: Floats, blend_factor: float, blend_mode: str) -> Output:
    """Blend two images; the second is cropped and scaled to the size of the first."""
    second = resize(image2, image1.shape[2], image1.shape[1], center=True)
    mixed = image1 + (_blend(image1, second, blend_mode) - image1) * np.float32(blend_factor)
    return Output((mixed.clip(0, 1),))


def _blend(a: Floats, b: Floats, mode: str) -> Floats:
    if mode == "multiply":
        return a * b
    if mode == "screen":
        return 1 - (1 - a) * (1 - b)
    if mode == "overlay":
        return np.where(a <= 0.5, 2 * a * b, 1 - 2 * (1 - a) * (1 - b))
    if mode == "soft_light":
        lifted = np.where(a <= 0.25, ((16 * a - 12) * a + 4) * a, np.sqrt(a))
        return np.where(b <= 0.5, a - (1 - 2 * b) * a * (1 - a), a + (2 * b - 1) * (lifted - a))
    if mode == "difference":
        return a - b
    return b


@node(
    "ImageBlur",
    display_name="Blur Image",
    category="image/filters",
    required={
        "image": _IMAGE,
        "blur_radius": ("INT", {"default": 1, "min": 1, "max": 31, "step": 1}),
        "sigma": ("FLOAT", {"default": 1.0, "min": 0.1, "max": 10.0, "step": 0.1}),
    },
    returns=("IMAGE",),
)
def image_blur(_: Context, image: Floats, blur_radius: int, sigma: float) -> Output:
    """Apply a Gaussian blur with a radius in pixels; the borders are mirrored."""
    distance = np.arange(-blur_radius, blur_radius + 1, dtype=np.float32)
    kernel = np.exp(-(distance**2) / (2 * sigma**2), dtype=np.float32)
    kernel /= kernel.sum()
    blurred = image
    for axis in (1, 2):
        side = blurred.shape[axis]
        sides = [(0, 0)] * 4
        sides[axis] = (blur_radius, blur_radius)
        padded = np.pad(blurred, sides, mode="reflect" if side > 1 else "edge")
        blurred = np.zeros_like(image)
        for offset, weight in enumerate(kernel):
            blurred += weight * padded.take(range(offset, offset + side), axis)
    return Output((blurred,))


@node(
    "ImageCrop",
    display_name="Crop Image (DEPRECATED)",
    category="image/transform",
    required={
        "image": _IMAGE,
        "width": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "height": ("INT", {"default": 512, "min": 1, "max": 16384, "step": 1}),
        "x": ("INT", {"default": 0, "min": 0, "max": 16384, "step": 1}),
        "y": ("INT", {"default": 0, "min": 0, "max": 16384, "step": 1}),
    },
    returns=("IMAGE",),
    options={"deprecated": True},
)
def image_crop(_: Context, image: Floats, width: int, height: int, x: int, y: int) -> Output:
    """Crop images; the part outside their borders is ignored."""
    left, top = min(x, image.shape[2] - 1), min(y, image.shape[1] - 1)
    return Output((image[:, top : top + height, left : left + width],))


@node(
    "ImageBatch",
    display_name="Batch Images (DEPRECATED)",
    category="image/batch",
    required={"image1": _IMAGE, "image2": _IMAGE},
    returns=("IMAGE",),
    options={"deprecated": True},
)
def image_batch(_: Context, image1: Floats, image2: Floats) -> Output:
    """Join two batches; the second is cropped and scaled to the size of the first."""
    check_pixels(image1.shape[2], image1.shape[1], len(image1) + len(image2))
    second = resize(image2, image1.shape[2], image1.shape[1], "bilinear", center=True)
    return Output((np.concatenate((image1, second)),))


@node(
    "ImageFromBatch",
    display_name="Get Image from Batch",
    category="image/batch",
    required={
        "image": _IMAGE,
        "batch_index": ("INT", {"default": 0, "min": -16384, "max": 16384}),
        "length": ("INT", {"default": 1, "min": 1, "max": 4096}),
    },
    returns=("IMAGE",),
)
def image_from_batch(_: Context, image: Floats, batch_index: int, length: int) -> Output:
    """Take consecutive images from a batch; a negative index counts from its end."""
    first = max(0, min(batch_index if batch_index >= 0 else len(image) + batch_index, len(image) - 1))
    return Output((image[first : first + length],))


@node(
    "RepeatImageBatch",
    display_name="Repeat Image Batch",
    category="image/batch",
    required={"image": _IMAGE, "amount": ("INT", {"default": 1, "min": 1, "max": 4096})},
    returns=("IMAGE",),
)
def repeat_image_batch(_: Context, image: Floats, amount: int) -> Output:
    """Repeat a batch of images."""
    check_pixels(image.shape[2], image.shape[1], len(image) * amount)
    return Output((np.tile(image, (amount, 1, 1, 1)),))
