"""Test images with masks: what Load Image makes of them, what is refused, and that keys and results know the mask."""

from __future__ import annotations

import copy
import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps
from PIL.PngImagePlugin import PngInfo

from comfykit_jupyter import ComfyKit, Masked, ParameterError
from tests.kits import MakeKit

SIZE = (60, 40)
WORKFLOW: dict[str, Any] = {
    "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "Photo, $image.~image!"}},
    "2": {"class_type": "MaskToImage", "inputs": {"mask": ["1", 1]}},
    "3": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "colours"},
        "_meta": {"title": "$output.colours"},
    },
    "4": {
        "class_type": "SaveImage",
        "inputs": {"images": ["2", 0], "filename_prefix": "mask"},
        "_meta": {"title": "$output.mask"},
    },
}


def make_pixels(bands: int = 3) -> Any:
    return np.random.default_rng(7).integers(0, 256, (SIZE[1], SIZE[0], bands), dtype=np.uint8)


def write_source(folder: Path, form: str) -> Path:
    """Write one of the images that people have."""
    path = folder / f"{form}.{'png' if form.startswith('png') else 'jpg'}"
    if form.startswith("png"):
        texts = PngInfo()
        texts.add_text("prompt", '{"1": {}}')
        texts.add_itxt("note", "Füchse", "de", "Notiz")
        Image.fromarray(make_pixels(4)).save(path, pnginfo=texts)
        return path
    exif = Image.Exif()
    if form == "phone":
        exif[0x0112] = 6
    Image.fromarray(make_pixels()).save(path, exif=exif, quality=95)
    return path


def read_upright(path: Path) -> Any:
    with Image.open(path) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def paint(path: Path) -> Any:
    """Return a mask with all levels, in the size of the upright image."""
    height, width = read_upright(path).shape[:2]
    return np.random.default_rng(3).integers(0, 256, (height, width), dtype=np.uint8)


def check_painting(form: str, kit: ComfyKit, tmp_path: Path) -> None:
    """Check that a server reads the colours of an image and the mask that was painted on it."""
    path = write_source(tmp_path, form)
    mask = paint(path)
    result = kit.run(WORKFLOW, image=Masked(path, mask))
    colours = np.asarray(result["colours"][0].pil().convert("RGB"))
    assert (colours == read_upright(path)).all()
    painted = np.asarray(result["mask"][0].pil().convert("L")).astype(int)
    assert abs(painted - mask).max() <= 1
    assert result.params["image"] == Masked(path, mask)


@pytest.mark.parametrize("form", ["phone", "jpeg", "png"])
def test_load_image_gives_the_source_and_the_painting(form: str, kit: ComfyKit, tmp_path: Path) -> None:
    check_painting(form, kit, tmp_path)


def test_texts_of_a_png_are_kept(kit: ComfyKit, tmp_path: Path) -> None:
    path = write_source(tmp_path, "png")
    name = kit.upload(Masked(path, paint(path)))
    with kit.input(name).pil() as sent, Image.open(path) as source:
        assert sent.text == source.text


def test_masks_of_equal_pixels_are_equal(tmp_path: Path) -> None:
    flags = np.arange(6).reshape(2, 3) % 2 == 0
    grey = Image.fromarray(flags.astype(np.uint8) * 255)
    grey.save(tmp_path / "mask.png")
    buffer = io.BytesIO()
    grey.save(buffer, "PNG", compress_level=0)
    first = Masked("a.png", flags)
    for same in (flags.astype(float), flags[None], flags[:, :, None], grey, tmp_path / "mask.png", buffer.getvalue()):
        assert Masked("a.png", same) == first
    assert Masked("a.png", first.mask) == first
    assert Masked("b.png", flags) != first
    assert Masked("a.png", ~flags) != first
    assert pickle.loads(pickle.dumps(first)) == copy.deepcopy(first) == first
    flags[:] = False
    assert np.asarray(first.open_mask()).any()


class GraphicsTensor:
    """A tensor on a graphics card, which can't be read as an array."""

    shape = (2, 3)
    dtype = "float32"

    def __array__(self) -> None:
        raise TypeError("can't convert a tensor on cuda:0")


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        (np.zeros((2, 3, 3)), "mask must have the shape height × width, not (2, 3, 3)"),
        (np.full((2, 3), 1.5), "mask must have floats from 0 to 1"),
        (np.full((2, 3), np.nan), "mask must have floats from 0 to 1"),
        (np.zeros((2, 3), int), "mask must have booleans, uint8, or floats from 0 to 1, not int64"),
        (None, "mask must be an array (height × width) or an image, not None"),
        (b"junk", "mask can't be read: it is not an image in a known format"),
        ("nowhere.png", "there is no file 'nowhere.png' to read the mask from"),
        (GraphicsTensor(), "mask can't be read as an array: can't convert a tensor on cuda:0"),
        (Image.new("RGBA", (2, 2)), "mask has transparent pixels"),
    ],
)
def test_what_is_not_a_mask_is_refused(mask: Any, message: str) -> None:
    with pytest.raises(ParameterError, match=r"^Masked: ") as caught:
        Masked("a.png", mask)
    assert message in str(caught.value)


def test_a_mask_of_another_size_is_refused_before_anything_is_sent(kit: ComfyKit, tmp_path: Path) -> None:
    path = write_source(tmp_path, "phone")
    with pytest.raises(ParameterError) as caught:
        kit.run(WORKFLOW, image=Masked(path, np.zeros((40, 60), bool)))
    assert "the mask has 60 × 40 pixels, and the upright image 40 × 60" in str(caught.value)


def test_another_mask_is_another_key(make_kit: MakeKit, tmp_path: Path) -> None:
    path = write_source(tmp_path, "jpeg")
    kit = make_kit(runs=tmp_path / "runs")
    mask = paint(path)
    for value in (Masked(path, mask), Masked(str(path), mask.copy()), Masked(path, 255 - mask)):
        kit.run(WORKFLOW, image=value)
    keys = [row.key for row in kit.runs]
    assert len(keys) == 3
    assert len(set(keys)) == 2


def test_masks_are_an_axis_of_a_sweep(make_kit: MakeKit, tmp_path: Path) -> None:
    path = write_source(tmp_path, "jpeg")
    masks = [paint(path), 255 - paint(path)]
    kit = make_kit(runs=tmp_path / "runs")
    sweep = kit.sweep(WORKFLOW, over={"image": [Masked(path, mask) for mask in masks]})
    sweep.start().wait()
    assert [row.status for row in kit.runs] == ["completed"] * 2


def test_the_static_output_has_a_small_image_with_the_mask(kit: ComfyKit, tmp_path: Path) -> None:
    path = write_source(tmp_path, "jpeg")
    result = kit.run(WORKFLOW, image=Masked(path, paint(path)))
    html = result._repr_mimebundle_()["text/html"]
    assert html.count("data:image/webp") == 3
    assert f'title="image: {path}, mask ' in html


def test_a_form_keeps_the_mask_and_shows_it_on_the_thumbnail(kit: ComfyKit, tmp_path: Path) -> None:
    from comfykit_jupyter.notebook.page.values import to_wire

    path = write_source(tmp_path, "phone")
    value = Masked(path, paint(path))
    form = kit.form(WORKFLOW, image=value)
    assert to_wire(dict(form.values))["image"] == {"image": str(path), "mask": value.id}
    assert form.values["image"] == Masked(str(path), paint(path))
    _, handle = form.handlers["media"]
    work = handle({"run": "input", "key": "image", "size": "full"}, [])
    assert callable(work)
    about, [data] = work()
    with Image.open(io.BytesIO(data)) as image:
        assert (image.size, about["mime"]) == ((40, 60), "image/webp")
