"""Measure the grid of a sweep of 10,000 points in a real JupyterLab in Chromium: `python -m benchmarks.grid`.

It prints the time from the start of the cell to the first pictures, frames per second while the grid is scrolled slowly
and fast, the pictures in the page, and the page's memory.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from playwright.sync_api import sync_playwright

from comfykit_jupyter.sandbox import Sandbox
from tests.browser.chromium import find_chromium
from tests.browser.conftest import CHROMIUM_OPTIONS
from tests.browser.lab import ROOT, Notebook, running_lab

CELLS = (
    """
from comfykit_jupyter import ComfyKit
from tests.explore.made_runs import make_runs
kit = ComfyKit(runs="runs")
s = make_runs(kit, {"color": list(range(100)), "width": list(range(8, 108))}, failing=97)
from comfykit_jupyter.notebook.explorer import sweep_explorer""",
    "s",
)
WATCH = """() => {
  const start = performance.now();
  window.painted = new Promise(done => {
    const look = () => {
      const images = document.querySelectorAll(".ck-x-grid img").length;
      if (images > 5) requestAnimationFrame(() => done(performance.now() - start));
      else requestAnimationFrame(look);
    };
    look();
  });
}"""
SCROLL = """async ([down, right]) => {
  const grid = document.querySelector(".ck-x-grid");
  const frames = [];
  let [last, most] = [performance.now(), 0];
  const end = last + 5000;
  while (last < end) {
    grid.scrollTop += down;
    grid.scrollLeft += right;
    if (grid.scrollTop + grid.clientHeight >= grid.scrollHeight - 2) grid.scrollTop = 0;
    if (grid.scrollLeft + grid.clientWidth >= grid.scrollWidth - 2) grid.scrollLeft = 0;
    await new Promise(requestAnimationFrame);
    frames.push(performance.now() - last);
    last = performance.now();
    if (frames.length % 10 === 0) most = Math.max(most, grid.querySelectorAll("img").length);
  }
  frames.sort((one, other) => one - other);
  return [frames.length / 5, frames[Math.floor(frames.length * 0.95)], most];
}"""


def main() -> None:
    """Measure, and print a line for each figure."""
    with Sandbox() as server, tempfile.TemporaryDirectory() as folder:
        path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
        environment = {"COMFYUI_BASE_URL": server.url, "PYTHONPATH": path}
        with running_lab(Path(folder) / "lab", environment) as lab, sync_playwright() as playwright:
            lab.write("grid.ipynb", CELLS)
            browser = playwright.chromium.launch(executable_path=find_chromium(), args=CHROMIUM_OPTIONS)
            page = browser.new_page(viewport={"width": 1500, "height": 1000})
            notebook = Notebook(lab, page, "grid.ipynb").open()
            notebook.run(0, 300)
            page.evaluate(WATCH)
            notebook.start(1)
            print(f"first pictures after the start of the cell {page.evaluate('window.painted'):8.0f} ms  ≤ 500")
            notebook.wait_for_end(1, 120)
            notebook.cell(1).scroll_into_view_if_needed()
            for name, step in (("slowly", [37, 0]), ("fast", [400, 90])):
                fps, slowest, most = page.evaluate(SCROLL, step)
                print(f"scrolled {name:6} {fps:5.1f} fps  ≥ 50, 95 % within {slowest:5.1f} ms, {most} pictures  ≤ 400")
            session = page.context.new_cdp_session(page)
            session.send("HeapProfiler.collectGarbage")
            print(f"memory of the page {session.send('Runtime.getHeapUsage')['usedSize'] / 1e6:8.1f} MB  ≤ 200")
            page.locator(".ck-x-grid").focus()
            page.keyboard.press("Control+Home")
            began = time.monotonic()
            page.keyboard.press("s")
            page.wait_for_selector(".ck-x-marks")
            print(f"a mark is visible after {1000 * (time.monotonic() - began):8.0f} ms")
            browser.close()


if __name__ == "__main__":
    main()
