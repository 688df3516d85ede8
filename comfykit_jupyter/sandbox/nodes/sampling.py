"""The samplers: from noise to a picture in real steps, with a picture of each of them.

There is no neural network. `painter` paints the picture that the prompt and the seed ask for, and the steps lead to
it as a diffusion model's do: at each, the noise in the latent falls to the scheduler's next level, and finer
structure of the picture shows. On their way they push the picture about, so that steps, sampler and scheduler
decide, as they do elsewhere, where exactly things come to lie.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from comfykit_jupyter.sandbox.node import Context, Output, Spec, node
from comfykit_jupyter.sandbox.nodes.image import resize
from comfykit_jupyter.sandbox.nodes.image_files import to_picture
from comfykit_jupyter.sandbox.nodes.latent import decode, encode, is_empty, shift_colours
from comfykit_jupyter.sandbox.nodes.model import Conditioning, Model
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief, parse_brief
from comfykit_jupyter.sandbox.nodes.painter.color import apply_gradient, from_rgb, to_rgb
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, blur, derive_seed, make_generator, sample, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.paint import paint
from comfykit_jupyter.sandbox.nodes.painter.palettes import choose_palette
from comfykit_jupyter.sandbox.nodes.schedule import SAMPLERS, SCHEDULERS, compute_levels, get_churn, get_order
from comfykit_jupyter.sandbox.nodes.values import Floats, Latent

_SKETCH = 512
"""Pixels of the longer side of what the steps work on; the full size is only touched before and after them."""
_DRIFT = 0.02
"""How far the steps may push the picture, in heights."""


@dataclass(frozen=True)
class _Task:
    """What the sampling nodes have in common."""

    model: Model
    seed: int
    cfg: float
    sampler: str
    scheduler: str
    positive: Conditioning
    negative: Conditioning
    latent: Latent
    levels: Floats
    add_noise: bool = True

    def brief(self) -> Brief:
        """What to paint, from both texts and the LoRAs of all who had a say."""
        brief = parse_brief(self.positive.text, self.negative.text)
        looks: dict[str, float] = {}
        # a LoRA on the reader counts less than one on the painter: it has changed what was read, not how it is painted
        for listed, share in (
            (self.model.looks, 1.0),
            (self.positive.clip.looks, 0.35),
            (self.negative.clip.looks, -0.1),
        ):
            for name, strength in listed:
                looks[name] = looks.get(name, 0.0) + share * strength
        return replace(brief, looks=tuple(sorted(looks.items())))

    def key(self, index: int) -> int:
        """A number that depends on everything that may be chosen."""
        return derive_seed(
            self.model, self.seed, self.cfg, self.sampler, self.scheduler, self.positive, self.negative,
            self.levels.tolist(), self.add_noise, index,
        )  # fmt: skip


def _paint_targets(task: _Task, brief: Brief) -> Floats:
    """The pictures that the steps lead to, shape (batch, height, width, 3): painted, or made of those given.

    The more noise there is to begin with, the less is left of what was given: first its colours go, then its shapes.
    """
    samples = task.latent["samples"]
    height, width = samples.shape[2] * 8, samples.shape[3] * 8
    strength = float(task.levels[0])
    # without noise of its own the sampler goes on with that of another one, towards a picture of the same kind
    given = decode(task.latent) if task.add_noise and not is_empty(task.latent) else None
    share = float(smoothstep(0.25, 1.0, np.array(strength, dtype=np.float32))) if given is not None else 1.0
    pictures = np.empty((len(samples), height, width, 3), dtype=np.float32)
    stops = choose_palette(brief).accents
    for index, picture in enumerate(pictures):
        lab = np.zeros((3, height, width), dtype=np.float32)
        if given is not None:
            lab = from_rgb(np.ascontiguousarray(np.moveaxis(given[index], 2, 0)))
            graded = apply_gradient(stops, lab[0])
            lab[1:] += np.float32(0.75 * strength) * (graded[1:] - lab[1:])
            lab[0] += np.float32(0.35 * strength) * (graded[0] - lab[0])
        if share:
            seed = derive_seed(task.seed, index) if index else task.seed
            painted = from_rgb(paint(brief, task.model.hand, width, height, seed, task.cfg))
            lab += np.float32(share) * (painted - lab)
        # too little to be seen: it tells pictures apart whose settings differ by too little to be seen either
        grain = make_generator(task.key(index)).standard_normal((height, width), dtype=np.float32)
        lab[0] += grain * np.float32(0.006)
        picture[:] = np.moveaxis(to_rgb(lab), 0, 2)
    return pictures


class _Drift:
    """Where the steps have pushed one picture so far: a smooth field of offsets, in heights.

    It goes round in a circle with the index in the batch, so that a batch made of one picture moves without a break.
    """

    def __init__(self, task: _Task, brief: Brief, index: int, count: int, size: tuple[int, int]) -> None:
        self._field = Field(
            max(8, size[0] // 16), max(8, size[1] // 16), "drift", task.seed, brief.key, task.negative.text
        )
        self._phase = 2 * np.pi * index / count
        self._order = get_order(task.sampler)
        self._task = task
        self.offsets: Floats = np.zeros((2, self._field.height, self._field.width), dtype=np.float32)

    def step(self, number: int, before: float, after: float) -> None:
        """Push once more, the further the more noise the step takes away."""
        for look in range(self._order):
            name = (number, look, self._task.sampler if self._order > 1 else "")
            cos, sin = np.cos(self._phase + number), np.sin(self._phase + number)
            for axis in (0, 1):
                push = cos * self._field.make_noise((name, axis, "a"), 1.6, 2) + sin * self._field.make_noise(
                    (name, axis, "b"), 1.6, 2
                )
                reach = _DRIFT * (before - after) ** 0.75 * (1 + get_churn(self._task.sampler)) / self._order
                self.offsets[axis] += np.float32(reach) * push.astype(np.float32)

    def applied(self, image: Floats) -> Floats:
        """An image, shape (height, width, 3), as far as it is pushed."""
        height, width = image.shape[:2]
        right, down = (
            np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
            for plane in self.offsets
        )
        x = np.arange(width, dtype=np.float32) + right * height
        y = np.arange(height, dtype=np.float32)[:, None] + down * height
        return np.moveaxis(sample(np.ascontiguousarray(np.moveaxis(image, 2, 0)), x, y), 0, 2)


def _predict(sketch: Floats, noise: float) -> Floats:
    """What can be made out of a picture at a level of noise: the more of it, the coarser."""
    radius = 0.09 * len(sketch) * noise**1.5
    if radius < 1:
        return sketch
    return np.stack([blur(np.ascontiguousarray(sketch[:, :, plane]), radius) for plane in range(3)], axis=2)


def _shrink(pictures: Floats) -> Floats:
    height, width = pictures.shape[1:3]
    scale = min(1.0, _SKETCH / max(height, width))
    return resize(pictures, max(8, round(width * scale)), max(8, round(height * scale)), "area")


def _run_steps(context: Context, task: _Task) -> Latent:
    """The latent after all steps.

    Raises:
        Interrupted: the run was cancelled.
    """
    steps = len(task.levels) - 1
    if steps < 1 or not task.levels[0]:
        return task.latent
    brief = task.brief()
    start = task.latent["samples"]
    count = len(start)
    pictures = _paint_targets(task, brief)
    sketches = _shrink(pictures)
    size = (start.shape[3] * 8, start.shape[2] * 8)
    drifts = [_Drift(task, brief, index, count, size) for index in range(count)]
    random = [make_generator("noise", task.seed, index) for index in range(count)]
    noise = np.stack([draw.standard_normal(start.shape[1:], dtype=np.float32) for draw in random])
    x = start
    if task.add_noise:
        x = start + task.levels[0] * (noise - start)
    stir = get_churn(task.sampler)
    for step, (before, after) in enumerate(zip(task.levels, task.levels[1:], strict=False)):
        predicted = np.empty_like(sketches)
        for index, drift in enumerate(drifts):
            drift.step(step, float(before), float(after))
            predicted[index] = _predict(drift.applied(sketches[index]), float(after))
        aim = _resize_samples(encode(predicted), start.shape)
        # towards the prediction, as far as the noise falls; some samplers put fresh noise in place of the old
        x = aim + (after / before) * (x - aim) if before else aim
        if stir and after:
            fresh = np.stack([draw.standard_normal(start.shape[1:], dtype=np.float32) for draw in random])
            x += np.float32(stir * after) * (fresh - (x - aim) / max(after, np.float32(1e-6))) * np.float32(0.5)
        # the noise is dimmed in the preview, which is there to show what it will be
        preview = shift_colours(predicted[0], (x[0] - aim[0]) * np.float32(0.4))
        context.report_progress(step + 1, steps, to_picture(preview))
    if task.levels[-1]:
        canvas = resize(predicted, size[0], size[1])
        return Latent(samples=x - aim + encode(canvas), canvas=canvas)
    canvas = np.stack([drift.applied(picture) for drift, picture in zip(drifts, pictures, strict=True)]).clip(0, 1)
    return Latent(samples=encode(canvas), canvas=canvas)


def _resize_samples(samples: Floats, shape: Sequence[int]) -> Floats:
    """Samples of a sketch at the size of the latent."""
    if samples.shape == tuple(shape):
        return samples
    height, width = shape[2:]
    planes = samples.reshape(-1, *samples.shape[2:])
    resized = [np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC)) for plane in planes]
    return np.stack(resized).reshape(shape)


_SEED: Spec = ("INT", {"default": 0, "min": 0, "max": 0xFFFFFFFFFFFFFFFF, "control_after_generate": True})
_STEPS: Spec = ("INT", {"default": 20, "min": 1, "max": 10000})
_CFG: Spec = ("FLOAT", {"default": 8.0, "min": 0.0, "max": 100.0, "step": 0.1, "round": 0.01})
_LINKS: dict[str, Spec] = {
    "positive": ("CONDITIONING", {}),
    "negative": ("CONDITIONING", {}),
    "latent_image": ("LATENT", {}),
}


@node(
    "KSampler",
    display_name="KSampler",
    category="model/sampling",
    required={
        "model": ("MODEL", {}),
        "seed": _SEED,
        "steps": _STEPS,
        "cfg": _CFG,
        "sampler_name": (list(SAMPLERS), {}),
        "scheduler": (list(SCHEDULERS), {}),
        **_LINKS,
        "denoise": ("FLOAT", {"default": 1.0, "min": 0.0, "max": 1.0, "step": 0.01}),
    },
    returns=("LATENT",),
)
def ksampler(
    context: Context,
    model: Model,
    seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    denoise: float = 1.0,
) -> Output:
    """A picture for a prompt; `denoise` below 1 keeps that much less of the noise, and more of what was there."""
    if denoise <= 0:
        return Output((latent_image,))
    noise = compute_levels(scheduler, steps, denoise)
    task = _Task(model, seed, cfg, sampler_name, scheduler, positive, negative, latent_image, noise)
    return Output((_run_steps(context, task),))


@node(
    "KSamplerAdvanced",
    display_name="KSampler (Advanced)",
    category="model/sampling",
    required={
        "model": ("MODEL", {}),
        "add_noise": (["enable", "disable"], {"advanced": True}),
        "noise_seed": _SEED,
        "steps": _STEPS,
        "cfg": _CFG,
        "sampler_name": (list(SAMPLERS), {}),
        "scheduler": (list(SCHEDULERS), {}),
        **_LINKS,
        "start_at_step": ("INT", {"default": 0, "min": 0, "max": 10000, "advanced": True}),
        "end_at_step": ("INT", {"default": 10000, "min": 0, "max": 10000, "advanced": True}),
        "return_with_leftover_noise": (["disable", "enable"], {"advanced": True}),
    },
    returns=("LATENT",),
)
def ksampler_advanced(
    context: Context,
    model: Model,
    add_noise: str,
    noise_seed: int,
    steps: int,
    cfg: float,
    sampler_name: str,
    scheduler: str,
    positive: Conditioning,
    negative: Conditioning,
    latent_image: Latent,
    start_at_step: int,
    end_at_step: int,
    return_with_leftover_noise: str,
) -> Output:
    """Some of the steps to a picture; the noise that is left can be kept for a sampler that goes on."""
    noise = compute_levels(scheduler, steps)[start_at_step : end_at_step + 1].copy()
    if len(noise) > 1 and return_with_leftover_noise == "disable":
        noise[-1] = 0.0
    task = _Task(
        model, noise_seed, cfg, sampler_name, scheduler, positive, negative, latent_image, noise, add_noise == "enable"
    )
    return Output((_run_steps(context, task),))
