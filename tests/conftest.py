"""What all tests share: the embedded server, Hypothesis without a clock, and Ctrl-C."""

from __future__ import annotations

import os
import signal
import tempfile
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

# The notes of jobs that run in clouds are the user's: those of the tests, and of their kernels, lie elsewhere.
_state = tempfile.TemporaryDirectory(prefix="comfykit-tests-")
os.environ["XDG_STATE_HOME"] = _state.name


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One embedded server for the whole session."""
    with Sandbox() as server:
        yield server
