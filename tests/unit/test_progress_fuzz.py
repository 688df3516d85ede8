"""Test that no event, history or queue of a server makes following a run fail: property-based."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.progress.progress import apply_event, apply_history, apply_queue
from tests.unit.test_progress import GRAPH, ID, new_state

ids = st.sampled_from(["1", "2", "3", "2:7", "99"])
numbers = st.integers() | st.floats() | st.just(10**400)
junk = st.recursive(
    st.none() | st.booleans() | numbers | st.text(max_size=5) | ids,
    lambda each: st.lists(each, max_size=3) | st.dictionaries(ids | st.text(max_size=5), each, max_size=3),
    max_leaves=12,
)
node_states = st.fixed_dictionaries(
    {},
    optional={
        "value": numbers | junk,
        "max": numbers | junk,
        "state": st.sampled_from(["running", "finished", "pending"]) | junk,
        "display_node_id": ids | junk,
    },
)
data = st.fixed_dictionaries(
    {"prompt_id": st.just(ID) | junk},
    optional={
        "node": ids | st.none() | junk,
        "display_node": ids | junk,
        "nodes": st.lists(ids) | st.dictionaries(ids, node_states | junk, max_size=4) | junk,
        "value": numbers | junk,
        "max": numbers | junk,
        "output": junk,
        "node_id": ids | junk,
        "node_type": junk,
        "traceback": st.lists(junk) | junk,
        "exception_message": junk,
        "exception_type": junk,
        "executed": st.lists(ids) | junk,
        "timestamp": numbers | junk,
    },
)
kinds = st.sampled_from(
    [
        "status", "execution_start", "execution_cached", "executing", "executed", "progress", "progress_state",
        "execution_success", "execution_error", "execution_interrupted", "nonsense",
    ]
)  # fmt: skip
events = st.fixed_dictionaries({"type": kinds, "data": data | junk}) | junk


@given(st.lists(events, max_size=12), st.none() | st.integers(0, 5))
def test_random_events_never_raise_or_revive_a_run(messages: list[Any], total: int | None) -> None:
    state, last = new_state(total), 0.0
    for number, message in enumerate(messages):
        after = apply_event(state, message, float(number))
        if state.finished:
            assert after is state
        state = after
        progress = state.build_progress(float(number))
        assert last <= progress.fraction <= 1.0
        last = progress.fraction
        assert str(progress).isprintable()
        assert (state.status in ("completed", "failed", "cancelled")) is state.finished
        assert state.done <= set(GRAPH)


@given(
    junk | st.fixed_dictionaries({"outputs": junk, "status": junk, "meta": junk}), st.sampled_from(["wrapped", "plain"])
)
def test_random_history_never_raises(entry: Any, form: str) -> None:
    state = apply_history(new_state(), {ID: entry} if form == "wrapped" else entry, 1.0)
    assert str(state.build_progress(2.0))


@given(st.lists(st.tuples(kinds, data), max_size=4))
def test_random_history_messages_never_raise(messages: list[Any]) -> None:
    entry = {"outputs": {}, "status": {"status_str": "error", "messages": [list(each) for each in messages]}}
    assert apply_history(new_state(), entry, 1.0).finished


rows = st.lists(st.lists(st.just(ID) | junk, max_size=3) | junk, max_size=4)


@given(st.fixed_dictionaries({"queue_running": rows | junk, "queue_pending": rows | junk}) | junk)
def test_random_queue_never_raises(queue: Any) -> None:
    assert apply_queue(new_state(), queue, 1.0).status in ("queued", "running")
