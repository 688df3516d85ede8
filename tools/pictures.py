"""Make the pictures of the README and the documentation, in a real JupyterLab: `make pictures`."""

from __future__ import annotations

import io
import os
import sys
import tempfile
import time
from pathlib import Path

from PIL import Image
from playwright.sync_api import FloatRect, Locator, Page, sync_playwright

from comfykit_jupyter.sandbox import Sandbox
from tests.browser.chromium import find_chromium
from tests.browser.conftest import CHROMIUM_OPTIONS
from tests.browser.lab import Lab, Notebook, running_lab

ROOT = Path(__file__).parents[1]
IMAGES = ROOT / "docs/images"
WINDOW = (900, 760)
"""Width and height of the browser's window, in pixels."""
STATUS_BAR = 24
"""Height of JupyterLab's last line, in pixels."""
LARGEST = 800_000
"""Bytes that the moving picture may have."""
LONGEST = 20.0
"""Seconds that the moving picture may last."""

SETUP = "%load_ext comfykit_jupyter\n%comfykit form example:portrait"
BARE = """() => {
    const style = document.createElement("style");
    style.textContent = `.jp-Toolbar, .jp-cell-toolbar, .jp-Notebook-footer, .jp-InputPrompt, .jp-OutputPrompt,
        .jp-SideBar { display: none !important }
        .jp-Notebook { padding-bottom: 0 !important }`;
    document.head.append(style);
    const { commands } = window.jupyterapp;
    return commands.execute("application:toggle-mode").then(() => commands.execute("application:toggle-left-area"));
}"""


class Film:
    """Pictures of a part of the page, and how long each is shown."""

    def __init__(self, page: Page, clip: FloatRect) -> None:
        self._page, self._clip = page, clip
        self._frames: list[tuple[bytes, float]] = []

    def shoot(self, seconds: float | None = None) -> None:
        """Take one picture; it stays for so many seconds, or as long as it took."""
        began = time.monotonic()
        data = self._page.screenshot(clip=self._clip, animations="disabled", caret="initial")
        shown = seconds or time.monotonic() - began
        if self._frames and self._frames[-1][0] == data:
            self._frames[-1] = (data, self._frames[-1][1] + shown)
        else:
            self._frames.append((data, shown))

    def shoot_until(self, end: Locator, text: str, pause: float) -> None:
        """Take pictures until an element has a text, and then wait so many seconds."""
        while text not in "".join(end.all_inner_texts()):
            self.shoot()
            self._page.wait_for_timeout(60)
        self._page.wait_for_timeout(500)
        self.shoot(pause)

    def type(self, text: str) -> None:
        """Type a text, two characters a picture."""
        for start in range(0, len(text), 2):
            self._page.keyboard.type(text[start : start + 2])
            self.shoot(0.12)

    def save(self, path: Path) -> None:
        """Write a WebP that moves."""
        images = [Image.open(io.BytesIO(data)).convert("RGB") for data, _ in self._frames]
        whole = sum(seconds for _, seconds in self._frames)
        faster = min(1.0, LONGEST / whole)
        durations = [round(1000 * seconds * faster) for _, seconds in self._frames]
        images[0].save(path, save_all=True, append_images=images[1:], duration=durations, loop=0, quality=55, method=4)
        size = path.stat().st_size
        print(f"{path.relative_to(ROOT)}: {len(images)} pictures, {whole * faster:.1f} s, {size / 1000:.0f} kB")
        if size > LARGEST:
            sys.exit(f"{path.name} is larger than {LARGEST / 1000:.0f} kB")


def film_a_form_and_a_sweep(page: Page, form: Locator) -> None:
    """Type a prompt, run the form, and then a sweep of six images whose grid fills."""
    box = page.locator(".jp-WindowedPanel-outer:visible").bounding_box()
    assert box is not None
    film = Film(
        page, {"x": box["x"], "y": box["y"], "width": box["width"], "height": WINDOW[1] - box["y"] - STATUS_BAR}
    )
    run = form.locator(".ck-run").first
    film.shoot(1.0)
    form.get_by_label("Prompt", exact=True).click()
    page.keyboard.press("ControlOrMeta+a")
    film.type("a red fox in the snow, morning light")
    run.click()
    film.shoot_until(form.get_by_role("status").first, "Done in", 1.5)
    form.get_by_label("CFG", exact=True).click()
    page.keyboard.press("ControlOrMeta+a")
    film.type("3, 11")
    form.get_by_label("Seed", exact=True).click()
    page.keyboard.press("ControlOrMeta+a")
    film.type("*3")
    page.keyboard.press("Tab")
    film.shoot(0.8)
    run.click()
    page.wait_for_timeout(400)
    grid = page.locator(".ck-x-grid").last
    grid.wait_for()
    grid.evaluate("grid => grid.scrollIntoView({ block: 'end' })")
    film.shoot_until(page.locator(".ck-x-header").last, "6 of 6 done", 2.5)
    film.save(IMAGES / "demo.webp")


def open_form(lab: Lab, page: Page) -> tuple[Notebook, Locator]:
    """Open a notebook with a form in JupyterLab, with little around it."""
    lab.write("form.ipynb", [SETUP])
    notebook = Notebook(lab, page, "form.ipynb").open()
    page.evaluate(BARE)
    notebook.run(0)
    form = notebook.output(0)
    form.locator(".ck-run").first.wait_for()
    page.wait_for_timeout(1500)
    return notebook, form


def main() -> None:
    """Make all pictures."""
    chromium = find_chromium() or sys.exit("There is no Chromium: make chromium")
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox(step_seconds=0.1) as server,
        sync_playwright() as playwright,
    ):
        environment = {"COMFYUI_BASE_URL": server.url, "PYTHONPATH": str(ROOT), "COMFYKIT_RUNS": f"{folder}/runs"}
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        with running_lab(Path(folder) / "lab", {**os.environ, **environment}) as lab:
            page = browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]})
            _, form = open_form(lab, page)
            if "--look" in sys.argv:
                page.screenshot(path=IMAGES / "look.png")
                print(form.first.inner_text())
                return
            film_a_form_and_a_sweep(page, form)
        browser.close()


if __name__ == "__main__":
    main()
