"""Test how the line of a magic is split into tokens."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.notebook.magic.line import LineError, Token, quote, split

TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
NAMES = st.from_regex(r"[A-Za-z_][\w.~-]{0,15}", fullmatch=True)


def read_words(line: str) -> list[tuple[str | None, str]]:
    return [(token.name, token.text) for token in split(line)]


@given(st.lists(TEXTS))
def test_quoted_texts_round_trip(texts: list[str]) -> None:
    assert [token.text for token in split(" ".join(quote(text) for text in texts))] == texts


@given(st.dictionaries(NAMES, TEXTS))
def test_quoted_values_round_trip(values: dict[str, str]) -> None:
    line = " ".join(f"{name}={quote(text)}" for name, text in values.items())
    assert read_words(line) == list(values.items())
    assert not any(token.expression for token in split(line))


@given(st.text(max_size=60))
def test_any_line_is_split_or_rejected(line: str) -> None:
    try:
        tokens = split(line)
    except LineError:
        return
    ends = [0, *(token.end for token in tokens)]
    for token, before in zip(tokens, ends, strict=False):
        assert before <= token.start < token.end <= len(line)
        assert line[before : token.start].strip() == ""


def test_line_of_the_guide_is_split() -> None:
    line = 'run wf.json prompt="a cat" seed=42 image={picture} -o cover --timeout=5'
    assert read_words(line) == [
        (None, "run"),
        (None, "wf.json"),
        ("prompt", "a cat"),
        ("seed", "42"),
        ("image", "picture"),
        (None, "-o"),
        (None, "cover"),
        ("--timeout", "5"),
    ]


@pytest.mark.parametrize(
    ("token", "expression"),
    [
        ("{picture}", "picture"),
        ("{pictures[0]}", "pictures[0]"),
        ("{ {'a': 1}['a'] }", "{'a': 1}['a']"),
        ("{f(a, b)}", "f(a, b)"),
        ('{"} "}', '"} "'),
    ],
)
def test_value_in_braces_is_an_expression(token: str, expression: str) -> None:
    (found,) = split(f"image={token}")
    assert (found.name, found.text, found.expression) == ("image", expression, True)
    (alone,) = split(token)
    assert (alone.name, alone.text, alone.expression) == (None, expression, True)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ('"{red|blue} cat"', "{red|blue} cat"),
        ("'{red|blue}'", "{red|blue}"),
        ("a{b}", "a{b}"),
        ("{a}b", "{a}b"),
        ("cost=$5", "cost=$5"),
    ],
)
def test_other_braces_and_dollars_are_text(value: str, text: str) -> None:
    (found,) = split(f"prompt={value}")
    assert not found.expression
    assert found.text == text


def test_windows_paths_keep_their_backslashes() -> None:
    assert read_words(r"run C:\work\new.json 'C:\My files\a.json'") == [
        (None, "run"),
        (None, r"C:\work\new.json"),
        (None, r"C:\My files\a.json"),
    ]


def test_backslash_escapes_a_space_or_quote() -> None:
    assert read_words(r"my\ file.json it\'s") == [(None, "my file.json"), (None, "it's")]


def test_quoted_name_can_contain_spaces() -> None:
    assert split('"My sampler.cfg"=7') == [Token("7", "My sampler.cfg", start=0, end=18)]


@pytest.mark.parametrize("line", ["prompt=it's", 'prompt="a cat', "'"])
def test_unclosed_quote_is_rejected(line: str) -> None:
    with pytest.raises(LineError, match="never closed"):
        split(line)
