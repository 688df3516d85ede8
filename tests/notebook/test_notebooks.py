"""Run the notebooks on the embedded server, in one kernel. The one about clouds has a test of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox

from .kernels import ROOT, WIDGET, Cell, Page, kernel

NOTEBOOKS = ("quickstart", "parameters", "sweep", "library", "media", "script")


@pytest.fixture(scope="module")
def clean_page(sandbox: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A page connected to a kernel that loads nothing by itself, shared by the notebooks."""
    with kernel(tmp_path_factory.mktemp("notebooks"), COMFYUI_BASE_URL=sandbox.url) as page:
        yield page


def run_notebook(page: Page, name: str, folder: Path) -> list[Cell]:
    """Run all cells of a notebook in a folder with the workflows, as if in a new kernel, and return the code cells."""
    (folder / "workflows").symlink_to(ROOT / "notebooks/workflows")
    book = json.loads((ROOT / f"notebooks/{name}.ipynb").read_text(encoding="utf-8"))
    page.run(f"%reset -f\n%cd -q {folder}")
    cells = []
    for source in ("".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"):
        cells.append(page.run(source))
        assert cells[-1].status == "ok", f"{source}\n{cells[-1].error}"
    assert not any(cell["outputs"] for cell in book["cells"] if cell["cell_type"] == "code")
    assert len(json.dumps([cell.outputs for cell in cells])) < 600_000
    return cells


def list_files(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_notebooks_are_all_tested() -> None:
    assert {path.stem for path in (ROOT / "notebooks").glob("*.ipynb")} == {*NOTEBOOKS, "cloud"}


def test_quickstart(clean_page: Page, tmp_path: Path) -> None:
    _, form, _, _, facts, again, sweep = run_notebook(clean_page, "quickstart", tmp_path)
    assert WIDGET in str(form.outputs)
    assert "'seed': 42" in facts.stdout
    assert "data:image/webp" in again.html
    clean_page.wait(lambda: "6 of 6 done" in sweep.html)
    assert list_files(tmp_path / "pictures") == {"fox.png"}


def test_parameters(clean_page: Page, tmp_path: Path) -> None:
    cells = run_notebook(clean_page, "parameters", tmp_path)
    assert "prompt multiline" in cells[1].stdout
    assert "did you mean 'prompt'?" in cells[2].stdout
    assert len(cells[2].stdout.splitlines()) == 3
    assert "{red|blue}" not in cells[3].stdout
    assert "quick sketch.toml" in cells[5].stdout
    assert "('quick sketch',)" in cells[6].stdout
    assert WIDGET in str(cells[7].outputs)
    assert ": 0.7}" in cells[8].stdout


def test_sweep(clean_page: Page, tmp_path: Path) -> None:
    text = json.dumps([cell.outputs for cell in run_notebook(clean_page, "sweep", tmp_path)])
    assert "20 points, 0 done" in text
    assert text.count("20 of 20 done") >= 1
    assert (tmp_path / "foxes.webp").is_file()
    assert len(list_files(tmp_path / "best")) == 20


def test_library(clean_page: Page, tmp_path: Path) -> None:
    text = json.dumps([cell.outputs for cell in run_notebook(clean_page, "library", tmp_path)])
    assert "broken.png can't be read as an image" in text
    assert len(list_files(tmp_path / "variants")) == 3
    assert "True" in text


def test_media(clean_page: Page, tmp_path: Path) -> None:
    cells = run_notebook(clean_page, "media", tmp_path)
    assert "image (256, 256)" in cells[3].stdout
    assert list_files(tmp_path / "pictures") == {"text_to_image-42.png", "fox.html", "film.mp4"}
    assert "a boat, ink" in cells[6].stdout
    assert "audio" in cells[6].html


def test_script(clean_page: Page, tmp_path: Path) -> None:
    cells = run_notebook(clean_page, "script", tmp_path)
    assert "did you mean 'prompt'?" in cells[1].stdout
    assert cells[3].stdout.splitlines()[:2] == ["failed", "invalid"]
    assert "pictures/fox.png" in cells[5].stdout
    seasons = {f"{season}.png" for season in ("spring", "summer", "autumn", "winter")}
    assert list_files(tmp_path / "pictures") > {"fox.png", *seasons}
