"""What all tests share: the embedded server, for those that need a ComfyUI, and Hypothesis without a clock."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from comfykit_jupyter.sandbox import Sandbox

# How fast the machine is, and how busy, is no property of the code.
settings.register_profile("clockless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clockless")


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One embedded server for the whole session."""
    with Sandbox() as server:
        yield server
