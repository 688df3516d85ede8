"""Recordings of real servers, which not every checkout has. Tests that need them are skipped without them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.workflow.nodes import NodeDefinition

_DATA = Path(__file__).parents[2] / "../shared/data/comfyui/0.33.0"

PAIRS = sorted(path.stem for path in (_DATA / "ui_to_api").glob("*.json"))
RUNS = [path.stem for path in sorted((_DATA / "transcripts").glob("*.json")) if '"/history/' in path.read_text("utf-8")]


def load(path: str) -> Any:
    """Return the JSON of one recording."""
    file = _DATA / path
    if not file.is_file():
        pytest.skip(f"recording not found: {path}")
    return json.loads(file.read_text(encoding="utf-8"))


def load_transcript(name: str) -> list[dict[str, Any]]:
    """Return one run: its socket messages and HTTP exchanges, in order."""
    entries: list[dict[str, Any]] = load(f"transcripts/{name}.json")
    return entries


@cache
def _definitions() -> dict[str, NodeDefinition]:
    raw = load("object_info.json")
    return {class_type: NodeDefinition.parse(class_type, each) for class_type, each in raw.items()}


def load_definitions() -> dict[str, NodeDefinition]:
    """Return all node classes of a real server."""
    return _definitions()
