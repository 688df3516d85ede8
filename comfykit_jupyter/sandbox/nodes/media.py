"""Opening files with sound or moving pictures that somebody has uploaded."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from av.container import InputContainer

_FORMATS = (
    "aac", "aiff", "avi", "flac", "flv", "gif", "matroska,webm", "mov,mp4,m4a,3gp,3g2,mj2", "mp3", "mpeg", "mpegts",
    "ogg", "wav",
)  # fmt: skip


def open_media(path: Path) -> InputContainer:
    """A file's container, ready to be read.

    Formats that only name other files or addresses, as playlists do, are refused: they would be fetched.

    Raises:
        ValueError: the file is none of the formats that are read here.
    """
    options = {"protocol_whitelist": "file", "format_whitelist": ",".join(_FORMATS)}
    try:
        return av.open(f"file:{path}", options=options)
    except av.FFmpegError as error:
        raise ValueError(f"{path.name} cannot be read as sound or video ({error.strerror})") from error
