"""Test that a LoRA's strength is set, and that a loader is inserted where there is none."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, lora
from comfykit_jupyter.client import loop
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.loras import find_lora, set_lora
from comfykit_jupyter.workflow.nodes import Definitions

WORKFLOW = Path(__file__).parents[2] / "notebooks/workflows/text_to_image.json"


@pytest.fixture
def graph() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(WORKFLOW.read_text())
    return found


def load_definitions(kit: ComfyKit, classes: list[str]) -> Definitions:
    return loop.call(kit.find_backend().get_definitions(classes))


def find_loaders(prompt: dict[str, Any]) -> list[dict[str, Any]]:
    return [node["inputs"] for node in prompt.values() if node["class_type"].startswith("LoraLoader")]


def test_a_sweep_over_strengths_inserts_a_loader(kit: ComfyKit, graph: dict[str, Any]) -> None:
    name = kit.models("loras")[0]
    sweep = kit.sweep(graph, width=64, height=64, over={"style": lora(Path(name).stem, [0, 0.5, 1])})
    assert f"a loader for {name} is inserted" in str(sweep.plan)
    sweep.wait()
    assert [len(find_loaders(row.prompt)) for row in sweep.done] == [0, 1, 1]
    assert find_loaders(sweep.at(style=0.5).prompt)[0]["strength_clip"] == 0.5
    pictures = {row.image.read() for row in sweep.done}
    assert len(pictures) == 3
    assert kit.sweep(graph, width=64, height=64, over={"style": lora(name, [0, 0.5, 1])}).plan.count("have") == 3


def test_an_own_loader_is_set_and_a_new_one_goes_behind_it(kit: ComfyKit, graph: dict[str, Any]) -> None:
    definitions = load_definitions(kit, [*kit.load(graph).classes, "LoraLoader"])
    names = kit.models("loras")
    once = set_lora(graph, names[0], 0.3, definitions)
    again = set_lora(once, names[0], 0.7, definitions)
    (loader,) = find_loaders(again)
    assert (loader["strength_model"], loader["strength_clip"]) == (0.7, 0.7)
    both = find_loaders(set_lora(again, names[1], 1.0, definitions))
    first = next(node_id for node_id, node in once.items() if node["class_type"] == "LoraLoader")
    assert both[1]["model"] == [first, 0]
    assert both[1]["clip"] == [first, 1]
    assert set_lora(graph, names[0], 0, definitions) == graph


def test_names_that_are_not_there_are_refused(kit: ComfyKit, graph: dict[str, Any]) -> None:
    with pytest.raises(ComfyKitError, match="no LoRA 'nothing'"):
        kit.sweep(graph, over={"style": lora("nothing", [0, 1])})
    with pytest.raises(WorkflowError, match="no LoRA"):
        find_lora("x", {})
    definitions = load_definitions(kit, ["LoraLoader", "CheckpointLoaderSimple", "KSampler"])
    with pytest.raises(WorkflowError, match="the workflow has no node that loads a model"):
        set_lora({"1": {"class_type": "EmptyImage", "inputs": {}}}, "x", 1, definitions)
    two = {
        **{n: {"class_type": "CheckpointLoaderSimple", "inputs": {}} for n in ("1", "2")},
        "3": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}},
        "4": {"class_type": "KSampler", "inputs": {"model": ["2", 0]}},
    }
    with pytest.raises(WorkflowError, match="several nodes load a model"):
        set_lora(two, "x", 1, definitions)
