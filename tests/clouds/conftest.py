"""Clouds in front of the embedded server."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows

from .asking import WORKFLOW, Asking, asking
from .runninghub import RunningHub


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[RunningHub]:
    """A double of RunningHub that has one workflow: a small picture."""
    with RunningHub(sandbox.url) as cloud:
        cloud.workflows[WORKFLOW] = workflows.picture()
        yield cloud


@pytest.fixture
def ask(cloud: RunningHub) -> Iterator[Asking]:
    """A bare client with the cloud's key."""
    with asking(cloud) as ask:
        yield ask
