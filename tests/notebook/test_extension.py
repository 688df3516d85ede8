"""Test `%load_ext`, comfykit's usage example in a cell, whole notebooks, and kernels that end."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, cast

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from comfykit_jupyter.sandbox import Sandbox

from .kernels import ROOT, WIDGET, Page, kernel

EXAMPLE = """
import asyncio
from comfykit_jupyter import ComfyKit

async def main():
    kit = ComfyKit()
    result = await kit.execute("picture.json", {"width": 32})
    print(f"Status: {result.status}")
    print(f"Images: {result.images}")
    print(f"Duration: {result.duration}s")

asyncio.run(main())
"""


def build_notebook(*cells: str) -> nbformat.NotebookNode:
    made: dict[str, Any] = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    code: dict[str, Any] = {"cell_type": "code", "execution_count": None, "metadata": {}, "outputs": []}
    made["cells"] = [{**code, "id": f"cell{index}", "source": cell} for index, cell in enumerate(cells)]
    return cast("nbformat.NotebookNode", nbformat.from_dict(made))


def execute(book: nbformat.NotebookNode, folder: Path, sandbox: Sandbox) -> None:
    """Run all cells, as nbconvert and papermill do."""
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = {**os.environ, "PYTHONPATH": path, "COMFYUI_BASE_URL": sandbox.url}
    client = NotebookClient(book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(folder)}})
    asyncio.run(client.async_execute(env=environment))


def test_usage_example_runs_in_a_cell_and_the_cells_queued_behind_it_run(page: Page) -> None:
    cells = [page.start(EXAMPLE), page.start("print('second')"), page.start(EXAMPLE), page.start("print('last')")]
    page.wait(lambda: all(cell.ended for cell in cells))
    assert [cell.status for cell in cells] == ["ok"] * 4, [cell.error for cell in cells]
    assert "Status: completed" in cells[0].stdout
    assert [cells[1].stdout, cells[3].stdout] == ["second\n", "last\n"]


def test_awaited_run_works_after_the_example(page: Page) -> None:
    page.run(EXAMPLE)
    cell = page.run('result = await kit.submit("picture.json", width=20)\nprint(result.status)')
    assert cell.stdout == "completed\n", cell.error


def test_extension_can_be_loaded_again_and_unloaded(folder: Path, sandbox: Sandbox) -> None:
    with kernel(folder, COMFYUI_BASE_URL=sandbox.url) as page:
        assert page.run("%load_ext comfykit_jupyter").status == "ok"
        assert page.run("%reload_ext comfykit_jupyter").status == "ok"
        assert page.complete("%comfykit par") == ["%comfykit params"]
        assert page.run("%unload_ext comfykit_jupyter").status == "ok"
        assert page.run("%comfykit status").status == "error"
        assert "%comfykit params" not in page.complete("%comfykit par")


def test_older_nest_asyncio_that_was_applied_before_is_reported_in_one_line(folder: Path) -> None:
    with kernel(folder) as page:
        page.run("import asyncio\nasyncio._nest_patched = True  # what nest_asyncio leaves behind")
        cell = page.run("%load_ext comfykit_jupyter")
        assert len(cell.stdout.splitlines()) == 1
        assert "nest_asyncio was applied before" in cell.stdout


def test_import_patches_no_event_loop(folder: Path) -> None:
    with kernel(folder) as page:
        cell = page.run(
            "import asyncio, comfykit_jupyter, comfykit_jupyter.notebook.widget.widget\nasyncio.run(asyncio.sleep(0))"
        )
        assert "cannot be called from a running event loop" in cell.error


def test_notebook_runs_as_a_whole_and_keeps_images_instead_of_widgets(folder: Path, sandbox: Sandbox) -> None:
    book = build_notebook(
        "%load_ext comfykit_jupyter",
        "%comfykit run picture.json width=40 -o first",
        "%comfykit run picture.json width=41 -o second",
        "print(first.image.pil().size, second.image.pil().size)",
    )
    execute(book, folder, sandbox)
    for cell in book.cells[1:3]:
        (output,) = cell.outputs
        assert WIDGET not in output["data"]
        assert "data:image/webp" in output["data"]["text/html"]
    assert book.cells[3].outputs[0]["text"] == "(40, 48) (41, 48)\n"
    states = book.metadata["widgets"]["application/vnd.jupyter.widget-state+json"]["state"]
    assert sum("_esm" in model["state"] for model in states.values()) == 1


def test_notebook_stops_at_a_run_that_fails(folder: Path, sandbox: Sandbox) -> None:
    book = build_notebook("%load_ext comfykit_jupyter", "%comfykit run broken.json", "print('never')")
    with pytest.raises(CellExecutionError, match="RunFailed"):
        execute(book, folder, sandbox)
    assert any("failed" in output.get("data", {}).get("text/html", "") for output in book.cells[1].outputs)
    assert book.cells[2].outputs == []


def test_notebook_of_a_form_keeps_what_it_ran(folder: Path, sandbox: Sandbox) -> None:
    book = build_notebook(
        "from comfykit_jupyter import ComfyKit",
        "form = ComfyKit().form('picture.json', width=40)\nform",
        "import threading\nended = threading.Event()\n"
        "form.observe(lambda change: ended.set(), 'result')\nform.run()\nassert ended.wait(20)\nprint(form.status)",
    )
    execute(book, folder, sandbox)
    assert book.cells[2].outputs[-1]["text"] == "completed\n"
    kept = [output["data"].get("text/html", "") for output in book.cells[1].outputs]
    assert "ck-static" in kept[-1]


def test_embedded_server_is_connected_to_and_ends_with_the_kernel(folder: Path) -> None:
    with kernel(folder, COMFYUI_BASE_URL="http://127.0.0.1:9") as page:
        page.run("%load_ext comfykit_jupyter\nfrom comfykit_jupyter import ComfyKit")
        cell = page.run("%comfykit connect sandbox")
        assert "the embedded server: it ends with this kernel" in cell.stdout, cell.error
        assert page.run("%comfykit run picture.json -o there").status == "ok"
        assert page.value("there.status, ComfyKit().comfyui_url == there.server") == "('completed', True)"
        child = int(
            page.value(
                "__import__('comfykit_jupyter.notebook.sandbox_process').notebook.sandbox_process._sandbox[0].pid"
            )
        )
        page.interrupt()
        assert page.run("%comfykit connect sandbox").status == "ok"
        assert page.value(
            "__import__('comfykit_jupyter.notebook.sandbox_process').notebook.sandbox_process._sandbox[0].pid"
        ) == str(child)
        page.process.send_signal(signal.SIGKILL)
        page.process.wait()
    assert wait_for_end(child)


def wait_for_end(pid: int) -> bool:
    """Wait for a process that is not a child to end; return whether it has."""
    wait = (
        "import os,sys,select; fd = os.pidfd_open(int(sys.argv[1])); sys.exit(not select.select([fd], [], [], 20)[0])"
    )
    return not Path(f"/proc/{pid}").exists() or subprocess.run([sys.executable, "-c", wait, str(pid)]).returncode == 0


def test_connect_changes_the_server_of_everything_that_names_none(page: Page, folder: Path) -> None:
    with Sandbox() as other:
        cell = page.run(f"%comfykit connect {other.url}")
        assert "ComfyUI" in cell.stdout
        assert other.url in cell.stdout
        page.run("%comfykit run picture.json -o elsewhere")
        assert page.value("elsewhere.server, ComfyKit().comfyui_url") == f"('{other.url}', '{other.url}')"
    cell = page.run(f"%comfykit connect {other.url}")
    assert cell.stdout.startswith("not connected yet: no ComfyUI server at"), cell.error
    page.run("from comfykit_jupyter.kit.current import connect\nconnect(None)")
