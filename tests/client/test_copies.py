"""Test that results and media survive JSON, copies and pickling, without their connection."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ExecuteResult

from . import workflows

WAYS: dict[str, Callable[[ExecuteResult], Any]] = {
    "json": lambda result: json.loads(json.dumps(dataclasses.asdict(result))),
    "asdict": dataclasses.asdict,
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    "pickle": lambda result: pickle.loads(pickle.dumps(result)),
}


@pytest.mark.parametrize("graph", [workflows.picture(), workflows.failing(), workflows.text(), workflows.clip()])
@pytest.mark.parametrize("way", WAYS)
async def test_result_survives(way: str, graph: workflows.Graph, kit: ComfyKit) -> None:
    result = await kit.execute(graph)
    again = WAYS[way](result)
    names = ("status", "prompt_id", "msg", "images", "videos", "texts_by_var", "images_by_var", "outputs", "prompt")
    for name in names:
        assert (again[name] if isinstance(again, dict) else getattr(again, name)) == getattr(result, name)
    if not isinstance(again, dict):
        assert repr(again) == repr(result)
        assert again.error == result.error


async def test_serialized_result_contains_no_secret(kit: ComfyKit) -> None:
    result = await kit.options(api_key="planted-secret").execute(workflows.picture())
    assert b"planted-secret" not in pickle.dumps(result)
    assert "planted-secret" not in json.dumps(dataclasses.asdict(result))
