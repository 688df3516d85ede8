"""Run the notebook about clouds on the double of RunningHub and the official proxy of Comfy API v2."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.comfyapi.proxied import Proxied

from .cloud_kernels import QUICK, start_cloud
from .kernels import ROOT, WIDGET


def test_notebook_runs_and_keeps_images_and_costs_but_no_key(sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "workflows").symlink_to(ROOT / "notebooks/workflows")
    (tmp_path / "startup.py").write_text(QUICK)
    book = nbformat.read(ROOT / "notebooks/cloud.ipynb", as_version=4)
    client = NotebookClient(book, timeout=60, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}})
    with start_cloud(sandbox) as cloud, Proxied(sandbox.url) as proxied:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        there = {"COMFYUI_BASE_URL": proxied.url, "RUNNINGHUB_BASE_URL": cloud.url, "RUNNINGHUB_API_KEY": cloud.key}
        there["PYTHONSTARTUP"] = str(tmp_path / "startup.py")
        asyncio.run(client.async_execute(env={**os.environ, "PYTHONPATH": path, **there}))
        assert len(cloud.tasks) == len(cloud.find_requests("create")) + len(cloud.find_requests("ai-app/run")) == 4
        assert not cloud.files.leaks
    html = [
        "".join(output["data"].get("text/html", "") for output in cell.outputs if "data" in output)
        for cell in book.cells
        if cell.cell_type == "code"
    ]
    run, form, app, attached, v2 = (html[index] for index in (1, 3, 5, 6, -1))
    for shown in (run, form, app, attached, v2):
        assert "data:image/webp" in shown
    for shown in (run, form, app, attached):
        assert "coin" in shown
    assert sorted(path.name for path in (tmp_path / "pictures").iterdir()) == ["cloud-fox.png", "cloud-mountains.png"]
    assert WIDGET in str(book.cells[6].outputs)
    assert cloud.key not in nbformat.writes(book)
