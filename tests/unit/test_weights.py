"""Test progress that is weighted by how long nodes took before."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.progress.progress import RunState, apply_event
from comfykit_jupyter.workflow.progress.weights import estimate_times, measure_times

PROMPT: dict[str, Any] = {
    "1": {"class_type": "Load", "inputs": {}},
    "2": {"class_type": "Sample", "inputs": {"model": ["1", 0], "steps": 20}},
    "3": {"class_type": "Decode", "inputs": {"samples": ["2", 0]}},
    "4": {"class_type": "Save", "inputs": {"images": ["3", 0]}},
}
SECONDS = {"Load": 10.0, "Sample": 0.5, "Decode": 2.0, "Save": 1.0}
"""Seconds by class; a step of Sample takes half a second."""


def new_state(weights: dict[str, float] | None = None) -> RunState:
    return RunState.create(
        "id", PROMPT, {}, 0.0, weights=estimate_times(PROMPT, SECONDS) if weights is None else weights
    )


def apply_next(state: RunState, at: float, kind: str, **data: Any) -> RunState:
    return apply_event(state, {"type": kind, "data": {"prompt_id": "id", **data}}, at)


def run_through(state: RunState, cached: list[str]) -> list[tuple[float, RunState]]:
    """Return the states of a run whose nodes take exactly the estimated time."""
    at = 0.0
    seen = [(at, state := apply_next(state, at, "execution_cached", nodes=cached))]
    for id_ in ("1", "2", "3", "4"):
        if id_ in cached:
            continue
        seen.append((at, state := apply_next(state, at, "executing", node=id_)))
        if id_ == "2":
            for step in range(1, 21):
                at += 0.5
                seen.append((at, state := apply_next(state, at, "progress", node="2", value=step, max=20)))
        else:
            at += SECONDS[PROMPT[id_]["class_type"]]
    seen.append((at, apply_next(state, at, "executing", node=None)))
    return seen


def test_estimate_is_the_time_of_the_class_for_as_many_steps() -> None:
    assert estimate_times(PROMPT, SECONDS) == {"1": 10.0, "2": 10.0, "3": 2.0, "4": 1.0}


def test_unknown_class_counts_as_the_quickest() -> None:
    assert estimate_times(PROMPT, {"Load": 10.0, "Decode": 2.0}) == {"1": 10.0, "2": 2.0, "3": 2.0, "4": 2.0}
    assert estimate_times(PROMPT, {}) == {}


def test_times_are_measured_without_cached_nodes() -> None:
    *_, (_, state) = run_through(new_state({}), [])
    assert state.status == "completed"
    assert measure_times(PROMPT, state) == pytest.approx(SECONDS)
    *_, (_, state) = run_through(new_state({}), ["1"])
    assert measure_times(PROMPT, state).keys() == {"Sample", "Decode", "Save"}


def test_failed_node_is_not_measured() -> None:
    state = apply_next(
        apply_next(new_state({}), 0, "executing", node="1"), 5, "execution_error", node_id="1", exception_message="no"
    )
    assert measure_times(PROMPT, state) == {}


@pytest.mark.parametrize("cached", [[], ["1"], ["1", "2"]])
def test_fraction_and_remaining_time_are_proportional_to_time(cached: list[str]) -> None:
    seen = run_through(new_state(), cached)
    end = seen[-1][0]
    for at, state in seen[1:-1]:
        progress = state.build_progress(at)
        assert progress.fraction == pytest.approx(at / end, abs=0.02)
        assert progress.remaining == pytest.approx(end - at, abs=0.6)
    assert seen[-1][1].build_progress(end).fraction == 1.0


def test_node_without_steps_advances_by_time_but_never_completes() -> None:
    state = apply_next(new_state(), 0.0, "executing", node="1")
    assert state.build_progress(5.0).fraction == pytest.approx(5 / 23)
    assert state.build_progress(5.0).remaining == pytest.approx(18)
    assert state.build_progress(500.0).fraction < 10 / 23
    assert state.build_progress(500.0).remaining == pytest.approx(13)


EVENTS = st.one_of(
    st.fixed_dictionaries({"type": st.just("executing"), "node": st.sampled_from(["1", "2", "3", "4"])}),
    st.fixed_dictionaries({"type": st.just("executed"), "node": st.sampled_from(["1", "2", "3", "4"])}),
    st.fixed_dictionaries({"type": st.just("execution_cached"), "nodes": st.lists(st.sampled_from("1234"))}),
    st.fixed_dictionaries(
        {"type": st.just("progress"), "node": st.sampled_from("1234"), "value": st.integers(0, 9), "max": st.just(9)}
    ),
)


@given(
    st.lists(st.tuples(EVENTS, st.floats(0, 30)), max_size=30),
    st.dictionaries(st.sampled_from(sorted(SECONDS)), st.floats(0.001, 100), max_size=4),
)
def test_fraction_never_falls(events: list[tuple[dict[str, Any], float]], seen: dict[str, float]) -> None:
    state, at, shown = new_state(estimate_times(PROMPT, seen)), 0.0, 0.0
    for event, pause in events:
        for look in (0.0, pause / 2, pause):
            fraction = state.build_progress(at + look).fraction
            assert shown <= fraction <= 1
            shown = fraction
        at += pause
        data = {name: value for name, value in event.items() if name != "type"}
        state = apply_next(state, at, event["type"], **data)
        assert state.build_progress(at).fraction >= shown
