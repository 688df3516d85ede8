"""Test the form in other hosts: Notebook 7 and marimo."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, Page, expect

from comfykit_jupyter.sandbox import Sandbox
from tests.ports import find_free_port

from .lab import ROOT, Notebook

WORKFLOW = ROOT / "notebooks/workflows/text_to_image.json"
MARIMO_APP = f"""
import marimo

app = marimo.App()


@app.cell
def _():
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(runs="runs")
    form = kit.form({str(WORKFLOW)!r}, width=256, height=256, steps=12)
    sweep = kit.sweep({str(WORKFLOW)!r}, width=64, height=64, over={{"steps": [1, 2], "cfg": [3, 6]}}).wait()
    return form, kit, sweep


@app.cell
def _(form):
    form
    return


@app.cell
def _(sweep):
    sweep
    return


@app.cell
def _(kit):
    kit.runs
    return
"""


@pytest.fixture
def marimo(sandbox: Sandbox, tmp_path: Path) -> Iterator[str]:
    """The URL of a marimo app with a form."""
    (tmp_path / "app.py").write_text(MARIMO_APP)
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    with (tmp_path / "log").open("w") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "marimo", "run", "--headless", "--no-token", "--port", str(port), "app.py"],
            cwd=tmp_path,
            env=os.environ | {"COMFYUI_BASE_URL": sandbox.url, "HOME": str(tmp_path), "PYTHONPATH": str(ROOT)},
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + 60
        while True:
            try:
                with urllib.request.urlopen(url, timeout=5):
                    break
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline or server.poll() is not None:
                    raise RuntimeError((tmp_path / "log").read_text()) from None
                time.sleep(0.1)
        yield url
    finally:
        server.terminate()
        server.wait(15)


def run_from(form: Page | Locator) -> None:
    """Type a prompt, press Run, and wait for the image."""
    prompt = form.get_by_label("Prompt", exact=True)
    expect(prompt).to_be_visible()
    prompt.fill("a cat by the sea, oil")
    form.get_by_role("button", name="Run", exact=True).first.click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    picture = form.locator("img[alt*='a cat by the sea']").first
    expect(picture).to_be_visible()
    handle = picture.element_handle()
    assert handle is not None
    assert handle.evaluate("async img => { await img.decode(); return img.naturalWidth > 0 }")


def test_form_grid_and_library_live_in_marimo(marimo: str, page: Page) -> None:
    page.goto(marimo)
    run_from(page)
    grid, library = page.locator(".ck-x-grid").first, page.locator(".ck-x-days .ck-x-grid")
    expect(grid.get_by_role("gridcell")).to_have_count(4)
    expect(grid.locator("img")).to_have_count(4)
    expect(library.get_by_role("gridcell").first).to_be_visible()


@pytest.mark.own_page
def test_form_runs_in_notebook_7(open_notebook: Callable[..., Notebook]) -> None:
    notebook = open_notebook(
        f"from comfykit_jupyter import ComfyKit\nform = ComfyKit().form({str(WORKFLOW)!r}, steps=12)\nform",
        "print(form.status, form.result.params['prompt'])",
        host="notebook_7",
    )
    notebook.run(0)
    form = notebook.output(0)
    run_from(form)
    assert notebook.run(1).strip() == "completed a cat by the sea, oil"
    page = notebook.page
    form.get_by_role("button", name="Run", exact=True).focus()
    for key in ("b", "ArrowDown", "x", "Shift+M"):  # here shortcuts take keys on their way down
        page.keyboard.press(key)
    expect(form.get_by_role("button", name="Run", exact=True)).to_be_focused()
    expect(page.locator(".jp-Notebook .jp-Cell")).to_have_count(2)
