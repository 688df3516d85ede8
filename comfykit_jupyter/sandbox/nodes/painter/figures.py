"""Figures drawn from outlines: a fox, a cat, a boat, a house, birds."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import apply_gradient, mix, parse_hexes
from comfykit_jupyter.sandbox.nodes.painter.layers import add_light, cover
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, blur, draw_mask, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.palettes import Palette, find_colour

# Points in a unit square, y down, with the ground at 1; a repeated point makes a corner.
_FOX_BODY = [
    (0.30, 0.20), (0.255, 0.055), (0.255, 0.055), (0.345, 0.135), (0.40, 0.135), (0.455, 0.04), (0.455, 0.04),
    (0.475, 0.19), (0.475, 0.25), (0.52, 0.34), (0.60, 0.47), (0.66, 0.62), (0.675, 0.80), (0.66, 0.93), (0.62, 0.99),
    (0.50, 1.0), (0.40, 1.0), (0.325, 1.0), (0.325, 0.965), (0.345, 0.80), (0.32, 0.62), (0.30, 0.47), (0.305, 0.38),
    (0.27, 0.345), (0.205, 0.325), (0.13, 0.315), (0.13, 0.315), (0.185, 0.265), (0.25, 0.235),
]  # fmt: skip
_FOX_TAIL = [
    (0.60, 0.90), (0.68, 0.86), (0.75, 0.74), (0.80, 0.60), (0.885, 0.49), (0.985, 0.44), (0.985, 0.44), (1.0, 0.60),
    (0.975, 0.78), (0.90, 0.92), (0.78, 0.99), (0.66, 1.0), (0.60, 0.98),
]  # fmt: skip
_FOX_TIP = [
    (0.86, 0.52), (0.985, 0.44), (0.985, 0.44), (1.0, 0.58), (0.985, 0.66), (0.94, 0.625), (0.90, 0.655),
    (0.875, 0.59),
]  # fmt: skip
_FOX_CHEST = [
    (0.135, 0.318), (0.21, 0.30), (0.28, 0.31), (0.345, 0.36), (0.375, 0.47), (0.385, 0.60), (0.37, 0.71),
    (0.335, 0.60),
    (0.295, 0.46), (0.30, 0.375), (0.26, 0.345), (0.20, 0.327),
]  # fmt: skip
_FOX_LEGS = [
    [(0.325, 1.0), (0.335, 0.86), (0.40, 0.86), (0.42, 0.94), (0.41, 1.0)],
]
_CAT_BODY = [
    (0.34, 0.20), (0.335, 0.05), (0.335, 0.05), (0.415, 0.115), (0.50, 0.10), (0.575, 0.115), (0.65, 0.05),
    (0.65, 0.05),
    (0.655, 0.20), (0.655, 0.29), (0.61, 0.365), (0.62, 0.43), (0.69, 0.56), (0.745, 0.74), (0.74, 0.91), (0.68,
    0.995),
    (0.50, 1.0), (0.32, 0.995), (0.255, 0.91), (0.25, 0.74), (0.305, 0.56), (0.375, 0.43), (0.385, 0.365),
    (0.335, 0.29),
]  # fmt: skip
_CAT_TAIL = [
    (0.66, 0.94), (0.78, 0.93), (0.86, 0.86), (0.87, 0.76), (0.83, 0.68), (0.85, 0.625), (0.905, 0.64), (0.945, 0.73),
    (0.94, 0.87), (0.86, 0.98), (0.74, 1.005), (0.66, 1.0),
]  # fmt: skip
_HULL = [
    (0.08, 0.84), (0.08, 0.84), (0.30, 0.87), (0.60, 0.87), (0.95, 0.815), (0.95, 0.815), (0.86, 0.95), (0.70,
    1.0), (0.28, 1.0), (0.14, 0.95),
]  # fmt: skip
_SAIL = [
    (0.50, 0.06), (0.50, 0.06), (0.60, 0.38), (0.80, 0.76), (0.80, 0.76), (0.66, 0.785), (0.50, 0.79), (0.50,
    0.79),
]  # fmt: skip
_JIB = [
    (0.46, 0.14), (0.46, 0.14), (0.465, 0.5), (0.46, 0.79), (0.46, 0.79), (0.30, 0.785), (0.15, 0.765), (0.15,
    0.765), (0.33, 0.48),
]  # fmt: skip
_MAST = [
    (0.473, 0.03), (0.473, 0.03), (0.487, 0.03), (0.487, 0.03), (0.49, 0.88), (0.49, 0.88), (0.47, 0.88), (0.47,
    0.88),
]  # fmt: skip
_COATS = {"fox": "d2602a", "cat": "2b2730"}


def _double_points(*points: tuple[float, float]) -> list[tuple[float, float]]:
    """Repeat each point, which makes an outline with straight sides."""
    return [point for point in points for _ in range(2)]


def _dim(colour: Floats, brief: Brief, palette: Palette) -> Floats:
    """Dim a colour to the light of the scene."""
    level = {"night": 0.62, "aurora": 0.6, "storm": 0.8}.get(brief.light, 1.0)
    out = colour * np.array([level, 0.95, 0.95], dtype=np.float32)
    return (mix(out, palette.haze, 0.1)).astype(np.float32)


def paint_sitting_animal(
    lab: Floats, field: Field, brief: Brief, palette: Palette, animal: str, across: float, outline: Floats
) -> None:
    """Paint a fox or a cat that sits on the ground."""
    random = field.make_generator("sitting", animal)
    size = random.uniform(0.34, 0.42) if animal == "fox" else random.uniform(0.36, 0.43)
    size *= min(1.0, field.aspect)
    flip = across > field.aspect / 2 if animal == "fox" else bool(random.random() < 0.5)
    foot = float(outline[int(np.clip(across * field.height, 0, field.width - 1))]) + 0.05
    centre = (across, min(foot, 0.985))

    def mask(*shapes: list[tuple[float, float]]) -> Floats:
        return draw_mask(shapes, field, centre, size, flip)

    coat = find_colour(brief.coat) if brief.coat and brief.coat != "red" else parse_hexes(_COATS[animal])[0]
    if brief.coat == "red":
        coat = parse_hexes("cf4a1e" if animal == "fox" else "b0492a")[0]
    coat = _dim(coat, brief, palette)
    shadow = blur(mask(_FOX_BODY if animal == "fox" else _CAT_BODY), 0.03 * field.height)
    ground = np.exp(-(((field.x - across) / (size * 0.42)) ** 2) - ((field.y - centre[1]) / (size * 0.055)) ** 2)
    lab[0] *= 1 - (0.42 * ground + 0.08 * shadow)
    fur = field.make_noise(("fur", animal), 38 / size * 0.36, 3, 0.7, stretch=(0.5, 1.4))
    side = field.x - across if not flip else across - field.x
    for shape in (_FOX_TAIL, _FOX_BODY) if animal == "fox" else (_CAT_TAIL, _CAT_BODY):
        inside = mask(shape)
        soft = blur(inside, 0.035 * field.height * size / 0.36)
        body = smoothstep(0.25, 1.05, soft)
        light = 0.62 - 0.9 * side / size - 0.55 * (field.y - centre[1] + size * 0.5) / size + 0.12 * fur - 0.18 * body
        dark = coat * np.array([0.62, 0.9, 0.85], dtype=np.float32)
        bright = mix(coat, palette.sun, 0.34 if animal == "fox" else 0.16)
        cover(lab, apply_gradient(np.stack([dark, coat, bright]).astype(np.float32), light), inside)
        rim = (inside - soft).clip(0, 1) * smoothstep(0.25 if animal == "cat" else 0.1, -0.5, side / size)
        add_light(lab, palette.sun, rim * np.float32(0.6 if animal == "fox" else 0.95))
    if animal == "fox":
        cream = _dim(parse_hexes("f6ead8")[0], brief, palette)
        for shape in (_FOX_CHEST, _FOX_TIP):
            patch = blur(mask(shape), 0.006 * field.height) * (0.9 + 0.2 * fur).clip(0, 1)
            cover(lab, cream, patch.clip(0, 1))
        socks = blur(mask(*_FOX_LEGS), 0.008 * field.height) * 0.75
        cover(lab, _dim(parse_hexes("2a1a18")[0], brief, palette), socks)
        ears = mask(
            _double_points((0.262, 0.075), (0.285, 0.165), (0.325, 0.13)),
            _double_points((0.45, 0.065), (0.41, 0.135), (0.462, 0.17)),
        )
        cover(lab, _dim(parse_hexes("3a1c18")[0], brief, palette), ears * 0.8)
        eye = draw_mask([_trace_circle(0.285, 0.232, 0.0135)], field, centre, size, flip)
        nose = draw_mask([_trace_circle(0.138, 0.312, 0.016)], field, centre, size, flip)
        cover(lab, parse_hexes("160f10")[0], np.maximum(eye, nose))
    if brief.ground == "snow":  # the animal sinks in a little
        edge = centre[1] - 0.022 * size + 0.03 * size * field.make_noise("paws", 9, 3)
        bank = smoothstep(-0.012, 0.02, field.y - edge) * np.exp(-(((field.x - across) / (0.62 * size)) ** 4))
        snow = lab[:, min(field.height - 1, int((centre[1] + 0.06 * size) * field.height)), :].mean(axis=1)
        cover(lab, snow, bank * np.exp(-(field.y - edge).clip(0) / (0.05 * size)))


def _trace_circle(x: float, y: float, radius: float) -> list[tuple[float, float]]:
    angles = np.linspace(0, 2 * np.pi, 8, endpoint=False)
    return [(x + radius * float(np.cos(angle)), y + radius * float(np.sin(angle))) for angle in angles]


def paint_boat(lab: Floats, field: Field, palette: Palette, centre: tuple[float, float], size: float) -> None:
    """Paint a sailing boat and its reflection in the water."""
    random = field.make_generator("boat")
    flip = bool(random.random() < 0.5)
    cloth = mix(palette.sun, palette.haze, 0.25)
    wood = mix(palette.near, parse_hexes("5a3524")[0], 0.45)
    parts = [
        ((_SAIL,), cloth, 0.95),
        ((_JIB,), cloth * np.array([0.93, 1, 1], dtype=np.float32), 0.95),
        ((_MAST, _HULL), wood, 1.0),
    ]
    ripple = field.make_noise("wake", 16, 3, 0.6, stretch=(4, 0.7))
    for shapes, colour, strength in parts:
        mask = draw_mask(shapes, field, centre, size, flip)
        mirrored = field.warp(mask, 0.014 * ripple, 2 * (centre[1] - field.y) + 0.01 * ripple)
        mirrored *= (field.y > centre[1]) * np.exp(-(field.y - centre[1]).clip(0) / (size * 0.7))
        cover(lab, colour.astype(np.float32), mirrored * np.float32(0.38))
        tone = np.empty_like(lab)
        tone[:] = colour[:, None, None]
        tone[0] *= 1 - 0.35 * smoothstep(centre[1] - size, centre[1], field.y) * (0.4 if colour is not wood else 0.1)
        cover(lab, tone, mask * np.float32(strength))


def paint_house(lab: Floats, field: Field, brief: Brief, palette: Palette, outline: Floats, across: float) -> None:
    """Paint a small house with lit windows and smoke."""
    size = 0.24
    base = float(outline[int(np.clip(across * field.height, 0, field.width - 1))]) - 0.01
    centre = (across, base)

    def mask(*points: tuple[float, float]) -> Floats:
        return draw_mask([_double_points(*points)], field, centre, size)

    wall = _dim(parse_hexes("7a5a48")[0], brief, palette)
    roof = _dim(parse_hexes("f1f2f3" if brief.ground == "snow" else "4a2f2c")[0], brief, palette)
    cover(
        lab, wall * np.array([0.7, 1, 1], dtype=np.float32), mask((0.66, 0.22), (0.74, 0.22), (0.74, 0.5), (0.66, 0.5))
    )
    cover(lab, wall, mask((0.14, 0.58), (0.86, 0.58), (0.86, 1.0), (0.14, 1.0)))
    cover(
        lab, wall * np.array([0.8, 1, 1], dtype=np.float32), mask((0.14, 0.58), (0.42, 0.58), (0.42, 1.0), (0.14, 1.0))
    )
    cover(lab, roof, mask((0.28, 0.28), (0.78, 0.28), (0.93, 0.61), (0.43, 0.61)))
    cover(
        lab,
        roof * np.array([0.86, 1, 1], dtype=np.float32),
        mask((0.28, 0.28), (0.45, 0.61), (0.40, 0.61), (0.28, 0.36), (0.12, 0.61), (0.07, 0.61)),
    )
    cover(lab, wall * np.array([0.8, 1, 1], dtype=np.float32), mask((0.28, 0.36), (0.42, 0.62), (0.14, 0.62)))
    lamp = parse_hexes("ffc562")[0]
    windows = mask((0.54, 0.70), (0.64, 0.70), (0.64, 0.84), (0.54, 0.84)) + mask(
        (0.70, 0.70), (0.80, 0.70), (0.80, 0.84), (0.70, 0.84)
    )
    cover(lab, lamp, windows + mask((0.24, 0.74), (0.33, 0.74), (0.33, 1.0), (0.24, 1.0)) * 0.6)
    warm = np.exp(-(((field.x - across - 0.17 * size) / 0.12) ** 2) - ((field.y - base + 0.2 * size) / 0.09) ** 2)
    add_light(
        lab, lamp, warm * np.float32(0.5 if brief.light in ("night", "aurora", "storm", "mist", "sunset") else 0.18)
    )
    rise = base - 0.78 * size - field.y
    drift = (
        across
        + 0.2 * size
        + 0.10 * rise
        + 0.03 * field.make_line("smoke", 3, 3)[0]
        + 0.05 * field.make_noise("puffs", 4, 3) * rise.clip(0) * 6
    )
    smoke = (
        np.exp(-(((field.x - drift) / (0.008 + 0.10 * rise.clip(0))) ** 2))
        * smoothstep(0.0, 0.03, rise)
        * np.exp(-rise.clip(0) / 0.12)
    )
    cover(lab, palette.haze, smoke * np.float32(0.5))


def paint_birds(lab: Floats, field: Field, palette: Palette) -> None:
    """Paint a few distant birds."""
    random = field.make_generator("birds")
    start, height = field.aspect * random.uniform(0.25, 0.7), random.uniform(0.14, 0.34)
    for number in range(int(random.integers(5, 10))):
        size = random.uniform(0.025, 0.05)
        lift = random.uniform(0.15, 0.4)
        wing = [
            (0.0, 0.5 - lift), (0.0, 0.5 - lift), (0.25, 0.46 - lift * 0.9), (0.5, 0.5), (0.75, 0.46 - lift * 0.9),
            (1.0, 0.5 - lift), (1.0, 0.5 - lift), (0.76, 0.53 - lift * 0.7), (0.5, 0.6), (0.24, 0.53 - lift * 0.7),
        ]  # fmt: skip
        place = (
            start + 0.06 * (number % 4) + random.normal(0, 0.05),
            height + 0.03 * number // 2 + random.normal(0, 0.03),
        )
        cover(lab, palette.near, draw_mask([wing], field, place, size) * np.float32(0.85))
