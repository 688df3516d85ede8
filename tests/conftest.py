"""The embedded server, shared by all tests that need a ComfyUI."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from comfykit_jupyter.sandbox import Sandbox


@pytest.fixture(scope="session")
def sandbox() -> Iterator[Sandbox]:
    """One embedded server for the whole session."""
    with Sandbox() as server:
        yield server
