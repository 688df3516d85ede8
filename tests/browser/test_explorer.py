"""Test the grid of a sweep of 1,000 points in a real JupyterLab: keys, marks, a reload, and axe."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page, expect

from .lab import Notebook
from .test_accessible import AXE, CHANGE_THEME, CHECK, THEMES

Open = Callable[..., Notebook]

MAKE = """
from comfykit_jupyter import ComfyKit
from tests.explore.made_runs import make_runs
kit = ComfyKit(runs="grid")
s = make_runs(kit, {"color": list(range(20)), "width": list(range(8, 58))}, failing=7)
s"""
PICKED = "print([(row.params['color'], row.params['width']) for row in s.picked], s.at(color=1, width=10).rating)"
COUNT = "grid => [grid.querySelectorAll('[role=gridcell]').length, grid.querySelectorAll('img').length]"


def test_a_thousand_points_are_judged_by_keys_and_survive_a_reload(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(MAKE, PICKED)
    notebook.run(0, 90)
    grid = notebook.output(0).get_by_role("grid")
    expect(grid.get_by_role("gridcell", name="color 0, width 8: completed", exact=True)).to_be_visible()
    expect(grid.locator("img").first).to_be_visible()
    cells, images = grid.evaluate(COUNT)
    assert 0 < images <= cells <= 400
    grid.focus()
    for key in ("ArrowRight", "ArrowRight", "s", "ArrowDown", "Shift+Digit4", "s", "x", "u"):
        page.keyboard.press(key)
    name = "color 1, width 10: completed, 4 of 5"
    expect(grid.get_by_role("gridcell", name=name, exact=True)).to_be_visible()
    page.keyboard.press("Control+End")
    expect(grid.get_by_role("gridcell", name="color 19, width 57: ")).to_be_visible()
    expect(grid.locator("img").first).to_be_visible()
    cells, images = grid.evaluate(COUNT)
    assert 0 < images <= cells <= 400
    assert page.evaluate("() => document.querySelectorAll('.jp-Notebook .jp-Cell').length") == 2  # no key got there
    assert notebook.run(1).strip() == "[(0, 10), (1, 11)] 4"

    grid.focus()
    page.keyboard.press("Control+Home")
    page.keyboard.press("Enter")
    lightbox = page.get_by_role("dialog")
    expect(lightbox.locator("img[data-full]")).to_be_visible()
    page.keyboard.press("5")
    expect(lightbox.locator(".ck-x-marks")).to_have_text("5")
    page.keyboard.press("ArrowRight")
    expect(lightbox.locator("img[data-full]")).to_be_visible()
    page.keyboard.press("2")
    expect(lightbox.locator(".ck-x-marks")).to_have_text("2")
    page.keyboard.press("ArrowLeft")
    expect(lightbox.locator(".ck-x-marks")).to_have_text("5")
    page.keyboard.press("Escape")
    expect(lightbox).to_be_hidden()
    if AXE.is_file():
        page.evaluate(AXE.read_text(encoding="utf-8"))
        for theme in (*THEMES[1:], THEMES[0]):  # light at the end, as it was
            page.evaluate(CHANGE_THEME, theme)
            assert page.evaluate(CHECK) == [], theme
    assert page.evaluate("() => window.hacked") is None

    notebook.save()
    notebook.reload()
    grid = notebook.output(0).get_by_role("grid")
    expect(grid.get_by_role("gridcell", name="color 0, width 10: completed, star", exact=True)).to_be_visible()
