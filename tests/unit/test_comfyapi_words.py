"""Test that jobs of Comfy API v2 are translated to ComfyUI's events and records, whatever the server sends."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.clouds import comfyapi as words
from comfykit_jupyter.workflow.progress.progress import RunState, apply_event, apply_history, apply_queue

PROMPT: dict[str, Any] = {
    "1": {"class_type": "Load", "inputs": {"name": "x"}},
    "2": {"class_type": "Sample", "inputs": {"model": ["1", 0], "steps": 20}},
    "3": {"class_type": "Other", "inputs": {}},
    "4": {"class_type": "Save", "inputs": {"images": ["2", 0]}},
}
ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


def optional_fields(**known: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Draw objects whose fields are as expected, missing, or arbitrary."""
    return st.fixed_dictionaries({}, optional={name: st.just(value) | ANYTHING for name, value in known.items()})


OUTPUT = optional_fields(
    node_id="4", name="a.png", type="image", content_type="image/png", size_bytes=3, id="x", hash="h", url="/u"
)
PROGRESS = optional_fields(value=0.5, nodes_done=1, nodes_total=4, current_node="2", step=3, steps=20)
ERROR = optional_fields(code="node_execution_error", message="no", node_id="2", class_type="Sample", traceback="a\nb")
JOB = optional_fields(
    id="j", status="running", started_at="2026-01-01T00:00:00Z", completed_at="2026-01-01T00:00:09Z", queue_position=2,
).flatmap(
    lambda job: st.fixed_dictionaries(
        {"outputs": st.lists(OUTPUT, max_size=3) | ANYTHING, "progress": PROGRESS | ANYTHING, "error": ERROR | ANYTHING}
    ).map(lambda more: {**job, **more})
)  # fmt: skip


def new_state() -> RunState:
    return RunState.create("run", PROMPT, {}, 0.0)


@given(JOB, st.sampled_from(["queued", "running", "canceling", "what"]))
def test_malformed_active_job_is_queued_or_running(job: dict[str, Any], status: str) -> None:
    state = apply_queue(new_state(), words.build_queue({**job, "status": status}, "run", PROMPT), 1.0)
    assert state.status == ("queued" if status == "queued" else "running")
    for event in words.build_events(job["progress"], "run", PROMPT):
        state = apply_event(state, event, 2.0)
    assert not state.finished
    assert str(state.build_progress(3.0))


@given(JOB, st.sampled_from(["succeeded", "failed", "canceled"]))
def test_malformed_finished_job_has_ended(job: dict[str, Any], status: str) -> None:
    state = apply_history(new_state(), words.build_record({**job, "status": status}, PROMPT, {"x": "text"}), 1.0)
    assert state.finished
    assert state.status == {"succeeded": "completed", "failed": "failed", "canceled": "cancelled"}[status]
    assert (state.error is None) == (status == "succeeded")


@given(
    ANYTHING | st.fixed_dictionaries({"node_errors": optional_fields(**{"1": [{"field": "a", "reason": "b"}]})}),
    st.text(),
)
def test_malformed_rejection_has_a_message(details: Any, message: str) -> None:
    refusal = words.build_refusal("invalid_workflow", message, details)
    assert refusal["error"]["message"]
    assert all("errors" in about or isinstance(about, dict) for about in refusal["node_errors"].values())


@given(ANYTHING)
def test_only_a_prompt_is_read_as_a_prompt(value: Any) -> None:
    found = words.parse_prompt(value)
    assert found is None or all("inputs" in node for node in found.values())
    assert not words.is_same_prompt(PROMPT, value)


def test_queue_position_counts_the_jobs_ahead() -> None:
    for position in (0, 1, 7):
        job = {"status": "queued", "queue_position": position}
        assert apply_queue(new_state(), words.build_queue(job, "run", None), 1.0).queue_position == position
    unknown = words.build_queue({"status": "queued", "queue_position": None}, "run", PROMPT)
    assert apply_queue(new_state(), unknown, 1.0).queue_position is None
    assert unknown["queue_pending"][0][1:] == ["run", PROMPT]


def test_nodes_before_the_current_node_are_done() -> None:
    state = new_state()
    for event in words.build_events({"current_node": "4", "step": 2, "steps": 5}, "run", PROMPT):
        state = apply_event(state, event, 1.0)
    assert (sorted(state.done), state.current, state.step, state.steps) == (["1", "2"], "4", 2, 5)


def test_server_fraction_is_used_only_if_it_counts_all_nodes() -> None:
    for total, fraction in ((4, 0.9), (7, 0.9), (3, 0.5), (0, 0.5), ("4", 0.5), (None, 0.5)):
        state = new_state()
        progress = {"current_node": "2", "step": 20, "steps": 20, "nodes_total": total, "value": 0.9}
        for event in words.build_events(progress, "run", PROMPT):
            state = apply_event(state, event, 1.0)
        assert state.build_progress(1.0).fraction == fraction
    for value in (None, "1", -1, 2, float("nan"), True):
        state = new_state()
        for event in words.build_events({"nodes_total": 4, "value": value}, "run", PROMPT):
            state = apply_event(state, event, 1.0)
        assert state.build_progress(1.0).fraction in (0.0, 1.0)


def test_cycle_of_nodes_is_harmless() -> None:
    around = {"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}, "2": {"class_type": "B", "inputs": {"x": ["1", 0]}}}
    assert [
        event["data"]["node"]
        for event in words.build_events({"current_node": "1"}, "run", around)
        if "node" in event["data"]
    ]


def test_run_time_is_measured_by_the_server() -> None:
    job = {
        "status": "succeeded",
        "started_at": "2026-01-31T12:00:00Z",
        "completed_at": "2026-01-31T12:00:02.500000000Z",
    }
    state = apply_history(new_state(), words.build_record(job, None, {}), 10.0)
    assert state.started is not None
    assert state.ended is not None
    assert state.ended - state.started == 2.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1.0),
        ("1970-01-01T00:00:01", 1.0),
        ("1970-01-01T01:00:01.5+01:00", 1.5),
        ("1970-01-01T00:00:01.123456789Z", 1.123456789),
        ("1970-13-01T00:00:01Z", None),
        ("yesterday", None),
        (7, None),
        (None, None),
    ],
)
def test_timestamp_is_parsed(text: Any, seconds: float | None) -> None:
    assert words.parse_time(text) == seconds


def test_outputs_keep_node_and_kind() -> None:
    listed = [
        {
            "node_id": "9",
            "name": "a.png",
            "type": "image",
            "id": "1",
            "content_type": "image/png",
            "url": "https://signed",
        },
        {"node_id": "9", "name": "b.mp4", "type": "video", "id": "2"},
        {"node_id": "8", "name": "c.txt", "type": "text", "id": "3"},
        {"node_id": "8", "name": "", "type": "latent", "id": "4"},
        {"node_id": "7", "name": "without an id", "type": "image"},
        *(
            {"node_id": "7", "name": "x.png", "type": "image", "id": id_}
            for id_ in ("", "\ud800", "a\nb", "x" * 9000, 7)
        ),
        "nonsense",
    ]
    assert words.build_outputs(listed, {"3": "a text"}, None) == {
        "9": {
            "images": [{"filename": "a.png", "type": "output", "id": "1", "content_type": "image/png"}],
            "gifs": [{"filename": "b.mp4", "type": "output", "id": "2"}],
        },
        "8": {"text": ["a text"], "latents": [{"filename": "file", "type": "output", "id": "4"}]},
    }


def test_same_prompt_compares_nodes_and_values() -> None:
    sent = {**PROMPT, "1": {"class_type": "Load", "inputs": {"image": words.build_asset("id-1"), "steps": 1}}}

    def recorded(image: Any, **more: Any) -> dict[str, Any]:
        return {**PROMPT, "1": {"class_type": "Load", "inputs": {"image": image, "steps": 1}, **more}}

    assert words.is_same_prompt(sent, recorded("comfykit-12.png", _meta={"title": "x"}))
    assert words.is_same_prompt(sent, recorded(words.build_asset("id-1", "blake3:0")))
    assert not words.is_same_prompt(sent, recorded(7))
    assert not words.is_same_prompt(sent, recorded("x", class_type="Other"))
    assert not words.is_same_prompt(sent, {**recorded("x"), "5": PROMPT["3"]})
    assert not words.is_same_prompt(
        PROMPT, {**PROMPT, "2": {"class_type": "Sample", "inputs": {"model": ["1", 0], "steps": 21}}}
    )
