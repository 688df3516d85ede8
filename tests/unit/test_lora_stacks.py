"""Test stacks of LoRAs on the official templates: what is inserted leaves a graph that a server can run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.loras import LOADERS, find_lora, set_lora
from comfykit_jupyter.workflow.nodes import NodeDefinition

from .recorded import PAIRS, load, load_definitions

strengths = st.one_of(st.floats(-2, 2), st.tuples(st.floats(-2, 2), st.floats(-2, 2)))


def list_links(prompt: Mapping[str, Any]) -> list[tuple[str, str, str, int]]:
    return [
        (node_id, name, str(value[0]), value[1])
        for node_id, node in prompt.items()
        for name, value in node["inputs"].items()
        if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int)
    ]


def find_type(prompt: Mapping[str, Any], definitions: Mapping[str, NodeDefinition], node_id: str, slot: int) -> str:
    return str(definitions[prompt[node_id]["class_type"]].outputs[slot])


def count_roots(prompt: Mapping[str, Any], definitions: Mapping[str, NodeDefinition]) -> int:
    """Return how many outputs that are used load a model."""
    return sum(
        find_type(prompt, definitions, source, slot) == "MODEL"
        and not any(spec.type == "MODEL" for spec in definitions[prompt[source]["class_type"]].inputs.values())
        for source, slot in {(source, slot) for *_, source, slot in list_links(prompt) if source in prompt}
        if prompt[source]["class_type"] in definitions
    )


@pytest.mark.parametrize("name", PAIRS or ["none"])
@settings(max_examples=8)
@given(stack=st.dictionaries(st.sampled_from(["a.safetensors", "b.safetensors", "c.safetensors"]), strengths))
def test_a_stack_on_an_official_template(name: str, stack: dict[str, Any]) -> None:
    prompt = load(f"ui_to_api/{name}.json")["api"]
    definitions = load_definitions()
    made: dict[str, Any] = prompt
    try:
        for file, strength in stack.items():
            made = set_lora(made, file, strength, definitions)
    except WorkflowError:
        assert count_roots(prompt, definitions) != 1
        return
    new = [node_id for node_id in made if node_id not in prompt]
    assert [made[each]["inputs"]["lora_name"] for each in new] == [f for f, s in stack.items() if s not in (0, (0, 0))]
    for node_id, _, source, slot in list_links(made):
        assert source in made, node_id
        if made[source]["class_type"] in LOADERS and source in new:
            assert find_type(made, definitions, source, slot) in ("MODEL", "CLIP")
    # An input that was linked to a loader's model is linked to the end of the chain now; nothing else has changed.
    for node_id, input_name, source, slot in list_links(prompt):
        now = made[node_id]["inputs"][input_name]
        while now[0] in new:
            now = made[now[0]]["inputs"]["model" if now[1] == 0 else "clip"]
        assert (now[0], now[1]) == (source, slot)


@pytest.mark.parametrize("odd", ["", "/", ".", "a/.."])
def test_name_from_a_server_may_be_anything(odd: str) -> None:
    spec = {"input": {"required": {"lora_name": [[odd, "style.safetensors"]]}}}
    definitions = {"LoraLoader": NodeDefinition.parse("LoraLoader", spec)}
    assert find_lora("style", definitions) == "style.safetensors"
    assert find_lora(odd, definitions) == odd
