"""Test that RunningHub's replies are translated to ComfyUI's records and errors, whatever the site sends."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.progress.progress import RunState, apply_history

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def optional_fields(**known: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Draw objects whose fields are as expected, missing, or arbitrary."""
    return st.fixed_dictionaries({}, optional={name: st.just(value) | ANYTHING for name, value in known.items()})


TIPS = optional_fields(
    result=True,
    error={"message": "no"},
    outputs_to_execute=["9"],
    node_errors={"6": {"errors": [{"message": "bad"}]}},
)
REASON = optional_fields(
    node_id="1", node_name="A", exception_message="no", exception_type="E", traceback='["line"]', current_inputs="{}"
)
RESULT = optional_fields(
    url="http://x/a.png", fileUrl="http://x/a.png", nodeId="9", outputType="png", fileType="png", text="hello"
)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (0, 0), ("0", 0), (" 421 ", 421), ("-1", -1), (True, None), (None, None), ("", None), ("zero", None),
        (0.0, None), ("²", None), ("٤", None), ([0], None), ("9" * 30, None),
    ],
)  # fmt: skip
def test_code_can_be_a_number_or_text(value: Any, code: int | None) -> None:
    assert words.parse_code(value) == code


def test_reason_combines_the_code_and_the_message() -> None:
    assert words.format_reason(421, "TASK_QUEUE_MAXED") == "the account already runs as many tasks as it may (code 421)"
    assert words.format_reason(433, "no such model") == "the workflow is not valid: no such model (code 433)"
    assert words.format_reason(4711, "whatever") == "whatever (code 4711)"
    assert words.format_reason(4711) == "it gives no reason (code 4711)"
    assert words.format_reason(None, "") == "it gives no reason (no code)"
    assert "\x1b" not in words.format_reason(1, "\x1b[31m")


@given(ANYTHING, ANYTHING | st.text())
def test_reason_is_one_line(code: Any, text: Any) -> None:
    line = words.format_reason(words.parse_code(code), text)
    assert line.isprintable()
    assert len(line) < 500


def test_partly_accepted_prompt_is_not_rejected() -> None:
    errors = {"6": {"errors": [{"message": "bad"}]}}
    assert not words.is_refused({"result": True, "node_errors": errors}, "QUEUED")
    assert not words.is_refused({"outputs_to_execute": ["9"], "node_errors": errors}, "RUNNING")
    assert words.is_refused({"outputs_to_execute": [], "node_errors": errors}, "RUNNING")
    assert words.is_refused({"result": False}, "RUNNING")
    assert words.is_refused({"error": {"message": "no"}}, "RUNNING")
    assert words.is_refused({}, "FAILED")


@given(TIPS | ANYTHING | TIPS.map(json.dumps) | st.text())
def test_malformed_tips_become_a_comfyui_rejection(reply: Any) -> None:
    found = words.parse_tips(reply)
    assert isinstance(words.is_refused(found, "QUEUED"), bool)
    assert words.find_remark(reply).isprintable()
    refusal = words.build_refusal(433, reply, reply)
    assert refusal["error"]["message"]
    for about in refusal["node_errors"].values():
        assert about["errors"]
        assert all(isinstance(each, dict) for each in about["errors"])


@given(REASON | ANYTHING | REASON.map(json.dumps) | st.text(), st.lists(RESULT | ANYTHING, max_size=4) | ANYTHING)
def test_malformed_results_become_a_finished_record(reason: Any, results: Any) -> None:
    found = words.parse_results(results)
    error = words.parse_failure(reason)
    state = RunState.create("1", {"1": {"class_type": "A", "inputs": {}}}, {}, 0)
    for record in (
        words.build_record(found, seconds=3),
        words.build_record(found, interrupted=True),
        words.build_record(found, error=error or {"exception_message": "no"}),
    ):
        ended = apply_history(state, record, 1)
        assert ended.finished
        assert set(ended.outputs) == {each["node"] for each in found}
    assert apply_history(state, words.build_record(found, error=error), 1).status == "failed"
    assert all("text" in each or each["url"].startswith(("http://", "https://")) for each in found)


@pytest.mark.parametrize(
    ("reply", "error"),
    [
        (None, {}), ("", {}), ("{}", {}), ("null", {}), ([], {}), ({"node_id": None}, {}),
        ("out of memory", {"exception_message": "out of memory", "traceback": []}),
        ({"traceback": '["a", "b"]'}, {"traceback": ["a", "b"]}),
        ({"traceback": ["a", "b"]}, {"traceback": ["a", "b"]}),
        ({"traceback": "a\nb"}, {"traceback": ["a\nb"]}),
        ('{"node_id": 276, "node_name": "A"}', {"node_id": "276", "node_type": "A"}),
    ],
)  # fmt: skip
def test_failure_is_parsed_from_many_shapes(reply: Any, error: dict[str, Any]) -> None:
    found = words.parse_failure(reply)
    assert {name: found.get(name) for name in error} == error
    assert bool(found) == bool(error)


@pytest.mark.parametrize(
    ("url", "suffix", "name"),
    [
        ("http://x/u/output/a_1.png", "png", "a_1.png"),
        ("http://x/a%20b%23.png?sign=x", "png", "a b#.png"),
        ("http://x/a", "PNG", "a.png"),
        ("http://x/a", None, "a"),
        ("http://x/a", "../../x", "a"),
        ("http://x", "zip", "file.zip"),
        ("http://x/", None, "file"),
        ("http://[", "png", "file.png"),
        ("http://x/a.mp4", "png", "a.mp4"),
    ],
)
def test_file_name_comes_from_the_url_and_type(url: str, suffix: Any, name: str) -> None:
    assert words.build_file_name(url, suffix) == name


@given(optional_fields(consumeCoins="17", consumeMoney=None, taskCostTime="83", thirdPartyConsumeMoney=0.5) | ANYTHING)
def test_cost_has_only_reasonable_numbers(reply: Any) -> None:
    assert all(0 < number < 1e12 for number in words.parse_cost(reply).values())
