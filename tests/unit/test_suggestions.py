"""What a form offers where no title declares anything: the inputs of the workflow's app, or the obvious ones."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.app_mode import find_app_inputs, find_app_outputs
from comfykit_jupyter.workflow.errors import ParameterError, WorkflowError
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.workflow import Workflow
from tests.unit.recorded import PAIRS, definitions, load

Graph = dict[str, Any]


def node(class_type: str, title: str = "", **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


PROMPT: Graph = {
    "3": node("KSampler", seed=5, steps=20, cfg=8.0, sampler_name="euler", denoise=1.0, model=["4", 0]),
    "4": node("CheckpointLoaderSimple", ckpt_name="sd15.safetensors"),
    "5": node("EmptyLatentImage", width=512, height=512, batch_size=1),
    "6": node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="a cat", clip=["4", 1]),
    "7": node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="blurry", clip=["4", 1]),
    "8": node("LoadImage", image="cat.png"),
    "9": node("SaveImage", images=["3", 0], filename_prefix="x"),
    "10": node("PrimitiveFloat", "Zoom", value=2.0),
    "11": node("RegexExtract", string=["6", 0], regex_pattern="a" * 100, mode="First Match"),
}


def names(prompt: Graph, defined: dict[str, NodeDefinition] | None = None) -> list[str]:
    return [field.name for field in Workflow.parse(prompt).fields(defined or {})]


def test_the_obvious_inputs_are_those_that_anybody_would_change_media_and_prompts_first() -> None:
    assert names(PROMPT) == [
        "LoadImage.image", "6.text", "7.text", "Zoom.value", "KSampler.seed", "EmptyLatentImage.width",
        "EmptyLatentImage.height", "EmptyLatentImage.batch_size", "KSampler.steps", "KSampler.cfg", "KSampler.denoise",
        "CheckpointLoaderSimple.ckpt_name",
    ]  # fmt: skip


def test_their_names_are_those_that_bind_takes() -> None:
    workflow = Workflow.parse(PROMPT)
    fields = [field for field in workflow.fields({}) if field.kind != "image"]
    bound = workflow.bind({field.name: field.default for field in fields})
    assert bound.prompt == PROMPT


def test_one_title_that_declares_a_parameter_is_enough_for_nothing_else_to_be_offered() -> None:
    assert names({**PROMPT, "3": {**PROMPT["3"], "_meta": {"title": "$steps"}}}) == ["steps"]
    named = {**PROMPT, "9": {**PROMPT["9"], "_meta": {"title": "$output.cover"}}}
    assert names(named) == names(PROMPT)


SAVING = {"SaveImage": NodeDefinition.parse("SaveImage", {"input": {}, "output_node": True})}


def test_what_no_output_needs_is_not_offered_where_the_server_tells_the_outputs() -> None:
    offered = names(PROMPT, SAVING)
    assert "Zoom.value" not in offered
    assert "KSampler.seed" in offered


def test_inputs_that_are_linked_are_not_offered() -> None:
    assert "EmptyLatentImage.width" not in names({**PROMPT, "5": node("EmptyLatentImage", width=["10", 0], height=8)})


def test_a_form_of_a_huge_workflow_has_an_end() -> None:
    graph = {str(id_): node("CLIPTextEncode", text="a cat") for id_ in range(10_000)}
    assert len(names(graph)) == 100


@pytest.mark.parametrize(
    ("name", "examples"),
    [
        ("prompt", '"LoadImage.image", "6.text", "7.text", "Zoom.value", "KSampler.seed"'),
        ("text", '"6.text", "7.text"'),
        ("cfg", '"KSampler.cfg"'),
    ],
)
def test_whoever_takes_a_workflow_without_titles_for_one_with_is_told_its_obvious_inputs(
    name: str, examples: str
) -> None:
    with pytest.raises(ParameterError) as caught:
        Workflow.parse(PROMPT).bind({name: 5})
    assert str(caught.value).endswith(f"no parameters by title: name an input by its node, as {examples}")
    with pytest.raises(ParameterError, match=r'name an input by its node, as "SaveAnything\.prefix"'):
        Workflow.parse({"1": node("SaveAnything", prefix="x")}).bind({name: 5})


def editor(inputs: list[Any], outputs: list[Any], **more: Any) -> Graph:
    return {"nodes": [{"id": 1, "type": "X"}], "extra": {"linearData": {"inputs": inputs, "outputs": outputs}}, **more}


def test_an_app_declares_parameters_by_the_names_of_its_widgets() -> None:
    shown = [[3, "steps"], ["6", "text", {"height": 120}], ["7", "text"], ["4", "gone"], [77, "cfg"], [5, "width"]]
    workflow = Workflow.parse({"prompt": PROMPT, "workflow": editor(shown, [9, "77"])})
    assert list(workflow.parameters) == ["steps", "6.text", "7.text", "width"]
    assert [field.name for field in workflow.fields({})] == ["steps", "6.text", "7.text", "width"]
    assert workflow.outputs == {"9": "SaveImage"}
    assert workflow.bind({"steps": 7}).prompt["3"]["inputs"]["steps"] == 7


def test_titles_win_over_an_app() -> None:
    titled = {**PROMPT, "3": {**PROMPT["3"], "_meta": {"title": "$cfg"}}}
    workflow = Workflow.parse({"prompt": titled, "workflow": editor([["3", "steps"]], [])})
    assert list(workflow.parameters) == ["cfg"]


def test_newer_editors_name_a_widget_by_its_graph_its_node_and_itself() -> None:
    graph = editor([["a-b-c:3:steps", "steps"]], [], id="a-b-c")
    assert find_app_inputs(graph, PROMPT) == [("steps", (("3", "steps"),))]


def test_the_widget_of_a_primitive_node_is_all_the_inputs_that_it_feeds() -> None:
    slot = {"type": "INT", "widget": {"name": "width"}}
    nodes: list[Graph] = [
        {"id": 20, "type": "PrimitiveNode", "outputs": [{"name": "INT", "type": "INT", "links": [1, 2]}]},
        {"id": 5, "type": "EmptyLatentImage", "inputs": [{"name": "width", "link": 1, **slot}]},
        {"id": 3, "type": "KSampler", "inputs": [{"name": "steps", "link": 2, "type": "INT"}]},
    ]
    links = [[1, 20, 0, 5, 0, "INT"], {"id": 2, "origin_id": 20, "origin_slot": 0, "target_id": 3, "target_slot": 0}]
    graph = editor([["20", "value"]], [], nodes=nodes, links=links)
    assert find_app_inputs(graph, PROMPT) == [("value", (("5", "width"), ("3", "steps")))]
    workflow = Workflow.parse({"prompt": PROMPT, "workflow": graph})
    bound = workflow.bind({"value": 64}).prompt
    assert (bound["5"]["inputs"]["width"], bound["3"]["inputs"]["steps"]) == (64, 64)


def test_the_widget_of_a_subgraph_is_the_one_inside_that_it_shows() -> None:
    inner = {
        "id": "sub",
        "name": "Sampling",
        "nodes": [{"id": 3, "type": "KSampler", "inputs": [{"name": "steps", "type": "INT", "link": 1}]}],
        "links": [{"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 3, "target_slot": 0}],
        "inputs": [{"id": "p", "name": "how long", "type": "INT", "linkIds": [1]}],
    }
    outer = {"id": 30, "type": "sub", "properties": {"proxyWidgets": [["3", "cfg"]]}}
    graph = editor([["30", "how long"], ["30", "cfg"]], [], nodes=[outer], definitions={"subgraphs": [inner]})
    prompt = {"30:3": PROMPT["3"]}
    assert find_app_inputs(graph, prompt) == [("how long", (("30:3", "steps"),)), ("cfg", (("30:3", "cfg"),))]


odd = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3) | st.sampled_from(["3", "steps", "value"]),
    lambda each: (
        st.lists(each, max_size=3)
        | st.dictionaries(st.sampled_from(["inputs", "outputs", "linearData", "links"]), each, max_size=3)
    ),
    max_leaves=12,
)


@given(odd, odd, odd)
def test_an_app_of_any_shape_is_read_or_left_out(extra: Any, inputs: Any, outputs: Any) -> None:
    for graph in ({"nodes": [], "extra": extra}, {"nodes": [], "extra": {"linearData": {"inputs": inputs}}}):
        assert isinstance(find_app_inputs(graph, PROMPT), list)
    assert isinstance(find_app_outputs({"nodes": [], "extra": {"linearData": {"outputs": outputs}}}, PROMPT), list)


def test_subgraphs_that_multiply_end() -> None:
    """Each shows a widget of two instances of the next: unfolded there would be 2**40."""
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
    assert find_app_inputs(editor([["1", "w"]], [], nodes=nodes, definitions={"subgraphs": subgraphs}), PROMPT) == []


@pytest.mark.parametrize("name", PAIRS or ["none"])
def test_every_official_template_has_a_form_that_runs_take(name: str) -> None:
    known = definitions()
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
