"""The last layer of an image: brush, paper or ink, depth of colour, vignette and grain."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import apply_gradient, parse_hexes
from comfykit_jupyter.sandbox.nodes.painter.layers import add_bloom, cover, measure_distance
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, blur, sample, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.palettes import Palette


def apply_brush(lab: Floats, field: Field, strength: float) -> Floats:
    """Return the image with brush strokes along its edges, in the relief of thick paint."""
    guide = blur(lab[0], 0.035 * field.height)
    down, right = np.gradient(guide)
    bend = field.make_noise("strokes", 1.4, 2)
    angle = np.arctan2(right, -down) + 0.5 * bend
    cos, sin = np.cos(angle), np.sin(angle)
    x, y = field.x * field.height - 0.5, field.y * field.height - 0.5
    length = 0.016 * field.height * min(1.5, strength)
    bristle = field.make_noise("bristle", field.height / 3.2, 1)
    out, relief, weight = np.zeros_like(lab), np.zeros_like(guide), 0.0
    for step in np.linspace(-1, 1, 9):
        at_x, at_y = x + cos * np.float32(step * length), y + sin * np.float32(step * length)
        share = 1.15 - abs(step)
        index = at_y.clip(0, field.height - 1).astype(np.int32) * field.width + at_x.clip(0, field.width - 1).astype(
            np.int32
        )
        for plane in range(3):
            out[plane] += np.float32(share) * lab[plane].ravel().take(index)
        relief += np.float32(share) * bristle.ravel().take(index)
        weight += share
    out /= np.float32(weight)
    relief /= np.float32(weight)
    out[0] += (np.gradient(relief, axis=0) - np.gradient(relief, axis=1)) * np.float32(0.08 * min(strength, 1.6))
    out[0] += relief * np.float32(0.035 * min(strength, 1.6))
    out[1:] *= np.float32(1.06)
    return out


def make_paper(field: Field) -> Floats:
    """Return the texture of paper, about -1…1."""
    tooth: Floats = 0.7 * field.make_noise("tooth", 70, 3, 0.8) + 0.3 * field.make_noise("pulp", 5, 3)
    return tooth


def apply_watercolour(lab: Floats, field: Field) -> Floats:
    """Return the image as a watercolour: washes with darker edges, and a white border of paper."""
    run_x, run_y = (field.make_noise(("run", axis), 7, 4, 0.55) * np.float32(0.012) for axis in "xy")
    soft = np.stack([blur(plane, 0.008 * field.height) for plane in lab])
    ran = sample(soft, (field.x + run_x) * field.height, (field.y + run_y) * field.height)
    tones = 7
    level = ran[0] * tones + 0.35 * field.make_noise("pools", 3, 4)
    flat = (np.floor(level) + smoothstep(0.35, 0.65, level % 1)) / tones
    edge = np.abs((level % 1) - 0.5)
    ran[0] += 0.55 * (flat - ran[0]) - 0.05 * smoothstep(0.12, 0.0, edge)
    sheet = parse_hexes("fbf8f0")[0]
    ran[0] = 0.22 + 0.80 * ran[0]
    ran[1:] *= np.float32(1.12)
    wash = 0.86 + 0.16 * field.make_noise("wash", 2.2, 5, 0.6)
    ran += (1 - wash.clip(0, 1))[None] * (sheet[:, None, None] - ran)
    tooth = make_paper(field)
    ran[0] += tooth * np.float32(0.018)
    rim = np.minimum(np.minimum(field.x, field.aspect - field.x), np.minimum(field.y, 1 - field.y))
    torn = smoothstep(0.0, 0.014, rim - 0.035 + 0.02 * field.make_noise("rim", 4, 5, 0.6))
    cover(ran, sheet, 1 - torn)
    return ran


def apply_ink(lab: Floats, field: Field, palette: Palette) -> Floats:
    """Return the image as ink on rice paper; the most colourful parts keep a little colour."""
    run = field.make_noise("bleed", 9, 4, 0.6) * np.float32(0.006)
    soft = np.stack([blur(plane, 0.006 * field.height) for plane in lab])
    low, high = np.quantile(soft[0][::8, ::8], (0.02, 0.94))
    tone = ((soft[0] - low) / max(0.05, high - low)).clip(0, 1)
    tone = field.warp(tone.astype(np.float32), run, run)
    crisp = ((lab[0] - low) / max(0.05, high - low)).clip(0, 1)
    tone = 0.6 * tone + 0.4 * crisp
    tone = tone**1.3 + 0.07 * field.make_noise("wash", 2.6, 5, 0.6) * (1 - tone)
    dry = smoothstep(0.25, 0.9, field.make_noise("dry", 120, 2, 0.7, stretch=(7, 0.8))) * smoothstep(0.5, 0.1, tone)
    out = apply_gradient(parse_hexes("14151a", "33363d", "777a7c", "c3c0b4", "f0eadb", "f6f1e4"), tone + 0.09 * dry)
    chroma = np.hypot(lab[1], lab[2])
    keep = smoothstep(
        float(np.quantile(chroma[::8, ::8], 0.90)), float(chroma.max()) + 1e-4, blur(chroma, 0.012 * field.height)
    )
    seal = parse_hexes("c2402a")[0]
    for plane in (1, 2):
        out[plane] += keep * np.float32(0.75) * (0.5 * (lab[plane] + seal[plane]) - out[plane])
    out[0] += make_paper(field) * np.float32(0.014)
    out[1:] += (palette.accents[2][1:] * np.float32(0.06))[:, None, None]
    return out


def finish(lab: Floats, field: Field, brief: Brief, palette: Palette, cfg: float, ink: bool) -> Floats:
    """Finish a scene: its style, the depth of colour for `cfg` (7 is neutral), vignette and grain."""
    looks = dict(brief.looks)
    if not ink and brief.style not in ("ink", "watercolor", "neon"):
        add_bloom(lab, field, 0.74, 0.5)
    depth = np.float32(np.clip(1 + 0.055 * (cfg - 7), 0.55, 1.5))
    middle = lab[0].mean()
    lab[0] = middle + (lab[0] - middle) * (1 + (depth - 1) * 0.55)
    lab[1:] *= depth
    if brief.style == "oil":
        lab = apply_brush(lab, field, 1.0)
    if looks.get("brush"):
        lab = apply_brush(lab, field, 0.4 + abs(looks["brush"]))
    if ink or brief.style == "ink":
        lab = apply_ink(lab, field, palette)
    elif brief.style == "watercolor":
        lab = apply_watercolour(lab, field)
    else:
        away = measure_distance(field, (field.aspect / 2, 0.5)) / np.hypot(field.aspect / 2, 0.5)
        lab[0] *= 1 - 0.24 * smoothstep(0.45, 1.15, away)
    grain = field.make_generator("grain", brief.key).standard_normal((field.height, field.width), dtype=np.float32)
    lab[0] += grain * np.float32(0.009)
    return lab
