"""Test that values are bound to the inputs that a workflow's titles and addresses name."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Binding, Workflow
from comfykit_jupyter.workflow.errors import ParameterError
from comfykit_jupyter.workflow.json_values import is_missing
from comfykit_jupyter.workflow.nodes import NodeDefinition
from tests.unit.recorded import load_definitions, load_transcript

DEFINITIONS = {
    name: NodeDefinition.parse(name, {"input": {"required": required}})
    for name, required in {
        "KSampler": {
            "model": ["MODEL"],
            "seed": ["INT", {"min": 0, "max": 2**64 - 1, "control_after_generate": True}],
            "steps": ["INT", {"min": 1, "max": 100}],
            "cfg": ["FLOAT", {"min": 0.0, "max": 30.0}],
            "sampler_name": [["euler", "heun"], {}],
        },
        "RandomNoise": {"noise_seed": ["INT", {"min": 5, "max": 9, "control_after_generate": True}]},
        "PrimitiveInt": {"value": ["INT", {"control_after_generate": "fixed"}]},
        "LoadImage": {"image": [["cat.png"], {"image_upload": True}]},
        "LoadVideo": {"file": ["COMBO", {"options": [], "video_upload": True}], "path": ["STRING", {}]},
        "CustomLoader": {"picture": [["dog.png"], {"image_upload": True}]},
        "Styles": {"styles": ["COMBO", {"options": ["ink", "oil", "chalk"], "multiselect": True}]},
        "CLIPTextEncode": {"text": ["STRING", {"multiline": True}], "clip": ["CLIP"]},
    }.items()
}


def make_node(class_type: str, title: str | None = None, **inputs: Any) -> dict[str, Any]:
    node: dict[str, Any] = {"class_type": class_type, "inputs": inputs}
    return node if title is None else {**node, "_meta": {"title": title}}


def bind(
    graph: Mapping[str, Any],
    values: Mapping[str, Any] | None = None,
    known: Any = None,
    draw: Callable[[int, int], int] = lambda _low, high: high,
) -> Binding:
    workflow = Workflow.parse(graph)
    before = copy.deepcopy(workflow.prompt)
    try:
        return workflow.bind(values or {}, known, draw=draw)
    finally:
        assert workflow.prompt == before


def collect_problems(graph: Mapping[str, Any], values: Mapping[str, Any], known: Any = None) -> list[str]:
    with pytest.raises(ParameterError) as caught:
        bind(graph, values, known)
    return [problem.message for problem in caught.value.problems]


SAMPLER = {
    "3": make_node("KSampler", "$steps, $cfg, $sampler.sampler_name", steps=20, cfg=8, sampler_name="euler", seed=7)
}


def test_values_are_set_on_the_inputs_that_titles_declare() -> None:
    bound = bind(SAMPLER, {"steps": 8, "sampler": "heun"}, DEFINITIONS)
    assert bound.prompt["3"]["inputs"] == {"steps": 8, "cfg": 8, "sampler_name": "heun", "seed": 7}
    assert bound.params == {"steps": 8, "cfg": 8, "sampler": "heun"}


def test_only_changed_nodes_are_copied() -> None:
    workflow = Workflow.parse({**SAMPLER, "4": make_node("X", a=[1])})
    bound = workflow.bind({"steps": 8})
    assert bound.prompt["4"] is workflow.prompt["4"]
    assert bound.prompt["3"] is not workflow.prompt["3"]


def test_value_is_set_on_every_node_that_declares_the_parameter() -> None:
    graph = {"1": make_node("A", "$steps", steps=20), "2": make_node("B", "$steps", steps=4)}
    assert [each["inputs"]["steps"] for each in bind(graph, {"steps": 9}).prompt.values()] == [9, 9]


def test_each_node_keeps_its_default_without_a_value() -> None:
    graph = {"1": make_node("A", "$steps", steps=20), "2": make_node("B", "$steps", steps=4)}
    assert [each["inputs"]["steps"] for each in bind(graph).prompt.values()] == [20, 4]


def test_link_is_kept_without_a_value_and_replaced_by_a_value() -> None:
    graph = {"1": make_node("Text", value="x"), "2": make_node("CLIPTextEncode", "$prompt.text", text=["1", 0])}
    assert bind(graph).prompt["2"]["inputs"]["text"] == ["1", 0]
    assert bind(graph, {"prompt": "a fox"}).prompt["2"]["inputs"]["text"] == "a fox"


def test_inputs_can_be_addressed_by_node_title_or_id() -> None:
    bound = bind(SAMPLER, {"KSampler.seed": 5, "3.cfg": 2.5}, DEFINITIONS)
    assert bound.prompt["3"]["inputs"]["seed"] == 5
    assert bound.params["3.cfg"] == 2.5
    assert bound.seeds == {"KSampler.seed": 5}


def test_all_problems_are_reported_at_once() -> None:
    graph = {**SAMPLER, "6": make_node("CLIPTextEncode", "Positive, $prompt.text!", text="a cat")}
    assert collect_problems(graph, {"steps": 0, "cfg": "x", "sampler": "eulr", "promt": "a fox"}, DEFINITIONS) == [
        "steps (KSampler): 0 is below the minimum 1",
        "cfg (KSampler): 'x' is text: give a number",
        "sampler (KSampler): 'eulr' is not one of the 2 choices: did you mean 'euler'?",
        "promt: workflow has no such parameter: did you mean 'prompt'?",
        "prompt (Positive): required, and no value was given",
    ]


def test_required_parameter_can_be_given_by_address() -> None:
    graph = {"6": make_node("CLIPTextEncode", "Positive, $prompt.text!", text="a cat")}
    assert bind(graph, {"Positive.text": "a fox"}).prompt["6"]["inputs"]["text"] == "a fox"


def test_input_given_under_two_names_is_rejected() -> None:
    [message] = collect_problems(SAMPLER, {"steps": 8, "3.steps": 9})
    assert message == "3.steps (KSampler): given twice, also as 'steps': leave one of them out"


@pytest.mark.parametrize("known", [DEFINITIONS, None])
@pytest.mark.parametrize("gap", [None, float("nan"), Decimal("nan"), "pandas.NA", "pandas.NaT", "numpy.nan"])
def test_gap_keeps_the_workflows_own_value(gap: Any, known: Any) -> None:
    if isinstance(gap, str):
        package, _, name = gap.partition(".")
        gap = getattr(pytest.importorskip(package), name)
    values = dict.fromkeys(["steps", "cfg", "sampler", "3.seed"], gap)
    bound, own = bind(SAMPLER, values, known), bind(SAMPLER, {}, known)
    assert (bound.prompt, bound.params, bound.seeds) == (own.prompt, own.params, own.seeds)


def test_gap_is_no_value_for_a_required_parameter_or_an_unknown_name() -> None:
    graph = {"6": make_node("CLIPTextEncode", "Positive, $prompt.text!", text="a cat")}
    assert collect_problems(graph, {"prompt": None, "promt": None}) == [
        "promt: workflow has no such parameter: did you mean 'prompt'?",
        "prompt (Positive): required, and no value was given",
    ]


def test_rows_of_a_table_with_gaps_are_bound() -> None:
    pd = pytest.importorskip("pandas")
    table = pd.DataFrame({"steps": [8, None, 9], "cfg": [2.5, 3.0, None], "sampler": ["euler", "heun", None]})
    for kind in ("numpy_nullable", None):
        rows = (table if kind is None else table.convert_dtypes(dtype_backend=kind)).to_dict("records")
        bound = [bind(SAMPLER, row, DEFINITIONS).params for row in rows]
        assert bound == [
            {"steps": 8, "cfg": 2.5, "sampler": "euler"},
            {"steps": 20, "cfg": 3.0, "sampler": "heun"},
            {"steps": 9, "cfg": 8, "sampler": "euler"},
        ]
        assert {type(params["steps"]) for params in bound} == {int}


def test_name_that_is_not_a_string_is_rejected() -> None:
    values: Any = {7: 1}
    assert len(collect_problems(SAMPLER, values)) == 1


def test_input_that_the_class_lacks_is_rejected() -> None:
    graph = {"6": make_node("CLIPTextEncode", "$txt", text="a cat")}
    [message] = collect_problems(graph, {"txt": "a fox"}, DEFINITIONS)
    assert "no input 'txt'" in message
    assert "$txt.text" in message


@pytest.mark.parametrize(("default", "value"), [(8, 2.5), (8, 7), (2.5, 7), ("x", "y"), (True, False)])
def test_without_a_definition_a_value_of_a_similar_type_is_accepted(default: Any, value: Any) -> None:
    bound = bind({"1": make_node("New", "$x", x=default)}, {"x": value})
    assert bound.prompt["1"]["inputs"]["x"] == value
    assert type(bound.prompt["1"]["inputs"]["x"]) is type(value)


@pytest.mark.parametrize(
    ("default", "value", "sent"),
    [
        (8, "8", 8),
        (8, 64.0, 64),
        (8, "2.5", 2.5),
        (2.5, "7", 7),
        (True, 1, True),
        (True, "false", False),
        ("x", 8, "8"),
    ],
)
def test_without_a_definition_a_value_is_converted_to_the_type_of_the_workflows_own(
    default: Any, value: Any, sent: Any
) -> None:
    bound = bind({"1": make_node("New", "$x", x=default)}, {"x": value})
    assert bound.prompt["1"]["inputs"]["x"] == sent
    assert type(bound.prompt["1"]["inputs"]["x"]) is type(sent)


@pytest.mark.parametrize(("default", "value"), [(8, "x"), (8, True), (True, 2), ("x", True), (2.5, float("inf"))])
def test_without_a_definition_a_value_of_another_type_is_rejected(default: Any, value: Any) -> None:
    assert len(collect_problems({"1": make_node("New", "$x", x=default)}, {"x": value})) == 1


# Seeds


def test_default_seed_of_zero_is_replaced_by_a_random_seed() -> None:
    graph = {"3": make_node("KSampler", "$seed", seed=0), "4": make_node("RandomNoise", noise_seed=0)}
    bound = bind(graph, {}, DEFINITIONS)
    assert bound.seeds == {"seed": 2**53 - 1, "RandomNoise.noise_seed": 9}
    assert bound.prompt["3"]["inputs"]["seed"] == 2**53 - 1
    assert bound.prompt["4"]["inputs"]["noise_seed"] == 9
    assert bound.params == {"seed": 2**53 - 1}


def test_explicit_seed_of_zero_is_kept() -> None:
    graph = {"3": make_node("KSampler", "$seed", seed=0), "4": make_node("KSampler", "other", seed=0)}
    bound = bind(graph, {"seed": 0, "other.seed": 0})
    assert bound.seeds == {"seed": 0, "other.seed": 0}


def test_other_default_seeds_are_recorded_unchanged() -> None:
    bound = bind({"3": make_node("KSampler", seed=5), "4": make_node("KSampler", seed=6)})
    assert bound.seeds == {"ksampler_1.seed": 5, "ksampler_2.seed": 6}


def test_random_draws_a_seed_within_bounds() -> None:
    graph = {"4": make_node("RandomNoise", "$seed.noise_seed", noise_seed=7)}
    assert bind(graph, {"seed": "random"}, DEFINITIONS).seeds == {"seed": 9}
    assert bind(graph, {"seed": "random"}, DEFINITIONS, draw=lambda low, _high: low).seeds == {"seed": 5}
    assert bind(graph, {"seed": "random"}).seeds == {"seed": 2**53 - 1}


def test_random_seed_is_shared_by_all_nodes_of_its_name() -> None:
    graph = {
        "3": make_node("KSampler", "$seed", seed=0),
        "4": make_node("RandomNoise", "$seed.noise_seed", noise_seed=7),
    }
    bound = bind(graph, {"seed": "random"}, DEFINITIONS)
    assert bound.seeds == {"seed": 9}
    assert bound.prompt["3"]["inputs"]["seed"] == 9


def test_different_seeds_under_one_name_are_all_recorded() -> None:
    graph = {"3": make_node("KSampler", "$seed", seed=5), "4": make_node("KSampler", "B, $seed", seed=6)}
    assert bind(graph).seeds == {"seed": 5, "B.seed": 6}


def test_random_is_rejected_for_other_numbers() -> None:
    [message] = collect_problems(SAMPLER, {"steps": "random"})
    assert "'random' is text" in message


def test_zero_in_a_plain_number_is_kept() -> None:
    graph = {"1": make_node("PrimitiveInt", "$offset.value", value=0), "2": make_node("New", "$off", off=0)}
    bound = bind(graph, {}, DEFINITIONS)
    assert bound.params == {"offset": 0, "off": 0}
    assert not bound.seeds


def test_untitled_node_is_named_by_its_display_name_if_known() -> None:
    graph = {"1": {"class_type": "EmptyImage", "inputs": {"width": 8}, "_meta": {"title": "$width"}}}
    raw = {"input": {"required": {"width": ["INT", {"min": 1}]}}, "display_name": "Empty Image"}
    for known, called in (
        (None, "EmptyImage"),
        ({"EmptyImage": NodeDefinition.parse("EmptyImage", raw)}, "Empty Image"),
    ):
        with pytest.raises(ParameterError, match=rf"^width \({called}\): 'x' is text"):
            Workflow.parse(graph).bind({"width": "x"}, known)


def test_number_titled_seed_is_a_seed() -> None:
    graph = {"1": make_node("PrimitiveInt", "$seed.value", value=3)}
    assert bind(graph, {"seed": "random"}, DEFINITIONS, draw=lambda _low, _high: 77).seeds == {"seed": 77}


@given(st.integers(0, 2**64 - 1))
def test_seed_is_sent_exactly(seed: int) -> None:
    bound = bind({"3": make_node("KSampler", "$seed", seed=1)}, {"seed": seed}, DEFINITIONS)
    assert bound.prompt["3"]["inputs"]["seed"] == seed
    assert type(bound.prompt["3"]["inputs"]["seed"]) is int


def test_random_seeds_do_not_depend_on_the_global_generator() -> None:
    import random

    workflow = Workflow.parse({"3": make_node("KSampler", "$seed", seed=0)})
    drawn = set()
    for _ in range(3):
        random.seed(0)
        drawn.add(workflow.bind({}).seeds["seed"])
    assert len(drawn) == 3
    assert all(0 <= seed < 2**53 for seed in drawn)


# Media


@pytest.mark.parametrize("known", [None, DEFINITIONS])
@pytest.mark.parametrize("title", ["$image", "$~image", "$photo.image", "$photo.~image!", "$photo", "$~photo!"])
def test_image_for_a_loader_is_marked_for_upload(title: str, known: Any) -> None:
    name = "image" if title.endswith(("$image", "~image")) and "." not in title else "photo"
    bound = bind({"1": make_node("LoadImage", title, image="example.png")}, {name: "anna.jpg"}, known)
    [upload] = bound.uploads
    assert (upload.node_id, upload.field, upload.kind, upload.value) == ("1", "image", "image", "anna.jpg")
    assert upload.choices == (("cat.png",) if known else ())
    bound.place(upload, "sub/anna.jpg")
    assert bound.prompt["1"]["inputs"] == {"image": "sub/anna.jpg"}
    assert bound.params == {name: "anna.jpg"}


def test_placing_an_upload_does_not_change_the_workflow() -> None:
    workflow = Workflow.parse({"1": make_node("LoadImage", "$image", image="example.png")})
    bound = workflow.bind({"image": b"bytes"})
    bound.place(bound.uploads[0], "x.png")
    assert workflow.prompt["1"]["inputs"]["image"] == "example.png"
    assert bound.params == {"image": "x.png"}


def test_path_stays_readable_in_params() -> None:
    bound = bind({"1": make_node("LoadImage", "$image", image="example.png")}, {"image": Path("a") / "b.png"})
    bound.place(bound.uploads[0], "hash.png")
    assert bound.params == {"image": str(Path("a") / "b.png")}


def test_default_is_never_uploaded(tmp_path: Path) -> None:
    (tmp_path / "example.png").write_bytes(b"x")
    graph = {"1": make_node("LoadImage", "$~image", image=str(tmp_path / "example.png"))}
    assert not bind(graph).uploads


def test_custom_loader_class_takes_an_upload() -> None:
    graph = {"1": make_node("CustomLoader", "$photo", picture="dog.png")}
    [upload] = bind(graph, {"photo": "anna.jpg"}, DEFINITIONS).uploads
    assert (upload.field, upload.choices) == ("picture", ("dog.png",))


def test_text_input_of_a_loader_is_not_uploaded() -> None:
    graph = {"1": make_node("LoadVideo", "$path", file="a.mp4", path="x")}
    bound = bind(graph, {"path": "y"}, DEFINITIONS)
    assert not bound.uploads
    assert bound.prompt["1"]["inputs"] == {"file": "a.mp4", "path": "y"}


def test_input_with_an_upload_marker_is_uploaded_for_any_class() -> None:
    [upload] = bind({"1": make_node("New", "$~mask", mask="m.png")}, {"mask": b"..."}).uploads
    assert (upload.field, upload.kind) == ("mask", None)


def test_one_image_for_two_nodes_is_two_uploads() -> None:
    graph = {str(i): make_node("LoadImage", "$image", image="example.png") for i in range(2)}
    assert [upload.node_id for upload in bind(graph, {"image": "a.png"}).uploads] == ["0", "1"]


def test_missing_required_image_is_reported() -> None:
    [message] = collect_problems({"1": make_node("LoadImage", "Photo, $~image!", image="example.png")}, {})
    assert message == "image (Photo): required, and no value was given"


# Recordings of a real server


def test_recorded_workflow_accepts_values() -> None:
    [post] = [entry for entry in load_transcript("sd15_txt2img") if entry.get("request", {}).get("path") == "/prompt"]
    workflow = Workflow.parse(post["request"]["body"]["prompt"])
    bound = workflow.bind({"prompt": "a fox", "width": 512, "Sampler.denoise": 1}, load_definitions())
    assert bound.prompt["6"]["inputs"]["text"] == "a fox"
    assert bound.prompt["3"]["inputs"]["denoise"] == 1.0
    assert bound.seeds == {"seed": 1}
    assert list(bound.params)[:3] == ["seed", "steps", "cfg"]


@given(
    st.dictionaries(
        st.sampled_from(["steps", "cfg", "sampler", "3.seed", "3.model", "x", ""]),
        st.none() | st.integers() | st.floats() | st.text() | st.lists(st.integers()) | st.just("random"),
    ),
    st.booleans(),
)
def test_any_values_are_bound_or_rejected_with_a_printable_message(values: dict[str, Any], known: bool) -> None:
    bound, refused = None, ""
    try:
        bound = bind(SAMPLER, values, DEFINITIONS if known else None)
    except ParameterError as error:
        refused = str(error)
    assert refused.isprintable()
    given = {name for name, value in values.items() if not is_missing(value)}
    assert refused or (bound is not None and given <= set(bound.params))


def test_multiple_choices_are_a_list_in_python_and_wrapped_in_the_prompt() -> None:
    graph = {"1": make_node("Styles", "$styles", styles={"__value__": ["ink"]})}
    (field,) = Workflow.parse(graph).fields(DEFINITIONS)
    assert (field.default, field.multiselect) == (["ink"], True)
    assert bind(graph, known=DEFINITIONS).params == {"styles": ["ink"]}
    bound = bind(graph, {"styles": ["oil", "chalk"]}, DEFINITIONS)
    assert bound.params == {"styles": ["oil", "chalk"]}
    assert bound.prompt["1"]["inputs"] == {"styles": {"__value__": ["oil", "chalk"]}}
