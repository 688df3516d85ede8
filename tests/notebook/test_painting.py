"""Test that a mask painted in the page goes with code, keys and presets, and that a frame becomes an input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from tests.client.test_masked import WORKFLOW

from .kernels import Model, Page, hold_writer
from .test_form import show_form
from .test_form_runs import run_form

SIZE = (40, 60)
MASK = "form.values['image'].mask"


@pytest.fixture
def photo(folder: Path) -> str:
    """A phone's photo in the working folder, whose pixels are 60 × 40."""
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((60, 40)).convert("RGB").save(folder / "photo.jpg", exif=exif)
    (folder / "repaint.json").write_text(json.dumps(WORKFLOW))
    return "photo.jpg"


def paint(page: Page, model: Model, picture: str, **body: Any) -> dict[str, Any]:
    """Send the mask of a field as the page does: the upper half is painted. Return the answer."""
    mask = Image.new("L", SIZE)
    mask.paste(255, (0, 0, SIZE[0], SIZE[1] // 2))
    out = io.BytesIO()
    mask.save(out, "PNG")
    data = out.getvalue()
    body = {"image": picture, "base": "", "invert": False, "upload": "m1", **body}
    return page.ask(model, "mask", [data], name="image", size=len(data), offset=0, **body)[0]


def test_file_is_that_of_the_value_which_was_sent_before(page: Page, photo: str, folder: Path) -> None:
    Image.new("RGB", (8, 6)).save(folder / "small.png")
    model = show_form(page, f"kit.form('repaint.json', image={photo!r})")
    with hold_writer(page, model):
        page.send(model, "set", name="image", value="small.png")
        request = page.send(model, "media", run="input", key="image", size="view")
    answer = page.wait(lambda: next((each for each, _ in model.messages if each.get("id") == request), None))
    assert (answer["width"], answer["height"]) == (8, 6)


def test_code_of_a_painted_mask_has_the_same_key_and_pixels(page: Page, photo: str) -> None:
    model = show_form(page, f"kit.options(runs='kept').form('repaint.json', image={photo!r})")
    mask = paint(page, model, photo)["value"]["mask"]
    (first,) = run_form(page, model)
    code = page.ask(model, "code", run=first)[0]["code"]
    assert f"image=Masked('photo.jpg', 'masks/photo-{mask}.png')" in code
    again = code.replace("ComfyKit()", "ComfyKit(runs='kept')") + "\nkept = list(kit.options(runs='kept').runs)"
    cell = page.run(again)
    assert cell.status == "ok", cell.error
    assert page.value("len(kept), len({each.key for each in kept})") == "(2, 1)"
    colours = "result['colours'][0].pil().tobytes(), result['mask'][0].pil().tobytes()"
    assert page.value(f"({colours}) == ({colours.replace('result', 'form.result')})") == "True"
    assert page.value("result.prompt == form.result.prompt") == "True"


def test_painted_mask_is_saved_and_used_as_a_preset(page: Page, photo: str) -> None:
    model = show_form(page, f"kit.form('repaint.json', image={photo!r})")
    value = paint(page, model, photo)["value"]
    page.ask(model, "preset_save", name="half")
    page.ask(model, "set", name="image", value=photo)
    page.wait(lambda: model.state["preset"] == {"name": "half", "changed": True, "left_out": []})
    page.ask(model, "preset_use", name="half")
    page.wait(lambda: model.state["values"]["image"] == value)
    assert model.state["preset"]["changed"] is False
    # Strokes are painted on the preset's mask, in a form that has not made it.
    model = show_form(page, "kit.form('repaint.json')")
    page.ask(model, "preset_use", name="half")
    page.wait(lambda: model.state["values"]["image"] == value)
    assert "value" in paint(page, model, photo, base=value["mask"])
    cell = page.run("%comfykit run repaint.json --preset half -o result")
    assert cell.status == "ok", cell.error
    assert page.value("result.changed['image'].id") == repr(value["mask"])


def test_frame_that_a_video_shows_becomes_an_input(page: Page, folder: Path) -> None:
    graph = json.loads((folder / "video.json").read_text())
    graph["90"] = {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "$image.image!"}}
    graph["91"] = {"class_type": "PreviewImage", "inputs": {"images": ["90", 0]}}
    (folder / "film.json").write_text(json.dumps(graph))
    made = "form = kit.form('film.json', image=__import__('PIL.Image').Image.new('RGB', (8, 8)), "
    model = show_form(page, f"{made[7:]}width=64, height=64, steps=2)")
    (first,) = run_form(page, model)
    (film,) = [item for item in model.state["runs"][0]["items"] if item["kind"] == "video"]
    page.ask(model, "frame", run=first, key=film["key"], name="image", at=0.2)
    stem = film["name"].rpartition(".")[0]
    page.wait(lambda: model.state["values"]["image"].endswith(f"{stem} at 0.20 s.png"))
    page.run("from PIL import Image")
    shown = "Image.open(form.values['image']).tobytes()"
    assert page.value(f"{shown} == form.result.video.frame(at=0.2).tobytes()") == "True"
    page.ask(model, "frame", run=first, key=film["key"], name="image")
    page.wait(lambda: model.state["values"]["image"].endswith(f"{stem} last frame.png"))
    assert page.value(f"{shown} == form.result.video.frame(-1).tobytes()") == "True"
    for body in ({"at": 99}, {"at": "x"}, {"key": "77"}, {"name": "steps"}):
        answer, _ = page.ask(model, "frame", **{"run": first, "key": film["key"], "name": "image", "at": 0, **body})
        assert answer["error"]
