"""Test that nothing a notebook keeps has the address of a server."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from comfykit_jupyter.client.results.wording import hide_address
from comfykit_jupyter.sandbox import Sandbox

from .kernels import Page, kernel
from .test_form import show_form, wait_for_run

CELLS = [
    "%comfykit run picture.json width=8",
    "%comfykit run picture.json width=8 --dry-run",
    "%comfykit run boom.json",
    "%comfykit params picture.json",
    "%comfykit queue",
    "%comfykit history",
    "%comfykit models",
    "%comfykit models checkpoints",
    "result",
    "result.image",
    "result.images",
    "kit.load(result.image)",
    "kit.form('boom.json').run().done",
]


def list_kept(page: Page) -> list[str]:
    """List everything that a notebook keeps: the outputs of its cells, and the states of its widgets."""
    outputs = [json.dumps(bundle) for cell in page.cells.values() for bundle in cell.bundles]
    states = [json.dumps(state) for model in page.models.values() for state in [model.state, *model.history]]
    return outputs + states


def test_nothing_that_a_notebook_keeps_has_the_address_of_the_server(
    page: Page, sandbox: Sandbox, folder: Path
) -> None:
    host = sandbox.url.partition("://")[2]
    (folder / "boom.json").write_text(json.dumps({"1": {"class_type": "LoadImage", "inputs": {"image": "lost.png"}}}))
    page.run("result = kit.run('picture.json', width=8)")
    for cell in CELLS:
        page.run(cell)
    model = show_form(page, "kit.form('image_to_image.json', image=str(result.image), width=8)")
    assert model.server["address"] == host
    assert page.value("form.values['image']") == page.value("result.image.server_name")
    page.run("form.values['image'] = result.image")
    page.ask(model, "set", name="image", value=page.value("str(result.image)").strip("'"))
    page.run("try:\n    form.run().result()\nexcept Exception:\n    pass")
    page.ask(model, "run")
    page.wait(lambda: model.state["runs"])
    kept = list_kept(page)
    assert len(kept) > 20
    assert [each for each in kept if host in each] == []


def test_failures_of_an_absent_server_are_kept_without_its_address(folder: Path) -> None:
    with kernel(folder, COMFYUI_BASE_URL="http://127.0.0.1:9") as page:
        page.run("from comfykit_jupyter import ComfyKit\nkit = ComfyKit(patience=0.1)")
        model = show_form(page, "kit.form('text_to_image.json')")
        page.ask(model, "run")
        wait_for_run(page, model, "failed")
        assert model.state["runs"][0]["error"]["message"].startswith("no ComfyUI server at its address: start it")
        page.run("kit.options(raise_on_error=False).run('text_to_image.json')")
        page.run("kit.options(raise_on_error=False).attach('some-job').result()")
        assert model.server["address"] == "127.0.0.1:9"
        assert [each for each in list_kept(page) if "127.0.0.1:9" in each] == []


@pytest.mark.parametrize(
    ("text", "hidden"),
    [
        ("no ComfyUI server at http://gpu-box:8188: start it", "no ComfyUI server at its address: start it"),
        ("http://gpu-box:8188 answers 500 to /prompt", "the server answers 500 to /prompt"),
        ("it came from gpu-box:8188", "it came from the server"),
        ("http://other:8188 is not meant", "http://other:8188 is not meant"),
    ],
)
def test_address_is_hidden(text: str, hidden: str) -> None:
    assert hide_address(text, "http://gpu-box:8188") == hidden
    assert hide_address(text, "") == text


def test_host_that_is_a_word_is_hidden_in_addresses_only() -> None:
    assert (
        hide_address("http://comfy answers 500: comfy is busy", "http://comfy")
        == "the server answers 500: comfy is busy"
    )
