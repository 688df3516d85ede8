"""Test the outputs of a form, and what outlives the kernel, in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from .lab import Notebook

Open = Callable[..., Notebook]

SETUP = """
import os
from comfykit_jupyter import ComfyKit
kit = ComfyKit()
"""

FORM = f"""{SETUP}
form = kit.form(os.environ["WORKFLOWS"] + "/text_to_image.json", width=256, height=256, steps=4)
form"""

FROM_PICTURE = f"""{SETUP}
source = kit.run(os.environ["WORKFLOWS"] + "/text_to_image.json", width=192, height=128, steps=2).image
form = kit.form(os.environ["WORKFLOWS"] + "/image_to_image.json", image=source, width=192, height=128, steps=2)
form"""


def run_times(form: Locator, times: int) -> Locator:
    """Run the form this many times at once, and return the tiles of the outputs."""
    tiles = form.locator(".ck-gallery .ck-open")
    before = tiles.count()
    form.get_by_label("Number of runs", exact=True).fill(str(times))
    form.get_by_role("button", name="Run", exact=True).click()
    expect(tiles).to_have_count(before + times)
    return tiles


def test_applied_values_of_a_run_reproduce_it(open_notebook: Open) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    form = notebook.output(0)
    prompt = form.get_by_label("Prompt", exact=True)
    prompt.fill("a hare in the grass")
    run_times(form, 2)
    made_by = form.locator("figcaption").nth(1).get_attribute("title")
    prompt.fill("something else")
    form.get_by_label("Steps", exact=True).fill("6")
    tiles = run_times(form, 1)
    tiles.nth(2).hover()
    form.get_by_role("button", name="Reuse values", exact=True).click()
    expect(prompt).to_have_value("a hare in the grass")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_have_text("Nothing changed: the same image")
    expect(tiles).to_have_count(3)
    assert made_by
    assert "a hare in the grass" in made_by


def test_output_is_dragged_into_the_form(open_notebook: Open, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 1400})  # the output and the field are both in sight
    notebook = open_notebook(FROM_PICTURE, "print(form.status, form.result.prompt['1']['inputs']['image'])")
    notebook.run(0)
    form = notebook.output(0)
    tiles = run_times(form, 1)
    field = form.get_by_label("Image", exact=True)
    before = field.input_value()
    tiles.first.drag_to(field)
    expect(field).not_to_have_value(before)
    run_times(form, 1)
    assert notebook.run(1).startswith("completed")


def test_code_of_an_output_reproduces_it(open_notebook: Open, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    notebook = open_notebook(FORM, "", "print(result.image.read() == form.result.image.read())")
    notebook.run(0)
    form = notebook.output(0)
    run_times(form, 1).first.hover()
    form.get_by_role("button", name="Copy as code").click()
    expect(form.get_by_role("button", name="Copied")).to_be_visible()
    notebook.cell(1).locator(".jp-InputArea-editor").click()
    page.keyboard.press("Control+V")
    notebook.run(1)
    assert notebook.run(2).strip() == "True"


def test_discarded_outputs_are_brought_back_to_their_place(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    form = notebook.output(0)
    tiles = run_times(form, 3)
    names = [tile.get_attribute("data-output") for tile in tiles.all()]
    tiles.nth(1).hover()
    form.get_by_role("button", name="Discard outputs").click()
    expect(tiles).to_have_count(2)
    undo = form.get_by_role("button", name="Undo")
    expect(undo).to_be_focused()
    page.keyboard.press("Enter")
    expect(tiles).to_have_count(3)
    assert [tile.get_attribute("data-output") for tile in tiles.all()] == names


def test_two_outputs_are_compared_side_by_side_and_overlaid(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    run_times(notebook.output(0), 2).first.click()
    box = page.get_by_role("dialog")
    expect(box).to_be_visible()
    for key in ("c", "ArrowRight"):
        page.keyboard.press(key)
    pictures = box.locator(".ck-pane img")
    expect(pictures).to_have_count(2)
    left, right = (pictures.nth(index).bounding_box() for index in (0, 1))
    assert left
    assert right
    assert left["x"] + left["width"] <= right["x"]
    page.keyboard.press("+")
    assert pictures.nth(0).get_attribute("style") == pictures.nth(1).get_attribute("style")
    assert "scale(1.25)" in (pictures.nth(0).get_attribute("style") or "")
    page.keyboard.press("d")
    divider = box.get_by_role("slider", name="Divider")
    expect(divider).to_be_focused()
    page.keyboard.press("ArrowLeft")
    expect(divider).to_have_value("49")
    track = divider.bounding_box()
    assert track
    page.mouse.move(track["x"] + 12 + (track["width"] - 24) * 0.49, track["y"] + track["height"] / 2)
    page.mouse.down()
    page.mouse.move(track["x"] + track["width"] * 0.2, track["y"] + track["height"] / 2, steps=4)
    page.mouse.up()
    assert 15 <= int(divider.input_value()) <= 22
    page.keyboard.press("Escape")
    expect(box).to_have_count(0)


def test_draft_outlives_the_kernel_but_code_takes_precedence(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_label("Prompt", exact=True).fill("typed, not run")
    form.get_by_role("spinbutton", name="Steps", exact=True).fill("9")
    form.get_by_role("spinbutton", name="Steps", exact=True).press("Enter")
    page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.session.kernel.restart()")
    notebook.wait_for_kernel()
    notebook.run(0)
    expect(notebook.output(0).get_by_label("Prompt", exact=True)).to_have_value("typed, not run")
    expect(notebook.output(0).get_by_role("spinbutton", name="Steps", exact=True)).to_have_value("4")


def test_seeds_are_incremented_from_run_to_run(open_notebook: Open) -> None:
    notebook = open_notebook(FORM, "print(form.values['seed'])")
    notebook.run(0)
    form = notebook.output(0)
    seed = form.get_by_label("Seed", exact=True)
    seed.fill("18446744073709551610")
    seed.press("Enter")
    form.get_by_role("radiogroup", name="Seed after each run").get_by_label("increment").check()
    run_times(form, 3)
    expect(seed).to_have_value("18446744073709551613")
    assert notebook.run(1).strip() == "18446744073709551613"
    captions = form.locator("figcaption")
    last, second, first = (caption.split(" · ") for caption in captions.all_inner_texts())
    assert (last[0], second[0]) == ("Seed …1612", "Seed …1611")
    assert first[0] == "Width 256"  # there is no run before it: what the form changed comes first
    assert "Seed …1610" in first
    assert "seed: 18446744073709551612" in (captions.first.get_attribute("title") or "")


def test_thousand_outputs_use_few_elements(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(
        FORM,
        """
brief = dict(status="completed", seconds=1.0, seeds={}, changed={}, error=None, workflow="w", server="s")
item = dict(kind="image", name="a.png", node="Save", var="", temp=False, mime="image/png")
form.runs = [dict(brief, id=f"r{r}", items=[dict(item, key=str(i)) for i in range(10)]) for r in range(100)]
""",
    )
    notebook.run(0)
    notebook.run(1)
    gallery = notebook.output(0).get_by_role("group", name="Outputs")
    expect(gallery).to_be_visible()
    height = gallery.evaluate("box => box.scrollHeight")
    assert height > 5_000
    for part in (0, 0.3, 0.7, 1):
        gallery.evaluate("(box, top) => { box.scrollTop = top }", part * height)
        expect(gallery.locator(".ck-open").first).to_be_visible()
        assert notebook.output(0).locator(".ck-root *").count() <= 500
    # The last tile is present and can be reached by keyboard.
    gallery.locator(".ck-open").last.focus()
    expect(gallery.locator(".ck-open").last).to_be_in_viewport()
