"""Start kernels that have a local double of RunningHub, with the workflows of the shelf, and no ComfyUI server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.runninghub import RunningHub, changes
from tests.clouds.runninghub.__main__ import fill

from .kernels import Cell, Page, kernel

NOWHERE = "http://127.0.0.1:9"
"""An address without a server: a workflow on a cloud needs none."""

PICTURE, REPAINT, TEXT = "1904136902449209346", "1904136902449209347", "1904136902449209348"
APP = "rh-app:1937084629516193794"
SMALL = "width=128 height=128 steps=2"
LONG = f"%comfykit run {PICTURE} width=256 height=256 steps=3000"


QUICK = "__import__('tests.clouds.pauses', fromlist=['pauses']).shorten_pauses(factor=20)"
"""Code that makes a kernel look again soon: the double answers at once."""


@contextlib.contextmanager
def start_cloud(sandbox: Sandbox) -> Iterator[RunningHub]:
    """Start a double with the workflows and apps of the shelf."""
    with RunningHub(sandbox.url) as cloud:
        fill(cloud)
        cloud.waits_for_socket = True
        yield cloud


@contextlib.contextmanager
def cloud_kernel(cloud: RunningHub, folder: Path, key: str | None = None, **more: str) -> Iterator[Page]:
    """Start a kernel with the cloud's key, or another one, and connect a page to it."""
    key = cloud.key if key is None else key
    environment = {"COMFYUI_BASE_URL": NOWHERE, "RUNNINGHUB_BASE_URL": cloud.url, "RUNNINGHUB_API_KEY": key}
    with kernel(folder, None, **environment, **more) as page:
        loaded = page.run("%load_ext comfykit_jupyter\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        assert loaded.status == "ok", loaded.error
        quick = page.run(QUICK)
        assert quick.status == "ok", quick.error
        yield page


def collect_received(page: Page) -> str:
    """Collect everything that the page has received: outputs, traits, messages."""
    outputs = [cell.outputs for cell in page.cells.values()]
    return repr((outputs, [(model.state, model.history, model.messages) for model in page.models.values()]))


def begin_run(page: Page, cloud: RunningHub, steps: int = 3000) -> str:
    """Start a long run, called `run`, wait until the cloud runs it, and return the ID of its task."""
    before = len(cloud.tasks)
    page.run(f"run = kit.submit('{PICTURE}', steps={steps}, width=256, height=256)")
    cloud.wait_for(lambda: len(cloud.tasks) > before and cloud.task.begun)
    return cloud.task.id


@contextlib.contextmanager
def holding_tasks(cloud: RunningHub) -> Iterator[Callable[[], None]]:
    """Let the cloud say of all its tasks that they run, until the function that is yielded is called."""
    cloud.answer("v2/query", changes.with_state("RUNNING"), times=None)
    try:
        yield lambda: cloud.reset_answer("v2/query")
    finally:
        cloud.reset_answer("v2/query")


def wait_until_running(page: Page, cell: Cell) -> None:
    """Wait until the run of a cell has reached its sampler."""
    model = page.model(cell)
    page.wait(lambda: model.state["status"] == "running" and model.state["progress"].get("step"))
