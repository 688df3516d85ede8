"""Fixtures of the notebook tests: kernels connected to the embedded server, and workflows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox import Sandbox

from .kernels import ROOT, Page, kernel

if not (ROOT / "comfykit_jupyter/notebook/static/widget.js").is_file():
    pytest.skip("the widget's JavaScript is not built", allow_module_level=True)

SHELF = ROOT / "notebooks/workflows"

PICTURE: dict[str, Any] = {
    "1": {
        "class_type": "EmptyImage",
        "inputs": {"width": 64, "height": 48, "batch_size": 1, "color": 255},
        "_meta": {"title": "Canvas, $width, $height, $color"},
    },
    "2": {
        "class_type": "SaveImage",
        "inputs": {"images": ["1", 0], "filename_prefix": "picture"},
        "_meta": {"title": "$output.picture"},
    },
}
"""A workflow that takes milliseconds."""


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The kernels' working folder, with `picture.json` and the example workflows."""
    folder = tmp_path_factory.mktemp("notebooks")
    (folder / "picture.json").write_text(json.dumps(PICTURE))
    broken = json.loads(json.dumps(PICTURE))
    broken["2"]["inputs"]["images"] = ["1", 7]
    (folder / "broken.json").write_text(json.dumps(broken))
    for workflow in SHELF.glob("*.json"):
        (folder / workflow.name).write_bytes(workflow.read_bytes())
    return folder


@pytest.fixture(scope="module")
def page(sandbox: Sandbox, folder: Path) -> Iterator[Page]:
    """A page connected to a kernel with the extension loaded, shared by the tests of a module."""
    with kernel(folder, COMFYUI_BASE_URL=sandbox.url) as page:
        loaded = page.run("%load_ext comfykit_jupyter\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        assert loaded.status == "ok", loaded.error
        yield page
