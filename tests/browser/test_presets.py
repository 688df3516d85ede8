"""Test presets, undo and the editor of prompts in JupyterLab, with real keys."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from playwright.sync_api import Locator, Page, expect

from .lab import Notebook
from .test_accessible import AXE, CHANGE_THEME, CHECK

Open = Callable[..., Notebook]

FORM = """
import json, os, shutil
from pathlib import Path
from comfykit_jupyter import ComfyKit
shutil.rmtree("presets", ignore_errors=True)
graph = json.loads(Path(os.environ["WORKFLOWS"], "text_to_image.json").read_text())
Path("portrait.json").write_text(json.dumps(graph))
Path("wildcards").mkdir(exist_ok=True)
for name in ("animals", "trees"):
    Path("wildcards", name + ".txt").write_text("fox")
kit = ComfyKit()
form = kit.form("portrait.json", width=64, height=64, steps=2)
form"""

NEWER = """
Path("newer").mkdir(exist_ok=True)
Path("newer/portrait.json").write_text(json.dumps(graph).replace("$cfg", "$guidance"))
newer = kit.form("newer/portrait.json")
newer"""

CARET = "area => [area.selectionStart, area.selectionEnd]"


def show_forms(open_notebook: Open, *cells: str) -> tuple[Notebook, list[Locator]]:
    """Run cells that show forms, and return the forms."""
    notebook = open_notebook(*cells)
    roots = []
    for index, cell in enumerate(cells):
        notebook.run(index)
        if cell in (FORM, NEWER):
            roots.append(notebook.output(index).locator(".ck-root"))
            expect(roots[-1].get_by_label("Prompt", exact=True)).to_be_visible()
    return notebook, roots


def use_preset(root: Locator, page: Page, name: str) -> None:
    panel = page.get_by_role("dialog", name="Presets")
    root.get_by_role("button", name="Presets").click()
    panel.get_by_role("button", name=name, exact=True).click()
    expect(panel).to_have_count(0)  # its button has the name that the form's button gets


def test_preset_is_saved_and_used_by_keys_in_two_forms(open_notebook: Open, page: Page) -> None:
    _, (first, second) = show_forms(open_notebook, FORM, NEWER)
    panel = page.get_by_role("dialog", name="Presets")
    first.get_by_label("Prompt", exact=True).fill("soft light")
    first.get_by_label("CFG", exact=True).fill("3")
    opener = first.locator(".ck-tools button").first
    opener.focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_label("Save as")).to_be_focused()
    page.keyboard.type("portrait")
    page.keyboard.press("Enter")
    expect(opener).to_have_text("portrait")
    page.keyboard.press("Escape")
    expect(panel).to_have_count(0)
    expect(opener).to_be_focused()

    second.locator(".ck-tools button").first.focus()
    page.keyboard.press("Enter")
    expect(panel.get_by_role("button", name="portrait", exact=True)).to_be_focused()
    page.keyboard.press("Enter")
    expect(panel).to_have_count(0)
    expect(second.get_by_label("Prompt", exact=True)).to_have_value("soft light")
    expect(second.locator(".ck-left-out li")).to_contain_text("cfg: portrait has no such parameter")
    second.get_by_label("Steps", exact=True).fill("4")
    page.keyboard.press("Enter")
    expect(second.get_by_role("button", name="portrait · changed")).to_be_visible()
    second.get_by_role("button", name="Undo preset portrait").click()
    expect(second.get_by_label("Steps", exact=True)).to_have_value("4")
    expect(second.get_by_label("Prompt", exact=True)).not_to_have_value("soft light")
    second.get_by_role("button", name="Reset all", exact=True).click()
    expect(second.get_by_role("button", name="Reset all", exact=True)).to_have_count(0)
    expect(second.locator(".ck-tools button").first).to_be_focused()
    assert page.locator(".jp-Notebook .jp-Cell").count() == 2


def test_panel_renames_replaces_and_deletes(open_notebook: Open, page: Page) -> None:
    code = "form.workflow.save_preset('one', cfg=3); form.workflow.save_preset('two', steps=3)"
    read = "print(Path('presets/two.toml').read_text() if Path('presets/three.toml').exists() is False else '')"
    notebook, (root,) = show_forms(open_notebook, FORM, code, "Path('presets/bad.toml').write_text('x')", read)
    panel = page.get_by_role("dialog", name="Presets")
    use_preset(root, page, "one")
    opener = root.get_by_role("button", name="one", exact=True)
    opener.click()
    expect(panel).to_contain_text("not valid TOML")
    page.keyboard.press("ArrowDown")
    expect(panel.get_by_role("button", name="two", exact=True)).to_be_focused()
    panel.get_by_role("button", name="Rename one").click()
    page.keyboard.type("three")
    page.keyboard.press("Enter")
    expect(root.locator(".ck-tools button").first).to_have_text("three")
    panel.get_by_label("Save as").fill("two")
    page.keyboard.press("Enter")
    panel.get_by_role("button", name="Replace").click()
    expect(root.locator(".ck-tools button").first).to_have_text("two")
    panel.get_by_role("button", name="Delete three").click()
    panel.get_by_role("button", name="Delete", exact=True).click()
    expect(panel.get_by_role("button", name="three", exact=True)).to_have_count(0)
    panel.get_by_label("Save as").fill("con")
    panel.get_by_role("button", name="Save").click()
    expect(panel.get_by_role("alert")).to_contain_text("name of a device")
    root.get_by_label("Width", exact=True).click()
    expect(panel).to_have_count(0)
    assert "cfg = 3" in notebook.run(3)


def test_arrows_bring_earlier_prompts_and_the_typed_one_back(open_notebook: Open, page: Page) -> None:
    runs = "for text in ('one fox', 'two\\nfoxes'):\n    form.values['prompt'] = text\n    form.run().result()"
    _, (root,) = show_forms(open_notebook, FORM, runs)
    area = root.get_by_role("textbox", name="Prompt", exact=True)
    expect(area).to_have_value("two\nfoxes")
    area.fill("first\nsecond")
    page.keyboard.press("ArrowUp")
    assert area.input_value() == "first\nsecond", "the caret was in the second line"
    page.keyboard.press("ArrowUp")
    expect(area).to_have_value("two\nfoxes")
    expect(root.locator(".ck-prompt [role=status]").first).to_contain_text("Earlier text 1 of 2")
    page.keyboard.press("ArrowUp")
    expect(area).to_have_value("one fox")
    page.keyboard.press("ArrowUp")
    expect(area).to_have_value("one fox")
    page.keyboard.type("a ")
    expect(area).to_have_value("a one fox")
    page.keyboard.press("ArrowUp")
    expect(area).to_have_value("first\nsecond")
    page.keyboard.press("ArrowDown")
    expect(area).to_have_value("a one fox")
    page.keyboard.press("Control+z")
    expect(area).to_have_value("first\nsecond")


def test_weights_wildcards_and_the_larger_editor(open_notebook: Open, page: Page) -> None:
    _, (root,) = show_forms(open_notebook, FORM)
    area = root.get_by_role("textbox", name="Prompt", exact=True)
    area.fill("a red fox")
    for _ in range(4):
        page.keyboard.press("ArrowLeft")
    page.keyboard.press("Control+ArrowUp")
    page.keyboard.press("Control+ArrowUp")
    expect(area).to_have_value("a (red:1.1) fox")
    assert area.evaluate(CARET) == [2, 11]
    page.keyboard.press("Control+z")
    expect(area).to_have_value("a (red:1.05) fox")
    page.keyboard.press("Control+ArrowDown")
    expect(area).to_have_value("a red fox")

    area.fill("a ")
    page.keyboard.type("__")
    options = page.get_by_role("listbox", name="Wildcards")
    expect(options.get_by_role("option")).to_have_count(2)
    page.keyboard.type("tr")
    expect(options.get_by_role("option")).to_have_count(1)
    page.keyboard.press("Enter")
    expect(area).to_have_value("a __trees__")
    expect(options).to_be_hidden()

    page.keyboard.press("ArrowLeft")
    caret = area.evaluate(CARET)
    root.get_by_role("button", name="Larger editor for Prompt").click()
    editor = page.get_by_role("dialog", name="Prompt")
    expect(area).to_be_focused()
    assert area.evaluate(CARET) == caret
    assert editor.bounding_box()["width"] > 700  # type: ignore[index]
    page.keyboard.press("End")
    page.keyboard.type(" and birds")
    expect(editor).to_contain_text("4 words")
    page.keyboard.press("Tab")
    expect(editor.get_by_role("button", name="Done")).to_be_focused()
    page.keyboard.press("Tab")
    expect(area).to_be_focused()
    page.keyboard.press("Escape")
    expect(editor).to_have_count(0)
    expect(area).to_be_focused()
    expect(area).to_have_value("a __trees__ and birds")
    page.keyboard.press("Control+z")
    expect(area).not_to_have_value("a __trees__ and birds")


@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_axe_finds_nothing(open_notebook: Open, page: Page, theme: str) -> None:
    save = "form.workflow.save_preset('soft', cfg=3); Path('presets/bad.toml').write_text('x')"
    _, (_, newer) = show_forms(open_notebook, FORM, save, NEWER)
    page.evaluate(AXE.read_text())
    page.evaluate(CHANGE_THEME, theme)
    try:
        use_preset(newer, page, "soft")
        expect(newer.locator(".ck-left-out")).to_be_visible()
        newer.get_by_role("button", name="soft", exact=True).click()
        expect(page.get_by_role("dialog", name="Presets")).to_contain_text("not valid TOML")
        assert page.evaluate(CHECK) == []
        page.keyboard.press("Escape")
        area = newer.get_by_role("textbox", name="Prompt", exact=True)
        area.fill("a ")
        page.keyboard.type("__")
        expect(page.get_by_role("listbox", name="Wildcards")).to_be_visible()
        assert page.evaluate(CHECK) == []
        page.keyboard.press("Escape")
        newer.get_by_role("button", name="Larger editor for Prompt").click()
        expect(page.get_by_role("dialog", name="Prompt")).to_be_visible()
        assert page.evaluate(CHECK) == []
    finally:
        page.evaluate(CHANGE_THEME, "JupyterLab Light")
