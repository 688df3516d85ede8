"""Test the check of a value against an input's definition, and the messages for wrong values."""

from __future__ import annotations

import pickle
from decimal import Decimal
from enum import Enum
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.errors import ParameterError, Problem, one_line, short_repr
from comfykit_jupyter.workflow.nodes import Input
from comfykit_jupyter.workflow.spelling import find_nearest
from comfykit_jupyter.workflow.values.check import check_value

INTEGER = Input("steps", "INT", "integer", min=1, max=100)
SEED = Input("seed", "INT", "integer", min=0, max=2**64 - 1)
NUMBER = Input("cfg", "FLOAT", "number", min=0.0, max=100.0)
TEXT = Input("text", "STRING", "text")
TOGGLE = Input("on", "BOOLEAN", "toggle")
CHOICE = Input("sampler", "COMBO", "choice", choices=("euler", "heun", "dpmpp_2m"))
SEVERAL = Input("tags", "COMBO", "choice", choices=("a", "b", "c"), multiselect=True)
NUMBERS = Input("size", "COMBO", "choice", choices=(0, 1, 2.5))
DIGITS = Input("bits", "COMBO", "choice", choices=("8", "16", "True"))
ANY = Input("model", "MODEL", "link")


class Sampler(str, Enum):
    EULER = "euler"


@pytest.mark.parametrize(
    ("spec", "value", "sent"),
    [
        (INTEGER, 20, 20),
        (SEED, 2**64 - 1, 2**64 - 1),
        (SEED, 2**53 + 1, 2**53 + 1),
        (SEED, str(2**64 - 1), 2**64 - 1),
        (INTEGER, "42", 42),
        (INTEGER, " +42\n", 42),
        (INTEGER, 64.0, 64),
        (INTEGER, "64.0", 64),
        (INTEGER, "1e1", 10),
        (INTEGER, Decimal(64), 64),
        (NUMBER, 7, 7.0),
        (NUMBER, "7", 7.0),
        (NUMBER, "7.5", 7.5),
        (NUMBER, "5e-1", 0.5),
        (NUMBER, Decimal("7.5"), 7.5),
        (TEXT, "a cat", "a cat"),
        (TEXT, " 7 ", " 7 "),
        (TEXT, 5, "5"),
        (TEXT, 7.5, "7.5"),
        (TOGGLE, "true", True),
        (TOGGLE, "False", False),
        (TOGGLE, 1, True),
        (TOGGLE, 0.0, False),
        (CHOICE, "heun", "heun"),
        (CHOICE, Sampler.EULER, "euler"),
        (SEVERAL, ("a", "c"), ["a", "c"]),
        (NUMBERS, 2.5, 2.5),
        (NUMBERS, "2.5", 2.5),
        (NUMBERS, "1", 1),
        (DIGITS, 8, "8"),
        (DIGITS, 16.0, "16"),
        (ANY, ["4", 0], ["4", 0]),
    ],
)
def test_valid_value_is_sent_as_a_plain_type(spec: Input, value: Any, sent: Any) -> None:
    checked = check_value(value, spec)
    assert checked == sent
    assert type(checked) is type(sent)


def test_numpy_scalars_become_plain_values() -> None:
    np = pytest.importorskip("numpy")
    for spec, value, sent in (
        (INTEGER, np.int64(20), 20),
        (NUMBER, np.float32(0.5), 0.5),
        (NUMBER, np.array(0.5), 0.5),
        (TOGGLE, np.bool_(True), True),
        (CHOICE, np.str_("heun"), "heun"),
    ):
        checked = check_value(value, spec)
        assert checked == sent
        assert type(checked) is type(sent)


@pytest.mark.parametrize(
    ("spec", "value", "reason"),
    [
        (INTEGER, 0, "0 is below the minimum 1"),
        (INTEGER, 101, "101 is above the maximum 100"),
        (INTEGER, True, "give an integer"),
        (INTEGER, "twenty", "'twenty' is text: give an integer"),
        (INTEGER, "", "'' is text: give an integer"),
        (INTEGER, "0x10", "give an integer"),
        (INTEGER, "1_0", "give an integer"),
        (INTEGER, "101", "101 is above the maximum 100"),
        (INTEGER, 20.5, "20.5 is a number: give an integer"),
        (INTEGER, "1.7", "'1.7' is text: give an integer"),
        (INTEGER, 1e300, "give an integer"),
        (INTEGER, Decimal("1e999999"), "give an integer"),
        (INTEGER, None, "None"),
        (INTEGER, float("nan"), "give an integer"),
        (SEED, 2**64, "above the maximum 18446744073709551615"),
        pytest.param(Input("x", "INT", "integer"), 10**5000, "too large", id="huge integer"),
        (NUMBER, "seven", "'seven' is text: give a number"),
        (NUMBER, "inf", "give a number"),
        (NUMBER, "9" * 400, "give a number"),
        (NUMBER, True, "give a number"),
        (NUMBER, float("inf"), "not a finite number"),
        pytest.param(NUMBER, 10**5000, "too large", id="huge number"),
        (NUMBER, -0.5, "below the minimum 0.0"),
        (TEXT, True, "True is true or false: give text"),
        pytest.param(TEXT, 10**5000, "too large", id="huge integer as text"),
        (TEXT, b"cat", "give text"),
        (TOGGLE, 2, "give True or False"),
        (TOGGLE, "yes", "give True or False"),
        (CHOICE, "eulr", "did you mean 'euler'?"),
        (CHOICE, "HEUN", "did you mean 'heun'?"),
        (CHOICE, "zzzzz", "'euler', 'heun', 'dpmpp_2m'"),
        (CHOICE, ["euler"], "give one of the choices"),
        (SEVERAL, ["a", "z"], "'z' is not one of"),
        (NUMBERS, True, "not one of"),
        (NUMBERS, "01", "not one of"),
        (DIGITS, True, "not one of"),
        (Input("model", "COMBO", "choice", choices=()), "x", "nothing to choose from"),
        (Input("model", "COMBO", "choice", choices=("a.safetensors",)), "x", "there is only 'a.safetensors'"),
        (TEXT, object(), "an object: give text"),
        (ANY, object(), "can't be written as JSON"),
        (ANY, [float("nan")], "not a finite number"),
    ],
)
def test_invalid_value_is_rejected_with_reason_and_place(spec: Input, value: Any, reason: str) -> None:
    with pytest.raises(ParameterError) as caught:
        check_value(value, spec, parameter="it", node_id="3", node_title="My node")
    [problem] = caught.value.problems
    assert problem.message.startswith("it (My node): ")
    assert reason in problem.message
    assert (problem.parameter, problem.node_id, problem.node_title) == ("it", "3", "My node")


def test_choice_without_a_known_list_accepts_any_name() -> None:
    assert check_value("x.safetensors", Input("model", "COMBO", "choice")) == "x.safetensors"


@given(
    st.sampled_from([INTEGER, SEED, NUMBER, TEXT, TOGGLE, CHOICE, SEVERAL, NUMBERS]),
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.lists(st.text()),
)
def test_message_is_one_short_line_for_any_value(spec: Input, value: Any) -> None:
    try:
        check_value(value, spec, node_title="My node")
    except ParameterError as error:
        message = str(error)
        assert message.isprintable()
        assert len(message) < 300


def test_long_values_are_shortened_and_control_characters_escaped() -> None:
    with pytest.raises(ParameterError) as caught:
        check_value("\x1b[31m\n" + "x" * 100_000, CHOICE, node_title="evil\n\x1b[0mtitle")
    message = str(caught.value)
    assert message.isprintable()
    assert r"evil\n\x1b[0mtitle" in message
    assert len(message) < 300


@given(st.text(), st.integers(2, 80))
def test_text_in_messages_is_short_and_printable(text: str, limit: int) -> None:
    for short in (one_line(text, limit), short_repr(text, limit)):
        assert len(short) <= limit
        assert short.isprintable()


def test_value_with_a_broken_repr_is_shown_by_type() -> None:
    class Broken:
        def __repr__(self) -> str:
            raise RuntimeError

    assert "Broken" in short_repr(Broken())
    assert len(short_repr(10**5000)) <= 60


def test_nearest_name_ignores_case() -> None:
    assert find_nearest("promt", ["negative", "prompt"]) == "prompt"
    assert find_nearest("PROMPT", ["negative", "prompt"]) == "prompt"
    assert find_nearest("zzz", ["negative", "prompt"]) is None
    assert find_nearest("x", []) is None


def test_nearest_file_needs_more_than_the_same_suffix() -> None:
    assert find_nearest("nofile.png", ["ic.png"]) is None
    assert find_nearest("foxx.png", ["cat.png", "fox.png", "fox.jpg"]) == "fox.png"
    assert find_nearest("fox.png", ["fox.jpg"]) == "fox.jpg"
    assert find_nearest("tiny-random.safetens", ["tiny-random.safetensors"]) == "tiny-random.safetensors"


def test_error_keeps_its_problems_when_pickled() -> None:
    error = ParameterError([Problem("a", "a: wrong"), Problem("b", "b: wrong", "3", "KSampler")])
    again = pickle.loads(pickle.dumps(error))
    assert again.problems == error.problems
    assert str(again) == "a: wrong; b: wrong"
