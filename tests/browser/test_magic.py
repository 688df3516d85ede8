"""Test `%comfykit run` in a busy cell: live updates, Cancel and ■ on every kernel, and its static output."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import expect

from .lab import KERNELS, Notebook

Open = Callable[..., Notebook]

OLDER = sorted(f"ipykernel-{folder.name}" for folder in KERNELS.glob("*"))
KERNEL_NAMES = ["python3", *(pytest.param(name, marks=pytest.mark.slow) for name in OLDER)]

SETUP = (
    "import os, nest_asyncio2\nfrom comfykit_jupyter import ComfyKit\nimport ipykernel; print(ipykernel.__version__)"
)
AFTER = "s = ComfyKit().server(); print('server', s.running, s.pending)"
RUN = '%load_ext comfykit_jupyter\nwf = os.environ["WORKFLOWS"] + "/text_to_image.json"'
LONG = "%comfykit run {wf} steps=3000 width=256 height=256"


@pytest.fixture(params=KERNEL_NAMES)
def kernel(request: pytest.FixtureRequest) -> str:
    """Each kernel in turn: the newest, and the older ones installed beside it."""
    return str(request.param)


@pytest.fixture(params=["lab", "notebook_7"])
def host(request: pytest.FixtureRequest) -> str:
    """JupyterLab and Notebook 7 in turn."""
    return str(request.param)


def test_cancel_in_the_page_stops_a_busy_cell(open_notebook: Open, kernel: str, host: str) -> None:
    notebook = open_notebook(SETUP, RUN, LONG, AFTER, kernel=kernel, host=host)
    if kernel != "python3":
        assert notebook.run(0).strip() == kernel.removeprefix("ipykernel-")
    else:
        notebook.run(0)
    notebook.run(1)
    notebook.start(2)
    live = notebook.output(2)
    expect(live.get_by_role("progressbar")).to_be_visible()
    expect(live.get_by_role("img", name="Preview")).to_be_visible()
    live.get_by_role("button", name="Cancel", exact=True).click()
    notebook.wait_for_end(2)
    expect(live).to_contain_text(re.compile("cancelled", re.IGNORECASE))
    assert notebook.run(3).strip() == "server 0 0"


def test_stop_button_stops_a_busy_cell(open_notebook: Open, kernel: str, host: str) -> None:
    notebook = open_notebook(SETUP, RUN, LONG, AFTER, kernel=kernel, host=host)
    notebook.run(0)
    notebook.run(1)
    notebook.start(2)
    live = notebook.output(2)
    expect(live.get_by_role("progressbar")).to_be_visible()
    expect(live.get_by_role("img", name="Preview")).to_be_visible()
    notebook.page.get_by_title("Interrupt the kernel").first.click()
    notebook.wait_for_end(2)
    expect(live).to_contain_text(re.compile("cancelled", re.IGNORECASE))
    assert notebook.run(3).strip() == "server 0 0"


def test_static_output_is_shown_without_a_kernel(open_notebook: Open) -> None:
    notebook = open_notebook(
        SETUP,
        RUN,
        '%comfykit run {wf} prompt="a quiet harbour" seed=5 steps=6 width=256 height=256 -o harbour',
        "harbour.seeds",
    )
    for index in range(4):
        notebook.run(index)
    assert "5" in notebook.text(3)
    notebook.save()
    notebook.shut_down()
    notebook.open()
    picture = notebook.output(2).locator("img").first
    expect(picture).to_be_visible()
    handle = picture.element_handle()
    assert handle is not None
    assert handle.evaluate("img => img.naturalWidth > 0")
    assert notebook.output(2).locator("img").count() == 1


def test_run_all_runs_the_cells_after_asyncio_run(open_notebook: Open) -> None:
    example = """
import asyncio
async def main():
    kit = ComfyKit()
    result = await kit.execute(wf, {"prompt": "a cute cat", "steps": 3})
    print(f"Status: {result.status}")
asyncio.run(main())
"""
    notebook = open_notebook(SETUP, RUN, example, "print('after', 6 * 7)")
    notebook.command("notebook:run-all-cells")
    notebook.wait_for_end(3)
    assert "Status: completed" in notebook.text(2)
    assert "after 42" in notebook.text(3)
