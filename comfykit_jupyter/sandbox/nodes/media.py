"""Opening files with sound or moving pictures: those that somebody has uploaded, and those that are made."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import av

if TYPE_CHECKING:
    from av.container import InputContainer, OutputContainer

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


def create_media(path: Path, form: str) -> OutputContainer:
    """A new file of a container's format, such as `mp4`: the same content gives the same bytes.

    Without being told so, the library writes random ids into WebM and Ogg.
    """
    options = {"fflags": "+bitexact"}
    if form == "mp4":
        options["movflags"] = "use_metadata_tags"  # else it drops what it has no name for
    return av.open(str(path), "w", format=form, options=options)
