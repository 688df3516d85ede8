"""Scenes other than landscapes: silk, space, fire, flowers, a city. Each function returns OKLab planes for a brief."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import apply_gradient, mix, parse_hexes, turn_hue
from comfykit_jupyter.sandbox.nodes.painter.layers import (
    add_bloom,
    add_light,
    cover,
    mask_below,
    measure_distance,
    paint_moon,
    paint_sky,
    paint_stars,
)
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, blur, sample, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.palettes import COLOURS, Palette, find_colour


def paint_silk(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint folded cloth: a smooth surface, lit from one side."""
    random = field.make_generator("silk")
    turn = random.uniform(-0.9, 0.9)
    along = np.cos(turn) * field.x + np.sin(turn) * field.y
    slow_x, slow_y = (field.make_noise(("slow", axis), 0.9, 2, 0.4) for axis in "xy")
    fast = field.bend(field.make_noise("fast", 1.1, 3, 0.42), 0.32 * slow_x, 0.32 * slow_y)
    fold = field.bend(field.make_noise("fold", 0.8, 2, 0.45), 0.45 * fast, 0.3 * slow_y)
    phase = along * random.uniform(3.2, 5.4) + 2.3 * fold + 0.9 * fast
    height = np.sin(phase * 2.4) * 0.55 + 0.35 * np.sin(phase * 5.1 + 1.7 * slow_x) + 0.9 * fold
    down, right = np.gradient(height * np.float32(0.16 / field.pixel * 0.5))
    steep = 1 / np.sqrt(1 + down**2 + right**2)
    lamp = np.array([np.cos(turn + 2.1), np.sin(turn + 2.1), 0.9])
    lamp /= np.linalg.norm(lamp)
    lit = (-right * lamp[0] - down * lamp[1] + lamp[2]) * steep
    tone = 0.5 + 0.30 * fold + 0.16 * fast + 0.10 * np.sin(phase * 1.2)
    lab = apply_gradient(_choose_cloth_colours(brief, palette), tone)
    lab[0] *= 0.34 + 0.72 * lit.clip(0, 1)
    gloss = lit.clip(0, 1) ** 18 * 0.55
    add_light(lab, palette.sun, gloss.astype(np.float32))
    weave = field.make_noise("weave", 90, 2, 0.6, stretch=(3, 0.6))
    lab[0] += weave * 0.006
    if brief.light in ("night", "storm"):
        lab[0] *= 0.9
    return lab


_NEBULA = ("0b1038", "3a2c8c", "c2408a", "f08a5a", "fff0d0")


def _choose_cloth_colours(brief: Brief, palette: Palette) -> Floats:
    """Return a cloth's colours: the named ones from dark to light, or the palette's."""
    if not brief.colours:
        return palette.accents
    dyes = [find_colour(colour) for colour in brief.colours]
    shade = dyes[0] * np.array([0.45, 0.8, 0.8], dtype=np.float32)
    light = dyes[-1] + (palette.sun - dyes[-1]) * np.float32(0.6)
    return np.stack([shade, *dyes, light])


def paint_space(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint a nebula among stars, sometimes with a planet in front."""
    random = field.make_generator("space")
    lab = np.empty((3, field.height, field.width), dtype=np.float32)
    lab[:] = parse_hexes("05060f")[0][:, None, None]
    paint_stars(lab, field, 1.0, 500, 0.9)
    tilt = random.uniform(-0.6, 0.6)
    across = (field.y - 0.5) * np.cos(tilt) + (field.x - field.aspect / 2) * np.sin(tilt)
    band = np.exp(-((across / 0.33) ** 2))
    gas = field.make_swirls("gas", 1.5, 0.34)
    fine = field.make_swirls("fine", 2.6, 0.3)
    dyes = palette.accents if brief.light not in ("mist", "storm") or brief.colours else parse_hexes(*_NEBULA)
    hues = turn_hue(dyes, float(random.uniform(-0.5, 0.5)), 1.4)
    for index, (colour, source, edge) in enumerate(
        ((hues[1], gas, 0.0), (hues[2], fine, 0.1), (hues[3], gas + fine * 0.6, 0.3))
    ):
        amount = smoothstep(edge - 0.3, edge + 1.3, source + 0.8 * band - 0.5) * (0.55 - 0.1 * index)
        lab[0] += amount * (0.9 - lab[0]).clip(0) * max(0.5, float(colour[0]))
        for plane in (1, 2):
            lab[plane] += amount.clip(0, 1) * (colour[plane] * 1.3 - lab[plane])
    core = smoothstep(0.55, 1.9, gas + fine * 0.6 + band - 0.6)
    add_light(lab, hues[4], core * 0.5)
    dust = smoothstep(0.1, 0.9, 1 - np.abs(field.make_swirls("dust", 2.4, 0.3)) * 2.6) * band
    lab[0] *= 1 - 0.5 * dust
    paint_stars(lab, Field(field.width, field.height, *field.seed, "front"), 1.0, 130, 1.0)
    if random.random() < 0.6 or "moon" in brief.figures:
        _paint_planet(lab, field, palette, random)
    add_bloom(lab, field, 0.72, 0.8)
    return lab


def _paint_planet(lab: Floats, field: Field, palette: Palette, random: np.random.Generator) -> None:
    """Paint a banded planet, lit from one side."""
    radius = random.uniform(0.13, 0.24)
    centre = (field.aspect * random.uniform(0.22, 0.78), random.uniform(0.3, 0.72))
    dx, dy = (field.x - centre[0]) / radius, (field.y - centre[1]) / radius
    away = np.hypot(dx, dy)
    disc = smoothstep(1 + 1.5 * field.pixel / radius, 1 - 1.5 * field.pixel / radius, away)
    rise = np.sqrt((1 - away**2).clip(0, 1))
    bands = field.warp(field.make_noise("bands", 4.5, 5, 0.55, stretch=(7, 1)), 0.1 * dx * rise, 0.06 * rise)
    tone = apply_gradient(palette.accents, 0.5 + 0.45 * bands)
    angle = random.uniform(-2.6, -0.5)
    light = (dx * np.cos(angle) + dy * np.sin(angle)) * 0.85 + rise * 0.5
    tone[0] *= smoothstep(-0.15, 0.95, light) * 0.95 + 0.02
    cover(lab, tone, disc)
    rim = np.exp(-np.abs(away - 1) / 0.06) * smoothstep(-0.2, 0.9, dx * np.cos(angle) + dy * np.sin(angle))
    add_light(lab, palette.accents[3], rim * 0.5)


def paint_fire(field: Field, brief: Brief, _: Palette) -> Floats:
    """Paint flames and sparks in the dark."""
    rise = 1 - field.y
    bend = field.make_noise("bend", 1.7, 4, stretch=(1, 1.6))
    base = field.make_noise("flame", 2.4, 6, 0.55, stretch=(0.75, 2.4))
    flame = field.warp(base, 0.16 * bend, 0.22 * bend)
    shape = 1.25 - 1.25 * rise - 0.9 * ((field.x / field.aspect - 0.5) * 1.5) ** 2 + 0.75 * flame + 0.2 * bend
    heat = smoothstep(-0.1, 1.75, shape)
    hot = parse_hexes("08060a", "2a0812", "8a1a10", "e0501a", "ffae3a", "fff0b8")
    if brief.colours:
        hot[1:-1, 1:] += 0.75 * (find_colour(brief.colours[0])[1:] - hot[1:-1, 1:])
    lab = apply_gradient(turn_hue(hot, brief.turn), heat)
    tongues = np.abs(field.make_swirls("tongues", 2.6, 0.35, stretch=(0.8, 1.8)))
    add_light(lab, hot[4], smoothstep(0.16, 0.0, tongues) * smoothstep(0.25, 0.7, heat) * 0.35)
    paint_stars(lab, Field(field.width, field.height, *field.seed, "sparks"), 1.0, 110, 0.9)
    lab[1:] += smoothstep(0.0, 0.5, heat)[None] * 0.01
    add_bloom(lab, field, 0.62, 0.7, 0.07)
    return lab


def paint_flower(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint blossoms in front of a blurred garden."""
    random = field.make_generator("flower")
    leaf = parse_hexes("1f3d2b", "3f6b45", "8fae74")
    backdrop = apply_gradient(
        np.stack([leaf[0], palette.near, leaf[1], palette.haze]).astype(np.float32),
        0.42 + 0.5 * field.make_noise("garden", 1.4, 2),
    )
    lab = backdrop
    lab[0] *= 0.85 if brief.light not in ("night", "storm") else 0.5
    for _ in range(26):
        centre = (random.uniform(0, field.aspect), random.uniform(0, 1))
        radius = random.uniform(0.03, 0.09)
        disc = smoothstep(radius * 1.08, radius * 0.9, measure_distance(field, centre))
        add_light(lab, palette.accents[int(random.integers(2, 5))], disc * np.float32(random.uniform(0.06, 0.22)))
    options = [name for name in brief.colours if name in COLOURS] or [
        str(field.make_generator("petal", brief.key).choice(("red", "pink", "purple", "gold", "white", "orange")))
    ]
    spots = [(0.5 + random.uniform(-0.1, 0.1), random.uniform(0.42, 0.54), random.uniform(0.32, 0.38))]
    spots += [
        (float(u), random.uniform(0.6, 0.95), random.uniform(0.14, 0.2))
        for u in (random.uniform(0.05, 0.22), random.uniform(0.8, 0.98))
    ]
    for place, (u, v, radius) in reversed(list(enumerate(spots))):
        _paint_blossom(
            lab, field, palette, (u * field.aspect, v), radius, find_colour(options[place % len(options)]), place
        )
    add_bloom(lab, field, 0.8, 0.5)
    return lab


def _paint_blossom(
    lab: Floats, field: Field, palette: Palette, centre: tuple[float, float], radius: float, colour: Floats, place: int
) -> None:
    random = field.make_generator("blossom", place)
    wobble = field.make_noise(("wobble", place), 2.6, 3) * 0.06
    dx, dy = field.x - centre[0] + wobble * 0.25, (field.y - centre[1]) * 1.06 + wobble * 0.2
    away, angle = np.hypot(dx, dy) / radius, np.arctan2(dy, dx)
    veins = field.make_noise(("veins", place), 26, 2, 0.6)
    petals = int(random.integers(5, 9))
    rings = int(random.integers(4, 7))
    dark = turn_hue(colour * np.array([0.5, 0.95, 0.95], dtype=np.float32), 0.12)
    pale = mix(colour, palette.sun, 0.55)
    for ring in range(rings):
        t = ring / (rings - 1)
        reach = 1.0 - 0.72 * t
        offset = random.uniform(0, 6.28)
        for half in (0.0, 0.5):
            turn = (angle + offset) * petals / (2 * np.pi) + half
            local = (turn % 1.0) - 0.5
            edge = reach * (0.96 - 0.06 * half) * (1 - (np.abs(local) * 2) ** 3.2 * 0.62) * (1 + 0.5 * wobble)
            mask = smoothstep(edge + 2.5 * field.pixel / radius, edge - 2.5 * field.pixel / radius, away)
            shadow = smoothstep(edge + 0.16, edge - 0.02, away) * 0.30
            lab[0] *= 1 - shadow * smoothstep(1.15, 0.9, away)
            depth = (away / edge.clip(0.05)).clip(0, 1)
            light = 0.20 + 0.62 * depth**1.4 - 0.30 * np.abs(local) ** 1.5 + 0.16 * local + 0.05 * veins
            light -= 0.12 * half + 0.10 * t
            tone = apply_gradient(np.stack([dark, colour, pale]).astype(np.float32), light)
            cover(lab, tone, mask)
    heart = smoothstep(0.13, 0.09, away)
    dots = smoothstep(0.1, 0.7, field.make_noise(("heart", place), 44, 2, 0.7))
    cover(lab, apply_gradient(parse_hexes("5a3410", "e8b23a", "ffe9a0"), 0.3 + 0.6 * dots), heart)


def paint_city(field: Field, brief: Brief, palette: Palette) -> Floats:
    """Paint towers with lit windows and signs, and their reflection in a wet street."""
    random = field.make_generator("city")
    street = random.uniform(0.72, 0.8)
    lab = paint_sky(field, palette, street)
    dark = brief.light in ("night", "storm", "aurora")
    glow = [parse_hexes(code)[0] for code in ("ff3d9a", "26d7ff", "ffb347", "8a5cff", "ff5f4a", "7dffcf")]
    if brief.style == "neon":
        lab[0] *= 0.75
        add_light(lab, glow[0], np.exp(-(street - field.y).clip(0) / 0.22) * 0.4)
        add_light(lab, glow[3], np.exp(-np.abs(street - 0.35 - field.y) / 0.25) * 0.25)
    if brief.light == "night":
        paint_stars(lab, field, street * 0.7, 120, 0.7)
    if "moon" in brief.figures or (dark and random.random() < 0.4):
        paint_moon(lab, field, palette, (field.aspect * random.uniform(0.25, 0.75), 0.2), 0.06)
    light = np.zeros_like(lab)
    for row in range(5):
        _paint_towers(lab, light, field, brief, palette, glow, street, row)
    cover(lab, light, (light[0] > 0).astype(np.float32))
    haze = np.exp(-np.abs(field.y - street) / 0.09)
    add_light(lab, glow[2] if dark else palette.haze, haze * (0.28 if dark else 0.4))
    _paint_wet_street(lab, field, palette, street)
    if dark or brief.style == "neon":
        add_bloom(lab, field, 0.45, 1.2, 0.06)
    return lab


def _paint_towers(
    lab: Floats,
    light: Floats,
    field: Field,
    brief: Brief,
    palette: Palette,
    glow: list[Floats],
    street: float,
    row: int,
) -> None:
    random = field.make_generator("towers", row)
    t = row / 4
    wide = max(field.aspect, 2.5)
    widths = random.uniform(0.035 + 0.05 * t, 0.09 + 0.09 * t, 90)
    edges = np.cumsum(widths) - random.uniform(0, 0.1)
    edges = edges[: int(np.searchsorted(edges, wide)) + 1]
    middle = np.abs(edges / field.aspect - 0.5)
    tall = random.uniform(0.2, 0.5, len(edges)) * (1.0 - 0.45 * t) * (1.1 - 0.55 * t * (1 - 2 * middle.clip(0, 0.5)))
    tall += np.where(random.random(len(edges)) < 0.14, 0.16 * (1 - 0.5 * t), 0)
    if row >= 3:  # the nearest towers stand at the sides, to keep the view open
        tall = np.where(middle < 0.24 + 0.08 * (row - 3), 0.02, tall * 1.9 + 0.15)
    house = np.searchsorted(edges, field.x[0]).clip(0, len(edges) - 1)
    left = np.concatenate(([0.0], edges))[house].astype(np.float32)
    outline = (street - tall[house]).astype(np.float32)
    step = random.uniform(0.15, 0.35, len(edges))[house] * widths[house]
    inset = (field.x[0] - left < step) & (random.random(len(edges))[house] < 0.4)
    outline = outline + inset * np.float32(0.03)
    mask = mask_below(field, outline) * (field.y < street)
    dark = brief.light in ("night", "storm", "aurora") or brief.style == "neon"
    colour = mix(palette.far, palette.near, 0.15 + 0.85 * t)
    if brief.style == "neon":
        colour = mix(colour, parse_hexes("0a0a1c")[0], 0.5)
    fade = smoothstep(0.35, 0.0, street - field.y) * np.float32(0.55 * (1 - t))
    tone = np.empty_like(lab)
    tone[:] = colour[:, None, None]
    tone += fade * (palette.haze[:, None, None] - tone)
    if not dark:
        tone[0] += (0.05 * (house % 3 - 1)).astype(np.float32)
    cover(lab, tone, mask)
    light *= 1 - mask
    cell_x, cell_y = 0.0075 + 0.006 * t, 0.011 + 0.008 * t
    across, down = (field.x - left) / cell_x, (field.y - outline) / cell_y
    column, storey = across.astype(np.int32), down.astype(np.int32)
    table = random.random((97, 89)).astype(np.float32)
    chance = table[(column + house * 31) % 97, (storey + house * 7) % 89]
    share = (0.30 if dark else 0.10) * random.uniform(0.4, 1.4, len(edges))[house]
    pane = (across % 1 > 0.22) & (across % 1 < 0.86) & (down % 1 > 0.28) & (down % 1 < 0.82)
    lit = pane & (chance < share) & (down > 0.8) & (mask > 0.9)
    warm = np.stack([parse_hexes("ffcf87")[0], parse_hexes("ffe9c4")[0], parse_hexes("9fd8ff")[0], glow[0]])
    choice = np.where(chance * 97 % 1 < 0.62, 0, np.where(chance * 97 % 1 < 0.85, 1, 2))
    if brief.style == "neon":
        choice = np.where(chance * 61 % 1 < 0.25, 3, choice)
    level = np.float32(0.45 + 0.5 * t) * (0.55 + 0.45 * (chance * 53 % 1))
    windows = warm[choice].transpose(2, 0, 1)
    for plane in range(3):
        np.copyto(light[plane], windows[plane] * (level if plane == 0 else 1), where=lit)
    if row >= 1 and (dark or brief.style == "neon"):
        _paint_signs(light, field, glow, edges, outline, street, row)


def _paint_signs(
    light: Floats, field: Field, glow: list[Floats], edges: Floats, outline: Floats, street: float, row: int
) -> None:
    random = field.make_generator("signs", row)
    for edge in edges:
        if random.random() > 0.5 or edge > field.aspect:
            continue
        colour = glow[int(random.integers(len(glow)))]
        column = int(min(edge * field.height, field.width - 1))
        top = float(outline[column - 1 if column else 0]) + random.uniform(0.03, 0.12)
        bottom = min(top + random.uniform(0.06, 0.26), street - 0.03)
        width = random.uniform(0.005, 0.013) * (0.6 + 0.2 * row)
        place = edge - random.uniform(0.012, 0.03)
        inside = (np.abs(field.x - place) < width) & (field.y > top) & (field.y < bottom)
        letters = ((field.y - top) / (width * 2.4) % 1 > 0.16) | (random.random() < 0.4)
        for plane in range(3):
            np.copyto(light[plane], np.float32(colour[plane]), where=inside & letters)


def _paint_wet_street(lab: Floats, field: Field, palette: Palette, street: float) -> None:
    deep = (field.y - street).clip(0, None)
    near = deep / (1 - street)
    ripple = field.make_noise("wet", 11, 4, 0.6, stretch=(4, 0.8))
    puddles = smoothstep(-0.5, 0.5, field.make_noise("puddles", 3, 4, stretch=(3.5, 1)))
    stretched = street - deep * 1.35 - ripple * 0.02 * near
    soft = np.stack([blur(plane, 0.006 * field.height) for plane in lab])
    reflection = sample(
        soft, (field.x + ripple * 0.018 * near) * field.height, stretched.clip(0.004, street) * field.height
    )
    reflection[0] *= 0.55 + 0.35 * puddles
    asphalt = palette.near * np.array([0.9, 1, 1], dtype=np.float32)
    reflection += (0.42 - 0.3 * puddles) * (asphalt[:, None, None] - reflection)
    cover(lab, reflection, mask_below(field, np.full(field.width, street, dtype=np.float32)))
