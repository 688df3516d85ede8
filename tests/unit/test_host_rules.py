"""Test the rules of hosts that can't be run here, such as VS Code and Colab, on what they are sent."""

from __future__ import annotations

import re
from pathlib import Path

import anywidget
import pytest

from comfykit_jupyter.notebook.explorer.explorer import Explorer
from comfykit_jupyter.notebook.page.media import PIECE_BYTES
from comfykit_jupyter.notebook.page.page_widget import PageWidget
from comfykit_jupyter.notebook.widget.stage.view import RunView
from comfykit_jupyter.workflow.media_kinds import WORKFLOW_SUFFIXES

ROOT = Path(__file__).parents[2]
NAMESPACE = "http://www.w3.org/"
"""Addresses below this one are names, and nothing is loaded from them."""

SERVER_LIMIT = 10 * 1024 * 1024
"""Bytes of a message that Jupyter's server accepts from a page; it drops larger ones without a word."""


def test_files_go_in_pieces_far_below_the_limit_of_servers() -> None:
    sending = (ROOT / "js/src/session/sendFile.ts").read_text(encoding="utf-8")
    found = re.search(r"CHUNK_SIZE = ([\d *]+);", sending)
    assert found is not None
    page_bytes = 1
    for factor in found[1].split("*"):
        page_bytes *= int(factor)
    assert max(page_bytes, PIECE_BYTES) * 4 <= SERVER_LIMIT


def test_jupyterlab_extension_knows_the_media_that_carry_workflows() -> None:
    carries = (ROOT / "js/lab/carries.ts").read_text(encoding="utf-8")
    found = re.search(r"^const MEDIA = \[(.+)\];$", carries, re.MULTILINE)
    assert found is not None
    assert {f".{each}" for each in re.findall(r'"(\w+)"', found[1])} == WORKFLOW_SUFFIXES


def test_front_end_names_no_other_site() -> None:
    bundles = [*(ROOT / "comfykit_jupyter/notebook/static").iterdir(), *(ROOT / "labextension/static").glob("*.js")]
    assert bundles
    for bundle in bundles:
        text = bundle.read_text(encoding="utf-8")
        addresses = set(re.findall(r"(?:https?:)?//[a-z0-9-]+\.[a-z]{2,}[^\s\"'`)]*", text))
        assert {address for address in addresses if not address.startswith(NAMESPACE)} == set(), bundle.name
        assert "@import" not in text


@pytest.mark.filterwarnings("ignore:Deprecated in traitlets")  # by the oldest ipywidgets
def test_widget_is_one_model_of_anywidget_without_boxes() -> None:
    view = RunView()
    try:
        state = view.get_state()
        assert state["_model_module"] == "anywidget"
        references = [name for name, value in state.items() if str(value).startswith("IPY_MODEL_")]
        assert references == ["layout"]
        assert issubclass(PageWidget, anywidget.AnyWidget)
        assert issubclass(Explorer, PageWidget)
    finally:
        view.close()
