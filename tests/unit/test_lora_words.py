"""Test how trigger words are found in the metadata of LoRA files, whatever is in it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import WorkflowError
from comfykit_jupyter.workflow.lora_stack import read_rows, read_stack, to_plain
from comfykit_jupyter.workflow.lora_words import MAX_WORD_LENGTH, MAX_WORDS, find_words
from comfykit_jupyter.workflow.loras import find_place, read_inserted, remove_loaders, set_lora

from .recorded import PAIRS, load, load_definitions

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
keys = st.sampled_from(
    ["modelspec.trigger_phrase", "ss_trigger_words", "trigger_words", "activation text", "ss_tag_frequency", "other"]
)


@pytest.mark.parametrize(
    ("metadata", "words"),
    [
        ({"modelspec.trigger_phrase": "f0x style"}, ("f0x style",)),
        ({"ss_trigger_words": "f0x, red  fur,,\nsnow"}, ("f0x", "red fur", "snow")),
        ({"trained_words": '["f0x", "F0X", 3]'}, ("f0x",)),
        ({"trigger_words": ["one", "two"]}, ("one", "two")),
        ({"ss_tag_frequency": '{"1_a": {"fox": 2, "snow": 5}, "2_b": {"fox": 9}}'}, ("fox", "snow")),
        ({"ss_tag_frequency": {"1_a": {"fox (animal)": 2}}}, ("fox \\(animal\\)",)),
        ({"ss_tag_frequency": "[" * 100_000}, ()),
        ({"ss_tag_frequency": '{"a": {"x": "many", "y": true, "z": 1e400}}'}, ("y",)),
        (
            {"ss_trigger_words": "a\x00b, \x1b[31mred, \u202egnp.exe, <img src=x onerror=alert(1)>"},
            ("<img src=x onerror=alert(1)>",),
        ),
        ({"ss_trigger_words": "x" * 10_000_000}, ()),
        ({"ss_trigger_words": json.dumps(["x"] * 10)}, ("x",)),
        ({"modelspec.trigger_phrase": None}, ()),
        ("not metadata", ()),
        (None, ()),
    ],
)
def test_words_of_metadata(metadata: Any, words: tuple[str, ...]) -> None:
    assert find_words(metadata) == words


def test_only_the_most_frequent_tags_are_returned() -> None:
    tags = {f"tag {number}": number for number in range(1000)}
    found = find_words({"ss_tag_frequency": json.dumps({"10_all": tags})})
    assert found == tuple(f"tag {number}" for number in range(999, 999 - MAX_WORDS, -1))


@given(st.one_of(json_values, st.dictionaries(keys, st.one_of(json_values, json_values.map(json.dumps)))))
def test_any_metadata_gives_few_short_printable_words(metadata: Any) -> None:
    found = find_words(metadata)
    assert len(found) <= MAX_WORDS
    assert all(word and word.isprintable() and len(word) <= 2 * MAX_WORD_LENGTH for word in found)


@given(json_values)
def test_rows_of_a_page_are_a_stack_or_refused(rows: Any) -> None:
    try:
        stack = read_rows(rows)
    except WorkflowError:
        return
    assert read_stack(to_plain(stack)) == stack


@pytest.mark.parametrize("name", PAIRS or ["none"])
def test_a_stack_on_an_official_template_changes_no_name_and_can_be_taken_out(name: str) -> None:
    prompt, definitions = load(f"ui_to_api/{name}.json")["api"], load_definitions()
    try:
        workflow = Workflow.parse(prompt, name)
        stacked = workflow.prompt
        for file in ("a.safetensors", "b.safetensors"):
            stacked = set_lora(stacked, file, 0.5, definitions)
    except WorkflowError:
        place = None if "workflow" not in locals() else find_place(prompt, definitions)
        assert place is None or place.problem or place.own
        return
    inserted = [each for each in stacked if each not in workflow.prompt]
    assert remove_loaders(stacked, inserted) == dict(workflow.prompt)
    stack = read_inserted(stacked, workflow.prompt)
    assert to_plain(stack) == {"a.safetensors": 0.5, "b.safetensors": 0.5}
    made = Workflow.parse(stacked, name).restore_stack(stack, inserted)
    assert list(made.get_parameters(definitions)) == list(workflow.get_parameters(definitions))
    place = find_place(workflow.prompt, definitions)
    assert place is not None
    assert place.problem == ""
    assert place.has_clip == any(stacked[each]["class_type"] == "LoraLoader" for each in inserted)
