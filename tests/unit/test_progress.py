from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.workflow.nodes import find_reachable
from comfykit_jupyter.workflow.progress.progress import Progress, RunState, apply_event, apply_history, apply_queue
from comfykit_jupyter.workflow.workflow import Workflow
from tests.unit.recorded import RUNS, load_definitions, load_transcript

ID = "run-1"
GRAPH = {
    "1": {"class_type": "Loader", "inputs": {}},
    "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    "4": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}


def begin(total: int | None = None) -> RunState:
    return RunState.create(ID, GRAPH, {"2": "Sampler"}, 0.0, total)


def event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": {"prompt_id": ID, **data}}


def states(**nodes: Any) -> dict[str, Any]:
    return event(
        "progress_state",
        nodes={
            id_[1:]: {"value": value, "max": most, "state": state, "node_id": id_[1:], "display_node_id": id_[1:]}
            for id_, (value, most, state) in nodes.items()
        },
    )


def follow(state: RunState, events: Iterable[Mapping[str, Any]], step: float = 1.0) -> RunState:
    for number, each in enumerate(events, 1):
        state = apply_event(state, each, number * step)
    return state


# Recorded runs


class Recording:
    """One recorded run: the POST, the messages about it, and what /history said in the end."""

    def __init__(self, name: str) -> None:
        entries = load_transcript(name)
        posts = [each for each in entries if each.get("request", {}).get("path") == "/prompt"]
        self.workflow = Workflow.parse(posts[0]["request"]["body"]["prompt"])
        self.id: str = posts[0]["response"]["prompt_id"]
        self.messages = [(each["t"], each["message"]) for each in entries if each["kind"] == "ws_text"]
        self.sent: float = posts[0]["t"]
        self.entry: dict[str, Any] = next(
            (each["response"][self.id] for each in entries if f"/history/{self.id}" in str(each.get("request"))), {}
        )

    def begin(self) -> RunState:
        prompt = self.workflow.prompt
        titles = {id_: self.workflow.get_title(id_) for id_ in prompt}
        total = len(find_reachable(prompt, load_definitions()))
        return RunState.create(self.id, prompt, titles, self.sent, total)

    def end(self) -> RunState:
        state = self.begin()
        for at, message in self.messages:
            state = apply_event(state, message, at)
        return state


@pytest.fixture(params=RUNS or ["none"])
def recording(request: pytest.FixtureRequest) -> Recording:
    return Recording(request.param)


def test_a_replayed_run_ends_as_the_history_says(recording: Recording) -> None:
    state = recording.end()
    messages = dict(recording.entry["status"]["messages"])
    assert state.finished
    assert state.outputs == recording.entry["outputs"]
    assert (state.status == "completed") is (recording.entry["status"]["status_str"] == "success")
    assert (state.status == "cancelled") is ("execution_interrupted" in messages)
    assert state.cached == set(messages["execution_cached"]["nodes"])
    failed = messages.get("execution_error")
    if failed is not None:
        assert state.error is not None
        assert state.error.node_id == failed["node_id"]
        assert state.error.node_title == recording.workflow.get_title(failed["node_id"])
        assert state.error.class_type == failed["node_type"]
        assert state.error.exception_type == failed["exception_type"]
        assert state.error.message == failed["exception_message"].strip()
        assert state.error.traceback == tuple(failed["traceback"])


def test_the_history_alone_tells_the_same_end(recording: Recording) -> None:
    seen = recording.end()
    told = apply_history(recording.begin(), {recording.id: recording.entry}, 20.0)
    assert apply_history(recording.begin(), recording.entry, 20.0) == told
    for name in ("status", "outputs", "error", "cached", "finished"):
        assert getattr(told, name) == getattr(seen, name)
    assert told.build_progress(99.0).fraction == seen.build_progress(99.0).fraction or told.status != "completed"
    assert told.build_progress(99.0).elapsed == pytest.approx(seen.build_progress(99.0).elapsed, abs=0.5)


def test_the_history_confirms_what_was_seen(recording: Recording) -> None:
    seen = recording.end()
    told = apply_history(seen, recording.entry, 20.0)
    assert (told.status, told.outputs, told.error, told.ended) == (seen.status, seen.outputs, seen.error, seen.ended)


def test_messages_that_come_twice_change_nothing(recording: Recording) -> None:
    state = recording.begin()
    for at, message in recording.messages:
        state = apply_event(apply_event(state, message, at), message, at)
    once = recording.end()
    for name in ("status", "outputs", "error", "cached", "done", "node_times", "reached", "finished"):
        assert getattr(state, name) == getattr(once, name)


@pytest.mark.parametrize("missing", ["progress", "progress_state"])
def test_either_form_of_progress_is_enough(recording: Recording, missing: str) -> None:
    state = recording.begin()
    for at, message in recording.messages:
        if message["type"] != missing:
            state = apply_event(state, message, at)
    once = recording.end()
    for name in ("status", "outputs", "error", "cached", "finished"):
        assert getattr(state, name) == getattr(once, name)
    if state.status == "completed":
        assert state.done | {state.current} >= once.done


def test_the_fraction_never_falls_and_a_completed_run_is_whole(recording: Recording) -> None:
    state, last = recording.begin(), 0.0
    for at, message in recording.messages:
        state = apply_event(state, message, at)
        progress = state.build_progress(at)
        assert last <= progress.fraction <= 1.0
        assert progress.nodes_done <= progress.nodes_total
        assert str(progress).isprintable()
        last = progress.fraction
    assert (last == 1.0) is (state.status == "completed")


def test_the_messages_of_another_run_are_none_of_ours(recording: Recording) -> None:
    state = begin()
    for at, message in recording.messages:
        assert apply_event(state, message, at) is state


def test_a_run_that_was_accepted_in_part_counts_what_is_left() -> None:
    state = Recording("validation_partial").end()
    assert state.status == "completed"
    assert set(state.outputs) == {"2"}


def test_steps_and_the_time_left_are_told_while_a_sampler_runs() -> None:
    recording = Recording("sd15_txt2img")
    state = recording.begin()
    lines: list[str] = []
    for at, message in recording.messages:
        state = apply_event(state, message, at)
        if state.step == 4 and not lines:
            progress = state.build_progress(at)
            assert (progress.node_title, progress.step, progress.steps) == ("Sampler", 4, 6)
            assert progress.remaining == pytest.approx(2 * 1.4, abs=0.5)
            lines.append(str(progress))
    assert lines == ["Sampler 4/6 · 4 of 7 nodes · 0:08 · ~0:02 left"]


# Made-up runs


def test_success_is_noted_but_the_run_ends_only_when_nothing_executes() -> None:
    state = follow(begin(), [event("execution_start"), event("execution_success")])
    assert state.succeeded
    assert not state.finished
    ended = apply_event(state, event("executing", node=None), 9.0)
    assert (ended.status, ended.finished, ended.ended) == ("completed", True, 9.0)


@pytest.mark.parametrize(("kind", "status"), [("execution_error", "failed"), ("execution_interrupted", "cancelled")])
def test_after_an_error_nothing_makes_the_run_completed(kind: str, status: str) -> None:
    state = follow(begin(), [event("execution_start"), event(kind, node_id="2", node_type="KSampler")])
    assert state.finished
    assert follow(state, [event("executing", node=None), event("execution_success")]) is state
    assert state.status == status
    assert state.error is not None
    assert (state.error.node_title, state.error.class_type) == ("Sampler", "KSampler")


def test_a_missing_node_is_not_the_end() -> None:
    assert not apply_event(begin(), event("executing"), 1.0).finished


def test_any_word_about_its_execution_means_that_a_run_runs() -> None:
    state = apply_event(begin(), event("executing", node="1", display_node="1"), 5.0)
    assert (state.status, state.started, state.seen_start) == ("running", 5.0, False)


def test_nodes_that_a_node_expands_to_count_as_that_node() -> None:
    expanded = {"value": 3, "max": 10, "state": "running", "node_id": "2:7", "display_node_id": "2"}
    finished = {**expanded, "value": 10, "state": "finished"}
    state = follow(
        begin(),
        [
            event("executing", node="2:7", display_node="2"),
            event("progress_state", nodes={"2:7": expanded}),
            event("progress", node="2:7", value=3, max=10),
        ],
    )
    assert (state.get_title(state.current), state.step, state.steps) == ("Sampler", 3, 10)
    state = apply_event(state, event("progress_state", nodes={"2:7": finished}), 4.0)
    state = apply_event(state, event("executed", node="2:7", display_node="2", output={"images": []}), 5.0)
    assert state.done == set()
    assert state.outputs == {"2:7": {"images": []}}
    assert state.display == {"2:7": "2"}
    assert apply_event(state, states(n2=(1, 1, "finished")), 6.0).done == {"2"}


def test_an_older_server_says_only_which_node_executes() -> None:
    state = follow(
        begin(),
        [
            event("execution_cached", nodes=["1", "99"]),
            event("executing", node="2", display_node="2"),
            event("progress", node="2", value=5, max=10),
            event("executing", node="3", display_node="3"),
        ],
    )
    progress = state.build_progress(4.0)
    assert (progress.nodes_done, progress.nodes_cached, progress.nodes_total) == (2, 1, 4)
    assert progress.fraction == 0.5
    assert state.node_times == {"2": 2.0}


def test_a_part_of_the_running_node_counts() -> None:
    state = follow(begin(), [event("execution_cached", nodes=["1"]), states(n2=(5, 10, "running"))])
    assert state.build_progress(2.0).fraction == pytest.approx(1.5 / 4)


def test_a_second_pass_over_the_steps_makes_no_fraction_fall() -> None:
    state = follow(begin(), [states(n2=(9, 10, "running")), states(n2=(1, 10, "running"))])
    assert state.step == 1
    assert state.build_progress(2.0).fraction == pytest.approx(0.9 / 4)


def test_the_node_that_is_shown_stays_while_others_run_beside_it() -> None:
    one, two = {"n2": (1, 10, "running")}, {"n3": (1, 5, "running")}
    state = follow(begin(), [states(**one), states(**one, **two)])
    assert state.current == "2"
    assert apply_event(state, states(n2=(10, 10, "finished"), **two), 3.0).current == "3"


def test_the_time_left_follows_the_pace_of_the_steps() -> None:
    state = begin()
    for step in range(1, 6):
        state = apply_event(state, states(n2=(step, 20, "running")), 30.0 + 2.0 * step)  # 30 s of loading before them
        assert (state.build_progress(40.0).remaining is None) is (step == 1)
    assert state.build_progress(40.0).remaining == pytest.approx(30.0)
    assert state.build_progress(41.0).remaining == pytest.approx(29.0)
    assert state.build_progress(4000.0).remaining == 0.0
    assert apply_event(state, states(n2=(20, 20, "running")), 42.0).build_progress(42.0).remaining is None


def test_only_our_place_in_the_queue_counts() -> None:
    queue = {"queue_running": [[0, "other"]], "queue_pending": [[9, "late"], [5, ID], [3, "early"], [-1, "front"]]}
    state = apply_queue(begin(), queue, 1.0)
    assert (state.status, state.queue_position) == ("queued", 3)
    assert str(state.build_progress(2.0)) == "queued · 3 before this · 0:02"
    running = apply_queue(state, {"queue_running": [[5, ID, {}, {}, []]], "queue_pending": []}, 3.0)
    assert (running.status, running.build_progress(4.0).queue_position) == ("running", None)
    assert apply_queue(running, queue, 5.0) is running
    assert apply_queue(state, {"queue_running": [], "queue_pending": []}, 6.0) is state


def test_a_history_entry_without_a_status_is_a_completed_run() -> None:
    state = apply_history(begin(), {"outputs": {"3": {"images": []}}, "status": None}, 5.0)
    assert (state.status, state.outputs, state.build_progress(5.0).fraction) == (
        "completed",
        {"3": {"images": []}},
        1.0,
    )


def test_an_error_that_only_the_history_knows_is_told_even_without_its_reason() -> None:
    state = apply_history(begin(), {"outputs": {}, "status": {"status_str": "error", "messages": []}}, 5.0)
    assert state.status == "failed"
    assert state.error is not None
    assert state.error.message


def test_the_history_has_the_last_word() -> None:
    lost = follow(begin(), [event("execution_interrupted", node_id="2")])
    assert apply_history(lost, {"outputs": {}, "status": {"status_str": "success"}}, 5.0).status == "completed"


@pytest.mark.parametrize("entry", [{}, None, [], {ID: None}, {"outputs": []}, {"status": {"status_str": "error"}}])
def test_what_is_no_history_changes_nothing(entry: Any) -> None:
    state = begin()
    assert apply_history(state, entry, 5.0) is state


@pytest.mark.parametrize(
    ("progress", "line"),
    [
        (
            Progress(
                "running", ID, node_title="KSampler", step=12, steps=20, nodes_done=2, nodes_total=7, elapsed=8.4,
                remaining=5.2,
            ),
            "KSampler 12/20 · 2 of 7 nodes · 0:08 · ~0:05 left",
        ),
        (Progress("queued", ID), "queued · 0:00"),
        (Progress("queued", ID, queue_position=0, elapsed=61), "queued · next · 1:01"),
        (Progress("running", ID, nodes_total=1, elapsed=3600), "running · 0 of 1 node · 1:00:00"),
        (
            Progress("completed", ID, nodes_done=7, nodes_total=7, nodes_cached=5),
            "completed · 7 of 7 nodes (5 cached) · 0:00",
        ),
        (Progress("failed", ID, node_title="a\nb", nodes_total=2), r"failed at a\nb · 0 of 2 nodes · 0:00"),
    ],
)  # fmt: skip
def test_progress_is_one_line(progress: Progress, line: str) -> None:
    assert str(progress) == line


# Nonsense

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
def test_nothing_that_comes_raises_or_revives_a_finished_run(messages: list[Any], total: int | None) -> None:
    state, last = begin(total), 0.0
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
def test_no_history_raises(entry: Any, form: str) -> None:
    state = apply_history(begin(), {ID: entry} if form == "wrapped" else entry, 1.0)
    assert str(state.build_progress(2.0))


@given(st.lists(st.tuples(kinds, data), max_size=4))
def test_no_messages_of_a_history_raise(messages: list[Any]) -> None:
    entry = {"outputs": {}, "status": {"status_str": "error", "messages": [list(each) for each in messages]}}
    assert apply_history(begin(), entry, 1.0).finished


rows = st.lists(st.lists(st.just(ID) | junk, max_size=3) | junk, max_size=4)


@given(st.fixed_dictionaries({"queue_running": rows | junk, "queue_pending": rows | junk}) | junk)
def test_no_queue_raises(queue: Any) -> None:
    assert apply_queue(begin(), queue, 1.0).status in ("queued", "running")


def test_the_prompt_of_an_attached_run_may_be_anything() -> None:
    prompt: Any = {"1": None, "2": {"class_type": 7}, "3": []}
    assert RunState.create(ID, prompt, {}, 0.0).get_title("1") == "1"


def test_a_shuffled_run_still_has_its_outputs_and_ends_once() -> None:
    messages = [
        event("execution_start"),
        event("execution_cached", nodes=["1"]),
        states(n2=(1, 4, "running")),
        event("progress", node="2", value=1, max=4),
        states(n2=(4, 4, "finished")),
        event("executed", node="3", display_node="3", output={"images": [1]}),
        event("executed", node="4", display_node="4", output={"images": [2]}),
        event("execution_success"),
    ]
    for seed in range(20):
        shuffled = random.Random(seed).sample(messages, len(messages))
        state = follow(begin(), [*shuffled, event("executing", node=None)])
        assert state.outputs == {"3": {"images": [1]}, "4": {"images": [2]}}
        assert state.status == "completed"
        assert state.cached == {"1"}
        assert state.build_progress(99.0).fraction == 1.0
