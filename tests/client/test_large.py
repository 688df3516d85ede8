"""Test that large files are uploaded and downloaded in chunks, with constant memory."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy, Served

ROOT = Path(__file__).parents[2]
MEGABYTE = 1 << 20
SIZE = 100_000_000
"""Bytes; about the largest upload that a server accepts by default."""
ADDED = 16 * MEGABYTE
"""Bytes by which a process may grow during an upload or download."""

SCRIPT = """
import json, resource, sys

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.local_files import get_local_folder

url, form, large, small, inverted, showing = json.loads(sys.argv[1])
unit = 1 if sys.platform == "darwin" else 1024
kit = ComfyKit(url, raise_on_error=False)

def send(path):
    if form == "file":
        with open(path, "rb") as file:
            return kit.run(inverted, image=file)
    return kit.run(inverted, image=path)

def fetch(result):
    name = result.prompt["1"]["inputs"]["image"]
    return kit.run(json.loads(showing.replace("NAME", name))).image.path.stat().st_size

def files():
    return {path for path in get_local_folder().iterdir() if path.is_file()}

fetch(send(small))  # load everything that the first run needs
there = files()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
sent = send(large)
up = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
size = fetch(sent)
down = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
left = len(files() - there)
print(json.dumps({"up": up - before, "down": down - up, "size": size, "left": left}))
"""


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A large file and a small one, with random content."""
    large, small = tmp_path / "large.png", tmp_path / "small.png"
    for path, size in ((large, SIZE), (small, 1000)):
        path.write_bytes(os.urandom(1000))
        os.truncate(path, size)
    return large, small


@pytest.mark.parametrize("form", ["path", "file", "url"])
def test_memory_does_not_grow_with_the_file(form: str, sandbox: Sandbox, files: tuple[Path, Path]) -> None:
    pytest.importorskip("resource")

    async def serve(request: web.Request) -> web.StreamResponse:
        return web.FileResponse(files[0] if "large" in request.path else files[1])

    with Served(serve) as site:
        names = [f"{site.url}/{path.name}" if form == "url" else str(path) for path in files]
        entry = {"images": [{"filename": "NAME", "subfolder": "", "type": "input"}]}
        arguments = [sandbox.url, form, *names, workflows.inverted(), json.dumps(workflows.showing(entry))]
        done = subprocess.run(
            [sys.executable, "-c", SCRIPT, json.dumps(arguments)], capture_output=True, text=True, cwd=ROOT, timeout=300
        )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["size"] == SIZE
    assert found["up"] <= ADDED, found
    assert found["down"] <= ADDED, found
    assert found["left"] == 0


def test_large_file_on_the_server_is_not_uploaded_again(
    proxy: Proxy, make_kit: MakeKit, files: tuple[Path, Path]
) -> None:
    kit = make_kit(proxy.url, raise_on_error=False)
    kit.run(workflows.inverted(), image=files[0])
    sent = sum(len(seen.body) for seen in proxy.seen)
    assert sent > SIZE
    proxy.seen.clear()
    make_kit(proxy.url, raise_on_error=False).run(workflows.inverted(), image=files[0])
    assert sum(len(seen.body) for seen in proxy.seen) < 10_000
    assert not proxy.requests("POST", "/upload/image")
