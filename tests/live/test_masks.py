"""An image with a mask on a real server: what its *Load Image* reads from what was sent."""

from __future__ import annotations

from pathlib import Path

import pytest

from comfykit_jupyter import ComfyKit
from tests.client.test_masked import check_painting


@pytest.mark.parametrize("form", ["phone", "jpeg", "png"])
def test_load_image_gives_the_source_and_the_painting(form: str, kit: ComfyKit, tmp_path: Path) -> None:
    check_painting(form, kit, tmp_path)
