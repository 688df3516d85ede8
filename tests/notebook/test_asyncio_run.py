"""Test `asyncio.run` in the cells of kernels that are fresh: nothing was loaded or applied before the import."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.notebook import asyncio_run
from comfykit_jupyter.sandbox import Sandbox

from .kernels import KERNELS, ROOT, Page, kernel
from .test_extension import EXAMPLE

OLDER = [
    pytest.param(KERNELS / version, marks=pytest.mark.slow)
    for version in (ROOT / "tests/kernels.txt").read_text().split()
]
APPLIED = "hasattr(__import__('asyncio'), '_nest_patched')"


@pytest.fixture(scope="module", params=[None, *OLDER], ids=lambda folder: folder.name if folder else "current")
def fresh(request: pytest.FixtureRequest, sandbox: Sandbox, folder: Path) -> Iterator[Page]:
    """A kernel in which only the cells of this file run."""
    if request.param is not None and not request.param.exists():
        pytest.skip(f"no kernel in {request.param}: `make slow` installs it")
    with kernel(folder, *filter(None, [request.param]), COMFYUI_BASE_URL=sandbox.url) as page:
        yield page


def run_all(page: Page, *codes: str) -> list[str]:
    """Queue all cells at once, as *Run All* does; return what they printed, in the order in which they ended."""
    cells = [page.start(code) for code in codes]
    page.wait(lambda: all(cell.ended for cell in cells))
    assert [cell.status for cell in cells] == ["ok"] * len(cells), [cell.error for cell in cells]
    return [cell.stdout for cell in cells]


def test_usage_example_is_the_first_cell_and_no_queued_cell_is_lost(fresh: Page) -> None:
    """The first test: the kernel is fresh. All cells are queued before the first one has ended."""
    printed = run_all(
        fresh,
        EXAMPLE, "print('second')", "order = ['third']", EXAMPLE, "order.append('fifth')", "await asyncio.sleep(0)",
        EXAMPLE, "order.append('eighth')", "print(order)",
    )  # fmt: skip
    assert [text.splitlines()[0] for text in printed[:7:3]] == ["Status: completed"] * 3
    assert [printed[1], printed[8]] == ["second\n", "['third', 'fifth', 'eighth']\n"]


@pytest.mark.slow
def test_fresh_kernel_survives_the_cell_that_imports_and_runs_at_once(folder: Path) -> None:
    """The loop was in the middle of an iteration when it was patched."""
    older = [KERNELS / "6.31.0"] if (KERNELS / "6.31.0").exists() else []
    for _ in range(3):
        with kernel(folder, *older) as page:
            code = "import asyncio\nfrom comfykit_jupyter import ComfyKit\nasyncio.run(asyncio.sleep(0.05))"
            run_all(page, code, "1", "await asyncio.sleep(0)")
            assert run_all(page, "print('alive')") == ["alive\n"]


def test_calls_nest_as_in_a_script(fresh: Page) -> None:
    (printed,) = run_all(
        fresh,
        "import asyncio, threading\nfrom comfykit_jupyter import ComfyKit\n"
        "async def double(n):\n    await asyncio.sleep(0)\n    return 2 * n\n"
        "async def main():\n"
        "    print(await asyncio.gather(*map(double, range(3))), await asyncio.wait_for(double(4), 5))\n"
        "    try:\n        await asyncio.wait_for(asyncio.sleep(60), 0.01)\n"
        "    except asyncio.TimeoutError:\n        print('late')\n"
        "    return 'returned'\n"
        "print(asyncio.run(main()))\n"
        "thread = threading.Thread(target=lambda: print(asyncio.run(double(21))))\nthread.start()\nthread.join()\n"
        "print(await double(3))\n"
        "try:\n    asyncio.run(double('x', 'y'))\nexcept TypeError as error:\n    print('TypeError')",
    )
    assert printed == "[0, 2, 4] 8\nlate\nreturned\n42\n6\nTypeError\n"


def test_interrupt_runs_finally_and_the_next_call_works(fresh: Page) -> None:
    cell = fresh.start(
        "import asyncio\nfrom comfykit_jupyter import ComfyKit\n"
        "async def main():\n"
        "    try:\n        print('begun', flush=True)\n        await asyncio.sleep(600)\n"
        "    finally:\n        print('cleaned')\n"
        "asyncio.run(main())"
    )
    fresh.wait(lambda: "begun" in cell.stdout)
    fresh.interrupt()
    fresh.wait(lambda: cell.ended)
    assert "KeyboardInterrupt" in cell.error
    assert cell.stdout == "begun\ncleaned\n"
    assert "Status: completed" in run_all(fresh, EXAMPLE)[0]


def test_extension_can_be_loaded_afterwards(fresh: Page) -> None:
    assert "Status: completed" in run_all(fresh, "%load_ext comfykit_jupyter", EXAMPLE)[1]


def test_nothing_is_applied_before_it_is_needed(folder: Path, sandbox: Sandbox) -> None:
    with kernel(folder, COMFYUI_BASE_URL=sandbox.url) as page:
        run_all(page, "from comfykit_jupyter import ComfyKit\n%load_ext comfykit_jupyter\nimport asyncio")
        assert page.value(APPLIED) == "False"
        run_all(page, "asyncio.run(asyncio.sleep(0))")
        assert page.value(APPLIED) == "True"


def test_variable_turns_it_off(folder: Path) -> None:
    with kernel(folder, COMFYKIT_ASYNCIO_RUN="0") as page:
        cell = page.run("import asyncio\nfrom comfykit_jupyter import ComfyKit\nasyncio.run(asyncio.sleep(0))")
        assert "asyncio.run() cannot be called from a running event loop" in cell.error


def test_older_nest_asyncio_is_reported_once_and_left_alone(folder: Path) -> None:
    with kernel(folder) as page:
        page.run("import asyncio\nasyncio._nest_patched = True\nbefore = asyncio.run  # as nest_asyncio leaves it")
        cell = page.run("from comfykit_jupyter import ComfyKit")
        assert "nest_asyncio was applied before" in cell.stdout
        assert len(cell.stdout.splitlines()) == 1
        assert page.value("asyncio.run is before") == "True"


def test_script_keeps_the_original() -> None:
    code = "import asyncio; before = asyncio.run; from comfykit_jupyter import ComfyKit; print(asyncio.run is before)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert done.stdout == "True\n", done.stderr


def test_loop_that_cannot_be_nested_raises_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as uvloop's."""
    monkeypatch.setattr(asyncio, "run", asyncio.run)
    asyncio_run.allow()
    monkeypatch.setattr(asyncio, "get_running_loop", object)
    assert asyncio.run(_answer()) == 42


async def _answer() -> int:
    return 42
