"""The first frame of a video, decoded by PyAV where it is installed.

The container is chosen by the file's suffix and never guessed from its content: a guess may find a playlist, which
names other files and addresses. We open the file ourselves, so that no name in it is followed.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from comfykit_jupyter.workflow.media_kinds import find_format

if TYPE_CHECKING:
    from PIL.Image import Image

_MAX_PACKETS = 500
"""Packets that are read until there is a frame: audio may come first."""


def is_video(path: Path) -> bool:
    """Whether the suffix is one of a video that `read_first_frame` may be able to read."""
    return find_format(path.name)[1].container is not None


def read_first_frame(path: Path, pixels: int) -> Image:
    """Return the first frame of a video.

    Args:
        path: The video.
        pixels: The most pixels that a frame may have.

    Raises:
        ValueError: PyAV is not installed, the video has no frame that can be read, or it is too large.
    """
    try:
        import av
    except ImportError:
        raise ValueError("a thumbnail of a video needs PyAV: pip install av") from None
    try:
        with path.open("rb") as file, av.open(file, format=find_format(path.name)[1].container) as container:
            if not container.streams.video:
                raise ValueError("the file has no video stream")
            stream = container.streams.video[0]
            width, height = stream.codec_context.width, stream.codec_context.height
            if width * height > pixels:
                raise ValueError(f"the video is too large to show: {width} × {height} pixels")
            for count, packet in enumerate(container.demux(stream)):
                for frame in packet.decode():
                    if frame.width * frame.height > pixels:  # the stream says something else than the file
                        raise ValueError(f"the video is too large to show: {frame.width} × {frame.height} pixels")
                    image: Image = frame.to_image()
                    return image
                if count > _MAX_PACKETS:
                    break
    except (av.FFmpegError, OSError, EOFError, MemoryError):
        raise ValueError("the video can't be read") from None
    raise ValueError("the video has no frame that can be read")
