"""Palettes: matching colours for each light, tinted by the colours that the prompt text names."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from comfykit_jupyter.sandbox.interface.values import Floats
from comfykit_jupyter.sandbox.nodes.painter.brief import Brief
from comfykit_jupyter.sandbox.nodes.painter.color import parse_hexes, turn_hue
from comfykit_jupyter.sandbox.nodes.painter.noise import make_generator


@dataclass(frozen=True)
class Palette:
    """OKLab colours of shape (3,); `sky` has several from zenith to horizon, `accents` several from dark to light."""

    sky: Floats
    haze: Floats
    far: Floats
    near: Floats
    sun: Floats
    accents: Floats


_LIGHTS = {
    # The sky from zenith to horizon; haze, far, near, sun; accents from dark to light.
    "day": (
        "1f5fae 5a9fdc a9d4ea f3ead4", "cfe0e4", "86aabb", "234236", "fff6da",
        "1b3a5c 2f7f8f f2c14e e8694a fff3dc",
    ),
    "sunset": (
        "232a5c 6b4788 c95c78 f58f5c ffd48c", "f2a876", "9c5a7e", "24172f", "fff0c6",
        "2a1b4a 8b2f6b e0566f ff9a5a ffe2a8",
    ),
    "dawn": (
        "7b92c6 b5b0da efc4cb fcdcc2 fff1da", "f4dad0", "ab9dc2", "3d4266", "fff8e6",
        "4a5a9a b58ac8 f4a6b0 ffd3b0 fff4e0",
    ),
    "night": (
        "040818 0a1838 173364 3b6495 86a9bf", "35567f", "24406a", "040914", "fbf4da",
        "050b22 123a7a 2f8fc0 8ad0e0 f6e6b4",
    ),
    "mist": (
        "94a8b4 bccacf dbe1de f0ece2", "e6e7e2", "aebcc1", "2f3e45", "fffaf0",
        "33474f 6f8f96 b9c6bd e3cfae f6f1e6",
    ),
    "storm": (
        "20262f 434f5b 76858e bcc0b8", "9aa5a8", "5e6c75", "14191d", "f2ecd8",
        "161c24 3c5566 7f969a d0b070 f1ead6",
    ),
    "aurora": (
        "030914 06182e 0b3040 1a5a5c 5fa38e", "2b5f66", "163a48", "030a12", "e8fff0",
        "04101f 0d5a5a 2fd08a 9ff0c0 c080f0",
    ),
}  # fmt: skip
COLOURS = {
    "red": "c8273a", "orange": "e8742c", "gold": "e9b23c", "green": "3f8f4f", "teal": "1f9c9c",
    "blue": "2f62c8", "purple": "7a4bc0", "pink": "e66aa0", "white": "f3f0ea", "black": "17161a",
}  # fmt: skip


def find_colour(colour: str) -> Floats:
    """Return the OKLab colour, shape (3,), for a name in `COLOURS`."""
    lab: Floats = parse_hexes(COLOURS[colour])[0]
    return lab


_TINTS = {"golden": ((0.045, 0.11), 0.06), "moonlight": ((-0.02, -0.09), -0.12)}
"""What a look pulls colours to, as a and b of OKLab, and how much lighter it makes them."""


def choose_palette(brief: Brief) -> Palette:
    """Return the palette for a brief: its light's palette, with hues shifted by its words and colours."""
    sky, haze, far, near, sun, accents = (parse_hexes(*codes.split()) for codes in _LIGHTS[brief.light])
    turn = float(make_generator("palette", brief.key).normal(0, 0.07)) + brief.turn
    sky, haze, far, near, sun, accents = (turn_hue(part, turn) for part in (sky, haze, far, near, sun, accents))
    for weight, colour in zip((0.45, 0.3, 0.2), brief.colours, strict=False):
        pull = find_colour(colour)
        for part in (sky, haze, far, near):
            part[:, 1:] += weight * (pull[1:] - part[:, 1:]) * np.float32(0.7)
            part[:, 0] += weight * 0.25 * (pull[0] - part[:, 0])
        accents[:, 1:] += weight * 1.6 * (pull[1:] - accents[:, 1:])
    for look, strength in brief.looks:
        if look in _TINTS:
            tinted, light = _TINTS[look]
            for part in (sky, haze, far, near, accents):
                tint = np.array(tinted, dtype=np.float32)
                part[:, 1:] += np.float32(np.tanh(strength) * 0.62) * (tint - part[:, 1:])
                part[:, 0] += np.float32(np.tanh(strength) * light)
    return Palette(sky, haze[0], far[0], near[0], sun[0], accents)
