"""Fixtures of the contract tests: a kit for each backend in turn, and the jobs of its server."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import httpx
import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.sandbox import Sandbox
from tests.client.conftest import Jobs, gate, jobs
from tests.clouds.conftest import quick
from tests.kits import MakeKit, closing_kits, hide_settings

from .places import Place, open_place

__all__ = ["gate", "jobs", "quick"]


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_settings(monkeypatch)


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
    """A function that creates kits for this backend."""
    with closing_kits(place.make_kit) as make_kit:
        yield make_kit


@pytest.fixture
def kit(make_kit: MakeKit) -> ComfyKit:
    """A kit for this backend."""
    return make_kit()
