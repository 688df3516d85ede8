"""Test in a real kernel that a form of an untitled workflow has names in words, and all other inputs on request."""

from __future__ import annotations

from typing import Any

from .kernels import Page
from .test_form import show_form, wait_for_run

GRAPH: dict[str, Any] = {
    "1": {"class_type": "EmptyImage", "inputs": {"width": 16, "height": 8, "batch_size": 1, "color": 255}},
    "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "all"}},
}


def test_a_form_has_words_and_addresses_mean_the_same_values(page: Page) -> None:
    model = show_form(page, f"kit.form({GRAPH!r})")
    assert [(field["name"], field["label"], field["address"]) for field in model.state["fields"]][:2] == [
        ("width", "Width", "EmptyImage.width"),
        ("height", "Height", "EmptyImage.height"),
    ]
    assert page.run("form.values['EmptyImage.width'] = 24").status == "ok"
    page.wait(lambda: model.state["values"]["width"] == 24)
    assert page.value("form.values['1.width'], 'EmptyImage.width' in list(form.values)") == "(24, False)"


def test_all_other_inputs_are_there_on_request_and_are_sent_with_a_run(page: Page) -> None:
    model = show_form(page, f"kit.form({GRAPH!r})")
    offered = {field["name"] for field in model.state["fields"]}
    others = {field["name"]: field for field in page.ask(model, "inputs")[0]["fields"]}
    assert set(others) == {"EmptyImage.color", "SaveImage.filename_prefix"}
    assert not offered & set(others)
    assert others["SaveImage.filename_prefix"]["label"] == "File name prefix"
    assert others["EmptyImage.color"]["default"] == 255
    page.ask(model, "set", name="EmptyImage.color", value=7)
    page.ask(model, "run")
    run = wait_for_run(page, model, "completed")
    assert run["changed"] == {"EmptyImage.color": 7}
    assert page.value("form.result.prompt['1']['inputs']['color'], form.result.params['width']") == "(7, 16)"
    page.ask(model, "set", name="EmptyImage.color", reset=True)
    assert "EmptyImage.color" not in model.state["values"]


def test_params_lists_the_names_of_the_form_and_with_all_the_other_inputs(page: Page) -> None:
    page.run(f"graph = {GRAPH!r}")
    short = page.run("%comfykit params {graph}").bundles[0]["text/plain"]
    assert "width" in short
    assert "EmptyImage.color" not in short
    assert "EmptyImage.color" in page.run("%comfykit params {graph} --all").bundles[0]["text/plain"]
