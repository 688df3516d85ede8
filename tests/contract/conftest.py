"""Fixtures of the contract tests: a kit for each backend in turn, and the jobs of its server."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import loop
from comfykit_jupyter.sandbox import Sandbox
from tests.client.conftest import Jobs, gate, jobs
from tests.clouds.conftest import quick

from .places import Place, open_place

__all__ = ["gate", "jobs", "quick"]

MakeKit = Callable[..., ComfyKit]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hide the machine's own settings."""
    for name in [name for name in os.environ if name.startswith(("COMFYUI_", "RUNNINGHUB_"))]:
        monkeypatch.delenv(name)


@pytest.fixture(params=["comfyui", "comfyapi", "runninghub"], scope="module")
def place(request: pytest.FixtureRequest, sandbox: Sandbox) -> Iterator[Place]:
    """A place for each backend in turn."""

    def count_jobs() -> int:
        with contextlib.closing(Jobs(sandbox.url)) as jobs:
            queue = len(jobs.queue())
        return queue + len(httpx.get(f"{sandbox.url}/history").json())

    with open_place(request.param, sandbox, count_jobs) as place:
        yield place


@pytest.fixture
def make_kit(place: Place, quick: None) -> Iterator[MakeKit]:
    """A factory of kits for this backend. They are closed at the end."""
    kits: list[ComfyKit] = []

    def make(**options: Any) -> ComfyKit:
        kits.append(place.make_kit(**options))
        return kits[-1]

    yield make
    for kit in kits:
        loop.call(kit.close())


@pytest.fixture
def kit(make_kit: MakeKit) -> ComfyKit:
    """A kit for this backend."""
    return make_kit()
