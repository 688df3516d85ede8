"""Test what inputs are called: in the form, in Python, in messages; and that an author's interface is the form."""

from __future__ import annotations

import keyword
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Field, Workflow
from comfykit_jupyter.workflow.errors import ParameterError
from comfykit_jupyter.workflow.interface.words import split_class, to_label, to_name, to_words, unwrap_type
from comfykit_jupyter.workflow.nodes import NodeDefinition
from tests.unit.recorded import PAIRS, load, load_definitions

Graph = dict[str, Any]
_ADDRESS = re.compile(r"\d+(?::\d+)*\.|[a-z]_[a-z]|\w\.\w")
"""What no label has: an address, an identifier, `Class.field`. A label such as "Text Encode 1.5" is none of these."""


def make_node(class_type: str, title: str = "", **inputs: Any) -> Graph:
    return {"class_type": class_type, "inputs": inputs, "_meta": {"title": title}}


def format_form(name: str, fields: tuple[Field, ...]) -> str:
    """Return a form as a person sees it: a heading where it changes, and a line for each row."""
    lines, heading = [name], ""
    for field in fields:
        if field.group != heading:
            lines.append(f"  [{field.group}]")
            heading = field.group
        lines.append(f"    {field.label:36} {field.kind:10} {field.name}")
    return "\n".join(lines)


def find_breaches(fields: tuple[Field, ...]) -> list[str]:
    """Return what is wrong with the labels and names of a form."""
    wrong = [f"{field.label!r} is not words" for field in fields if not field.label or _ADDRESS.search(field.label)]
    rows = [(field.group.casefold(), field.label.casefold()) for field in fields]
    wrong += [f"two rows {row}" for row in sorted({row for row in rows if rows.count(row) > 1})]
    names = [field.name for field in fields]
    wrong += [f"two names {name}" for name in sorted({name for name in names if names.count(name) > 1})]
    for field in fields:
        parts = field.name.split(".")
        if len(parts) > 2 or not all(part.isidentifier() and not keyword.iskeyword(part) for part in parts):
            wrong.append(f"{field.name!r} cannot be typed")
    return wrong


def load_template(name: str) -> Workflow:
    """Return a template as a form shows it, also if the recorded server lacks a node of it."""
    workflow = Workflow.parse(load(f"ui_to_api/{name}.json")["ui"], name)
    return workflow.resolve(load_definitions(), partial=True)


@pytest.mark.parametrize("name", PAIRS or ["none"])
def test_every_official_template_has_a_form_in_words(name: str) -> None:
    workflow, known = load_template(name), load_definitions()
    fields = workflow.fields(known)
    print(format_form(name, fields))
    assert not find_breaches(fields)
    for field in fields:
        assert workflow.find_parameter(field.name, known).label == field.label
        for target in workflow.find_parameter(field.name, known).targets:
            address = workflow.build_address(target.node_id, target.field)
            assert target in workflow.find_parameter(address, known).targets


@pytest.mark.parametrize("name", PAIRS or ["none"])
def test_an_exported_template_has_a_form_in_words_too(name: str) -> None:
    """Without the editor's graph nothing is known of what the author shows."""
    known = load_definitions()
    prompt = load(f"ui_to_api/{name}.json")["api"]
    prompt = {id_: node for id_, node in prompt.items() if node["class_type"]}
    for definitions in (known, {}):
        fields = Workflow.parse(prompt, name).fields(definitions)
        assert not find_breaches(fields), format_form(name, fields)


def test_an_authors_interface_is_the_form() -> None:
    fields = load_template("image_ernie_image_turbo").fields(load_definitions())
    assert [field.label for field in fields] == [
        "Prompt", "Prompt enhancement", "Width", "Height", "Seed", "Diffusion model", "Text encoder", "Prompt enhancer",
        "VAE",
    ]  # fmt: skip
    assert {field.group for field in fields} == {"Text to Image (Ernie Image Turbo)"}


@pytest.mark.parametrize("lacking", ["RandomNoise", "PrimitiveFloat", "UNETLoader"])
def test_a_server_that_lacks_a_node_of_a_subgraph_leaves_the_other_values_in_place(lacking: str) -> None:
    name = "video_minimax_h3_i2v"
    if name not in PAIRS:
        pytest.skip("recordings not found")
    known = {class_type: each for class_type, each in load_definitions().items() if class_type != lacking}
    workflow = Workflow.parse(load(f"ui_to_api/{name}.json")["ui"], name)
    found = workflow.resolve(known, partial=True).fields(known)
    complete = load_template(name).fields(load_definitions())
    assert [(field.label, field.default) for field in found] == [(field.label, field.default) for field in complete]


def test_values_without_names_are_not_in_the_form() -> None:
    outputs = [{"name": "text", "type": "STRING", "links": [1]}]
    graph: Graph = {
        "nodes": [
            {"id": 1, "type": "Away", "outputs": outputs, "widgets_values": ["the first line\nand the second"]},
            {"id": 2, "type": "PreviewAny", "inputs": [{"name": "source", "type": "*", "link": 1}]},
        ],
        "links": [[1, 1, 0, 2, 0, "STRING"]],
    }
    known = {"PreviewAny": NodeDefinition.parse("PreviewAny", {"input": {}, "output_node": True})}
    assert Workflow.parse(graph).resolve(known, partial=True).fields(known) == ()


def test_linked_inputs_of_a_subgraph_are_set_where_the_link_begins() -> None:
    fields = {field.name: field for field in load_template("image_longcat_text_to_image").fields(load_definitions())}
    assert "width" not in fields  # from the resolution selector outside
    assert fields["aspect_ratio"].group == fields["megapixels"].group == "Resolution Selector"


def test_equal_labels_of_one_node_are_told_apart_by_what_they_set() -> None:
    """Its author calls both the width and the height "height"."""
    labels = [field.label for field in load_template("Image_capybara_v0_1_image_edit").fields(load_definitions())]
    assert labels[1:3] == ["Height (Width)", "Height"]


SAMPLED: Graph = {
    "1": make_node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="blurry", clip=["4", 1]),
    "2": make_node("CLIPTextEncode", "CLIP Text Encode (Prompt)", text="a cat", clip=["4", 1]),
    "3": make_node("KSampler", "KSampler", seed=5, steps=20, cfg=8.0, positive=["5", 0], negative=["1", 0]),
    "4": make_node("CheckpointLoaderSimple", "Load Checkpoint", ckpt_name="sd15.safetensors"),
    "5": make_node("FluxGuidance", "FluxGuidance", guidance=3.5, conditioning=["2", 0]),
}


def test_prompts_are_told_apart_by_their_links_and_the_positive_is_first() -> None:
    workflow = Workflow.parse(SAMPLED)
    fields = workflow.fields({})
    assert [(field.name, field.label, field.default) for field in fields[:2]] == [
        ("prompt", "Prompt", "a cat"),
        ("negative_prompt", "Negative prompt", "blurry"),
    ]
    assert workflow.bind({"prompt": "a dog"}).prompt["2"]["inputs"]["text"] == "a dog"


def test_a_text_whose_conditioning_is_emptied_is_the_positive_one() -> None:
    prompt = {
        **{id_: SAMPLED[id_] for id_ in ("2", "4")},
        "3": make_node("KSampler", "KSampler", positive=["2", 0], negative=["6", 0]),
        "6": make_node("ConditioningZeroOut", "Zero", conditioning=["2", 0]),
    }
    assert [field.label for field in Workflow.parse(prompt).fields({})] == ["Prompt", "Checkpoint"]


def test_a_value_with_a_node_of_its_own_is_called_after_its_title_or_its_purpose() -> None:
    prompt = {
        "1": make_node("PrimitiveInt", "Int", value=512),
        "2": make_node("PrimitiveInt", "Int (How tall)", value=512),
        "3": make_node("EmptyLatentImage", "Empty Latent Image", width=["1", 0], height=["2", 0], batch_size=1),
        "4": make_node("PrimitiveFloat", "Zoom", value=1.0),
    }
    known = {"PrimitiveInt": NodeDefinition.parse("PrimitiveInt", {"display_name": "Int"})}
    fields = Workflow.parse(prompt).fields(known)
    assert [(field.name, field.group) for field in fields] == [
        ("width", ""), ("how_tall", ""), ("zoom", ""), ("batch_size", "Empty Latent Image"),
    ]  # fmt: skip


def test_addresses_and_names_are_the_same_parameter() -> None:
    workflow = Workflow.parse(SAMPLED)
    bound = workflow.bind({"KSampler.steps": 8, "cfg": 2.0, "2.text": "a dog"})
    assert (bound.params["steps"], bound.params["cfg"], bound.params["prompt"]) == (8, 2.0, "a dog")
    assert "KSampler.steps" not in bound.params
    with pytest.raises(ParameterError, match=r"given twice, also as 'KSampler\.steps'"):
        workflow.bind({"KSampler.steps": 8, "steps": 9})
    with pytest.raises(ParameterError, match=r"^3\.steps \(KSampler\): "):  # as the user typed it
        workflow.bind({"3.steps": "x"})


def test_widgets_that_an_app_named_keep_their_names() -> None:
    extra = {"linearData": {"inputs": [["4", "ckpt_name"]], "outputs": []}}
    graph = {"nodes": [{"id": 4, "type": "CheckpointLoaderSimple"}], "extra": extra}
    workflow = Workflow.parse({"prompt": SAMPLED, "workflow": graph})
    assert list(workflow.parameters) == ["checkpoint"]
    assert workflow.bind({"ckpt_name": "x.safetensors"}).params == {"checkpoint": "x.safetensors"}


def test_a_primitive_node_of_the_editor_is_one_row() -> None:
    nodes: list[Graph] = [
        {"id": 9, "type": "PrimitiveNode", "title": "both sides", "outputs": [{"type": "INT", "links": [1, 2]}]},
        {"id": 3, "type": "EmptyLatentImage", "inputs": [
            {"name": "width", "type": "INT", "link": 1, "widget": {"name": "width"}},
            {"name": "height", "type": "INT", "link": 2, "widget": {"name": "height"}},
        ]},
    ]  # fmt: skip
    graph = {"nodes": nodes, "links": [[1, 9, 0, 3, 0, "INT"], [2, 9, 0, 3, 1, "INT"]]}
    prompt = {"3": make_node("EmptyLatentImage", "Empty Latent Image", width=64, height=64)}
    workflow = Workflow.parse({"prompt": prompt, "workflow": graph})
    assert [field.label for field in workflow.fields({})] == ["Both sides"]
    assert workflow.bind({"both_sides": 32}).prompt["3"]["inputs"] == {"width": 32, "height": 32}
    assert workflow.bind({"3.width": 32}).prompt["3"]["inputs"] == {"width": 32, "height": 64}


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("noise_seed", "Seed"), ("cfg", "CFG"), ("model.prompt", "Prompt"), ("clip_name3", "Text encoder 3"),
        ("images.image0", "Image 0"), ("num_frames", "Number of frames"), ("sam3_model", "SAM3 model"),
        ("upscale_method", "Upscale method"), ("bg_removal_name", "Background removal model"), ("image_1", "Image 1"),
    ],
)  # fmt: skip
def test_input_names_become_words(name: str, label: str) -> None:
    assert to_label(name) == label


@given(st.text(max_size=30))
def test_any_text_has_a_label_and_a_name(text: str) -> None:
    name = to_name(text)
    assert not name or (name.isidentifier() and not keyword.iskeyword(name) and to_name(name) == name)
    assert len(to_words(text)) <= 200
    to_label(text)
    split_class(text)
    unwrap_type(text)


def test_a_seed_follows_the_control_that_the_editor_saved() -> None:
    raw: Graph = {
        "input": {"required": {"seed": ["INT", {"control_after_generate": True}], "noise_seed": ["INT", {}]}},
        "output_node": True,
    }
    graph = {"nodes": [{"id": 1, "type": "Sample", "widgets_values": [7, "randomize", 8, "fixed"]}], "links": []}
    known = {"Sample": NodeDefinition.parse("Sample", raw)}
    fields = Workflow.parse(graph).resolve(known).fields(known)
    assert [(field.default, field.seed_mode, field.address) for field in fields] == [
        (7, "random", "Sample.seed"),
        (8, "fixed", "Sample.noise_seed"),
    ]
    known_modes = {field.seed_mode for field in load_template("image_ernie_image_turbo").fields(load_definitions())}
    assert known_modes == {"", "random"}


def test_a_primitive_node_controls_the_seeds_that_it_sets() -> None:
    raw: Graph = {"input": {"required": {"seed": ["INT", {"control_after_generate": True}]}}, "output_node": True}
    slot = {"name": "seed", "type": "INT", "link": 1, "widget": {"name": "seed"}}
    nodes: list[Graph] = [
        {
            "id": 9,
            "type": "PrimitiveNode",
            "outputs": [{"type": "INT", "links": [1]}],
            "widgets_values": [5, "increment"],
        },
        {"id": 1, "type": "Sample", "inputs": [slot], "widgets_values": [7, "fixed"]},
    ]
    known = {"Sample": NodeDefinition.parse("Sample", raw)}
    workflow = Workflow.parse({"nodes": nodes, "links": [[1, 9, 0, 1, 0, "INT"]]}).resolve(known)
    assert [(field.default, field.seed_mode) for field in workflow.fields(known)] == [(5, "increment")]
