"""Test stacks of LoRAs: which loaders a run has, in its key, in a form and in a sweep."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, WorkflowError, lora
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.lora_stack import read_rows, read_stack, to_plain
from comfykit_jupyter.workflow.loras import set_lora

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
        ({"style": "much"}, "the strength of style must be a number between -100 and 100, or two for model and CLIP"),
        ({"style": (1, 2, 3)}, "not \\(1, 2, 3\\)"),
        ({"style": float("nan")}, "not nan"),
        ({"style": 10**400}, "the strength of style must be a number"),
        ({"": 1}, "the name of a LoRA must be text"),
        ({str(number): 1 for number in range(51)}, "51 are more than 50"),
    ],
)
def test_what_is_not_a_stack_is_refused(kit: ComfyKit, workflow: Workflow, loras: Any, said: str) -> None:
    with pytest.raises(WorkflowError, match=said):
        kit.load(workflow.with_loras(loras))


def test_a_preset_keeps_the_stack(
    kit: ComfyKit, workflow: Workflow, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    stack = {names[0]: 0.7, names[1]: (0.4, 0.2), names[2]: {"off": 0.3}}
    kit.load(workflow.with_loras(stack)).save_preset("stacked", steps=3)
    assert "off = 0.3" in Path("presets/stacked.toml").read_text()
    used = workflow.use_preset("stacked")
    assert used.loras == stack
    assert "stacked" in workflow.presets()
    assert [strength for _, strength, _ in list_loaders(kit.load(used).prompt)] == [0.7, 0.4]
    assert used.with_loras({names[1]: 1}).loras == {names[1]: 1}
    workflow.save_preset("plain", steps=4)
    assert used.use_preset("plain").loras == stack


def test_a_preset_leaves_out_a_lora_that_the_server_lacks(
    kit: ComfyKit, workflow: Workflow, names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    workflow.with_loras({"gone": 0.7, names[0]: 0.5}).save_preset("old")
    result = kit.run(workflow.use_preset("old"), SMALL)
    assert [name for name, *_ in list_loaders(result.prompt)] == [f"{names[0]}.safetensors"]
    assert "preset 'old': this LoRA is not used: lora: the server has no LoRA 'gone'" in result.warnings[0]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("a = 'much'", "the strength of a must be a number"),
        ("a = {on = 1}", "the strength of a must be a number"),
        ("a = {off = [1, 2, 3]}", "or two for model and CLIP"),
        ("'' = 1", "the name of a LoRA must be text"),
        ("a = nan", "must be a number"),
    ],
)
def test_a_hostile_stack_in_a_preset_is_refused(
    workflow: Workflow, table: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("presets").mkdir()
    Path("presets/bad.toml").write_text(f"format = 1\n[loras]\n{table}\n")
    with pytest.raises(ComfyKitError, match=said):
        workflow.use_preset("bad")


def test_the_stack_is_in_results_rows_and_copies(make_kit: Any, tmp_path: Path, names: list[str]) -> None:
    kit = make_kit(runs=tmp_path / "runs")
    stack = {names[0]: 0.7, names[1]: (0.4, 0.2), names[2]: {"off": 0.3}}
    stacked = kit.load(WORKFLOW).with_loras(stack)
    result = kit.run(stacked, SMALL, seed=1)
    assert result.loras == stack
    assert "0.7" in repr(result.to_dict()["loras"])
    assert f"LoRAs = {names[0]} 0.7, " in result._repr_mimebundle_()["text/plain"]
    row = kit.runs[0]
    assert row.loras == row.result.loras == row.workflow.loras == stack
    assert list_loaders(row.workflow.without_loras.prompt) == []
    assert kit.load(row.workflow).prompt == row.prompt == result.prompt
    assert kit.runs.again(row).result().prompt == result.prompt
    assert len({each.key for each in kit.runs}) == 1
    other = kit.run(stacked.with_loras({**stack, names[0]: 0.8}), SMALL, seed=1)
    assert other.prompt != result.prompt
    assert len({each.key for each in kit.runs}) == 2


def test_a_swept_strength_is_in_the_stack(make_kit: Any, tmp_path: Path, names: list[str]) -> None:
    kit = make_kit(runs=tmp_path / "runs")
    workflow = kit.load(WORKFLOW)
    stacked = workflow.with_loras({names[0]: 0.5, names[1]: 0.5})
    sweep = kit.sweep(stacked, SMALL, over={names[1]: lora(f"{names[1]}.safetensors", [0, 0.2])}, seed=1).wait()
    stacks = [row.loras for row in sweep.done]
    assert stacks == [{names[0]: 0.5, names[1]: strength} for strength in (0, 0.2)]
    for row in sweep.done:
        assert kit.load(row.workflow).prompt == row.prompt
    inserted = kit.sweep(workflow, SMALL, over={"glow": lora(names[2], [0.3])}, seed=1).wait().done[0]
    assert inserted.loras == {names[2]: 0.3}
    assert kit.runs.again(inserted).result().prompt == inserted.prompt


def test_a_stack_changes_no_name_and_sets_own_loaders(kit: ComfyKit, workflow: Workflow, names: list[str]) -> None:
    own = json.loads(json.dumps(kit.load(workflow.with_loras({names[0]: 0.7})).prompt))
    for node in own.values():
        node.pop("_meta", None)
    bare = kit.load(own)
    definitions = kit.definitions(bare)
    stacked = kit.load(bare.with_loras({names[0]: 0.1, names[1]: 0.5}))
    known = bare.get_parameters(definitions)
    assert list(stacked.get_parameters(definitions)) == list(known)
    name = next(each for each in known if "strength" in each)
    binding = stacked.bind({name: 0.9}, definitions)
    assert [strength for _, strength, _ in list_loaders(binding.prompt)] == [0.1, 0.5]
    assert name not in stacked.bind({}, definitions).params


def test_a_file_name_is_no_parameter(kit: ComfyKit, workflow: Workflow) -> None:
    definitions = {
        **kit.definitions(workflow),
        **kit.definitions(kit.load({"1": {"class_type": "LoraLoader", "inputs": {}}})),
    }
    prompt = set_lora(workflow.prompt, "$steps, $output.x", 1.0, definitions)
    assert list(Workflow.parse(prompt).parameters) == list(workflow.parameters)


def test_rows_of_a_page_are_read_strictly() -> None:
    rows = [["a", 0.7, 0.7, True], ["b", 1, 0, False]]
    assert to_plain(read_rows(rows)) == {"a": 0.7, "b": {"off": (1, 0)}}
    assert read_stack(to_plain(read_rows(rows))) == read_rows(rows)
    bad = ([["a", 1, 1]], [["a", "1", 1, True]], [["a", 1, 1, True]] * 2, "a", [7], [["x" * 2000, 1, 1, True]])
    for each in bad:
        with pytest.raises(WorkflowError, match="loras: "):
            read_rows(each)
