"""Test busy cells on every kernel: Cancel, ■, and `asyncio.run` with cells queued after it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox

from .kernels import KERNELS, Page, kernel
from .test_extension import EXAMPLE
from .test_run_magic import LONG, is_server_idle, wait_until_running

VERSIONS = sorted(folder.name for folder in KERNELS.glob("*"))
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not VERSIONS, reason=f"no older kernels in {KERNELS}: `make slow` installs them"),
]


@pytest.fixture(scope="module", params=VERSIONS)
def page(request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Page]:
    with kernel(folder, KERNELS / request.param, COMFYUI_BASE_URL=sandbox.url) as page:
        page.run("%load_ext comfykit_jupyter\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        assert page.value("__import__('ipykernel').__version__") == repr(request.param)
        yield page


@pytest.mark.parametrize("way", ["page", "toolbar"])
def test_busy_cell_is_stopped_on_the_server_too(page: Page, way: str) -> None:
    cell = page.start(LONG)
    wait_until_running(page, cell)
    if way == "page":
        page.cancel(page.model(cell))
    else:
        page.interrupt()
    page.wait(lambda: cell.ended)
    assert cell.error.strip() == "RunFailed: text_to_image: cancelled"
    assert "cancelled" in cell.html
    assert is_server_idle(page)


def test_cells_queued_behind_a_nested_loop_run(page: Page) -> None:
    cells = [page.start(EXAMPLE), page.start("print('after')"), page.start("%comfykit run picture.json")]
    page.wait(lambda: all(cell.ended for cell in cells))
    assert [cell.status for cell in cells] == ["ok"] * 3, [cell.error for cell in cells]
    assert "Status: completed" in cells[0].stdout


def test_form_is_live_between_cells(page: Page) -> None:
    model = page.model(page.run('form = kit.form("picture.json")\nform'))
    page.ask(model, "set", name="width", value=33)
    page.ask(model, "run")
    page.wait(lambda: model.state["status"] == "completed")
    assert page.value("form.result.params['width']") == "33"
