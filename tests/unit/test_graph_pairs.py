"""Test that official templates convert exactly as two versions of the official editor export them."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.workflow.editor.convert import convert, find_classes
from comfykit_jupyter.workflow.nodes import NodeDefinition

_DATA = Path(__file__).parents[2] / "../shared/data/comfyui"
_PAIRS = sorted(path.relative_to(_DATA).as_posix() for path in _DATA.glob("*/ui_to_api/*.json"))


@cache
def load_definitions(version: str) -> dict[str, NodeDefinition]:
    raw = json.loads((_DATA / version / "object_info.json").read_text(encoding="utf-8"))
    return {class_type: NodeDefinition.parse(class_type, each) for class_type, each in raw.items()}


@pytest.mark.parametrize("pair", _PAIRS or [pytest.param("", marks=pytest.mark.skip("recordings not found"))])
def test_template_is_converted_as_by_the_editor(pair: str) -> None:
    data = json.loads((_DATA / pair).read_text(encoding="utf-8"))
    known = load_definitions(pair.partition("/")[0])
    wanted = {class_type: known[class_type] for class_type in find_classes(data["ui"]) if class_type in known}
    found = convert(data["ui"], wanted)
    drawn = [id_ for id_, node in data["api"].items() if node["class_type"] == "Load3D"]
    for id_ in drawn:  # the editor uploaded images of the scene under names with timestamps
        remove_view(found.prompt[id_])
        remove_view(data["api"][id_])
    assert found.prompt == data["api"]
    assert list(found.prompt) == list(data["api"])
    assert len(found.notes) == len(drawn)


def remove_view(node: dict[str, Any]) -> None:
    """Remove what only a rendering browser can supply, but check that the camera position is there."""
    view = node["inputs"]["image"]
    camera = view.pop("camera_info")
    assert view.keys() == {"image", "mask", "normal", "recording", "model_3d_info"}
    node["inputs"]["image"] = {key: camera[key] for key in ("position", "target", "zoom", "cameraType")}
