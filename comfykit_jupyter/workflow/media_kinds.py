"""The table of media kinds: the formats of each, how to recognise and show them, and the inputs that accept them.

To add a kind: its name in `MediaKind`, its row in `KINDS`, its lists in `ExecuteResult`, and how the page shows it
(`js/src/outputs/outputViews.tsx`). To add a format of a kind: a line in its row.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final, Literal

MediaKind = Literal["image", "video", "audio", "file"]
Element = Literal["img", "video", "audio"]


@dataclass(frozen=True)
class Format:
    """One file format."""

    mime: str
    suffixes: tuple[str, ...]
    """Its suffixes in lower case, the usual one first."""
    signatures: tuple[bytes, ...] = ()
    """How its files begin; `?` stands for any byte."""
    element: Element | None = None
    """The HTML element that shows it in a browser; None if browsers only save it."""
    container: str | None = None
    """PyAV's name of the container, for videos whose first frame can be read."""
    carries_workflow: bool = False
    """Whether ComfyUI saves the workflow in such files."""


@dataclass(frozen=True)
class KindInfo:
    """Everything about one kind of media."""

    name: MediaKind
    plural: str
    """The attribute of `ExecuteResult` that lists the outputs of this kind."""
    formats: tuple[Format, ...] = ()
    fallback_suffix: str = ".bin"
    """The suffix for bytes that match no signature and were given for a parameter of this kind."""
    has_thumbnail: bool = False
    """Whether an image can be made of it: of a video its first frame."""
    upload_flags: tuple[str, ...] = ()
    """Options of a node's input which say that it takes files of this kind."""
    button_flags: tuple[str, ...] = ()
    """The `upload_flags` for which ComfyUI's editor shows a separate upload button."""
    loaders: Mapping[str, str] = field(default_factory=dict)
    """Common node classes that load such files, with their input: used when no server can be asked."""


_IMAGE: Final = KindInfo(
    name="image",
    plural="images",
    formats=(
        Format("image/png", (".png",), (b"\x89PNG",), "img", carries_workflow=True),
        Format("image/jpeg", (".jpg", ".jpeg"), (b"\xff\xd8\xff",), "img", carries_workflow=True),
        Format("image/webp", (".webp",), (b"RIFF????WEBP",), "img", carries_workflow=True),
        Format("image/avif", (".avif",), (b"????ftypavif",), "img"),
        Format("image/bmp", (".bmp",), (b"BM",), "img"),
        Format("image/tiff", (".tif", ".tiff")),
    ),
    fallback_suffix=".png",
    has_thumbnail=True,
    upload_flags=("image_upload", "animated_image_upload", "image_folder"),
    button_flags=("image_upload", "animated_image_upload"),
    loaders={"LoadImage": "image", "LoadImageMask": "image"},
)
_VIDEO: Final = KindInfo(
    name="video",
    plural="videos",
    formats=(
        Format("image/gif", (".gif",), (b"GIF8",), "img"),  # a video, as in `comfykit`
        Format("video/mp4", (".mp4",), (b"????ftyp",), "video", "mov", carries_workflow=True),
        Format("video/mp4", (".m4v",), (), "video", "mov"),
        Format("video/quicktime", (".mov",), (), "video", "mov", carries_workflow=True),
        Format("video/webm", (".webm",), (b"\x1aE\xdf\xa3",), "video", "matroska", carries_workflow=True),
        Format("video/x-matroska", (".mkv",), (), "video", "matroska", carries_workflow=True),
        Format("video/x-msvideo", (".avi",), (b"RIFF????AVI ",), "video", "avi"),
    ),
    fallback_suffix=".mp4",
    has_thumbnail=True,
    upload_flags=("video_upload",),
    button_flags=("video_upload",),
    loaders={"LoadVideo": "file", "VHS_LoadVideo": "video"},
)
_AUDIO: Final = KindInfo(
    name="audio",
    plural="audios",
    formats=(
        Format("audio/flac", (".flac",), (b"fLaC",), "audio", carries_workflow=True),
        Format("audio/mpeg", (".mp3",), (b"ID3", b"\xff\xfb"), "audio", carries_workflow=True),
        Format("audio/ogg", (".ogg", ".opus"), (b"OggS",), "audio", carries_workflow=True),
        Format("audio/wav", (".wav",), (b"RIFF",), "audio"),
        Format("audio/aac", (".aac",), (), "audio"),
        Format("audio/mp4", (".m4a",), (), "audio", carries_workflow=True),
        Format("audio/x-ms-wma", (".wma",), (), "audio"),
    ),
    fallback_suffix=".wav",
    upload_flags=("audio_upload",),
    loaders={"LoadAudio": "audio", "VHS_LoadAudioUpload": "audio"},
)
_FILE: Final = KindInfo(name="file", plural="files", upload_flags=("file_upload",))

KINDS: Final[dict[MediaKind, KindInfo]] = {kind.name: kind for kind in (_IMAGE, _VIDEO, _AUDIO, _FILE)}
MEDIA_KINDS: Final[frozenset[str]] = frozenset(KINDS)

UPLOAD_FLAGS: Final[Mapping[str, MediaKind]] = {
    flag: kind.name for kind in reversed(KINDS.values()) for flag in kind.upload_flags
}
"""Kinds by the flags of inputs. The first that an input has counts: `image_folder` also stands beside other flags."""
BUTTON_FLAGS: Final = frozenset(flag for kind in KINDS.values() for flag in kind.button_flags)
LOADERS: Final[Mapping[str, tuple[str, MediaKind]]] = {
    class_type: (name, kind.name) for kind in KINDS.values() for class_type, name in kind.loaders.items()
}
"""The input that takes the file, and its kind, by node class."""

_UNKNOWN: Final = Format("application/octet-stream", ())
_BY_SUFFIX: Final[Mapping[str, tuple[MediaKind, Format]]] = {
    suffix: (kind.name, format_) for kind in KINDS.values() for format_ in kind.formats for suffix in format_.suffixes
}
WORKFLOW_SUFFIXES: Final = frozenset(suffix for suffix, (_, each) in _BY_SUFFIX.items() if each.carries_workflow)
"""Suffixes of media in which ComfyUI saves workflows."""


def find_format(name: str) -> tuple[MediaKind, Format]:
    """Return the kind and format of a file by its suffix: all that a server says about a file is its name."""
    return _BY_SUFFIX.get(f".{name.rpartition('.')[2].lower()}", ("file", _UNKNOWN))


def find_suffix(name: str, head: bytes, kind: str) -> str:
    """Return the suffix for a file: from its name, else by its first bytes, else the usual one of the kind."""
    suffix = PurePosixPath(name).suffix.lower()
    if suffix and len(suffix) <= 6 and suffix[1:].isalnum():
        return suffix
    for info in KINDS.values():
        for each in info.formats:
            if any(_matches(head, signature) for signature in each.signatures):
                return each.suffixes[0]
    return KINDS[kind].fallback_suffix if kind in KINDS else _FILE.fallback_suffix


def _matches(head: bytes, signature: bytes) -> bool:
    start = head[: len(signature)]
    return len(start) == len(signature) and all(
        wanted in (b"?"[0], found) for wanted, found in zip(signature, start, strict=True)
    )
