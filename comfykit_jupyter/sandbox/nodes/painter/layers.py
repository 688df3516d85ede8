"""The layers of scenes: skies, suns, stars, clouds, ridges, water. Each is painted over the planes `lab` in place."""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats
from comfykit_jupyter.sandbox.nodes.painter.color import apply_gradient, mix
from comfykit_jupyter.sandbox.nodes.painter.noise import Field, blur, mirror, sample, smoothstep
from comfykit_jupyter.sandbox.nodes.painter.palettes import Palette


def cover(lab: Floats, colour: Floats, mask: Floats) -> None:
    """Paint a colour, shape (3,) or planes, through a mask (0…1)."""
    planes = colour[:, None, None] if colour.ndim == 1 else colour
    lab += mask * (planes - lab)


def add_light(lab: Floats, colour: Floats, amount: Floats) -> None:
    """Add coloured light, more of it in dark areas, without overexposing any."""
    lab[0] += amount * (1.02 - lab[0]).clip(0) * colour[0]
    weight = amount.clip(0, 1)
    lab[1] += weight * (colour[1] - lab[1]) * 0.8
    lab[2] += weight * (colour[2] - lab[2]) * 0.8


def paint_sky(field: Field, palette: Palette, horizon: float) -> Floats:
    """Return a sky down to the horizon, with the horizon's colour below it."""
    at = field.y / horizon + field.make_noise("sky", 1.3, 3, stretch=(2.5, 1)) * 0.045
    return apply_gradient(palette.sky, at)


def measure_distance(field: Field, centre: tuple[float, float]) -> Floats:
    """Return the distance of each pixel from a point, in heights."""
    away: Floats = np.hypot(field.x - centre[0], field.y - centre[1])
    return away


def paint_sun(
    lab: Floats, field: Field, palette: Palette, centre: tuple[float, float], radius: float, glow: float = 1.0
) -> None:
    """Paint a sun or a moon with a glow around it."""
    away = measure_distance(field, centre)
    add_light(lab, palette.sun, (0.55 * np.exp(-away / 0.42) + 0.4 * np.exp(-away / 0.1)) * glow)
    disc = smoothstep(radius + 1.5 * field.pixel, radius - 1.5 * field.pixel, away)
    cover(lab, palette.sun, disc)


def paint_moon(lab: Floats, field: Field, palette: Palette, centre: tuple[float, float], radius: float) -> None:
    """Paint a full moon with its seas."""
    paint_sun(lab, field, palette, centre, radius, 0.55)
    away = measure_distance(field, centre)
    disc = smoothstep(radius + 1.5 * field.pixel, radius - 1.5 * field.pixel, away)
    seas = (
        smoothstep(0.0, 0.9, field.make_noise("moon", 0.34 / radius, 4)) * 0.15 + 0.12 * (away / radius).clip(0, 1) ** 3
    )
    lab[0] -= disc * seas


def paint_stars(lab: Floats, field: Field, horizon: float, count: int = 420, strength: float = 1.0) -> None:
    """Paint stars: many faint and a few bright ones, fainter towards the horizon."""
    random = field.make_generator("stars")
    number = round(count * max(field.aspect, 2.5))
    places = random.random((number, 2))
    light = (random.random(number) ** 7 * 0.85 + 0.12) * strength
    tint = random.normal(0, 0.02, number)
    size = max(1.0, field.height / 700)
    reach = round(3 * size)
    for (u, v), amount, hue in zip(places, light, tint, strict=True):
        x, y = u * max(field.aspect, 2.5) * field.height, v * horizon * field.height
        x0, y0 = int(x) - reach, int(y) - reach
        if x0 < 0 or y0 < 0 or x0 + 2 * reach >= field.width or y0 + 2 * reach >= field.height:
            continue
        rows, columns = np.ogrid[y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
        spot = np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / (0.5 + 0.8 * amount) / size**2)
        spot = (spot * amount * (1 - (v * 0.9) ** 2)).astype(np.float32)
        part = lab[:, y0 : y0 + 2 * reach + 1, x0 : x0 + 2 * reach + 1]
        part[0] += spot * (1 - part[0]).clip(0)
        part[2] += spot * np.float32(hue)


def paint_clouds(
    lab: Floats, field: Field, palette: Palette, horizon: float, sun_at: tuple[float, float], amount: float = 0.5
) -> None:
    """Paint clouds, flatter towards the horizon and lit by the sun."""
    depth = (horizon * 1.06 - field.y).clip(0.02, None)
    u = mirror((field.x - field.aspect / 2) * (0.34 / (depth + 0.2)) + field.aspect / 2, field.aspect)
    v = 1.25 * depth / (depth + 0.3)
    base = field.make_swirls("clouds", 2.1, 0.16, stretch=(1.7, 1.0))
    shape = sample(base, u * field.height, v * field.height)
    towards_x = 0.03 * np.tanh((sun_at[0] - field.x) / 0.3)
    lit = shape - sample(base, (u + towards_x) * field.height, (v - 0.035) * field.height)
    dense = smoothstep(0.5 - amount, 1.1 - amount, shape) * smoothstep(0.0, 0.12, depth)
    near_sun = np.exp(-measure_distance(field, sun_at) / 0.55)
    shade = 0.5 + 1.1 * lit + 0.35 * near_sun
    light = palette.sun * [0.97, 1, 1] + (palette.sky[-1] - palette.sun) * 0.45
    dark = palette.sky[len(palette.sky) // 2] * 0.6 + palette.far * 0.4
    tone = apply_gradient(np.stack([dark, palette.sky[-2], light, palette.sun]).astype(np.float32), shade)
    cover(lab, tone, dense * 0.82)


def mask_below(field: Field, outline: Floats, soft: float = 1.2) -> Floats:
    """Return a mask (0…1) of the area below an outline, which has one height per column."""
    return ((field.y - outline) / (soft * field.pixel) + 0.5).clip(0, 1)


def paint_ridges(
    lab: Floats,
    field: Field,
    palette: Palette,
    top: float,
    bottom: float,
    count: int = 5,
    rugged: float = 0.5,
    height: float = 0.16,
    white: float = 0.0,
    mist: float = 0.75,
) -> list[Floats]:
    """Paint rows of hills or mountains, paler with distance, and return their outlines, farthest first.

    Args:
        lab: Planes to paint over.
        field: Field of the image.
        palette: Palette, used from `far` to `near`.
        top: Position of the farthest row, in heights.
        bottom: Position of the nearest row, in heights.
        count: Number of rows.
        rugged: Roughness: 0.3 for rolling hills, 0.6 for rocks.
        height: Height of the farthest row's peaks.
        white: Amount of snow on them, 0…1.
        mist: Amount of haze in the valleys, 0…1.
    """
    outlines = []
    for row in range(count):
        t = row / max(1, count - 1)
        rise = height * (1.0 - 0.55 * t)
        line = field.make_line(("ridge", row), 1.1 + 1.4 * t, 7, rugged)
        outline = top + (bottom - top) * t**1.15 - rise * (line + 0.55 * np.abs(line) * (rugged > 0.45))
        colour = mix(palette.far, palette.near, t**0.8)
        colour = mix(colour, palette.haze, 0.62 * (1 - t) ** 1.3)
        mask = mask_below(field, outline)
        under = field.y - outline
        cover(lab, colour.astype(np.float32), mask)
        if rugged > 0.45:
            slope = field.make_noise(("slope", row), 4 + 4 * t, 6, 0.6, stretch=(0.9, 1.3))
            slope += 1.5 * _slope_flanks(field, outline, under, slope)
            face = smoothstep(-0.55, 0.75, slope)
            lab[0] += mask * (face - 0.45) * (0.10 + 0.02 * t) * np.exp(-under.clip(0) / 0.22)
            if white:
                snow = smoothstep(0.02, -0.03, under - white * rise * (0.75 + 0.8 * slope))
                bright = palette.sun * np.array([0.97, 0.4, 0.35], dtype=np.float32)
                shadow = mix(palette.far, palette.sun, 0.45)
                tone = apply_gradient(np.stack([shadow, bright]).astype(np.float32), face)
                fade = np.float32(1 - 0.55 * (1 - t) ** 1.5)
                cover(lab, tone, mask * snow * fade)
        lying = smoothstep(0.0, 0.24, under) * mask * np.float32(mist * (1 - t) ** 0.7)
        wisps = 0.72 + 0.4 * field.make_noise(("mist", row), 2.2, 3, stretch=(3.2, 1))
        cover(lab, palette.haze, (lying * wisps).clip(0, 1))
        outlines.append(outline)
    return outlines


def _slope_flanks(field: Field, outline: Floats, under: Floats, rough: Floats) -> Floats:
    """Return the slope of the sides of peaks, about -1…1: the outline's slope, continued down and outwards."""
    window = np.hanning(max(3, round(0.05 * field.height)))
    slope = np.convolve(np.gradient(outline) / field.pixel, window / window.sum(), "same")
    lean = 0.34 * np.sign(field.make_noise("lean", 2.4, 2)) + 0.1
    columns = (field.x + lean * under + 0.035 * rough) * field.height
    faces: Floats = slope.take(columns.clip(0, field.width - 1).astype(np.int32))
    return faces


def paint_conifers(
    lab: Floats, field: Field, name: object, outline: Floats, colour: Floats, size: float, count: int
) -> None:
    """Paint a row of firs with ragged sides along an outline."""
    random = field.make_generator("firs", name)
    wide = max(field.aspect, 2.5)
    across = field.x[0]
    tops = np.full(field.width, 9.0, dtype=np.float32)
    ragged = field.make_line(("ragged", name), 60, 3, 0.8)
    for centre, part in zip(random.random(count) * wide, random.random(count), strict=True):
        if centre > field.aspect + size:
            continue
        tall = size * (0.45 + 0.75 * part)
        away = np.abs(across - centre) / (tall * 0.24)
        column = int(np.clip(centre * field.height, 0, field.width - 1))
        spire = outline[column] - tall * (1 - away**0.85) + 0.03 * size * ragged
        tops = np.minimum(tops, np.where(away < 1, spire, 9.0).astype(np.float32))
    teeth = field.make_noise(("teeth", name), 34, 3, 0.7, stretch=(0.5, 1.6)) * np.float32(size * 0.10)
    cover(lab, colour, mask_below(field, np.minimum(tops, outline + 0.01) + teeth))


def paint_water(
    lab: Floats, field: Field, palette: Palette, horizon: float, sun_at: tuple[float, float] | None, rough: float = 0.5
) -> None:
    """Paint water below the horizon: the upper part mirrored and broken by waves, and the sun's glitter."""
    row = int(horizon * field.height)
    if row >= field.height - 2:
        return
    deep = (field.y - horizon).clip(0, None)
    near = deep / (1 - horizon)
    base = field.make_noise("waves", 9.0, 5, 0.6, stretch=(3.4, 1.0))
    spread = np.log1p(near * 7) / np.log(8)
    u = (field.x - field.aspect / 2) / (0.35 + 0.65 * near) * 0.8 + field.aspect / 2
    wave = sample(base, mirror(u, field.aspect) * field.height, spread * 0.98 * field.height)
    above = horizon - deep * (1.0 + 0.1 * rough) - wave * (0.02 + 0.10 * near) * rough
    reflection = sample(
        lab,
        (field.x + wave * 0.03 * rough * near) * field.height,
        above.clip(0.004, horizon - 2 * field.pixel) * field.height,
    )
    tint = palette.near + (palette.sky[1] - palette.near) * np.float32(0.5)
    # The brightest parts are not tinted: a mix of sunlight and deep water would turn green.
    depth = (0.14 + 0.34 * near) * smoothstep(0.97, 0.82, reflection[0])
    reflection += depth * (tint[:, None, None] - reflection)
    reflection[0] += wave * (0.025 + 0.05 * near) * rough
    mask = mask_below(field, np.full(field.width, horizon, dtype=np.float32))
    cover(lab, reflection, mask)
    if sun_at is not None:
        width = 0.03 + 0.20 * near
        column = np.exp(-(((field.x - sun_at[0] - wave * 0.06 * near) / width) ** 2))
        sparks = smoothstep(0.05, 0.75, wave + 0.55 * column)
        add_light(lab, palette.sun, mask * column * (0.18 + 0.75 * sparks) * (1 - 0.55 * near))
    line = np.exp(-np.abs(field.y - horizon) / 0.012)
    add_light(lab, palette.haze, line * 0.22)


def add_bloom(lab: Floats, field: Field, threshold: float, amount: float, radius: float = 0.05) -> None:
    """Let parts brighter than the threshold glow over their surroundings."""
    excess = (lab[0] - threshold).clip(0)
    for spread, weight in ((radius * 0.3, 0.6), (radius, 0.4)):
        pixels = spread * field.height
        glow = blur(excess, pixels)
        strength = np.float32(amount * weight)
        tone = [blur(lab[plane] * excess, pixels) for plane in (1, 2)]
        for plane, value in zip((1, 2), tone, strict=True):
            lab[plane] += strength * 3.0 * (value - glow * lab[plane])
        lab[0] += strength * 3.2 * glow * (1.05 - lab[0]).clip(0)
