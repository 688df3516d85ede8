"""Test what a run's subscribers receive: progress in order, previews, and the end exactly once."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.preview import Preview
from comfykit_jupyter.workflow.progress.progress import Progress
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy


class Watcher:
    """A subscriber that records what it receives, in order."""

    def __init__(self, run: Any) -> None:
        self.received: list[Any] = []
        self.ended = threading.Event()
        self.stop = run.subscribe(progress=self.received.append, preview=self.received.append, done=self._done)

    def _done(self, result: Any) -> None:
        self.received.append(result)
        self.ended.set()

    def wait(self) -> None:
        assert self.ended.wait(20)

    @property
    def progress(self) -> list[Progress]:
        return [each for each in self.received if isinstance(each, Progress)]

    @property
    def previews(self) -> list[Preview]:
        return [each for each in self.received if isinstance(each, Preview)]


def test_progress_advances_and_the_end_comes_once(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name, steps=5))
    watcher = Watcher(run)
    node_gate.open()
    result = run.result()
    watcher.wait()
    assert watcher.received[-1] is result
    last = watcher.received[-2]
    assert isinstance(last, Progress)
    assert (last.status, last.fraction, last.nodes_done) == ("completed", 1.0, 3)
    fractions = [each.fraction for each in watcher.progress]
    assert fractions == sorted(fractions)
    statuses = list(dict.fromkeys(each.status for each in watcher.progress))
    assert statuses == ["queued", "running", "completed"]
    assert {each.prompt_id for each in watcher.progress} == {run.prompt_id}
    assert ("The gate", 4, 5) in {(each.node_title, each.step, each.steps) for each in watcher.progress}
    assert len([each for each in watcher.received if each is result]) == 1


def test_late_subscriber_receives_the_end_at_once(kit: ComfyKit) -> None:
    run = kit.submit(workflows.text())
    result = run.result()
    watcher = Watcher(run)
    watcher.wait()
    assert [type(each) for each in watcher.received] == [Progress, type(result)]


def test_unsubscribed_callback_is_not_called_again(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    leaver, stayer = Watcher(run), Watcher(run)
    node_gate.wait()
    leaver.stop()
    node_gate.open()
    run.result()
    stayer.wait()
    assert not leaver.ended.is_set()


@pytest.mark.parametrize("values", [{"color": "red"}, {"nothing": 1}])
def test_run_that_never_started_has_an_end(values: dict[str, Any], kit: ComfyKit) -> None:
    run = kit.submit(workflows.picture(), values)
    watcher = Watcher(run)
    watcher.wait()
    assert watcher.received[-1].status == "failed"
    assert watcher.received[-2].status == "failed"


def test_failing_subscriber_does_not_affect_others(kit: ComfyKit, caplog: pytest.LogCaptureFixture) -> None:
    run = kit.submit(workflows.text())

    def fail(_: Any) -> None:
        raise ValueError("my own fault")

    run.subscribe(fail, fail, fail)
    watcher = Watcher(run)
    with caplog.at_level(logging.ERROR):
        assert run.result().status == "completed"
        watcher.wait()
    assert "my own fault" in caplog.text


def test_previews_have_node_and_step(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name, steps=5))
    watcher = Watcher(run)
    node_gate.open()
    run.result()
    watcher.wait()
    assert len(watcher.previews) == 4
    for preview in watcher.previews:
        assert (preview.prompt_id, preview.node_id, preview.mime) == (run.prompt_id, "3", "image/jpeg")
        assert preview.data.startswith(b"\xff\xd8\xff")
    steps = [preview.step for preview in watcher.previews]
    assert steps == sorted(steps, key=lambda step: step or 0)


def test_previews_without_metadata_are_received(proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    proxy.sockets.flags = False
    run = make_kit(proxy.url).submit(workflows.gated(name, steps=5))
    watcher = Watcher(run)
    node_gate.open()
    run.result()
    watcher.wait()
    assert len(watcher.previews) == 4
    assert {(preview.prompt_id, preview.node_id) for preview in watcher.previews} == {(run.prompt_id, "3")}
    assert all(preview.data.startswith(b"\xff\xd8\xff") for preview in watcher.previews)


def test_queued_run_knows_its_position(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, node_gate = gate
    jobs.post(workflows.gated(name))
    node_gate.wait()
    jobs.post(workflows.text())
    run = kit.submit(workflows.text())
    known = threading.Event()
    run.subscribe(progress=lambda progress: known.set() if progress.queue_position is not None else None)
    assert known.wait(20)
    assert run.progress.queue_position == 2
    assert str(run.progress).startswith("queued · 2 before this")
    node_gate.open()
    assert run.result().status == "completed"


def test_repr_of_a_run_is_one_line(kit: ComfyKit) -> None:
    run = kit.submit(workflows.text())
    run.result()
    assert repr(run) == f"<Run {run.prompt_id[:8]} {run.progress}>"
    assert str(run.progress).startswith("completed · 2 of 2 nodes")
