"""Test workflows in editor format, and images that carry their workflow, in a notebook."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.ports import find_free_port

from .kernels import Page, kernel
from .test_form import show_form

EDITOR: dict[str, Any] = {
    "nodes": [
        {
            "id": 1,
            "type": "EmptyImage",
            "widgets_values": [64, 48, 1, 255],
            "outputs": [{"name": "IMAGE", "type": "IMAGE", "links": [1]}],
        },
        {
            "id": 2,
            "type": "SaveImage",
            "widgets_values": ["editor"],
            "inputs": [{"name": "images", "type": "IMAGE", "link": 1}],
        },
    ],
    "links": [[1, 1, 0, 2, 0, "IMAGE"]],
    "version": 0.4,
}
"""A workflow that makes an image; none of its titles names a parameter."""


@pytest.fixture(autouse=True)
def _files(folder: Path) -> None:
    (folder / "editor.json").write_text(json.dumps(EDITOR))


def test_workflow_in_editor_format_runs_with_the_names_that_it_offers(page: Page) -> None:
    cell = page.run("%comfykit params editor.json")
    assert "editor: 3 parameters" in cell.html
    for name in ("width", "height", "batch_size"):
        assert f">{name}<" in cell.html
    cell = page.run("%comfykit run editor.json width=32 1.height=24 -o made")
    assert cell.status == "ok", cell.error
    assert page.value("made.image.pil().size") == "(32, 24)"


def test_empty_stage_shows_the_image_that_the_workflow_came_in(page: Page) -> None:
    page.run("kit.run('picture.json', width=24).image.save('carries.png')")
    model = show_form(page, "kit.form('carries.png')")
    assert model.state["has_origin"] is True
    answer, (data,) = page.ask(model, "media", run="workflow", key="", size="full", offset=0)
    assert (answer["mime"], data[:4]) == ("image/png", b"\x89PNG")
    assert show_form(page, "kit.form('picture.json')").state["has_origin"] is False


def test_image_that_carries_its_workflow_runs_and_makes_a_form(page: Page) -> None:
    page.run("%comfykit run picture.json width=20 -o made")
    assert page.run("_ = made.image.save('made.png')").status == "ok"
    cell = page.run("%comfykit run made.png height=30 -o again")
    assert cell.status == "ok", cell.error
    assert page.value("again.image.pil().size") == "(20, 30)"
    assert page.value("dict(kit.form('made.png').values)") == "{'width': 20, 'height': 48, 'color': 255}"
    assert page.complete("%comfykit run mad") == ["%comfykit run made.png"]
    assert page.complete("%comfykit run ./made.png hei") == ["%comfykit run ./made.png height="]


def test_form_of_a_workflow_in_editor_format_has_the_obvious_fields(page: Page) -> None:
    cell = page.run('form = kit.form("editor.json")\nform')
    model = page.model(cell)
    fields = {field["name"]: field for field in model.state["fields"]}
    assert list(fields) == ["width", "height", "batch_size"]
    page.ask(model, "set", name="width", value=16)
    page.ask(model, "run")
    page.wait(lambda: model.state["status"] == "completed")
    assert page.value("form.result.image.pil().size") == "(16, 48)"


def test_form_of_it_without_a_server_gets_its_fields_when_the_server_is_back(folder: Path) -> None:
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    with kernel(folder, COMFYUI_BASE_URL=url) as page:
        cell = page.run('form = __import__("comfykit_jupyter").ComfyKit().form("editor.json")\nform')
        model = page.model(cell)
        assert (model.state["server"]["state"], model.state["fields"]) == ("unreachable", [])
        with Sandbox(port=port):
            page.ask(model, "hello")
            page.wait(lambda: model.state["fields"])
            assert model.state["values"]["width"] == 64
            page.ask(model, "run")
            page.wait(lambda: model.state["status"] == "completed")
