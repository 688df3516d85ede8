"""Test parsing of node definitions from `/object_info`, and which nodes of a prompt its outputs need."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.nodes import MISSING, NodeDefinition, find_reachable, is_link
from tests.unit.recorded import load_definitions

json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.text(max_size=8), each, max_size=4),
    max_leaves=20,
)


def parse_input(spec: Any, name: str = "x") -> Any:
    return NodeDefinition.parse("Node", {"input": {"required": {name: spec}}}).inputs[name]


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (["INT", {}], "integer"),
        (["FLOAT", {}], "number"),
        (["STRING", {}], "text"),
        (["BOOLEAN", {}], "toggle"),
        (["COMBO", {"options": ["a"]}], "choice"),
        ([["a", "b"], {}], "choice"),
        ([["a", "b"]], "choice"),
        ([["a.png"], {"image_upload": True}], "image"),
        (["COMBO", {"options": [], "audio_upload": True}], "audio"),
        (["COMBO", {"options": [], "video_upload": True}], "video"),
        (["COMBO", {"options": ["none"], "file_upload": True}], "file"),
        (["COMBO", {"image_folder": "output"}], "image"),
        (["FLOAT,INT", {"widgetType": "FLOAT"}], "number"),
        (["MODEL", {}], "link"),
        (["*"], "link"),
        ([], "link"),
        (None, "link"),
        ("INT", "link"),
        ([7, {}], "link"),
    ],
)
def test_input_kind_follows_from_the_spec(spec: Any, kind: str) -> None:
    assert parse_input(spec).kind == kind


def test_integer_bounds_are_exact() -> None:
    found = parse_input(["INT", {"default": 0, "min": -(2**63), "max": 2**64 - 1, "step": 8.0}])
    assert (found.min, found.max, found.step) == (-(2**63), 18446744073709551615, 8)
    assert all(type(bound) is int for bound in (found.min, found.max, found.step))


@pytest.mark.parametrize(
    "options",
    [
        {"min": float("nan"), "max": float("inf")},
        {"min": "0", "max": None},
        {"min": True, "max": [1]},
        {"min": 5, "max": 1},
        {"min": 10**400, "max": -(10**400)},
    ],
)
def test_invalid_bounds_are_none(options: dict[str, Any]) -> None:
    found = parse_input(["FLOAT", options])
    assert (found.min, found.max) == (None, None)


@pytest.mark.parametrize(
    ("name", "spec", "seed"),
    [
        ("seed", ["INT", {}], True),
        ("noise_seed", ["INT", {}], True),
        ("number", ["INT", {"control_after_generate": True}], True),
        ("value", ["INT", {"control_after_generate": "fixed"}], False),
        ("steps", ["INT", {}], False),
        ("value", ["INT", {"control_after_generate": True}], False),  # of a PrimitiveInt on older servers
        ("seed", ["FLOAT", {}], False),
        ("seed", ["STRING", {}], False),
    ],
)
def test_seed_is_an_integer_with_a_seed_name_or_a_control(name: str, spec: Any, seed: bool) -> None:
    assert parse_input(spec, name).seed is seed


def test_inputs_are_in_widget_order_without_hidden_ones() -> None:
    raw = {
        "input": {
            "required": {"b": ["INT"], "a": ["INT"]},
            "optional": {"c": ["INT"]},
            "hidden": {"prompt": "PROMPT"},
        },
        "input_order": {"required": ["a", "b", "gone"], "optional": ["c"], "hidden": ["prompt"]},
    }
    definition = NodeDefinition.parse("Node", raw)
    assert list(definition.inputs) == ["a", "b", "c"]
    assert [each.required for each in definition.inputs.values()] == [True, True, False]


def test_missing_default_differs_from_an_empty_one() -> None:
    assert parse_input(["STRING", {}]).default is MISSING
    assert parse_input(["STRING", {"default": ""}]).default == ""


def test_every_class_of_a_real_server_is_parsed() -> None:
    found = load_definitions()
    assert len(found) > 800
    sampler = found["KSampler"]
    assert list(sampler.inputs)[:4] == ["model", "seed", "steps", "cfg"]
    assert sampler.inputs["seed"].seed
    assert sampler.inputs["seed"].max == 2**64 - 1
    assert found["LoadImage"].inputs["image"].kind == "image"
    assert found["LoadVideo"].inputs["file"].kind == "video"
    assert found["LoadAudio"].find_upload_field() is not None
    assert not found["PrimitiveInt"].inputs["value"].seed
    assert found["SaveImage"].output_node


@given(json_like)
def test_any_spec_is_parsed(spec: Any) -> None:
    assert parse_input(spec).name == "x"


@given(st.dictionaries(st.sampled_from(["input", "input_order", "output", "display_name", "output_node"]), json_like))
def test_any_definition_is_parsed(raw: dict[str, Any]) -> None:
    assert NodeDefinition.parse("Node", raw).class_type == "Node"


@pytest.mark.parametrize(
    ("value", "link"),
    [(["3", 0], True), (["a", "b"], False), (["3", True], False), ([3, 0], False), (["3"], False), ("30", False)],
)
def test_link_differs_from_a_list_of_choices(value: Any, link: bool) -> None:
    assert is_link(value) is link


def make_node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def test_only_nodes_that_outputs_need_are_reachable() -> None:
    known = {
        "Save": NodeDefinition("Save", "Save", {}, output_node=True),
        "Make": NodeDefinition("Make", "Make", {}),
    }
    prompt = {
        "1": make_node("Make"),
        "2": make_node("Make", x=["1", 0], gone=["99", 0]),
        "3": make_node("Save", x=["2", 0], y=["1", 0]),
        "4": make_node("Make", x=["1", 0]),
    }
    assert find_reachable(prompt, known) == {"1", "2", "3"}
    assert find_reachable(prompt) == {"1", "2", "3", "4"}


def test_cycle_of_links_ends() -> None:
    known = {"Save": NodeDefinition("Save", "Save", {}, output_node=True)}
    prompt = {"1": make_node("Save", x=["2", 0]), "2": make_node("Save", x=["1", 0])}
    assert find_reachable(prompt, known) == {"1", "2"}


def test_long_chain_does_not_recurse_deeply() -> None:
    known = {"Save": NodeDefinition("Save", "Save", {}, output_node=True)}
    prompt = {str(i): make_node("Make", x=[str(i + 1), 0]) for i in range(10_000)} | {
        "-1": make_node("Save", x=["0", 0])
    }
    assert len(find_reachable(prompt, known)) == 10_001
