"""Nodes that load images, and save PNG, animated PNG and animated WebP files with the prompt inside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, ImageSequence
from PIL.PngImagePlugin import PngInfo

from comfykit_jupyter.sandbox.interface.hashing import hash_file
from comfykit_jupyter.sandbox.interface.images import open_image
from comfykit_jupyter.sandbox.interface.node import Context, Folders, Output, Spec, Specs, node
from comfykit_jupyter.sandbox.interface.values import Floats, check_pixels
from comfykit_jupyter.sandbox.nodes.saving import Files, build_metadata

_IMAGES: Spec = ("IMAGE", {})
_NO_MASK = (64, 64)
"""Height and width, in pixels, of the mask of an image without that channel; the same as ComfyUI's."""

_WEBP_METHODS = {"default": 4, "fastest": 0, "slowest": 6}

# The EXIF tags in which ComfyUI keeps the prompt and other metadata.
_EXIF_MODEL = 0x0110
_EXIF_MAKE = 0x010F


def find_missing_file(folders: Folders, name: str, kind: str) -> str | None:
    """Return ComfyUI's message for a missing file, or None if it exists; `kind` is `image`, `video` or `audio`."""
    try:
        exists = folders.find_file(name).is_file()
    except ValueError:
        exists = False
    return None if exists else f"Invalid {kind} file: {name}"


def _fingerprint(folders: Folders, image: str) -> str:
    return hash_file(folders.find_file(image))


def _validate(folders: Folders, image: str) -> str | None:
    return find_missing_file(folders, image, "image")


def read_frames(path: Path) -> list[Image.Image]:
    """Read the frames of an image, upright; frames whose size differs from the first one's are skipped.

    Raises:
        ValueError: The frames have too many pixels in total.
    """
    frames: list[Image.Image] = []
    with open_image(path) as picture:
        check_pixels(*picture.size)
        for frame in ImageSequence.Iterator(picture):
            upright = ImageOps.exif_transpose(frame)
            if not frames or upright.size == frames[0].size:
                frames.append(upright.copy())
                check_pixels(*upright.size, len(frames))
            if picture.format == "MPO":  # the other frames are other views of the same image
                break
    return frames


def to_image(frame: Image.Image) -> Floats:
    """Convert a frame to floats of shape (height, width, 3), 0…1."""
    if frame.mode.startswith("I"):  # 16-bit grey
        grey = np.asarray(frame, dtype=np.float32) / 65535
        return np.repeat(grey[:, :, None], 3, axis=2).clip(0, 1)
    return np.asarray(frame.convert("RGB"), dtype=np.float32) / 255


def to_alpha_mask(frame: Image.Image) -> Floats:
    """Convert the alpha of a frame to a mask of shape (height, width): 1 where the frame is transparent."""
    if "A" in frame.getbands():
        return to_mask(frame, "alpha")
    # Of images with one transparent colour, ComfyUI reads those with a palette only.
    if frame.mode == "P" and "transparency" in frame.info:
        return to_mask(frame, "alpha")
    return np.zeros(_NO_MASK, dtype=np.float32)


def to_mask(frame: Image.Image, channel: str) -> Floats:
    """Convert a channel of a frame to a mask of shape (height, width), 0…1; transparent pixels of `alpha` are 1."""
    band = channel[0].upper()
    if frame.mode.startswith("I"):  # 16-bit grey
        frame = frame.convert("I").point(lambda value: value * (1 / 257)).convert("L")
    values = np.asarray(frame.convert("RGBA").getchannel(band), dtype=np.float32) / 255
    return 1 - values if band == "A" else values


def to_picture(image: Floats) -> Image.Image:
    """Convert floats of shape (height, width, 3), 0…1, to a Pillow image."""
    return Image.fromarray((image * 255).clip(0, 255).astype(np.uint8))


def _build_image_spec(folders: Folders) -> Spec:
    return folders.list_files("image"), {"image_upload": True}


def _build_load_image_specs(folders: Folders) -> Specs:
    return {"image": _build_image_spec(folders)}


@node(
    "LoadImage",
    display_name="Load Image",
    category="image",
    required=_build_load_image_specs,
    returns=("IMAGE", "MASK"),
    fingerprint=_fingerprint,
    validate=_validate,
)
def load_image(context: Context, image: str) -> Output:
    """Load the frames of an image, and masks of their transparent parts."""
    frames = read_frames(context.folders.find_file(image))
    return Output(
        (
            np.stack([to_image(frame) for frame in frames]),
            np.stack([to_alpha_mask(frame) for frame in frames]),
        )
    )


def _build_load_mask_specs(folders: Folders) -> Specs:
    return {"image": _build_image_spec(folders), "channel": (["alpha", "red", "green", "blue"], {})}


@node(
    "LoadImageMask",
    display_name="Load Image (as Mask)",
    category="image",
    required=_build_load_mask_specs,
    returns=("MASK",),
    fingerprint=_fingerprint,
    validate=_validate,
)
def load_image_mask(context: Context, image: str, channel: str) -> Output:
    """Load one channel of an image as a mask."""
    return Output((to_mask(read_frames(context.folders.find_file(image))[0], channel)[None],))


def _save_png(context: Context, images: Floats, prefix: str | None, compress_level: int) -> Output:
    info = PngInfo()
    for key, text in build_metadata(context).items():
        info.add_text(key, text)
    files = Files(context, prefix, images.shape[2], images.shape[1])
    for image in images:
        to_picture(image).save(files.add("_.png"), "PNG", pnginfo=info, compress_level=compress_level)
    return Output((images,), {"images": files.saved})


@node(
    "SaveImage",
    display_name="Save Image",
    category="image",
    required={"images": _IMAGES, "filename_prefix": ("STRING", {"default": "ComfyUI"})},
    returns=("IMAGE",),
    return_names=("images",),
    output_node=True,
)
def save_image(context: Context, images: Floats, filename_prefix: str = "ComfyUI") -> Output:
    """Save images as PNG files in `output`."""
    return _save_png(context, images, filename_prefix, compress_level=4)


@node(
    "PreviewImage",
    display_name="Preview Image",
    category="image",
    required={"images": _IMAGES},
    returns=("IMAGE",),
    return_names=("images",),
    output_node=True,
)
def preview_image(context: Context, images: Floats) -> Output:
    """Save images as PNG files in `temp`."""
    return _save_png(context, images, None, compress_level=1)


@node(
    "SaveAnimatedWEBP",
    display_name="Save Animated WEBP",
    category="image",
    required={
        "images": _IMAGES,
        "filename_prefix": ("STRING", {"default": "ComfyUI", "multiline": False}),
        "fps": ("FLOAT", {"default": 6.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
        "lossless": ("BOOLEAN", {"default": True}),
        "quality": ("INT", {"default": 80, "min": 0, "max": 100}),
        "method": ("COMBO", {"multiselect": False, "options": list(_WEBP_METHODS)}),
    },
    returns=("IMAGE",),
    return_names=("images",),
    output_node=True,
)
def save_animated_webp(
    context: Context, images: Floats, filename_prefix: str, fps: float, lossless: bool, quality: int, method: str
) -> Output:
    """Save images as one animated WebP file in `output`."""
    exif = Image.Exif()
    for index, (key, text) in enumerate(build_metadata(context).items()):
        exif[_EXIF_MODEL if key == "prompt" else _EXIF_MAKE - index + 1] = f"{key}:{text}"
    files = Files(context, filename_prefix, images.shape[2], images.shape[1])
    first, *others = [to_picture(image) for image in images]
    first.save(
        files.add("_.webp"),
        save_all=True,
        append_images=others,
        duration=round(1000 / fps),
        loop=0,
        lossless=lossless,
        quality=quality,
        method=_WEBP_METHODS[method],
        exif=exif,
    )
    return Output((images,), {"images": files.saved, "animated": [len(images) != 1]})


@node(
    "SaveAnimatedPNG",
    display_name="Save Animated PNG",
    category="image",
    required={
        "images": _IMAGES,
        "filename_prefix": ("STRING", {"default": "ComfyUI", "multiline": False}),
        "fps": ("FLOAT", {"default": 6.0, "min": 0.01, "max": 1000.0, "step": 0.01}),
        "compress_level": ("INT", {"advanced": True, "default": 4, "min": 0, "max": 9}),
    },
    returns=("IMAGE",),
    return_names=("images",),
    output_node=True,
)
def save_animated_png(
    context: Context, images: Floats, filename_prefix: str, fps: float, compress_level: int
) -> Output:
    """Save images as one animated PNG file in `output`."""
    info = PngInfo()
    for key, text in build_metadata(context).items():
        # ComfyUI keeps the metadata of animations in this chunk, not in a text chunk.
        info.add(b"comf", key.encode("latin-1", "replace") + b"\0" + text.encode("latin-1", "replace"), True)
    files = Files(context, filename_prefix, images.shape[2], images.shape[1])
    first, *others = [to_picture(image) for image in images]
    first.save(
        files.add("_.png"),
        save_all=True,
        append_images=others,
        duration=round(1000 / fps),
        pnginfo=info,
        compress_level=compress_level,
    )
    return Output((images,), {"images": files.saved, "animated": [True]})
