"""Test which inputs a form offers for workflows without titles: those of the workflow's app, or the obvious ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import ParameterError, WorkflowError
from comfykit_jupyter.workflow.interface.app_mode import find_app_inputs, find_app_outputs
from comfykit_jupyter.workflow.nodes import NodeDefinition
from tests.unit.recorded import PAIRS, load, load_definitions

Graph = dict[str, Any]


def list_app_inputs(graph: Graph, prompt: Graph) -> list[tuple[str, tuple[tuple[str, str], ...]]]:
    return [(shown.widget, shown.places) for shown in find_app_inputs(graph, prompt)]


def make_node(class_type: str, title: str = "", **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


PROMPT: Graph = {
    "3": make_node("KSampler", seed=5, steps=20, cfg=8.0, sampler_name="euler", denoise=1.0, model=["4", 0]),
    "4": make_node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
    "5": make_node("EmptyLatentImage", width=512, height=512, batch_size=1),
    "6": make_node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="a cat", clip=["4", 1]),
    "7": make_node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="blurry", clip=["4", 1]),
    "8": make_node("LoadImage", image="cat.png"),
    "9": make_node("SaveImage", images=["3", 0], filename_prefix="x"),
    "10": make_node("PrimitiveFloat", "Zoom", value=2.0),
    "11": make_node("RegexExtract", string=["6", 0], regex_pattern="a" * 100, mode="First Match"),
}


def list_field_names(prompt: Graph, defined: dict[str, NodeDefinition] | None = None) -> list[str]:
    return [field.name for field in Workflow.parse(prompt).fields(defined or {})]


def test_obvious_inputs_start_with_media_and_prompt_texts() -> None:
    assert list_field_names(PROMPT) == [
        "image", "clip_text_encode_prompt_1.text", "clip_text_encode_prompt_2.text", "zoom", "width", "height",
        "batch_size", "seed", "steps", "cfg", "denoise", "checkpoint",
    ]  # fmt: skip


def test_bind_accepts_the_names_of_obvious_inputs() -> None:
    workflow = Workflow.parse(PROMPT)
    fields = [field for field in workflow.fields({}) if field.kind != "image"]
    bound = workflow.bind({field.name: field.default for field in fields})
    assert bound.prompt == PROMPT


def test_one_declared_parameter_replaces_the_obvious_inputs() -> None:
    assert list_field_names({**PROMPT, "3": {**PROMPT["3"], "_meta": {"title": "$steps"}}}) == ["steps"]
    named = {**PROMPT, "9": {**PROMPT["9"], "_meta": {"title": "$output.cover"}}}
    assert list_field_names(named) == list_field_names(PROMPT)


SAVING = {"SaveImage": NodeDefinition.parse("SaveImage", {"input": {}, "output_node": True})}


def test_inputs_of_nodes_that_no_output_needs_are_not_offered() -> None:
    offered = list_field_names(PROMPT, SAVING)
    assert "zoom" not in offered
    assert "seed" in offered


def test_linked_inputs_are_not_offered() -> None:
    assert "width" not in list_field_names({**PROMPT, "5": make_node("EmptyLatentImage", width=["10", 0], height=8)})


def test_number_of_offered_inputs_is_limited() -> None:
    graph = {str(id_): make_node("CLIPTextEncode", text="a cat") for id_ in range(10_000)}
    assert len(list_field_names(graph)) == 100


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("text", ": there are clip_text_encode_prompt_1.text, clip_text_encode_prompt_2.text"),
        ("cgf", ": did you mean 'cfg'?"),
    ],
)
def test_unknown_parameter_of_an_untitled_workflow_lists_its_obvious_inputs(name: str, hint: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Workflow.parse(PROMPT).bind({name: 5})
    assert str(caught.value) == f"{name}: workflow has no such parameter{hint}"
    with pytest.raises(ParameterError, match=r'name an input by its node, such as "SaveAnything\.prefix"'):
        Workflow.parse({"1": make_node("SaveAnything", prefix="x")}).bind({name: 5})


def make_editor_graph(inputs: list[Any], outputs: list[Any], **more: Any) -> Graph:
    return {"nodes": [{"id": 1, "type": "X"}], "extra": {"linearData": {"inputs": inputs, "outputs": outputs}}, **more}


def test_app_declares_parameters_named_by_its_widgets() -> None:
    shown = [[3, "steps"], ["6", "text", {"height": 120}], ["7", "text"], ["4", "gone"], [77, "cfg"], [5, "width"]]
    workflow = Workflow.parse({"prompt": PROMPT, "workflow": make_editor_graph(shown, [9, "77"])})
    names = ["steps", "clip_text_encode_prompt_1.text", "clip_text_encode_prompt_2.text", "width"]
    assert list(workflow.parameters) == names
    assert [field.name for field in workflow.fields({})] == names
    assert workflow.outputs == {"9": "SaveImage"}
    assert workflow.bind({"steps": 7}).prompt["3"]["inputs"]["steps"] == 7


def test_titles_take_precedence_over_an_app() -> None:
    titled = {**PROMPT, "3": {**PROMPT["3"], "_meta": {"title": "$cfg"}}}
    workflow = Workflow.parse({"prompt": titled, "workflow": make_editor_graph([["3", "steps"]], [])})
    assert list(workflow.parameters) == ["cfg"]


def test_newer_widget_names_with_graph_and_node_are_read() -> None:
    graph = make_editor_graph([["a-b-c:3:steps", "steps"]], [], id="a-b-c")
    assert list_app_inputs(graph, PROMPT) == [("steps", (("3", "steps"),))]


def test_widget_of_a_primitive_node_sets_all_linked_inputs() -> None:
    slot = {"type": "INT", "widget": {"name": "width"}}
    nodes: list[Graph] = [
        {"id": 20, "type": "PrimitiveNode", "outputs": [{"name": "INT", "type": "INT", "links": [1, 2]}]},
        {"id": 5, "type": "EmptyLatentImage", "inputs": [{"name": "width", "link": 1, **slot}]},
        {"id": 3, "type": "KSampler", "inputs": [{"name": "steps", "link": 2, "type": "INT"}]},
    ]
    links = [[1, 20, 0, 5, 0, "INT"], {"id": 2, "origin_id": 20, "origin_slot": 0, "target_id": 3, "target_slot": 0}]
    graph = make_editor_graph([["20", "value"]], [], nodes=nodes, links=links)
    assert list_app_inputs(graph, PROMPT) == [("value", (("5", "width"), ("3", "steps")))]
    workflow = Workflow.parse({"prompt": PROMPT, "workflow": graph})
    bound = workflow.bind({"value": 64}).prompt
    assert (bound["5"]["inputs"]["width"], bound["3"]["inputs"]["steps"]) == (64, 64)


def test_widget_of_a_subgraph_sets_the_inner_widget() -> None:
    inner = {
        "id": "sub",
        "name": "Sampling",
        "nodes": [{"id": 3, "type": "KSampler", "inputs": [{"name": "steps", "type": "INT", "link": 1}]}],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 3, "target_slot": 0}],
        "inputs": [{"id": "p", "name": "how long", "type": "INT", "linkIds": [1]}],
    }
    outer = {"id": 30, "type": "sub", "properties": {"proxyWidgets": [["3", "cfg"]]}}
    graph = make_editor_graph(
        [["30", "how long"], ["30", "cfg"]], [], nodes=[outer], definitions={"subgraphs": [inner]}
    )
    prompt = {"30:3": PROMPT["3"]}
    assert list_app_inputs(graph, prompt) == [("how long", (("30:3", "steps"),)), ("cfg", (("30:3", "cfg"),))]


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["3", "steps", "value"]),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "outputs", "linearData", "links"]), each, max_size=3)
    ),
    max_leaves=12,
)


@given(odd, odd, odd)
def test_malformed_app_is_read_or_ignored(extra: Any, inputs: Any, outputs: Any) -> None:
    for graph in ({"nodes": [], "extra": extra}, {"nodes": [], "extra": {"linearData": {"inputs": inputs}}}):
        assert isinstance(find_app_inputs(graph, PROMPT), list)
    assert isinstance(find_app_outputs({"nodes": [], "extra": {"linearData": {"outputs": outputs}}}, PROMPT), list)


def test_exponentially_many_subgraphs_end() -> None:
    """Each subgraph shows widgets of two instances of the next: 2**40 in total."""
    subgraphs = [
        {
            "id": f"s{depth}",
            "nodes": [
                {"id": id_, "type": f"s{depth + 1}", "properties": {"proxyWidgets": [["1", "w"], ["2", "w"]]}}
                for id_ in (1, 2)
            ],
        }
        for depth in range(40)
    ]
    nodes = [{"id": 1, "type": "s0", "properties": {"proxyWidgets": [["1", "w"], ["2", "w"]]}}]
    assert (
        find_app_inputs(make_editor_graph([["1", "w"]], [], nodes=nodes, definitions={"subgraphs": subgraphs}), PROMPT)
        == []
    )


@pytest.mark.parametrize("name", PAIRS or ["none"])
def test_every_official_template_has_usable_fields(name: str) -> None:
    known = load_definitions()
    workflow = Workflow.parse(load(f"ui_to_api/{name}.json")["ui"])
    if not workflow.classes <= known.keys():
        with pytest.raises(WorkflowError, match="needs nodes that the server lacks"):
            workflow.resolve(known)
        return
    workflow = workflow.resolve(known)
    fields = workflow.fields(known)
    assert fields
    for field in fields:
        parameter = workflow.find_parameter(field.name, known)
        assert all(target.field in workflow.prompt[target.node_id]["inputs"] for target in parameter.targets)
    json.dumps([field.to_json() for field in fields])
