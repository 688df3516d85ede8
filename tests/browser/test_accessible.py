"""Test that axe-core finds no problem in any state of the form, in three themes of JupyterLab."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

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


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark", "JupyterLab Dark High Contrast"])
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
        expect(status).to_contain_text("Done in", timeout=30_000)
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
