"""Read frames of videos, decoded by PyAV where it is installed.

The container is chosen by the file's suffix and never guessed from its content: a guess may find a playlist, which
names other files and addresses. We open the file ourselves, so that no name in it is followed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.media_kinds import find_format

if TYPE_CHECKING:
    from PIL.Image import Image

TOLERANCE = 0.001
"""Seconds by which times may differ: some containers round them to milliseconds."""
_MAX_PACKETS = 500
"""Packets that are read until there is a frame: audio may come first."""


def is_video(path: Path) -> bool:
    """Return whether the suffix is one of a video that may be readable."""
    return find_format(path.name)[1].container is not None


def read_first_frame(path: Path, pixels: int) -> Image:
    """Return the first frame of a video.

    Args:
        path: The video.
        pixels: The most pixels that a frame may have.

    Raises:
        ValueError: PyAV is not installed, the video has no frame that can be read, or it is too large.
    """
    with _open_video(path, pixels, "a thumbnail of a video") as packets:
        for frames in islice(packets, _MAX_PACKETS):
            for frame in frames:
                found: Image = frame.to_image()
                return found
    raise ValueError("the video has no frame that can be read")


def read_frame(path: Path, index: int, pixels: int) -> Image:
    """Return one frame of a video. For a negative index all frames are decoded, to count them.

    Args:
        path: The video.
        index: The frame, from 0; negative ones count from the end.
        pixels: The most pixels that a frame may have.

    Raises:
        ValueError: PyAV is not installed, the video can't be read, or has no such frame.
    """
    if index < 0:
        with _open_video(path, pixels, "a frame of a video") as packets:
            count = sum(len(frames) for frames in packets)
        if count + index < 0:
            raise ValueError(describe_range(index, count))
        index += count
    with _open_video(path, pixels, "a frame of a video") as packets:
        count = 0
        for frames in packets:
            for frame in islice(frames, index - count, None) if index < count + len(frames) else ():
                found: Image = frame.to_image()
                return found
            count += len(frames)
    raise ValueError(describe_range(index, count))


def describe_range(index: int, count: int) -> str:
    """Return why a frame is not there."""
    if count == 0:
        return "the video has no frame that can be read"
    if index < 0:
        return f"it has {count} frames: {index} is before the first one"
    return f"it has {count} frames: the last one is {count - 1}, or -1"


def read_frame_at(path: Path, at: float, pixels: int) -> Image:
    """Return the frame that a player shows at a time.

    Args:
        path: The video.
        at: Seconds from the first frame.
        pixels: The most pixels that a frame may have.

    Raises:
        ValueError: PyAV is not installed, the video can't be read, or ends before.
    """
    found: Any = None
    start = end = 0.0
    with _open_video(path, pixels, "a frame of a video") as packets:
        for frame in (frame for frames in packets for frame in frames):
            time = end if frame.time is None else float(frame.time)
            if found is None:
                start = time
            elif time - start > at + TOLERANCE:
                break
            found, end = frame, time + _get_duration(frame)
        else:
            if found is None:
                raise ValueError("the video has no frame that can be read")
            if at > end - start + TOLERANCE:
                raise ValueError(f"it lasts {end - start:.3g} s: {at:.3g} s is after its end")
        image: Image = found.to_image()
        return image


def _get_duration(frame: Any) -> float:
    """Return the seconds for which a frame is shown; 0 if that is not known."""
    duration = getattr(frame, "duration", None)
    return float(duration * frame.time_base) if duration and frame.time_base else 0.0


@contextlib.contextmanager
def _open_video(path: Path, pixels: int, what: str) -> Iterator[Iterator[list[Any]]]:
    """Open a video, and yield the frames of each packet."""
    try:
        import av
    except ImportError:
        raise ValueError(f"{what} needs PyAV: pip install av") from None

    def check(width: int, height: int) -> None:
        if width * height > pixels:
            raise ValueError(f"the video is too large to show: {width} × {height} pixels")

    def decode(container: Any, stream: Any) -> Iterator[list[Any]]:
        for packet in container.demux(stream):
            frames = packet.decode()
            for frame in frames:
                check(frame.width, frame.height)  # the stream may say something else than the file
            yield frames

    try:
        with path.open("rb") as file, av.open(file, format=find_format(path.name)[1].container) as container:
            if not container.streams.video:
                raise ValueError("the file has no video stream")
            stream = container.streams.video[0]
            check(stream.codec_context.width, stream.codec_context.height)
            yield decode(container, stream)
    except (av.FFmpegError, OSError, EOFError, MemoryError):
        raise ValueError("the video can't be read") from None
