"""Test the choice of alternatives in dynamic prompts such as `{red|blue}`."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.editor.dynamic_prompt import choose_alternatives


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a cat", "a cat", "a cat"),
        ("a {red|blue} cat", "a red cat", "a blue cat"),
        ("{a|b|c}{d}", "ad", "cd"),
        ("{a {1|2}|b}", "a 1", "b"),
        ("{|x}", "", "x"),
        ("{a|b", "a", "b"),
        ("a|b}", "a|b}", "a|b}"),
        (r"\{a\|b\}", "{a|b}", "{a|b}"),
        (r"a\b", r"a\b", r"a\b"),
        ("one // two\nthree", "one \nthree", "one \nthree"),
        ("one /* two\n */three", "one three", "one three"),
    ],
)
def test_one_alternative_is_chosen(text: str, first: str, last: str) -> None:
    assert choose_alternatives(text, lambda low, high: low) == first
    assert choose_alternatives(text, lambda low, high: high) == last


def test_choice_is_random_by_default() -> None:
    assert {choose_alternatives("{a|b}") for _ in range(100)} == {"a", "b"}


@given(st.text(alphabet=st.characters(exclude_characters="{}|\\/")))
def test_text_without_alternatives_is_unchanged(text: str) -> None:
    assert choose_alternatives(text) == text


@given(st.text(alphabet="{}|\\/*a\n"))
def test_any_text_gives_text(text: str) -> None:
    assert isinstance(choose_alternatives(text), str)


def test_many_braces_are_handled_in_linear_time() -> None:
    assert choose_alternatives("{" * 100_000) == ""
