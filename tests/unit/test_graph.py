"""The editor's rules, one by one, on small graphs: what is expected follows from the rule."""

from __future__ import annotations

from typing import Any

import pytest

from comfykit_jupyter.workflow.editor.convert import convert, find_classes, is_editor_graph, to_api
from comfykit_jupyter.workflow.errors import WorkflowError
from tests.unit.editor_files import Draft, definition, definitions


@pytest.mark.parametrize("objects", [False, True])
def test_both_forms_of_the_link_table_are_read(objects: bool) -> None:
    draft = Draft(objects=objects)
    load, save = draft.add("Load", ["b", 0.5]), draft.add("Save", ["fox"])
    draft.link(load, 0, save, "images")
    assert draft.prompt() == {
        "1": {"inputs": {"name": "b", "strength": 0.5}, "class_type": "Load", "_meta": {"title": "The Load"}},
        "2": {"inputs": {"prefix": "fox", "images": ["1", 0]}, "class_type": "Save", "_meta": {"title": "The Save"}},
    }


def test_titles_carry_over() -> None:
    draft = Draft()
    draft.add("Load", ["a", 1], title="$name!")
    assert draft.prompt()["1"]["_meta"] == {"title": "$name!"}


def test_the_control_beside_a_seed_takes_a_value_and_sends_none() -> None:
    draft = Draft()
    draft.add("Sample", [42, "randomize", 8])
    assert draft.inputs(1) == {"seed": 42, "steps": 8}


def test_values_that_are_missing_are_those_of_the_definition() -> None:
    draft = Draft()
    draft.add("Sample", [42])
    draft.add("Load", None)
    assert draft.inputs(1) == {"seed": 42, "steps": 20}
    assert draft.inputs(2) == {"name": "a", "strength": 0}


def test_values_by_name_are_taken_by_name() -> None:
    draft = Draft()
    draft.add("Sample", {"steps": 3, "seed": 9})
    assert draft.inputs(1) == {"seed": 9, "steps": 3}


def test_a_choice_that_nobody_made_is_the_first() -> None:
    draft = Draft()
    draft.add("Load", [None, 1])
    assert draft.inputs(1)["name"] == "a"


def test_a_linked_widget_takes_its_link_and_keeps_its_place_among_the_values() -> None:
    draft = Draft()
    number, sample = draft.add("Filter", [3]), draft.add("Sample", [42, "fixed", 8])
    draft.link(number, 0, sample, "seed", "INT", widget=True)
    assert draft.inputs(sample) == {"seed": ["1", 0], "steps": 8}


def test_an_input_of_a_widget_that_is_no_more_is_dropped_and_other_unknown_inputs_are_kept() -> None:
    draft = Draft()
    load, save = draft.add("Load", ["a", 1]), draft.add("Save", ["x"])
    draft.link(load, 0, save, "gone", widget=True)
    draft.link(load, 0, save, "added")
    assert draft.inputs(save) == {"prefix": "x", "added": ["1", 0]}


def test_a_list_of_values_is_no_link() -> None:
    draft = Draft()
    draft.add("Text", [["1", 0]])
    assert draft.inputs(1) == {"text": {"__value__": ["1", 0]}}


def test_integers_past_a_page_are_as_a_page_has_them() -> None:
    draft = Draft()
    draft.add("Sample", [2**64 - 1, "fixed", 2**53])
    assert draft.inputs(1) == {"seed": 18446744073709552000, "steps": 2**53}


def test_one_alternative_of_a_dynamic_prompt_is_sent() -> None:
    draft = Draft()
    draft.add("Text", ["a {red|blue} cat // or a dog"])
    assert draft.inputs(1) == {"text": "a blue cat "}


def test_a_date_in_a_name_is_left_to_the_server() -> None:
    draft = Draft()
    draft.add("Save", ["%date:yyyy%/x"])
    assert draft.inputs(1)["prefix"] == "%date:yyyy%/x"


def test_reroutes_are_followed_and_notes_left_out() -> None:
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


def test_native_reroutes_change_nothing() -> None:
    draft = Draft()
    load, save = draft.add("Load", ["a", 1]), draft.add("Save", ["x"])
    draft.link(load, 0, save, "images")
    draft.extra = {"reroutes": [{"id": 1, "pos": [0, 0], "linkIds": [1]}], "linkExtensions": [{"id": 1, "parentId": 1}]}
    assert draft.inputs(save)["images"] == ["1", 0]


def test_a_primitive_node_writes_its_value_where_it_is_linked() -> None:
    draft = Draft()
    primitive = draft.add("PrimitiveNode", [7, "fixed"], outputs=["INT"])
    first, second = draft.add("Sample", [1, "fixed", 2]), draft.add("Sample", [3, "fixed", 4])
    draft.link(primitive, 0, first, "steps", "INT", widget=True)
    draft.link(primitive, 0, second, "seed", "INT", widget=True)
    assert list(draft.prompt()) == ["2", "3"]
    assert (draft.inputs(first), draft.inputs(second)) == ({"seed": 1, "steps": 7}, {"seed": 7, "steps": 4})


def test_a_primitive_value_is_put_on_the_steps_of_its_target() -> None:
    draft = Draft()
    known = {"Size": definition("Size", {"width": ["INT", {"min": 16, "max": 512, "step": 8}]}, "INT")}
    primitive = draft.add("PrimitiveNode", [101, "fixed"], outputs=["INT"])
    size, wide = draft.add("Size", [64]), draft.add("Size", [64])
    draft.link(primitive, 0, size, "width", "INT", widget=True)
    assert to_api(draft.save(), known)["2"]["inputs"] == {"width": 104}
    draft.nodes[0]["widgets_values"] = [10_000]
    draft.link(primitive, 0, wide, "width", "INT", widget=True)
    assert [node["inputs"]["width"] for node in to_api(draft.save(), known).values()] == [512, 512]


def test_muted_nodes_and_links_to_them_are_left_out() -> None:
    draft = Draft()
    load, save = draft.add("Load", ["a", 1], mode=2), draft.add("Save", ["x"])
    draft.link(load, 0, save, "images")
    assert draft.prompt().keys() == {"2"}
    assert draft.inputs(save) == {"prefix": "x"}


def test_a_bypassed_node_passes_on_the_input_of_the_same_type() -> None:
    draft = Draft()
    load = draft.add("Load", ["a", 1])
    bypassed = draft.add("Filter", [1], mode=4, outputs=["IMAGE"])
    save = draft.add("Save", ["x"])
    draft.link(load, 1, bypassed, "mask", "MASK")
    draft.link(load, 0, bypassed, "image")
    draft.link(bypassed, 0, save, "images")
    assert draft.inputs(save)["images"] == ["1", 0]


def test_a_bypassed_node_without_such_an_input_passes_on_nothing() -> None:
    draft = Draft()
    bypassed, save = draft.add("Sample", [1], mode=4), draft.add("Save", ["x"])
    draft.link(bypassed, 0, save, "images")
    assert draft.inputs(save) == {"prefix": "x"}


def test_a_choice_brings_its_inputs_along_with_their_values_and_links() -> None:
    draft = Draft()
    load, dynamic = draft.add("Load", ["a", 1]), draft.add("Dynamic", ["sized", 8, 3])
    draft.add("Dynamic", ["plain", 4])
    draft.link(load, 1, dynamic, "mode.mask", "MASK")
    assert draft.inputs(dynamic) == {"mode": "sized", "mode.size": 8, "last": 3, "mode.mask": ["1", 1]}
    assert draft.inputs(3) == {"mode": "plain", "last": 4}


def test_inputs_that_grow_keep_all_their_links() -> None:
    draft = Draft()
    load, batch = draft.add("Load", ["a", 1]), draft.add("Batch")
    for at in range(3):
        draft.link(load, 0, batch, f"images.i{at}")
    assert draft.inputs(batch) == {f"images.i{at}": ["1", 0] for at in range(3)}


def test_buttons_take_a_value_and_send_none() -> None:
    known = {"Up": definition("Up", {"image": [["x.png"], {"image_upload": True}], "n": ["INT", {}]}, "IMAGE")}
    draft = Draft()
    draft.add("Up", ["y.png", 5, "image"])
    assert to_api(draft.save(), known)["1"]["inputs"] == {"image": "y.png", "n": 5}


def test_the_options_of_a_custom_choice_are_sent_with_the_place_of_the_chosen_one() -> None:
    known = {"CustomCombo": definition("CustomCombo", {"choice": ["COMBO", {"options": []}]}, "STRING")}
    draft = Draft()
    draft.add("CustomCombo", ["b", 0, "a", "b", ""])
    options = {"option1": "a", "option2": "b", "option3": ""}
    assert to_api(draft.save(), known)["1"]["inputs"] == {"choice": "b", "index": 1, **options}


def test_a_box_keeps_its_sides_in_the_file_only() -> None:
    known = {"Crop": definition("Crop", {"region": ["BOUNDING_BOX", {}], "n": ["INT", {}]}, "IMAGE")}
    draft = Draft()
    box = {"x": 1, "y": 2, "width": 3, "height": 4}
    draft.add("Crop", [box, 1, 2, 3, 4, 5])
    assert to_api(draft.save(), known)["1"]["inputs"] == {"region": box, "n": 5}


def test_values_of_inputs_that_are_links_now_are_passed_over() -> None:
    known = {"Old": definition("Old", {"a": ["INT", {"forceInput": True}], "b": ["INT", {}]}, "IMAGE")}
    draft = Draft()
    draft.add("Old", [1, 2])
    draft.add("Old", [3])
    assert [node["inputs"] for node in to_api(draft.save(), known).values()] == [{"b": 2}, {"b": 3}]


def test_a_class_that_the_server_lacks_is_kept_without_a_class_and_named_with_its_pack() -> None:
    draft = Draft()
    load = draft.add("Load", ["a", 1])
    odd = draft.add("Odd", ["x", 3, None], title="Mine", properties={"aux_id": "someone/pack"}, inputs=["image"])
    draft.link(load, 0, odd, "image")
    found = convert(draft.save(), definitions())
    values = {"UNKNOWN": "x", "UNKNOWN_1": 3, "UNKNOWN_2": "null", "image": ["1", 0]}
    assert found.prompt["2"] == {"inputs": values, "class_type": None, "_meta": {"title": "Mine"}}
    assert [(each.node_id, each.class_type, each.title, each.pack) for each in found.missing] == [
        ("2", "Odd", "Mine", "someone/pack")
    ]


def test_before_2026_all_values_of_an_unknown_class_had_one_name() -> None:
    draft = Draft()
    draft.add("Load", ["a", 1])
    draft.add("Odd", ["x", 3])
    assert draft.inputs(2, recent=False) == {"UNKNOWN": 3}


def test_what_a_page_must_supply_is_noted() -> None:
    draft = Draft()
    draft.add("Scene", ["a"], title="My scene")
    found = convert(draft.save(), {"Scene": definition("Scene", {"image": ["LOAD_3D", {}]}, "IMAGE")}, "stage")
    assert len(found.notes) == 1
    assert "My scene (1)" in found.notes[0]


def test_nodes_are_in_the_order_of_an_exported_file() -> None:
    draft = Draft()
    for id_ in (10, 9, 2):
        draft.add("Load", ["a", 1], id=id_)
    assert list(draft.prompt()) == ["2", "9", "10"]


def test_the_classes_that_a_server_is_asked_about() -> None:
    draft = Draft()
    for type_ in ("Load", "Note", "Reroute", "PrimitiveNode", "Odd"):
        draft.add(type_)
    assert find_classes(draft.save()) == {"Load", "Odd"}


def test_the_file_is_not_changed_and_the_prompt_is_its_own() -> None:
    draft = Draft()
    draft.add("Text", [{"a": [1]}])
    file = draft.save()
    prompt = to_api(file, definitions())
    prompt["1"]["inputs"]["text"]["a"].append(2)
    assert file["nodes"][0]["widgets_values"] == [{"a": [1]}]


@pytest.mark.parametrize("data", [None, [], {}, "nodes", {"nodes": {}}, {"1": {"class_type": "X", "inputs": {}}}])
def test_what_is_no_editor_file_is_told_apart(data: Any) -> None:
    assert not is_editor_graph(data)


def circle() -> dict[str, Any]:
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
        circle(),
    ],
)
def test_an_odd_file_is_one_line(file: Any) -> None:
    with pytest.raises(WorkflowError) as caught:
        convert(file, definitions(), "my file")
    message = str(caught.value)
    assert message.startswith("my file")
    assert "\n" not in message
    assert len(message) < 300
