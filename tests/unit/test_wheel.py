"""Test the contents of the wheel, and that it can be imported without extras."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
pytestmark = pytest.mark.slow
EXTENSION = "data/share/jupyter/labextensions/comfykit-jupyter/"
LARGEST_EXTENSION = 16_000
LARGEST_BUNDLE, LARGEST_STYLE = 175_000, 30_000


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of this source tree, built through the source distribution as for a release."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run([sys.executable, "-m", "build", "--outdir", str(folder), str(ROOT)], check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def test_wheel_contains_the_package_and_the_built_front_end(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith("comfykit_jupyter-")}
        assert all(name.startswith("comfykit_jupyter/") for name in names)
        sources = {f"comfykit_jupyter/{path.relative_to(ROOT / 'comfykit_jupyter')}" for path in _find_sources()}
        assert sources <= names
        bundle = archive.getinfo("comfykit_jupyter/notebook/static/widget.js")
        assert 1_000 < bundle.file_size <= LARGEST_BUNDLE
        style = archive.getinfo("comfykit_jupyter/notebook/static/widget.css")
        assert 1_000 < style.file_size <= LARGEST_STYLE
        assert "comfykit_jupyter/py.typed" in names
        assert {f"comfykit_jupyter/examples/{name}.json" for name in ("clip", "portrait", "restyle")} <= names
        extension = [each for each in archive.infolist() if EXTENSION in each.filename]
        assert {Path(each.filename).name.partition(".")[0] for each in extension} == {
            "package", "install", "runs", "remoteEntry",
        }  # fmt: skip
        assert sum(each.file_size for each in extension) <= LARGEST_EXTENSION


def test_wheel_is_imported_in_a_clean_environment_without_extras(wheel: Path, tmp_path: Path) -> None:
    venv.create(tmp_path / "clean", with_pip=True)
    python = tmp_path / "clean" / ("Scripts" if os.name == "nt" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "-q", str(wheel)], check=True, capture_output=True)
    script = """
import comfykit_jupyter, importlib.util, sys
assert "site-packages" in comfykit_jupyter.__file__, comfykit_jupyter.__file__
for name in comfykit_jupyter.__all__:
    getattr(comfykit_jupyter, name)
for extra in ("aiohttp", "numpy", "av"):
    assert importlib.util.find_spec(extra) is None, f"{extra} is there: this proves nothing"
import asyncio
result = asyncio.run(comfykit_jupyter.ComfyKit("http://127.0.0.1:9").execute({"1": {"class_type": "X", "inputs": {}}}))
assert result.status == "failed" and result.error.kind == "unreachable", result
try:
    from comfykit_jupyter.sandbox import Sandbox
except ImportError as error:
    assert "comfykit-jupyter[sandbox]" in str(error), error
else:
    raise AssertionError("the sandbox is imported without its extra")
"""
    done = subprocess.run([python, "-I", "-c", script], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _find_sources() -> list[Path]:
    return [path for path in (ROOT / "comfykit_jupyter").rglob("*.py") if "__pycache__" not in path.parts]
