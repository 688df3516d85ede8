"""Test what is exchanged with the page: pieces of files, uploads, exact values."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.notebook.page import media
from comfykit_jupyter.notebook.page.media import Inbox, read_piece
from comfykit_jupyter.notebook.page.values import from_wire, to_wire

Factory = pytest.TempPathFactory


def make_folder(factory: Factory) -> Path:
    """Make a folder for one example."""
    return factory.mktemp("inbox")


@given(st.binary(min_size=1, max_size=500), st.randoms(), st.integers(1, 97))
def test_upload_arrives_complete_in_any_order_of_its_pieces(
    tmp_path_factory: Factory, data: bytes, order: random.Random, size: int
) -> None:
    inbox = Inbox(make_folder(tmp_path_factory))
    offsets = list(range(0, len(data), size))
    order.shuffle(offsets)
    for index, offset in enumerate(offsets):
        part = data[offset : offset + size]
        received, path = inbox.receive("key", "a file.png", len(data), offset, part)
        again = inbox.receive("key", "a file.png", len(data), offset, part) if path is None else (received, None)
        assert again[0] == received
        assert (path is not None) == (index == len(offsets) - 1)
    assert path is not None
    assert path.read_bytes() == data
    assert path.name == "a file.png"
    assert inbox.keep(data, "a file.png") == path
    assert sorted(inbox.folder.iterdir()) == [path.parent]


def test_a_kept_file_is_not_written_again(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    path = inbox.keep(b"x" * 1000, "a.png")
    before = path.stat()
    assert inbox.keep(b"x" * 1000, "a.png") == path  # a run may be uploading it
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


@pytest.mark.parametrize(
    "name",
    ["../../etc/passwd", "/etc/passwd", r"..\..\x", "C:\\x", "", ".", "..", "a\0b", "x" * 500, "<b>.png", ".ssh"],
)
def test_file_name_never_leads_out_of_the_folder(name: str, tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    _, path = inbox.receive("key", name, 3, 0, b"abc")
    assert path is not None
    assert path.resolve().is_relative_to(inbox.folder.resolve())
    assert path.parent != inbox.folder
    assert len(path.name) <= 200
    assert not path.name.startswith(".")


@pytest.mark.parametrize(
    ("size", "offset", "data"),
    [(0, 0, b""), (-1, 0, b"x"), (2**60, 0, b"x"), (3, 1, b"abc"), (3, -1, b"a"), (3, 3, b"a")],
)
def test_piece_that_does_not_fit_is_rejected(size: int, offset: int, data: bytes, tmp_path: Path) -> None:
    with pytest.raises(ComfyKitError):
        Inbox(tmp_path).receive("key", "name", size, offset, data)


def test_unfinished_uploads_are_discarded(tmp_path: Path) -> None:
    inbox = Inbox(tmp_path)
    for number in range(100):
        inbox.receive(f"key{number}", "name", 10, 0, b"abc")
    assert len(list(inbox.folder.iterdir())) <= media.MAX_UPLOADS


@given(st.integers(0, 5000), st.integers(1, 700))
def test_pieces_put_together_are_the_file(tmp_path_factory: Factory, size: int, length: int) -> None:
    inbox = Inbox(make_folder(tmp_path_factory))
    data = random.Random(size).randbytes(size)
    path = inbox.keep(data, "file.bin")
    got = b""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(media, "PIECE_BYTES", length)
        while True:
            about, (part,) = read_piece(path, "application/octet-stream", "full", len(got))
            assert about["total"] == size
            if not part:
                break
            got += part
    assert got == data
    with pytest.raises(ComfyKitError, match="is outside of its"):
        read_piece(path, "x/y", "full", size + 1)


def test_file_that_is_not_an_image_has_no_thumbnail(tmp_path: Path) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"film")
    with pytest.raises(ComfyKitError, match=r"clip\.mp4"):
        read_piece(tmp_path / "clip.mp4", "video/mp4", "thumb", 0)


@given(st.integers(-(2**70), 2**70))
def test_integers_cross_exactly(number: int) -> None:
    wire = to_wire(number)
    assert isinstance(wire, str) or abs(wire) < 2**53
    assert from_wire(wire, "seed") == number
    assert from_wire(wire, "integer") == number


@given(st.text())
def test_texts_stay_texts(text: str) -> None:
    assert to_wire(text) == text
    assert from_wire(text, "text") == text
