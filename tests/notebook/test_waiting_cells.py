"""Test cells whose own code waits for a run: ■ stops them, and the run on the server, on every kernel."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.kit.kit import ComfyKit
from comfykit_jupyter.sandbox import Sandbox

from .kernels import KERNELS, Page, kernel
from .test_errors import OURS, read_error
from .test_run_magic import is_server_idle

OLDER = sorted(folder.name for folder in KERNELS.glob("*"))
VERSIONS = ["installed", *(pytest.param(version, marks=pytest.mark.slow) for version in OLDER)]
LONG = '"text_to_image.json", {"steps": 3000, "width": 256, "height": 256}'


@pytest.fixture(scope="module", params=VERSIONS)
def page(request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Page]:
    packages = None if request.param == "installed" else KERNELS / request.param
    with kernel(folder, packages, COMFYUI_BASE_URL=sandbox.url) as page:
        page.run("%load_ext comfykit_jupyter\nimport asyncio\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        yield page


def wait_until_busy(url: str) -> None:
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
def test_stop_button_ends_a_cell_that_waits_and_cancels_on_the_server(page: Page, sandbox: Sandbox, code: str) -> None:
    cell = page.start(code)
    wait_until_busy(sandbox.url)
    page.interrupt()
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    assert "KeyboardInterrupt" in cell.error or "CancelledError" in cell.error
    if "gather" not in code or sys.version_info >= (3, 11):  # older ones make an error of their own of it
        assert OURS not in read_error(cell)
    assert is_server_idle(page)


def test_form_is_cancelled_by_the_page_while_a_cell_waits_for_it(page: Page) -> None:
    """Cancel interrupts the kernel where messages wait behind a busy cell."""
    model = page.model(page.run(f"form = kit.form({LONG})\nform"))
    cell = page.start("form.run().result()")
    page.wait(lambda: model.state["status"] == "running")
    page.cancel(model)
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    page.wait(lambda: model.state["status"] == "cancelled")
    assert is_server_idle(page)
