"""Test that axe-core finds no problem in any state of a form, or of two, in three themes of JupyterLab."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from tests.client.test_missing import make_graph

from .lab import ROOT, Notebook

Open = Callable[..., Notebook]

AXE = ROOT / "js/node_modules/axe-core/axe.min.js"

FORM = """
import os
from comfykit_jupyter import ComfyKit
kit = ComfyKit()
picture = kit.run(os.environ["WORKFLOWS"] + "/text_to_image.json", width=192, height=128, steps=2).image
with open("broken.png", "wb") as file:
    file.write(b"\\x89PNG\\r\\n\\x1a\\n")
form = kit.form(os.environ["WORKFLOWS"] + "/image_to_image.json", width=192, height=128, steps=2)
form"""

SECOND = """
second = kit.form(os.environ["WORKFLOWS"] + "/text.json")
second.run().result()
second"""

CHECK = """async () => {
  const part = document.querySelector("dialog[open]") ?? { include: [[".ck-root"]] };
  const { violations } = await axe.run(part, { resultTypes: ["violations"] });
  return violations.map(({ id, nodes }) => `${id}: ${nodes.map(({ html }) => html.slice(0, 200)).join(" | ")}`);
}"""


CHANGE_THEME = """async theme => {
  await window.jupyterapp.commands.execute("apputils:change-theme", { theme });
  while (document.body.dataset.jpThemeName !== theme) await new Promise(requestAnimationFrame);
}"""


@pytest.fixture(autouse=True)
def _light_again(page: Page) -> Iterator[None]:
    yield
    page.evaluate(CHANGE_THEME, "JupyterLab Light")


THEMES = ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"]

LACKING = f"""
from comfykit_jupyter import ComfyKit
graph = {make_graph()!r}
graph["nodes"].append({{"id": 9, "type": "GlowUp", "properties": {{"cnr_id": "glow-pack"}}}})
form = ComfyKit().form(graph)
form"""

SET_DOWNLOADS = """
state = {"received": 5, "total": 9, "host": "cdn.example", "verified": False, "message": ""}
offered = next(each for each in form.missing if each["downloadable"])
form.missing = [
    *(each for each in form.missing if each is not offered),
    *({**offered, "name": f"{status}.safetensors", "parameter": "", "download": {**state, "status": status, **more}}
      for status, more in {"running": {}, "checking": {}, "completed": {}, "failed": {"message": "disk full"}}.items()),
    *({**offered, "name": f"model {index}.safetensors", "parameter": ""} for index in range(20)),
]"""


@pytest.mark.parametrize("theme", THEMES)
def test_axe_finds_no_problem(open_notebook: Open, page: Page, theme: str) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not there: npm ci in js/")
    page.evaluate(CHANGE_THEME, theme)
    notebook = open_notebook(
        FORM,
        "form.values['image'] = picture",
        "form.values['steps'] = 2000",
        SECOND,
        "form.values['image'] = 'away.png'",
        "form.values['image'] = 'broken.png'",
    )
    notebook.run(0)
    notebook.run(3)
    form = notebook.output(0)
    page.evaluate(AXE.read_text())
    status = form.get_by_role("status").first
    press = form.get_by_role("button", name="Run", exact=True).click

    assert page.evaluate(CHECK) == []
    press()  # the image is missing
    expect(form.get_by_label("Image", exact=True)).to_be_focused()
    assert page.evaluate(CHECK) == []
    notebook.run(4)
    press()
    expect(form.locator("[id$=-image-error]")).to_contain_text("there is no file 'away.png'")
    expect(status).to_be_empty()  # nothing was sent, so no run has failed
    assert page.evaluate(CHECK) == []
    notebook.run(5)
    press()
    expect(status).to_contain_text("Failed")
    assert page.evaluate(CHECK) == []
    notebook.run(1)
    for _ in range(2):
        press()
        expect(status).to_contain_text("Done in")
        expect(form.get_by_role("progressbar", name="Progress")).to_have_count(0)
    tiles = form.locator(".ck-gallery .ck-open")
    expect(tiles).to_have_count(2)
    tiles.first.hover()
    form.get_by_label("Width", exact=True).fill("999999")
    assert page.evaluate(CHECK) == []
    form.get_by_label("Width", exact=True).fill("192")
    notebook.run(2)
    press()
    expect(form.get_by_role("progressbar", name="Progress")).to_be_visible()
    assert page.evaluate(CHECK) == []
    form.get_by_role("button", name="Cancel", exact=True).click()
    expect(status).to_contain_text("Cancelled")
    tiles.first.click()
    for key in ("i", "?", "c", "ArrowRight", "d"):
        page.keyboard.press(key)
        assert page.evaluate(CHECK) == []


def test_axe_finds_no_problem_in_missing_files_and_all_inputs(open_notebook: Open, page: Page) -> None:
    if not AXE.is_file():
        pytest.skip("axe-core is not there: npm ci in js/")
    notebook = open_notebook(LACKING, SET_DOWNLOADS, LACKING)
    notebook.run(0)
    notebook.run(2)  # the same form once more: two on a page
    page.evaluate(AXE.read_text())
    form, second = notebook.output(0), notebook.output(2)
    missing = form.get_by_role("group", name="Missing on the server")
    for each in (form, second):
        expect(each.get_by_role("group", name="Missing on the server")).to_contain_text(
            "2 files and 1 node are missing"
        )
        each.get_by_text("All inputs").click()
        expect(each.get_by_role("searchbox", name="Search all inputs")).to_be_visible()
        expect(each.get_by_text("more inputs")).to_be_visible()
    second.get_by_role("searchbox", name="Search all inputs").fill("no such input")
    missing.get_by_role("button", name="Download", exact=True).click()
    expect(missing.get_by_role("button", name="Yes, download from models.example")).to_be_focused()
    for theme in THEMES:
        page.evaluate(CHANGE_THEME, theme)
        assert page.evaluate(CHECK) == []

    notebook.run(1)  # which is about the second form
    missing = second.get_by_role("group", name="Missing on the server")
    expect(missing.get_by_role("progressbar")).to_have_count(2)
    expect(missing.get_by_text("disk full")).to_be_visible()
    items = missing.get_by_role("list")
    items.focus()
    page.keyboard.press("End")  # a long list scrolls by keyboard, and JupyterLab does not get the key
    expect(missing.get_by_text("model 19.safetensors")).to_be_in_viewport()
    for theme in reversed(THEMES):
        page.evaluate(CHANGE_THEME, theme)
        assert page.evaluate(CHECK) == []
