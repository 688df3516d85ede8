"""Kits, and servers of Comfy API v2."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.sandbox import Sandbox
from tests.client.conftest import MakeKit, _no_environment, gate, jobs, make_kit

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
