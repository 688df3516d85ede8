"""A contact sheet: one picture of all points of a sweep, with labels."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import write_whole
from comfykit_jupyter.client.results.images import open_image
from comfykit_jupyter.explore.sweeps.preparation import describe_label

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw

    from comfykit_jupyter.explore.sweeps.sweep import Sweep

MAX_SIDE = 16_000
"""Pixels of a sheet's longer side; WebP has at most 16,383."""
MAX_PIXELS = 64_000_000
"""Pixels of a sheet: each takes three bytes of memory."""
LABEL = 18
GAP = 6
_BACKGROUND, _TEXT, _FAINT = (255, 255, 255), (20, 20, 20), (150, 150, 150)


def make_sheet(sweep: Sweep, side: int) -> Image:
    """Return a contact sheet: the last axis is its columns, all others are its rows.

    Args:
        sweep: The sweep.
        side: Pixels of each picture's longer side.

    Raises:
        ComfyKitError: No point is done, or the sheet would be too large.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    if "completed" not in sweep.states:
        raise ComfyKitError("sheet: no point is done yet")
    columns = len(sweep.axes[-1]) if not sweep.axes[-1].paired else math.ceil(math.sqrt(len(sweep.points)))
    rows = math.ceil(len(sweep.points) / columns)
    width, height = _compute_size(columns, rows, side)
    if not _is_allowed(width, height):
        smaller = range(min(side, MAX_SIDE), 7, -1)
        fitting = next((each for each in smaller if _is_allowed(*_compute_size(columns, rows, each))), None)
        advice = f"give side={fitting}, or pick some points" if fitting else "pick some points"
        raise ComfyKitError(f"sheet: {width:,} × {height:,} pixels are too many: {advice}")
    sheet = Images.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for point in sweep.points:
        left = GAP + point.index % columns * (side + GAP)
        top = GAP + point.index // columns * (side + LABEL + GAP)
        _draw_label(
            draw, ", ".join(f"{name} {describe_label(each)}" for name, each in point.labels.items()), left, top, side
        )
        picture = _load(sweep, point.index, side)
        if picture is not None:
            sheet.paste(picture, (left + (side - picture.width) // 2, top + LABEL + (side - picture.height) // 2))
        else:
            draw.text((left + GAP, top + LABEL + GAP), sweep.states[point.index], fill=_FAINT)
    return sheet


def _compute_size(columns: int, rows: int, side: int) -> tuple[int, int]:
    """Return the width and height of a sheet in pixels."""
    return columns * (side + GAP) + GAP, rows * (side + LABEL + GAP) + GAP


def _is_allowed(width: int, height: int) -> bool:
    return max(width, height) <= MAX_SIDE and width * height <= MAX_PIXELS


def _draw_label(draw: ImageDraw, text: str, left: int, top: int, width: int) -> None:
    """Draw a label that ends where its picture does."""
    plain = text.encode("latin-1", "replace").decode("latin-1")  # what the built-in font has
    while plain and draw.textlength(plain) > width:
        plain = plain[:-2].rstrip(".") + "." if len(plain) > 2 else ""
    draw.text((left, top), plain, fill=_TEXT)


def _load(sweep: Sweep, index: int, side: int) -> Image | None:
    if sweep.states[index] != "completed" or sweep.is_forgotten(index):
        return None
    if (source := sweep[index].find_picture()) is None:
        return None
    import io

    from comfykit_jupyter.client.results.thumbnail import make_thumbnail

    try:
        small = make_thumbnail(source, side, "PNG").data
        return open_image(io.BytesIO(small)).convert("RGB")
    except (ValueError, OSError):
        return None


def write_sheet(sweep: Sweep, path: Path, side: int) -> Path:
    """Write a contact sheet to a file; its suffix says the format.

    Raises:
        ComfyKitError: The format is not one of images.
    """
    from comfykit_jupyter.workflow.media_kinds import find_format

    kind, found = find_format(path.name)
    if kind != "image" or found.mime not in ("image/png", "image/jpeg", "image/webp"):
        raise ComfyKitError(f"sheet: give a name that ends in .png, .jpg or .webp, not {path.suffix or path.name}")
    sheet = make_sheet(sweep, side)
    with write_whole(path) as draft:
        sheet.save(draft, found.mime.removeprefix("image/"), quality=90)
    return path
