"""Test forms and runs where no widget can be shown: switched off, on Kaggle, on Databricks, in a terminal."""

from __future__ import annotations

import io
import json
import os
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from comfykit_jupyter.notebook.hosts import explain_missing_widgets
from comfykit_jupyter.notebook.static_form import build_static_form
from comfykit_jupyter.notebook.text_bar import TerminalBar, format_progress
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.progress.progress import Progress
from comfykit_jupyter.workflow.values.fields import Field

from .kernels import ROOT, WIDGET, Page

KERNEL = SimpleNamespace(kernel=object())
TERMINAL = """
import os, sys
from IPython.core.interactiveshell import InteractiveShell

shell = InteractiveShell.instance()
for cell in ("%load_ext comfykit_jupyter", "%comfykit run picture.json", "%comfykit form picture.json"):
    shell.run_cell(cell).raise_error()
"""


@pytest.mark.parametrize(
    ("environment", "reason"),
    [
        ({}, None),
        ({"COMFYKIT_WIDGETS": "0"}, "COMFYKIT_WIDGETS=0 is set"),
        ({"KAGGLE_KERNEL_RUN_TYPE": "Interactive"}, "Kaggle shows no widgets"),
        ({"DATABRICKS_RUNTIME_VERSION": "15.4"}, "have never been tried on Databricks"),
        ({"DATABRICKS_RUNTIME_VERSION": "15.4", "COMFYKIT_WIDGETS": "1"}, None),
    ],
)
def test_host_decides_whether_widgets_are_shown(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], reason: str | None
) -> None:
    for name in ("COMFYKIT_WIDGETS", "KAGGLE_KERNEL_RUN_TYPE", "DATABRICKS_RUNTIME_VERSION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    found = explain_missing_widgets(KERNEL)
    assert found is None if reason is None else reason in (found or "")
    assert explain_missing_widgets(None) == explain_missing_widgets(SimpleNamespace()) == "a terminal shows no widgets"


def test_form_and_run_without_widgets_are_text(page: Page) -> None:
    page.run("import os; os.environ['COMFYKIT_WIDGETS'] = '0'")
    try:
        cell = page.run("form = %comfykit form picture.json width=40\nform")
        assert all(WIDGET not in bundle for bundle in cell.bundles)
        for text in (cell.bundles[0]["text/plain"], cell.bundles[0]["text/html"]):
            assert "This form is static: COMFYKIT_WIDGETS=0 is set." in text
            assert "%comfykit run picture.json NAME=VALUE" in text
            assert "width" in text
            assert "40" in text
        cell = page.run("%comfykit run picture.json")
        assert all(WIDGET not in bundle for bundle in cell.bundles)
        assert [bundle["text/plain"].partition(":")[0] for bundle in cell.bundles] == ["picture"]
        assert "completed" in cell.bundles[0]["text/plain"]
    finally:
        page.run("del os.environ['COMFYKIT_WIDGETS']")


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_terminal_has_a_bar_and_a_static_form(sandbox: Sandbox, tmp_path: Path) -> None:
    graph = {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 32, "height": 16, "batch_size": 1, "color": 255},
            "_meta": {"title": "Canvas, $width"},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "picture"}},
    }
    (tmp_path / "picture.json").write_text(json.dumps(graph))
    master, slave = os.openpty()
    environment = os.environ | {"PYTHONPATH": str(ROOT), "COMFYUI_BASE_URL": sandbox.url, "IPYTHONDIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", TERMINAL],
        stdout=subprocess.PIPE, stderr=slave, cwd=tmp_path, env=environment, timeout=60, check=False, text=True,
    )  # fmt: skip
    os.close(slave)
    bar = os.read(master, 100_000).decode()
    os.close(master)
    assert done.returncode == 0, bar
    assert "\rpicture ░" in bar
    assert (
        "This form is static: a terminal shows no widgets. Run the workflow with: %comfykit run picture.json"
        in done.stdout
    )


def test_terminal_line_is_rewritten_in_place() -> None:
    stream = io.StringIO()
    bar = TerminalBar(stream)
    bar.write("longer text")
    bar.write("short")
    bar.close()
    assert stream.getvalue() == "\rlonger text\rshort      \n"


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
def test_terminal_line_is_cut_where_the_terminal_would_wrap_it() -> None:
    import fcntl
    import termios

    master, slave = os.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    with os.fdopen(slave, "w", encoding="utf-8") as stream:
        TerminalBar(stream).write("x" * 100)
        assert os.read(master, 1000) == b"\r" + b"x" * 39
    os.close(master)


def test_line_says_how_far_the_run_is() -> None:
    progress = Progress(
        "running", "1", node_title="Sampler", step=5, steps=10, nodes_done=2, nodes_total=7, fraction=0.5
    )
    assert format_progress("fox", progress).startswith("fox ████████████░░░░░░░░░░░░  50% Sampler 5/10 · 2 of 7 nodes")


def test_names_in_a_static_form_are_escaped() -> None:
    field = cast("Field", SimpleNamespace(name="<b>", kind="text", choices=None, min=None, max=None))
    bundle = build_static_form("<i>x</i> · <b>", "my <wf>.json", [field], {"<b>": "<script>"}, "<why>")
    assert "<script>" not in bundle["text/html"]
    assert "<wf>" not in bundle["text/html"]
    assert "<why>" not in bundle["text/html"]
    assert '%comfykit run "my <wf>.json" NAME=VALUE' in bundle["text/plain"]
    assert "form.run().result()" in build_static_form("x", {}, [], {}, None)["text/plain"]
