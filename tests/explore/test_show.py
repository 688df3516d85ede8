"""Test what a sweep leaves: the grid, the page, the contact sheet and the files."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from comfykit_jupyter import ComfyKit, ComfyKitError
from comfykit_jupyter.explore.exports import sheet
from comfykit_jupyter.explore.exports.grid import KILOBYTES
from comfykit_jupyter.explore.exports.metadata import strip_metadata
from tests.client.workflows import failing, inverted, picture


def test_the_grid_has_all_points_and_stays_small(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), height=8, over={"color": [0, 255], "width": range(8, 12)}).wait()
    grid = sweep._repr_mimebundle_()["text/html"]
    assert grid.count("<img ") == 8
    assert 'alt="color 255, width 11"' in grid
    assert len(grid) < KILOBYTES * 1000
    for hostile in ("<script", "http://", "onerror", "style="):
        assert hostile not in grid
    sweep.pick(2)
    assert "★" in sweep._repr_mimebundle_()["text/html"]


def test_a_large_grid_shows_every_nth_value(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), height=1, over={"width": range(1, 61), "color": range(10)})
    sweep._engine.states = ["failed"] * 600
    from comfykit_jupyter.explore.exports.grid import build_grid

    grid = build_grid(sweep)
    assert "600 points are shown" in grid
    assert grid.count("<td>") <= 400


def test_hostile_labels_and_errors_are_escaped(kit: ComfyKit) -> None:
    text = {"1": {"class_type": "PreviewAny", "inputs": {"source": "x"}, "_meta": {"title": "$words.source"}}}
    sweep = kit.sweep(text, over={"words": ["<img src=x onerror=alert(1)>", "plain"]}).wait()
    assert "<img" not in sweep._repr_mimebundle_()["text/html"]
    assert "&lt;img" in sweep._repr_mimebundle_()["text/html"]


def test_failures_stand_in_their_cells(kit: ComfyKit) -> None:
    sweep = kit.sweep(failing(), over={"width": [8, 9]}).wait()
    assert "The bomb" in sweep._repr_mimebundle_()["text/html"]


def test_a_page_has_larger_pictures(kit: ComfyKit, tmp_path: Path) -> None:
    sweep = kit.sweep(picture(), height=8, over={"width": [400]}).wait()
    page = sweep.to_html(tmp_path / "new" / "fox.html").read_text()
    data = re.search(r"base64,([^\"]+)", page)
    assert data is not None
    import base64

    assert Image.open(io.BytesIO(base64.b64decode(data[1]))).size == (400, 8)
    assert "default-src 'none'" in page


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_contact_sheet_has_all_points(kit: ComfyKit, tmp_path: Path, suffix: str) -> None:
    sweep = kit.sweep(picture(), height=8, over={"color": [0, 255], "width": [8, 9, 10]}).wait()
    with Image.open(sweep.sheet(tmp_path / f"sheet{suffix}", side=64)) as made:
        assert made.size == (3 * 70 + 6, 2 * (64 + 18 + 6) + 6)
    with pytest.raises(ComfyKitError, match="pixels are too many"):
        sweep.sheet(tmp_path / "large.png", side=9000)
    with pytest.raises(ComfyKitError, match=r"ends in \.png"):
        sweep.sheet(tmp_path / "sheet.gif")


def test_a_contact_sheet_takes_little_memory(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheet, "MAX_PIXELS", 1_000_000)
    sweep = kit.sweep(picture(), height=1, over={"color": range(12), "width": range(1, 13)})
    sweep._engine.states[0], sweep._engine.run_ids[0] = "completed", "forgotten"
    with pytest.raises(ComfyKitError, match="pixels are too many: give side=") as caught:
        sheet.make_sheet(sweep, 256)
    side = int(re.findall(r"side=(\d+)", str(caught.value))[0])
    made = sheet.make_sheet(sweep, side)
    assert 900_000 < made.width * made.height <= 1_000_000


@pytest.mark.parametrize("name", ["grid.html", "sheet.png"])
def test_what_can_not_be_written_leaves_the_old_file(
    name: str, kit: ComfyKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = kit.sweep(picture(), height=8, over={"width": [8, 9]}).wait()
    path = tmp_path / "out" / name
    write = sweep.to_html if path.suffix == ".html" else sweep.sheet
    before = write(path).read_bytes()

    def fill_disk(self: Any, target: Any, *_: Any, **__: Any) -> None:
        Path(target if path.suffix == ".png" else self).write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Image.Image, "save", fill_disk)
    monkeypatch.setattr(Path, "write_text", lambda self, *_, **__: fill_disk(self, None))
    with pytest.raises(OSError, match="No space"):
        write(path)
    assert path.read_bytes() == before
    assert [each.name for each in path.parent.iterdir()] == [name]


def test_a_map_names_bad_files_and_what_it_leaves_out(kit: ComfyKit, tmp_path: Path) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    for name in ("cat-10.png", "cat-2.png"):
        Image.new("RGB", (4, 4), name.encode()[4]).save(folder / name)
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xff nothing")
    (folder / "notes.md").write_text("x")
    sweep = kit.map(inverted(), image=folder)
    assert [point.labels["image"] for point in sweep.points] == ["broken.jpg", "cat-2.png", "cat-10.png"]
    plan = str(sweep.plan)
    assert "broken.jpg can't be read as an image" in plan
    assert "notes.md are not media" in plan
    sweep.start(skip_invalid=True).wait()
    assert {path.name for path in sweep.export(tmp_path / "out", "{image.stem}-negative")} == {
        "cat-2-negative.png",
        "cat-10-negative.png",
    }
    again = kit.map(inverted(), image=folder)
    assert again.plan.count("have") == 2
    assert sweep.at(image="cat-2.png").image.pil().size == (4, 4)


def test_maps_take_rows_lists_and_columns(kit: ComfyKit) -> None:
    first = kit.sweep(picture(), height=8, over={"width": [8, 9]}).wait()
    first.pick(1)
    assert kit.map(inverted(), image=first.picked).wait().done[0].image.pil().size == (9, 8)
    assert len(kit.map(inverted(), image=[row.image for row in first.done]).points) == 2
    pd = pytest.importorskip("pandas")
    assert len(kit.map(picture(), width=pd.Series([3, 4])).points) == 2
    for wrong, message in (
        ({"width": 3}, "here it is none"),
        ({"width": [1], "height": [2]}, "here it is width, height"),
        ({"width": []}, "width is empty"),
    ):
        with pytest.raises(ComfyKitError, match=message):
            kit.map(picture(), wrong)


def test_captions_are_saved_beside_the_pictures(kit: ComfyKit, tmp_path: Path) -> None:
    text = {"1": {"class_type": "PreviewAny", "inputs": {"source": "x"}, "_meta": {"title": "$words.source"}}}
    sweep = kit.sweep(text, over={"words": ["a fox", "a cat"]}).wait()
    paths = sweep.export(tmp_path, "{words}.txt")
    assert sorted((path.name, path.read_text()) for path in paths) == [("a cat.txt", "a cat"), ("a fox.txt", "a fox")]
    with pytest.raises(ComfyKitError, match=r"did you mean \{words\}"):
        sweep.export(tmp_path, "{wordz}")


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_metadata_is_removed_and_pixels_stay(form: str) -> None:
    image = Image.linear_gradient("L").convert("RGB")
    exif = Image.Exif()
    exif[0x010E] = "secret prompt"
    buffer = io.BytesIO()
    texts = PngImagePlugin.PngInfo()
    texts.add_text("prompt", "secret prompt")
    image.save(buffer, form, exif=exif, **({"pnginfo": texts} if form == "PNG" else {}))
    data = buffer.getvalue()
    assert b"secret" in data
    clean = strip_metadata(data, "fox")
    assert b"secret" not in clean
    assert (
        Image.open(io.BytesIO(clean)).convert("RGB").tobytes() == Image.open(io.BytesIO(data)).convert("RGB").tobytes()
    )
    with pytest.raises(ComfyKitError):
        strip_metadata(b"\xff\xd8" + data[5:40], "fox")
    with pytest.raises(ComfyKitError, match="only"):
        strip_metadata(b"GIF89a", "fox")
