"""Kernels that know a local double of RunningHub with the workflows of the shelf, and no ComfyUI server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.runninghub import RunningHub
from tests.clouds.runninghub.__main__ import fill

from .kernels import Cell, Page, kernel

NOWHERE = "http://127.0.0.1:9"
"""An address that nobody listens at: what is asked of a cloud's workflow is not asked there."""

PICTURE, REPAINT, TEXT = "1904136902449209346", "1904136902449209347", "1904136902449209348"
APP = "rh-app:1937084629516193794"
SMALL = "width=128 height=128 steps=2"
LONG = f"%comfykit run {PICTURE} width=256 height=256 steps=3000"


@contextlib.contextmanager
def shelf(sandbox: Sandbox) -> Iterator[RunningHub]:
    """A double with the workflows and apps of the shelf."""
    with RunningHub(sandbox.url) as cloud:
        fill(cloud)
        cloud.waits_for_socket = True
        yield cloud


@contextlib.contextmanager
def cloud_kernel(cloud: RunningHub, folder: Path, key: str | None = None, **more: str) -> Iterator[Page]:
    """A page in front of a kernel that has the cloud's key, or another one."""
    key = cloud.key if key is None else key
    environment = {"COMFYUI_BASE_URL": NOWHERE, "RUNNINGHUB_BASE_URL": cloud.url, "RUNNINGHUB_API_KEY": key}
    with kernel(folder, None, **environment, **more) as page:
        loaded = page.run("%load_ext comfykit_jupyter\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        assert loaded.status == "ok", loaded.error
        yield page


def known_to(page: Page) -> str:
    """All that the page was told: outputs, traits, messages."""
    told = [cell.outputs for cell in page.cells.values()]
    return repr((told, [(model.state, model.history, model.messages) for model in page.models.values()]))


def begun(page: Page, cloud: RunningHub, steps: int = 3000) -> str:
    """Begin a long run, `run`, and wait until the cloud has come to it; returns the id of its task."""
    before = len(cloud.tasks)
    page.run(f"run = kit.submit('{PICTURE}', steps={steps}, width=256, height=256)")
    cloud.wait_for(lambda: len(cloud.tasks) > before and cloud.task.begun)
    return cloud.task.id


def running(page: Page, cell: Cell) -> None:
    """Wait until the run of a cell samples."""
    model = page.model(cell)
    page.wait(lambda: model.state["status"] == "running" and model.state["progress"].get("step"))
