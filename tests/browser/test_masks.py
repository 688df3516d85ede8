"""Test the painter of masks in a real JupyterLab: by mouse, by pen and by keys, and what reaches the server."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import Notebook
from .test_accessible import AXE, CHANGE_THEME, CHECK

Open = Callable[..., Notebook]

FORM = """
import os
from PIL import Image
from comfykit_jupyter import ComfyKit
exif = Image.Exif(); exif[0x0112] = 6
Image.linear_gradient("L").resize((300, 200)).convert("RGB").save("photo.jpg", exif=exif)
workflow = os.environ["WORKFLOWS"] + "/image_to_image.json"
form = ComfyKit().form(workflow, image="photo.jpg", width=64, height=96, steps=1)
form"""
READ = """
import numpy as np
value = form.values["image"]
mask = np.asarray(value.open_mask())
print(value.size, mask[150, 100], mask[5, 5], sorted(set(mask.ravel().tolist())), int((mask > 0).mean() * 100))"""


@pytest.fixture
def painter(open_notebook: Open, page: Page) -> tuple[Notebook, Locator]:
    """A notebook with a form, and its painter, which is open."""
    notebook = open_notebook(FORM, READ)
    notebook.run(0)
    notebook.output(0).get_by_role("button", name="Mask…").click()
    dialog = page.get_by_role("dialog", name="Mask of")
    expect(dialog.get_by_role("button", name="Invert")).to_be_visible()
    expect(dialog.get_by_role("slider")).to_have_attribute("aria-valuetext", "17 px")
    return notebook, dialog


def close(notebook: Notebook, dialog: Locator, page: Page) -> None:
    page.keyboard.press("Escape")
    expect(dialog).not_to_be_visible()
    expect(notebook.output(0).get_by_role("button", name="Clear the mask")).to_be_visible()


def read(notebook: Notebook) -> Locator:
    notebook.run(1)
    return notebook.output(1)


def find_middle(stage: Locator) -> tuple[float, float]:
    box = stage.bounding_box()
    assert box is not None
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 2


def test_one_finger_paints_and_two_zoom(painter: tuple[Notebook, Locator], page: Page) -> None:
    _, dialog = painter
    stage = dialog.get_by_role("application")
    x, y = find_middle(stage)
    ring = stage.locator(".ck-painter-ring")
    devtools = page.context.new_cdp_session(page)

    def touch(kind: str, *points: tuple[float, float]) -> None:
        touches = [{"x": left, "y": top, "id": number} for number, (left, top) in enumerate(points)]
        devtools.send("Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": touches})

    def measure() -> float:
        box = ring.bounding_box()
        assert box is not None
        return box["width"]

    before = measure()
    touch("Start", (x, y))
    touch("Start", (x, y), (x + 50, y))
    touch("Move", (x - 25, y), (x + 75, y))
    touch("End")
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    page.wait_for_function("([ring, least]) => ring.clientWidth > least", arg=[ring.element_handle(), 1.8 * before])
    assert measure() < 2.2 * before
    touch("Start", (x, y))
    touch("Move", (x + 40, y))
    touch("End")
    expect(dialog.get_by_role("button", name="Undo")).to_be_enabled()
    # The keys keep their brush in sight.
    stage.focus()
    for _ in range(12):
        page.keyboard.press("Shift+ArrowUp")
    shown, inside = stage.bounding_box(), ring.bounding_box()
    assert shown is not None
    assert inside is not None
    assert inside["y"] + inside["height"] > shown["y"]
    page.evaluate(AXE.read_text())
    assert page.evaluate(CHECK) == []
    try:
        page.evaluate(CHANGE_THEME, "JupyterLab Dark")
        assert page.evaluate(CHECK) == []
    finally:
        page.evaluate(CHANGE_THEME, "JupyterLab Light")


def test_strokes_come_back_with_a_new_page(painter: tuple[Notebook, Locator], page: Page) -> None:
    notebook, dialog = painter
    page.mouse.move(*find_middle(dialog.get_by_role("application")))
    page.mouse.down()
    page.mouse.up()
    close(notebook, dialog, page)
    notebook.save()
    notebook.reload()
    notebook.wait_for_kernel()
    notebook.output(0).get_by_role("button", name="Mask…").click()
    expect(dialog.get_by_role("button", name="Undo")).to_be_enabled()
    page.keyboard.press("Control+z")
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    page.keyboard.press("Escape")
    expect(read(notebook)).to_contain_text("(200, 300) 0 0 [0]")


def test_mouse_pen_and_keys_paint_the_same_mask(painter: tuple[Notebook, Locator], page: Page) -> None:
    notebook, dialog = painter
    stage = dialog.get_by_role("application")
    x, y = find_middle(stage)
    for _ in range(5):
        page.keyboard.press("]")
    # By mouse.
    page.mouse.move(x - 20, y)
    page.mouse.down()
    page.mouse.move(x + 20, y, steps=5)
    page.mouse.up()
    close(notebook, dialog, page)
    expect(read(notebook)).to_contain_text("(200, 300) 255 0 [0, 255]")
    # The strokes were kept, and are undone.
    notebook.output(0).get_by_role("button", name="Mask…").click()
    page.keyboard.press("Control+z")
    expect(dialog.get_by_role("button", name="Undo")).to_be_disabled()
    # By a pen.
    pen = f"""stage => {{
        const fire = (type, x) => stage.dispatchEvent(new PointerEvent(type, {{
            pointerType: "pen", pointerId: 7, pressure: 0.5, bubbles: true, clientX: x, clientY: {y} }}));
        stage.setPointerCapture = () => {{}};
        fire("pointerdown", {x - 20});
        fire("pointermove", {x});
        fire("pointermove", {x + 20});
        fire("pointerup", {x + 20});
    }}"""
    stage.evaluate(pen)
    close(notebook, dialog, page)
    expect(read(notebook)).to_contain_text("(200, 300) 255 0 [0, 255]")
    # By keys: invert, and back by undo; then a line with the arrows.
    notebook.output(0).get_by_role("button", name="Mask…").click()
    page.keyboard.press("Control+z")
    stage.focus()
    page.keyboard.press("i")
    page.keyboard.press(" ")
    for _ in range(4):
        page.keyboard.press("ArrowRight")
    page.keyboard.press(" ")
    close(notebook, dialog, page)
    expect(read(notebook)).to_contain_text("(200, 300) 255 255 [255]")
    notebook.output(0).get_by_role("button", name="Clear the mask").click()
    expect(notebook.output(0).get_by_role("button", name="Clear the mask")).not_to_be_visible()
