"""Test the table of media kinds: files are recognised by suffix and first bytes, inputs by flags."""

from __future__ import annotations

from typing import Any, get_args

import pytest

from comfykit_jupyter import ExecuteResult
from comfykit_jupyter.workflow.media_kinds import KINDS, MediaKind, find_format, find_suffix
from comfykit_jupyter.workflow.nodes import NodeDefinition


def test_every_kind_has_a_row_and_result_lists() -> None:
    assert tuple(KINDS) == get_args(MediaKind)
    result = ExecuteResult("completed")
    for kind in KINDS.values():
        assert (getattr(result, kind.plural), getattr(result, f"{kind.plural}_by_var")) == ([], {})


def test_suffixes_are_unique() -> None:
    suffixes = [suffix for kind in KINDS.values() for each in kind.formats for suffix in each.suffixes]
    assert len(suffixes) == len(set(suffixes))
    assert all(find_format(f"a{suffix.upper()}") == find_format(f"b{suffix}") for suffix in suffixes)


@pytest.mark.parametrize(
    ("name", "kind", "mime"),
    [
        ("cat.PNG", "image", "image/png"),
        ("cat.gif", "video", "image/gif"),
        ("a.b.opus", "audio", "audio/ogg"),
        ("model.glb", "file", "application/octet-stream"),
        ("", "file", "application/octet-stream"),
    ],
)
def test_kind_is_found_by_suffix(name: str, kind: str, mime: str) -> None:
    found, format_ = find_format(name)
    assert (found, format_.mime) == (kind, mime)


@pytest.mark.parametrize(
    ("name", "head", "kind", "suffix"),
    [
        ("cat.JPG", b"\x89PNG", "image", ".jpg"),
        ("", b"\x89PNG\r\n", "image", ".png"),
        ("", b"RIFF\0\0\0\0WEBPVP8 ", "image", ".webp"),
        ("", b"RIFF\0\0\0\0WAVEfmt ", "audio", ".wav"),
        ("", b"RIFF\0\0\0\0AVI LIST", "video", ".avi"),
        ("", b"\0\0\0\x20ftypisom", "video", ".mp4"),
        ("", b"\0\0\0\x20ftypavif", "image", ".avif"),
        ("file.longsuffix", b"", "image", ".png"),
        ("", b"", "audio", ".wav"),
        ("", b"", "video", ".mp4"),
        ("", b"what is this", "file", ".bin"),
        ("", b"\x89P", "link", ".bin"),
    ],
)
def test_suffix_comes_from_the_name_or_bytes_or_kind(name: str, head: bytes, kind: str, suffix: str) -> None:
    assert find_suffix(name, head, kind) == suffix


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"image_upload": True}, "image"),
        ({"video_upload": True, "image_folder": "input"}, "video"),
        ({"image_folder": "output"}, "image"),
        ({"audio_upload": True}, "audio"),
        ({"file_upload": True}, "file"),
        ({"image_upload": False}, "choice"),
    ],
)
def test_input_kind_is_found_by_flags(options: dict[str, Any], kind: str) -> None:
    definition = NodeDefinition.parse("Load", {"input": {"required": {"file": [["a"], options]}}})
    assert definition.inputs["file"].kind == kind
