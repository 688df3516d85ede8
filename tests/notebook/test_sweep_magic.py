"""Test `%comfykit sweep`, `%comfykit runs` and a sweep's live line in the cells of a real kernel."""

from __future__ import annotations

import httpx
import pytest

from comfykit_jupyter.sandbox import Sandbox

from .kernels import Page


@pytest.fixture(autouse=True)
def _own_folder(page: Page, request: pytest.FixtureRequest) -> None:
    cell = page.run(f"%comfykit runs {request.node.name}")
    assert cell.stdout.startswith("runs are kept in /")


def test_a_line_is_a_sweep(page: Page) -> None:
    cell = page.run("%comfykit sweep picture.json width=8..12:2 color=0,255 height=6 -o s")
    assert cell.status == "ok", cell.error
    assert (
        page.value("len(s.done), s.base, s.at(width=12, color=255).image.pil().size") == "(6, {'height': 6}, (12, 6))"
    )
    assert cell.bundles[0]["text/plain"] == ""  # a viewer without widgets shows the static grid only
    page.wait(lambda: cell.bundles[1]["text/html"].count("<img ") == 6)
    again = page.run("%comfykit sweep picture.json width=8..14:2 color=0,255 height=6 --plan")
    assert again.stdout.startswith("8 points, 6 done")


def test_a_cell_that_no_page_sent_ends_with_the_whole_grid(page: Page) -> None:
    cell = page.run("%comfykit sweep picture.json width=9,11 color=7,77 height=6", cell_id="")
    assert cell.bundles[1]["text/html"].count("<img ") == 4
    assert "4 of 4 done" in cell.bundles[1]["text/plain"]


def test_lines_below_are_axes_and_objects_too(page: Page) -> None:
    cell = page.run("%%comfykit sweep picture.json -o s\nwidth: 8, 16\ncolor: {[0, 255]}\n")
    assert cell.status == "ok", cell.error
    assert page.value("s.points[3].labels") == "{'width': 16, 'color': 255}"
    cell = page.run('%%comfykit sweep text_to_image.json --plan\nprompt: a fox, a cat\nseed: "*3"\n')
    assert cell.stdout.startswith("3 points, 0 done")


def test_wrong_lines_are_refused(page: Page) -> None:
    assert "give several values for a parameter" in page.run("%comfykit sweep picture.json width=8").error
    assert "is not a range" in page.run("%comfykit sweep picture.json width=9..8").error
    assert "1 of 2 points are wrong" in page.run("%comfykit sweep picture.json width=-8,8").error
    assert "2,550 points" in page.run("%comfykit sweep picture.json width=1..51 height=1..50").error


def test_runs_are_shown_and_kept_by_form_and_magic(page: Page) -> None:
    page.run("%comfykit run picture.json width=24")
    cell = page.run("%comfykit runs")
    page.wait(lambda: "width=24" in cell.html)
    assert page.value("ComfyKit().runs[0].params['width']") == "24"


def test_a_sweep_that_is_waited_for_shows_a_line(page: Page) -> None:
    cell = page.run("sweep = ComfyKit().sweep('picture.json', over={'width': [8, 9]})\nsweep.wait()")
    assert cell.status == "ok", cell.error
    assert cell.bundles[0]["text/html"].count("<img ") == 2


def test_stopping_the_cell_pauses_the_sweep(page: Page, sandbox: Sandbox) -> None:
    cell = page.start("%comfykit sweep text_to_image.json steps=3000,3001,3002 width=256 height=256 -o long")
    page.wait(lambda: any("0 of 3 done" in bundle.get("text/plain", "") for bundle in cell.bundles))
    page.wait(lambda: bool(httpx.get(f"{sandbox.url}/queue").json()["queue_running"]))
    try:
        page.interrupt()
        page.wait(lambda: cell.ended)
    finally:
        page.run("long.stop(now=True)\nlong.wait()")  # tests that come later share the server
    assert "KeyboardInterrupt" in cell.error
    assert "the sweep is paused" in cell.stderr
    assert page.value("long.states.count('cancelled') >= 1, 'paused' in repr(long)") == "(True, True)"
