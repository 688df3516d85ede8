"""A contact sheet: one image of all points of a sweep, or of some rows, with labels."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.local_files import write_whole
from comfykit_jupyter.client.results.images import open_image
from comfykit_jupyter.explore.points.preparation import describe_label

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


class Cell(NamedTuple):
    """One cell of a sheet.

    Attributes:
        label: What stands above the image.
        source: The image; None if there is none.
        text: What stands there without an image.
    """

    label: str
    source: Path | bytes | None
    text: str


_BACKGROUND, _TEXT, _FAINT = (255, 255, 255), (20, 20, 20), (150, 150, 150)


def draw_sheet(cells: Sequence[Cell], columns: int, side: int) -> Image:
    """Return a contact sheet.

    Args:
        cells: What it shows, line by line.
        columns: The cells of a line.
        side: Pixels of each image's longer side.

    Raises:
        ComfyKitError: It would be too large.
    """
    from PIL import Image as Images
    from PIL import ImageDraw

    rows = math.ceil(len(cells) / columns)
    width, height = _compute_size(columns, rows, side)
    if not _is_allowed(width, height):
        smaller = range(min(side, MAX_SIDE), 7, -1)
        fitting = next((each for each in smaller if _is_allowed(*_compute_size(columns, rows, each))), None)
        advice = f"give side={fitting}, or pick some points" if fitting else "pick some points"
        raise ComfyKitError(f"sheet: {width:,} × {height:,} pixels are too many: {advice}")
    sheet = Images.new("RGB", (width, height), _BACKGROUND)
    draw = ImageDraw.Draw(sheet)
    for index, cell in enumerate(cells):
        left, top = GAP + index % columns * (side + GAP), GAP + index // columns * (side + LABEL + GAP)
        _draw_label(draw, cell.label, left, top, side)
        image = _load(cell.source, side) if cell.source is not None else None
        if image is not None:
            sheet.paste(image, (left + (side - image.width) // 2, top + LABEL + (side - image.height) // 2))
        else:
            draw.text((left + GAP, top + LABEL + GAP), cell.text, fill=_FAINT)
    return sheet


def make_sheet(sweep: Sweep, side: int) -> Image:
    """Return a contact sheet: the last axis is its columns, all others are its rows.

    Args:
        sweep: The sweep.
        side: Pixels of each image's longer side.

    Raises:
        ComfyKitError: No point is done, or the sheet would be too large.
    """
    if "completed" not in sweep.states:
        raise ComfyKitError("sheet: no point is done yet")
    columns = len(sweep.axes[-1]) if not sweep.axes[-1].paired else math.ceil(math.sqrt(len(sweep.points)))
    cells = []
    for point in sweep.points:
        state = sweep.get_state(point.index)
        is_done = state == "completed" and not sweep.is_forgotten(point.index)
        source = sweep[point.index].find_image() if is_done else None
        label = ", ".join(f"{name} {describe_label(each)}" for name, each in point.labels.items())
        cells.append(Cell(label, source, state))
    return draw_sheet(cells, columns, side)


def _compute_size(columns: int, rows: int, side: int) -> tuple[int, int]:
    """Return the width and height of a sheet in pixels."""
    return columns * (side + GAP) + GAP, rows * (side + LABEL + GAP) + GAP


def _is_allowed(width: int, height: int) -> bool:
    return max(width, height) <= MAX_SIDE and width * height <= MAX_PIXELS


def _draw_label(draw: ImageDraw, text: str, left: int, top: int, width: int) -> None:
    """Draw a label that ends where its image does."""
    plain = text.encode("latin-1", "replace").decode("latin-1")  # what the built-in font has
    while plain and draw.textlength(plain) > width:
        plain = plain[:-2].rstrip(".") + "." if len(plain) > 2 else ""
    draw.text((left, top), plain, fill=_TEXT)


def _load(source: Path | bytes, side: int) -> Image | None:
    import io

    from comfykit_jupyter.client.results.thumbnail import make_thumbnail

    try:
        small = make_thumbnail(source, side, "PNG").data
        return open_image(io.BytesIO(small)).convert("RGB")
    except (ValueError, OSError):
        return None


def check_sheet_name(path: Path) -> None:
    """Check that a sheet can be written to a file.

    Raises:
        ComfyKitError: The suffix is not one of images.
    """
    from comfykit_jupyter.workflow.media_kinds import find_format

    kind, found = find_format(path.name)
    if kind != "image" or found.mime not in ("image/png", "image/jpeg", "image/webp"):
        raise ComfyKitError(f"sheet: give a name that ends in .png, .jpg or .webp, not {path.suffix or path.name}")


def save_sheet(sheet: Image, path: Path) -> Path:
    """Write a sheet to a file; its suffix says the format."""
    from comfykit_jupyter.workflow.media_kinds import find_format

    with write_whole(path) as draft:
        sheet.save(draft, find_format(path.name)[1].mime.removeprefix("image/"), quality=90)
    return path


def write_sheet(sweep: Sweep, path: Path, side: int) -> Path:
    """Write a contact sheet to a file; its suffix says the format.

    Raises:
        ComfyKitError: The format is not one of images.
    """
    check_sheet_name(path)
    return save_sheet(make_sheet(sweep, side), path)
