"""What all tests share: the embedded server, Hypothesis without a clock, and Ctrl-C."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from comfykit_jupyter.sandbox import Sandbox

# How fast the machine is, and how busy, is no property of the code.
settings.register_profile("clockless", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("clockless")

# A shell's job in the background ignores Ctrl-C, and so would the scripts and kernels that the tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One embedded server for the whole session."""
    with Sandbox() as server:
        yield server
