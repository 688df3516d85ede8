"""What a subscriber is told of a run: progress in order, previews, the end exactly once."""

from __future__ import annotations

import logging
import threading
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.preview import Preview
from comfykit_jupyter.workflow.progress.progress import Progress

from . import workflows
from .conftest import Jobs, MakeKit
from .nodes import Gate
from .proxy import Proxy


class Watcher:
    """Notes what it is told, in order."""

    def __init__(self, run: Any) -> None:
        self.told: list[Any] = []
        self.ended = threading.Event()
        self.stop = run.subscribe(progress=self.told.append, preview=self.told.append, done=self._done)

    def _done(self, result: Any) -> None:
        self.told.append(result)
        self.ended.set()

    def wait(self) -> None:
        assert self.ended.wait(20)

    @property
    def progress(self) -> list[Progress]:
        return [each for each in self.told if isinstance(each, Progress)]

    @property
    def previews(self) -> list[Preview]:
        return [each for each in self.told if isinstance(each, Preview)]


def test_progress_goes_forward_and_the_end_comes_last_and_once(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, its = gate
    run = kit.submit(workflows.gated(name, steps=5))
    watcher = Watcher(run)
    its.open()
    result = run.result()
    watcher.wait()
    assert watcher.told[-1] is result
    last = watcher.told[-2]
    assert isinstance(last, Progress)
    assert (last.status, last.fraction, last.nodes_done) == ("completed", 1.0, 3)
    fractions = [each.fraction for each in watcher.progress]
    assert fractions == sorted(fractions)
    statuses = list(dict.fromkeys(each.status for each in watcher.progress))
    assert statuses == ["queued", "running", "completed"]
    assert {each.prompt_id for each in watcher.progress} == {run.prompt_id}
    assert ("The gate", 4, 5) in {(each.node_title, each.step, each.steps) for each in watcher.progress}
    assert len([each for each in watcher.told if each is result]) == 1


def test_who_comes_late_is_told_the_end_at_once(kit: ComfyKit) -> None:
    run = kit.submit(workflows.text())
    result = run.result()
    watcher = Watcher(run)
    watcher.wait()
    assert [type(each) for each in watcher.told] == [Progress, type(result)]


def test_who_leaves_is_told_no_more(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, its = gate
    run = kit.submit(workflows.gated(name))
    leaver, stayer = Watcher(run), Watcher(run)
    its.wait()
    leaver.stop()
    its.open()
    run.result()
    stayer.wait()
    assert not leaver.ended.is_set()


@pytest.mark.parametrize("values", [{"color": "red"}, {"nothing": 1}])
def test_a_run_that_never_began_has_an_end_too(values: dict[str, Any], kit: ComfyKit) -> None:
    run = kit.submit(workflows.picture(), values)
    watcher = Watcher(run)
    watcher.wait()
    assert watcher.told[-1].status == "failed"
    assert watcher.told[-2].status == "failed"


def test_a_subscriber_that_fails_harms_nobody_else(kit: ComfyKit, caplog: pytest.LogCaptureFixture) -> None:
    run = kit.submit(workflows.text())

    def fail(_: Any) -> None:
        raise ValueError("my own fault")

    run.subscribe(fail, fail, fail)
    watcher = Watcher(run)
    with caplog.at_level(logging.ERROR):
        assert run.result().status == "completed"
        watcher.wait()
    assert "my own fault" in caplog.text


def test_previews_come_with_their_node_and_step(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, its = gate
    run = kit.submit(workflows.gated(name, steps=5))
    watcher = Watcher(run)
    its.open()
    run.result()
    watcher.wait()
    assert len(watcher.previews) == 4
    for preview in watcher.previews:
        assert (preview.prompt_id, preview.node_id, preview.mime) == (run.prompt_id, "3", "image/jpeg")
        assert preview.data.startswith(b"\xff\xd8\xff")
    steps = [preview.step for preview in watcher.previews]
    assert steps == sorted(steps, key=lambda step: step or 0)


def test_previews_of_a_server_without_metadata_come_too(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]
) -> None:
    name, its = gate
    proxy.sockets.flags = False
    run = make_kit(proxy.url).submit(workflows.gated(name, steps=5))
    watcher = Watcher(run)
    its.open()
    run.result()
    watcher.wait()
    assert len(watcher.previews) == 4
    assert {(preview.prompt_id, preview.node_id) for preview in watcher.previews} == {(run.prompt_id, "3")}
    assert all(preview.data.startswith(b"\xff\xd8\xff") for preview in watcher.previews)


def test_a_queued_run_knows_how_many_are_before_it(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, its = gate
    jobs.post(workflows.gated(name))
    its.wait()
    jobs.post(workflows.text())
    run = kit.submit(workflows.text())
    known = threading.Event()
    run.subscribe(progress=lambda progress: known.set() if progress.queue_position is not None else None)
    assert known.wait(20)
    assert run.progress.queue_position == 2
    assert str(run.progress).startswith("queued · 2 before this")
    its.open()
    assert run.result().status == "completed"


def test_a_run_shows_itself_in_one_line(kit: ComfyKit) -> None:
    run = kit.submit(workflows.text())
    run.result()
    assert repr(run) == f"<Run {run.prompt_id[:8]} {run.progress}>"
    assert str(run.progress).startswith("completed · 2 of 2 nodes")
