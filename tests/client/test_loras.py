"""Test stacks of LoRAs: which loaders a run has, in its key, in a form and in a sweep."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, WorkflowError, lora
from comfykit_jupyter.workflow.workflow import Workflow

WORKFLOW = Path(__file__).parents[2] / "notebooks/workflows/text_to_image.json"
SMALL = {"width": 64, "height": 64, "steps": 2}


@pytest.fixture
def names(kit: ComfyKit) -> list[str]:
    return [Path(each).stem for each in kit.models("loras")]


@pytest.fixture
def workflow(kit: ComfyKit) -> Workflow:
    return kit.load(WORKFLOW)


def list_loaders(prompt: Any) -> list[tuple[str, float, float]]:
    """Return file and strengths of each loader, in the order of the chain from the sampler to the model."""
    found = []
    node = next(each for each in prompt.values() if each["class_type"] == "KSampler")
    while "model" in node["inputs"]:
        node = prompt[node["inputs"]["model"][0]]
        if node["class_type"] == "LoraLoader":
            found.append(tuple(node["inputs"][each] for each in ("lora_name", "strength_model", "strength_clip")))
    return found[::-1]


def test_a_stack_is_inserted_in_its_order(kit: ComfyKit, workflow: Workflow, names: list[str]) -> None:
    stacked = workflow.with_loras({names[0]: 0.7, names[1]: (0.4, 0.2), names[2]: 0})
    result = kit.run(stacked, SMALL, seed=1)
    files = [f"{each}.safetensors" for each in names]
    assert list_loaders(result.prompt) == [(files[0], 0.7, 0.7), (files[1], 0.4, 0.2)]
    assert result.image.read() != kit.run(workflow, SMALL, seed=1).image.read()
    assert workflow.loras == {}


def test_a_new_stack_takes_the_place_of_the_old_one(kit: ComfyKit, workflow: Workflow, names: list[str]) -> None:
    once = kit.load(workflow.with_loras({names[0]: 0.7}))
    assert len(list_loaders(once.prompt)) == 1
    assert [name for name, *_ in list_loaders(kit.load(once.with_loras({names[1]: 1})).prompt)] == [
        f"{names[1]}.safetensors"
    ]
    assert kit.load(once.with_loras()).prompt == workflow.prompt
    assert kit.load(pickle.loads(pickle.dumps(once)).with_loras()).prompt == workflow.prompt


def test_an_own_loader_is_set(kit: ComfyKit, workflow: Workflow, names: list[str]) -> None:
    own = kit.load(json.loads(json.dumps(kit.load(workflow.with_loras({names[0]: 0.7})).prompt)))
    prompt = kit.load(own.with_loras({names[0]: 0.1, names[1]: 0.5})).prompt
    assert [strength for _, strength, _ in list_loaders(prompt)] == [0.1, 0.5]
    assert [strength for _, strength, _ in list_loaders(kit.load(own.with_loras({names[0]: None})).prompt)] == [0]


def test_the_same_stack_is_the_same_run(make_kit: Any, tmp_path: Path, names: list[str]) -> None:
    kit = make_kit(runs=tmp_path / "runs")
    sweep = kit.sweep(
        kit.load(WORKFLOW).with_loras(dict.fromkeys(names[:3], 0.5)),
        SMALL,
        over={names[0]: lora(names[0], [0.2, 0.5]), names[1]: lora(names[1], [0, 0.5])},
        seed=1,
    ).wait()
    strengths = [[strength for _, strength, _ in list_loaders(row.prompt)] for row in sweep.done]
    assert sorted(strengths) == [[0.2, 0, 0.5], [0.2, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0.5]]
    again = kit.sweep(
        kit.load(WORKFLOW).with_loras({f"{each}.safetensors": 0.5 for each in names[:3]}), SMALL, over={"seed": [1, 2]}
    )
    assert again.plan.count("have") == 1


def test_a_form_has_the_loaders_and_keeps_the_seed_mode(kit: ComfyKit, workflow: Workflow, names: list[str]) -> None:
    fields = kit.fields(workflow.with_loras({names[0]: 0.7}), every=True)
    assert [field.default for field in fields if field.name.endswith("strength_model")] == [0.7]


@pytest.mark.parametrize(
    ("loras", "said"),
    [
        ({"stile": 1}, "the server has no LoRA 'stile'"),
        ({"style": "much"}, "the strength of style must be a number from -100 to 100, or two for model and CLIP"),
        ({"style": (1, 2, 3)}, "not \\(1, 2, 3\\)"),
        ({"style": float("nan")}, "not nan"),
        ({"style": 10**400}, "the strength of style must be a number"),
        ({"": 1}, "the name of a LoRA must be a text"),
        ({str(number): 1 for number in range(51)}, "51 are more than 50"),
    ],
)
def test_what_is_not_a_stack_is_refused(kit: ComfyKit, workflow: Workflow, loras: Any, said: str) -> None:
    with pytest.raises(WorkflowError, match=said):
        kit.load(workflow.with_loras(loras))


def test_a_preset_says_that_it_keeps_no_stack(
    workflow: Workflow, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.warns(UserWarning, match="not the stack of with_loras"):
        workflow.with_loras({names[0]: 0.7}).save_preset("stacked", steps=3)
    assert workflow.use_preset("stacked").preset is not None
