"""Test many runs at once, and a server that dies, as one sees them: nothing moves, and it is said at once."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Page, expect

from .lab import ROOT, Notebook

Open = Callable[..., Notebook]

FORM = """
import os
from comfykit_jupyter import ComfyKit
form = ComfyKit({url}).form(os.environ["WORKFLOWS"] + "/text_to_image.json", width=256, height=256, steps={steps})
form"""

WATCH = """() => {
  const seen = window.seenPlaces = new Set();
  const root = document.querySelector(".ck-root");
  const read = () => {
    const tiles = root.querySelectorAll(".ck-gallery .ck-open").length;
    if (tiles > 10) return;  // the last run may end at any moment
    if (tiles === 0) return requestAnimationFrame(read);  // the first run has not ended
    const top = root.getBoundingClientRect().top;
    const places = [".ck-stage", ".ck-progress", ".ck-batch", ".ck-gallery"].map((name) => {
      const box = root.querySelector(name).getBoundingClientRect();
      return [name, Math.round(box.top - top), Math.round(box.height)];
    });
    seen.add(JSON.stringify([...places, Math.round(root.getBoundingClientRect().height)]));
    requestAnimationFrame(read);
  };
  read();
}"""
PLACES = "() => [...window.seenPlaces]"


@pytest.fixture
def other_server() -> Iterator[subprocess.Popen[str]]:
    """An embedded server in a process of its own, whose first line is its address."""
    start = "print(Sandbox(step_seconds=0.02).start().url, flush=True)"
    code = f"import sys; from comfykit_jupyter.sandbox import Sandbox; {start}"
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}; sys.stdin.read()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT,
    )  # fmt: skip
    yield process
    process.kill()
    process.communicate()


def test_nothing_moves_while_the_runs_of_a_batch_end(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM.format(url="", steps=4))
    notebook.run(0)
    form = notebook.output(0)
    tiles = form.locator(".ck-gallery .ck-open")
    form.get_by_label("Number of runs", exact=True).fill("12")
    page.evaluate(WATCH)
    form.get_by_role("button", name="Run", exact=True).click()
    expect(tiles.nth(10)).to_be_visible()
    assert len(page.evaluate(PLACES)) == 1
    expect(form.get_by_role("status").first).to_contain_text("Done in")


def test_batch_is_paused_resumed_and_cancelled_by_keyboard(open_notebook: Open, page: Page) -> None:
    notebook = open_notebook(FORM.format(url="", steps=10000), "print(len(form.stage.unfinished_runs))")
    notebook.run(0)
    form = notebook.output(0)
    line = form.locator(".ck-batch .ck-name")
    form.get_by_label("Number of runs", exact=True).fill("5")
    form.get_by_role("button", name="Run", exact=True).press("Enter")
    expect(line).to_contain_text("Running 1 of 5 · 4 waiting")
    form.get_by_role("button", name="Pause after this one").press("Enter")
    expect(line).to_contain_text("4 paused")
    form.get_by_role("button", name="Resume").press("Enter")
    expect(line).to_contain_text("4 waiting")
    form.get_by_role("button", name="Show the queue").press("Enter")
    entries = form.get_by_role("list", name="Waiting runs").get_by_role("button")
    entries.nth(1).press("Enter")
    expect(entries).to_have_count(3)
    expect(entries.nth(1)).to_be_focused()
    form.get_by_role("button", name="Cancel all").press("Enter")
    expect(form.get_by_role("status").first).to_contain_text("Cancelled")
    expect(line).to_have_count(0)
    assert notebook.run(1).strip() == "0"


def test_dead_server_is_noticed_and_waiting_stops_at_once(
    open_notebook: Open, other_server: subprocess.Popen[str]
) -> None:
    assert other_server.stdout is not None
    url = other_server.stdout.readline().strip()
    notebook = open_notebook(FORM.format(url=repr(url), steps=5000))
    notebook.run(0)
    form = notebook.output(0)
    form.get_by_role("button", name="Run", exact=True).click()
    expect(form.get_by_role("img", name="Preview")).to_be_visible()
    other_server.kill()
    expect(form.get_by_text("The server does not answer").first).to_be_visible()
    expect(form.get_by_text("trying for 5")).to_be_visible()
    expect(form.get_by_role("progressbar", name="Progress")).not_to_have_attribute("aria-valuenow", re.compile(""))
    assert "left" not in form.locator(".ck-status").inner_text()
    form.get_by_role("button", name="Stop waiting").click()
    expect(form.get_by_role("status").first).to_contain_text("Cancelled")
