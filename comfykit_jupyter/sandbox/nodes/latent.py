"""Latent nodes: empty latents, encoding and decoding images, scaling and batches."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.node import Context, Output, Spec, node
from comfykit_jupyter.sandbox.interface.values import Floats, Latent, check_pixels
from comfykit_jupyter.sandbox.nodes.image import fit_size, resize, resize_planes
from comfykit_jupyter.sandbox.nodes.model import Vae
from comfykit_jupyter.sandbox.nodes.painter.color import from_rgb, to_rgb

_LATENT: Spec = ("LATENT", {})
_SHRINK = 8
"""Pixels of an image's side for each cell of a latent."""

_MAX_PIXELS = 2**25
"""Largest size of a latent's batch, in image pixels: sampling needs several times the memory of the images."""

# The four channels are scaled to about -2…2 as (value - centre) × range.
_RANGE = np.array([5.0, 18.0, 18.0, 8.0], dtype=np.float32)[:, None, None]
_CENTRE = np.array([0.55, 0.0, 0.0, 0.0], dtype=np.float32)[:, None, None]


def encode(images: Floats) -> Floats:
    """Encode images as `samples`: the mean OKLab colour and the contrast of each 8 × 8 pixels, about -2…2.

    Args:
        images: Array of shape (batch, height, width, 3), 0…1.
    """
    height, width = (max(1, side // _SHRINK) for side in images.shape[1:3])
    samples = np.empty((len(images), 4, height, width), dtype=np.float32)
    for sample, image in zip(samples, images, strict=True):
        planes = np.moveaxis(image, 2, 0)
        grey = planes.mean(axis=0)
        small = resize_planes(np.stack([*planes, grey, grey * grey]), width, height, "area")
        sample[:3] = from_rgb(small[:3])
        sample[3] = np.sqrt((small[4] - small[3] ** 2).clip(0))
    return (samples - _CENTRE) * _RANGE


def shift_colours(image: Floats, change: Floats) -> Floats:
    """Shift the colours of an image of shape (height, width, 3) by a change of its samples."""
    lab = from_rgb(np.ascontiguousarray(np.moveaxis(image, 2, 0)))
    lab += resize_planes(change[:3] / _RANGE[:3], image.shape[1], image.shape[0])
    return np.moveaxis(to_rgb(lab), 0, 2)


def decode(latent: Latent) -> Floats:
    """Decode a latent to images of shape (batch, height, width, 3), 0…1.

    The result is the canvas, with its colours shifted to match `samples`, so that remaining noise is visible.
    """
    samples = latent["samples"]
    height, width = (side * _SHRINK for side in samples.shape[2:])
    canvas = latent.get("canvas")
    if canvas is None:
        canvas = np.full((len(samples), height, width, 3), 0.5, dtype=np.float32)
    changes = samples - encode(canvas)
    if np.abs(changes).max(initial=0) < 1e-4:
        return canvas
    return np.stack([shift_colours(image, change) for image, change in zip(canvas, changes, strict=True)])


def is_empty(latent: Latent) -> bool:
    """Return whether a latent has not been sampled or encoded yet."""
    return "canvas" not in latent and not latent["samples"].any()


@node(
    "EmptyLatentImage",
    display_name="Empty Latent Image",
    category="model/latent",
    required={
        "width": ("INT", {"default": 512, "min": 16, "max": 16384, "step": 8}),
        "height": ("INT", {"default": 512, "min": 16, "max": 16384, "step": 8}),
        "batch_size": ("INT", {"default": 1, "min": 1, "max": 4096}),
    },
    returns=("LATENT",),
)
def empty_latent_image(_: Context, width: int, height: int, batch_size: int = 1) -> Output:
    """Create an empty latent; its sides are in pixels, rounded down to multiples of 8."""
    check_pixels(width, height, batch_size, _MAX_PIXELS)
    shape = (batch_size, 4, height // _SHRINK, width // _SHRINK)
    return Output((Latent(samples=np.zeros(shape, dtype=np.float32)),))


@node(
    "VAEEncode",
    display_name="VAE Encode",
    category="model/latent",
    required={"pixels": ("IMAGE", {}), "vae": ("VAE", {})},
    returns=("LATENT",),
)
def vae_encode(_: Context, pixels: Floats, vae: Vae) -> Output:  # noqa: ARG001  # every VAE encodes alike
    """Encode images as a latent; sides are cropped evenly to multiples of 8."""
    height, width = (max(_SHRINK, side // _SHRINK * _SHRINK) for side in pixels.shape[1:3])
    check_pixels(width, height, len(pixels), _MAX_PIXELS)
    if pixels.shape[1] < height or pixels.shape[2] < width:
        canvas = resize(pixels, width, height)
    else:
        top, left = (pixels.shape[1] - height) // 2, (pixels.shape[2] - width) // 2
        canvas = pixels[:, top : top + height, left : left + width]
    return Output((Latent(samples=encode(canvas), canvas=canvas),))


@node(
    "VAEDecode",
    display_name="VAE Decode",
    category="model/latent",
    required={"samples": _LATENT, "vae": ("VAE", {})},
    returns=("IMAGE",),
)
def vae_decode(_: Context, samples: Latent, vae: Vae) -> Output:  # noqa: ARG001
    """Decode a latent to images."""
    return Output((decode(samples),))


@node(
    "LatentUpscale",
    display_name="Upscale Latent",
    category="model/latent",
    required={
        "samples": _LATENT,
        "upscale_method": (["nearest-exact", "bilinear", "area", "bicubic", "bislerp"], {}),
        "width": ("INT", {"default": 512, "min": 0, "max": 16384, "step": 8}),
        "height": ("INT", {"default": 512, "min": 0, "max": 16384, "step": 8}),
        "crop": (["disabled", "center"], {}),
    },
    returns=("LATENT",),
)
def latent_upscale(_: Context, samples: Latent, upscale_method: str, width: int, height: int, crop: str) -> Output:
    """Scale a latent to a size in pixels; a side of 0 follows from the other in proportion."""
    small = samples["samples"]
    wide, high = fit_size((small.shape[3] * _SHRINK, small.shape[2] * _SHRINK), width, height)
    wide, high = (max(_SHRINK * 2, side // _SHRINK * _SHRINK) for side in (wide, high))
    check_pixels(wide, high, len(small), _MAX_PIXELS)
    center = crop == "center"
    larger = Latent(samples=resize_planes(small, wide // _SHRINK, high // _SHRINK, upscale_method, center))
    if "canvas" in samples:
        # Scale the canvas in full, then add the change that exists only in the samples.
        change = resize_planes(
            small - encode(samples["canvas"]), wide // _SHRINK, high // _SHRINK, upscale_method, center
        )
        larger["canvas"] = resize(samples["canvas"], wide, high, upscale_method, center)
        larger["samples"] = encode(larger["canvas"]) + change
    if "mask" in samples:
        larger["mask"] = samples["mask"]
    return Output((larger,))


@node(
    "RepeatLatentBatch",
    display_name="Repeat Latent Batch",
    category="model/latent/batch",
    required={"samples": _LATENT, "amount": ("INT", {"default": 1, "min": 1, "max": 64})},
    returns=("LATENT",),
)
def repeat_latent_batch(_: Context, samples: Latent, amount: int) -> Output:
    """Repeat a batch of latents."""
    small = samples["samples"]
    check_pixels(small.shape[3] * _SHRINK, small.shape[2] * _SHRINK, len(small) * amount, _MAX_PIXELS)
    repeated = Latent(samples=np.tile(small, (amount, 1, 1, 1)))
    if "canvas" in samples:
        repeated["canvas"] = np.tile(samples["canvas"], (amount, 1, 1, 1))
    if "mask" in samples:
        repeated["mask"] = samples["mask"]
    return Output((repeated,))
