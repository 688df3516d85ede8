"""Test zooming in the lightbox: by touch, wheel and keys."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from playwright.sync_api import CDPSession, Locator, Page, expect

from .lab import Notebook

Open = Callable[..., Notebook]
Point = tuple[float, float]

FORM = """
import os
from comfykit_jupyter import ComfyKit
form = ComfyKit().form(os.environ["WORKFLOWS"] + "/text_to_image.json", width=256, height=256, steps=2)
form"""


class Fingers:
    """Fingers on a touch screen that move together."""

    def __init__(self, page: Page) -> None:
        self._devtools: CDPSession = page.context.new_cdp_session(page)

    def go(self, begin: tuple[Point, ...], end: tuple[Point, ...], steps: int = 8) -> None:
        """Touch the screen, move in this many steps, and lift the fingers."""
        self._send("touchStart", begin)
        for step in range(1, steps + 1):
            part = step / steps
            at = [
                (x + (to_x - x) * part, y + (to_y - y) * part) for (x, y), (to_x, to_y) in zip(begin, end, strict=True)
            ]
            self._send("touchMove", at)
        self._send("touchEnd", ())

    def _send(self, kind: str, points: tuple[Point, ...] | list[Point]) -> None:
        touched = [{"x": x, "y": y, "id": index} for index, (x, y) in enumerate(points)]
        self._devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touched})


def read_view(picture: Locator) -> tuple[float, float, float]:
    """Return the offset and the scale of an image."""
    style = picture.get_attribute("style") or ""
    found = re.search(r"translate\((.+?)px, (.+?)px\) scale\((.+?)\)", style)
    assert found, style
    x, y, scale = map(float, found.groups())
    return x, y, scale


@pytest.fixture
def box(open_notebook: Open, page: Page) -> Locator:
    """The lightbox with the newest of two images."""
    notebook = open_notebook(FORM)
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_label("Number of runs", exact=True).fill("2")
    form.get_by_role("button", name="Run", exact=True).click()
    tiles = form.locator(".ck-gallery .ck-open")
    expect(tiles).to_have_count(2)
    tiles.first.click()
    box = page.get_by_role("dialog")
    expect(box.locator(".ck-pane img")).to_be_visible()
    return box


def test_two_fingers_zoom_around_their_center_and_one_moves_or_turns(box: Locator, page: Page) -> None:
    picture, fingers = box.locator(".ck-pane img"), Fingers(page)
    pane = box.locator(".ck-pane").bounding_box()
    assert pane
    x, y = pane["x"] + pane["width"] / 2, pane["y"] + pane["height"] / 2
    fingers.go(((x + 50, y), (x + 150, y)), ((x, y), (x + 200, y)))
    right, down, scale = read_view(picture)
    assert scale == pytest.approx(2, rel=0.01)
    assert (right, down) == pytest.approx((-100, 0), abs=2)  # the point 100 px right of the middle stays in place
    fingers.go(((x, y),), ((x + 40, y + 30),))
    assert read_view(picture) == pytest.approx((right + 40, 30, scale), abs=2)
    fingers.go(((x, y),), ((x + 5000, y),))
    assert read_view(picture)[0] <= pane["width"] / 2 + 1  # always partly visible
    page.keyboard.press("z")
    assert read_view(picture) == (0, 0, 1)
    first = box.get_attribute("aria-label")
    fingers.go(((x + 100, y),), ((x - 100, y),))
    expect(box).not_to_have_attribute("aria-label", first or "")


def test_wheel_zooms_around_the_pointer_and_keys_around_the_middle(box: Locator, page: Page) -> None:
    picture = box.locator(".ck-pane img")
    pane = box.locator(".ck-pane").bounding_box()
    assert pane
    x, y = pane["x"] + pane["width"] / 2 + 120, pane["y"] + pane["height"] / 2 - 80
    page.mouse.move(x, y)
    page.mouse.wheel(0, -400)
    expect(picture).not_to_have_attribute("style", re.compile(r"scale\(1\)"))
    right, down, scale = read_view(picture)
    assert (right, down) == pytest.approx((120 * (1 - scale), -80 * (1 - scale)), abs=2)
    page.keyboard.press("z")
    for _ in range(3):
        page.keyboard.press("+")
    page.keyboard.press("-")
    assert read_view(picture)[2] == pytest.approx(1.25**3 * 0.8)
    page.mouse.dblclick(x, y)
    assert read_view(picture) == (0, 0, 1)
    page.set_viewport_size({"width": 600, "height": 260})
    whole = picture.bounding_box()
    assert whole
    page.keyboard.press("z")
    assert read_view(picture)[2] == pytest.approx(256 / min(whole["width"], whole["height"]), rel=0.01)


def test_small_image_is_never_enlarged_by_itself(box: Locator, page: Page) -> None:
    picture = box.locator(".ck-pane img")
    whole = picture.bounding_box()
    assert whole
    assert (whole["width"], whole["height"]) == (256, 256)
    page.keyboard.press("+")
    page.keyboard.press("z")
    assert picture.bounding_box() == whole


def test_focus_returns_to_the_tile_of_the_output_that_was_shown(box: Locator, page: Page) -> None:
    for key in ("End", "PageUp", "Home", "ArrowRight"):
        page.keyboard.press(key)
    shown = box.get_attribute("aria-label")
    expect(box).to_contain_text("2 of 2")
    expect(box.locator('.ck-film [aria-current="true"]')).to_have_attribute("aria-label", f"Output 2: {shown}")
    page.keyboard.press("Escape")
    tiles = page.locator(".ck-gallery .ck-open")
    expect(tiles.nth(1)).to_be_focused()
    page.keyboard.press("Enter")
    expect(box).to_have_attribute("aria-label", shown or "")


def test_image_is_copied_to_the_clipboard(box: Locator, page: Page) -> None:
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    expect(box.locator(".ck-pane img[data-full]")).to_be_visible()
    box.get_by_role("button", name="Copy image").click()
    expect(box.get_by_role("button", name="Copied")).to_be_visible()
    types = "async () => (await navigator.clipboard.read()).flatMap(item => item.types)"
    assert page.evaluate(types) == ["image/png"]
