"""Jobs of Comfy API v2 in ComfyUI's words: whatever a server tells, a run can make sense of."""

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


def odd(**known: Any) -> st.SearchStrategy[dict[str, Any]]:
    """Objects that have what they should, or anything in its place."""
    return st.fixed_dictionaries({}, optional={name: st.just(value) | ANYTHING for name, value in known.items()})


OUTPUT = odd(
    node_id="4", name="a.png", type="image", content_type="image/png", size_bytes=3, id="x", hash="h", url="/u"
)
PROGRESS = odd(value=0.5, nodes_done=1, nodes_total=4, current_node="2", step=3, steps=20)
ERROR = odd(code="node_execution_error", message="no", node_id="2", class_type="Sample", traceback="a\nb")
JOB = odd(
    id="j", status="running", started_at="2026-01-01T00:00:00Z", completed_at="2026-01-01T00:00:09Z", queue_position=2,
).flatmap(
    lambda job: st.fixed_dictionaries(
        {"outputs": st.lists(OUTPUT, max_size=3) | ANYTHING, "progress": PROGRESS | ANYTHING, "error": ERROR | ANYTHING}
    ).map(lambda more: {**job, **more})
)  # fmt: skip


def new() -> RunState:
    return RunState.create("run", PROMPT, {}, 0.0)


@given(JOB, st.sampled_from(["queued", "running", "canceling", "what"]))
def test_a_job_of_any_shape_waits_or_runs(job: dict[str, Any], status: str) -> None:
    state = apply_queue(new(), words.build_queue({**job, "status": status}, "run", PROMPT), 1.0)
    assert state.status == ("queued" if status == "queued" else "running")
    for event in words.build_events(job["progress"], "run", PROMPT):
        state = apply_event(state, event, 2.0)
    assert not state.finished
    assert str(state.build_progress(3.0))


@given(JOB, st.sampled_from(["succeeded", "failed", "canceled"]))
def test_a_job_of_any_shape_ends(job: dict[str, Any], status: str) -> None:
    state = apply_history(new(), words.build_record({**job, "status": status}, PROMPT, {"x": "text"}), 1.0)
    assert state.finished
    assert state.status == {"succeeded": "completed", "failed": "failed", "canceled": "cancelled"}[status]
    assert (state.error is None) == (status == "succeeded")


@given(ANYTHING | st.fixed_dictionaries({"node_errors": odd(**{"1": [{"field": "a", "reason": "b"}]})}), st.text())
def test_a_refusal_of_any_shape_is_told(details: Any, message: str) -> None:
    told = words.build_refusal("invalid_workflow", message, details)
    assert told["error"]["message"]
    assert all("errors" in about or isinstance(about, dict) for about in told["node_errors"].values())


@given(ANYTHING)
def test_nothing_but_a_prompt_is_one(told: Any) -> None:
    found = words.parse_prompt(told)
    assert found is None or all("inputs" in node for node in found.values())
    assert not words.is_same_prompt(PROMPT, told)


def test_the_place_in_a_queue_is_how_many_are_before() -> None:
    for position in (0, 1, 7):
        job = {"status": "queued", "queue_position": position}
        assert apply_queue(new(), words.build_queue(job, "run", None), 1.0).queue_position == position
    unknown = words.build_queue({"status": "queued", "queue_position": None}, "run", PROMPT)
    assert apply_queue(new(), unknown, 1.0).queue_position is None
    assert unknown["queue_pending"][0][1:] == ["run", PROMPT]


def test_what_a_node_needs_is_done_when_it_runs() -> None:
    state = new()
    for event in words.build_events({"current_node": "4", "step": 2, "steps": 5}, "run", PROMPT):
        state = apply_event(state, event, 1.0)
    assert (sorted(state.done), state.current, state.step, state.steps) == (["1", "2"], "4", 2, 5)


def test_how_far_the_whole_has_come_is_believed_of_servers_that_count_all_nodes() -> None:
    for total, fraction in ((4, 0.9), (7, 0.9), (3, 0.5), (0, 0.5), ("4", 0.5), (None, 0.5)):
        state = new()
        told = {"current_node": "2", "step": 20, "steps": 20, "nodes_total": total, "value": 0.9}
        for event in words.build_events(told, "run", PROMPT):
            state = apply_event(state, event, 1.0)
        assert state.build_progress(1.0).fraction == fraction
    for value in (None, "1", -1, 2, float("nan"), True):
        state = new()
        for event in words.build_events({"nodes_total": 4, "value": value}, "run", PROMPT):
            state = apply_event(state, event, 1.0)
        assert state.build_progress(1.0).fraction in (0.0, 1.0)


def test_a_circle_of_nodes_does_no_harm() -> None:
    around = {"1": {"class_type": "A", "inputs": {"x": ["2", 0]}}, "2": {"class_type": "B", "inputs": {"x": ["1", 0]}}}
    assert [
        event["data"]["node"]
        for event in words.build_events({"current_node": "1"}, "run", around)
        if "node" in event["data"]
    ]


def test_the_time_of_a_run_is_the_servers() -> None:
    job = {
        "status": "succeeded",
        "started_at": "2026-01-31T12:00:00Z",
        "completed_at": "2026-01-31T12:00:02.500000000Z",
    }
    state = apply_history(new(), words.build_record(job, None, {}), 10.0)
    assert state.started is not None
    assert state.ended is not None
    assert state.ended - state.started == 2.5


@pytest.mark.parametrize(
    ("told", "at"),
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
def test_times_are_read(told: Any, at: float | None) -> None:
    assert words.parse_time(told) == at


def test_outputs_keep_their_nodes_and_kinds() -> None:
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


def test_a_prompt_is_known_again_by_its_nodes_and_values() -> None:
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
