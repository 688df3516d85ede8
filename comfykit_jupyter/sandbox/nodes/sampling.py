"""Sampling nodes: they go from noise to an image in real steps, with a preview of each step.

There is no neural network. `painter` paints the target image for the prompt text and the seed. The steps approach it
as a diffusion model's do: at each step the noise falls to the scheduler's next level, and finer structure appears.
The steps also distort the image slightly, so that steps, sampler and scheduler affect the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from comfykit_jupyter.sandbox.interface.node import Context, Output, Spec, node
from comfykit_jupyter.sandbox.interface.values import Floats, Latent
from comfykit_jupyter.sandbox.nodes.image import resize, resize_planes
from comfykit_jupyter.sandbox.nodes.image_files import to_picture
from comfykit_jupyter.sandbox.nodes.latent import decode, encode, is_empty, shift_colours
from comfykit_jupyter.sandbox.nodes.model import Conditioning, Model
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief, parse_brief
from comfykit_jupyter.sandbox.nodes.painter.color import apply_gradient, from_rgb, to_rgb
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, blur, derive_seed, make_generator, sample, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.paint import paint
from comfykit_jupyter.sandbox.nodes.painter.palettes import choose_palette
from comfykit_jupyter.sandbox.nodes.schedule import SAMPLERS, SCHEDULERS, compute_levels, get_churn, get_order

_SKETCH = 256
"""Longest side, in pixels, of the copies that the steps work on; they have half the size at most. The full size is used
only before and after the steps."""

_DRIFT = 0.02
"""How far the steps can push the image, as a share of its height."""


@dataclass(frozen=True)
class _Task:
    """The settings that the sampling nodes have in common."""

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

    def build_brief(self) -> Brief:
        """Build the painter's brief from both prompt texts and all LoRAs."""
        brief = parse_brief(self.positive.text, self.negative.text)
        looks: dict[str, float] = {}
        # A LoRA on CLIP counts less than one on the model: it changes how the text is read, not how it is painted.
        for clip_looks, share in (
            (self.model.looks, 1.0),
            (self.positive.clip.looks, 0.35),
            (self.negative.clip.looks, -0.1),
        ):
            for name, strength in clip_looks:
                looks[name] = looks.get(name, 0.0) + share * strength
        return replace(brief, looks=tuple(sorted(looks.items())))

    def derive_key(self, index: int) -> int:
        """Return a number that depends on all settings."""
        return derive_seed(
            self.model, self.seed, self.cfg, self.sampler, self.scheduler, self.positive, self.negative,
            self.levels.tolist(), self.add_noise, index,
        )  # fmt: skip


def _paint_targets(task: _Task, brief: Brief) -> Floats:
    """Return the target images, shape (batch, height, width, 3), which are painted or derived from the given latent.

    The more noise at the start, the less remains of the given images: first their colours change, then their shapes.
    """
    samples = task.latent["samples"]
    height, width = samples.shape[2] * 8, samples.shape[3] * 8
    strength = float(task.levels[0])
    # Without its own noise, the sampler continues the work of another one, towards the same kind of image.
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
        # Invisible grain, so that images differ even if their settings differ too little to be seen.
        grain = make_generator(task.derive_key(index)).standard_normal((height, width), dtype=np.float32)
        lab[0] += grain * np.float32(0.006)
        picture[:] = np.moveaxis(to_rgb(lab), 0, 2)
    return pictures


class _Drift:
    """How far the steps have pushed one image: a smooth field of offsets, in heights.

    The direction turns in a circle over the batch, so that a batch of one image forms a seamless loop.
    """

    def __init__(self, task: _Task, brief: Brief, index: int, count: int, size: tuple[int, int]) -> None:
        self._field = Field(
            max(8, size[0] // 16), max(8, size[1] // 16), "drift", task.seed, brief.key, task.negative.text
        )
        self._phase = 2 * np.pi * index / count
        self._order = get_order(task.sampler)
        self._task = task
        self.offsets: Floats = np.zeros((2, self._field.height, self._field.width), dtype=np.float32)

    def push(self, number: int, before: float, after: float) -> None:
        """Add one step's push, which is larger the more noise the step removes."""
        for look in range(self._order):
            name = (number, look, self._task.sampler if self._order > 1 else "")
            cos, sin = np.cos(self._phase + number), np.sin(self._phase + number)
            for axis in (0, 1):
                push = cos * self._field.make_noise((name, axis, "a"), 1.6, 2) + sin * self._field.make_noise(
                    (name, axis, "b"), 1.6, 2
                )
                reach = _DRIFT * (before - after) ** 0.75 * (1 + get_churn(self._task.sampler)) / self._order
                self.offsets[axis] += np.float32(reach) * push.astype(np.float32)

    def apply(self, image: Floats) -> Floats:
        """Return an image of shape (height, width, 3) with the offsets applied."""
        height, width = image.shape[:2]
        right, down = (
            np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC))
            for plane in self.offsets
        )
        x = np.arange(width, dtype=np.float32) + right * height
        y = np.arange(height, dtype=np.float32)[:, None] + down * height
        return np.moveaxis(sample(np.ascontiguousarray(np.moveaxis(image, 2, 0)), x, y), 0, 2)


def _predict(sketch: Floats, noise: float) -> Floats:
    """Return the prediction at a noise level: the image, blurred more the higher the level."""
    radius = 0.09 * len(sketch) * noise**1.5
    if radius < 1:
        return sketch
    return np.stack([blur(np.ascontiguousarray(sketch[:, :, plane]), radius) for plane in range(3)], axis=2)


def _shrink(pictures: Floats) -> Floats:
    height, width = pictures.shape[1:3]
    scale = min(0.5, _SKETCH / max(height, width))
    return resize(pictures, max(8, round(width * scale)), max(8, round(height * scale)), "area")


def _sample(context: Context, task: _Task) -> Latent:
    """Run all steps and return the resulting latent; where its mask is not set, it keeps what it has.

    Raises:
        Interrupted: The job was cancelled.
    """
    latent, sampled = task.latent, _run_steps(context, task)
    if "mask" not in latent or sampled is latent:
        return sampled
    count, _, height, width = sampled["samples"].shape
    masks = latent["mask"][np.arange(count) % len(latent["mask"])]
    canvas = sampled["canvas"]
    fine = resize_planes(masks, canvas.shape[2], canvas.shape[1], "bilinear")[..., None].clip(0, 1)
    coarse = resize_planes(masks, width, height, "area")[:, None].clip(0, 1)
    own = decode(latent)
    return Latent(
        samples=latent["samples"] + coarse * (sampled["samples"] - latent["samples"]),
        canvas=own + fine * (canvas - own),
        mask=latent["mask"],
    )


def _run_steps(context: Context, task: _Task) -> Latent:
    """Run all steps and return the resulting latent.

    Raises:
        Interrupted: The job was cancelled.
    """
    steps = len(task.levels) - 1
    if steps < 1 or not task.levels[0]:
        return task.latent
    brief = task.build_brief()
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
            drift.push(step, float(before), float(after))
            predicted[index] = _predict(drift.apply(sketches[index]), float(after))
        aim = _resize_samples(encode(predicted), start.shape)
        # Move towards the prediction by as much as the noise falls. Some samplers replace old noise with fresh noise.
        x = aim + (after / before) * (x - aim) if before else aim
        if stir and after:
            fresh = np.stack([draw.standard_normal(start.shape[1:], dtype=np.float32) for draw in random])
            x += np.float32(stir * after) * (fresh - (x - aim) / max(after, np.float32(1e-6))) * np.float32(0.5)
        # Dim the noise in the preview, so that the image to come is visible.
        preview = shift_colours(predicted[0], (x[0] - aim[0]) * np.float32(0.4))
        context.report_progress(step + 1, steps, to_picture(preview))
    if task.levels[-1]:
        canvas = resize(predicted, size[0], size[1])
        return Latent(samples=x - aim + encode(canvas), canvas=canvas)
    canvas = np.stack([drift.apply(picture) for drift, picture in zip(drifts, pictures, strict=True)]).clip(0, 1)
    return Latent(samples=encode(canvas), canvas=canvas)


def _resize_samples(samples: Floats, shape: Sequence[int]) -> Floats:
    """Resize the samples of a sketch to the shape of the latent."""
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
    """Sample an image; a `denoise` below 1 adds less noise and keeps more of the given latent."""
    if denoise <= 0:
        return Output((latent_image,))
    noise = compute_levels(scheduler, steps, denoise)
    task = _Task(model, seed, cfg, sampler_name, scheduler, positive, negative, latent_image, noise)
    return Output((_sample(context, task),))


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
    """Run some of the steps; the remaining noise can be kept for another sampler to continue."""
    noise = compute_levels(scheduler, steps)[start_at_step : end_at_step + 1].copy()
    if len(noise) > 1 and return_with_leftover_noise == "disable":
        noise[-1] = 0.0
    task = _Task(
        model, noise_seed, cfg, sampler_name, scheduler, positive, negative, latent_image, noise, add_noise == "enable"
    )
    return Output((_sample(context, task),))
