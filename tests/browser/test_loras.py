"""Test the section for a stack of LoRAs in JupyterLab, by mouse and by keys."""

from __future__ import annotations

import re
from collections.abc import Callable

from playwright.sync_api import Locator, Page, expect

from .lab import Notebook
from .test_accessible import AXE, CHANGE_THEME, CHECK

Open = Callable[..., Notebook]

FORM = """
import json, os
from pathlib import Path
from comfykit_jupyter import ComfyKit
graph = json.loads(Path(os.environ["WORKFLOWS"], "text_to_image.json").read_text())
Path("portrait.json").write_text(json.dumps(graph))
kit = ComfyKit(runs="lora-runs")
form = kit.form("portrait.json", width=64, height=64, steps=2, seed=1)
form"""
READ = "print([(name.split('-')[1][:6].strip(' ('), strength) for name, strength in form.loras.items()])"
RESULT = "print(form.result.loras == form.loras, len(form.sweep.done) if form.sweep else 0)"

UP, DOWN = re.compile("^Move .* up$"), re.compile("^Move .* down$")


def show_section(open_notebook: Open, *cells: str) -> tuple[Notebook, Locator, Locator]:
    notebook = open_notebook(FORM, *cells)
    notebook.run(0)
    root = notebook.output(0).locator(".ck-root").first
    section = root.get_by_role("group", name="LoRAs", exact=True)
    expect(section).to_be_visible()
    return notebook, root, section


def test_stack_is_made_swept_and_run_by_mouse(open_notebook: Open, page: Page) -> None:
    notebook, root, section = show_section(open_notebook, READ, RESULT)
    rows = section.locator(".ck-lora")
    for index in range(3):
        section.get_by_role("button", name="Add a LoRA").click()
        section.get_by_role("combobox", name="New LoRA").click()
        section.get_by_role("option").first.click()
        expect(rows).to_have_count(index + 1)
    prompt = root.get_by_role("textbox", name="Prompt", exact=True)
    word = rows.nth(2).get_by_role("button", name="moonlit night")
    word.click()
    expect(word).to_have_attribute("aria-pressed", "true")
    word.click()
    expect(prompt).to_have_value("a red fox in the snow, morning light, moonlit night")
    rows.nth(1).get_by_role("button", name="+ CLIP").click()
    rows.nth(1).get_by_label("CLIP", exact=True).fill("0.2")
    rows.nth(2).get_by_role("switch").click()
    rows.nth(1).get_by_role("button", name=DOWN).click()
    expect(rows.nth(2).get_by_label("CLIP", exact=True)).to_have_value("0.2")
    assert "[('brush', 1), ('moonli', {'off': 1}), ('golden', (1, 0.2))]" in notebook.run(1)
    root.get_by_role("button", name="Run", exact=True).click()
    expect(root.locator(".ck-tile")).to_have_count(1)
    rows.nth(0).get_by_label("Strength").fill("0.2, 0.8")
    page.keyboard.press("Enter")
    root.get_by_role("button", name="Run 2 points").click()
    expect(root.get_by_role("button", name="Show 2 points")).to_be_visible()
    assert "True 2" in notebook.run(2)
    page.add_script_tag(path=AXE)
    page.evaluate(CHANGE_THEME, "JupyterLab Dark")
    assert page.evaluate(CHECK) == []
    page.evaluate(CHANGE_THEME, "JupyterLab Light")


def test_stack_is_made_by_keys_and_restored(open_notebook: Open, page: Page) -> None:
    notebook, root, section = show_section(open_notebook, READ)
    rows = section.locator(".ck-lora")
    add = section.get_by_role("button", name="Add a LoRA")
    for text in ("brush", "moon"):
        add.focus()
        page.keyboard.press("Enter")
        expect(section.get_by_role("combobox", name="New LoRA")).to_be_focused()
        page.keyboard.type(text)
        expect(section.get_by_role("option")).to_have_count(1)
        page.keyboard.press("Enter")
        expect(rows.last.get_by_label("Strength")).to_be_focused()
        page.keyboard.press("ArrowDown")
        page.keyboard.press("ArrowDown")
    add.focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    expect(section.get_by_role("combobox", name="New LoRA")).to_have_count(0)
    up = rows.nth(1).get_by_role("button", name=UP)
    up.focus()
    page.keyboard.press("Enter")
    expect(rows.nth(0).get_by_role("button", name=DOWN)).to_be_focused()
    rows.nth(1).get_by_role("switch").focus()
    page.keyboard.press("Space")
    expect(rows.nth(1).get_by_label("Strength")).to_have_count(0)
    rows.nth(1).get_by_role("switch").focus()
    page.keyboard.press("Space")
    expect(rows.nth(1).get_by_label("Strength")).to_have_value("0.9")
    assert "[('moonli', 0.9), ('brush', 0.9)]" in notebook.run(1)
    assert page.locator(".jp-Notebook .jp-Cell").count() == 2

    notebook.run(0)  # a new form: the draft has the stack
    expect(rows).to_have_count(2)
    expect(root.get_by_text("Restored, not run yet: LoRAs")).to_be_visible()
    assert "[('moonli', 0.9), ('brush', 0.9)]" in notebook.run(1)
    root.get_by_role("button", name="Reset all", exact=True).click()
    expect(rows).to_have_count(0)
    root.get_by_role("button", name="Undo reset all").click()
    expect(rows).to_have_count(2)
    rows.nth(0).get_by_role("button", name="Remove").click()
    expect(rows.nth(0).get_by_role("button", name="Remove")).to_be_focused()
