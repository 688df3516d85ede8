"""One JupyterLab, one browser and one embedded server for all browser tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from comfykit_jupyter.sandbox import Sandbox

from .chromium import find_chromium
from .lab import PATIENCE, ROOT, Lab, Notebook, running_lab

Open = Callable[..., Notebook]

expect.set_options(timeout=PATIENCE * 1000)
VIEWPORT: ViewportSize = {"width": 1280, "height": 1000}
LAB_READY = "() => window.jupyterapp?.restored.then(() => true)"
TIDY = """async () => {
    const { shell } = window.jupyterapp;
    for (const widget of [...shell.widgets("main")]) widget.dispose();
    localStorage.clear();
    sessionStorage.clear();
    return !document.querySelector(".jp-Dialog, .jp-Notebook, .ck-root");
}"""
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
    """What the kernels of all servers get: the address of the embedded server, and the folder of the workflows."""
    return {
        "COMFYUI_BASE_URL": sandbox.url,
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]).rstrip(os.pathsep),
        "WORKFLOWS": str(ROOT / "notebooks/workflows"),
    }


@pytest.fixture(scope="package")
def lab(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A JupyterLab server."""
    with running_lab(tmp_path_factory.mktemp("lab"), environment) as lab:
        yield lab


@pytest.fixture(scope="package")
def notebook_7(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A Notebook 7 server."""
    with running_lab(tmp_path_factory.mktemp("notebook"), environment, "notebook") as server:
        yield server


# Of the package, not of the session: while Playwright is there, no other test of this process can run an event loop.
@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """One browser for all tests."""
    chromium = find_chromium()
    if chromium is None:
        pytest.skip("no Chromium on this machine")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=CHROMIUM_OPTIONS)
        yield browser
        browser.close()


class Desk:
    """A page with JupyterLab in which each test opens its notebook, because loading the page takes longest."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._page: Page | None = None

    def page(self, lab: Lab) -> Page:
        """Return the page; it is loaded if there is none, or the last test left it in disorder."""
        if self._page is None:
            self._page = new_page(self._browser)
            self._page.goto(f"{lab.url}/lab?reset&token={lab.token}")
            self._page.wait_for_function(LAB_READY)
        return self._page

    def tidy(self, lab: Lab, *, failed: bool) -> None:
        """Close all notebooks and forget what the browser keeps of them, or the page where that can't be done."""
        assert self._page is not None
        self._page.unroute_all()
        self._page.set_viewport_size(VIEWPORT)
        if failed or not self._page.url.startswith(f"{lab.url}/lab") or not self._page.evaluate(TIDY):
            self._page.context.close()
            self._page = None


@pytest.fixture(scope="package")
def desk(browser: Browser) -> Desk:
    """The page with JupyterLab that tests share."""
    return Desk(browser)


@pytest.fixture
def used() -> Iterator[list[Lab]]:
    """The servers on which a test opened notebooks; their kernels are ended after the page is closed."""
    servers: list[Lab] = []
    yield servers
    for server in servers:
        server.end_kernels()


@pytest.fixture
def page(
    request: pytest.FixtureRequest, tmp_path: Path, used: list[Lab], browser: Browser, desk: Desk
) -> Iterator[Page]:
    """A page: the shared JupyterLab for tests that open notebooks there, a new one in a context of its own for others.

    `@pytest.mark.own_page` asks for a new one. What the page showed at the end is kept if the test failed, and always
    in `SCREENSHOTS=DIR`.
    """
    parameters = request.node.callspec.params if hasattr(request.node, "callspec") else {}
    shared = "open_notebook" in request.fixturenames and parameters.get("host", "lab") == "lab"
    failures = request.session.testsfailed
    lab: Lab | None = None
    if shared and request.node.get_closest_marker("own_page") is None:
        lab = request.getfixturevalue("lab")
        page = desk.page(lab)
    else:
        page = new_page(browser)
    yield page
    failed = request.session.testsfailed > failures
    if (screenshots := os.environ.get("SCREENSHOTS")) or failed:
        page.screenshot(path=Path(screenshots or tmp_path) / f"{request.node.name}.png")
    if lab is not None:
        desk.tidy(lab, failed=failed)
    else:
        page.context.close()


def new_page(browser: Browser) -> Page:
    """A page in its own context, which shares nothing with other tests."""
    page = browser.new_context(viewport=VIEWPORT).new_page()
    page.set_default_timeout(PATIENCE * 1000)
    return page


@pytest.fixture
def open_notebook(page: Page, used: list[Lab], request: pytest.FixtureRequest) -> Open:
    """A function that opens a notebook with these cells in a host, `lab` or `notebook_7`, with a running kernel."""

    def open_(*cells: str, kernel: str = "python3", host: str = "lab") -> Notebook:
        server: Lab = request.getfixturevalue(host)
        used.append(server)
        name = f"{''.join(c if c.isalnum() else '-' for c in request.node.name)}.ipynb"
        server.write(name, cells, kernel)
        notebook = Notebook(server, page, name)
        return notebook.show() if page.url.startswith(f"{server.url}/lab") else notebook.open()

    return open_
