"""Types of the values on links, and the limit on their size."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
"""An array of floats of any shape; float32 on links."""

MAX_PIXELS = 2**26
"""Largest size of a batch of images, in pixels: 64 million, or 800 MB as floats."""


MAX_TEXT = 2**20
"""Longest text that a node makes or shows, in characters."""


class Audio(TypedDict):
    """Audio: `waveform` of shape (batch, channels, samples), -1…1, at `sample_rate` Hz."""

    waveform: Floats
    sample_rate: int


class Latent(TypedDict, total=False):
    """A batch of images in latent form.

    `samples`, of shape (batch, 4, height / 8, width / 8), holds lightness, two colour axes and contrast.
    `canvas`, of shape (batch, height, width, 3), holds the full images; it is missing until the latent has been
    sampled or encoded. `mask`, of shape (masks, height, width), is where samplers change it; without one, everywhere.
    """

    samples: Floats
    canvas: Floats
    mask: Floats


def check_text(length: int) -> None:
    """Reject a text that would exhaust the memory.

    Raises:
        ValueError: It has more than `MAX_TEXT` characters.
    """
    if length > MAX_TEXT:
        raise ValueError(f"a text of {length:,} characters is too long for the embedded server (at most {MAX_TEXT:,})")


def check_pixels(width: int, height: int, batch: int = 1, most: int = MAX_PIXELS) -> None:
    """Reject a batch that would exhaust the memory.

    Raises:
        ValueError: The batch has more than `most` pixels.
    """
    if width * height * batch > most:
        raise ValueError(
            f"{batch} × {width} × {height} pixels are too many for the embedded server:"
            f" use a smaller size or batch (at most {most:,} pixels in total)"
        )
