"""Make the pictures of the README and the documentation, in a real JupyterLab: `make pictures`."""

from __future__ import annotations

import argparse
import io
import os
import shutil
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
TALL = 1100
"""Height of the window for pictures of whole widgets."""
LARGEST = 800_000
"""Bytes that the moving picture may have."""
LONGEST = 20.0
"""Seconds that the moving picture may last."""

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


class Studio:
    """A JupyterLab in a page, and notebooks in it."""

    def __init__(self, lab: Lab, page: Page) -> None:
        self._lab, self.page = lab, page
        self._is_bare = False

    def open(self, name: str, *cells: str, bare: bool = True) -> Notebook:
        """Open a notebook, with little around it, and run its cells."""
        self._lab.write(name, cells)
        notebook = Notebook(self._lab, self.page, name)
        if self._is_bare:
            notebook.show()
        else:
            notebook.open()
        if bare and not self._is_bare:
            self.page.evaluate(BARE)
            self._is_bare = True
        for index in range(len(cells)):
            notebook.run(index, 120)
        self.page.wait_for_timeout(1500)
        return notebook

    def shoot(self, name: str, part: Locator | None = None, clip: FloatRect | None = None) -> None:
        """Write a picture of the page, or of a part of it."""
        data = self.page.screenshot(clip=clip) if part is None else part.screenshot()
        path = IMAGES / f"{name}.webp"
        Image.open(io.BytesIO(data)).convert("RGB").save(path, quality=75, method=6)
        print(f"{path.relative_to(ROOT)}: {path.stat().st_size / 1000:.0f} kB")


def make_film(studio: Studio) -> None:
    """Make the moving picture of the README."""
    notebook = studio.open("form.ipynb", FORM)
    film_a_form_and_a_sweep(studio.page, notebook.output(0))


def shoot_form(studio: Studio) -> None:
    """Show a form after a run."""
    form = studio.open("portrait.ipynb", FORM).output(0)
    form.get_by_label("Prompt", exact=True).fill("a red fox in the snow, morning light")
    form.get_by_label("Steps", exact=True).fill("12")
    form.locator(".ck-run").first.click()
    form.get_by_role("status").first.get_by_text("Done in").wait_for()
    studio.page.wait_for_timeout(500)
    studio.shoot("form", form.locator(".ck-root").first)


def shoot_grid(studio: Studio) -> None:
    """Show the grid of a sweep with two axes, with marks."""
    grid = studio.open("sweep.ipynb", SWEEP).output(0)
    grid.get_by_text("12 of 12 done").first.wait_for()
    grid.get_by_role("gridcell").nth(4).click()
    for key in ("s", "ArrowRight", "4"):
        studio.page.keyboard.press(key)
    studio.page.wait_for_timeout(800)
    studio.shoot("grid", grid.locator(".ck-root").first)


def shoot_library(studio: Studio) -> None:
    """Show the library of all runs, and a comparison of two."""
    library = studio.open("library.ipynb", LIBRARY).output(0)
    studio.page.wait_for_timeout(1500)
    studio.shoot("library", library.locator(".ck-root").first)
    cells = library.get_by_role("gridcell")
    for index in (0, 3):
        cells.nth(index).click()
        studio.page.keyboard.press("c")
    studio.page.keyboard.press("Shift+C")
    studio.page.set_viewport_size({"width": WINDOW[0], "height": 560})
    studio.page.wait_for_timeout(1500)
    studio.shoot("compare")
    studio.page.keyboard.press("Escape")


def shoot_lab(studio: Studio) -> None:
    """Show the menu of a workflow's file in JupyterLab, and the badge of a tab whose runs continue."""
    page = studio.page
    notebook = studio.open("fox.ipynb", f"{FORM} steps=200", bare=False)
    notebook.output(0).locator(".ck-run").first.click()
    page.locator(".lm-TabBar-tab[data-comfykit-runs]").wait_for()
    page.evaluate("() => window.jupyterapp.commands.execute('filebrowser:activate').then(() => null)")
    file = page.locator(".jp-DirListing-item", has_text="my_workflow.json").bounding_box()
    assert file is not None
    page.mouse.click(file["x"] + 60, file["y"] + 8, button="right")
    page.locator(".lm-Menu-item", has_text="Open as ComfyKit form").hover()
    page.wait_for_timeout(500)
    studio.shoot("lab", clip={"x": 0, "y": 0, "width": WINDOW[0], "height": 460})
    page.keyboard.press("Escape")


FORM = "%load_ext comfykit_jupyter\n%comfykit form example:portrait"
SWEEP = """from comfykit_jupyter import ComfyKit, seeds
kit = ComfyKit()
sweep = kit.sweep("example:portrait", prompt="a red fox in the snow", width=384, height=384, steps=8,
                  over={"cfg": [3, 5, 7, 9], "seed": [11, 12, 13]})
sweep.start()"""
LIBRARY = """from comfykit_jupyter import ComfyKit
kit = ComfyKit()
for prompt in ("a red fox in the snow", "a boat on a calm sea at dusk, ink", "a forest in fog"):
    for seed in (1, 2, 3):
        kit.run("example:portrait", prompt=prompt, seed=seed, width=384, height=384, steps=8)
kit.runs[0].star = True
kit.runs"""
PICTURES = {"lab": shoot_lab, "demo": make_film, "form": shoot_form, "grid": shoot_grid, "library": shoot_library}
"""What can be made, in this order: a page that is bare stays so."""


def main() -> None:
    """Make all pictures, or some."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PICTURES)}; all without a name")
    names = parser.parse_args().names or list(PICTURES)
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
            shutil.copy(ROOT / "comfykit_jupyter/examples/portrait.json", lab.notebooks / "my_workflow.json")
            studio = Studio(lab, browser.new_page(viewport={"width": WINDOW[0], "height": WINDOW[1]}))
            for name, make in PICTURES.items():
                if name in names:
                    height = WINDOW[1] if name in ("demo", "lab") else TALL
                    studio.page.set_viewport_size({"width": WINDOW[0], "height": height})
                    make(studio)
        browser.close()


if __name__ == "__main__":
    main()
