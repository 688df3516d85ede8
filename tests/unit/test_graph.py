"""Test each rule of the editor's conversion to the API format on a small graph."""

from __future__ import annotations

from typing import Any

import pytest

from comfykit_jupyter.workflow.editor.convert import convert, find_classes, is_editor_graph, to_api
from comfykit_jupyter.workflow.errors import WorkflowError
from tests.unit.editor_files import Draft, make_definition, make_definitions


@pytest.mark.parametrize("objects", [False, True])
def test_both_link_formats_are_read(objects: bool) -> None:
    draft = Draft(objects=objects)
    load, save = draft.add("Load", ["b", 0.5]), draft.add("Save", ["fox"])
    draft.link(load, 0, save, "images")
    assert draft.prompt() == {
        "1": {"inputs": {"name": "b", "strength": 0.5}, "class_type": "Load", "_meta": {"title": "The Load"}},
        "2": {"inputs": {"prefix": "fox", "images": ["1", 0]}, "class_type": "Save", "_meta": {"title": "The Save"}},
    }


def test_titles_are_kept() -> None:
    draft = Draft()
    draft.add("Load", ["a", 1], title="$name!")
    assert draft.prompt()["1"]["_meta"] == {"title": "$name!"}


def test_control_after_generate_takes_a_value_but_is_not_sent() -> None:
    draft = Draft()
    draft.add("Sample", [42, "randomize", 8])
    assert draft.inputs(1) == {"seed": 42, "steps": 8}


def test_missing_values_come_from_the_definition() -> None:
    draft = Draft()
    draft.add("Sample", [42])
    draft.add("Load", None)
    assert draft.inputs(1) == {"seed": 42, "steps": 20}
    assert draft.inputs(2) == {"name": "a", "strength": 0}


def test_values_saved_by_name_are_read_by_name() -> None:
    draft = Draft()
    draft.add("Sample", {"steps": 3, "seed": 9})
    assert draft.inputs(1) == {"seed": 9, "steps": 3}


def test_missing_choice_is_the_first_one() -> None:
    draft = Draft()
    draft.add("Load", [None, 1])
    assert draft.inputs(1)["name"] == "a"


def test_linked_widget_sends_the_link_but_uses_up_its_value() -> None:
    draft = Draft()
    number, sample = draft.add("Filter", [3]), draft.add("Sample", [42, "fixed", 8])
    draft.link(number, 0, sample, "seed", "INT", widget=True)
    assert draft.inputs(sample) == {"seed": ["1", 0], "steps": 8}


def test_removed_widget_input_is_dropped_but_unknown_link_is_kept() -> None:
    draft = Draft()
    load, save = draft.add("Load", ["a", 1]), draft.add("Save", ["x"])
    draft.link(load, 0, save, "gone", widget=True)
    draft.link(load, 0, save, "added")
    assert draft.inputs(save) == {"prefix": "x", "added": ["1", 0]}


def test_list_value_is_wrapped_so_that_it_does_not_look_like_a_link() -> None:
    draft = Draft()
    draft.add("Text", [["1", 0]])
    assert draft.inputs(1) == {"text": {"__value__": ["1", 0]}}


def test_large_integers_are_rounded_as_in_javascript() -> None:
    draft = Draft()
    draft.add("Sample", [2**64 - 1, "fixed", 2**53])
    assert draft.inputs(1) == {"seed": 18446744073709552000, "steps": 2**53}


def test_one_alternative_of_a_dynamic_prompt_is_sent() -> None:
    draft = Draft()
    draft.add("Text", ["a {red|blue} cat // or a dog"])
    assert draft.inputs(1) == {"text": "a blue cat "}


def test_date_placeholder_is_sent_unchanged() -> None:
    draft = Draft()
    draft.add("Save", ["%date:yyyy%/x"])
    assert draft.inputs(1)["prefix"] == "%date:yyyy%/x"


def test_reroutes_are_followed_and_notes_omitted() -> None:
    draft = Draft()
    load = draft.add("Load", ["a", 1])
    first, second = (draft.add("Reroute", inputs=[("", "*")], outputs=["*"]) for _ in range(2))
    save = draft.add("Save", ["x"])
    draft.add("Note", ["remember"])
    draft.add("MarkdownNote", ["# remember"])
    draft.link(load, 1, first, "")
    draft.link(first, 0, second, "")
    draft.link(second, 0, save, "images")
    assert list(draft.prompt()) == ["1", "4"]
    assert draft.inputs(save)["images"] == ["1", 1]


def test_native_reroutes_are_ignored() -> None:
    draft = Draft()
    load, save = draft.add("Load", ["a", 1]), draft.add("Save", ["x"])
    draft.link(load, 0, save, "images")
    draft.extra = {"reroutes": [{"id": 1, "pos": [0, 0], "linkIds": [1]}], "linkExtensions": [{"id": 1, "parentId": 1}]}
    assert draft.inputs(save)["images"] == ["1", 0]


def test_primitive_node_sets_the_inputs_it_is_linked_to() -> None:
    draft = Draft()
    primitive = draft.add("PrimitiveNode", [7, "fixed"], outputs=["INT"])
    first, second = draft.add("Sample", [1, "fixed", 2]), draft.add("Sample", [3, "fixed", 4])
    draft.link(primitive, 0, first, "steps", "INT", widget=True)
    draft.link(primitive, 0, second, "seed", "INT", widget=True)
    assert list(draft.prompt()) == ["2", "3"]
    assert (draft.inputs(first), draft.inputs(second)) == ({"seed": 1, "steps": 7}, {"seed": 7, "steps": 4})


def test_primitive_value_is_rounded_to_the_step_of_its_target() -> None:
    draft = Draft()
    known = {"Size": make_definition("Size", {"width": ["INT", {"min": 16, "max": 512, "step": 8}]}, "INT")}
    primitive = draft.add("PrimitiveNode", [101, "fixed"], outputs=["INT"])
    size, wide = draft.add("Size", [64]), draft.add("Size", [64])
    draft.link(primitive, 0, size, "width", "INT", widget=True)
    assert to_api(draft.save(), known)["2"]["inputs"] == {"width": 104}
    draft.nodes[0]["widgets_values"] = [10_000]
    draft.link(primitive, 0, wide, "width", "INT", widget=True)
    assert [node["inputs"]["width"] for node in to_api(draft.save(), known).values()] == [512, 512]


def test_muted_nodes_and_their_links_are_omitted() -> None:
    draft = Draft()
    load, save = draft.add("Load", ["a", 1], mode=2), draft.add("Save", ["x"])
    draft.link(load, 0, save, "images")
    assert draft.prompt().keys() == {"2"}
    assert draft.inputs(save) == {"prefix": "x"}


def test_bypassed_node_passes_on_the_input_of_the_same_type() -> None:
    draft = Draft()
    load = draft.add("Load", ["a", 1])
    bypassed = draft.add("Filter", [1], mode=4, outputs=["IMAGE"])
    save = draft.add("Save", ["x"])
    draft.link(load, 1, bypassed, "mask", "MASK")
    draft.link(load, 0, bypassed, "image")
    draft.link(bypassed, 0, save, "images")
    assert draft.inputs(save)["images"] == ["1", 0]


def test_bypassed_node_without_a_matching_input_passes_on_nothing() -> None:
    draft = Draft()
    bypassed, save = draft.add("Sample", [1], mode=4), draft.add("Save", ["x"])
    draft.link(bypassed, 0, save, "images")
    assert draft.inputs(save) == {"prefix": "x"}


def test_dynamic_choice_adds_its_inputs() -> None:
    draft = Draft()
    load, dynamic = draft.add("Load", ["a", 1]), draft.add("Dynamic", ["sized", 8, 3])
    draft.add("Dynamic", ["plain", 4])
    draft.link(load, 1, dynamic, "mode.mask", "MASK")
    assert draft.inputs(dynamic) == {"mode": "sized", "mode.size": 8, "last": 3, "mode.mask": ["1", 1]}
    assert draft.inputs(3) == {"mode": "plain", "last": 4}


def test_growing_inputs_keep_all_links() -> None:
    draft = Draft()
    load, batch = draft.add("Load", ["a", 1]), draft.add("Batch")
    for at in range(3):
        draft.link(load, 0, batch, f"images.i{at}")
    assert draft.inputs(batch) == {f"images.i{at}": ["1", 0] for at in range(3)}


def test_button_takes_a_value_but_is_not_sent() -> None:
    known = {"Up": make_definition("Up", {"image": [["x.png"], {"image_upload": True}], "n": ["INT", {}]}, "IMAGE")}
    draft = Draft()
    draft.add("Up", ["y.png", 5, "image"])
    assert to_api(draft.save(), known)["1"]["inputs"] == {"image": "y.png", "n": 5}


def test_custom_combo_sends_its_options_and_the_chosen_index() -> None:
    known = {"CustomCombo": make_definition("CustomCombo", {"choice": ["COMBO", {"options": []}]}, "STRING")}
    draft = Draft()
    draft.add("CustomCombo", ["b", 0, "a", "b", ""])
    options = {"option1": "a", "option2": "b", "option3": ""}
    assert to_api(draft.save(), known)["1"]["inputs"] == {"choice": "b", "index": 1, **options}


def test_bounding_box_sides_are_not_sent_separately() -> None:
    known = {"Crop": make_definition("Crop", {"region": ["BOUNDING_BOX", {}], "n": ["INT", {}]}, "IMAGE")}
    draft = Draft()
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    draft.add("Crop", [box, 1, 2, 3, 4, 5])
    assert to_api(draft.save(), known)["1"]["inputs"] == {"region": box, "n": 5}


def test_values_of_inputs_that_became_links_are_skipped() -> None:
    known = {"Old": make_definition("Old", {"a": ["INT", {"forceInput": True}], "b": ["INT", {}]}, "IMAGE")}
    draft = Draft()
    draft.add("Old", [1, 2])
    draft.add("Old", [3])
    assert [node["inputs"] for node in to_api(draft.save(), known).values()] == [{"b": 2}, {"b": 3}]


def test_missing_class_is_kept_without_class_type_and_reported_with_its_pack() -> None:
    draft = Draft()
    load = draft.add("Load", ["a", 1])
    odd = draft.add("Odd", ["x", 3, None], title="Mine", properties={"aux_id": "someone/pack"}, inputs=["image"])
    draft.link(load, 0, odd, "image")
    found = convert(draft.save(), make_definitions())
    values = {"UNKNOWN": "x", "UNKNOWN_1": 3, "UNKNOWN_2": "null", "image": ["1", 0]}
    assert found.prompt["2"] == {"inputs": values, "class_type": None, "_meta": {"title": "Mine"}}
    assert [(each.node_id, each.class_type, each.title, each.pack) for each in found.missing] == [
        ("2", "Odd", "Mine", "someone/pack")
    ]


def test_older_editors_gave_all_unknown_values_one_name() -> None:
    draft = Draft()
    draft.add("Load", ["a", 1])
    draft.add("Odd", ["x", 3])
    assert draft.inputs(2, recent=False) == {"UNKNOWN": 3}


def test_input_that_needs_the_browser_is_noted() -> None:
    draft = Draft()
    draft.add("Scene", ["a"], title="My scene")
    found = convert(draft.save(), {"Scene": make_definition("Scene", {"image": ["LOAD_3D", {}]}, "IMAGE")}, "stage")
    assert len(found.notes) == 1
    assert "My scene (1)" in found.notes[0]


def test_nodes_are_ordered_as_in_an_exported_file() -> None:
    draft = Draft()
    for id_ in (10, 9, 2):
        draft.add("Load", ["a", 1], id=id_)
    assert list(draft.prompt()) == ["2", "9", "10"]


def test_editor_classes_omit_virtual_nodes() -> None:
    draft = Draft()
    for type_ in ("Load", "Note", "Reroute", "PrimitiveNode", "Odd"):
        draft.add(type_)
    assert find_classes(draft.save()) == {"Load", "Odd"}


def test_prompt_shares_no_data_with_the_file() -> None:
    draft = Draft()
    draft.add("Text", [{"a": [1]}])
    file = draft.save()
    prompt = to_api(file, make_definitions())
    prompt["1"]["inputs"]["text"]["a"].append(2)
    assert file["nodes"][0]["widgets_values"] == [{"a": [1]}]


@pytest.mark.parametrize("data", [None, [], {}, "nodes", {"nodes": {}}, {"1": {"class_type": "X", "inputs": {}}}])
def test_other_data_is_not_an_editor_graph(data: Any) -> None:
    assert not is_editor_graph(data)


def make_cycle() -> dict[str, Any]:
    draft = Draft()
    first, second = (draft.add("Reroute", inputs=[("", "*")], outputs=["*"]) for _ in range(2))
    save = draft.add("Save", ["x"])
    draft.link(first, 0, second, "")
    draft.link(second, 0, first, "")
    draft.link(first, 0, save, "images")
    return draft.save()


@pytest.mark.parametrize(
    "file",
    [
        {},
        {"nodes": 3},
        {"nodes": [3]},
        {"nodes": [{}]},
        {"nodes": [{"id": 1}]},
        {"nodes": [{"id": True, "type": "Load"}]},
        {"nodes": [{"id": 1, "type": "Load"}, {"id": 1, "type": "Load"}]},
        {"nodes": [{"id": 1, "type": "Load", "inputs": {}}]},
        {"nodes": [{"id": 1, "type": "Load", "widgets_values": [float("nan")]}]},
        {"nodes": [], "links": {}},
        {"nodes": [], "links": [[1, 2]]},
        {"nodes": [], "definitions": {"subgraphs": [{"id": 1.5}]}},
        {"nodes": [], "extra": {"groupNodes": {"g": {"nodes": [1]}}}},
        make_cycle(),
    ],
)
def test_malformed_file_is_rejected_in_one_line(file: Any) -> None:
    with pytest.raises(WorkflowError) as caught:
        convert(file, make_definitions(), "my file")
    message = str(caught.value)
    assert message.startswith("my file")
    assert "\n" not in message
    assert len(message) < 300
