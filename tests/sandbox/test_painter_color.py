"""The colour conversions, without NumPy warnings."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.sandbox.nodes.painter.color import from_rgb, to_rgb

PLANES = st.lists(st.floats(-2, 3, width=32), min_size=3, max_size=3)


@given(PLANES)
def test_any_colour_converts_to_valid_srgb(planes: list[float]) -> None:
    rgb = np.array(planes, dtype=np.float32).reshape(3, 1, 1)
    with np.errstate(all="raise", under="ignore"):
        back = to_rgb(from_rgb(rgb))
    assert np.abs(back - rgb.clip(0, 1)).max() < 0.01
