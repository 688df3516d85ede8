"""Test the library of all runs in a real JupyterLab: search, notes, compare, a form of old settings, and axe."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from .lab import Notebook
from .test_accessible import AXE, CHECK

Open = Callable[..., Notebook]

MAKE = """
from comfykit_jupyter import ComfyKit
from tests.explore.made_runs import make_runs
kit = ComfyKit(runs="library")
make_runs(kit, {"color": list(range(10)), "width": list(range(8, 28))})
kit.runs"""
NOTED = "print([(row.params['width'], row.note, sorted(row.tags)) for row in kit.runs if row.note or row.tags])"
CUT = """footer => {
    const { top, bottom } = footer.getBoundingClientRect();
    const isCut = box => box.top < top - 0.5 || box.bottom > bottom + 0.5;
    return [...footer.children].filter(each => isCut(each.getBoundingClientRect())).map(each => each.textContent);
}"""
CHANGED = "kit.runs.where(color=3, width=9)[0].star = True"


def test_runs_are_found_noted_compared_and_opened_as_a_form(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(MAKE, NOTED, CHANGED)
    notebook.run(0, 90)
    output = notebook.output(0)
    grid = output.get_by_role("grid")
    expect(grid.locator("img").first).to_be_visible()
    expect(output.get_by_role("status").first).to_have_text("200 runs")
    expect(output.locator(".ck-static")).to_be_hidden()
    search = output.get_by_role("searchbox", name="Search the runs")
    search.fill("color=3 width=9,10,11")
    expect(grid.get_by_role("gridcell")).to_have_count(3)

    search.press("Enter")
    page.keyboard.press("n")
    page.keyboard.type("hands")
    page.keyboard.press("Tab")
    page.keyboard.type("cover, two words")
    page.keyboard.press("Enter")
    expect(output.locator(".ck-x-footer")).to_contain_text("“hands” · #cover #two words")
    assert notebook.run(1).strip() == "[(11, 'hands', ['cover', 'two words'])]"
    notebook.run(2)
    expect(grid.get_by_role("gridcell", name="star")).to_have_count(1)

    grid.focus()
    page.keyboard.press("Control+a")
    page.keyboard.press("c")
    compare = page.get_by_role("dialog", name="Compare 3")
    expect(compare.locator("img[data-full]")).to_have_count(3)
    expect(compare.locator(".ck-x-compared")).to_contain_text("width 10")
    images = compare.locator(".ck-pane img")
    page.keyboard.press("+")
    transforms = {images.nth(index).evaluate("image => image.style.transform") for index in range(3)}
    assert transforms == {"translate(0px, 0px) scale(1.25)"}
    page.keyboard.press("e")
    expect(compare.get_by_role("status")).to_contain_text("of the pixels differ")
    page.keyboard.press("d")
    expect(compare.get_by_role("slider", name="Divider")).to_be_focused()
    expect(compare.get_by_role("button", name="Close")).to_be_in_viewport()
    page.keyboard.press("b")  # the keys still work when the divider is gone
    expect(compare.get_by_role("button", name="Flicker")).to_have_attribute("aria-pressed", "true")
    if AXE.is_file():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        assert page.evaluate(CHECK) == []
    page.keyboard.press("Escape")
    expect(compare).to_be_hidden()
    if AXE.is_file():
        assert page.evaluate(CHECK) == []

    output.get_by_role("button", name="Same settings").click()
    expect(output.get_by_role("spinbutton", name="width")).to_have_value("11")
    expect(output.get_by_text("the form “picture” has these values")).to_be_visible()
    assert output.locator(".ck-x-footer").evaluate(CUT) == []
    assert page.evaluate("() => window.hacked") is None
