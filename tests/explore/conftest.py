"""Fixtures of the tests of kept runs and sweeps."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import loop
from comfykit_jupyter.explore.ledger import recorder
from comfykit_jupyter.sandbox import Sandbox
from tests.client.nodes import GATES, Gate
from tests.kits import MakeKit, closing_kits, hide_settings


@pytest.fixture
def make_kit(sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeKit]:
    """A factory of kits that keep their runs in a folder of the test. They are closed at the end."""
    hide_settings(monkeypatch)

    def create(url: str | None = None, **options: Any) -> ComfyKit:
        return ComfyKit(url or sandbox.url, **{"runs": tmp_path / "runs", **options})

    with closing_kits(create) as make_kit:
        yield make_kit


@pytest.fixture
def gate() -> Iterator[tuple[str, Gate]]:
    """A gate and its name; it is always opened at the end."""
    name = uuid.uuid4().hex
    yield name, GATES[name]
    GATES[name].open()  # it stays open for jobs that begin later


@pytest.fixture
def kit(make_kit: MakeKit) -> ComfyKit:
    return make_kit()


def wait_until_kept(kit: ComfyKit) -> None:
    """Wait until the outputs of all runs that have ended are kept."""
    loop.call(recorder.wait_until_kept(kit.runs.folder), timeout=20)
