"""What these tests do again and again: files on the server, pictures, what was sent."""

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
from tests.client.proxy import Proxy

WAIT = 6.0
"""Seconds after which a run that nothing is left of is said to hang."""

EXECUTORS = pytest.mark.parametrize("executor", ["http", "websocket"])

Write = Callable[[Any], Path]


def posted(proxy: Proxy) -> dict[str, Any]:
    """The prompt that was sent."""
    (seen,) = proxy.requests("POST", "/prompt")
    prompt: dict[str, Any] = json.loads(seen.body)["prompt"]
    return prompt


def picture_of(size: int) -> bytes:
    """A square picture, never the same twice."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (size, size), os.urandom(3 * size * size)).save(buffer, "PNG")
    return buffer.getvalue()


def put(sandbox: Sandbox, name: str, content: bytes, subfolder: str = "") -> None:
    """Have a file on the server."""
    httpx.post(
        f"{sandbox.url}/upload/image",
        files={"image": (name, content)},
        data={"type": "input", "subfolder": subfolder, "overwrite": "true"},
    ).raise_for_status()


def shown_picture(told: dict[str, Any]) -> Image.Image:
    assert told["status"] == "completed", told
    return Image.open(io.BytesIO(httpx.get(told["images"][0]).raise_for_status().content))
