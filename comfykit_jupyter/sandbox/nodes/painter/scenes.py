"""Landscapes: mountains, hills, sea, dunes, forest. Each function returns OKLab planes for a brief."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import apply_gradient, mix, parse_hexes
from comfykit_jupyter.sandbox.nodes.painter.figures import paint_birds, paint_boat, paint_house, paint_sitting_animal
from comfykit_jupyter.sandbox.nodes.painter.layers import (
    add_light,
    cover,
    mask_below,
    measure_distance,
    paint_clouds,
    paint_conifers,
    paint_moon,
    paint_ridges,
    paint_sky,
    paint_stars,
    paint_sun,
    paint_water,
)
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, mirror, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.palettes import Palette

_SNOW = parse_hexes("f6f5f2", "cfd9e8", "9fb2cf")


def paint_heaven(field: Field, brief: Brief, palette: Palette, horizon: float) -> tuple[Floats, tuple[float, float]]:
    """Return a sky with sun or moon, stars and clouds, and the position of its light."""
    random = field.make_generator("heaven")
    lab = paint_sky(field, palette, horizon)
    side = random.uniform(0.22, 0.78)
    dark = brief.light in ("night", "aurora")
    height = horizon * (random.uniform(0.22, 0.42) if dark or brief.light == "day" else random.uniform(0.58, 0.82))
    at = (field.aspect * side, height)
    if dark:
        paint_stars(lab, field, horizon)
    if brief.light == "aurora":
        _paint_aurora(lab, field, palette, horizon)
    if "moon" in brief.figures or (brief.light == "night" and "sun" not in brief.figures):
        paint_moon(lab, field, palette, at, random.uniform(0.045, 0.075))
    elif brief.light in ("sunset", "dawn", "mist") or "sun" in brief.figures:
        paint_sun(lab, field, palette, at, random.uniform(0.04, 0.07), 1.0 if brief.light != "mist" else 0.5)
    else:
        add_light(lab, palette.sun, 0.5 * np.exp(-measure_distance(field, at) / 0.35))
    amount = {"storm": 0.85, "day": 0.55, "night": 0.22, "aurora": 0.0, "mist": 0.3}.get(brief.light, 0.5)
    if amount:
        paint_clouds(lab, field, palette, horizon, at, amount + random.uniform(-0.12, 0.12))
    return lab, at


def _paint_aurora(lab: Floats, field: Field, palette: Palette, horizon: float) -> None:
    for band in range(3):
        path = horizon * (0.34 + 0.15 * band) + 0.16 * field.make_line(("aurora", band), 0.9, 3, 0.4)
        up = path - field.y
        rays = 0.6 + 0.55 * field.make_noise(("rays", band), 13, 3, 0.6, stretch=(0.7, 9))
        curtain = np.where(up > 0, np.exp(-up / 0.17), np.exp(up / 0.018)) * rays.clip(0, 1.4)
        tone = apply_gradient(palette.accents[[2, 3, 4]], (up / 0.34).clip(0, 1))
        amount = (0.5 * curtain * (0.6 + 0.5 * field.make_line(("lit", band), 1.6, 2))).clip(0, 0.85)
        lab[0] += amount * (0.95 - lab[0]).clip(0) * tone[0]
        for plane in (1, 2):
            lab[plane] += amount.clip(0, 1) * (tone[plane] - lab[plane])


def choose_ground_colour(brief: Brief, palette: Palette) -> Floats:
    """Return the colour of the ground in front."""
    if brief.ground == "snow":
        dim = {"night": 0.62, "aurora": 0.6, "storm": 0.78, "sunset": 0.86}.get(brief.light, 1.0)
        colour: Floats = _SNOW[0] * np.array([dim, 1, 1], dtype=np.float32)
        colour[1:] = mix(colour, palette.haze, 0.45)[1:]
        return colour
    if brief.ground == "autumn":
        return mix(palette.near, parse_hexes("8a4a1e")[0], 0.5)
    if brief.ground == "spring":
        return mix(palette.near, parse_hexes("7a8f4a")[0], 0.4)
    if brief.light in ("day", "dawn"):
        return mix(palette.near, parse_hexes("4f7a3a")[0], 0.55)
    if brief.light in ("night", "aurora"):
        return mix(palette.near, palette.far, 0.75)
    return palette.near


def paint_foreground(
    lab: Floats, field: Field, brief: Brief, palette: Palette, base: float, tufts: bool = True
) -> Floats:
    """Paint the ground in front, with snow or grass, and return its outline."""
    outline = base - 0.05 * field.make_line("front", 0.8, 4, 0.4)
    colour = choose_ground_colour(brief, palette)
    mask = mask_below(field, outline)
    under = (field.y - outline).clip(0, None)
    if brief.ground == "snow":
        drift = field.make_noise("drift", 2.4, 4, 0.45, stretch=(3.5, 1))
        shade = smoothstep(-0.9, 0.8, drift - 1.2 * under)
        deep = colour + (palette.sky[0] - colour) * np.float32(0.34)
        cover(lab, apply_gradient(np.stack([deep, colour]).astype(np.float32), shade), mask)
    else:
        if tufts:
            blades = field.make_noise("grass", 46, 2, 0.8, stretch=(0.5, 3.0))
            outline = outline + (0.010 * blades[int(np.clip(base, 0, 0.999) * field.height)] - 0.004)
            mask = mask_below(field, outline)
        cover(lab, colour.astype(np.float32), mask)
        texture = field.make_noise("earth", 7, 5, 0.62, stretch=(2.2, 1))
        lab[0] += mask * (texture * 0.045 - 0.16 * under)
    return outline


def add_figures(lab: Floats, field: Field, brief: Brief, palette: Palette, outline: Floats) -> None:
    """Paint a brief's house, animals and birds; all but the birds stand on the outline."""
    random = field.make_generator("figures")
    if "birds" in brief.figures:
        paint_birds(lab, field, palette)
    if "house" in brief.figures:
        paint_house(lab, field, brief, palette, outline, field.aspect * random.uniform(0.2, 0.42))
    animals = [name for name in brief.figures if name in ("fox", "cat")]
    for place, animal in enumerate(animals):
        across = field.aspect * (random.uniform(0.42, 0.6) + 0.28 * place)
        paint_sitting_animal(lab, field, brief, palette, animal, across, outline)


def paint_mountains(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint a mountain range, often above a lake."""
    random = field.make_generator("mountains")
    horizon = random.uniform(0.52, 0.62)
    lab, at = paint_heaven(field, brief, palette, horizon + 0.06)
    white = 0.85 if brief.ground == "snow" else random.choice((0.0, 0.35, 0.6))
    lake = random.random() < 0.55 or "boat" in brief.figures
    bottom = 0.74 if lake else 0.86
    count = int(random.integers(4, 7))
    outlines = paint_ridges(lab, field, palette, horizon - 0.06, bottom, count, 0.53, random.uniform(0.2, 0.32), white)
    if lake:
        shore = 0.762 - 0.012 * field.make_line("shore", 2.0, 5)
        paint_conifers(lab, field, "shore", shore, palette.near, random.uniform(0.06, 0.11), 64)
        paint_water(lab, field, palette, 0.77, at, 0.35)
        if "boat" in brief.figures:
            paint_boat(lab, field, palette, (field.aspect * random.uniform(0.4, 0.65), 0.86), 0.17)
    elif brief.scene == "mountains":
        paint_conifers(lab, field, "slope", outlines[-1], palette.near, random.uniform(0.1, 0.2), 46)
    if set(brief.figures) & {"fox", "cat", "house"}:
        outline = paint_foreground(lab, field, brief, palette, 0.9)
        add_figures(lab, field, brief, palette, outline)
    else:
        add_figures(lab, field, brief, palette, outlines[-1])
    return lab


def paint_hills(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint rolling hills, a line of trees, and a meadow or snow in front with room for figures."""
    random = field.make_generator("hills")
    horizon = random.uniform(0.5, 0.58)
    lab, _ = paint_heaven(field, brief, palette, horizon + 0.05)
    land = palette
    if brief.ground == "snow":
        soft = choose_ground_colour(brief, palette)
        near = mix(soft, palette.far, 0.45)
        land = Palette(palette.sky, palette.haze, palette.far, near, palette.sun, palette.accents)
    elif brief.light in ("day", "dawn"):
        green = choose_ground_colour(brief, palette)
        land = Palette(palette.sky, palette.haze, palette.far, green, palette.sun, palette.accents)
    outlines = paint_ridges(lab, field, land, horizon, 0.76, 4, 0.36, random.uniform(0.1, 0.16))
    trees = mix(palette.near, land.near, 0.25)
    paint_conifers(lab, field, "far", outlines[-2], mix(trees, palette.haze, 0.35), 0.06, 40)
    paint_conifers(lab, field, "line", outlines[-1], trees, random.uniform(0.1, 0.16), 22)
    add_light(lab, palette.haze, 0.25 * np.exp(-np.abs(field.y - 0.74) / 0.05))
    outline = paint_foreground(lab, field, brief, palette, random.uniform(0.78, 0.83))
    add_figures(lab, field, brief, palette, outline + 0.07)
    return lab


def paint_sea(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint open water under a wide sky."""
    random = field.make_generator("sea")
    horizon = random.uniform(0.5, 0.64)
    lab, at = paint_heaven(field, brief, palette, horizon)
    if random.random() < 0.6:
        paint_ridges(lab, field, palette, horizon - 0.015, horizon + 0.01, 2, 0.5, random.uniform(0.05, 0.1), 0.0, 0.9)
    paint_water(lab, field, palette, horizon, at, {"storm": 1.3, "mist": 0.3, "dawn": 0.5}.get(brief.light, 0.7))
    if "boat" in brief.figures or random.random() < 0.15:
        across = field.aspect * random.uniform(0.32, 0.68)
        paint_boat(lab, field, palette, (across, horizon + random.uniform(0.06, 0.14)), random.uniform(0.2, 0.28))
    if set(brief.figures) & {"fox", "cat", "house"}:
        outline = paint_foreground(lab, field, brief, palette, 0.88)
        add_figures(lab, field, brief, palette, outline + 0.03)
    elif "birds" in brief.figures:
        paint_birds(lab, field, palette)
    return lab


def paint_dunes(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint dunes, each with a lit and a shaded side."""
    random = field.make_generator("dunes")
    horizon = random.uniform(0.44, 0.54)
    lab, at = paint_heaven(field, brief, palette, horizon + 0.04)
    sand = parse_hexes("e8b878")[0] if brief.ground != "snow" else _SNOW[0]
    dim = 0.5 if brief.light in ("night", "aurora") else 0.93
    lit = sand * np.array([dim, 1, 1], dtype=np.float32) + (palette.sun - sand) * np.array(
        [0, 0.4, 0.3], dtype=np.float32
    )
    shade = mix(palette.near, palette.far, 0.45)
    from_left = at[0] < field.aspect / 2
    for row in range(6):
        t = row / 5
        line = field.make_line(("dune", row), 0.7 + 0.5 * (1 - t), 2, 0.42)
        outline = horizon + 0.02 + 0.46 * t**1.3 - (0.05 + 0.07 * t) * line
        under = (field.y - outline).clip(0, None)
        fold = field.make_noise(("fold", row), 0.9 + 0.6 * (1 - t), 3, 0.4, stretch=(1.6, 0.8))
        slope = np.gradient(outline)[None, :] / field.pixel * (1 if from_left else -1)
        face = smoothstep(-0.16, 0.16, -slope * np.exp(-under / 0.16) + 0.2 * fold + 0.03 - 0.35 * under)
        tone = apply_gradient(np.stack([shade, mix(shade, lit, 0.55), lit]).astype(np.float32), face)
        tone += np.float32(0.7 * (1 - t) ** 1.6) * (palette.haze[:, None, None] - tone)
        grain = np.sin((under * (150 - 90 * t) + 2.2 * field.make_noise(("ripple", row), 4, 3) + field.x * 9) * (1.0))
        tone[0] += grain * np.float32(0.012 * t) * (0.3 + face)
        cover(lab, tone, mask_below(field, outline))
        rim = np.exp(-under / 0.006) * mask_below(field, outline) * (face > 0.4)
        add_light(lab, palette.sun, rim * np.float32(0.25 * (0.4 + 0.6 * t)))
    add_figures(lab, field, brief, palette, np.full(field.width, 0.93, dtype=np.float32))
    return lab


def paint_forest(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint rows of trunks in the mist, with light between them."""
    random = field.make_generator("forest")
    at = (field.aspect * random.uniform(0.3, 0.7), random.uniform(0.2, 0.42))
    glow = np.exp(-measure_distance(field, at) / 0.5)
    leaf = {"autumn": "d9822b", "snow": "dfe6ee", "spring": "f2b6c6"}.get(brief.ground or "", "6f9a5a")
    leaves = mix(palette.near, parse_hexes(leaf)[0], 0.75 if brief.ground else 0.45)
    air = mix(palette.haze, leaves, 0.5 if brief.ground == "autumn" else 0.22)
    lab = apply_gradient(np.stack([palette.far, air, palette.sun]).astype(np.float32), 0.12 + 0.85 * glow)
    if brief.light in ("night", "aurora"):
        paint_stars(lab, field, 0.6, 160)
        paint_moon(lab, field, palette, at, 0.06)
    ground = 0.72
    for row in range(6):
        t = row / 5
        depth = np.float32(t**0.9)
        bark = air + (palette.near - air) * depth
        bend = field.make_noise(("bend", row), 0.8, 2, stretch=(0.6, 3)) * 0.02
        count = int(26 - 19 * t)
        profile = np.zeros(field.width, dtype=np.float32)
        draw = field.make_generator("trunks", row)
        for centre, part in zip(draw.random(count * 2) * max(field.aspect, 2.5), draw.random(count * 2), strict=True):
            radius = (0.004 + 0.034 * t**1.5) * (0.5 + 0.9 * part)
            profile = np.maximum(
                profile, ((radius - np.abs(field.x[0] - centre)) / (1.6 * field.pixel) + 0.5).clip(0, 1)
            )
        columns = ((field.x + bend + 0.03 * (field.y - 0.5) * bend * 20) * field.height).clip(0, field.width - 1)
        trunks = profile.take(columns.astype(np.int32))
        foot = ground + 0.26 * t**1.4 + 0.012 * field.make_line(("foot", row), 3, 4)
        trunks = trunks * smoothstep(0.012, -0.004, field.y - foot)
        cover(lab, bark.astype(np.float32), trunks * (0.45 + 0.55 * depth))
        canopy = field.make_noise(("canopy", row), 3.2 + 1.2 * (1 - t), 7, 0.78, stretch=(1.3, 0.8))
        hanging = 0.1 + 0.16 * t + 0.05 * field.make_line(("crown", row), 2.5, 4)
        crowns = smoothstep(0.0, 0.4, canopy * 1.1 - 3.0 * (field.y - hanging))
        tone = mix(air, leaves, 0.3 + 0.4 * t)
        tone = mix(tone, palette.near, 0.5 * t)
        leafy = apply_gradient(
            np.stack([palette.near + (tone - palette.near) * 0.5, tone, air]).astype(np.float32), 0.5 + 0.5 * canopy
        )
        cover(lab, leafy, crowns * np.float32(0.75))
        floor = mask_below(field, foot)
        earth = tone + (choose_ground_colour(brief, palette) - tone) * depth
        cover(lab, earth.astype(np.float32), floor)
        texture = field.make_noise(("floor", row), 9, 4, 0.65, stretch=(1.8, 1))
        lab[0] += floor * texture * np.float32(0.02 + 0.03 * t)
        add_light(lab, air, np.exp(-np.abs(field.y - foot) / 0.07) * np.float32(0.30 * (1 - t)))
    angle = np.arctan2(field.x - at[0] + 0.5, field.y + 0.9)
    across = mirror(angle / 1.2 * field.width, field.width - 1.0).astype(np.int32)
    beams = smoothstep(0.0, 1.0, field.make_line("beams", 3.0, 3, 0.5)).take(across)
    strength = 0.12 if brief.light in ("night", "aurora", "storm") else 0.4
    add_light(lab, palette.sun, beams * np.exp(-measure_distance(field, at) / 0.5) * np.float32(strength))
    if set(brief.figures) & {"fox", "cat", "house", "birds"}:
        outline = np.full(field.width, 0.95, dtype=np.float32)
        add_figures(lab, field, brief, palette, outline)
    return lab
