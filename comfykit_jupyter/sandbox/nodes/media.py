"""Opening audio and video files safely, and creating reproducible ones."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

# Formats of files that can be opened.
_FORMATS = (
    "aac", "aiff", "avi", "flac", "flv", "gif", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "mpeg", "mpegts",
    "ogg", "wav",
)  # fmt: skip


def open_media(path: Path) -> InputContainer:
    """Open an audio or video file for reading.

    Formats that refer to other files or addresses, such as playlists, are rejected: the library would fetch them.

    Raises:
        ValueError: The file has an unsupported format.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
    try:
        return av.open(f"file:{path}", options=options)
    except av.FFmpegError as error:
        raise ValueError(f"{path.name} is not a supported audio or video file ({error.strerror})") from error


def create_media(path: Path, form: str) -> OutputContainer:
    """Create a file in a container format such as `mp4`, so that equal content gives equal bytes.

    By default, the library would write random IDs into WebM and Ogg files.
    """
    options = {"fflags": "+bitexact"}
    if form == "mp4":
        options["movflags"] = "use_metadata_tags"  # otherwise unknown metadata keys are dropped
    return av.open(str(path), "w", format=form, options=options)
