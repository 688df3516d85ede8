"""Test that a damaged workflow file is read, or rejected with a one-line message."""

from __future__ import annotations

import copy
import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.nodes import Definitions
from tests.unit.recorded import PAIRS, load, load_definitions

ODD: st.SearchStrategy[Any] = st.sampled_from(
    [None, True, 0, -1, 2**70, 1.5, float("nan"), "", "1", "-10", "[1]", [], [1], [[1]], {}, {"id": 1}, {"1": {}}]
)


def find_paths(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the paths to all parts of a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [at, *(path for key, each in inner for path in find_paths(each, (*at, key)))]


def damage(data: st.DataObject, whole: Any) -> Any:
    """Return the value with some parts removed, replaced, duplicated or swapped."""
    whole = copy.deepcopy(whole)
    for _ in range(data.draw(st.integers(1, 4))):
        places = find_paths(whole)
        if len(places) < 2:
            return whole
        *way, key = places[data.draw(st.integers(1, len(places) - 1))]
        owner = whole
        for step in way:
            owner = owner[step]
        how = data.draw(st.sampled_from(["odd", "gone", "swap", "twice"]))
        if how == "odd":
            owner[key] = copy.deepcopy(data.draw(ODD))
        elif how == "gone":
            del owner[key]
        elif how == "swap":
            other = whole
            for step in places[data.draw(st.integers(0, len(places) - 1))]:
                other = other[step]
            owner[key] = copy.deepcopy(other)
        elif isinstance(owner, list):
            owner.append(copy.deepcopy(owner[key]))
    return whole


def use_workflow(data: Any) -> None:
    """Do everything that is done with a workflow before it is sent."""
    known = {} if not PAIRS else load_definitions()
    workflow, message = resolve(data, known)
    assert message.isprintable()
    assert len(message) < 1000
    if workflow is None:
        return
    fields = workflow.fields(known)
    for field in fields:
        workflow.find_parameter(field.name, known)
    workflow.bind({}, known)
    json.dumps([field.to_json() for field in fields])
    json.dumps(workflow.to_api(known), allow_nan=False)


def resolve(data: Any, known: Definitions) -> tuple[Workflow | None, str]:
    """Return the workflow, or the message of its rejection."""
    try:
        return Workflow.parse(data, "damaged").resolve(known), ""
    except WorkflowError as error:
        return None, str(error)


@given(st.data())
@settings(max_examples=settings().max_examples * 3 // 2)
def test_damaged_templates_are_read_or_rejected_in_one_line(data: st.DataObject) -> None:
    pair = load(f"ui_to_api/{data.draw(st.sampled_from(PAIRS or ['none']))}.json")
    kind = data.draw(st.sampled_from(["ui", "api", "both", "job"]))
    whole: Any = pair[kind] if kind in pair else {"prompt": pair["api"], "workflow": pair["ui"]}
    if kind == "job":
        extra = {"extra_pnginfo": {"workflow": pair["ui"]}}
        whole = {"id": {"prompt": [1, "id", pair["api"], extra, ["9"]], "outputs": {}}}
    use_workflow(damage(data, whole))


@given(st.data())
def test_damaged_text_is_read_or_rejected_in_one_line(data: st.DataObject) -> None:
    text = json.dumps(load(f"ui_to_api/{data.draw(st.sampled_from((PAIRS or ['none'])[:20]))}.json")["ui"])
    at = data.draw(st.integers(0, len(text) - 1))
    use_workflow(
        text[:at]
        + data.draw(st.sampled_from(["", "[", "{", '"', "\0", "NaN", "\ud800", "é", "1e999"]))
        + text[at + 1 :]
    )


WORDS = (
    "nodes", "links", "definitions", "subgraphs", "id", "type", "mode", "inputs", "outputs", "name", "link",
    "widgets_values", "properties", "proxyWidgets", "linkIds", "prompt", "workflow", "extra", "groupNodes",
)  # fmt: skip
shapes = st.recursive(
    ODD | st.integers(0, 4) | st.sampled_from(["KSampler", "SaveImage", "IMAGE", "s"]),
    lambda each: st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(WORDS), each, max_size=6),
    max_leaves=40,
)


@given(shapes, st.lists(st.dictionaries(st.sampled_from(["id", "type", "inputs", "outputs", "mode"]), shapes)))
def test_random_graphs_are_read_or_rejected_in_one_line(value: Any, nodes: list[Any]) -> None:
    use_workflow(value if isinstance(value, dict) else {"nodes": nodes, "links": value})
