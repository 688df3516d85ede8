"""Helpers of the defect tests: files on the server, images, and the prompt that was sent."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from comfykit_jupyter.sandbox import Sandbox
from tests.client.packages import THEIRS, Package
from tests.client.proxy import Proxy

EXECUTORS = pytest.mark.parametrize("executor", ["http", "websocket"])

Write = Callable[[Any], Path]


def get_patience(package: Package) -> float:
    """Return the seconds after which a lost run counts as hanging; `comfykit` polls every 0.1 s without a limit."""
    return 0.5 if package.name == THEIRS else 15.0


def get_posted_prompt(proxy: Proxy) -> dict[str, Any]:
    """Return the prompt that was sent."""
    (seen,) = proxy.requests("POST", "/prompt")
    prompt: dict[str, Any] = json.loads(seen.body)["prompt"]
    return prompt


def make_image(size: int) -> bytes:
    """Return a square image of random pixels."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (size, size), os.urandom(3 * size * size)).save(buffer, "PNG")
    return buffer.getvalue()


def upload(sandbox: Sandbox, name: str, content: bytes, subfolder: str = "") -> None:
    """Upload an input file to the server."""
    httpx.post(
        f"{sandbox.url}/upload/image",
        files={"image": (name, content)},
        data={"type": "input", "subfolder": subfolder, "overwrite": "true"},
    ).raise_for_status()


def open_first_image(result: dict[str, Any]) -> Image.Image:
    assert result["status"] == "completed", result
    return Image.open(io.BytesIO(httpx.get(result["images"][0]).raise_for_status().content))
