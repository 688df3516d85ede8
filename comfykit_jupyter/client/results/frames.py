"""Find a frame of a video or an animated image, by its number or by its time."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.results.images import MAX_PIXELS, map_decoding_errors, open_image
from comfykit_jupyter.client.results.video_frames import (
    TOLERANCE,
    describe_range,
    is_video,
    read_frame,
    read_frame_at,
)
from comfykit_jupyter.workflow.errors import short_repr

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_SECONDS = 1e9
_DURATION = 100
"""Milliseconds of a frame whose file does not say how long it is shown: browsers do the same."""


def find_frame(path: Path, index: int | None, at: float | None) -> Image:
    """Return one frame of a file.

    Args:
        path: A video or an animated image.
        index: The frame, from 0; negative ones count from the end. None for the last one.
        at: A time in seconds; only without an index.

    Raises:
        ValueError: An argument is wrong, the file is neither, can't be read, or has no such frame.
    """
    if at is not None:
        if index is not None:
            raise ValueError("give either the number of a frame or at=, not both")
        if isinstance(at, bool) or not isinstance(at, (int, float)) or not 0 <= at <= _MAX_SECONDS:
            raise ValueError(f"at must be a time in seconds from 0, not {short_repr(at)}")
    elif index is None:
        index = -1
    elif isinstance(index, bool) or not hasattr(index, "__index__"):
        raise ValueError(f"index must be an integer, not {short_repr(index)}: give a time as at=")
    if not is_video(path):
        return _read_animated(path, index, at)
    if at is not None:
        return read_frame_at(path, float(at), MAX_PIXELS)
    return read_frame(path, int(index or 0), MAX_PIXELS)


def _read_animated(path: Path, index: int | None, at: float | None) -> Image:
    with map_decoding_errors():
        try:
            image: Any = open_image(path)
        except ValueError:
            raise ValueError("it is not a video") from None
        with image:
            count = getattr(image, "n_frames", 1)
            if count == 1 or image.format == "MPO":
                raise ValueError("it is not a video: pil() reads an image")
            if at is not None:
                index = _find_index(_iterate_durations(image, count), at)
            wanted = int(index or 0)
            if not -count <= wanted < count:
                raise ValueError(describe_range(wanted, count))
            image.seek(wanted % count)
            frame: Image = image.convert("RGBA" if image.has_transparency_data else "RGB")
            return frame


def _iterate_durations(image: Any, count: int) -> Iterator[float]:
    """Yield the seconds for which each frame is shown."""
    for index in range(count):
        image.seek(index)
        image.load()  # the duration of a WebP frame is known once it is decoded
        yield (image.info.get("duration") or _DURATION) / 1000


def _find_index(durations: Iterator[float], at: float) -> int:
    end, last = 0.0, -1
    for index, duration in enumerate(durations):
        end, last = end + duration, index
        if at < end - TOLERANCE:
            return index
    if at <= end + TOLERANCE:
        return last
    raise ValueError(f"it lasts {end:.3g} s: {at:.3g} s is after its end")
