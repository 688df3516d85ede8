"""Test the form as users see it, in JupyterLab."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

from PIL import Image
from playwright.sync_api import Locator, Page, expect

from comfykit_jupyter.sandbox.interface.node import Context, Output, node

from .lab import Notebook

Open = Callable[..., Notebook]

SETUP = """
import os
from comfykit_jupyter import ComfyKit
WORKFLOWS = os.environ["WORKFLOWS"]
kit = ComfyKit()
"""

FORM = f'{SETUP}\nform = kit.form(f"{{WORKFLOWS}}/text_to_image.json", width=256, height=256, steps=12)\nform'


def is_decoded(picture: Locator) -> bool:
    """Return whether the browser has decoded an image."""
    handle = picture.element_handle()
    return bool(handle and handle.evaluate("async img => { await img.decode(); return img.naturalWidth > 0 }"))


def test_typed_prompt_runs_and_its_image_is_in_page_and_python(open_notebook: Open) -> None:
    notebook = open_notebook(
        FORM, "print(form.status, form.result.params['prompt'], form.result.image.pil().size, form.values['steps'])"
    )
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_label("Prompt", exact=True).fill("a lighthouse at dusk, ink")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    picture = form.locator("img:visible").first
    expect(picture).to_be_visible()
    assert is_decoded(picture)
    assert "lighthouse" in (picture.get_attribute("alt") or "")
    assert notebook.run(1).strip() == "completed a lighthouse at dusk, ink (256, 256) 12"


def test_every_control_is_named_by_its_label(open_notebook: Open) -> None:
    notebook = open_notebook(FORM, "print(*[field.label for field in form.get_fields()], sep=', ')")
    notebook.run(0)
    for name in notebook.run(1).strip().split(", "):
        expect(notebook.output(0).get_by_label(name, exact=True).first).to_be_visible()


def test_python_and_the_page_set_the_same_values(open_notebook: Open) -> None:
    seed = 2**64 - 3
    notebook = open_notebook(
        FORM,
        f"form.values['steps'] = 7; form.values['seed'] = {seed}",
        "print(form.values['steps'], form.values['seed'])",
    )
    notebook.run(0)
    form = notebook.output(0)
    notebook.run(1)
    steps, seed_field = form.get_by_role("spinbutton", name="Steps", exact=True), form.get_by_label("Seed", exact=True)
    expect(steps).to_have_value("7")
    expect(seed_field).to_have_value(str(seed))
    steps.fill("3*3")
    steps.press("Enter")
    seed_field.fill(str(seed + 1))
    seed_field.press("Enter")
    expect(steps).to_have_value("9")
    assert notebook.run(2).strip() == f"9 {seed + 1}"


def test_wrong_value_is_reported_at_its_field(open_notebook: Open) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    steps = notebook.output(0).get_by_role("spinbutton", name="Steps", exact=True)
    steps.fill("many")
    steps.press("Enter")
    expect(steps).to_have_attribute("aria-invalid", "true")


def press_slowly(button: Locator) -> None:
    """Press a button near its lower edge, and release the pointer when the page has rendered what that changed."""
    box = button.bounding_box()
    assert box is not None
    mouse = button.page.mouse
    mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] - 3)
    mouse.down()
    button.page.evaluate("() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert button.bounding_box() != box, "the page has not moved the button"
    mouse.up()


def test_missing_file_gets_the_focus_and_nothing_is_sent(open_notebook: Open, page: Page) -> None:
    page.set_viewport_size({"width": 1280, "height": 1400})  # the whole form is in sight, so that Run follows its end
    notebook = open_notebook(
        f'{SETUP}\nform = kit.form(f"{{WORKFLOWS}}/image_to_image.json", steps=2)\nform',
        "print(form.status, form.result, len(kit.history()))",
    )
    notebook.run(0)
    form = notebook.output(0)
    image = form.get_by_label("Image", exact=True)
    before = notebook.run(1).split()
    form.get_by_role("button", name="Run", exact=True).click()
    expect(image).to_be_focused()
    expect(form.get_by_text("choose an image")).to_be_visible()
    image.fill("/nowhere/anna.png")
    press_slowly(form.get_by_role("button", name="Run", exact=True))
    expect(image).to_have_attribute("aria-invalid", "true")
    expect(image).to_be_focused()
    expect(form.get_by_text("Failed")).to_have_count(0)
    assert notebook.run(1).split()[-1] == before[-1]


def test_run_button_and_stage_stay_in_sight_beside_a_long_form(open_notebook: Open, page: Page) -> None:
    node = {"class_type": "CLIPTextEncode", "inputs": {"text": "a", "clip": ["9", 1]}}
    nodes = {str(n): {**node, "_meta": {"title": f"$text{n}.text"}} for n in range(10, 34)}
    nodes["9"] = {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x"}}
    notebook = open_notebook(f"{SETUP}\nform = kit.form({nodes!r})\nform")
    notebook.run(0)
    form = notebook.output(0)
    run = form.get_by_role("button", name="Run", exact=True)
    form.get_by_label("Text10", exact=True).scroll_into_view_if_needed()
    expect(run).to_be_in_viewport()
    form.get_by_label("Text33", exact=True).scroll_into_view_if_needed()
    expect(run).to_be_in_viewport()
    expect(form.locator(".ck-stage")).to_be_in_viewport()


def test_run_is_cancelled_from_the_page(open_notebook: Open) -> None:
    notebook = open_notebook(FORM, "print(form.status, form.result.error.kind, kit.server().running)")
    notebook.run(0)
    form = notebook.output(0)
    steps = form.get_by_role("spinbutton", name="Steps", exact=True)
    steps.fill("2000")
    steps.press("Enter")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("progressbar")).to_be_visible()
    expect(form.get_by_text("2000").first).to_be_visible()
    form.get_by_role("button", name="Cancel", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Cancelled")
    assert notebook.run(1).strip() == "cancelled cancelled 0"


def test_reload_during_a_run_stays_live(open_notebook: Open) -> None:
    notebook = open_notebook(FORM, "form.cancel()")
    notebook.run(0)
    form = notebook.output(0)
    steps = form.get_by_role("spinbutton", name="Steps", exact=True)
    steps.fill("9000")
    steps.press("Enter")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("progressbar")).to_be_visible()
    notebook.save()
    notebook.reload()
    bar = notebook.output(0).get_by_role("progressbar")
    expect(bar).to_be_visible()
    before = bar.get_attribute("aria-valuetext")
    expect(bar).not_to_have_attribute("aria-valuetext", before or "")
    expect(notebook.output(0).get_by_role("img", name="Preview")).to_be_visible()
    notebook.output(0).get_by_role("button", name="Cancel", exact=True).click()
    expect(notebook.output(0).get_by_role("status").first).to_contain_text(re.compile("cancelled", re.IGNORECASE))


def test_image_is_uploaded_and_used(open_notebook: Open) -> None:
    notebook = open_notebook(
        f'{SETUP}\nform = kit.form(f"{{WORKFLOWS}}/image_to_image.json", steps=4, width=192, height=128)\nform',
        "print(form.status, form.result.image.pil().size, form.result.prompt['1']['inputs']['image'][:9])",
    )
    notebook.run(0)
    form = notebook.output(0)
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((192, 128)).convert("RGB").save(buffer, "PNG")
    form.locator("input[type=file]").first.set_input_files(
        {"name": "gradient.png", "mimeType": "image/png", "buffer": buffer.getvalue()}
    )
    expect(form.get_by_label("Image", exact=True)).to_have_value("gradient.png")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    assert notebook.run(1).strip() == "completed (192, 128) comfykit-"


@node(
    "BrowserTags",
    display_name="Tags",
    category="tests",
    required={"tags": ("COMBO", {"multiselect": True, "options": [f"a long folder/tag {n}" for n in range(2_000)]})},
    returns=("STRING",),
)
def tags_of(_: Context, tags: list[str]) -> Output:
    """Return the chosen tags."""
    return Output((", ".join(tags),))


def test_several_choices_are_found_selected_and_run(open_notebook: Open) -> None:
    workflow = {
        "1": {"class_type": "BrowserTags", "inputs": {"tags": {"__value__": []}}, "_meta": {"title": "$tags"}},
        "2": {"class_type": "PreviewAny", "inputs": {"source": ["1", 0]}},
    }
    notebook = open_notebook(f"{SETUP}\nform = kit.form({workflow!r})\nform", "print(form.values['tags'])")
    notebook.run(0)
    form = notebook.output(0)
    field = form.get_by_role("combobox", name="tags")
    for number in (1999, 7, 1500):
        field.fill(f"long {number}")
        expect(form.get_by_role("option").first).to_have_text(f"a long folder/tag {number}")
        field.press("Enter")
    form.get_by_role("button", name="Remove a long folder/tag 7").click()
    expect(form.get_by_role("list", name="tags").get_by_role("listitem")).to_have_count(2)
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    expect(form.get_by_text("a long folder/tag 1999, a long folder/tag 1500").first).to_be_visible()
    assert notebook.run(1).strip() == "['a long folder/tag 1999', 'a long folder/tag 1500']"


def test_video_plays_in_the_page(open_notebook: Open) -> None:
    notebook = open_notebook(f'{SETUP}\nform = kit.form(f"{{WORKFLOWS}}/video.json")\nform')
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    if not form.locator("video").count():
        form.get_by_role("button", name="Play").first.click()
    video = form.locator("video").first
    expect(video).to_be_visible()
    notebook.page.wait_for_function("video => video.videoWidth > 0", arg=video.element_handle())


FILM = """
import json
from pathlib import Path
from PIL import Image
graph = json.loads(Path(f"{WORKFLOWS}/video.json").read_text())
graph["90"] = {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "$image.image!"}}
graph["91"] = {"class_type": "PreviewImage", "inputs": {"images": ["90", 0]}}
form = kit.form(graph, image=Image.new("RGB", (8, 8)), width=64, height=64, steps=2)
form"""


def test_frame_of_a_video_becomes_an_input(open_notebook: Open) -> None:
    notebook = open_notebook(SETUP + FILM, "Image.open(form.values['image']).size")
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    form.locator(".ck-gallery .ck-open").first.click()
    box = form.page.get_by_role("dialog")
    use = box.get_by_role("button", name="Use this frame")
    for _ in range(2):
        if not use.count():
            form.page.keyboard.press("ArrowRight")
            expect(use).to_be_visible()
    video = box.locator("video")  # the lightbox plays it by itself
    form.page.wait_for_function("video => video.readyState > 2", arg=video.element_handle())
    # A video zooms as an image does; its own controls are there while it is whole.
    expect(video).to_have_js_property("controls", True)
    form.page.keyboard.press("+")
    expect(video).to_have_attribute("style", re.compile(r"scale\(1\.[0-9]+\)"))
    expect(video).to_have_js_property("controls", False)
    video.dblclick()
    expect(video).to_have_js_property("controls", True)
    use.click()
    expect(box.get_by_role("button", name="Frame used")).to_be_visible()
    form.page.keyboard.press("Escape")
    assert notebook.run(1).strip().endswith("(64, 64)")


def test_two_views_stay_synchronized(open_notebook: Open) -> None:
    notebook = open_notebook(FORM, "form")
    notebook.run(0)
    notebook.run(1)
    first, second = (notebook.output(index).get_by_label("Prompt", exact=True) for index in (0, 1))
    expect(second).to_be_visible()
    first.fill("one mind")
    expect(second).to_have_value("one mind")


def test_browser_requests_nothing_from_the_server(open_notebook: Open, page: Page, sandbox: object) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    notebook = open_notebook(FORM)
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("status").first).to_contain_text("Done in")
    assert asked
    assert not [url for url in asked if url.startswith(sandbox.url)]  # type: ignore[attr-defined]
