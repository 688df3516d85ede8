"""OKLab, a perceptual colour space with clean gradients, and its conversion from and to sRGB.

Images are planes of shape (3, height, width) here: lightness 0…1, then green-red and blue-yellow.
"""

from __future__ import annotations

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats

_TO_LMS = np.array(
    [
        [0.4122214708, 0.5363325363, 0.0514459929],
        [0.2119034982, 0.6806995451, 0.1073969566],
        [0.0883024619, 0.2817188376, 0.6299787005],
    ],
    dtype=np.float32,
)
_TO_LAB = np.array(
    [
        [0.2104542553, 0.7936177850, -0.0040720468],
        [1.9779984951, -2.4285922050, 0.4505937099],
        [0.0259040371, 0.7827717662, -0.8086757660],
    ],
    dtype=np.float32,
)
_FROM_LMS = np.linalg.inv(_TO_LMS.astype(np.float64)).astype(np.float32)
_FROM_LAB = np.linalg.inv(_TO_LAB.astype(np.float64)).astype(np.float32)
_STEPS = 4096
"""Number of steps in the conversion tables."""

_ROOT = np.linspace(0, 1, _STEPS + 1) ** 2
_ENCODE = np.where(_ROOT <= 0.0031308, 12.92 * _ROOT, 1.055 * _ROOT ** (1 / 2.4) - 0.055).astype(np.float32)
"""The sRGB curve at the squares of 0…1: with even spacing, dark values would be too coarse."""

_CODES = np.linspace(0, 1, _STEPS + 1)
_DECODE = np.where(_CODES <= 0.04045, _CODES / 12.92, ((_CODES + 0.055) / 1.055) ** 2.4).astype(np.float32)


def _multiply(matrix: Floats, planes: Floats) -> Floats:
    """Return `matrix @ planes`, without BLAS threads, which are slower on a machine with few cores."""
    out = np.empty_like(planes)
    for row, plane in zip(matrix, out, strict=True):
        np.multiply(planes[0], row[0], out=plane)
        plane += planes[1] * row[1]
        plane += planes[2] * row[2]
    return out


def from_rgb(rgb: Floats) -> Floats:
    """Convert sRGB planes 0…1 to OKLab planes; the axes after the first one are free."""
    linear = _DECODE.take((rgb.reshape(3, -1) * _STEPS + 0.5).astype(np.int32), mode="clip")
    return _multiply(_TO_LAB, np.cbrt(_multiply(_TO_LMS, linear))).reshape(rgb.shape)


def to_rgb(lab: Floats) -> Floats:
    """Convert OKLab planes to sRGB planes 0…1; colours outside sRGB are clipped."""
    cone = _multiply(_FROM_LAB, lab.reshape(3, -1))
    linear = _multiply(_FROM_LMS, cone * cone * cone).clip(0, 1)
    at = np.sqrt(linear) * _STEPS
    rgb: Floats = _ENCODE.take(at.astype(np.int32))
    return rgb.reshape(lab.shape)


def parse_hexes(*codes: str) -> Floats:
    """Return the OKLab colours, shape (count, 3), for codes such as `"e2725b"`."""
    rgb = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes], dtype=np.float32) / 255
    return np.ascontiguousarray(from_rgb(np.ascontiguousarray(rgb.T)).T)


def apply_gradient(stops: Floats, at: Floats) -> Floats:
    """Return planes coloured by a gradient of evenly spaced stops, shape (count, 3), at the positions `at` (0…1)."""
    places = np.linspace(0, 1, len(stops))
    fine = np.linspace(0, 1, 1024)
    table = np.stack([np.interp(fine, places, stops[:, plane]) for plane in range(3)])
    kernel = np.hanning(131)
    kernel /= kernel.sum()
    padded = np.pad(table, ((0, 0), (65, 65)), mode="reflect", reflect_type="odd")
    smooth = np.stack([np.convolve(plane, kernel, "valid") for plane in padded]).astype(np.float32)
    index = (at.clip(0, 1) * 1023).astype(np.int32)
    return smooth[:, index]


def mix(colour: Floats, other: Floats, share: float) -> Floats:
    """Mix two colours; `share` (0…1) is the share of the second."""
    mixed: Floats = (colour + (other - colour) * share).astype(np.float32)
    return mixed


def turn_hue(colours: Floats, hue: float, chroma: float = 1.0) -> Floats:
    """Rotate the hue of colours, shape (…, 3), by an angle in radians, and scale their chroma."""
    cos, sin = np.cos(hue) * chroma, np.sin(hue) * chroma
    a, b = colours[..., 1], colours[..., 2]
    return np.stack([colours[..., 0], a * cos - b * sin, a * sin + b * cos], axis=-1).astype(np.float32)
