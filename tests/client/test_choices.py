"""Test that choices such as `{red|blue}` are drawn in the texts of runs, and nowhere else."""

from __future__ import annotations

from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, SettingsError

from .workflows import Graph

TEXT = "a {red|blue} fox // {one} https://example.org"
DRAWN = {TEXT.replace("{red|blue}", color) for color in ("red", "blue")}


def make_workflow(text: str = "a cat") -> Graph:
    """Show a prompt text, and a note that is none. Parameters: prompt (which sets both), say, note."""
    return {
        "1": {
            "class_type": "TestPrompt",
            "inputs": {"text": text, "note": ""},
            "_meta": {"title": "$prompt.text, $say.text, $prompt.note, $note"},
        }
    }


@pytest.mark.parametrize("submit", [False, True])
def test_choice_is_drawn_once_for_each_run_and_recorded(submit: bool, kit: ComfyKit) -> None:
    seen = set()
    for _ in range(40):
        result = kit.submit(make_workflow(), say=TEXT).result() if submit else kit.run(make_workflow(), say=TEXT)
        assert result.params["say"] == result.changed["say"] == result.texts[0]
        assert result.prompt["1"]["inputs"]["text"] == result.texts[0]
        seen.add(result.texts[0])
        if seen == DRAWN:
            break
    assert seen == DRAWN


def test_only_inputs_with_dynamic_prompts_are_expanded(kit: ComfyKit) -> None:
    result = kit.run(make_workflow(), prompt=TEXT)
    assert result.texts[0] in DRAWN
    assert result.texts[1] == TEXT
    assert result.params["prompt"] == result.texts[0]
    assert kit.run(make_workflow(), note=TEXT).texts == ["a cat", TEXT]


async def test_execute_and_the_workflows_own_text_and_the_setting_leave_texts_alone(kit: ComfyKit) -> None:
    assert (await kit.execute(make_workflow(), {"say": TEXT})).texts[0] == TEXT
    assert kit.run(make_workflow(TEXT)).texts[0] == TEXT
    literal = kit.options(expand_choices=False)
    assert literal.run(make_workflow(), say=TEXT).texts[0] == TEXT
    assert literal.run(make_workflow(), say=TEXT).params["say"] == TEXT
    assert "drawn" not in str(literal.dry_run(make_workflow(), say=TEXT))


def test_recorded_text_gives_the_same_prompt_again(kit: ComfyKit) -> None:
    first = kit.run(make_workflow(), say=r"\{red\|blue\} {cat|dog}")
    assert first.texts[0] in ("{red|blue} cat", "{red|blue} dog")
    assert kit.run(make_workflow(), say=first.params["say"]).texts == first.texts


def test_dry_run_says_that_a_text_is_drawn(kit: ComfyKit) -> None:
    found = kit.dry_run(make_workflow("a red fox // {one} https://example.org"), say=TEXT)
    [change] = found.changes
    assert change.after == f'"{TEXT}", drawn for each run'
    assert found.prompt["1"]["inputs"]["text"] in DRAWN


@pytest.mark.parametrize("value", ["False", 0])
def test_setting_is_true_or_false(value: Any) -> None:
    with pytest.raises(SettingsError, match="expand_choices must be True or False"):
        ComfyKit(expand_choices=value)
