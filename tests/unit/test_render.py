"""Test a result's static output: escaped, of limited size, and unchanged by a notebook's sanitizer."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import random
import re
import sys
from collections.abc import Iterator, Mapping
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from comfykit_jupyter.client.errors import ServerError, SettingsError
from comfykit_jupyter.client.local_files import get_local_folder
from comfykit_jupyter.client.results import render, render_media, wording
from comfykit_jupyter.client.results.keep import DEFAULT_KILOBYTES, Keep, keep
from comfykit_jupyter.client.results.media import Media, build_view_url
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.client.results.thumbnail import make_thumbnail
from comfykit_jupyter.workflow.progress.progress import RunError

ALLOWED = {"a", "div", "p", "strong", "img", "code", "br", "details", "summary", "video", "audio"}
ATTRIBUTES = {"class", "src", "href", "alt", "title", "width", "height", "controls", "loop", "muted"}

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
    """A source of media that reads from a folder instead of a server."""

    url = "http://server"

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        return build_view_url(self.url, entry)

    async def fetch(self, media: Media) -> Path:
        if media.name.startswith("slow"):
            await asyncio.Event().wait()
        path = self.folder / media.name
        if not path.is_file():
            raise ServerError(f"{media.name} is gone")
        return path


class Tags(HTMLParser):
    """A parser that collects the elements of HTML and checks that they are balanced."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))
        if tag == "br":
            self.text += "\n"
        elif tag != "img":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data.replace("\N{NO-BREAK SPACE}", " ")


def parse_tags(html: str) -> Tags:
    """Parse HTML and check that its elements are balanced, allowed, and load or run nothing."""
    tags = Tags(html)
    assert tags.open == []
    for tag, attributes in tags.found:
        assert tag in ALLOWED
        assert set(attributes) <= ATTRIBUTES
        assert (attributes.get("src") or "data:").startswith("data:")
        assert (attributes.get("href") or "http://server/view?").startswith("http://server/view?")
    return tags


def save_noise(folder: Path, name: str, side: int = 300) -> None:
    Image.frombytes("RGB", (side, side), random.Random(name).randbytes(3 * side * side)).save(folder / name)


def save_photo(folder: Path, name: str) -> None:
    """Save an image of soft shapes, as in photos."""
    coarse = Image.frombytes("RGB", (12, 12), random.Random(name).randbytes(3 * 144))
    coarse.resize((300, 300), Image.Resampling.BICUBIC).save(folder / name, compress_level=1)


def save_video(path: Path, form: str, codec: str) -> None:
    """Save a video of 64 × 48 pixels whose first frame is red."""
    av = pytest.importorskip("av")
    with av.open(str(path), "w", format=form) as container:
        stream = container.add_stream(codec, rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for color in ("red", "blue"):
            frame = av.VideoFrame.from_image(Image.new("RGB", (64, 48), color))
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def measure_bundle(bundle: dict[str, Any]) -> int:
    """Return the bytes that an output takes in a notebook file."""
    return len(json.dumps(bundle, ensure_ascii=False).encode())


def make_result(folder: Path, *names: str, **fields: Any) -> ExecuteResult:
    """Return a result with these files."""
    media = [Media(Folder(folder), {"filename": name}, node="9", var="cover") for name in names]
    return ExecuteResult("completed", duration=1.25, workflow_name="portrait", media=media, **fields)


@pytest.fixture(autouse=True)
def default_keep() -> Iterator[None]:
    yield
    keep("thumbnails", DEFAULT_KILOBYTES)


def test_result_shows_images_and_settings(tmp_path: Path) -> None:
    save_noise(tmp_path, "cat.png")
    result = make_result(
        tmp_path,
        "cat.png",
        params={"steps": 30, "cfg": 8.0, "seed": 2**64 - 1},
        seeds={"seed": 2**64 - 1},
        changed={"steps": 30},
        server_version="0.33.0",
    )
    bundle = render.build_result_bundle(result)
    text = parse_tags(bundle["text/html"]).text
    assert text == f"portrait: completed in 1.2 s · seed {2**64 - 1} · steps = 30 · ComfyUI 0.33.0"
    ((_, image),) = [found for found in parse_tags(bundle["text/html"]).found if found[0] == "img"]
    assert image["alt"] == "cover: cat.png, 300 × 300"
    assert Image.open(io.BytesIO(base64.b64decode(str(image["src"]).partition(",")[2]))).size == (256, 256)
    assert Image.open(io.BytesIO(base64.b64decode(bundle["image/png"]))).format == "PNG"
    assert "cat.png" in bundle["text/plain"]


def test_media_value_is_shown_by_file_name(tmp_path: Path) -> None:
    save_noise(tmp_path, "cat.png")
    (cat,) = make_result(tmp_path, "cat.png").media
    private = get_local_folder() / "inbox/0a1b2c3d/my photo.png"
    line = wording.format_headline(make_result(tmp_path, changed={"image": cat, "mask": str(private), "prompt": "a/b"}))
    assert line == "portrait: completed in 1.2 s · image = cat.png · mask = my photo.png · prompt = a/b"


@pytest.fixture(scope="module")
def batch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 200 images."""
    folder = tmp_path_factory.mktemp("batch")
    for index in range(200):
        save_photo(folder, f"picture{index:03}.png")
    return folder


@pytest.mark.parametrize("kilobytes", [20, 150, 600])
def test_large_batch_keeps_as_many_evenly_spaced_images_as_fit(kilobytes: int, batch: Path) -> None:
    keep("thumbnails", kilobytes)
    names = sorted(path.name for path in batch.iterdir())
    bundle = render.build_result_bundle(make_result(batch, *names, texts_by_var={"story": ["long " * 1000] * 50}))
    assert measure_bundle(bundle) <= kilobytes * 1000
    found = parse_tags(bundle["text/html"])
    shown = [int(re.findall(r"picture(\d+)", str(each["alt"]))[0]) for tag, each in found.found if tag == "img"]
    assert f"{len(shown)} of 200 images" in found.text
    assert (shown[0], shown[-1]) == (0, 199) if len(shown) > 1 else shown == [0]
    steps = [later - earlier for earlier, later in pairwise(shown)]
    assert max(steps, default=0) - min(steps, default=0) <= 5
    if kilobytes >= 150:
        assert len(shown) >= 15
        assert "image/png" in bundle


def test_thumbnails_shrink_before_any_is_omitted(tmp_path: Path) -> None:
    names = [f"picture{index}.png" for index in range(10)]
    for name in names:
        save_noise(tmp_path, name)
    bundle = render.build_result_bundle(make_result(tmp_path, *names))
    assert measure_bundle(bundle) <= DEFAULT_KILOBYTES * 1000
    assert len([tag for tag, _ in parse_tags(bundle["text/html"]).found if tag == "img"]) == 10


def test_keep_links_and_off(tmp_path: Path) -> None:
    save_noise(tmp_path, "cat.png")
    result = make_result(tmp_path, "cat.png", "a b.mp4", texts_by_var={"story": ["once"]})
    keep("links")
    bundle = render.build_result_bundle(result)
    found = parse_tags(bundle["text/html"])
    links = [str(attributes["href"]) for tag, attributes in found.found if tag == "a"]
    assert links == [str(media) for media in result.media]
    assert "once" in found.text
    assert "data:" not in json.dumps(bundle)
    keep("off")
    bundle = render.build_result_bundle(result)
    assert parse_tags(bundle["text/html"]).text == "portrait: completed in 1.2 s"
    assert set(bundle) == {"text/plain", "text/html"}


@pytest.mark.parametrize(("mode", "kilobytes"), [("pictures", None), (None, 0), (None, True), ("links", 10**9)])
def test_invalid_keep_is_rejected(mode: Any, kilobytes: Any) -> None:
    with pytest.raises(SettingsError, match="keep: "):
        keep(mode, kilobytes)
    assert keep() == Keep()


def test_unavailable_files_are_named_without_waiting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(render_media, "FETCH_TIMEOUT", 0.2)
    save_noise(tmp_path, "there.png")
    (tmp_path / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and then nothing")
    found = parse_tags(
        render.build_result_bundle(make_result(tmp_path, "slow.png", "gone.png", "broken.png", "there.png"))[
            "text/html"
        ]
    )
    assert len([tag for tag, _ in found.found if tag == "img"]) == 1
    for name in ("slow.png", "gone.png", "broken.png"):
        assert name in found.text


def test_video_shows_its_first_frame_and_other_files_are_named(tmp_path: Path) -> None:
    save_video(tmp_path / "clip.mp4", "mp4", "mpeg4")
    (tmp_path / "broken.webm").write_bytes(b"film")
    html = render.build_result_bundle(make_result(tmp_path, "clip.mp4", "broken.webm", "song.flac", "shape.glb"))[
        "text/html"
    ]
    found = parse_tags(html)
    ((_, poster),) = [each for each in found.found if each[0] == "img"]
    assert poster["alt"] == "cover: clip.mp4, 64 × 48, first frame"
    assert found.text.endswith(
        "cover: clip.mp4 (video) · cover: broken.webm (video) · cover: song.flac (audio) · cover: shape.glb (file)"
    )


def test_long_texts_are_shortened_with_a_count(tmp_path: Path) -> None:
    short, long = "one\n  two <b>", "x" * 5_000
    text = parse_tags(
        render.build_result_bundle(make_result(tmp_path, texts_by_var={"story": [short, long]}))["text/html"]
    ).text
    assert short in text
    assert "x" * render.MAX_TEXT_LENGTH in text
    assert "x" * (render.MAX_TEXT_LENGTH + 1) not in text
    assert "3,000 more characters" in text


def test_failure_shows_node_reason_and_folded_traceback(tmp_path: Path) -> None:
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
    found = parse_tags(render.build_result_bundle(result)["text/html"])
    assert "portrait: failed after 2.0 s" in found.text
    assert "Sampler: CUDA out of memory" in found.text
    assert "line 1\nline <2>" in found.text
    assert "details" in [tag for tag, _ in found.found]


def test_cancelled_run_is_called_cancelled(tmp_path: Path) -> None:
    result = ExecuteResult("failed", "id", 2.0, error=RunError("cancelled", "the run was interrupted"))
    assert "cancelled after 2.0 s" in wording.format_headline(result)


@given(st.data())
def test_hostile_text_is_escaped(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
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
        changed={draw(): draw()},
        seeds={draw(): 5},
        workflow_name=draw(),
        server_version=draw(),
    )
    found = parse_tags(render.build_result_bundle(result)["text/html"])
    assert not set("\x1b\u202e") & set(found.text)
    lines = wording.format_result(result)
    assert not set("\x1b\u202e") & set(lines)
    assert len(lines.splitlines()) <= 10
    keep("links")
    parse_tags(render.build_result_bundle(result)["text/html"])
    keep("thumbnails")


def test_single_image_is_large_and_short_video_plays_inline(tmp_path: Path) -> None:
    save_noise(tmp_path, "cat.png", 1000)
    (tmp_path / "clip.mp4").write_bytes(b"not really a film")
    (tmp_path / "long.mp4").write_bytes(bytes(render_media.MAX_PLAYED_BYTES + 1))
    cat, clip, long = make_result(tmp_path, "cat.png", "clip.mp4", "long.mp4").media
    ((_, image),) = parse_tags(render_media.build_media_bundle(cat)["text/html"]).found
    assert image["width"] == str(render_media.LARGE_SIDE)
    ((tag, video),) = parse_tags(render_media.build_media_bundle(clip)["text/html"]).found
    assert tag == "video"
    assert str(video["src"]).startswith("data:video/mp4;base64,")
    assert parse_tags(render_media.build_media_bundle(long)["text/html"]).text == "long.mp4 (video)"
    assert render_media.build_media_bundle(cat)["text/plain"] == "<Media image cat.png>"


@pytest.mark.parametrize("form", ["WEBP", "PNG", "JPEG"])
@pytest.mark.parametrize("mode", ["RGB", "RGBA", "L", "LA", "P", "1", "I;16", "CMYK", "F"])
def test_thumbnail_is_made_of_every_image_mode(mode: str, form: str) -> None:
    picture = Image.new("F", (300, 100)) if mode == "F" else Image.linear_gradient("L").resize((300, 100)).convert(mode)
    out = io.BytesIO()
    picture.save(out, "TIFF" if mode in ("CMYK", "F", "I;16") else "PNG")
    small = make_thumbnail(out.getvalue(), 60, form)
    assert (small.width, small.height, small.original) == (60, 20, (300, 100))
    assert Image.open(io.BytesIO(small.data)).format == form


def test_thumbnail_takes_the_first_frame_and_applies_exif_rotation() -> None:
    frames = [Image.new("RGB", (40, 20), color) for color in ("red", "blue")]
    out = io.BytesIO()
    frames[0].save(out, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    small = Image.open(io.BytesIO(make_thumbnail(out.getvalue(), 512, "PNG").data)).convert("RGB")
    assert small.size == (40, 20)
    assert small.getpixel((5, 5)) == (255, 0, 0)
    turned = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    frames[0].save(turned, "JPEG", exif=exif)
    assert (make_thumbnail(turned.getvalue(), 512).width, make_thumbnail(turned.getvalue(), 512).height) == (20, 40)


@pytest.mark.parametrize(
    ("name", "form", "codec"),
    [("a.mp4", "mp4", "mpeg4"), ("a.MOV", "mov", "mpeg4"), ("a.mkv", "matroska", "mpeg4"), ("a.avi", "avi", "mpeg4")],
)
def test_video_thumbnail_is_its_first_frame(name: str, form: str, codec: str, tmp_path: Path) -> None:
    save_video(tmp_path / name, form, codec)
    small = make_thumbnail(tmp_path / name, 32, "PNG")
    assert (small.width, small.height, small.original) == (32, 24, (64, 48))
    red, green, blue = Image.open(io.BytesIO(small.data)).getpixel((16, 12))  # type: ignore[misc]
    assert red > 200
    assert green < 60
    assert blue < 60


@pytest.mark.parametrize("name", ["list.mp4", "list.mkv", "list.avi"])
def test_playlist_named_as_a_video_is_not_followed(name: str, tmp_path: Path) -> None:
    pytest.importorskip("av")
    save_video(tmp_path / "secret.mp4", "mp4", "mpeg4")
    for text in ("#EXTM3U\n#EXTINF:1,\nsecret.mp4\n", "ffconcat version 1.0\nfile secret.mp4\n"):
        (tmp_path / name).write_text(text)
        with pytest.raises(ValueError, match="the video can't be read"):
            make_thumbnail(tmp_path / name, 32)


def test_video_thumbnail_needs_pyav(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    (tmp_path / "clip.mp4").write_bytes(b"film")
    with pytest.raises(ValueError, match="needs PyAV: pip install av"):
        make_thumbnail(tmp_path / "clip.mp4", 32)


@pytest.mark.parametrize("name", ["nothing.png", "clip.mp4", "clip.webm", "gone.png", "gone.mp4"])
def test_thumbnail_error_does_not_reveal_the_path(name: str, tmp_path: Path) -> None:
    if not name.startswith("gone"):
        (tmp_path / name).write_bytes(b"nothing of the kind")
    with pytest.raises(ValueError, match="can't be read") as caught:
        make_thumbnail(tmp_path / name, 32)
    assert str(tmp_path) not in str(caught.value)


@given(st.binary(max_size=200))
def test_data_that_is_not_an_image_is_rejected(data: bytes) -> None:
    for start in (b"", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"\xff\xd8\xff"):
        with pytest.raises(ValueError, match="the image"):
            make_thumbnail(start + data, 10)
