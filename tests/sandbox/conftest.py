"""Fixtures: a server and a client of its protocol."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.sandbox import probes
from tests.sandbox.client import Client


@pytest.fixture
def server() -> Iterator[Sandbox]:
    with Sandbox() as started:
        yield started


@pytest.fixture
def client(server: Sandbox) -> Iterator[Client]:
    with Client(server.url) as connected:
        yield connected


@pytest.fixture
def gate() -> Iterator[probes.Gate]:
    """Holds the runs of `ProbeGate` until the test lets them go."""
    probes.GATE = probes.Gate()
    yield probes.GATE
    probes.GATE.open.set()
