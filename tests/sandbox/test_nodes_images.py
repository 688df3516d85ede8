"""The image nodes, and the files that they save."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from comfykit_jupyter.sandbox.nodes.saving import expand_prefix
from tests.sandbox.node_run import NodeRun

ANY_SIZE = st.integers(1, 40)
quick = settings(
    max_examples=settings().max_examples * 2 // 5, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def picture(width: int = 24, height: int = 16, batch: int = 2, seed: int = 0) -> Any:
    return np.random.default_rng(seed).random((batch, height, width, 3), dtype=np.float32)


@pytest.fixture
def run(tmp_path: Path) -> NodeRun:
    return NodeRun(tmp_path)


def test_an_empty_image_has_the_requested_colour(run: NodeRun) -> None:
    image = run.value("EmptyImage", width=3, height=2, batch_size=4, color=0xFF8000)
    assert image.shape == (4, 2, 3, 3)
    assert np.allclose(image, [1, 128 / 255, 0])


def test_inverting_twice_restores_the_image(run: NodeRun) -> None:
    image = picture()
    once = run.value("ImageInvert", image=image)
    assert np.allclose(run.value("ImageInvert", image=once), image, atol=1e-6)
    assert not np.allclose(once, image)


@quick
@given(
    old=st.tuples(ANY_SIZE, ANY_SIZE),
    new=st.tuples(ANY_SIZE, ANY_SIZE),
    method=st.sampled_from(["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]),
    crop=st.sampled_from(["disabled", "center"]),
)
def test_scaling_gives_the_requested_size(
    run: NodeRun, old: tuple[int, int], new: tuple[int, int], method: str, crop: str
) -> None:
    scaled = run.value("ImageScale", image=picture(*old), upscale_method=method, width=new[0], height=new[1], crop=crop)
    assert scaled.shape == (2, new[1], new[0], 3)
    assert scaled.min() >= 0
    assert scaled.max() <= 1


def test_a_side_of_zero_follows_from_the_other(run: NodeRun) -> None:
    def size(width: int, height: int) -> tuple[int, ...]:
        scaled = run.value(
            "ImageScale", image=picture(24, 16), upscale_method="area", width=width, height=height, crop="disabled"
        )
        return tuple(scaled.shape[1:3])

    assert size(48, 0) == (32, 48)
    assert size(0, 8) == (8, 12)
    assert size(0, 0) == (16, 24)


def test_scaling_by_a_factor(run: NodeRun) -> None:
    assert run.value("ImageScaleBy", image=picture(24, 16), upscale_method="lanczos", scale_by=1.5).shape[1:3] == (
        24,
        36,
    )


@pytest.mark.parametrize("mode", ["normal", "multiply", "screen", "overlay", "soft_light", "difference"])
def test_a_blend_factor_of_zero_keeps_the_first_image(run: NodeRun, mode: str) -> None:
    first, second = picture(), picture(9, 9, 2, seed=1)
    kept = run.value("ImageBlend", image1=first, image2=second, blend_factor=0.0, blend_mode=mode)
    assert np.allclose(kept, first)
    mixed = run.value("ImageBlend", image1=first, image2=second, blend_factor=1.0, blend_mode=mode)
    assert mixed.shape == first.shape
    assert not np.allclose(mixed, first)


@quick
@given(radius=st.integers(1, 5), sigma=st.floats(0.1, 10))
def test_blurring_keeps_even_areas_and_smooths_others(run: NodeRun, radius: int, sigma: float) -> None:
    even = np.full((1, 12, 12, 3), 0.4, dtype=np.float32)
    assert np.allclose(run.value("ImageBlur", image=even, blur_radius=radius, sigma=sigma), even, atol=1e-5)
    noisy = picture(20, 20)
    assert run.value("ImageBlur", image=noisy, blur_radius=radius, sigma=sigma).std() <= noisy.std() + 1e-6


def test_a_crop_is_a_part_of_the_image(run: NodeRun) -> None:
    image = picture(24, 16)
    assert np.array_equal(run.value("ImageCrop", image=image, width=5, height=4, x=3, y=2), image[:, 2:6, 3:8])
    assert run.value("ImageCrop", image=image, width=50, height=40, x=20, y=10).shape[1:3] == (6, 4)


def test_a_batch_takes_the_size_of_its_first_image(run: NodeRun) -> None:
    both = run.value("ImageBatch", image1=picture(24, 16), image2=picture(10, 30, 3))
    assert both.shape == (5, 16, 24, 3)
    assert np.array_equal(run.value("ImageFromBatch", image=both, batch_index=1, length=1)[0], both[1])
    assert run.value("RepeatImageBatch", image=both, amount=3).shape[0] == 15


@pytest.mark.parametrize("size", [(16384, 16384, 2), (512, 512, 4096)])
def test_a_batch_too_large_for_memory_is_rejected(run: NodeRun, size: tuple[int, int, int]) -> None:
    with pytest.raises(ValueError, match="too many for the embedded server"):
        run.value("EmptyImage", width=size[0], height=size[1], batch_size=size[2], color=0)


def test_a_saved_png_contains_the_image_and_the_prompt(run: NodeRun) -> None:
    image = picture()
    output = run.run("SaveImage", images=image, filename_prefix="sub/ü x&y")
    paths = run.saved(output)
    assert [path.name for path in paths] == ["ü x&y_00001_.png", "ü x&y_00002_.png"]
    assert output.ui is not None
    assert output.ui["images"][0] == {"filename": "ü x&y_00001_.png", "subfolder": "sub", "type": "output"}
    for path, frame in zip(paths, image, strict=True):
        with Image.open(path) as saved:
            assert np.abs(np.asarray(saved) / 255 - frame).max() < 1 / 255 + 1e-6
            assert json.loads(saved.info["prompt"]) == run.prompt
            assert json.loads(saved.info["workflow"]) == run.extra_pnginfo["workflow"]
    assert run.saved(run.run("SaveImage", images=image[:1], filename_prefix="sub/ü x&y"))[0].name.endswith(
        "_00003_.png"
    )


def test_a_preview_is_a_temporary_file(run: NodeRun) -> None:
    output = run.run("PreviewImage", images=picture(batch=1))
    assert output.ui is not None
    assert output.ui["images"][0]["type"] == "temp"
    assert run.saved(output)[0].is_file()


@pytest.mark.parametrize("prefix", ["../out", "/tmp/out", "a/../../out"])
def test_a_prefix_cannot_leave_the_output_folder(run: NodeRun, prefix: str) -> None:
    with pytest.raises(ValueError, match="out"):
        run.run("SaveImage", images=picture(), filename_prefix=prefix)


def test_an_animated_webp_has_the_requested_frame_rate(run: NodeRun) -> None:
    output = run.run(
        "SaveAnimatedWEBP", images=picture(batch=5), filename_prefix="w", fps=8.0, lossless=True, quality=80,
        method="fastest",
    )  # fmt: skip
    assert output.ui is not None
    assert output.ui["animated"] == [True]
    with Image.open(run.saved(output)[0]) as saved:
        assert saved.format == "WEBP"
        assert getattr(saved, "n_frames", 1) == 5
        key, _, text = saved.getexif()[0x0110].partition(":")
        assert (key, json.loads(text)) == ("prompt", run.prompt)
        saved.seek(1)
        saved.load()
        assert saved.info["duration"] == 125


def test_an_animated_png_has_all_frames(run: NodeRun) -> None:
    output = run.run("SaveAnimatedPNG", images=picture(batch=5), filename_prefix="p", fps=8.0, compress_level=4)
    path = run.saved(output)[0]
    with Image.open(path) as saved:
        assert getattr(saved, "n_frames", 1) == 5
    assert b"prompt\0" + json.dumps(run.prompt).encode() in path.read_bytes()


def test_a_loaded_image_is_upright_and_its_transparency_is_the_mask(run: NodeRun) -> None:
    pixels = Image.new("RGBA", (4, 2), (255, 0, 0, 255))
    pixels.putpixel((0, 0), (0, 255, 0, 0))
    exif = Image.Exif()
    exif[0x0112] = 6  # EXIF orientation: rotate by 90 degrees clockwise
    pixels.save(run.folders.input / "a.png", exif=exif)
    image, mask = run.run("LoadImage", image="a.png").values
    assert image.shape == (1, 4, 2, 3)
    assert mask.shape == (1, 4, 2)
    assert image[0, 0, 1].tolist() == [0, 1, 0]
    assert mask[0, 0, 1] == 1
    assert mask.sum() == 1
    red = run.value("LoadImageMask", image="a.png", channel="red")
    assert red[0, 0, 1] == 0
    assert red.sum() == 7


def test_an_image_without_transparency_has_an_empty_mask(run: NodeRun) -> None:
    Image.new("L", (8, 8), 51).save(run.folders.input / "grey.png")
    image, mask = run.run("LoadImage", image="grey.png").values
    assert np.allclose(image, 0.2)
    assert mask.shape == (1, 64, 64)
    assert not mask.any()


def test_an_animation_is_loaded_as_a_batch(run: NodeRun) -> None:
    frames = [Image.new("RGB", (6, 5), (shade, 0, 0)) for shade in (0, 100, 200)]
    frames[0].save(run.folders.input / "a.webp", save_all=True, append_images=frames[1:], lossless=True)
    image = run.value("LoadImage", image="a.webp")
    assert image.shape == (3, 5, 6, 3)
    assert np.allclose(image[:, 0, 0, 0] * 255, [0, 100, 200])


NOW = datetime(2025, 3, 4, 15, 6, 7, tzinfo=timezone.utc)
PROMPT = {
    "3": {"class_type": "KSampler", "inputs": {"seed": 7, "model": ["1", 0]}, "_meta": {"title": "My sampler"}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a/b\\c:d"}},
}


@pytest.mark.parametrize(
    ("prefix", "expanded"),
    [
        ("plain", "plain"),
        ("%date:yyyy-MM-dd%/a", "2025-03-04/a"),
        ("%date:yy-M-d h.m.s hh.mm.ss%", "25-3-4 15.6.7 15.06.07"),
        ("%KSampler.seed%", "7"),
        ("%My sampler.seed%_x", "7_x"),
        ("%CLIPTextEncode.text%", "a_b_c_d"),
        ("%KSampler.model%", "%KSampler.model%"),
        ("%Nobody.seed%", "%Nobody.seed%"),
        ("%width%", "%width%"),
        ("100%", "100%"),
    ],
)
def test_patterns_in_a_prefix_are_replaced(prefix: str, expanded: str) -> None:
    assert expand_prefix(prefix, PROMPT, NOW) == expanded


@given(st.text(max_size=40))
def test_a_replaced_pattern_adds_no_folder(text: str) -> None:
    prompt = {"1": {"class_type": "Text", "inputs": {"value": text}}}
    assert not set(expand_prefix("%Text.value%", prompt, NOW)) & set('/\\:*?"<>|\0')


def test_an_image_too_large_for_memory_is_rejected_before_decoding(run: NodeRun) -> None:
    Image.new("1", (9000, 9000)).save(run.folders.input / "large.png")
    with pytest.raises(ValueError, match="too many for the embedded server"):
        run.value("LoadImage", image="large.png")
