"""Test how workflows are read, and how their parameters and inputs are addressed."""

from __future__ import annotations

import copy
import json
import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import ParameterError, WorkflowError
from comfykit_jupyter.workflow.nodes import MISSING
from tests.unit.recorded import PAIRS, load, load_transcript


def make_node(class_type: str, title: Any = None, **inputs: Any) -> dict[str, Any]:
    node: dict[str, Any] = {"class_type": class_type, "inputs": inputs}
    return node if title is None else {**node, "_meta": {"title": title}}


GRAPH = {
    "3": make_node("KSampler", "Sampler, $seed, $steps, $cfg", seed=0, steps=20, cfg=8.0, model=["4", 0]),
    "4": make_node("CheckpointLoaderSimple", "Load Checkpoint", ckpt_name="a.safetensors"),
    "6": make_node("CLIPTextEncode", "$prompt.text!", text="a cat", clip=["4", 1]),
    "7": make_node("CLIPTextEncode", "$negative.text", text="blurry", clip=["4", 1]),
    "9": make_node("SaveImage", "Save, $output.cover", images=["3", 0], filename_prefix="x"),
}


@pytest.mark.parametrize(
    "data",
    [
        GRAPH,
        json.dumps(GRAPH),
        json.dumps(GRAPH).encode(),
        b"\xef\xbb\xbf" + json.dumps(GRAPH).encode(),
        "\ufeff" + json.dumps(GRAPH),
        {"prompt": GRAPH},
        json.dumps({"prompt": GRAPH, "client_id": "x"}),
    ],
)
def test_workflow_is_read_from_dict_text_or_bytes(data: Any) -> None:
    workflow = Workflow.parse(data, "portrait")
    assert workflow.name == "portrait"
    assert workflow.prompt == GRAPH
    assert list(workflow.parameters) == ["seed", "steps", "cfg", "prompt", "negative"]
    assert workflow.outputs == {"9": "cover"}
    assert workflow.classes == {"KSampler", "CheckpointLoaderSimple", "CLIPTextEncode", "SaveImage"}


def test_open_file_and_pipe_are_read(tmp_path: Path) -> None:
    path = tmp_path / "wf.json"
    path.write_text(json.dumps(GRAPH), encoding="utf-8")
    with path.open("rb") as binary, path.open(encoding="utf-8") as text:
        assert Workflow.parse(binary).prompt == Workflow.parse(text).prompt == GRAPH  # type: ignore[arg-type]
    reading, writing = os.pipe()
    with os.fdopen(writing, "wb") as end:
        end.write(json.dumps(GRAPH).encode())
    with os.fdopen(reading, "rb") as pipe:
        assert Workflow.parse(pipe).prompt == GRAPH


JOB = [4, "id", GRAPH, {"extra_pnginfo": {"workflow": {"nodes": [{"id": 1}]}}}, ["9"]]
EDITOR = {"nodes": [{"id": 1, "type": "X"}], "links": [], "version": 0.4}


@pytest.mark.parametrize(
    "data",
    [
        {"prompt": json.dumps(GRAPH)},
        {"output": GRAPH, "workflow": EDITOR},
        {"workflow": GRAPH},
        {"workflow": {"prompt": GRAPH, "extra_data": {}}, "status": "completed"},
        {**GRAPH, "extra": {"ds": {}}, "version": 0.4, "workflow": EDITOR, "_comment": "mine"},
        JOB,
        {"prompt": JOB, "outputs": {}, "status": {}, "meta": {}},
        {"some-id": {"prompt": JOB, "outputs": {}, "status": {}}},
        {int(id_): each for id_, each in GRAPH.items()},
    ],
)
def test_workflow_is_extracted_from_its_wrapper(data: Any) -> None:
    assert Workflow.parse(data if isinstance(data, dict) else json.dumps(data)).prompt == GRAPH


def test_editor_graph_is_found_beside_the_prompt() -> None:
    beside: list[Any] = [
        {"prompt": GRAPH, "workflow": json.dumps(EDITOR)},
        {"prompt": GRAPH, "extra_data": {"extra_pnginfo": {"workflow": EDITOR}}},
        {"prompt": GRAPH, "extra_pnginfo": {"workflow": EDITOR}},
        {"prompt": [1, "id", GRAPH, {"extra_pnginfo": {"workflow": EDITOR}}]},
        {**GRAPH, "workflow": EDITOR},
    ]
    assert all(Workflow.parse(each).editor == EDITOR for each in beside)


def test_links_with_numeric_ids_are_recognised() -> None:
    graph: dict[Any, Any] = {3: make_node("KSampler", model=[4, 0], size=[512, 0]), 4: make_node("Loader")}
    assert Workflow.parse(graph).prompt["3"]["inputs"] == {"model": ["4", 0], "size": [512, 0]}
    mixed = {"3": make_node("KSampler", model=["4", 0], point=[4, 0]), "4": make_node("Loader")}
    assert Workflow.parse(mixed).prompt["3"]["inputs"]["point"] == [4, 0]


def test_nan_becomes_null() -> None:
    text = '{"3": {"class_type": "KSampler", "inputs": {"cfg": NaN, "x": -Infinity}, "_meta": {"y": [NaN]}}}'
    for data in (text, json.loads(text)):
        workflow = Workflow.parse(data)
        assert workflow.prompt["3"]["inputs"] == {"cfg": None, "x": None}
        assert workflow.bind({"3.cfg": 7.5}).prompt["3"]["inputs"]["cfg"] == 7.5


def test_is_changed_is_dropped() -> None:
    assert Workflow.parse({"3": {**make_node("LoadImage"), "is_changed": [float("nan")]}}).prompt == {
        "3": make_node("LoadImage")
    }


def test_unresolved_editor_file_says_so() -> None:
    workflow = Workflow.parse(EDITOR, "portrait")
    assert not workflow.resolved
    assert workflow.classes == {"X"}
    for read in (lambda: workflow.prompt, lambda: workflow.parameters, lambda: workflow.bind({"a": 1})):
        with pytest.raises(WorkflowError, match="portrait is in editor format"):
            read()


def test_editor_graph_beside_a_wrapped_prompt_is_kept() -> None:
    workflow = Workflow.parse({"prompt": GRAPH, "extra_data": {"extra_pnginfo": {"workflow": EDITOR}}})
    assert workflow.extra_pnginfo == {"workflow": EDITOR}
    assert Workflow.parse(GRAPH).extra_pnginfo is None


def test_node_id_can_be_prompt() -> None:
    assert Workflow.parse({"prompt": make_node("KSampler", steps=1)}).classes == {"KSampler"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        ("", "is not JSON"),
        ("{", "line 1"),
        (b"\xff\xfe{}", "UTF-8"),
        ("[]", "is a list"),
        ("7", "is an integer"),
        ("null", "is None"),
        (None, "is None"),
        ({}, "has no nodes"),
        ({"prompt": {}}, "has no nodes"),
        ({"nodes": [], "links": []}, "has no nodes"),
        ("<!DOCTYPE html><html></html>", "a web page"),
        (b"PK\x03\x04\xff", "a ZIP archive"),
        ("%PDF-1.7", "a PDF document"),
        ({"cells": [], "nbformat": 4}, "a notebook"),
        ({"KSampler": {"input": {}, "output": []}}, "node definitions"),
        ({"1": {"prompt": [1, "1", GRAPH]}, "2": {"prompt": [2, "2", GRAPH]}}, "a history of 2 runs"),
        ({"_source": "runninghub", "workflow_id": "1870"}, "the RunningHub workflow '1870'"),
        ({"prompt": {"prompt": {"prompt": {"prompt": {"prompt": {"prompt": {"prompt": {}}}}}}}}, "nested too deeply"),
        ({"3": {"inputs": {}}}, "class_type"),
        ({"3": {"class_type": "KSampler"}}, "inputs"),
        ({"3": {"class_type": 7, "inputs": {}}}, "class_type"),
        ({"3": "KSampler"}, "is not a node"),
        ({3.5: make_node("KSampler")}, "not text"),
        ('{"3": {"class_type": "KSampler", "inputs": {"cfg": ' + "9" * 5000 + "}}}", "too large"),
        ('{"3": ' + "[" * 100_000, "nested too deeply"),
        ('{"3": {"class_type": "K", "inputs": {"a": ' + "[" * 90 + "]" * 90 + "}}}", "nested too deeply"),
        ({"3": make_node("KSampler", value={1, 2})}, "can't be written as JSON"),
    ],
)
def test_other_data_is_rejected_with_its_kind(data: Any, reason: str) -> None:
    with pytest.raises(WorkflowError) as caught:
        Workflow.parse(data, "my\nfile")
    message = str(caught.value)
    assert reason in message
    assert message.isprintable()
    assert len(message) < 400
    assert r"my\nfile" in message


json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda each: (
        st.lists(each, max_size=4)
        | st.dictionaries(
            st.sampled_from(["class_type", "inputs", "_meta", "title", "prompt", "nodes", "1", "2"]), each, max_size=5
        )
    ),
    max_leaves=30,
)
titles = st.text(max_size=12) | st.sampled_from(["$a", "$b.x!", "Size, $a, $~c", "$output.x"])
nodes_like = st.fixed_dictionaries(
    {"class_type": st.sampled_from(["KSampler", "LoadImage", "X"]), "inputs": st.dictionaries(st.text(), json_like)},
    optional={"_meta": st.fixed_dictionaries({"title": titles | json_like}) | json_like},
)


@given(json_like | st.dictionaries(st.text(max_size=4), nodes_like, max_size=5))
@example([None, None, {"inputs": None, "nodes": [None]}])
def test_any_data_is_read_or_rejected(data: Any) -> None:
    workflow = parse_or_none(data)
    if workflow is not None and workflow.resolved:
        assert all(workflow.get_title(id_).isprintable() for id_ in workflow.prompt)
        required = any(parameter.required for parameter in workflow.parameters.values())
        with pytest.raises(ParameterError) if required else nullcontext():
            workflow.bind({})
    again = parse_or_none(json.dumps(data))
    assert (again is None) == (workflow is None)


def parse_or_none(data: Any) -> Workflow | None:
    try:
        return Workflow.parse(data)
    except WorkflowError:
        return None


@given(st.binary(max_size=50))
def test_random_bytes_are_rejected(data: bytes) -> None:
    with pytest.raises(WorkflowError):
        Workflow.parse(data)


def test_title_that_is_not_a_string_is_ignored() -> None:
    graph: dict[str, Any] = {"1": {**make_node("KSampler"), "_meta": ["$a"]}, "2": make_node("KSampler", {"title": 7})}
    assert not Workflow.parse(graph).parameters


def test_workflow_does_not_share_data_with_its_source() -> None:
    graph = copy.deepcopy(GRAPH)
    workflow = Workflow.parse(graph)
    graph["3"]["inputs"]["steps"] = 99
    graph["3"]["inputs"]["model"][0] = "99"
    assert workflow.prompt == GRAPH


def test_defaults_come_from_the_workflow_unless_linked() -> None:
    workflow = Workflow.parse({**GRAPH, "5": make_node("KSampler", "$model, $absent", model=["4", 0])})
    assert workflow.parameters["steps"].targets[0].default == 20
    assert workflow.parameters["model"].targets[0].default is MISSING
    assert workflow.parameters["absent"].targets[0].default is MISSING
    assert workflow.parameters["prompt"].required
    assert workflow.parameters["steps"].node_title == "Sampler"


def test_one_name_on_several_nodes_is_one_parameter() -> None:
    graph = {
        "1": make_node("A", "$steps", steps=20),
        "2": make_node("B", "$steps!", steps=4),
        "3": make_node("C", "$x", x=1),
    }
    parameter = Workflow.parse(graph).parameters["steps"]
    assert [(target.node_id, target.default) for target in parameter.targets] == [("1", 20), ("2", 4)]
    assert parameter.required


@pytest.mark.parametrize(
    ("address", "node_id", "field"),
    [
        ("3.seed", "3", "seed"),
        ("KSampler.steps", "3", "steps"),
        ("Sampler.steps", "3", "steps"),
        ("Load Checkpoint.ckpt_name", "4", "ckpt_name"),
        ("7.text", "7", "text"),
        ("Save.filename_prefix", "9", "filename_prefix"),
    ],
)
def test_input_without_a_marker_has_an_address(address: str, node_id: str, field: str) -> None:
    [target] = Workflow.parse(GRAPH).find_parameter(address).targets
    assert (target.node_id, target.field) == (node_id, field)


def test_address_can_contain_dots() -> None:
    graph = {"12:3": make_node("Resize", "v1.5 resize", **{"mode.width": 512})}
    workflow = Workflow.parse(graph)
    for address in ("12:3.mode.width", "v1.5 resize.mode.width", "Resize.mode.width"):
        assert workflow.find_parameter(address).targets[0].field == "mode.width"


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("promt", "did you mean 'prompt'?"),
        ("KSampler.cgf", "did you mean 'cfg'?"),
        ("KSamplr.cfg", "no such node: did you mean 'KSampler.cfg'?"),
        ("CLIPTextEncode.text", '2 nodes are called CLIPTextEncode: use "6.text" or "7.text"'),
        ("99.text", "no such parameter"),
        ("", "no such parameter"),
        ("." * 10_000, "no such parameter"),
        ("\x1b[0m", "no such parameter"),
    ],
)
def test_unknown_name_is_rejected_with_a_suggestion(name: str, reason: str) -> None:
    with pytest.raises(ParameterError) as caught:
        Workflow.parse(GRAPH).find_parameter(name)
    assert reason in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


def test_workflow_without_parameters_says_how_to_name_inputs() -> None:
    with pytest.raises(ParameterError, match=r'"SaveImage\.prefix"'):
        Workflow.parse({"3": make_node("SaveImage", prefix="a")}).find_parameter("steps")


def test_every_input_is_found_by_its_address() -> None:
    workflow = Workflow.parse(GRAPH)
    for id_, each in GRAPH.items():
        for field in each["inputs"]:
            [target] = workflow.find_parameter(workflow.build_address(id_, field)).targets
            assert (target.node_id, target.field) == (id_, field)


def test_address_is_unambiguous() -> None:
    graph = {
        "1": make_node("CLIPTextEncode", "Positive", text="a"),
        "2": make_node("CLIPTextEncode", "Negative prompt", text="b"),
        "3": make_node("EmptyImage", "Empty Image", width=1),
        "4": make_node("Image Blend", 'A "title"', factor=0.5),
        "5": make_node("VAEDecode", "2", tiles=1),
    }
    workflow = Workflow.parse(graph)
    addresses = [workflow.build_address(id_, next(iter(each["inputs"]))) for id_, each in graph.items()]
    assert addresses == ["Positive.text", "2.text", "EmptyImage.width", "4.factor", "VAEDecode.tiles"]


def test_large_workflow_with_one_shared_name_is_read() -> None:
    graph = {str(i): make_node("KSampler", "$seed", seed=0) for i in range(10_000)}
    assert len(Workflow.parse(graph).bind({}).seeds) == 1


def test_large_workflow_is_read() -> None:
    graph = {str(i): make_node("KSampler", f"n{i}, $p{i}.steps", steps=i, model=[str(i + 1), 0]) for i in range(10_000)}
    assert len(Workflow.parse(graph).bind({"p7": 1}).params) == 10_000


@pytest.mark.parametrize("name", PAIRS or ["none"])
def test_official_templates_are_recognised_in_both_formats(name: str) -> None:
    pair = load(f"ui_to_api/{name}.json")
    if all(each["class_type"] for each in pair["api"].values()):
        assert Workflow.parse(pair["api"]).prompt == pair["api"]
    else:
        with pytest.raises(WorkflowError, match="was not installed"):
            Workflow.parse(pair["api"])
    workflow = Workflow.parse(pair["ui"])
    assert not workflow.resolved
    assert workflow.editor == pair["ui"]


def test_recorded_prompt_is_read() -> None:
    [post] = [entry for entry in load_transcript("sd15_txt2img") if entry.get("request", {}).get("path") == "/prompt"]
    workflow = Workflow.parse(post["request"]["body"])
    assert set(workflow.parameters) >= {"seed", "steps", "cfg", "sampler", "model", "prompt", "negative"}
    assert workflow.outputs == {"9": "cover"}
