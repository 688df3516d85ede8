"""What stays of a result in a notebook: escaped, bounded, and without anything an untrusted notebook would lose."""

from __future__ import annotations

import asyncio
import base64
import io
import random
import re
import time
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfykit_jupyter.client import render
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.result import ExecuteResult, Media
from comfykit_jupyter.client.thumbnail import thumbnail
from comfykit_jupyter.workflow.progress import RunError

ALLOWED = {"div", "p", "strong", "img", "pre", "details", "summary", "video", "audio"}
ATTRIBUTES = {"class", "src", "alt", "title", "width", "height", "controls", "loop", "muted"}

HOSTILE = st.text(max_size=60) | st.sampled_from(
    [
        "<script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "]]>",
        "\u202egnp.exe",
        "\x1b[31mred",
        "a\n\n\tb",
        "'",
    ]
)


class Folder:
    """Where media come from: a folder in place of a server; a name it lacks can't be had."""

    url = "http://server"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    async def fetch(self, media: Media) -> Path:
        if media.name.startswith("slow"):
            await asyncio.Event().wait()
        path = self.folder / media.name
        if not path.is_file():
            raise ServerError(f"{media.name} is gone")
        return path


class Tags(HTMLParser):
    """The elements of a piece of HTML, and whether they are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def tags(html: str) -> Tags:
    """The elements of HTML, checked: balanced, allowed, and nothing that is fetched or run."""
    tags = Tags(html)
    assert tags.open == []
    for tag, attributes in tags.found:
        assert tag in ALLOWED
        assert set(attributes) <= ATTRIBUTES
        assert (attributes.get("src") or "data:").startswith("data:")
    return tags


def noise(folder: Path, name: str, side: int = 300) -> None:
    Image.frombytes("RGB", (side, side), random.Random(name).randbytes(3 * side * side)).save(folder / name)


def made(folder: Path, *names: str, **fields: Any) -> ExecuteResult:
    """A result with these files."""
    media = [Media(Folder(folder), {"filename": name}, node="9", var="cover") for name in names]
    return ExecuteResult("completed", duration=1.25, workflow_name="portrait", media=media, **fields)


def test_a_result_shows_its_pictures_and_how_they_were_made(tmp_path: Path) -> None:
    noise(tmp_path, "cat.png")
    result = made(
        tmp_path, "cat.png", params={"steps": 30, "seed": 2**64 - 1}, seeds={"seed": 2**64 - 1}, server_version="0.33.0"
    )
    bundle = render.result_bundle(result)
    text = tags(bundle["text/html"]).text
    assert text == f"portrait: completed in 1.2 s · seed {2**64 - 1} · steps = 30 · ComfyUI 0.33.0"
    ((_, image),) = [found for found in tags(bundle["text/html"]).found if found[0] == "img"]
    assert image["alt"] == "cover: cat.png, 300 × 300"
    assert Image.open(io.BytesIO(base64.b64decode(str(image["src"]).partition(",")[2]))).size == (256, 256)
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).format == "PNG"
    assert "cat.png" in bundle["text/plain"]


def test_many_pictures_stay_within_the_room_of_a_run_and_the_others_are_named(tmp_path: Path) -> None:
    names = [f"picture{index}.png" for index in range(80)]
    for name in names:
        noise(tmp_path, name)
    html = render.result_html(made(tmp_path, *names))
    assert len(html) < render.RUN_BYTES + 20_000
    found = tags(html)
    shown = [attributes for tag, attributes in found.found if tag == "img"]
    assert shown
    named = len(re.findall(r"\(image\)", found.text))
    assert len(shown) + named + int(re.findall(r"and (\d+) more", found.text)[0]) == len(names)


def test_what_does_not_arrive_is_named_and_nobody_waits_for_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render, "PATIENCE", 0.2)
    noise(tmp_path, "there.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    begun = time.monotonic()
    found = tags(render.result_html(made(tmp_path, "slow.png", "gone.png", "broken.png", "there.png")))
    assert time.monotonic() - begun < 10
    assert len([tag for tag, _ in found.found if tag == "img"]) == 1
    for name in ("slow.png", "gone.png", "broken.png"):
        assert name in found.text


def test_videos_sounds_and_files_are_named(tmp_path: Path) -> None:
    text = tags(render.result_html(made(tmp_path, "clip.mp4", "song.flac", "shape.glb"))).text
    assert "cover: clip.mp4 (video) · cover: song.flac (audio) · cover: shape.glb (file)" in text


def test_texts_are_whole_up_to_a_bound_and_then_cut_with_a_count(tmp_path: Path) -> None:
    short, long = "one\n  two <b>", "x" * 5_000
    text = tags(render.result_html(made(tmp_path, texts_by_var={"story": [short, long]}))).text
    assert short in text
    assert "x" * render.TEXT_LENGTH in text
    assert "x" * (render.TEXT_LENGTH + 1) not in text
    assert "3,000 characters more" in text


def test_a_failure_says_where_and_why_and_folds_the_traceback(tmp_path: Path) -> None:
    error = RunError(
        "node_error",
        "CUDA out of memory",
        "3",
        "Sampler",
        "KSampler",
        None,
        "OutOfMemoryError",
        ("line 1\n", "line <2>\n"),
    )
    result = ExecuteResult(
        "failed", "id", 2.0, error=error, msg="Sampler: CUDA out of memory", workflow_name="portrait"
    )
    found = tags(render.result_html(result))
    assert "portrait: failed after 2.0 s" in found.text
    assert "Sampler: CUDA out of memory" in found.text
    assert "line 1\nline <2>" in found.text
    assert "details" in [tag for tag, _ in found.found]


def test_a_cancelled_run_is_called_cancelled(tmp_path: Path) -> None:
    result = ExecuteResult("failed", "id", 2.0, error=RunError("cancelled", "the run was interrupted"))
    assert "cancelled after 2.0 s" in render.headline(result)


@given(st.data())
def test_whatever_a_server_or_file_says_is_only_text(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    def draw() -> str:
        return data.draw(HOSTILE)

    folder = Path("/nonexistent")
    media = [
        Media(Folder(folder), {"filename": f"{draw()}.{suffix}"}, node=draw(), var=draw()) for suffix in ("mp4", "bin")
    ]
    error = RunError("node_error", draw(), draw(), draw(), draw(), None, draw(), (draw(), draw()))
    result = ExecuteResult(
        data.draw(st.sampled_from(["completed", "failed"])),
        duration=0.5,
        media=media,
        texts_by_var={draw(): [draw(), draw()]},
        error=data.draw(st.sampled_from([None, error])),
        warnings=[draw()],
        params={draw(): draw()},
        seeds={draw(): 5},
        workflow_name=draw(),
        server_version=draw(),
    )
    found = tags(render.result_html(result, {}))
    assert not set("\x1b\u202e") & set(found.text)
    lines = render.result_text(result)
    assert not set("\x1b\u202e") & set(lines)
    assert len(lines.splitlines()) <= 10


def test_one_picture_by_itself_is_large_and_a_short_clip_plays_where_it_stands(tmp_path: Path) -> None:
    noise(tmp_path, "cat.png", 1000)
    (tmp_path / "clip.mp4").write_bytes(b"not really a film")
    (tmp_path / "long.mp4").write_bytes(bytes(render.PLAYED_BYTES + 1))
    cat, clip, long = made(tmp_path, "cat.png", "clip.mp4", "long.mp4").media
    ((_, image),) = tags(render.media_bundle(cat)["text/html"]).found
    assert image["width"] == str(render.LARGE_SIDE)
    ((tag, video),) = tags(render.media_bundle(clip)["text/html"]).found
    assert tag == "video"
    assert str(video["src"]).startswith("data:video/mp4;base64,")
    assert tags(render.media_bundle(long)["text/html"]).text == "long.mp4 (video)"
    assert render.media_bundle(cat)["text/plain"] == repr(str(cat))


@pytest.mark.parametrize("form", ["WEBP", "PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK", "F"])
def test_thumbnails_are_made_of_every_kind_of_picture(mode: str, form: str) -> None:
    picture = Image.new("F", (300, 100)) if mode == "F" else Image.linear_gradient("L").resize((300, 100)).convert(mode)
    out = io.BytesIO()
    picture.save(out, "TIFF" if mode in ("CMYK", "F", "I;16") else "PNG")
    small = thumbnail(out.getvalue(), 60, form)
    assert (small.width, small.height, small.original) == (60, 20, (300, 100))
    assert Image.open(io.BytesIO(small.data)).format == form


def test_an_animation_gives_its_first_frame_and_a_turned_photo_stands_upright() -> None:
    frames = [Image.new("RGB", (40, 20), color) for color in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    small = Image.open(io.BytesIO(thumbnail(out.getvalue(), 512, "PNG").data)).convert("RGB")
    assert small.size == (40, 20)
    assert small.getpixel((5, 5)) == (255, 0, 0)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    frames[0].save(turned, "JPEG", exif=exif)
    assert (thumbnail(turned.getvalue(), 512).width, thumbnail(turned.getvalue(), 512).height) == (20, 40)


@given(st.binary(max_size=200))
def test_what_is_no_picture_is_refused(data: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff"):
        with pytest.raises(ValueError, match="picture"):
            thumbnail(start + data, 10)
