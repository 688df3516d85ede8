"""Test that the editor graph sent with a run has the values of that run."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.editor.apply_values import apply_values
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.values.fields import Field
from tests.unit.recorded import PAIRS, load, load_definitions

SAMPLER = {
    "input": {
        "required": {
            "model": ["MODEL", {}],
            "seed": ["INT", {"default": 0, "control_after_generate": True}],
            "steps": ["INT", {"default": 20}],
            "text": ["STRING", {"multiline": True, "dynamicPrompts": True}],
        }
    },
    "output": [],
    "output_node": True,
    "search_aliases": [],
}
KNOWN = {"Sampler": NodeDefinition.parse("Sampler", SAMPLER)}


def make_graph(values: Any, **more: Any) -> dict[str, Any]:
    return {"nodes": [{"id": 3, "type": "Sampler", "widgets_values": values, **more}], "links": [], "version": 0.4}


def bind_graph(editor: dict[str, Any], values: dict[str, Any]) -> Any:
    """Bind the values and return the editor graph that is sent with the run."""
    before = copy.deepcopy(editor)
    workflow = Workflow.parse(editor).resolve(KNOWN)
    info = workflow.build_pnginfo(workflow.bind(values, KNOWN).prompt, KNOWN)
    assert editor == before
    assert workflow.editor == before
    assert info is not None
    return info["workflow"]


def test_changed_value_skips_widgets_that_are_not_inputs() -> None:
    saved = bind_graph(make_graph([5, "randomize", 20, "a cat"]), {"3.steps": 8, "3.text": "a dog"})
    assert saved == make_graph([5, "randomize", 8, "a dog"])


def test_random_seed_is_saved_in_the_graph() -> None:
    workflow = Workflow.parse(make_graph([0, "randomize", 20, ""])).resolve(KNOWN)
    binding = workflow.bind({}, KNOWN, draw=lambda low, high: 77)
    info = workflow.build_pnginfo(binding.prompt, KNOWN)
    assert info == {"workflow": make_graph([77, "randomize", 20, ""])}


def test_run_without_changes_keeps_the_graph() -> None:
    assert bind_graph(make_graph([5, "fixed", 20, "a cat"]), {}) == make_graph([5, "fixed", 20, "a cat"])


def test_dynamic_prompt_is_replaced_by_a_given_text() -> None:
    assert bind_graph(make_graph([5, "fixed", 20, "{red|blue}"]), {"3.text": "green"}) == make_graph(
        [5, "fixed", 20, "green"]
    )


def test_values_saved_by_name_are_changed_by_name() -> None:
    saved = {"seed": 5, "steps": 20, "text": "a"}
    assert bind_graph(make_graph(saved), {"3.steps": 8}) == make_graph({**saved, "steps": 8})


def test_value_from_a_primitive_node_is_changed_in_that_node() -> None:
    slot = {"name": "steps", "type": "INT", "widget": {"name": "steps"}, "link": 1}
    editor = make_graph([5, "fixed", 20, "a"], inputs=[slot])
    output = {"name": "INT", "type": "INT", "widget": {"name": "steps"}, "links": [1]}
    editor["nodes"].append({"id": 4, "type": "PrimitiveNode", "outputs": [output], "widgets_values": [20, "fixed"]})
    editor["links"] = [[1, 4, 0, 3, 0, "INT"]]
    saved = bind_graph(editor, {"3.steps": 8})
    assert [node["widgets_values"] for node in saved["nodes"]] == [[5, "fixed", 20, "a"], [8, "fixed"]]


def test_graph_that_does_not_match_is_unchanged() -> None:
    editor = make_graph([5, "fixed", 20, "a"])
    assert apply_values(editor, {("3", "steps"): (99, 8), ("77", "x"): (1, 2), ("3", "y"): (1, 2)}, KNOWN) is editor


odd = st.none() | st.integers() | st.text(max_size=3) | st.lists(st.integers(), max_size=3)


@given(odd, st.lists(odd, max_size=3), odd)
def test_malformed_graphs_are_accepted(values: Any, nodes: list[Any], links: Any) -> None:
    for editor in ({**make_graph(values), "links": links}, {"nodes": nodes, "links": []}):
        apply_values(editor, {("3", "steps"): (20, 8)}, KNOWN)


def _find_other_values(field: Field) -> list[int]:
    """Return other numbers within the field's bounds that JavaScript can represent, if any."""
    return [
        each for each in (field.min, field.max) if type(each) is int and each != field.default and abs(each) < 2**53
    ]


@pytest.mark.parametrize("name", PAIRS or ["none"])
def test_changed_template_converts_to_the_prompt_that_ran(name: str) -> None:
    known = load_definitions()
    workflow = Workflow.parse(load(f"ui_to_api/{name}.json")["ui"])
    if not workflow.classes <= known.keys():
        pytest.skip("the server lacks some of its nodes")
    workflow = workflow.resolve(known)
    fields = [each for each in workflow.fields(known) if each.kind in ("integer", "seed") and ":" not in each.node_id]
    numbers = {field.name: others[0] for field in fields if (others := _find_other_values(field))}
    prompt = workflow.bind(numbers, known).prompt
    info = workflow.build_pnginfo(prompt, known)
    assert info is not None
    again = Workflow.parse(info["workflow"]).resolve(known).prompt
    length = {str(node["id"]): len(node.get("widgets_values") or ()) for node in info["workflow"]["nodes"]}
    for id_ in {field.node_id for field in fields}:
        actual, wanted = again[id_]["inputs"], prompt[id_]["inputs"]
        short = length[id_] < len([each for each in wanted.values() if not isinstance(each, list)])
        assert actual == wanted or short  # a value that the file lacks keeps its default
