"""Fixtures: the real server in COMFYUI_BASE_URL, and a kit of each executor type."""

from __future__ import annotations

import io
import os
import wave
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from comfykit_jupyter import ComfyKit, Workflow
from comfykit_jupyter.client import loop

SHELF = Path(__file__).parents[2] / "notebooks/workflows"

Shelf = Callable[[str], Path]


@pytest.fixture(scope="session")
def url() -> str:
    """The server's address."""
    url = os.environ.get("COMFYUI_BASE_URL")
    if not url:
        pytest.skip("COMFYUI_BASE_URL names no server")
    server = ComfyKit(url).server()
    if not server.reachable:
        pytest.fail(f"COMFYUI_BASE_URL: {server.message}")
    return server.url


@pytest.fixture(params=["http", "websocket"])
def kit(url: str, request: pytest.FixtureRequest) -> Iterator[ComfyKit]:
    kit = ComfyKit(url, request.param, timeout=300)
    yield kit
    loop.call(kit.close())


@pytest.fixture
def shelf(kit: ComfyKit) -> Shelf:
    """Return a function that returns an example workflow, or skips the test if the server lacks one of its nodes."""

    def find(name: str) -> Path:
        path = SHELF / name
        needed = Workflow.parse(path.read_bytes()).classes
        lacking = needed - set(loop.call(kit.find_backend().get_definitions(needed)))
        if lacking:
            pytest.skip(f"the server has no {', '.join(sorted(lacking))}")
        return path

    return find


@pytest.fixture
def model(kit: ComfyKit, shelf: Shelf) -> str:
    """The first checkpoint that the server lists."""
    fields = {field.name: field.to_json() for field in kit.fields(shelf("text_to_image.json"))}
    choices = fields["model"]["choices"]
    if not choices:
        pytest.skip("the server has no checkpoint")
    return str(choices[0])


@pytest.fixture(scope="session")
def beep() -> bytes:
    """Return half a second of a rising tone, as a WAV file."""
    buffer = io.BytesIO()
    with wave.open(buffer, "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(b"".join((at * at // 400 % 8000).to_bytes(2, "little") for at in range(8000)))
    return buffer.getvalue()
