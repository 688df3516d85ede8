"""Test the conversion on random files: valid ones give their prompt back, damaged ones are rejected in one line."""

from __future__ import annotations

import copy
import json
import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfykit_jupyter.workflow.editor.convert import convert, find_classes, to_api
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.nodes import NodeDefinition
from tests.unit.editor_files import Draft, make_definition, make_definitions

_DATA = Path(__file__).parents[2] / "../shared/data/comfyui/0.33.0"
_FILES = sorted((_DATA / "ui_to_api").glob("*.json"))
_KNOWN = {
    "Make": make_definition(
        "Make", {"seed": ["INT", {}], "text": ["STRING", {}], "pick": [["a", "b"]]}, "IMAGE", "MASK"
    ),
    "Mix": make_definition("Mix", {"one": ["IMAGE"], "two": ["IMAGE"], "ratio": ["FLOAT"], "on": ["BOOLEAN"]}, "IMAGE"),
    "Keep": make_definition("Keep", {"images": ["IMAGE"], "prefix": ["STRING", {}], "count": ["INT", {}]}),
}
_WIDGETS = {"Make": ("seed", "text", "pick"), "Mix": ("ratio", "on"), "Keep": ("prefix", "count")}
_LINKS = {"Make": (), "Mix": ("one", "two"), "Keep": ("images",)}
_VALUES: dict[str, st.SearchStrategy[Any]] = {
    "seed": st.integers(0, 2**53),
    "text": st.text(max_size=8),
    "pick": st.sampled_from("ab"),
    "ratio": st.floats(0, 1),
    "on": st.booleans(),
    "prefix": st.text(max_size=8),
    "count": st.integers(-5, 5),
}
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=6), each, max_size=3),
    max_leaves=8,
)


@st.composite
def prompts(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a prompt of known classes whose links only point back."""
    prompt: dict[str, Any] = {}
    images: list[str] = []
    for id_ in draw(st.lists(st.integers(1, 10**6), unique=True, max_size=12).map(sorted)):
        class_type = draw(st.sampled_from(list(_KNOWN)))
        inputs: dict[str, Any] = {name: draw(_VALUES[name]) for name in _WIDGETS[class_type]}
        for name in (*_LINKS[class_type], *(name for name in inputs if name in ("text", "ratio"))):
            if draw(st.booleans()) and images:
                inputs[name] = [draw(st.sampled_from(images)), 0]
        prompt[str(id_)] = {"inputs": inputs, "class_type": class_type, "_meta": {"title": draw(st.text(min_size=1))}}
        if class_type != "Keep":
            images.append(str(id_))
    return prompt


@given(prompts(), st.booleans(), st.randoms(use_true_random=False))
def test_file_built_from_a_prompt_converts_back_to_it(
    prompt: dict[str, Any], objects: bool, chance: random.Random
) -> None:
    draft = Draft(objects=objects)
    for id_, node in prompt.items():
        values: list[Any] = []
        for name in _WIDGETS[node["class_type"]]:
            value = node["inputs"][name]
            values += ["left from before" if isinstance(value, list) else value, *(["fixed"] if name == "seed" else [])]
        draft.add(node["class_type"], values, id=int(id_), title=node["_meta"]["title"])
    for id_, node in prompt.items():
        links = [(name, value) for name, value in node["inputs"].items() if isinstance(value, list)]
        chance.shuffle(links)
        for name, (origin, slot) in links:
            through, at = int(origin), slot
            for _ in range(chance.randrange(3)):  # a detour through reroutes and bypassed nodes
                if name not in _LINKS[node["class_type"]] or chance.random() < 0.5:
                    on = draft.add("Reroute", id=2 * 10**6 + len(draft.nodes), inputs=[("", "*")], outputs=["*"])
                    draft.link(through, at, on, "", "*")
                else:
                    on = draft.add("Mix", [0.5, True], id=2 * 10**6 + len(draft.nodes), mode=4, outputs=["IMAGE"])
                    draft.link(through, at, on, "one")
                through, at = on, 0
            draft.link(through, at, int(id_), name, widget=name in _WIDGETS[node["class_type"]])
    chance.shuffle(draft.nodes)
    assert to_api(draft.save(), _KNOWN) == prompt


def convert_or_reject(file: Any, known: dict[str, NodeDefinition]) -> None:
    """Convert the file to JSON, or fail with a one-line WorkflowError."""
    message = ""
    try:
        find_classes(file)
        json.dumps(convert(file, known).prompt)
    except WorkflowError as error:
        message = str(error)
    assert "\n" not in message
    assert len(message) < 400


@given(st.dictionaries(st.sampled_from(["nodes", "links", "definitions", "extra", "last_node_id"]), json_values))
def test_random_file_is_rejected_in_one_line(file: dict[str, Any]) -> None:
    convert_or_reject({"nodes": [], **file}, make_definitions())


types = st.sampled_from(["Load", "Batch", "Dynamic", "Odd", "Reroute", "PrimitiveNode", "s"])
parts = ("inputs", "outputs", "mode", "widgets_values", "properties", "title")
odd_nodes = st.fixed_dictionaries(
    {"id": st.integers(1, 3) | json_values, "type": types | json_values}, optional=dict.fromkeys(parts, json_values)
)


@given(st.lists(odd_nodes, max_size=5), json_values)
def test_random_nodes_are_rejected_in_one_line(nodes: list[Any], links: Any) -> None:
    inside = {"id": "s", "nodes": nodes, "links": links, "inputs": [{"name": "a", "linkIds": [1]}], "outputs": links}
    convert_or_reject({"nodes": nodes, "links": links, "definitions": {"subgraphs": [inside]}}, make_definitions())


def damage(value: Any, chance: random.Random) -> Any:
    """Return a copy with some parts replaced, removed, duplicated or swapped."""
    value = copy.deepcopy(value)
    places: list[tuple[Any, Any]] = []
    waiting = [value]
    while waiting:
        each = waiting.pop()
        inside = list(each.items()) if isinstance(each, dict) else list(enumerate(each))
        places += [(each, key) for key, _ in inside]
        waiting += [part for _, part in inside if isinstance(part, (dict, list))]
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        where, key = chance.choice(places)
        other, name = chance.choice(places)
        try:
            match chance.randrange(4):
                case 0:
                    where[key] = chance.choice(
                        [None, True, 0, -1, 10**30, 0.5, "", "x", [], {}, [[]], [1, 2], "-10", -10]
                    )
                case 1:
                    del where[key]
                case 2:
                    where[key] = copy.deepcopy(other[name])
                case _:
                    where[key], other[name] = other[name], where[key]
        except (KeyError, IndexError):
            continue  # removed together with another part
    return value


@pytest.mark.skipif(not _FILES, reason="recordings not found")
@settings(max_examples=settings().max_examples * 3)
@given(st.sampled_from(_FILES), st.integers(0, 2**32))
def test_damaged_files_are_rejected_in_one_line(path: Path, number: int) -> None:
    ui = json.loads(path.read_text(encoding="utf-8"))["ui"]
    convert_or_reject(damage(ui, random.Random(number)), load_definitions())


def load_definitions() -> dict[str, NodeDefinition]:
    if not _CACHE:
        raw = json.loads((_DATA / "object_info.json").read_text(encoding="utf-8"))
        _CACHE.update((class_type, NodeDefinition.parse(class_type, each)) for class_type, each in raw.items())
    return _CACHE


_CACHE: dict[str, NodeDefinition] = {}


@given(st.dictionaries(st.sampled_from(["required", "optional"]), st.dictionaries(st.text(max_size=4), json_values)))
def test_random_definitions_do_not_crash(raw: Any) -> None:
    known = {"Load": NodeDefinition.parse("Load", {"input": raw, "output": ["IMAGE"]})}
    convert_or_reject({"nodes": [{"id": 1, "type": "Load", "widgets_values": [1, "a", None]}]}, known)
