"""The sampling nodes: reproducible images, in steps that can be interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.sandbox.interface.node import MODELS, Interrupted
from comfykit_jupyter.sandbox.nodes.image import resize
from comfykit_jupyter.sandbox.nodes.painter.brief import parse_brief
from comfykit_jupyter.sandbox.nodes.schedule import SAMPLERS, SCHEDULERS, compute_levels
from tests.sandbox.node_run import DREAMS, NodeRun

BASE: dict[str, Any] = {
    "text": "a red fox in the snow", "negative": "blurry", "ckpt": DREAMS, "lora": None, "strength": 1.0, "width": 96,
    "height": 64, "seed": 1, "steps": 4, "cfg": 7.0, "sampler": "euler", "scheduler": "normal", "denoise": 1.0,
    "given": None, "batch": 1,
}  # fmt: skip


def sample(run: NodeRun, **changed: Any) -> Any:
    """Run a text-to-image or image-to-image workflow and return its images."""
    at = {**BASE, **changed}
    model, clip, vae = run.run("CheckpointLoaderSimple", ckpt_name=at["ckpt"]).values
    if at["lora"]:
        model, clip = run.run(
            "LoraLoader", model=model, clip=clip, lora_name=at["lora"], strength_model=at["strength"],
            strength_clip=at["strength"],
        ).values  # fmt: skip
    latent = run.value("EmptyLatentImage", width=at["width"], height=at["height"], batch_size=at["batch"])
    if at["given"] is not None:
        latent = run.value("VAEEncode", pixels=at["given"], vae=vae)
    samples = run.value(
        "KSampler", model=model, seed=at["seed"], steps=at["steps"], cfg=at["cfg"], sampler_name=at["sampler"],
        scheduler=at["scheduler"], positive=run.value("CLIPTextEncode", text=at["text"], clip=clip),
        negative=run.value("CLIPTextEncode", text=at["negative"], clip=clip), latent_image=latent,
        denoise=at["denoise"],
    )  # fmt: skip
    return run.value("VAEDecode", samples=samples, vae=vae)


def make_stripes(width: int = 96, height: int = 64) -> Any:
    image = np.zeros((1, height, width, 3), dtype=np.float32)
    image[:, :, ::16] = 1
    image[:, :, 1::16] = 1
    return image


@pytest.fixture
def run(tmp_path: Path) -> NodeRun:
    return NodeRun(tmp_path)


def test_the_same_inputs_give_the_same_bytes(run: NodeRun, tmp_path: Path) -> None:
    assert sample(run).tobytes() == sample(NodeRun(tmp_path)).tobytes()


@pytest.mark.parametrize(
    "changed",
    [
        {"text": "a red fox in the snow."},
        {"text": "neon city at night"},
        {"negative": ""},
        {"seed": 2},
        {"seed": 2**64 - 1},
        {"steps": 5},
        {"cfg": 7.1},
        {"sampler": "dpmpp_2m"},
        {"sampler": "euler_ancestral"},
        {"scheduler": "karras"},
        {"denoise": 0.9},
        {"ckpt": "procedural-ink (no diffusion model).safetensors"},
        {"ckpt": "procedural-silk (no diffusion model).safetensors"},
        {"lora": "procedural-golden-hour (no diffusion model).safetensors"},
        {"lora": "procedural-brush (no diffusion model).safetensors"},
        {"given": make_stripes(), "denoise": 0.5},
    ],
    ids=str,
)
def test_any_change_of_an_input_changes_the_image(run: NodeRun, changed: dict[str, Any]) -> None:
    assert not np.array_equal(sample(run, **changed), sample(run))


def test_every_sampler_and_scheduler_gives_a_different_image(run: NodeRun) -> None:
    pictures = {sample(run, sampler=name).tobytes() for name in SAMPLERS}
    assert len(pictures) == len(SAMPLERS)
    pictures = {sample(run, scheduler=name).tobytes() for name in SCHEDULERS}
    assert len(pictures) == len(SCHEDULERS)


def test_a_lora_changes_the_image_in_proportion_to_its_strength(run: NodeRun) -> None:
    lora = MODELS["loras"][1]
    plain = sample(run)
    assert np.array_equal(sample(run, lora=lora, strength=0.0), plain)
    weak, strong = (np.abs(sample(run, lora=lora, strength=at) - plain).mean() for at in (0.3, 1.0))
    assert 0 < weak < strong


def test_the_images_of_a_batch_differ_and_the_first_is_that_of_the_seed(run: NodeRun) -> None:
    batch = sample(run, batch=3)
    assert batch.shape == (3, 64, 96, 3)
    assert np.abs(batch[0] - batch[1]).mean() > 0.01
    assert np.abs(batch[1] - batch[2]).mean() > 0.01


@pytest.mark.parametrize(("width", "height"), [(16, 16), (24, 200), (200, 24), (520, 264)])
def test_images_have_the_size_of_their_latent(run: NodeRun, width: int, height: int) -> None:
    image = sample(run, width=width, height=height, steps=2)
    assert image.shape == (1, height, width, 3)
    assert np.isfinite(image).all()
    assert image.min() >= 0
    assert image.max() <= 1


@pytest.mark.parametrize(
    "text",
    ["", "a cat", "sea boat", "mountain lake birds", "forest", "neon city", "galaxy", "rose", "fire", "desert", "silk",
     "house at night", "watercolor hills", "oil portrait", "ink mountains", "aurora", "狐狸 雪", "🦊", "storm sea sun"],
)  # fmt: skip
def test_every_prompt_gives_an_image_with_contrast(run: NodeRun, text: str) -> None:
    image = sample(run, text=text, steps=1)
    assert np.isfinite(image).all()
    assert image.std() > 0.02


@given(st.text(max_size=200), st.text(max_size=60))
def test_any_prompt_text_gives_a_brief(positive: str, negative: str) -> None:
    assert parse_brief(positive, negative) == parse_brief(positive, negative)


def test_words_choose_the_scene() -> None:
    brief = parse_brief("a (red fox:1.2) in the snow, morning")
    assert (brief.scene, brief.light, brief.ground, brief.figures, brief.coat) == (
        "hills", "dawn", "snow", ("fox",), "red",
    )  # fmt: skip
    assert parse_brief("夜 城市").scene == parse_brief("city at night").scene == "city"
    assert "fox" not in parse_brief("a fox and a cat", "fox").figures


def test_every_step_reports_a_preview_closer_to_the_result(run: NodeRun) -> None:
    final = sample(run, steps=6)[0]
    assert run.steps == [(step, 6) for step in range(1, 7)]
    small = resize(final[None], *run.previews[0].size, "area")[0]
    distances = [float(np.abs(np.asarray(preview) / 255 - small).mean()) for preview in run.previews]
    assert len(distances) == 6
    assert distances[0] > distances[2] > distances[5]


def test_previews_of_large_images_are_small(run: NodeRun) -> None:
    sample(run, width=1024, height=256, steps=1)
    assert run.previews[0].size == (256, 64)


def test_a_cancelled_run_stops_immediately(tmp_path: Path) -> None:
    run = NodeRun(tmp_path, stop_at=3)
    with pytest.raises(Interrupted):
        sample(run, steps=10)
    assert run.steps == [(1, 10), (2, 10)]


def test_a_lower_denoise_keeps_more_of_the_given_image(run: NodeRun) -> None:
    image = make_stripes()
    distances = [float(np.abs(sample(run, given=image, denoise=part) - image).mean()) for part in (0.2, 0.5, 0.8, 1.0)]
    assert distances == sorted(distances)
    kept = sample(run, given=image, denoise=0.5)[0]
    columns = kept.mean(axis=(0, 2))
    assert columns[::16].mean() > columns[8::16].mean() + 0.1


def test_a_denoise_of_zero_keeps_the_image(run: NodeRun) -> None:
    image = make_stripes()
    assert np.allclose(sample(run, given=image, denoise=0.0), image, atol=1e-3)


def test_decoding_restores_an_encoded_image(run: NodeRun) -> None:
    image = np.random.default_rng(1).random((2, 64, 96, 3), dtype=np.float32)
    latent = run.value("VAEEncode", pixels=image, vae=None)
    assert latent["samples"].shape == (2, 4, 8, 12)
    assert np.allclose(run.value("VAEDecode", samples=latent, vae=None), image, atol=1e-3)
    cut = run.value("VAEEncode", pixels=image[:, :61, :95], vae=None)
    assert run.value("VAEDecode", samples=cut, vae=None).shape == (2, 56, 88, 3)


def test_a_change_of_the_samples_is_visible_in_the_image(run: NodeRun) -> None:
    latent = run.value("VAEEncode", pixels=np.full((1, 64, 64, 3), 0.4, dtype=np.float32), vae=None)
    brighter = {**latent, "samples": latent["samples"] + np.array([1, 0, 0, 0], dtype=np.float32)[:, None, None]}
    assert run.value("VAEDecode", samples=brighter, vae=None).mean() > 0.5


def test_upscaling_a_latent_scales_its_image(run: NodeRun) -> None:
    latent = run.value("VAEEncode", pixels=make_stripes(), vae=None)
    larger = run.value("LatentUpscale", samples=latent, upscale_method="bislerp", width=192, height=0, crop="disabled")
    assert larger["samples"].shape == (1, 4, 16, 24)
    image = run.value("VAEDecode", samples=larger, vae=None)
    assert image.shape == (1, 128, 192, 3)
    assert image.mean() == pytest.approx(make_stripes().mean(), abs=0.05)
    assert run.value("RepeatLatentBatch", samples=latent, amount=3)["samples"].shape[0] == 3


def test_two_samplers_in_a_row_continue_each_other(run: NodeRun) -> None:
    model, clip, vae = run.run("CheckpointLoaderSimple", ckpt_name=DREAMS).values
    common = {
        "model": model, "noise_seed": 1, "steps": 8, "cfg": 7.0, "sampler_name": "euler", "scheduler": "normal",
        "positive": run.value("CLIPTextEncode", text="a fox", clip=clip),
        "negative": run.value("CLIPTextEncode", text="", clip=clip),
    }  # fmt: skip
    empty = run.value("EmptyLatentImage", width=96, height=64, batch_size=1)
    half = run.value(
        "KSamplerAdvanced", **common, add_noise="enable", latent_image=empty, start_at_step=0, end_at_step=4,
        return_with_leftover_noise="enable",
    )  # fmt: skip
    whole = run.value(
        "KSamplerAdvanced", **common, add_noise="disable", latent_image=half, start_at_step=4, end_at_step=10000,
        return_with_leftover_noise="disable",
    )  # fmt: skip
    assert run.steps == [(step, 4) for step in range(1, 5)] * 2
    noisy, clean = (run.value("VAEDecode", samples=latent, vae=vae) for latent in (half, whole))
    alone = run.value("VAEDecode", samples=run.value(
        "KSamplerAdvanced", **common, add_noise="enable", latent_image=empty, start_at_step=0, end_at_step=10000,
        return_with_leftover_noise="disable",
    ), vae=vae)  # fmt: skip
    assert float(np.abs(clean - alone).mean()) < 0.1
    roughness = [float(np.abs(image[:, :, 8:] - image[:, :, :-8]).mean()) for image in (noisy, clean)]
    assert roughness[0] > 1.5 * roughness[1]


@given(scheduler=st.sampled_from(SCHEDULERS), steps=st.integers(1, 60), denoise=st.floats(0.01, 1.0))
def test_noise_falls_to_zero_in_the_requested_steps(scheduler: str, steps: int, denoise: float) -> None:
    noise = compute_levels(scheduler, steps, denoise)
    assert len(noise) == steps + 1
    assert noise[-1] == 0
    assert (np.diff(noise) <= 0).all()
    assert 0 <= noise[0] <= 1


@pytest.mark.parametrize("name", ["sd_xl_base_1.0.safetensors", "../x.safetensors"])
def test_a_real_checkpoint_is_rejected_with_the_reason(run: NodeRun, name: str) -> None:
    with pytest.raises(ValueError, match="no diffusion models"):
        run.run("CheckpointLoaderSimple", ckpt_name=name)
