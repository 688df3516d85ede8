"""The first picture of a video, by PyAV where it is installed.

The container is told by the suffix and never guessed from the content: what a guess finds may be a playlist, which
names other files and addresses. The file is opened by us, so that no name in it or of it is followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

_CONTAINERS = {
    ".mp4": "mov",
    ".m4v": "mov",
    ".mov": "mov",
    ".webm": "matroska",
    ".mkv": "matroska",
    ".avi": "avi",
}
_PACKETS = 500
"""Packets that are read until there is a picture: a sound track may come first."""


def is_video(path: Path) -> bool:
    """Whether the name is that of a video which `read_first_frame` may know."""
    return path.suffix.lower() in _CONTAINERS


def read_first_frame(path: Path, pixels: int) -> Image:
    """The first picture of a video.

    Args:
        path: the video.
        pixels: how many a picture may have at most.

    Raises:
        ValueError: PyAV is not installed, there is no picture in it, or it is too large.
    """
    try:
        import av
    except ImportError:
        raise ValueError("PyAV is not installed: without it a video has no thumbnail (pip install av)") from None
    try:
        with path.open("rb") as file, av.open(file, format=_CONTAINERS[path.suffix.lower()]) as container:
            if not container.streams.video:
                raise ValueError("no picture in this video")
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > pixels:
                raise ValueError(f"a video of {width} × {height} pixels is too large to be shown")
            for count, packet in enumerate(container.demux(stream)):
                for frame in packet.decode():
                    picture: Image = frame.to_image()
                    return picture
                if count > _PACKETS:
                    break
    except (av.FFmpegError, OSError, EOFError, MemoryError):
        raise ValueError("no video that can be read") from None
    raise ValueError("no picture in this video")
