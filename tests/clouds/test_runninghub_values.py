"""Values of a task: by name, checked before sending, with every seed."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfykit_jupyter import ComfyKit, ParameterError
from tests.client import workflows
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .conftest import get_sent_values
from .runninghub import App, Fate, Field, RunningHub

APP = "1937084629516193794"


def build_seeded(**seeds: Any) -> workflows.Graph:
    """Build a workflow with one sampler for each seed; the samplers do not run."""
    graph = workflows.picture()
    for number, (field, seed) in enumerate(seeds.items(), 3):
        graph[str(number)] = {
            "class_type": "KSampler",
            "inputs": {field: seed},
            "_meta": {"title": f"Sampler {number}"},
        }
    return graph


def test_only_changed_values_are_sent(kit: ComfyKit, cloud: RunningHub) -> None:
    kit.run(WORKFLOW, width=48, height=16, color=7)
    assert get_sent_values(cloud) == {("1", "width"): 48, ("1", "color"): 7}
    (request,) = cloud.find_requests("create")
    assert request.body["workflowId"] == WORKFLOW
    assert request.headers["Authorization"] == f"Bearer {cloud.key}"
    assert request.body["apiKey"] == cloud.key


def test_an_untitled_input_is_set_by_node_and_name(kit: ComfyKit, cloud: RunningHub) -> None:
    assert kit.run(WORKFLOW, {"2.filename_prefix": "mine", "Canvas.width": 40}).image.name.startswith("mine")
    assert get_sent_values(cloud) == {("2", "filename_prefix"): "mine", ("1", "width"): 40}


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"widht": 48}, "did you mean 'width'"),
        ({"width": "wide"}, "width (Canvas): 'wide' is text: give an integer"),
        ({"width": True}, "width (Canvas)"),
        ({"name": "x", "color": "red"}, "color (Canvas): 'red' is text"),
        ({"2.images": "a picture"}, "images (SaveImage, node 2): the input is linked to another node"),
        ({"2.quality": 9}, "quality"),
        ({"1.widht": 9}, "widht"),
        ({"Nowhere.width": 9}, "Nowhere"),
    ],
    ids=str,
)
def test_an_invalid_value_is_rejected_before_a_task_is_created(
    values: dict[str, Any], what: str, kit: ComfyKit, cloud: RunningHub
) -> None:
    result = kit.run(WORKFLOW, values)
    assert result.status == "failed"
    assert what in str(result.msg)
    assert result.prompt_id is None
    assert {request.endpoint for request in cloud.requests} == {"getJsonApiFormat"}


def test_a_required_value_must_be_given(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW]["1"]["_meta"]["title"] = "$width!, $height!"
    with pytest.raises(ParameterError, match=r"width .*required.*height .*required"):
        make_kit().run(WORKFLOW)
    assert not cloud.find_requests("create")
    assert make_kit().run(WORKFLOW, width=48, height=24).image.pil().size == (48, 24)


def test_a_parameter_on_two_nodes_sets_both(kit: ComfyKit, cloud: RunningHub) -> None:
    graph = cloud.workflows[WORKFLOW]
    graph["3"] = {**graph["1"], "_meta": {"title": "$width"}}
    kit.run(WORKFLOW, width=40)
    assert get_sent_values(cloud) == {("1", "width"): 40, ("3", "width"): 40}


# Seeds


def test_every_seed_is_sent_even_if_unchanged(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = build_seeded(seed=5, noise_seed=7)
    cloud.fates.append(Fate())
    result = kit.run(WORKFLOW)
    assert get_sent_values(cloud) == {("3", "seed"): 5, ("4", "noise_seed"): 7}
    assert {id_: node["inputs"] for id_, node in cloud.task.graph.items() if id_ in "34"} == {
        "3": {"seed": 5},
        "4": {"noise_seed": 7},
    }
    assert sorted(result.seeds.values()) == [5, 7]


def test_an_unset_seed_is_drawn_locally_and_reported(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = build_seeded(seed=0, noise_seed="0")
    cloud.fates.append(Fate())
    result = kit.run(WORKFLOW)
    (seed, noise) = get_sent_values(cloud).values()
    assert {seed, noise} == {*result.seeds.values()}
    assert 0 < seed != noise > 0
    assert result.prompt["3"]["inputs"]["seed"] == cloud.task.graph["3"]["inputs"]["seed"] == seed


def test_a_given_seed_is_used(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = build_seeded(seed=5)
    cloud.workflows[WORKFLOW]["3"]["_meta"]["title"] = "$seed"
    cloud.fates += [Fate(), Fate()]
    assert kit.run(WORKFLOW, seed=0).seeds == {"seed": 0}
    assert get_sent_values(cloud) == {("3", "seed"): 0}
    assert kit.run(WORKFLOW, seed="random").seeds["seed"] == cloud.task.graph["3"]["inputs"]["seed"]


def test_a_linked_seed_is_not_changed(kit: ComfyKit, cloud: RunningHub) -> None:
    graph = build_seeded(seed=["4", 0])
    graph["4"] = {"class_type": "PrimitiveInt", "inputs": {"value": 3}}
    cloud.workflows[WORKFLOW] = graph
    cloud.fates.append(Fate())
    kit.run(WORKFLOW)
    assert get_sent_values(cloud) == {}


@given(seed=st.integers(2**53, 2**64 - 1))
@settings(max_examples=settings().max_examples // 5, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_large_seeds_stay_exact(seed: int, make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = build_seeded(seed=seed, noise_seed=1)
    cloud.workflows[WORKFLOW]["4"]["_meta"]["title"] = "$seed.noise_seed"
    cloud.requests.clear()
    cloud.fates.append(Fate())
    result = make_kit().run(WORKFLOW, seed=seed - 1)
    assert get_sent_values(cloud) == {("3", "seed"): seed, ("4", "noise_seed"): seed - 1}
    assert {*result.seeds.values()} == {seed, seed - 1}


# Apps


@pytest.fixture
def fields(cloud: RunningHub) -> dict[str, Any]:
    """The fields of an app, one of each type, as the site describes them; tests can change them."""
    stated: dict[str, Any] = {
        "text": ("6", "CLIPTextEncode", "STRING", "a fox", '["STRING", {"multiline": true}]'),
        "steps": ("3", "KSampler", "INT", "20", '["INT", {"default": 20, "min": 1, "max": 50}]'),
        "cfg": ("3", "KSampler", "FLOAT", "8", '["FLOAT", {"default": 8.0, "min": 0.0, "max": 30.0}]'),
        "sampler": ("3", "KSampler", "LIST", "euler", '[["euler", "dpm"], {"default": "euler"}]'),
        "mode": ("7", "Switch", "SWITCH", "1", '[{"index": 1, "name": "one"}, {"index": 2}, {"default": 1}]'),
        "tile": ("7", "Switch", "BOOLEAN", "false", None),
        "image": ("1", "LoadImage", "IMAGE", "pasted.png", '[["a.png", "b.png"], {"image_upload": true}]'),
        "audio": ("8", "LoadAudio", "AUDIO", "a.wav", None),
        "video": ("9", "VHS_LoadVideo", "VIDEO", "a.mp4", ""),
    }  # fmt: skip

    def demo(body: dict[str, Any]) -> dict[str, Any]:
        listed = [
            {
                "nodeId": node,
                "nodeName": class_type,
                "fieldName": name,
                "fieldValue": value,
                "fieldType": kind,
                "fieldData": data,
                "description": f"about {name}",
            }
            for name, (node, class_type, kind, value, data) in stated.items()
        ]
        return {"code": 0, "data": {"webappName": "All of them", "nodeInfoList": listed}}

    cloud.apps[APP] = App("All of them", WORKFLOW, [Field("1", "width", "INT")])
    cloud.answer("apiCallDemo", demo, times=None)
    # the graph must have these inputs, but the node does not run
    cloud.workflows[WORKFLOW] = {}
    for name, (node, class_type, _, value, _) in stated.items():
        made = cloud.workflows[WORKFLOW].setdefault(node, {"class_type": class_type, "inputs": {}})
        made["inputs"][name] = value
    cloud.fates += [Fate()] * 9
    # the class that the demo is made of
    cloud.workflows[WORKFLOW]["1"]["inputs"]["width"] = 8
    return stated


def test_the_fields_of_an_app_are_parameters_of_their_types(kit: ComfyKit, fields: dict[str, Any]) -> None:
    shown = {field.name: field for field in kit.fields(f"rh-app:{APP}")}
    assert {name: field.kind for name, field in shown.items()} == {
        "text": "multiline",
        "steps": "integer",
        "cfg": "number",
        "sampler": "choice",
        "mode": "choice",
        "tile": "toggle",
        "image": "image",
        "audio": "audio",
        "video": "video",
    }
    assert (shown["steps"].default, shown["steps"].min, shown["steps"].max) == (20, 1, 50)
    assert (shown["cfg"].default, shown["tile"].default, shown["mode"].default) == (8.0, False, 1)
    assert shown["sampler"].choices == ("euler", "dpm")
    assert shown["mode"].choices == (1, 2)
    assert shown["text"].tooltip == "about text"


def test_an_app_gets_all_its_values(kit: ComfyKit, cloud: RunningHub, fields: dict[str, Any]) -> None:
    result = kit.run(f"rh-app:{APP}", steps=8, cfg=1.5, tile=True, mode=2, text="ein Fuchs", image=b"\x89PNG one")
    assert result.status == "completed", result.msg
    values = {field: value for (_, field), value in get_sent_values(cloud).items()}
    (name,) = cloud.uploads
    assert values == {
        "text": "ein Fuchs",
        "steps": "8",
        "cfg": "1.5",
        "sampler": "euler",
        "mode": "2",
        "tile": "true",
        "image": name,
        "audio": "a.wav",
        "video": "a.mp4",
    }


@pytest.mark.parametrize(
    ("values", "what"),
    [
        ({"steps": 51}, "above the maximum 50"),
        ({"steps": "x"}, "is text"),
        ({"sampler": "eulr"}, "'euler'"),
        ({"mode": 3}, "not one of"),
        ({"tile": "yes"}, "give True or False"),
        ({"image": "nowhere.png"}, "there is no file"),
        ({"seed": 1}, "seed"),
        ({"KSampler.denoise": 1}, "denoise"),
    ],
    ids=str,
)
def test_an_invalid_app_value_is_rejected_before_sending(
    values: dict[str, Any], what: str, kit: ComfyKit, cloud: RunningHub, fields: dict[str, Any]
) -> None:
    result = kit.run(f"rh-app:{APP}", values)
    assert result.status == "failed"
    assert what in str(result.msg)
    assert {request.endpoint for request in cloud.requests} == {"apiCallDemo"}


SHAPES: dict[str, tuple[Any, str]] = {
    "a definition": ('["INT", {"min": 1, "max": 3}]', "integer"),
    "not a text": (["INT", {"min": 1}], "integer"),
    "of choices": ('[["1", "2"], {"default": "1"}]', "choice"),
    "of a newer server": ('["COMBO", {"options": ["1", "2"]}]', "choice"),
    "choices as objects": ('[{"name": "one", "index": "1", "description": "x"}, {"default": "1"}]', "choice"),
    "choices of numbers": ("[[1, 2], {}]", "choice"),
    "nothing": (None, "integer"),
    "no text": ("", "integer"),
    "an empty list": ("[]", "integer"),
    "no choices": ("[[]]", "integer"),
    "not JSON": ("[[", "integer"),
    "a number": ("7", "integer"),
    "an object": ('{"min": 1}', "integer"),
    "nulls": ("[null, null]", "integer"),
    "lists in lists": ("[[[[]]]]", "integer"),
    "objects among choices": ('[[{"a": 1}]]', "integer"),
    "objects without choices": ('[{"a": 1}]', "integer"),
    "deep": ("[" * 9999, "integer"),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_malformed_field_description_is_tolerated(
    shape: str, kit: ComfyKit, cloud: RunningHub, fields: dict[str, Any]
) -> None:
    data, kind = SHAPES[shape]
    fields["steps"] = ("3", "KSampler", "INT", "1", data)
    (field,) = [each for each in kit.fields(f"rh-app:{APP}") if each.name == "steps"]
    assert field.kind == kind
    assert str(field.default) == "1"
    assert kit.run(f"rh-app:{APP}").status == "completed"
    assert get_sent_values(cloud)["3", "steps"] == "1"


def test_app_values_can_have_any_type(kit: ComfyKit, cloud: RunningHub, fields: dict[str, Any]) -> None:
    for value, shown in ((None, ""), (20, "20"), (20.5, "20.5"), ("many", "many"), ("", ""), (True, "true")):
        fields["steps"] = ("3", "KSampler", "INT", value, None)
        cloud.requests.clear()
        assert kit.options(runninghub_timeout=7).run(f"rh-app:{APP}").status == "completed"
        assert get_sent_values(cloud).get(("3", "steps"), "") == shown


def test_two_nodes_can_have_the_same_input_name(kit: ComfyKit, cloud: RunningHub, fields: dict[str, Any]) -> None:
    cloud.reset_answer("apiCallDemo")
    graph = workflows.picture()
    graph["3"] = {"class_type": "EmptyImage", "inputs": dict(graph["1"]["inputs"])}
    cloud.workflows[WORKFLOW] = graph
    cloud.apps[APP] = App("Two", WORKFLOW, [Field("1", "width", "INT"), Field("3", "width", "INT")])
    assert list(kit.load(f"rh-app:{APP}").parameters) == ["width_1", "width_3"]
    assert kit.run(f"rh-app:{APP}", width_3=40).status == "completed"
    assert get_sent_values(cloud) == {("1", "width"): "32", ("3", "width"): "40"}


def test_two_apps_with_the_same_nodes_keep_their_own_inputs(kit: ComfyKit, cloud: RunningHub) -> None:
    for app_id, name in (("11", "width"), ("12", "height")):
        cloud.apps[app_id] = App(name, WORKFLOW, [Field("1", name, "INT")])
    for app_id, name in (("11", "width"), ("12", "height"), ("11", "width")):
        assert [field.name for field in kit.fields(f"rh-app:{app_id}")] == [name]
        assert kit.run(f"rh-app:{app_id}", {name: 64}).status == "completed"


@pytest.mark.parametrize("demo", [None, {}, {"nodeInfoList": None}, {"nodeInfoList": [None, 7, {"nodeId": "1"}]}])
def test_an_app_without_inputs_is_reported(demo: Any, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("apiCallDemo", lambda _: {"code": 0, "data": demo})
    result = kit.run(f"rh-app:{APP}")
    assert result.status == "failed"
    assert "has no inputs that may be set" in str(result.msg)


def test_hostile_app_names_are_treated_as_text(kit: ComfyKit, cloud: RunningHub, fields: dict[str, Any]) -> None:
    fields["steps"] = ("3", "<b>$x.y, $output.z\x1b[31m", "INT", "20", None)
    fields["$text!"] = ("6", "CLIPTextEncode", "STRING", "x", None)
    workflow = kit.load(f"rh-app:{APP}")
    assert "$text!" not in workflow.parameters
    assert not workflow.outputs
    assert "\x1b" not in workflow.get_title("3")
    assert json.dumps([field.to_json() for field in kit.fields(workflow)])
