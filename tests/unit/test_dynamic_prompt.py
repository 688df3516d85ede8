"""Test the choice of alternatives in dynamic prompts such as `{red|blue}`."""

from __future__ import annotations

import json
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.editor.dynamic_prompt import (
    choose_alternatives,
    expand_choices,
    unescape_braces,
)


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


# Values that are given


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("a cat", "a cat", "a cat"),
        ("a {red|blue} cat", "a red cat", "a blue cat"),
        ("{a|b|c}{d}", "a{d}", "c{d}"),
        ("{a {1|2}|b}", "a 1", "b"),
        ("{a {1}|b}", "a {1}", "b"),
        ("{x {p|q}}", "{x p}", "{x q}"),
        ("{|x}", "", "x"),
        ("{a|b", "{a|b", "{a|b"),
        ("{a|{b|c}", "{a|b", "{a|c"),
        ("a|b}", "a|b}", "a|b}"),
        ("{a|b}}", "a}", "b}"),
        ("{} | {}", "{} | {}", "{} | {}"),
        ("https://example.org/{a|b} /* {c|d} */", "https://example.org/a /* c */", "https://example.org/b /* d */"),
        ('{"a": "x|y"}', '{"a": "x|y"}', '{"a": "x|y"}'),
        (' [{"a|b": "{x|y}"}]\n', ' [{"a|b": "{x|y}"}]\n', ' [{"a|b": "{x|y}"}]\n'),
        ("{'a|b': 1}", "'a", "b': 1"),
        (r"\{a|b\}", r"\{a|b\}", r"\{a|b\}"),
        (r"{\{a\|b\}|c}", r"\{a\|b\}", "c"),
        (r"\\{a|b}", r"\\a", r"\\b"),
        ("{a\r\n|b\u2028}", "a\r\n", "b\u2028"),
    ],
)
def test_one_choice_of_a_given_text_is_drawn(text: str, first: str, last: str) -> None:
    assert expand_choices(text, lambda low, high: low) == first
    assert expand_choices(text, lambda low, high: high) == last


def test_backslash_keeps_a_brace() -> None:
    assert unescape_braces(r"a \{red\|blue\} cat \( \\{") == r"a {red|blue} cat \( \\{"
    assert unescape_braces('{"a": "\\\\{"}') == '{"a": "\\\\{"}'


SYNTAX = st.text(alphabet='{}|\\/*ab" ,:[]1\n')


def draw_pieces(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    choice = st.lists(inner, min_size=2, max_size=4).map(lambda each: f"{{{'|'.join(each)}}}")
    return st.lists(choice | inner | inner.map(lambda each: f"{{{each}}}"), max_size=4).map("".join)


TEXTS = SYNTAX | st.recursive(st.text(alphabet="abc ", max_size=3), draw_pieces, max_leaves=20)


@given(TEXTS, st.randoms(use_true_random=False))
def test_nothing_is_expanded_twice(text: str, random: Random) -> None:
    once = expand_choices(text, random.randint)
    assert expand_choices(once, random.randint) == once


@given(TEXTS, st.randoms(use_true_random=False))
def test_expansion_only_leaves_out(text: str, random: Random) -> None:
    rest = iter(text)
    assert all(char in rest for char in expand_choices(text, random.randint))


@given(TEXTS)
def test_draws_are_within_their_bounds(text: str) -> None:
    def draw(low: int, high: int) -> int:
        assert low == 0 < high
        return high

    expand_choices(text, draw)


@given(st.recursive(st.text(alphabet="{}|a"), lambda each: st.lists(each) | st.dictionaries(st.text("{|}"), each)))
def test_json_stays(value: object) -> None:
    text = json.dumps(value)
    assert expand_choices(text) == text
    assert unescape_braces(text) == text


@given(st.text().filter(lambda text: "|" not in text or "{" not in text))
def test_text_without_choices_stays(text: str) -> None:
    assert expand_choices(text) == text


@given(st.lists(st.text(alphabet=st.characters(exclude_characters="{}|\\"), min_size=1), min_size=2, max_size=9))
def test_every_alternative_can_be_drawn(alternatives: list[str]) -> None:
    text = f"x{{{'|'.join(alternatives)}}}"
    indexes = iter(range(len(alternatives)))
    drawn = [expand_choices(text, lambda _low, _high: next(indexes)) for _ in alternatives]
    assert drawn == [f"x{each}" for each in alternatives]


@pytest.mark.parametrize(
    "text", ["{" * 100_000 + "|" + "}" * 100_000, "{a|" * 100_000, "{a|b}" * 50_000, "[" * 100_000 + "{|"]
)
def test_long_text_is_expanded_in_linear_time(text: str) -> None:
    assert len(expand_choices(text)) <= len(text)
