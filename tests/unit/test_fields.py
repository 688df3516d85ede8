"""Test the fields that a form shows for a workflow's parameters."""

from __future__ import annotations

import json
from typing import Any

import pytest

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.nodes import NodeDefinition
from comfykit_jupyter.workflow.values.fields import Field
from tests.unit.recorded import load, load_definitions, load_transcript

KEYS = {
    "name", "kind", "node", "group", "node_id", "class_type", "tooltip", "required", "default", "min", "max", "step",
    "slider", "choices", "choice_count", "multiselect", "label_on", "label_off", "advanced", "label",
    "address", "seed_mode", "note",
}  # fmt: skip


def make_field(spec: Any, value: Any = None, title: str = "$x", name: str = "x") -> Field | None:
    known = {"Node": NodeDefinition.parse("Node", {"display_name": "A node", "input": {"required": {name: spec}}})}
    inputs = {} if value is None else {name: value}
    workflow = Workflow.parse({"1": {"class_type": "Node", "inputs": inputs, "_meta": {"title": title}}})
    found = workflow.fields(known)
    return found[0] if found else None


@pytest.mark.parametrize(
    ("spec", "value", "kind"),
    [
        (["INT", {}], 3, "integer"),
        (["FLOAT", {}], 3, "number"),
        (["STRING", {}], "a", "text"),
        (["STRING", {"multiline": True}], "a", "multiline"),
        (["BOOLEAN", {}], True, "toggle"),
        ([["a", "b"]], "a", "choice"),
        ([["a.png"], {"image_upload": True}], "a.png", "image"),
        (["COMBO", {"video_upload": True}], "a.mp4", "video"),
        (["COMBO", {"audio_upload": True}], "a.mp3", "audio"),
        (["COMBO", {"file_upload": True}], "a.glb", "file"),
        (["INT", {"control_after_generate": True}], 3, "seed"),
        (["OWN_WIDGET", {}], "a", "text"),
        (["OWN_WIDGET", {}], 7, "integer"),
    ],
)
def test_field_kind_follows_the_input(spec: Any, value: Any, kind: str) -> None:
    found = make_field(spec, value)
    assert found is not None
    assert (found.kind, found.default) == (kind, value)
    assert found.node == "A node"


@pytest.mark.parametrize(("title", "group"), [("Sampler, $x", "Sampler"), ("$x", "")])
def test_group_is_the_title_of_the_node(title: str, group: str) -> None:
    found = make_field(["INT", {}], 3, title)
    assert found is not None
    assert found.group == group


def test_input_that_accepts_only_links_has_no_field() -> None:
    assert make_field(["MODEL", {}], ["2", 0]) is None
    assert make_field(["MODEL", {}]) is None


def test_upload_of_unknown_kind_is_a_file() -> None:
    found = make_field(["STRING", {}], "a.bin", "$~x")
    assert found is not None
    assert found.kind == "file"


def test_linked_input_has_no_default() -> None:
    found = make_field(["STRING", {"default": "d"}], ["2", 0])
    assert found is not None
    assert found.default is None


def test_required_parameter_has_no_default() -> None:
    found = make_field(["STRING", {}], "a", "$x!")
    assert found is not None
    assert (found.required, found.default) == (True, None)


def test_default_of_the_wrong_type_is_none() -> None:
    found = make_field(["INT", {}], "many")
    assert found is not None
    assert found.default is None


@pytest.mark.parametrize(
    ("spec", "slider"),
    [
        (["FLOAT", {"min": 0.0, "max": 1.0, "step": 0.01}], True),
        (["FLOAT", {"min": 0.0, "max": 100.0, "step": 0.1}], False),
        (["FLOAT", {"min": 0.0, "max": 100.0, "step": 0.1, "display": "slider"}], True),
        (["INT", {"min": 1, "max": 10_000, "display": "slider"}], False),
        (["INT", {"min": 1, "max": 8}], True),
        (["INT", {"min": 1, "max": 10_000}], False),
        (["FLOAT", {"min": 0.0, "max": 1.0}], False),
        (["FLOAT", {"min": 0.0}], False),
        (["FLOAT", {"min": 0.0, "max": float("inf"), "step": 1.0}], False),
        (["FLOAT", {"min": 0.0, "max": 1e308, "step": 1e-308}], False),
        (["INT", {"min": 1, "max": 8, "display": "number"}], False),
        (["INT", {"min": 5, "max": 5}], False),
        (["INT", {"min": 1, "max": 8, "control_after_generate": True}], False),
    ],
)
def test_slider_needs_reasonable_bounds(spec: Any, slider: bool) -> None:
    found = make_field(spec, 1)
    assert found is not None
    assert found.slider is slider


def test_integers_beyond_javascript_precision_are_strings() -> None:
    found = make_field(["INT", {"min": -(2**63), "max": 2**64 - 1}], 2**53)
    assert found is not None
    plain = found.to_json()
    assert (plain["min"], plain["max"]) == ("-9223372036854775808", "18446744073709551615")
    assert plain["default"] == "9007199254740992"
    small = make_field(["INT", {"max": 2**53 - 1}], 1)
    assert small is not None
    assert small.to_json()["max"] == 2**53 - 1


def test_long_list_of_choices_is_only_counted() -> None:
    for count, listed in ((200, True), (201, False)):
        found = make_field([[str(i) for i in range(count)]], "1")
        assert found is not None
        plain = found.to_json()
        assert plain["choice_count"] == count
        assert (plain["choices"] is not None) is listed


def test_fields_follow_the_order_of_the_titles() -> None:
    graph = {
        "2": {"class_type": "A", "inputs": {"b": 1, "a": 2}, "_meta": {"title": "$b, $a"}},
        "1": {"class_type": "A", "inputs": {"c": "x\ny"}, "_meta": {"title": "Text, $c"}},
    }
    fields = Workflow.parse(graph).fields({})
    assert [(each.name, each.kind, each.node) for each in fields] == [
        ("b", "integer", "A"),
        ("a", "integer", "A"),
        ("c", "multiline", "Text"),
    ]


def test_fields_of_a_recorded_workflow_are_plain_json() -> None:
    [post] = [entry for entry in load_transcript("sd15_txt2img") if entry.get("request", {}).get("path") == "/prompt"]
    fields = Workflow.parse(post["request"]["body"]["prompt"]).fields(load_definitions())
    plain = [each.to_json() for each in fields]
    assert json.loads(json.dumps(plain, allow_nan=False)) == plain
    assert all(set(each) == KEYS for each in plain)
    kinds = {each.name: each.kind for each in fields}
    assert kinds == {
        "seed": "seed", "steps": "integer", "cfg": "number", "sampler": "choice", "model": "choice",
        "width": "integer", "height": "integer", "prompt": "multiline", "negative": "multiline",
    }  # fmt: skip


def test_every_input_of_a_real_server_makes_a_field() -> None:
    for class_type, raw in load("object_info.json").items():
        names = [name for group in ("required", "optional") for name in raw["input"].get(group, {})]
        title = ", ".join(f"$p{i}.{name}" for i, name in enumerate(names))
        workflow = Workflow.parse({"1": {"class_type": class_type, "inputs": {}, "_meta": {"title": title}}})
        for each in workflow.fields(load_definitions()):
            json.dumps(each.to_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("value", "note"),
    [
        ("NaN", "the workflow has no number here: enter one"),
        ("-Infinity", "the workflow has no number here: enter one"),
        ("7.5", ""),
    ],
)
def test_number_that_json_lacks_is_explained(value: str, note: str) -> None:
    text = f'{{"1": {{"class_type": "Node", "inputs": {{"x": {value}}}, "_meta": {{"title": "$x"}}}}}}'
    known = {"Node": NodeDefinition.parse("Node", {"input": {"required": {"x": ["FLOAT", {}]}}})}
    [field] = Workflow.parse(text).fields(known)
    assert field.note == note
    assert (field.default is None) == bool(note)
