"""Test the JupyterLab extension: workflows that are dropped, or opened from the file browser; badge and example."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo
from playwright.sync_api import Locator, Page, expect

from comfykit_jupyter.workflow.media_kinds import WORKFLOW_SUFFIXES

from .conftest import Open
from .lab import EXTENSION, ROOT, Lab, Notebook

PORTRAIT = ROOT / "comfykit_jupyter/examples/portrait.json"
EXECUTE = "([id, args]) => window.jupyterapp.commands.execute(id, args ?? {}).then(() => null)"
SOURCES = """() => window.jupyterapp.shell.currentWidget.content.widgets
    .map(cell => cell.model.sharedModel.source)"""


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """A folder with files that carry a workflow, and others that do not."""
    assert EXTENSION.is_dir(), "the extension is not built: run make js"
    shutil.copy(PORTRAIT, tmp_path / "my portrait.json")
    metadata = PngInfo()
    metadata.add_text("prompt", PORTRAIT.read_text(encoding="utf-8"))
    Image.new("RGB", (8, 8), "teal").save(tmp_path / "carries.png", pnginfo=metadata)
    Image.new("RGB", (8, 8), "teal").save(tmp_path / "plain.png")
    (tmp_path / "other.json").write_text('{"nodes": 3}')
    return tmp_path


def read_sources(page: Page) -> list[str]:
    """Return the sources of the notebook's cells."""
    sources: list[str] = page.evaluate(SOURCES)
    return sources


def find_file(page: Page, name: str) -> Locator:
    """Return a file in the file browser."""
    page.evaluate(EXECUTE, ["filebrowser:activate", None])
    page.evaluate(EXECUTE, ["filebrowser:refresh", None])
    item = page.locator(".jp-DirListing-item", has_text=name)
    expect(item).to_be_visible()
    return item


def drag(page: Page, source: Locator, target: Locator) -> None:
    """Drag with the mouse, in steps as a hand does."""
    source.hover()
    page.mouse.down()
    box = target.bounding_box()
    assert box is not None
    x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
    page.mouse.move(x, y - 20, steps=4)
    page.wait_for_timeout(300)  # a hand is slower than reading a small file
    page.mouse.move(x, y, steps=4)
    page.mouse.up()


def drop_from_desktop(page: Page, path: Path, target: Locator) -> None:
    """Drop a file of this machine: the browser makes the events, as for a file manager."""
    box = target.bounding_box()
    assert box is not None
    client = page.context.new_cdp_session(page)
    at = {"x": box["x"] + box["width"] / 2, "y": box["y"] + box["height"] / 2}
    data: dict[str, Any] = {"items": [], "files": [str(path)], "dragOperationsMask": 1}
    for kind in ("dragEnter", "dragOver", "drop"):
        client.send("Input.dispatchDragEvent", {"type": kind, **at, "data": data})
    client.detach()


def expect_form(notebook: Notebook, index: int) -> None:
    """Wait for the form of a cell."""
    expect(notebook.output(index).locator(".ck-root")).to_be_visible()


def test_workflow_of_the_file_browser_is_dropped_as_a_form(open_notebook: Open, lab: Lab, files: Path) -> None:
    for name in ("my portrait.json", "carries.png", "plain.png", "other.json"):
        shutil.copy(files / name, lab.notebooks)
    notebook = open_notebook("first = 1", "last = 2")
    drag(notebook.page, find_file(notebook.page, "my portrait.json"), notebook.cell(0))
    expect_form(notebook, 1)
    form = '%load_ext comfykit_jupyter\n%comfykit form "my portrait.json"'
    assert read_sources(notebook.page) == ["first = 1", form, "last = 2"]

    drag(notebook.page, find_file(notebook.page, "carries.png"), notebook.cell(1).locator(".jp-InputArea"))
    expect_form(notebook, 2)
    assert read_sources(notebook.page) == ["first = 1", form, "%comfykit form carries.png", "last = 2"]


def test_file_without_a_workflow_is_left_to_jupyterlab(open_notebook: Open, lab: Lab, files: Path) -> None:
    notebook = open_notebook("first = 1")
    for name in ("plain.png", "other.json"):
        shutil.copy(files / name, lab.notebooks)
        drag(notebook.page, find_file(notebook.page, name), notebook.cell(0))
        # JupyterLab opens a file that is dropped on its main area.
        expect(notebook.page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text=name)).to_be_visible()
        notebook.show()
    assert read_sources(notebook.page) == ["first = 1"]


def test_workflow_of_the_desktop_is_put_beside_the_notebook(open_notebook: Open, lab: Lab, files: Path) -> None:
    (lab.notebooks / "carries.png").write_bytes(b"of the user")
    notebook = open_notebook("")
    drop_from_desktop(notebook.page, files / "carries.png", notebook.cell(0))
    expect_form(notebook, 0)
    assert read_sources(notebook.page) == ["%load_ext comfykit_jupyter\n%comfykit form carries-1.png"]
    assert (lab.notebooks / "carries.png").read_bytes() == b"of the user"
    assert (lab.notebooks / "carries-1.png").read_bytes() == (files / "carries.png").read_bytes()

    # Again: the same bytes are there, and the file is used.
    drop_from_desktop(notebook.page, files / "carries.png", notebook.cell(0).locator(".jp-InputArea"))
    expect_form(notebook, 1)
    assert read_sources(notebook.page)[1] == "%comfykit form carries-1.png"
    names = sorted(path.name for path in lab.notebooks.iterdir() if path.suffix == ".part" or "carries" in path.name)
    assert names == ["carries-1.png", "carries.png"]


def test_drop_of_other_files_is_left_to_jupyterlab(open_notebook: Open, lab: Lab, files: Path) -> None:
    notebook = open_notebook("")
    page = notebook.page
    page.evaluate(
        "() => { window.drops = []; document.addEventListener('drop', event => {"
        " window.drops.push(event.dataTransfer.files[0].name); event.preventDefault(); }) }"
    )
    names, before = ["plain.png", "other.json"], set(lab.notebooks.iterdir())
    for name in names:
        drop_from_desktop(page, files / name, notebook.cell(0).locator(".jp-InputPrompt"))
    page.wait_for_function("() => window.drops.length === 2")
    assert page.evaluate("() => window.drops") == names
    assert "%comfykit" not in "".join(read_sources(page))
    assert set(lab.notebooks.iterdir()) == before


def test_file_is_opened_as_a_form_by_its_menu(open_notebook: Open, lab: Lab, files: Path) -> None:
    folder = lab.notebooks / "some workflows"
    folder.mkdir()
    shutil.copy(files / "my portrait.json", folder / "a=b.json")
    (folder / "notes.txt").write_text("no workflow")
    notebook = open_notebook("first = 1")
    page = notebook.page
    page.evaluate(EXECUTE, ["filebrowser:open-path", {"path": "some workflows"}])
    find_file(page, "notes.txt").click(button="right")
    expect(page.locator(".lm-Menu-item", has_text="Rename")).to_be_visible()
    expect(page.locator(".lm-Menu-item", has_text="Open as ComfyKit form")).to_be_hidden()
    page.keyboard.press("Escape")
    find_file(page, "a=b.json").click(button="right")
    page.locator(".lm-Menu-item", has_text="Open as ComfyKit form").click()
    expect_form(notebook, 1)
    assert read_sources(page)[1].endswith('%comfykit form "some workflows/a=b.json"')
    page.evaluate(EXECUTE, ["filebrowser:open-path", {"path": "/"}])


@pytest.mark.own_page  # JupyterLab reads settings when it starts
def test_tab_has_a_badge_and_the_end_is_notified(open_notebook: Open, lab: Lab, files: Path) -> None:
    lab.set("comfykit-jupyter/runs.jupyterlab-settings", {"notify": True, "notifyAfter": 0})
    notebook = open_notebook(
        f"%load_ext comfykit_jupyter\n%comfykit form {PORTRAIT} steps=400",
        "%comfykit run example:portrait width=64 steps=1",
        "from comfykit_jupyter import ComfyKit\nkit = ComfyKit(runs='badge-runs')\n"
        "kit.sweep('example:portrait', over={'steps': [400, 401]}).start()",
        "kit.sweep('example:portrait', width=64, over={'steps': [1, 2]}).start()",
    )
    lab.set("comfykit-jupyter/runs.jupyterlab-settings", {})
    page = notebook.page
    notebook.run(0)
    tab = page.locator("#jp-main-dock-panel .lm-TabBar-tab", has_text=notebook.name)
    form = notebook.output(0).locator(".ck-root")
    form.get_by_role("button", name="Run", exact=True).click()
    expect(tab).to_have_attribute("data-comfykit-runs", "1")
    assert tab.evaluate(
        "tab => getComputedStyle(tab, '::after').content.includes('1')"
    )  # Chromium adds what it stands for
    form.get_by_role("button", name="Cancel").first.click()
    expect(tab).not_to_have_attribute("data-comfykit-runs", "1")
    notebook.run(1)
    expect(page.locator(".Toastify__toast", has_text="portrait: completed after")).to_be_visible()
    assert "cancelled" not in page.locator(".Toastify").inner_text()

    notebook.run(2)
    expect(tab).to_have_attribute("data-comfykit-runs", "1")
    grid = notebook.output(2).locator(".ck-root")
    grid.get_by_role("button", name="Stop").click()
    expect(tab).not_to_have_attribute("data-comfykit-runs", "1")
    notebook.run(3)
    expect(page.locator(".Toastify__toast", has_text="2 of 2 done")).to_contain_text("completed after")
    assert "0 of 2" not in page.locator(".Toastify").inner_text()


@pytest.mark.own_page
def test_extension_is_disabled_by_jupyterlab(page: Page, lab: Lab) -> None:
    has = "async name => { await window.jupyterapp.restored; return window.jupyterapp.commands.hasCommand(name) }"
    lab.run("labextension", "disable", "--level=user", "comfykit-jupyter")
    try:
        page.goto(f"{lab.url}/lab?reset&token={lab.token}")
        page.wait_for_function("() => window.jupyterapp")
        assert page.evaluate(has, "docmanager:open") is True
        assert page.evaluate(has, "comfykit:open-form") is False
    finally:
        shutil.rmtree(lab.folder / "jupyter_config_dir/labconfig")  # as `enable` would, which takes seconds


def test_example_is_in_launcher_and_palette(open_notebook: Open, lab: Lab) -> None:
    page = open_notebook("").page
    folder = lab.notebooks / "new"
    folder.mkdir()
    page.evaluate(EXECUTE, ["launcher:create", {"cwd": "new"}])
    tile = page.locator(".jp-LauncherCard:visible", has_text="ComfyKit example").first
    assert tile.locator("img").evaluate("async img => { await img.decode(); return img.naturalWidth }") > 0
    tile.click()
    notebook = Notebook(lab, page, "new/Untitled.ipynb")
    expect_form(notebook, 0)
    assert read_sources(page) == [
        "%load_ext comfykit_jupyter\n%comfykit connect sandbox\n%comfykit form example:portrait"
    ]
    page.evaluate(EXECUTE, ["apputils:activate-command-palette", None])
    page.keyboard.type("comfykit example")
    expect(page.locator(".lm-CommandPalette-item", has_text="ComfyKit example")).to_be_visible()
    page.keyboard.press("Escape")


def test_notebook_7_takes_drops_and_has_no_other_part(open_notebook: Open, notebook_7: Lab, files: Path) -> None:
    notebook = open_notebook("", host="notebook_7")
    drop_from_desktop(notebook.page, files / "my portrait.json", notebook.cell(0))
    expect_form(notebook, 0)
    assert (notebook_7.notebooks / "my portrait.json").is_file()
    has = "name => window.jupyterapp.commands.hasCommand(name)"
    assert not notebook.page.evaluate(has, "comfykit:open-form")
    assert not notebook.page.evaluate(has, "comfykit:example")


def test_suffixes_are_those_of_the_package() -> None:
    source = (ROOT / "js/lab/carries.ts").read_text(encoding="utf-8")
    found = re.search(r"MEDIA = \[([^\]]*)\]", source)
    assert found is not None
    assert {f".{name}" for name in re.findall(r'"(\w+)"', found[1])} == WORKFLOW_SUFFIXES
