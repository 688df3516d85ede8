"""A JupyterLab server and its notebooks in a real browser, for the tests in this folder."""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import nbformat
from playwright.sync_api import Locator, Page

from tests.ports import find_free_port

ROOT = Path(__file__).parents[2]
KERNELS = ROOT / ".venv/kernels"
EXTENSION = ROOT / "labextension"
PATIENCE = 120
"""Seconds that something may take: how busy the machine is says nothing about the code."""
SETTINGS = {
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}

OPEN = "path => window.jupyterapp.commands.execute('docmanager:open', { path }).then(() => null)"
RESTORED = "!document.querySelector('.jp-mod-restoring')"
"""Until then JupyterLab may open the notebook of the page's address once more, also one that was closed meanwhile."""
KERNEL_IDLE = f"""() => {{
    const widget = window.jupyterapp?.shell.currentWidget;
    const context = widget?.sessionContext ?? widget?.context?.sessionContext;
    const kernel = context?.session?.kernel;
    return {RESTORED} && kernel?.connectionStatus === 'connected' && kernel.status === 'idle';
}}"""


class Lab:
    """A JupyterLab server with its own folders, on a free port."""

    def __init__(self, folder: Path, environment: dict[str, str], app: str = "lab", *options: str) -> None:
        self.folder = folder
        self.app = app
        self.token = secrets.token_hex(8)
        self.notebooks = folder / "notebooks"
        self.notebooks.mkdir(parents=True)
        homes = {
            name: folder / name.lower()
            for name in (
                "HOME",
                "JUPYTER_CONFIG_DIR",
                "JUPYTER_DATA_DIR",
                "JUPYTER_RUNTIME_DIR",
                "JUPYTERLAB_SETTINGS_DIR",
                "JUPYTERLAB_WORKSPACES_DIR",
                "IPYTHONDIR",
            )
        }
        for home in homes.values():
            home.mkdir()
        self._settings = homes["JUPYTERLAB_SETTINGS_DIR"]
        for name, setting in SETTINGS.items():
            self.set(name, setting)
        self._install_kernels(homes["JUPYTER_DATA_DIR"] / "kernels")
        # The extension of this source tree, not the one that was last installed.
        if EXTENSION.is_dir():
            shutil.copytree(EXTENSION, homes["JUPYTER_DATA_DIR"] / "labextensions/comfykit-jupyter")
        self._environment = os.environ | {name: str(home) for name, home in homes.items()} | environment
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = (folder / "lab.log").open("w")
        self._process = subprocess.Popen(
            [
                sys.executable,
                *("-m", "jupyter", app, "--no-browser", "--allow-root", "--expose-app-in-browser"),
                *("--ServerApp.ip=127.0.0.1", f"--ServerApp.port={self.port}", "--ServerApp.port_retries=0"),
                *(f"--IdentityProvider.token={self.token}", f"--ServerApp.root_dir={self.notebooks}", *options),
            ],
            env=self._environment,
            stdout=self._log,
            stderr=subprocess.STDOUT,
        )
        self._wait()

    def set(self, name: str, setting: dict[str, Any]) -> None:
        """Write a setting of JupyterLab, by the name of its file."""
        path = self._settings / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(setting))

    def run(self, *command: str) -> None:
        """Run a command of Jupyter on the folders of this server."""
        subprocess.run([sys.executable, "-m", "jupyter", *command], env=self._environment, check=True)

    def stop(self) -> None:
        """Stop the server and its kernels."""
        self._process.terminate()
        try:
            self._process.wait(15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._log.close()

    def _install_kernels(self, folder: Path) -> None:
        """Write a kernelspec for each older kernel: the same environment with another ipykernel first."""
        for packages in KERNELS.glob("*") if KERNELS.is_dir() else []:
            spec = folder / f"ipykernel-{packages.name}"
            spec.mkdir(parents=True)
            (spec / "kernel.json").write_text(
                json.dumps(
                    {
                        "argv": [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
                        "display_name": spec.name,
                        "language": "python",
                        "env": {"PYTHONPATH": os.pathsep.join([str(packages), str(ROOT)])},
                        "metadata": {"supported_features": []},
                    }
                )
            )

    def _wait(self) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                self._ask("GET", "status")
                return
            except (urllib.error.URLError, OSError):
                if time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError((self.folder / "lab.log").read_text()) from None
                time.sleep(0.1)

    def end_kernels(self) -> None:
        """Shut down all kernels: the next test needs the memory."""
        for kernel in self._ask("GET", "kernels"):
            self._ask("DELETE", f"kernels/{kernel['id']}")

    def _ask(self, method: str, path: str) -> Any:
        request = urllib.request.Request(
            f"{self.url}/api/{path}", headers={"Authorization": f"token {self.token}"}, method=method
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return json.loads(answer.read() or "null")

    def write(self, name: str, cells: Sequence[str], kernel: str = "python3") -> None:
        """Write a notebook with these code cells."""
        notebook = nbformat.v4.new_notebook(
            cells=[nbformat.v4.new_code_cell(source) for source in cells],
            metadata={"kernelspec": {"name": kernel, "display_name": kernel, "language": "python"}},
        )
        nbformat.write(notebook, self.notebooks / name)


class Notebook:
    """A notebook opened in a page."""

    def __init__(self, lab: Lab, page: Page, name: str) -> None:
        self.lab, self.page, self.name = lab, page, name

    def show(self) -> Notebook:
        """Open it in the JupyterLab that is loaded, and wait for the kernel."""
        self.page.evaluate(OPEN, self.name)
        self.wait_for_kernel()
        return self

    def open(self) -> Notebook:
        """Load the page with it, and wait for the kernel."""
        address = f"lab/tree/{self.name}?reset&" if self.lab.app == "lab" else f"notebooks/{self.name}?"
        self.page.goto(f"{self.lab.url}/{address}token={self.lab.token}")
        self.wait_for_kernel()
        return self

    def reload(self) -> None:
        """Reload the page, as a user does, and wait until what was open is open again."""
        self.page.reload()
        self.page.wait_for_function(f"() => document.querySelector('.jp-Notebook .jp-Cell') && {RESTORED}")

    def wait_for_kernel(self) -> None:
        """Wait until the kernel is connected and idle."""
        self.page.wait_for_function(KERNEL_IDLE)

    def cell(self, index: int) -> Locator:
        """Return a cell of the notebook in sight: one that a test has left may not be closed yet."""
        return self.page.locator(".jp-Notebook:visible .jp-Cell").nth(index)

    def output(self, index: int) -> Locator:
        """Return the output area of a cell."""
        return self.cell(index).locator(".jp-Cell-outputWrapper")

    def start(self, index: int) -> None:
        """Run a cell, and return at once."""
        self.cell(index).locator(".jp-InputArea-editor").click()
        self.page.keyboard.press("Control+Enter")

    def wait_for_end(self, index: int, timeout: float = PATIENCE) -> None:
        """Wait at most `timeout` seconds for a started cell to end."""
        prompt = self.cell(index).locator(".jp-InputArea-prompt")
        self.page.wait_for_function(
            r"prompt => /\[\d+\]/.test(prompt.textContent)", arg=prompt.element_handle(), timeout=timeout * 1000
        )

    def run(self, index: int, timeout: float = PATIENCE) -> str:
        """Run a cell, wait for its end, and return the text of its output."""
        self.start(index)
        self.wait_for_end(index, timeout)
        return self.text(index)

    def text(self, index: int) -> str:
        """Return the text of a cell's output."""
        return "\n".join(self.output(index).all_inner_texts())

    def save(self) -> None:
        """Save the notebook."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.context.save()")

    def shut_down(self) -> None:
        """Shut down the kernel, as at the end of a day."""
        self.page.evaluate("() => window.jupyterapp.shell.currentWidget.sessionContext.shutdown()")

    def command(self, name: str) -> None:
        """Execute a command of JupyterLab, such as `notebook:interrupt-kernel`."""
        self.page.evaluate("name => window.jupyterapp.commands.execute(name)", name)


@contextmanager
def running_lab(folder: Path, environment: dict[str, str], app: str = "lab", *options: str) -> Iterator[Lab]:
    """Run a JupyterLab server, or a Notebook 7 server with `app="notebook"`, during a `with` block."""
    lab = Lab(folder, environment, app, *options)
    try:
        yield lab
    finally:
        lab.stop()
