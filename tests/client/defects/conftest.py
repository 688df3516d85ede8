"""Fixtures of the defect tests: the two packages, and a writer of workflow files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.client.packages import OURS, THEIRS, Package, open_package

from .scenes import Write


@pytest.fixture(
    scope="module",
    params=[OURS, pytest.param(THEIRS, marks=pytest.mark.xfail(raises=AssertionError, strict=True, reason="defect"))],
)
def package(request: pytest.FixtureRequest) -> Iterator[Package]:
    yield from open_package(request.param)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    """Return a function that writes a workflow to a file."""

    def to_file(graph: Any) -> Path:
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(graph))
        return path

    return to_file
