"""Run the notebooks about sweeps and kept runs on the embedded server."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient

from comfykit_jupyter.sandbox import Sandbox

from .kernels import ROOT


@pytest.fixture(params=["sweep", "library"])
def outputs(request: pytest.FixtureRequest, sandbox: Sandbox, tmp_path: Path) -> tuple[str, str, Path]:
    """The name of a notebook, all its outputs as text, and the folder in which it ran."""
    (tmp_path / "workflows").symlink_to(ROOT / "notebooks/workflows")
    book: Any = nbformat.read(ROOT / f"notebooks/{request.param}.ipynb", as_version=4)
    client = NotebookClient(book, timeout=120, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    asyncio.run(client.async_execute(env={**os.environ, "PYTHONPATH": path, "COMFYUI_BASE_URL": sandbox.url}))
    assert len(nbformat.writes(book)) < 600_000
    return request.param, json.dumps([cell.get("outputs") for cell in book.cells]), tmp_path


def test_the_notebook_runs(outputs: tuple[str, str, Path]) -> None:
    name, text, folder = outputs
    if name == "sweep":
        assert "20 points, 0 done" in text
        assert text.count("20 of 20 done") >= 1
        assert (folder / "foxes.webp").is_file()
        assert len(list((folder / "best").iterdir())) == 20
    else:
        assert "broken.png can't be read as an image" in text
        assert len(list((folder / "variants").iterdir())) == 3
        assert "True" in text
