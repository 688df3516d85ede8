"""Scenes in the open: mountains, hills, sea, dunes, forest. Each returns OKLab planes for a brief."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import gradient, hexes, towards
from comfykit_jupyter.sandbox.nodes.painter.figures import birds, boat, house, sitting
from comfykit_jupyter.sandbox.nodes.painter.layers import (
    below,
    clouds,
    conifers,
    cover,
    distance,
    moon,
    ridges,
    shine,
    sky,
    stars,
    sun,
    water,
)
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, mirrored, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.palettes import Palette
from comfykit_jupyter.sandbox.nodes.values import Floats

_SNOW = hexes("f6f5f2", "cfd9e8", "9fb2cf")


def heaven(field: Field, brief: Brief, palette: Palette, horizon: float) -> tuple[Floats, tuple[float, float]]:
    """A sky with what belongs into it, and where its light is."""
    random = field.random("heaven")
    lab = sky(field, palette, horizon)
    side = random.uniform(0.22, 0.78)
    dark = brief.light in ("night", "aurora")
    height = horizon * (random.uniform(0.22, 0.42) if dark or brief.light == "day" else random.uniform(0.58, 0.82))
    at = (field.aspect * side, height)
    if dark:
        stars(lab, field, horizon)
    if brief.light == "aurora":
        _aurora(lab, field, palette, horizon)
    if "moon" in brief.figures or (brief.light == "night" and "sun" not in brief.figures):
        moon(lab, field, palette, at, random.uniform(0.045, 0.075))
    elif brief.light in ("sunset", "dawn", "mist") or "sun" in brief.figures:
        sun(lab, field, palette, at, random.uniform(0.04, 0.07), 1.0 if brief.light != "mist" else 0.5)
    else:
        shine(lab, palette.sun, 0.5 * np.exp(-distance(field, at) / 0.35))
    amount = {"storm": 0.85, "day": 0.55, "night": 0.22, "aurora": 0.0, "mist": 0.3}.get(brief.light, 0.5)
    if amount:
        clouds(lab, field, palette, horizon, at, amount + random.uniform(-0.12, 0.12))
    return lab, at


def _aurora(lab: Floats, field: Field, palette: Palette, horizon: float) -> None:
    for band in range(3):
        path = horizon * (0.34 + 0.15 * band) + 0.16 * field.line(("aurora", band), 0.9, 3, 0.4)
        up = path - field.y
        rays = 0.6 + 0.55 * field.noise(("rays", band), 13, 3, 0.6, stretch=(0.7, 9))
        curtain = np.where(up > 0, np.exp(-up / 0.17), np.exp(up / 0.018)) * rays.clip(0, 1.4)
        tone = gradient(palette.accents[[2, 3, 4]], (up / 0.34).clip(0, 1))
        amount = (0.5 * curtain * (0.6 + 0.5 * field.line(("lit", band), 1.6, 2))).clip(0, 0.85)
        lab[0] += amount * (0.95 - lab[0]).clip(0) * tone[0]
        for plane in (1, 2):
            lab[plane] += amount.clip(0, 1) * (tone[plane] - lab[plane])


def ground_colour(brief: Brief, palette: Palette) -> Floats:
    """The colour of the earth in front."""
    if brief.ground == "snow":
        dim = {"night": 0.62, "aurora": 0.6, "storm": 0.78, "sunset": 0.86}.get(brief.light, 1.0)
        colour: Floats = _SNOW[0] * np.array([dim, 1, 1], dtype=np.float32)
        colour[1:] = towards(colour, palette.haze, 0.45)[1:]
        return colour
    if brief.ground == "autumn":
        return towards(palette.near, hexes("8a4a1e")[0], 0.5)
    if brief.ground == "spring":
        return towards(palette.near, hexes("7a8f4a")[0], 0.4)
    if brief.light in ("day", "dawn"):
        return towards(palette.near, hexes("4f7a3a")[0], 0.55)
    if brief.light in ("night", "aurora"):
        return towards(palette.near, palette.far, 0.75)
    return palette.near


def foreground(lab: Floats, field: Field, brief: Brief, palette: Palette, base: float, tufts: bool = True) -> Floats:
    """The earth in front, with snow or grass on it; returns its outline."""
    outline = base - 0.05 * field.line("front", 0.8, 4, 0.4)
    colour = ground_colour(brief, palette)
    mask = below(field, outline)
    under = (field.y - outline).clip(0, None)
    if brief.ground == "snow":
        drift = field.noise("drift", 2.4, 4, 0.45, stretch=(3.5, 1))
        shade = smoothstep(-0.9, 0.8, drift - 1.2 * under)
        deep = colour + (palette.sky[0] - colour) * np.float32(0.34)
        cover(lab, gradient(np.stack([deep, colour]).astype(np.float32), shade), mask)
    else:
        if tufts:
            blades = field.noise("grass", 46, 2, 0.8, stretch=(0.5, 3.0))
            outline = outline + (0.010 * blades[int(np.clip(base, 0, 0.999) * field.height)] - 0.004)
            mask = below(field, outline)
        cover(lab, colour.astype(np.float32), mask)
        texture = field.noise("earth", 7, 5, 0.62, stretch=(2.2, 1))
        lab[0] += mask * (texture * 0.045 - 0.16 * under)
    return outline


def add_figures(lab: Floats, field: Field, brief: Brief, palette: Palette, outline: Floats) -> None:
    """The house, the animal and the birds of a brief; what stands, stands on the outline."""
    random = field.random("figures")
    if "birds" in brief.figures:
        birds(lab, field, palette)
    if "house" in brief.figures:
        house(lab, field, brief, palette, outline, field.aspect * random.uniform(0.2, 0.42))
    animals = [name for name in brief.figures if name in ("fox", "cat")]
    for place, animal in enumerate(animals):
        across = field.aspect * (random.uniform(0.42, 0.6) + 0.28 * place)
        sitting(lab, field, brief, palette, animal, across, outline)


def mountains(field: Field, brief: Brief, palette: Palette) -> Floats:
    """A range of mountains, often above a lake."""
    random = field.random("mountains")
    horizon = random.uniform(0.52, 0.62)
    lab, at = heaven(field, brief, palette, horizon + 0.06)
    white = 0.85 if brief.ground == "snow" else random.choice((0.0, 0.35, 0.6))
    lake = random.random() < 0.55 or "boat" in brief.figures
    bottom = 0.74 if lake else 0.86
    count = int(random.integers(4, 7))
    outlines = ridges(lab, field, palette, horizon - 0.06, bottom, count, 0.53, random.uniform(0.2, 0.32), white)
    if lake:
        shore = 0.762 - 0.012 * field.line("shore", 2.0, 5)
        conifers(lab, field, "shore", shore, palette.near, random.uniform(0.06, 0.11), 64)
        water(lab, field, palette, 0.77, at, 0.35)
        if "boat" in brief.figures:
            boat(lab, field, palette, (field.aspect * random.uniform(0.4, 0.65), 0.86), 0.17)
    elif brief.scene == "mountains":
        conifers(lab, field, "slope", outlines[-1], palette.near, random.uniform(0.1, 0.2), 46)
    if set(brief.figures) & {"fox", "cat", "house"}:
        outline = foreground(lab, field, brief, palette, 0.9)
        add_figures(lab, field, brief, palette, outline)
    else:
        add_figures(lab, field, brief, palette, outlines[-1])
    return lab


def hills(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Rolling hills, a line of trees, and a meadow or snow in front with room for figures."""
    random = field.random("hills")
    horizon = random.uniform(0.5, 0.58)
    lab, _ = heaven(field, brief, palette, horizon + 0.05)
    land = palette
    if brief.ground == "snow":
        soft = ground_colour(brief, palette)
        near = towards(soft, palette.far, 0.45)
        land = Palette(palette.sky, palette.haze, palette.far, near, palette.sun, palette.accents)
    elif brief.light in ("day", "dawn"):
        green = ground_colour(brief, palette)
        land = Palette(palette.sky, palette.haze, palette.far, green, palette.sun, palette.accents)
    outlines = ridges(lab, field, land, horizon, 0.76, 4, 0.36, random.uniform(0.1, 0.16))
    trees = towards(palette.near, land.near, 0.25)
    conifers(lab, field, "far", outlines[-2], towards(trees, palette.haze, 0.35), 0.06, 40)
    conifers(lab, field, "line", outlines[-1], trees, random.uniform(0.1, 0.16), 22)
    shine(lab, palette.haze, 0.25 * np.exp(-np.abs(field.y - 0.74) / 0.05))
    outline = foreground(lab, field, brief, palette, random.uniform(0.78, 0.83))
    add_figures(lab, field, brief, palette, outline + 0.07)
    return lab


def sea(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Open water under a wide sky."""
    random = field.random("sea")
    horizon = random.uniform(0.5, 0.64)
    lab, at = heaven(field, brief, palette, horizon)
    if random.random() < 0.6:
        ridges(lab, field, palette, horizon - 0.015, horizon + 0.01, 2, 0.5, random.uniform(0.05, 0.1), 0.0, 0.9)
    water(lab, field, palette, horizon, at, {"storm": 1.3, "mist": 0.3, "dawn": 0.5}.get(brief.light, 0.7))
    if "boat" in brief.figures or random.random() < 0.15:
        across = field.aspect * random.uniform(0.32, 0.68)
        boat(lab, field, palette, (across, horizon + random.uniform(0.06, 0.14)), random.uniform(0.2, 0.28))
    if set(brief.figures) & {"fox", "cat", "house"}:
        outline = foreground(lab, field, brief, palette, 0.88)
        add_figures(lab, field, brief, palette, outline + 0.03)
    elif "birds" in brief.figures:
        birds(lab, field, palette)
    return lab


def dunes(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Dunes, each with a side in the light and one in the shade."""
    random = field.random("dunes")
    horizon = random.uniform(0.44, 0.54)
    lab, at = heaven(field, brief, palette, horizon + 0.04)
    sand = hexes("e8b878")[0] if brief.ground != "snow" else _SNOW[0]
    dim = 0.5 if brief.light in ("night", "aurora") else 0.93
    lit = sand * np.array([dim, 1, 1], dtype=np.float32) + (palette.sun - sand) * np.array(
        [0, 0.4, 0.3], dtype=np.float32
    )
    shade = towards(palette.near, palette.far, 0.45)
    from_left = at[0] < field.aspect / 2
    for row in range(6):
        t = row / 5
        line = field.line(("dune", row), 0.7 + 0.5 * (1 - t), 2, 0.42)
        outline = horizon + 0.02 + 0.46 * t**1.3 - (0.05 + 0.07 * t) * line
        under = (field.y - outline).clip(0, None)
        fold = field.noise(("fold", row), 0.9 + 0.6 * (1 - t), 3, 0.4, stretch=(1.6, 0.8))
        slope = np.gradient(outline)[None, :] / field.pixel * (1 if from_left else -1)
        face = smoothstep(-0.16, 0.16, -slope * np.exp(-under / 0.16) + 0.2 * fold + 0.03 - 0.35 * under)
        tone = gradient(np.stack([shade, towards(shade, lit, 0.55), lit]).astype(np.float32), face)
        tone += np.float32(0.7 * (1 - t) ** 1.6) * (palette.haze[:, None, None] - tone)
        grain = np.sin((under * (150 - 90 * t) + 2.2 * field.noise(("ripple", row), 4, 3) + field.x * 9) * (1.0))
        tone[0] += grain * np.float32(0.012 * t) * (0.3 + face)
        cover(lab, tone, below(field, outline))
        rim = np.exp(-under / 0.006) * below(field, outline) * (face > 0.4)
        shine(lab, palette.sun, rim * np.float32(0.25 * (0.4 + 0.6 * t)))
    add_figures(lab, field, brief, palette, np.full(field.width, 0.93, dtype=np.float32))
    return lab


def forest(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Trunks behind trunks in the mist, and light that falls between them."""
    random = field.random("forest")
    at = (field.aspect * random.uniform(0.3, 0.7), random.uniform(0.2, 0.42))
    glow = np.exp(-distance(field, at) / 0.5)
    leaf = {"autumn": "d9822b", "snow": "dfe6ee", "spring": "f2b6c6"}.get(brief.ground or "", "6f9a5a")
    leaves = towards(palette.near, hexes(leaf)[0], 0.75 if brief.ground else 0.45)
    air = towards(palette.haze, leaves, 0.5 if brief.ground == "autumn" else 0.22)
    lab = gradient(np.stack([palette.far, air, palette.sun]).astype(np.float32), 0.12 + 0.85 * glow)
    if brief.light in ("night", "aurora"):
        stars(lab, field, 0.6, 160)
        moon(lab, field, palette, at, 0.06)
    ground = 0.72
    for row in range(6):
        t = row / 5
        depth = np.float32(t**0.9)
        bark = air + (palette.near - air) * depth
        bend = field.noise(("bend", row), 0.8, 2, stretch=(0.6, 3)) * 0.02
        count = int(26 - 19 * t)
        profile = np.zeros(field.width, dtype=np.float32)
        draw = field.random("trunks", row)
        for centre, part in zip(draw.random(count * 2) * max(field.aspect, 2.5), draw.random(count * 2), strict=True):
            radius = (0.004 + 0.034 * t**1.5) * (0.5 + 0.9 * part)
            profile = np.maximum(
                profile, ((radius - np.abs(field.x[0] - centre)) / (1.6 * field.pixel) + 0.5).clip(0, 1)
            )
        columns = ((field.x + bend + 0.03 * (field.y - 0.5) * bend * 20) * field.height).clip(0, field.width - 1)
        trunks = profile.take(columns.astype(np.int32))
        foot = ground + 0.26 * t**1.4 + 0.012 * field.line(("foot", row), 3, 4)
        trunks = trunks * smoothstep(0.012, -0.004, field.y - foot)
        cover(lab, bark.astype(np.float32), trunks * (0.45 + 0.55 * depth))
        canopy = field.noise(("canopy", row), 3.2 + 1.2 * (1 - t), 7, 0.78, stretch=(1.3, 0.8))
        hanging = 0.1 + 0.16 * t + 0.05 * field.line(("crown", row), 2.5, 4)
        crowns = smoothstep(0.0, 0.4, canopy * 1.1 - 3.0 * (field.y - hanging))
        tone = towards(air, leaves, 0.3 + 0.4 * t)
        tone = towards(tone, palette.near, 0.5 * t)
        leafy = gradient(
            np.stack([palette.near + (tone - palette.near) * 0.5, tone, air]).astype(np.float32), 0.5 + 0.5 * canopy
        )
        cover(lab, leafy, crowns * np.float32(0.75))
        floor = below(field, foot)
        earth = tone + (ground_colour(brief, palette) - tone) * depth
        cover(lab, earth.astype(np.float32), floor)
        texture = field.noise(("floor", row), 9, 4, 0.65, stretch=(1.8, 1))
        lab[0] += floor * texture * np.float32(0.02 + 0.03 * t)
        shine(lab, air, np.exp(-np.abs(field.y - foot) / 0.07) * np.float32(0.30 * (1 - t)))
    angle = np.arctan2(field.x - at[0] + 0.5, field.y + 0.9)
    across = mirrored(angle / 1.2 * field.width, field.width - 1.0).astype(np.int32)
    beams = smoothstep(0.0, 1.0, field.line("beams", 3.0, 3, 0.5)).take(across)
    strength = 0.12 if brief.light in ("night", "aurora", "storm") else 0.4
    shine(lab, palette.sun, beams * np.exp(-distance(field, at) / 0.5) * np.float32(strength))
    if set(brief.figures) & {"fox", "cat", "house", "birds"}:
        outline = np.full(field.width, 0.95, dtype=np.float32)
        add_figures(lab, field, brief, palette, outline)
    return lab
