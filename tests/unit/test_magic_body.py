"""Test the parser for the body of `%%comfykit`: JSON, or a small subset of YAML."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.notebook.magic.body import BodyError, read_body
from comfykit_jupyter.notebook.magic.line import Token

NAMES = st.from_regex(r"[A-Za-z_][\w.~-]{0,15}", fullmatch=True)
LINES = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n\r"), max_size=30)


def read_texts(body: str) -> dict[str, str]:
    found = read_body(body)
    assert all(isinstance(token, Token) and not token.expression for token in found.values())
    return {name: token.text for name, token in found.items()}


def quote(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


@given(st.dictionaries(NAMES, LINES))
def test_quoted_values_round_trip(values: dict[str, str]) -> None:
    body = "\n\n".join(f"{name}: {quote(text)}" for name, text in values.items())
    assert read_texts(f"# a comment\n{body}\n") == values


@given(st.dictionaries(NAMES, st.lists(LINES, min_size=1).map("\n".join).filter(lambda text: text.strip())))
def test_multiline_texts_round_trip_without_indent(values: dict[str, str]) -> None:
    blocks = ["\n".join([f"{name}: |", *(f"  {line}" for line in text.split("\n"))]) for name, text in values.items()]
    expected = {}
    for name, text in values.items():
        lines = text.split("\n")
        while not lines[-1].strip():
            lines.pop()
        first = next(line for line in lines if line.strip())
        indent = len(first) - len(first.lstrip())
        if any(line.strip() and line[:indent] != first[:indent] for line in lines):
            with pytest.raises(BodyError, match="indented less"):
                read_body("\n".join(blocks))
            return
        expected[name] = "\n".join(line[indent:] if line.strip() else "" for line in lines)
    assert read_texts("\n".join(blocks)) == expected


@given(
    st.dictionaries(
        st.text(),
        st.integers() | st.text() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.none(),
    )
)
def test_json_is_read_unchanged(values: dict[str, Any]) -> None:
    assert read_body("\n" + json.dumps(values, indent=2)) == values


@given(st.text(max_size=80) | st.text(alphabet="ab:|#{}\"'\\ \n\t-[]0", max_size=40))
def test_any_body_is_read_or_rejected_in_one_line(body: str) -> None:
    refused = ""
    try:
        read_body(body)
    except BodyError as error:
        refused = str(error)
    assert "\n" not in refused


def test_body_of_the_guide_is_parsed() -> None:
    found = read_body(
        "prompt: |\n    a red fox in the snow,\n\n      soft: light # yes\n"
        "seed: 42\nKSampler.cfg: 7.5\n57:8.steps: 3\n\n# a comment\nimage: {picture}\n"
        '"My sampler.cfg": \'it is "it"\'\ntitle: {red|blue} cats#1 isn\'t: $5\n'
    )
    assert {name: (token.text, token.expression) for name, token in found.items()} == {
        "prompt": ("a red fox in the snow,\n\n  soft: light # yes", False),
        "seed": ("42", False),
        "KSampler.cfg": ("7.5", False),
        "57:8.steps": ("3", False),
        "image": ("picture", True),
        "My sampler.cfg": ('it is "it"', False),
        "title": ("{red|blue} cats#1 isn't: $5", False),
    }


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("a: 1\na: 2", "line 3: 'a' is given twice"),
        ("width=3", "line 2: expected `name: value`, not 'width=3'"),
        ("a:1", "expected `name: value`"),
        ("  a: 1", "line 2: unexpected indent"),
        ("a: 1\n  b", "line 3: unexpected indent"),
        ("a:\n  b", "line 2, a: no value after the colon"),
        ("a: |\nb: 1", "line 2: no text follows"),
        ("a: |\n    b\n  c", "line 4: indented less"),
        ("a: >\n  b", "'>' is unsupported YAML"),
        ("a: |-\n  b", "'|-' is unsupported YAML"),
        ("a: [1, 2]", "is unsupported YAML"),
        ("- a: 1", "expected `name: value`"),
        ("a: 20 # fast", "may begin a comment"),
        ('a: "b" c', "unexpected ' c' after the closing quote"),
        ('a: "b', "line 2: the quote"),
        ('{"a": 1, "a": 2}', "'a' is given twice"),
        ('{"a": 1,\n "b" 2}', "line 3, column 6: not valid JSON"),
        ('{"a": NaN}', "NaN is not a number"),
        ("{" * 3, "not valid JSON"),
        ('{"a": ' + "[" * 100_000, "nested too deeply"),
        ('{"a": ' + "9" * 5000 + "}", "too many digits"),
    ],
)
def test_invalid_body_is_rejected_with_its_line(body: str, message: str) -> None:
    with pytest.raises(BodyError) as caught:
        read_body(body)
    assert message in str(caught.value)
