"""Test how a run's state follows from socket events, the queue and the history."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping
from typing import Any

import pytest

from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.nodes import find_reachable
from comfykit_jupyter.workflow.progress.progress import Progress, RunState, apply_event, apply_history, apply_queue
from tests.unit.recorded import RUNS, load_definitions, load_transcript

ID = "run-1"
GRAPH = {
    "1": {"class_type": "Loader", "inputs": {}},
    "2": {"class_type": "KSampler", "inputs": {"model": ["1", 0]}},
    "3": {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}},
    "4": {"class_type": "PreviewImage", "inputs": {"images": ["2", 0]}},
}


def new_state(total: int | None = None) -> RunState:
    return RunState.create(ID, GRAPH, {"2": "Sampler"}, 0.0, total)


def make_event(kind: str, **data: Any) -> dict[str, Any]:
    return {"type": kind, "data": {"prompt_id": ID, **data}}


def make_progress_state(**nodes: Any) -> dict[str, Any]:
    return make_event(
        "progress_state",
        nodes={
            id_[1:]: {"value": value, "max": most, "state": state, "node_id": id_[1:], "display_node_id": id_[1:]}
            for id_, (value, most, state) in nodes.items()
        },
    )


def apply_events(state: RunState, events: Iterable[Mapping[str, Any]], step: float = 1.0) -> RunState:
    for number, each in enumerate(events, 1):
        state = apply_event(state, each, number * step)
    return state


# Recorded runs


class Recording:
    """One recorded run: the POST, its socket messages, and its final entry in `/history`."""

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


def test_replayed_run_ends_as_in_the_history(recording: Recording) -> None:
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


def test_history_alone_gives_the_same_end(recording: Recording) -> None:
    seen = recording.end()
    recorded = apply_history(recording.begin(), {recording.id: recording.entry}, 20.0)
    assert apply_history(recording.begin(), recording.entry, 20.0) == recorded
    for name in ("status", "outputs", "error", "cached", "finished"):
        assert getattr(recorded, name) == getattr(seen, name)
    assert (
        recorded.build_progress(99.0).fraction == seen.build_progress(99.0).fraction or recorded.status != "completed"
    )
    assert recorded.build_progress(99.0).elapsed == pytest.approx(seen.build_progress(99.0).elapsed, abs=0.5)


def test_history_confirms_the_events(recording: Recording) -> None:
    seen = recording.end()
    recorded = apply_history(seen, recording.entry, 20.0)
    assert (recorded.status, recorded.outputs, recorded.error, recorded.ended) == (
        seen.status,
        seen.outputs,
        seen.error,
        seen.ended,
    )


def test_duplicate_messages_change_nothing(recording: Recording) -> None:
    state = recording.begin()
    for at, message in recording.messages:
        state = apply_event(apply_event(state, message, at), message, at)
    once = recording.end()
    for name in ("status", "outputs", "error", "cached", "done", "node_times", "reached", "finished"):
        assert getattr(state, name) == getattr(once, name)


@pytest.mark.parametrize("missing", ["progress", "progress_state"])
def test_either_progress_event_is_sufficient(recording: Recording, missing: str) -> None:
    state = recording.begin()
    for at, message in recording.messages:
        if message["type"] != missing:
            state = apply_event(state, message, at)
    once = recording.end()
    for name in ("status", "outputs", "error", "cached", "finished"):
        assert getattr(state, name) == getattr(once, name)
    if state.status == "completed":
        assert state.done | {state.current} >= once.done


def test_fraction_never_falls_and_ends_at_one(recording: Recording) -> None:
    state, last = recording.begin(), 0.0
    for at, message in recording.messages:
        state = apply_event(state, message, at)
        progress = state.build_progress(at)
        assert last <= progress.fraction <= 1.0
        assert progress.nodes_done <= progress.nodes_total
        assert str(progress).isprintable()
        last = progress.fraction
    assert (last == 1.0) is (state.status == "completed")


def test_messages_of_other_runs_are_ignored(recording: Recording) -> None:
    state = new_state()
    for at, message in recording.messages:
        assert apply_event(state, message, at) is state


def test_partly_accepted_run_counts_only_accepted_nodes() -> None:
    state = Recording("validation_partial").end()
    assert state.status == "completed"
    assert set(state.outputs) == {"2"}


def test_sampler_reports_steps_and_remaining_time() -> None:
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


# Constructed runs


def test_successful_run_ends_when_no_node_executes() -> None:
    state = apply_events(new_state(), [make_event("execution_start"), make_event("execution_success")])
    assert state.succeeded
    assert not state.finished
    ended = apply_event(state, make_event("executing", node=None), 9.0)
    assert (ended.status, ended.finished, ended.ended) == ("completed", True, 9.0)


@pytest.mark.parametrize(("kind", "status"), [("execution_error", "failed"), ("execution_interrupted", "cancelled")])
def test_failed_run_cannot_complete(kind: str, status: str) -> None:
    state = apply_events(
        new_state(), [make_event("execution_start"), make_event(kind, node_id="2", node_type="KSampler")]
    )
    assert state.finished
    assert apply_events(state, [make_event("executing", node=None), make_event("execution_success")]) is state
    assert state.status == status
    assert state.error is not None
    assert (state.error.node_title, state.error.class_type) == ("Sampler", "KSampler")


def test_executing_event_without_a_node_is_not_the_end() -> None:
    assert not apply_event(new_state(), make_event("executing"), 1.0).finished


def test_any_execution_event_starts_the_run() -> None:
    state = apply_event(new_state(), make_event("executing", node="1", display_node="1"), 5.0)
    assert (state.status, state.started, state.seen_start) == ("running", 5.0, False)


def test_expanded_nodes_count_as_their_parent() -> None:
    expanded = {"value": 3, "max": 10, "state": "running", "node_id": "2:7", "display_node_id": "2"}
    finished = {**expanded, "value": 10, "state": "finished"}
    state = apply_events(
        new_state(),
        [
            make_event("executing", node="2:7", display_node="2"),
            make_event("progress_state", nodes={"2:7": expanded}),
            make_event("progress", node="2:7", value=3, max=10),
        ],
    )
    assert (state.get_title(state.current), state.step, state.steps) == ("Sampler", 3, 10)
    state = apply_event(state, make_event("progress_state", nodes={"2:7": finished}), 4.0)
    state = apply_event(state, make_event("executed", node="2:7", display_node="2", output={"images": []}), 5.0)
    assert state.done == set()
    assert state.outputs == {"2:7": {"images": []}}
    assert state.display == {"2:7": "2"}
    assert apply_event(state, make_progress_state(n2=(1, 1, "finished")), 6.0).done == {"2"}


def test_older_server_sends_no_progress_state() -> None:
    state = apply_events(
        new_state(),
        [
            make_event("execution_cached", nodes=["1", "99"]),
            make_event("executing", node="2", display_node="2"),
            make_event("progress", node="2", value=5, max=10),
            make_event("executing", node="3", display_node="3"),
        ],
    )
    progress = state.build_progress(4.0)
    assert (progress.nodes_done, progress.nodes_cached, progress.nodes_total) == (2, 1, 4)
    assert progress.fraction == 0.5
    assert state.node_times == {"2": 2.0}


def test_steps_of_the_running_node_count() -> None:
    state = apply_events(
        new_state(), [make_event("execution_cached", nodes=["1"]), make_progress_state(n2=(5, 10, "running"))]
    )
    assert state.build_progress(2.0).fraction == pytest.approx(1.5 / 4)


def test_second_sampling_pass_does_not_lower_the_fraction() -> None:
    state = apply_events(
        new_state(), [make_progress_state(n2=(9, 10, "running")), make_progress_state(n2=(1, 10, "running"))]
    )
    assert state.step == 1
    assert state.build_progress(2.0).fraction == pytest.approx(0.9 / 4)


def test_current_node_stays_while_others_run_in_parallel() -> None:
    one, two = {"n2": (1, 10, "running")}, {"n3": (1, 5, "running")}
    state = apply_events(new_state(), [make_progress_state(**one), make_progress_state(**one, **two)])
    assert state.current == "2"
    assert apply_event(state, make_progress_state(n2=(10, 10, "finished"), **two), 3.0).current == "3"


def test_remaining_time_follows_the_pace_of_the_steps() -> None:
    state = new_state()
    for step in range(1, 6):
        state = apply_event(
            state, make_progress_state(n2=(step, 20, "running")), 30.0 + 2.0 * step
        )  # after 30 s of loading
        assert (state.build_progress(40.0).remaining is None) is (step == 1)
    assert state.build_progress(40.0).remaining == pytest.approx(30.0)
    assert state.build_progress(41.0).remaining == pytest.approx(29.0)
    assert state.build_progress(4000.0).remaining == 0.0
    assert apply_event(state, make_progress_state(n2=(20, 20, "running")), 42.0).build_progress(42.0).remaining is None


def test_queue_position_is_that_of_the_run() -> None:
    queue = {"queue_running": [[0, "other"]], "queue_pending": [[9, "late"], [5, ID], [3, "early"], [-1, "front"]]}
    state = apply_queue(new_state(), queue, 1.0)
    assert (state.status, state.queue_position) == ("queued", 3)
    assert str(state.build_progress(2.0)) == "queued · 3 before this · 0:02"
    running = apply_queue(state, {"queue_running": [[5, ID, {}, {}, []]], "queue_pending": []}, 3.0)
    assert (running.status, running.build_progress(4.0).queue_position) == ("running", None)
    assert apply_queue(running, queue, 5.0) is running
    assert apply_queue(state, {"queue_running": [], "queue_pending": []}, 6.0) is state


def test_history_entry_without_a_status_is_completed() -> None:
    state = apply_history(new_state(), {"outputs": {"3": {"images": []}}, "status": None}, 5.0)
    assert (state.status, state.outputs, state.build_progress(5.0).fraction) == (
        "completed",
        {"3": {"images": []}},
        1.0,
    )


def test_error_in_the_history_without_a_reason_has_a_message() -> None:
    state = apply_history(new_state(), {"outputs": {}, "status": {"status_str": "error", "messages": []}}, 5.0)
    assert state.status == "failed"
    assert state.error is not None
    assert state.error.message


def test_history_overrides_events() -> None:
    lost = apply_events(new_state(), [make_event("execution_interrupted", node_id="2")])
    assert apply_history(lost, {"outputs": {}, "status": {"status_str": "success"}}, 5.0).status == "completed"


@pytest.mark.parametrize("entry", [{}, None, [], {ID: None}, {"outputs": []}, {"status": {"status_str": "error"}}])
def test_invalid_history_changes_nothing(entry: Any) -> None:
    state = new_state()
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
def test_progress_formats_as_one_line(progress: Progress, line: str) -> None:
    assert str(progress) == line


def test_prompt_of_an_attached_run_can_be_malformed() -> None:
    prompt: Any = {"1": None, "2": {"class_type": 7}, "3": []}
    assert RunState.create(ID, prompt, {}, 0.0).get_title("1") == "1"


def test_shuffled_events_give_the_same_outputs_and_end() -> None:
    messages = [
        make_event("execution_start"),
        make_event("execution_cached", nodes=["1"]),
        make_progress_state(n2=(1, 4, "running")),
        make_event("progress", node="2", value=1, max=4),
        make_progress_state(n2=(4, 4, "finished")),
        make_event("executed", node="3", display_node="3", output={"images": [1]}),
        make_event("executed", node="4", display_node="4", output={"images": [2]}),
        make_event("execution_success"),
    ]
    for seed in range(20):
        shuffled = random.Random(seed).sample(messages, len(messages))
        state = apply_events(new_state(), [*shuffled, make_event("executing", node=None)])
        assert state.outputs == {"3": {"images": [1]}, "4": {"images": [2]}}
        assert state.status == "completed"
        assert state.cached == {"1"}
        assert state.build_progress(99.0).fraction == 1.0
