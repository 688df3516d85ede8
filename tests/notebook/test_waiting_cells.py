"""Cells that wait for a run in the user's own code: ■ stops them, and the run on the server, on every kernel."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.client.kit import ComfyKit
from comfykit_jupyter.sandbox import Sandbox

from .kernels import KERNELS, Page, kernel
from .test_errors import OURS, shown
from .test_run_magic import nothing_runs

OLDER = sorted(folder.name for folder in KERNELS.glob("*"))
VERSIONS = ["installed", *(pytest.param(version, marks=pytest.mark.slow) for version in OLDER)]
LONG = '"text_to_image.json", {"steps": 3000, "width": 256, "height": 256}'


@pytest.fixture(scope="module", params=VERSIONS)
def page(request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Page]:
    packages = None if request.param == "installed" else KERNELS / request.param
    with kernel(folder, packages, COMFYUI_BASE_URL=sandbox.url) as page:
        page.run("%load_ext comfykit_jupyter\nimport asyncio\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        yield page


def running(url: str) -> None:
    """Wait until the server runs something."""
    kit, pause = ComfyKit(url), threading.Event()
    for _ in range(1000):
        if kit.server().running:
            return
        pause.wait(0.02)
    raise AssertionError("nothing runs")


@pytest.mark.parametrize(
    "code",
    [
        f"await kit.execute({LONG})",
        f"await kit.submit({LONG})",
        f"kit.run({LONG})",
        f"kit.form({LONG}).run().result()",
        f"asyncio.run(kit.execute({LONG}))",
        f"await asyncio.gather(kit.execute({LONG}), kit.execute({LONG}))",
    ],
    ids=["await execute", "await submit", "run", "form", "asyncio.run", "gather"],
)
def test_the_stop_button_ends_a_cell_that_waits_and_cancels_on_the_server(
    page: Page, sandbox: Sandbox, code: str
) -> None:
    cell = page.start(code)
    running(sandbox.url)
    page.interrupt()
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    assert "KeyboardInterrupt" in cell.error or "CancelledError" in cell.error
    if "gather" not in code or sys.version_info >= (3, 11):  # older ones make an error of their own of it
        assert OURS not in shown(cell)
    assert nothing_runs(page)


def test_a_form_is_cancelled_by_the_page_while_a_cell_waits_for_it(page: Page) -> None:
    """Where messages wait behind a busy cell, the page interrupts the kernel instead."""
    model = page.model(page.run(f"form = kit.form({LONG})\nform"))
    cell = page.start("form.run().result()")
    page.wait(lambda: model.state["status"] == "running")
    page.cancel(model)
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    page.wait(lambda: model.state["status"] == "cancelled")
    assert nothing_runs(page)
