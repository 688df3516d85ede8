"""Say how runs that are compared differ: in their values, and in the pixels of their images."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.images import open_image
from comfykit_jupyter.client.results.wording import format_value
from comfykit_jupyter.explore.rows.row import find_differences
from comfykit_jupyter.notebook.explorer.details import TEXT_LENGTH, describe_value

if TYPE_CHECKING:
    from PIL.Image import Image

    from comfykit_jupyter.explore.rows.row import Row

Marked = list[tuple[str, bool]]
"""The parts of a text, each with whether it differs."""
LONG = 3
"""Words from which a text is compared by words."""
MAX_DIFFERENCES = 40
"""Values that a comparison shows."""
MAX_PIXELS = 64_000_000
"""Pixels of an image that is compared."""


def list_differences(rows: Sequence[Row]) -> list[tuple[str, list[Marked]]]:
    """Return the values that not all of some runs share: the name of each, and the value of each run.

    Without one, they are the inputs in which their prompts differ. Of values with several words, those words are marked
    that not all runs have.
    """
    values = [{"workflow": row.workflow_name, **row.params, **row.seeds} for row in rows]
    names = dict.fromkeys(name for each in values for name in each)
    found = [(name, [each.get(name) for each in values]) for name in names]
    found = [(name, given) for name, given in found if any(each != given[0] for each in given)]
    if not found and len(rows) > 1:
        found = _list_different_inputs(rows)
    return [
        (describe_value(name), mark_words(["" if each is None else format_value(each)[:TEXT_LENGTH] for each in given]))
        for name, given in found[:MAX_DIFFERENCES]
    ]


def mark_words(texts: Sequence[str]) -> list[Marked]:
    """Return texts in parts, each with whether it differs: short ones as a whole, of long ones the words."""
    if all(len(text.split()) < LONG for text in texts):
        return [[(text, True)] for text in texts]
    sets = [set(text.split()) for text in texts if text]
    shared = set.intersection(*sets) if sets else set()
    return [
        [(part, not part.isspace() and part not in shared) for part in re.split(r"(\s+)", text) if part]
        for text in texts
    ]


def _list_different_inputs(rows: Sequence[Row]) -> list[tuple[str, list[Any]]]:
    try:
        prompts = [row.prompt for row in rows]
    except ComfyKitError:  # a workflow is no longer here
        return []
    names = dict.fromkeys(name for each in prompts[1:] for name in find_differences(prompts[0], each))
    return [(name, [_get_input(prompt, name) for prompt in prompts]) for name in names]


def _get_input(prompt: Mapping[str, Any], name: str) -> Any:
    """Return an input by `node.input`, or the class of a node."""
    node_id, _, field = name.partition(".")
    node = prompt.get(node_id, {})
    return node.get("inputs", {}).get(field) if field else node.get("class_type")


def compare_images(sources: Sequence[Path | bytes | None]) -> list[str]:
    """Say in words how each image differs from the first one; "" for the first, and where there is no image."""
    images = [_open(source) for source in sources]
    first = next(iter(images), None)
    return ["" if each is None or first is None or each is first else compare_pixels(first, each) for each in images]


def _open(source: Path | bytes | None) -> Image | None:
    if source is None:
        return None
    try:
        image = open_image(io.BytesIO(source) if isinstance(source, bytes) else source)
        return image.convert("RGB") if image.width * image.height <= MAX_PIXELS else None
    except (ValueError, OSError):  # a video
        return None


def compare_pixels(one: Image, other: Image) -> str:
    """Say how two images differ: in size, or in how many pixels and by how much."""
    from PIL import ImageChops

    if one.size != other.size:
        sizes = " and ".join(f"{image.width} × {image.height}" for image in (one, other))
        return f"the sizes differ: {sizes}"
    red, green, blue = ImageChops.difference(one, other).split()
    counts = ImageChops.lighter(ImageChops.lighter(red, green), blue).histogram()
    differing = sum(counts[1:])
    if not differing:
        return "all pixels are the same"
    share = differing / sum(counts)
    mean = sum(value * count for value, count in enumerate(counts)) / differing
    percent = "less than 1 %" if share < 0.01 else f"{share:.0%}".replace("%", " %")
    return f"{percent} of the pixels differ, by {mean:.1f} of 255 on average"
