"""Fixtures: Comfy API v2 servers, and kits for them."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.comfyapi import backend, follow
from comfykit_jupyter.sandbox import Sandbox
from tests.client.conftest import _no_environment, gate, jobs, make_kit
from tests.kits import MakeKit

from .double import KEY, Double
from .proxied import Proxied

__all__ = ["_no_environment", "gate", "jobs", "make_kit"]


@pytest.fixture(scope="session")
def proxied(sandbox: Sandbox) -> Iterator[Proxied]:
    """The official proxy in front of the embedded server."""
    with Proxied(sandbox.url) as proxied:
        yield proxied


@pytest.fixture(params=["http", "websocket"])
def either(request: pytest.FixtureRequest, proxied: Proxied, make_kit: MakeKit) -> ComfyKit:
    """A kit of each executor type for that proxy."""
    return make_kit(proxied.url, executor_type=request.param)


@pytest.fixture
def kit(proxied: Proxied, make_kit: MakeKit) -> ComfyKit:
    """A kit for that proxy."""
    return make_kit(proxied.url)


@pytest.fixture
def double() -> Iterator[Double]:
    """A strict double of the API, which runs nothing."""
    with Double() as double:
        yield double


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Shorten the client's pauses."""
    monkeypatch.setattr(follow, "LOOK_FIRST", 0.01)
    monkeypatch.setattr(follow, "LOOK_MOST", 0.05)
    monkeypatch.setattr(follow, "REOPEN_FIRST", 0.01)
    monkeypatch.setattr(follow, "SETTLING", 0.1)
    monkeypatch.setattr(backend, "LOST_PAUSES", (0.01, 0.02, 0.05))


@pytest.fixture
def cloud_kit(double: Double, make_kit: MakeKit, quick: None) -> ComfyKit:
    """A kit for the double, with its key."""
    return make_kit(double.base, api_key=KEY)
