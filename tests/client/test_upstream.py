"""Test that this package and the public `comfykit` 0.1.12 give the same results, except for known defects.

A difference has the number of the defect that causes it; `defects` has a test for each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from comfykit_jupyter.sandbox import Sandbox

from . import workflows
from .packages import OURS, THEIRS, Package, open_package


@pytest.fixture(scope="module")
def ours() -> Iterator[Package]:
    yield from open_package(OURS)


@pytest.fixture(scope="module")
def theirs() -> Iterator[Package]:
    yield from open_package(THEIRS)


def make_fan_out() -> workflows.Graph:
    """Return a workflow with two images of the same width."""
    graph = workflows.picture()
    graph["3"] = {**graph["1"], "_meta": {"title": "$width"}}
    graph["4"] = {"class_type": "SaveImage", "inputs": {"images": ["3", 0], "filename_prefix": "second"}}
    return graph


def make_seeded(seed: int) -> workflows.Graph:
    """Return a workflow whose seed is a parameter."""
    graph = workflows.picture()
    graph["1"]["inputs"]["seed"] = seed
    graph["1"]["_meta"]["title"] = "Canvas, $seed, $width"
    return graph


def make_required() -> workflows.Graph:
    graph = workflows.picture()
    graph["1"]["_meta"]["title"] = "$width!"
    return graph


def make_described() -> workflows.Graph:
    graph = workflows.picture()
    graph["1"]["_meta"]["title"] = "Canvas, $width:how wide, $tall.height!:how tall"
    return graph


def make_untitled() -> workflows.Graph:
    graph = workflows.picture()
    for node in graph.values():
        node.pop("_meta")
    return graph


def make_previewed() -> workflows.Graph:
    graph = workflows.picture()
    graph["3"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}, "_meta": {"title": "$output.look"}}
    return graph


def failing() -> workflows.Graph:
    graph = workflows.failing()
    graph["3"]["_meta"]["title"] = "The bomb"
    return graph


def make_moving() -> workflows.Graph:
    graph = workflows.clip()
    graph["4"] = {"class_type": "SaveAnimatedWEBP", "inputs": {
        "images": ["1", 0], "filename_prefix": "moving", "fps": 8.0, "lossless": True, "quality": 80,
        "method": "default",
    }}  # fmt: skip
    return graph


AGREED: dict[str, tuple[workflows.Graph, dict[str, Any]]] = {
    "a picture": (workflows.picture(), {}),
    "a picture of another size": (workflows.picture(), {"width": 48, "height": 24}),
    "without titles": (make_untitled(), {}),
    "with descriptions": (make_described(), {"width": 48, "tall": 8}),
    "a text": (workflows.text(), {"say": "good morning"}),
    "a text in other letters": (workflows.text(), {"say": "日本語 🎨 \"'\\"}),
    "a sound": (workflows.sound(), {}),
    "a video": (workflows.clip(), {"fps": 12.0}),
    "an animation and a video": (make_moving(), {}),
    "a saved picture and a preview": (make_previewed(), {}),
    "a name on two nodes": (make_fan_out(), {"width": 40}),
    "a seed": (make_seeded(3), {"seed": 77}),
    "a seed of the workflow": (make_seeded(3), {}),
    "several outputs of each": (
        workflows.showing(
            {"images": [{"filename": f"{n}.png", "subfolder": "a/b", "type": "output"} for n in range(3)]},
            {"text": ["one", "two"], "audio": [{"filename": "x.mp3", "subfolder": "", "type": "temp"}]},
            {"gifs": [{"filename": "x.gif", "subfolder": "", "type": "output"}]},
        ),
        {},
    ),
    "a missing required value": (make_required(), {}),
    "a node that fails": (failing(), {}),
    "an unknown choice": (workflows.picture() | {"3": {"class_type": "ImageScale", "inputs": {
        "image": ["1", 0], "upscale_method": "magic", "width": 8, "height": 8, "crop": "disabled"}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}, "2": {
            "class_type": "PreviewImage", "inputs": {"images": ["3", 0]}}}, {}),
    "no output node": ({"1": workflows.picture()["1"]}, {}),
    "an unknown class": ({"1": {"class_type": "Nowhere", "inputs": {}}}, {}),
}  # fmt: skip

FAILED_OUTPUTS = "partial outputs are kept (17)"
DIFFERENT: dict[tuple[str, str], dict[str, str]] = {
    ("a node that fails", executor): dict.fromkeys(
        ("images", "images_by_var", "outputs"), FAILED_OUTPUTS
    ) for executor in ("http", "websocket")
}  # fmt: skip
"""The fields that differ, by scenario and executor type, with the reason."""

COMPARED = (
    "status", "images", "images_by_var", "videos", "videos_by_var", "audios", "audios_by_var", "texts", "texts_by_var",
    "outputs",
)  # fmt: skip


@pytest.mark.parametrize("executor", ["http", "websocket"])
@pytest.mark.parametrize("name", AGREED)
def test_both_packages_agree(
    name: str, executor: str, ours: Package, theirs: Package, sandbox: Sandbox, tmp_path: Path
) -> None:
    graph, params = AGREED[name]
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(graph))
    mine, other = (
        normalize(package.execute(sandbox.url, path, params, executor=executor)) for package in (ours, theirs)
    )
    different = {field: (mine[field], other[field]) for field in COMPARED if mine[field] != other[field]}
    assert set(different) == set(DIFFERENT.get((name, executor), {})), different


def test_settings_from_the_environment_agree(ours: Package, theirs: Package) -> None:
    given = {"COMFYUI_BASE_URL": "http://gpu:1", "RUNNINGHUB_RETRY_COUNT": "7"}
    mine, other = (package.play("settings", kit={}, environment=given) for package in (ours, theirs))
    assert mine == other == {
        "comfyui_url": "http://gpu:1", "executor_type": "http", "runninghub_retry_count": 7
    }  # fmt: skip


def normalize(result: dict[str, Any]) -> Any:
    """Remove what differs between runs, and URL encoding."""
    result["outputs"] = result["outputs"] or {}
    return json.loads(unquote(re.sub(r"_\d{5}_", "_#_", json.dumps(result))))
