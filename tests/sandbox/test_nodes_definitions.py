"""The nodes have ComfyUI's names, types, defaults and bounds."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox.definitions import Definitions
from comfykit_jupyter.sandbox.folders import ServerFolders
from comfykit_jupyter.sandbox.interface.node import NODES
from tests.sandbox.node_run import NodeRun

RECORDED = Path(__file__).parents[3] / "shared" / "data" / "comfyui" / "0.33.0" / "object_info.json"
WORKFLOWS = sorted((Path(__file__).parents[2] / "notebooks" / "workflows").glob("*.json"))
TEXTS = {"tooltip"}
FILES = {
    ("LoadImage", "image"), ("LoadImageMask", "image"), ("LoadAudio", "audio"), ("LoadVideo", "file"),
    ("CheckpointLoaderSimple", "ckpt_name"), ("LoraLoader", "lora_name"),
}  # fmt: skip


@cache
def read_recorded_definitions() -> dict[str, Any]:
    if not RECORDED.is_file():
        pytest.skip("the recorded /object_info is not here")
    loaded: dict[str, Any] = json.loads(RECORDED.read_text(encoding="utf-8"))
    return loaded


def strip_texts(spec: Any) -> Any:
    """Return an input's specification without its texts."""
    if isinstance(spec, dict):
        return {key: strip_texts(value) for key, value in spec.items() if key not in TEXTS}
    if isinstance(spec, (list, tuple)):
        return [strip_texts(value) for value in spec]
    return spec


def get_inputs(info: dict[str, Any], section: str) -> dict[str, Any]:
    found = {}
    for name, spec in info["input"].get(section, {}).items():
        kind, options = (*spec, {})[:2]
        if (info["name"], name) in FILES:  # the choices are files, which differ between machines
            kind = "FILES" if isinstance(kind, (list, tuple)) else kind
            options = {key: value for key, value in options.items() if key != "options"}
        found[name] = strip_texts([kind, options])
    return found


@pytest.mark.parametrize(
    "class_type", sorted(name for name, node in NODES.items() if node.run.__module__.startswith("comfykit_jupyter."))
)
def test_a_definition_matches_comfyui(class_type: str, tmp_path: Path) -> None:
    theirs = read_recorded_definitions()[class_type]
    ours = Definitions(ServerFolders(tmp_path)).build_object_info(class_type)
    for section in ("required", "optional"):
        assert get_inputs(ours, section) == get_inputs(theirs, section)
        assert ours["input_order"].get(section, []) == theirs["input_order"].get(section, [])
    for key in ("output", "output_name", "display_name", "category", "output_node"):
        assert ours[key] == theirs[key]
    for key in ("deprecated", "experimental"):
        assert ours.get(key, False) == theirs.get(key, False)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_the_example_workflows_use_only_nodes_and_values_of_comfyui(path: Path) -> None:
    for node in json.loads(path.read_text(encoding="utf-8")).values():
        info = read_recorded_definitions()[node["class_type"]]
        known = {**info["input"]["required"], **info["input"].get("optional", {})}
        assert set(info["input"]["required"]) <= set(node["inputs"]) <= set(known)
        for name, value in node["inputs"].items():
            if isinstance(value, list) or (node["class_type"], name) in FILES:
                continue
            kind, options = (*known[name], {})[:2]
            choices = kind if isinstance(kind, list) else options.get("options")
            if isinstance(choices, list):
                assert value in [choice["key"] if isinstance(choice, dict) else choice for choice in choices]
            else:
                assert options.get("min", value) <= value <= options.get("max", value)


def test_loaders_list_input_files_and_built_in_models(tmp_path: Path) -> None:
    run = NodeRun(tmp_path)
    for name in ("a.png", "b.mp4", "c.flac", "d.txt"):
        (run.folders.input / name).write_bytes(b"x")
    definitions = Definitions(run.folders)
    assert definitions.list_inputs("LoadImage")["image"][0] == ["a.png"]
    assert definitions.list_inputs("LoadVideo")["file"][1]["options"] == ["b.mp4"]
    assert "c.flac" in definitions.list_inputs("LoadAudio")["audio"][1]["options"]
    assert all(
        "no diffusion model" in name for name in definitions.list_inputs("CheckpointLoaderSimple")["ckpt_name"][0]
    )


@pytest.mark.parametrize(
    ("class_type", "field", "kind"),
    [("LoadImage", "image", "image"), ("LoadAudio", "audio", "audio"), ("LoadVideo", "file", "video")],
)
@pytest.mark.parametrize("name", ["nowhere.png", "../outside.png", "/etc/passwd"])
def test_a_missing_file_is_rejected(class_type: str, field: str, kind: str, name: str, tmp_path: Path) -> None:
    validate = NODES[class_type].validate
    assert validate is not None
    assert validate(NodeRun(tmp_path).folders, **{field: name}) == f"Invalid {kind} file: {name}"


def test_a_file_is_read_again_when_its_content_changes(tmp_path: Path) -> None:
    run = NodeRun(tmp_path)
    fingerprint = NODES["LoadImage"].fingerprint
    assert fingerprint is not None
    seen = set()
    for content in (b"one", b"two", b"one"):
        (run.folders.input / "a.png").write_bytes(content)
        seen.add(fingerprint(run.folders, image="a.png"))
    assert len(seen) == 2
