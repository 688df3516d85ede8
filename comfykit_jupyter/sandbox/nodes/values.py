"""The shapes of what travels along links, as types, and the one bound on their size."""

from __future__ import annotations

from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.floating[Any]]
"""Floats of any shape; float32 on links."""

MAX_PIXELS = 2**26
"""Pixels that one batch of images may have: 64 million, 800 MB as floats."""


class Audio(TypedDict):
    """Sound: `waveform` of shape (batch, channels, samples), -1…1, at `sample_rate` Hz."""

    waveform: Floats
    sample_rate: int


class Latent(TypedDict, total=False):
    """A picture in the making.

    `samples`, of shape (batch, 4, height / 8, width / 8), holds it coarsely: lightness, two colour axes, detail.
    `canvas`, of shape (batch, height, width, 3), is the picture in full, with all that `samples` cannot hold; a
    latent has none before it was sampled or encoded.
    """

    samples: Floats
    canvas: Floats


def check_pixels(width: int, height: int, batch: int = 1, most: int = MAX_PIXELS) -> None:
    """Refuse what would exhaust the memory.

    Raises:
        ValueError: the batch has more than `most` pixels.
    """
    if width * height * batch > most:
        raise ValueError(
            f"{batch} × {width} × {height} pixels are too many for the embedded server:"
            f" take a smaller size or batch (at most {most:,} pixels together)"
        )
