"""Test masks that a page sends: what becomes of them, and that wrong ones are refused."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from comfykit_jupyter import ComfyKitError, Masked
from comfykit_jupyter.notebook.widget.form.masks import ALPHA, UNTOUCHED, PaintedMasks, read_base, read_view

ALPHAS = np.array([[0, 60, 255], [255, 200, 10]], np.uint8)


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    """An image of 3 × 2 pixels, with alpha."""
    path = tmp_path / "fox.png"
    image = Image.new("RGB", (3, 2), (200, 100, 50))
    image.putalpha(Image.fromarray(ALPHAS))
    image.save(path)
    return path


def write(folder: Path, levels: Any, form: str = "PNG", mode: str = "L") -> Path:
    path = folder / "mask"
    Image.fromarray(np.array(levels, np.uint8)).convert(mode).save(path, form)
    return path


@pytest.mark.parametrize("invert", [False, True])
def test_untouched_pixels_keep_the_alpha_of_the_image(picture: Path, tmp_path: Path, *, invert: bool) -> None:
    sent = write(tmp_path, [[0, UNTOUCHED, 255], [UNTOUCHED] * 3])
    mask = np.asarray(PaintedMasks().read(sent, picture, ALPHA, invert=invert))
    own = ALPHAS if invert else 255 - ALPHAS
    assert mask.tolist() == [[0, own[0, 1], 255], own[1].tolist()]


def test_strokes_are_painted_on_a_mask_of_before(picture: Path, tmp_path: Path) -> None:
    masks = PaintedMasks()
    before = Masked(picture, np.array([[7, 8, 9], [1, 2, 3]], np.uint8))
    masks.add(before)
    sent = write(tmp_path, [[255, UNTOUCHED, UNTOUCHED], [UNTOUCHED] * 3])
    assert np.asarray(masks.read(sent, picture, before.id, invert=False)).tolist() == [[255, 8, 9], [1, 2, 3]]
    with pytest.raises(ComfyKitError, match="no longer available"):
        masks.read(sent, picture, "0" * 16, invert=False)


@pytest.mark.parametrize(
    ("levels", "form", "mode"),
    [
        ([[0] * 4] * 2, "PNG", "L"),
        ([[0] * 3] * 2, "PNG", "RGB"),
        ([[0] * 3] * 2, "BMP", "L"),
        ([[0] * 3] * 2, "PNG", "1"),
    ],
)
def test_what_is_not_a_mask_of_the_image_is_refused(
    levels: Any, form: str, mode: str, picture: Path, tmp_path: Path
) -> None:
    with pytest.raises(ComfyKitError, match=r"^the mask does not fit the image: paint it again$"):
        PaintedMasks().read(write(tmp_path, levels, form, mode), picture, "", invert=False)


def test_broken_files_are_refused_on_one_line(picture: Path, tmp_path: Path) -> None:
    whole = write(tmp_path, [[0] * 3] * 2).read_bytes()
    for content in (b"", b"\x89PNG\r\n\x1a\n", whole[:40], whole[: len(whole) // 2], b"%!PS-Adobe"):
        (tmp_path / "mask").write_bytes(content)
        with pytest.raises(ComfyKitError, match=r"^the mask can't be read: [^\n]+$") as caught:
            PaintedMasks().read(tmp_path / "mask", picture, "", invert=False)
        assert str(tmp_path) not in str(caught.value)


def test_the_page_paints_on_a_small_image_and_its_mask(tmp_path: Path) -> None:
    path = tmp_path / "large.png"
    Image.new("RGB", (5000, 2500)).save(path)
    about, (data,) = read_view(path)
    assert (about["width"], about["height"], Image.open(io.BytesIO(data)).size) == (5000, 2500, (2560, 1280))
    assert read_base(str(path), path)[1] == [b""]
    about, (data,) = read_base(Masked(path, np.ones((2500, 5000), bool)), path)
    assert Image.open(io.BytesIO(data)).getchannel("A").getextrema() == (255, 255)
