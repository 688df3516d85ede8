"""Random fields that look natural: smooth noise of many octaves, warped and stretched, the same at every size."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from comfykit_jupyter.sandbox.interface.values import Floats


def derive_seed(*parts: object) -> int:
    """Return a seed that depends on all parts and is the same in every process."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode()).digest()[:8], "big")


def make_generator(*parts: object) -> np.random.Generator:
    """Return a random generator whose seed depends on all parts."""
    return np.random.Generator(np.random.PCG64(derive_seed(*parts)))


def smoothstep(low: float | Floats, high: float | Floats, value: Floats) -> Floats:
    """Return 0 below `low`, 1 above `high` and a soft rise between; it falls if `low` is above `high`."""
    t = ((value - low) / (high - low)).clip(0, 1)
    eased: Floats = t * t * (3 - 2 * t)
    return eased


def resize_plane(
    plane: Floats, width: int, height: int, box: tuple[float, float, float, float] | None = None
) -> Floats:
    """Resize a plane smoothly; `box` selects a part of it, in its own pixels."""
    picture = Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    return np.asarray(picture.resize((width, height), Image.Resampling.BICUBIC, box))


def blur(plane: Floats, radius: float) -> Floats:
    """Blur a plane over about `radius` pixels, by scaling it down and up again."""
    height, width = plane.shape
    if radius < 1:
        return plane
    small_width, small_height = (max(2, round(side / radius)) for side in (width, height))
    picture = Image.fromarray(np.ascontiguousarray(plane))
    small = picture.resize((small_width, small_height), Image.Resampling.HAMMING)
    return np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))


def mirror(value: Floats, end: float) -> Floats:
    """Fold values into 0…`end`, so that the outside mirrors the inside."""
    folded: Floats = end - np.abs(value % (2 * end) - end)
    return folded


def sample(planes: Floats, x: Floats, y: Floats) -> Floats:
    """Read planes of shape (…, height, width) at positions between pixels; outside, the border is repeated."""
    height, width = planes.shape[-2:]
    x, y = x.clip(0, width - 1.001), y.clip(0, height - 1.001)
    left, top = x.astype(np.int32), y.astype(np.int32)
    right, down = x - left, y - top
    index = top * width + left
    flat = planes.reshape(-1, height * width)
    out = np.empty((len(flat), *x.shape), dtype=np.float32)
    for plane, values in zip(out, flat, strict=True):
        upper = values.take(index)
        upper += right * (values.take(index + 1) - upper)
        lower = values.take(index + width)
        lower += right * (values.take(index + width + 1) - lower)
        np.add(upper, down * (lower - upper), out=plane)
    return out.reshape(*planes.shape[:-2], *x.shape)


class Field:
    """A rectangle of pixels with its coordinates and its noise. Its height is 1; `x` goes right and `y` down.

    Args:
        width: Width in pixels.
        height: Height in pixels.
        seed: Values that the noise depends on.
    """

    def __init__(self, width: int, height: int, *seed: object) -> None:
        self.width, self.height, self.seed = width, height, seed
        self.aspect = width / height
        self.pixel = 1 / height
        across = (np.arange(width, dtype=np.float32) + 0.5) * self.pixel
        down = (np.arange(height, dtype=np.float32) + 0.5) * self.pixel
        self.x: Floats = np.broadcast_to(across, (height, width))
        self.y: Floats = np.broadcast_to(down[:, None], (height, width))

    def make_generator(self, *name: object) -> np.random.Generator:
        """Return the random generator for a name."""
        return make_generator(*self.seed, *name)

    def make_noise(
        self,
        name: object,
        scale: float,
        octaves: int = 5,
        gain: float = 0.5,
        stretch: tuple[float, float] = (1.0, 1.0),
        shift: tuple[float, float] = (0.0, 0.0),
    ) -> Floats:
        """Return smooth noise, about -1…1.

        Args:
            name: Distinguishes this noise from others with the same seed.
            scale: Waves of the first octave per height.
            octaves: Number of octaves, each with twice the waves; those finer than a pixel are skipped.
            gain: Strength of an octave relative to the one before it.
            stretch: Factors for the length of the waves in x and y.
            shift: Offset of the noise, in heights.
        """
        random = self.make_generator("noise", name)
        total = np.zeros((self.height, self.width), dtype=np.float32)
        weight, most = 1.0, 0.0
        for octave in range(octaves):
            waves_x, waves_y = (scale * 2**octave / part for part in stretch)
            # Large enough for the widest image, so that a seed gives the same noise at all proportions.
            cells_x, cells_y = int(waves_x * max(self.aspect, 2.5)) + 6, int(waves_y) + 6
            if (octave and max(waves_x, waves_y) > self.height / 2) or cells_x * cells_y > 1 << 22:
                break
            lattice = random.standard_normal((cells_y, cells_x), dtype=np.float32)
            at_x, at_y = (2 + (part % 1) for part in shift)
            box = (at_x, at_y, at_x + waves_x * self.aspect, at_y + waves_y)
            total += weight * resize_plane(lattice, self.width, self.height, box)
            most += weight * weight
            weight *= gain
        total *= np.float32(0.62 / np.sqrt(most))
        return total

    def warp(self, plane: Floats, dx: Floats, dy: Floats) -> Floats:
        """Read a plane at positions moved by `dx` and `dy`, in heights."""
        return sample(
            plane, self.x * self.height - 0.5 + dx * self.height, self.y * self.height - 0.5 + dy * self.height
        )

    def bend(self, plane: Floats, dx: Floats, dy: Floats) -> Floats:
        """Warp a plane, squeezed towards its centre so that nothing outside of it is needed."""
        across, down = (self.x + dx) / self.aspect - 0.5, self.y + dy - 0.5
        x, y = ((0.5 + 0.5 * np.tanh(2 * part)) * side for part, side in ((across, self.width), (down, self.height)))
        return sample(plane, x - 0.5, y - 0.5)

    def make_swirls(
        self, name: object, scale: float, strength: float = 0.3, stretch: tuple[float, float] = (1.0, 1.0)
    ) -> Floats:
        """Return noise bent by noise, about -1…1, as in marble, clouds and silk."""
        bend_x, bend_y = (
            self.make_noise((name, axis), scale * 0.7, 3, stretch=stretch) * np.float32(strength * stretch[axis == "y"])
            for axis in ("x", "y")
        )
        return self.bend(self.make_noise((name, "base"), scale, 6, stretch=stretch), bend_x, bend_y)

    def make_line(self, name: object, scale: float, octaves: int = 6, gain: float = 0.5) -> Floats:
        """Return noise along x only, shape (width,), about -1…1, as in the outline of hills."""
        random = self.make_generator("line", name)
        across = self.x[0]
        total = np.zeros(self.width, dtype=np.float32)
        weight, most = 1.0, 0.0
        for octave in range(octaves):
            waves = scale * 2**octave
            knots = random.standard_normal(int(waves * max(self.aspect, 2.5)) + 6).astype(np.float32)
            if octave and waves > self.height / 2:
                break
            total += weight * _interpolate_spline(knots, across * waves + 1)
            most += weight * weight
            weight *= gain
        total *= np.float32(0.62 / np.sqrt(most))
        return total


def _interpolate_spline(knots: Floats, at: Floats) -> Floats:
    """Interpolate evenly spaced knots with a Catmull-Rom spline."""
    index = at.astype(np.int32).clip(1, len(knots) - 3)
    t = at - index
    a, b, c, d = (knots.take(index + offset) for offset in (-1, 0, 1, 2))
    curve: Floats = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return curve


def draw_mask(
    outlines: Sequence[Sequence[tuple[float, float]]],
    field: Field,
    centre: tuple[float, float],
    size: float,
    flip: bool = False,
) -> Floats:
    """Return the share of each pixel, 0…1, that lies inside smooth closed curves.

    Args:
        outlines: Points of each curve in a unit square, y down.
        field: Field to draw on.
        centre: Centre of the square's bottom edge, in heights.
        size: Side of the square, in heights.
        flip: Whether to mirror the curves.
    """
    fine = 3
    side = max(4, round(size * field.height * 1.2))
    picture = Image.new("L", (side * fine, side * fine))
    draw = ImageDraw.Draw(picture)
    for outline in outlines:
        points = trace_closed_spline(outline)
        if flip:
            points = points * [-1, 1] + [1, 0]
        scaled = (points * size * field.height + 0.1 * size * field.height) * fine
        draw.polygon([tuple(point) for point in scaled.tolist()], fill=255)
    small = np.asarray(picture.resize((side, side), Image.Resampling.BOX), dtype=np.float32) / 255
    mask = np.zeros((field.height, field.width), dtype=np.float32)
    left = round((centre[0] - size * 0.6) * field.height)
    top = round((centre[1] - size * 1.1) * field.height)
    x0, y0 = max(0, left), max(0, top)
    x1, y1 = min(field.width, left + side), min(field.height, top + side)
    if x1 > x0 and y1 > y0:
        mask[y0:y1, x0:x1] = small[y0 - top : y1 - top, x0 - left : x1 - left]
    return mask


def trace_closed_spline(points: Sequence[tuple[float, float]], fine: int = 12) -> Floats:
    """Return a smooth closed curve through points, shape (count × fine, 2); a repeated point makes a corner."""
    knots = np.array(points)
    a, b, c, d = (np.roll(knots, shift, axis=0)[:, None] for shift in (1, 0, -1, -2))
    t = np.linspace(0, 1, fine, endpoint=False)[None, :, None]
    curve: Floats = b + 0.5 * t * (c - a + t * (2 * a - 5 * b + 4 * c - d + t * (3 * (b - c) + d - a)))
    return curve.reshape(-1, 2)
