"""Test `result.to_html`: one self-contained file, safe whatever a server put into the result."""

from __future__ import annotations

import base64
import hashlib
import random
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.client.errors import SettingsError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.workflow.progress.progress import RunError

from .test_render import HOSTILE, Folder, save_noise

ALLOWED = {"html", "head", "meta", "title", "style", "body", "h1", "h2", "p", "strong", "figure", "figcaption", "img"}
ALLOWED |= {"video", "audio", "a", "dl", "dt", "dd", "details", "summary", "pre"}


class PageReader(HTMLParser):
    """A parsed page, checked for tags, attributes and addresses that are not allowed."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))
        self.close()
        for tag, attributes in self.found:
            assert tag in ALLOWED
            assert not {name for name in attributes if name.startswith("on")}
            for name in ("src", "href"):
                assert (attributes.get(name) or "data:").startswith("data:")

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    def content(self, tag: str) -> bytes:
        """Return the bytes embedded in the only element with this tag."""
        ((attributes),) = [attributes for found, attributes in self.found if found == tag]
        return base64.b64decode(str(attributes.get("src") or attributes.get("href")).partition(",")[2])


def make_result(folder: Path, *names: str, **fields: Any) -> ExecuteResult:
    media = [Media(Folder(folder), {"filename": name}, node="9", var="cover") for name in names]
    return ExecuteResult("completed", "id", 1.25, workflow_name="portrait", media=media, **fields)


def test_file_contains_the_whole_result(tmp_path: Path) -> None:
    save_noise(tmp_path, "cat.png")
    film = random.Random(1).randbytes(2_000_001)
    (tmp_path / "clip.mp4").write_bytes(film)
    (tmp_path / "song.flac").write_bytes(b"song")
    (tmp_path / "shape.glb").write_bytes(b"shape")
    result = make_result(
        tmp_path,
        "cat.png",
        "clip.mp4",
        "song.flac",
        "shape.glb",
        texts_by_var={"story": ["one\n  two <b>" + "x" * 50_000]},
        params={"steps": 30, "prompt": "a cat"},
        seeds={"seed": 2**64 - 1},
        prompt={"3": {"class_type": "KSampler", "inputs": {}}},
        server="http://server",
    )
    where = result.to_html(tmp_path / "out" / "cat.html")
    assert where == tmp_path / "out" / "cat.html"
    assert [path.name for path in where.parent.iterdir()] == ["cat.html"]
    read = PageReader(where)
    assert read.content("img") == (tmp_path / "cat.png").read_bytes()
    assert hashlib.sha256(read.content("video")).digest() == hashlib.sha256(film).digest()
    assert read.content("audio") == b"song"
    assert read.content("a") == b"shape"
    for text in ("portrait", "30", "a cat", str(2**64 - 1), "one\n  two <b>" + "x" * 50_000, '"KSampler"'):
        assert text in read.text
    assert "default-src 'none'" in where.read_text()


def test_omitted_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "long.mp4").write_bytes(bytes(2_000_000))
    (tmp_path / "short.mp4").write_bytes(bytes(500_000))
    where = make_result(tmp_path, "long.mp4", "gone.png", "short.mp4").to_html(tmp_path / "page.html", megabytes=1)
    read = PageReader(where)
    assert len(read.content("video")) == 500_000
    assert "long.mp4 (2.0 MB: too large for this page)" in read.text
    assert "gone.png is gone" in read.text
    with pytest.raises(SettingsError):
        make_result(tmp_path).to_html(tmp_path / "x.html", megabytes=-1)


def test_failed_write_keeps_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save_noise(tmp_path, "cat.png")
    where = make_result(tmp_path).to_html(tmp_path / "page.html")
    before = where.read_bytes()

    def fail(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(base64, "b64encode", fail)
    with pytest.raises(OSError, match="No space"):
        make_result(tmp_path, "cat.png").to_html(where)
    assert where.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["cat.png", "page.html"]


@given(st.data())
def test_hostile_server_text_is_escaped(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    def draw() -> str:
        return data.draw(HOSTILE)

    media = [
        Media(Folder(Path("/nonexistent")), {"filename": f"{draw()}.{suffix}"}, node=draw(), var=draw())
        for suffix in ("mp4", "bin")
    ]
    result = ExecuteResult(
        "failed",
        draw(),
        media=media,
        texts_by_var={draw(): [draw()]},
        error=RunError("node_error", draw(), draw(), draw(), draw(), None, draw(), (draw(),)),
        warnings=[draw()],
        params={draw(): draw()},
        seeds={draw(): 5},
        prompt={draw(): {"class_type": draw(), "inputs": {draw(): draw()}}},
        workflow_name=draw(),
        server=draw(),
        server_version=draw(),
    )
    PageReader(result.to_html(tmp_path_factory.mktemp("page") / "page.html"))
