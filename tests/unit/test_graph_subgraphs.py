"""Test the conversion of subgraphs, of the widgets that their instances show, and of group nodes."""

from __future__ import annotations

from typing import Any

import pytest

from comfykit_jupyter.workflow.editor.convert import find_classes, to_api
from comfykit_jupyter.workflow.errors import WorkflowError
from tests.unit.editor_files import Draft, Inside, make_definitions


def make_sampler_subgraph() -> Inside:
    """Return a subgraph in which `steps` sets a widget, `pixels` enters a filter, and `IMAGE` leaves it."""
    inside = Inside(inputs=("steps", "pixels"), outputs=("IMAGE",))
    sample = inside.add("Sample", [5, "fixed", 6], id=11)
    blend = inside.add("Filter", [1], id=12)
    inside.take(0, sample, "steps", "INT", widget=True)
    inside.link(sample, 0, blend, "image")
    inside.take(1, blend, "mask", "MASK")
    inside.give(blend, 0, 0)
    return inside


def make_workflow(inside: Inside, values: Any = None, **more: Any) -> tuple[Draft, int]:
    """Return a workflow that saves the output of one instance of the subgraph, and the instance's id."""
    draft = Draft()
    draft.subgraphs.append(inside.save())
    instance = draft.add(inside.id, values, outputs=["IMAGE"], **more)
    save = draft.add("Save", ["x"])
    draft.link(instance, 0, save, "images")
    return draft, instance


def test_inner_node_ids_are_prefixed_with_the_instance_id() -> None:
    draft, _ = make_workflow(make_sampler_subgraph(), [30])
    prompt = draft.prompt()
    assert list(prompt) == ["2", "1:11", "1:12"]
    assert prompt["2"]["inputs"]["images"] == ["1:12", 0]
    assert prompt["1:12"]["inputs"] == {"amount": 1, "image": ["1:11", 0]}


def test_each_instance_has_its_own_widget_values() -> None:
    draft, _ = make_workflow(make_sampler_subgraph(), [30])
    second = draft.add("inside", [40], outputs=["IMAGE"])
    prompt = draft.prompt()
    assert prompt["1:11"]["inputs"] == {"seed": 5, "steps": 30}
    assert prompt[f"{second}:11"]["inputs"]["steps"] == 40


def test_instance_without_a_value_keeps_the_inner_value() -> None:
    draft, _ = make_workflow(make_sampler_subgraph())
    assert draft.inputs("1:11")["steps"] == 6


def test_link_to_an_instance_is_passed_to_its_inner_node() -> None:
    draft, instance = make_workflow(make_sampler_subgraph(), [30])
    load = draft.add("Load", ["a", 1])
    draft.link(load, 1, instance, "pixels", "MASK")
    draft.link(load, 0, instance, "steps", "INT")
    assert draft.inputs("1:12")["mask"] == [str(load), 1]
    assert draft.inputs("1:11")["steps"] == [str(load), 0]


@pytest.mark.parametrize("mode", [2, 4])
def test_inner_nodes_of_a_muted_or_bypassed_instance_are_omitted(mode: int) -> None:
    draft, instance = make_workflow(make_sampler_subgraph(), [30], mode=mode)
    load = draft.add("Load", ["a", 1])
    draft.link(load, 0, instance, "pixels")
    for port, type_ in zip(draft.subgraphs[0]["inputs"], ("INT", "IMAGE"), strict=True):
        port["type"] = type_
    assert draft.prompt().keys() == {"2", "3"}
    assert draft.inputs(2) == ({"prefix": "x"} if mode == 2 else {"prefix": "x", "images": ["3", 0]})


def make_nested_workflow() -> Draft:
    middle = Inside("middle", inputs=("amount",), outputs=("IMAGE",))
    inner = middle.add("inside", [17], outputs=["IMAGE"], id=21)
    middle.take(0, inner, "steps", "INT", widget=True)
    middle.give(inner, 0, 0)
    draft, _ = make_workflow(middle, [50])
    draft.subgraphs.append(make_sampler_subgraph().save())
    return draft


def test_nested_subgraphs_pass_values_and_links() -> None:
    prompt = make_nested_workflow().prompt()
    assert prompt["2"]["inputs"]["images"] == ["1:21:12", 0]
    assert prompt["1:21:11"]["inputs"]["steps"] == 50


def test_input_linked_directly_to_an_output_is_passed_through() -> None:
    inside = Inside(inputs=("image",), outputs=("IMAGE",))
    inside.give(-10, 0, 0)
    draft, instance = make_workflow(inside)
    load = draft.add("Load", ["a", 1])
    draft.link(load, 0, instance, "image")
    assert draft.inputs(2)["images"] == [str(load), 0]


def test_proxy_widget_without_an_input_takes_the_instance_value() -> None:
    properties = {"proxyWidgets": [["11", "seed"], ["-1", "steps"], ["12", "$$preview"], ["99", "gone"]]}
    draft, _ = make_workflow(make_sampler_subgraph(), [70, 80, None, None], properties=properties)
    assert draft.inputs("1:11") == {"seed": 70, "steps": 80}
    assert draft.inputs("1:11", recent=False) == {"seed": 5, "steps": 80}


def test_proxy_widget_of_a_primitive_node_passes_its_value_on() -> None:
    inside = make_sampler_subgraph()
    primitive = inside.add("PrimitiveNode", [9, "fixed"], id=13, outputs=["INT"])
    inside.link(primitive, 0, 12, "amount", "INT", widget=True)
    shown, _ = make_workflow(inside, [90], properties={"proxyWidgets": [["13", "value"]]})
    hidden, _ = make_workflow(inside, [30])
    assert shown.inputs("1:12")["amount"] == 90
    assert hidden.inputs("1:12")["amount"] == 9


def test_conflicting_inner_ids_are_renumbered_as_in_newer_editors() -> None:
    inside = Inside(outputs=("IMAGE",))
    inside.give(inside.add("Load", ["b", 1], id=2), 0, 0)
    draft, _ = make_workflow(inside)
    assert list(draft.prompt()) == ["2", "1:3"]
    assert list(draft.prompt(recent=False)) == ["2", "1:2"]


def test_editor_classes_include_subgraphs() -> None:
    assert find_classes(make_nested_workflow().save()) == {"Sample", "Filter", "Save"}


def test_recursive_subgraph_is_rejected() -> None:
    first, second = Inside("first"), Inside("second")
    first.add("second")
    second.add("first")
    draft = Draft()
    draft.subgraphs += [first.save(), second.save()]
    draft.add("first")
    with pytest.raises(WorkflowError, match="contains itself"):
        draft.prompt()


def test_exponentially_many_subgraphs_are_rejected() -> None:
    draft = Draft()
    for level in range(24):
        inside = Inside(f"level{level}")
        for _ in range(2):
            inside.add(f"level{level + 1}" if level < 23 else "Load")
        draft.subgraphs.append(inside.save())
    draft.add("level0")
    with pytest.raises(WorkflowError, match="unfold"):
        draft.prompt()


def test_too_deeply_nested_subgraphs_are_rejected() -> None:
    draft = Draft()
    for level in range(40):
        inside = Inside(f"level{level}")
        inside.add(f"level{level + 1}" if level < 39 else "Load")
        draft.subgraphs.append(inside.save())
    draft.add("level0")
    with pytest.raises(WorkflowError, match="deep"):
        draft.prompt()


def make_group_workflow() -> Draft:
    """Return a workflow with a group node of a sampler and a filter, their values in one list."""
    nodes = [
        {
            "type": "Sample",
            "inputs": [],
            "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
            "widgets_values": [1, "x", 2],
        },
        {
            "type": "Filter",
            "inputs": [{"name": "image", "type": "IMAGE"}, {"name": "mask", "type": "MASK"}],
            "outputs": [{"name": "IMAGE", "type": "IMAGE"}],
            "widgets_values": [3],
        },
    ]
    draft = Draft()
    draft.extra = {"groupNodes": {"Both": {"nodes": nodes, "links": [[0, 0, 1, 0, 1, "IMAGE"]], "external": []}}}
    load = draft.add("Load", ["a", 1])
    group = draft.add("workflow/Both", [10, "fixed", 20, 30], outputs=["IMAGE"])
    save = draft.add("Save", ["x"])
    draft.link(load, 1, group, "mask", "MASK")
    draft.link(group, 0, save, "images")
    return draft


@pytest.mark.parametrize("mark", ["/", ">"])
def test_group_nodes_are_expanded_with_values_and_links(mark: str) -> None:
    draft = make_group_workflow()
    draft.node(2)["type"] = f"workflow{mark}Both"
    prompt = draft.prompt()
    assert prompt["2:0"]["inputs"] == {"seed": 10, "steps": 20}
    assert prompt["2:1"]["inputs"] == {"amount": 30, "image": ["2:0", 0], "mask": ["1", 1]}
    assert prompt["3"]["inputs"]["images"] == ["2:1", 0]


def test_editor_classes_include_group_nodes() -> None:
    assert find_classes(make_group_workflow().save()) == {"Load", "Sample", "Filter", "Save"}


def test_ten_thousand_nodes_and_long_chains_are_converted() -> None:
    draft = Draft()
    last = draft.add("Load", ["a", 1])
    for _ in range(3000):
        reroute = {"id": len(draft.nodes) + 1, "type": "Reroute", "inputs": [{"name": "", "type": "*", "link": None}]}
        draft.nodes.append({**reroute, "outputs": [{"name": "", "type": "*", "links": []}]})
        draft.nodes[-1]["inputs"][0]["link"] = len(draft.links) + 1
        draft.links.append([len(draft.links) + 1, last, 0, reroute["id"], 0, "*"])
        last = int(str(reroute["id"]))
    for _ in range(7000):
        id_ = len(draft.nodes) + 1
        slot = {"name": "images", "type": "IMAGE", "link": len(draft.links) + 1}
        draft.nodes.append({"id": id_, "type": "Save", "inputs": [slot], "outputs": [], "widgets_values": ["x"]})
        draft.links.append([len(draft.links) + 1, last, 0, id_, 0, "IMAGE"])
    prompt = to_api(draft.save(), make_definitions())
    assert len(prompt) == 7001
    assert all(node["inputs"]["images"] == ["1", 0] for node in prompt.values() if node["class_type"] == "Save")
