"""Test that the notebook gets no keys of the form, and the form none of the notebook, with real keys in JupyterLab."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from .lab import Notebook

Open = Callable[..., Notebook]

FORM = """
import os
from comfykit_jupyter import ComfyKit
kit = ComfyKit()
picture = kit.run(os.environ["WORKFLOWS"] + "/text_to_image.json", width=64, height=64, steps=2).image
form = kit.form(os.environ["WORKFLOWS"] + "/image_to_image.json", image=picture, width=64, height=64, steps=2)
form"""

KEYS = ("a", "b", "d", "d", "m", "x", "z", "0", "0", "j", "k", "ArrowDown", "Escape", "Shift+M", "Shift+Enter")
"""Commands of a notebook: cells are inserted, deleted, moved and run, and the kernel is restarted."""

CONTROLS = "button, input:not([type=file], [aria-hidden]), select, textarea, summary"
FOCUS_NEXT = f"""(root, index) => {{
    const controls = [...root.querySelectorAll({CONTROLS!r})];
    const control = controls.filter((each) => each.checkVisibility() && !each.disabled)[index];
    control?.focus();
    if (control && document.activeElement !== control) throw new Error(`no focus: ${{control.outerHTML}}`);
    return control ? control.outerHTML.slice(0, 100) : "";
}}"""


def is_untouched(page: Page) -> bool:
    """Return whether the notebook still has its two cells, asks nothing, and has left the focus where it was."""
    return bool(
        page.evaluate(
            """() => document.querySelectorAll(".jp-Notebook .jp-Cell").length === 2
                && !document.querySelector(".jp-Dialog") && !!document.activeElement.closest(".ck-root")"""
        )
    )


def press_keys(root: Locator, page: Page) -> list[str]:
    """Press all keys on each control, and return the controls whose keys have reached the notebook."""
    reached = []
    index = 0
    while control := str(root.evaluate(FOCUS_NEXT, index)):
        for key in KEYS:
            page.keyboard.press(key)
        if not is_untouched(page):
            reached.append(control)
        if root.locator("dialog[open]").count():  # Enter has opened it
            page.keyboard.press("Escape")
            expect(root.locator("dialog[open]")).to_have_count(0)
        index += 1
    assert index > 10
    return reached


def test_no_key_on_a_control_reaches_the_notebook(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM, "print('second')")
    notebook.run(0)
    root = notebook.output(0).locator(".ck-root")
    root.get_by_role("button", name="Run", exact=True).click()
    expect(root.get_by_role("status").first).to_contain_text("Done in")
    expect(root.locator(".ck-gallery .ck-open")).to_have_count(1)
    assert press_keys(root, page) == []
    assert notebook.text(1) == ""


def test_keyboard_alone_fills_and_runs_the_form(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(
        FORM, "print(form.values['prompt'], form.values['seed'], form.values['width'], form.status)"
    )
    notebook.run(0)
    root = notebook.output(0).locator(".ck-root")
    prompt = root.get_by_label("Prompt", exact=True)
    prompt.focus()
    page.keyboard.press("Control+A")
    page.keyboard.type("a fox")
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("() => document.activeElement.type === 'radio'"):
            break
    page.keyboard.press("ArrowRight")
    expect(root.get_by_role("radio", name="fixed")).to_be_checked()
    expect(root.get_by_role("radio", name="fixed")).to_be_focused()
    root.get_by_label("Width", exact=True).focus()
    for key in ("Control+A", "9", "6", "Enter", "Control+Enter"):
        page.keyboard.press(key)
    expect(root.get_by_role("status").first).to_contain_text("Done in")
    said = notebook.run(1).split()
    assert said[:2] == ["a", "fox"]
    assert said[2].isdecimal()
    assert said[3:] == ["96", "completed"]


def test_reset_keeps_the_focus_in_its_row(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM)
    notebook.run(0)
    root = notebook.output(0).locator(".ck-root")
    root.get_by_role("button", name="Reset Steps").press("Enter")
    expect(root.get_by_role("spinbutton", name="Steps", exact=True)).to_be_focused()
    expect(root.get_by_role("button", name="Reset Steps")).to_have_count(0)
