"""Test reading the workflows that media files carry."""

from __future__ import annotations

import io
import json
import os
import random
import struct
import zlib
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.embedded import read_carried
from comfykit_jupyter.workflow.errors import WorkflowError
from tests.unit import media_files
from tests.unit.media_files import KINDS, Make, make_chunk

PROMPT: dict[str, Any] = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 2**63, "model": ["4", 0]}, "_meta": {"title": "$seed ü 🙂"}},
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "a = b; c.safetensors", "x": "<&>\\\n#"}},
}
EDITOR: dict[str, Any] = {"nodes": [{"id": 3, "type": "KSampler", "title": "雪"}], "links": [], "version": 0.4}
TEXTS = {"prompt": json.dumps(PROMPT), "workflow": json.dumps(EDITOR)}


@pytest.fixture(scope="module", params=KINDS, ids=lambda make: make.__name__)
def make(request: pytest.FixtureRequest) -> Make:
    made: Make = request.param
    return made


def test_prompt_and_workflow_are_found(make: Make) -> None:
    data = make(TEXTS)
    for source in (data, io.BytesIO(data)):
        carried = read_carried(source)
        assert carried is not None
        assert json.loads(carried.prompt or "") == PROMPT
        assert json.loads(carried.workflow or "") == EDITOR


UNESCAPED = ("png_international", "mp4", "mov", "mp4_comment", "webm", "mkv", "flac", "mp3", "mp3_old", "opus", "m4a")


@pytest.mark.parametrize("name", UNESCAPED)
def test_texts_with_unescaped_unicode_are_found(name: str) -> None:
    texts = {"prompt": json.dumps(PROMPT, ensure_ascii=False), "workflow": json.dumps(EDITOR, ensure_ascii=False)}
    carried = read_carried(getattr(media_files, name)(texts))
    assert carried is not None
    assert json.loads(carried.prompt or "") == PROMPT
    assert json.loads(carried.workflow or "") == EDITOR


def test_long_texts_are_found(make: Make) -> None:
    if make.__name__.startswith("jpeg"):
        pytest.skip("a segment of a JPEG holds 64 KB")
    prompt = {**PROMPT, "5": {"class_type": "X", "inputs": {"text": "long " * 60_000}}}
    carried = read_carried(make({"prompt": json.dumps(prompt), "workflow": TEXTS["workflow"]}))
    assert carried is not None
    assert json.loads(carried.prompt or "") == prompt
    assert json.loads(carried.workflow or "") == EDITOR


def test_prompt_is_preferred_and_the_editor_graph_kept(make: Make) -> None:
    workflow = Workflow.parse(make(TEXTS))
    assert workflow.prompt == PROMPT
    assert workflow.editor == EDITOR
    assert Workflow.parse(make({"prompt": TEXTS["prompt"]})).editor is None


def test_editor_graph_is_used_without_a_prompt(make: Make) -> None:
    for texts in ({"workflow": TEXTS["workflow"]}, {"prompt": '"a cat"', "workflow": TEXTS["workflow"]}):
        workflow = Workflow.parse(make(texts))
        assert not workflow.resolved
        assert workflow.editor == EDITOR


def test_media_without_a_workflow_is_rejected_by_kind(make: Make) -> None:
    with pytest.raises(WorkflowError, match=r"fox is an? .* that carries no workflow"):
        Workflow.parse(make({}), "fox")


def test_open_file_is_read_and_its_position_restored(make: Make, tmp_path: Path) -> None:
    path = tmp_path / "no-suffix"
    path.write_bytes(make(TEXTS))
    with path.open("rb") as file:
        assert Workflow.parse(file).prompt == PROMPT
        assert file.tell() == 0


@given(st.data())
def test_damaged_files_do_not_crash(data: st.DataObject) -> None:
    whole = bytearray(_make_once(data.draw(st.sampled_from(KINDS))))
    for _ in range(data.draw(st.integers(1, 8))):
        at = data.draw(st.integers(0, max(0, len(whole) - 1)))
        how = data.draw(st.sampled_from(["byte", "length", "cut", "twice", "gone"]))
        if how == "byte":
            whole[at : at + 1] = bytes([data.draw(st.integers(0, 255))])
        elif how == "length":
            whole[at : at + 4] = data.draw(st.sampled_from([b"\xff" * 4, b"\0" * 4, b"\0\0\0\1", b"\x7f\xff\xff\xff"]))
        elif how == "cut":
            del whole[max(at, 16) :]
        elif how == "twice":
            whole[at:at] = whole[at : at + 64]
        else:
            del whole[at : at + data.draw(st.integers(1, 16))]
    read_carried(bytes(whole))
    with suppress(WorkflowError):
        Workflow.parse(bytes(whole))


_CACHE: dict[str, bytes] = {}


def _make_once(make: Make) -> bytes:
    return _CACHE.setdefault(make.__name__, make(TEXTS))


BEGINNINGS = [_make(TEXTS)[:32] for _make in (media_files.png, media_files.webp, media_files.flac, media_files.glb)] + [
    b"\x89PNG\r\n\x1a\n", b"RIFF\xff\xff\xff\xffWEBP", b"\xff\xd8\xff", b"\0\0\0\x18ftyp", b"\x1aE\xdf\xa3", b"fLaC",
    b"OggS", b"ID3\4\0\0", b"glTF", b"\x40\0\0\0\0\0\0\0{", b"<svg><metadata>{", b"II*\0",
]  # fmt: skip


@given(st.sampled_from(BEGINNINGS), st.binary(max_size=400))
def test_truncated_media_files_do_not_crash(head: bytes, rest: bytes) -> None:
    read_carried(head + rest)


class CountingFile(io.RawIOBase):
    """A file of zeros of any size with some parts filled in; it counts the bytes read from it."""

    def __init__(self, size: int, parts: dict[int, bytes]) -> None:
        self._size, self._parts, self._at = size, parts, 0
        self.bytes_read = 0

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._size}[whence]
        return self._at

    def tell(self) -> int:
        return self._at

    def read(self, size: int = -1) -> bytes:
        size = min(size if size >= 0 else self._size, self._size - self._at)
        data = bytearray(size)
        for offset, part in self._parts.items():
            for index in range(max(offset, self._at), min(offset + len(part), self._at + size)):
                data[index - self._at] = part[index - offset]
        self._at += size
        self.bytes_read += size
        return bytes(data)


def test_little_of_a_large_mp4_is_read() -> None:
    video = media_files.mp4(TEXTS)
    at = video.index(b"moov") - 4
    gigabytes = 3 << 30
    head = video[: video.index(b"mdat") - 4] + struct.pack(">I4sQ", 1, b"mdat", gigabytes)
    file: Any = CountingFile(
        len(head) - 16 + gigabytes + len(video) - at, {0: head, len(head) - 16 + gigabytes: video[at:]}
    )
    carried = read_carried(file)
    assert carried is not None
    assert carried.prompt == TEXTS["prompt"]
    assert file.bytes_read < 100_000


def test_little_of_a_large_matroska_is_read() -> None:
    def element(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack(">Q", 1 << 56 | len(content)) + content

    gigabytes = 3 << 30
    name, text = element(b"\x45\xa3", b"PROMPT"), element(b"\x44\x87", TEXTS["prompt"].encode())
    tags = element(b"\x12\x54\xc3\x67", element(b"\x73\x73", element(b"\x67\xc8", name + text)))
    head = element(b"\x1a\x45\xdf\xa3", b"") + b"\x18\x53\x80\x67\x01" + b"\xff" * 7
    head += b"\x1f\x43\xb6\x75" + struct.pack(">Q", 1 << 56 | gigabytes)
    file: Any = CountingFile(len(head) + gigabytes + len(tags), {0: head, len(head) + gigabytes: tags})
    carried = read_carried(file)
    assert carried is not None
    assert carried.prompt == TEXTS["prompt"]
    assert file.bytes_read < 100_000


def test_decompression_bomb_is_ignored() -> None:
    bomb = zlib.compress(b"\0" * (100 << 20), 9)
    data = b"\x89PNG\r\n\x1a\n" + make_chunk(b"zTXt", b"prompt\0\0" + bomb) + make_chunk(b"IEND", b"")
    carried = read_carried(data)
    assert carried is not None
    assert carried.prompt is None


def test_impossible_length_allocates_no_memory() -> None:
    for data in (
        b"\x89PNG\r\n\x1a\n\xff\xff\xff\xfftEXtprompt\0",
        b"RIFF\xff\xff\xff\xffWEBPEXIF\xff\xff\xff\xffII*\0",
        b"fLaC\x84\xff\xff\xff" + b"\xff" * 40,
        b"ID3\4\0\0\x7f\x7f\x7f\x7fTXXX",
        b"\0\0\0\1moov\xff\xff\xff\xff\xff\xff\xff\xff",
        b"\1\0\0\0\0\0\0\0{",
    ):
        carried = read_carried(data)
        assert carried is None or carried.prompt is None


def test_file_with_too_many_chunks_is_abandoned() -> None:
    pieces = b"\x89PNG\r\n\x1a\n" + make_chunk(b"tIME", b"") * 300_000
    carried = read_carried(pieces + make_chunk(b"tEXt", b"prompt\0{}"))
    assert carried is not None
    assert carried.prompt is None


def test_self_referencing_exif_ends() -> None:
    loop = struct.pack("<4sIHHHIII", b"II*\0", 8, 1, 0x8769, 4, 1, 8, 8)
    carried = read_carried(b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", len(loop)) + loop)
    assert carried is not None
    assert carried.prompt is None


def test_overlapping_exif_entries_are_read_at_most_once() -> None:
    size = 32 << 20
    entries = b"".join(struct.pack("<HHII", 0x0110, 2, size, 8 + 2 + 12 * 900) for _ in range(900))
    exif = b"II*\0" + struct.pack("<IH", 8, 900) + entries + bytes(size)
    carried = read_carried(b"RIFF\0\0\0\0WEBPEXIF" + struct.pack("<I", len(exif)) + exif)
    assert carried is not None
    assert carried.prompt is None


@given(st.integers(0, 2**32))
def test_random_bytes_are_rejected(seed: int) -> None:
    with pytest.raises(WorkflowError):
        Workflow.parse(random.Random(seed).randbytes(200))
