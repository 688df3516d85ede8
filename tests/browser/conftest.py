"""One JupyterLab and one embedded server for all browser tests; a fresh browser for each."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, sync_playwright

from comfykit_jupyter.sandbox import Sandbox

from .chromium import find_chromium
from .lab import ROOT, Lab, Notebook, running_lab

Open = Callable[..., Notebook]

CHROMIUM_OPTIONS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--autoplay-policy=no-user-gesture-required",
]


@pytest.fixture(scope="session")
def environment(sandbox: Sandbox) -> dict[str, str]:
    """What the kernels of all servers are told: the embedded server, and where the workflows are."""
    return {
        "COMFYUI_BASE_URL": sandbox.url,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "WORKFLOWS": str(ROOT / "notebooks/workflows"),
    }


@pytest.fixture(scope="session")
def lab(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab."""
    with running_lab(tmp_path_factory.mktemp("lab"), environment) as lab:
        yield lab


@pytest.fixture(scope="session")
def notebook_7(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A Notebook 7."""
    with running_lab(tmp_path_factory.mktemp("notebook"), environment, "notebook") as server:
        yield server


@pytest.fixture
def used() -> Iterator[list[Lab]]:
    """The servers that a test has opened notebooks on; their kernels end with it, once the page has gone."""
    servers: list[Lab] = []
    yield servers
    for server in servers:
        server.end_kernels()


@pytest.fixture
def page(request: pytest.FixtureRequest, tmp_path: Path, used: list[Lab]) -> Iterator[Page]:
    """A page in a fresh browser; `SCREENSHOTS=DIR` keeps what it showed at the end."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(30_000)
        yield page
        folder = Path(os.environ.get("SCREENSHOTS") or tmp_path)
        page.screenshot(path=folder / f"{request.node.name}.png")
        browser.close()


@pytest.fixture
def open_notebook(page: Page, used: list[Lab], request: pytest.FixtureRequest) -> Open:
    """A function that opens a notebook with the given cells in a host, `lab` or `notebook_7`, its kernel running."""

    def open_(*cells: str, kernel: str = "python3", host: str = "lab") -> Notebook:
        server: Lab = request.getfixturevalue(host)
        used.append(server)
        name = f"{''.join(c if c.isalnum() else '-' for c in request.node.name)}.ipynb"
        server.write(name, cells, kernel)
        return Notebook(server, page, name).open()

    return open_
