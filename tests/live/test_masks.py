"""An image with a mask on a real server: what its *Load Image* reads from what was sent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from comfykit_jupyter import ComfyKit, Masked
from tests.client.test_masked import WORKFLOW, paint, read_upright, write_source


@pytest.mark.parametrize("form", ["phone", "jpeg", "png"])
def test_load_image_gives_the_source_and_the_painting(form: str, kit: ComfyKit, tmp_path: Path) -> None:
    path = write_source(tmp_path, form)
    mask = paint(path)
    result = kit.run(WORKFLOW, image=Masked(path, mask))
    colours = np.asarray(result["colours"][0].pil().convert("RGB"))
    assert (colours == read_upright(path)).all()
    painted = np.asarray(result["mask"][0].pil().convert("L")).astype(int)
    assert abs(painted - mask).max() <= 1
