"""Test what happens to a sweep that is paused, restarted or changed, and what it says to those who watch it."""

from __future__ import annotations

import asyncio
import errno
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, Row, Sweep, seeds
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.client.servers.pool import KitWorker, PooledJob
from comfykit_jupyter.explore.ledger.entries import RunEntry
from comfykit_jupyter.explore.ledger.journal import Journal
from comfykit_jupyter.explore.points import plan
from comfykit_jupyter.explore.points.plan import choose_step
from comfykit_jupyter.explore.sweeps.sweep import OTHER
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.progress.progress import RunError
from tests.client.nodes import Gate
from tests.client.workflows import gated, inverted, picture
from tests.explore.dask_clusters import wait_until
from tests.explore.made_runs import make_runs
from tests.kits import MakeKit


def test_a_pause_just_after_the_start_is_not_lost(kit: ComfyKit) -> None:
    for color in range(3):
        sweep = kit.sweep(picture(), color=color, over={"width": list(range(8, 20))})
        sweep.start().pause()
        assert sweep.wait(timeout=20).paused == "pause() was called"
        assert "waiting" in sweep.states
    sweep.start().stop(now=True)
    assert sweep.wait(timeout=20).paused == "stop() was called"


def test_nothing_is_sent_after_a_stop_while_the_server_is_asked(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, stopped, find_missing = threading.Event(), threading.Event(), KitWorker.find_missing

    async def wait(self: KitWorker, job: PooledJob) -> str:
        asked.set()
        await asyncio.to_thread(stopped.wait)
        return await find_missing(self, job)

    monkeypatch.setattr(KitWorker, "find_missing", wait)
    sweep = kit.sweep(picture(), over={"width": [8, 9]}).start()
    asked.wait()
    sweep.stop(now=True)
    stopped.set()
    assert sweep.wait(timeout=20).states == ["waiting", "waiting"]
    assert sweep.start().wait(timeout=20).summary == "2 of 2 done"


def test_a_server_that_joins_when_all_is_done_pauses_nothing(
    kit: ComfyKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked, ended, find_missing = threading.Event(), threading.Event(), KitWorker.find_missing
    with Sandbox() as other:

        async def wait(self: KitWorker, job: PooledJob) -> str:
            if self.label == other.url:
                asked.set()
                await asyncio.to_thread(ended.wait)
            return await find_missing(self, job)

        monkeypatch.setattr(KitWorker, "find_missing", wait)
        sweep = kit.sweep(gated(gate[0]), over={"width": [8]}).start()
        gate[1].wait()
        sweep.add_server(other.url)
        asked.wait()
        gate[1].open()
        wait_until(lambda: sweep.states == ["completed"])
        ended.set()
        assert sweep.wait(timeout=20).summary == "1 of 1 done"


def test_a_point_that_takes_longer_than_the_limit_has_failed(make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    make_kit().submit(gated(gate[0]))
    gate[1].wait()  # all others wait for this job
    kit = make_kit(timeout=0.5)
    sweep = kit.sweep(picture(), over={"width": [8, 9, 10]}).wait(timeout=20)
    assert sweep.states == ["failed", "waiting", "waiting"]
    assert "not done within 0.5 s" in sweep.paused


def test_a_folder_that_cannot_be_read_pauses_a_sweep_and_cancels_nothing(
    kit: ComfyKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = kit.sweep(gated(gate[0]), over={"width": range(40, 45)}).start()
    gate[1].wait()
    wait_until(lambda: len(kit.queue()) == 2)

    def fail(self: Journal) -> Any:
        raise OSError(errno.EMFILE, "Too many open files")

    with monkeypatch.context() as broken:
        broken.setattr(Journal, "iter_new", fail)
        gate[1].open()
        wait_until(lambda: bool(sweep.paused))
        assert sweep.paused.endswith("can't be read: Too many open files (nothing was sent)")
        wait_until(lambda: not sweep.running)
    assert sweep.states.count("completed") == 2
    assert sweep.start().wait(timeout=20).summary == "5 of 5 done"


def test_each_run_of_a_point_is_said_to_be_done(kit: ComfyKit) -> None:
    sweep, rows = kit.sweep(picture(), over={"width": [8, 9]}), list[Row]()

    def count() -> int:
        sweep._callbacks.call(sweep.done[0])  # after all that wait
        return len({row.id for row in rows})

    sweep.on_done(rows.append)
    sweep.wait()
    sweep.rerun(0).wait()
    sweep.restart().wait()
    for _ in range(1000):
        if count() == 5:
            break
    assert count() == 5


def test_a_function_that_watches_and_fails_stops_nothing(kit: ComfyKit, caplog: pytest.LogCaptureFixture) -> None:
    sweep = kit.sweep(picture(), over={"width": [8, 9, 10]})

    def fail(_: int) -> None:
        raise RuntimeError("mine")

    sweep.watch(fail)
    assert sweep.wait().summary == "3 of 3 done"
    assert "a function of watch failed: RuntimeError: mine" in caplog.text


def test_equal_points_share_a_run_whose_end_is_unknown(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep, sent = kit.sweep(picture(), over=[{"width": 8}, {"width": 8.0}, {"width": 9}]), []

    async def run(_job: Any, run_id: str, _on_progress: Any) -> ExecuteResult:
        sent.append(run_id)
        return ExecuteResult("failed", None, msg="lost", error=RunError("unknown", "lost"))

    monkeypatch.setattr(sweep._engine.crew.workers[0], "run", run)
    sweep.start().wait()
    assert sweep.states == ["unknown"] * 3
    sweep.start().wait()
    assert len(sent) == 2  # in a cloud, the second of the equal ones would cost twice


def test_a_job_that_the_server_has_lost_is_sent_again() -> None:
    run = RunEntry("1", status="failed", kind="gone", at="2026")
    assert choose_step([run], lambda _: True, lambda _: False).action == "send"


def test_a_restart_that_is_refused_changes_nothing(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = make_runs(kit, {"width": [8, 9, 10]})
    monkeypatch.setattr(plan, "MANY_POINTS", 2)
    with pytest.raises(ComfyKitError, match=r"3 points: start\(sure=True\) runs them"):
        sweep.restart()
    assert len(sweep.done) == len(kit.sweep(picture(), over={"width": [8, 9, 10]}).done) == 3


def test_values_that_can_not_be_added_change_nothing(kit: ComfyKit) -> None:
    sweep = kit.sweep("notebooks/workflows/text_to_image.json", over={"seed": seeds(2)})
    with pytest.raises(ComfyKitError, match="more than 100,000"):
        sweep.add_values("seed", seeds(99_999))
    assert len(sweep.add_values("seed", seeds(1)).points) == 3
    with pytest.raises(ComfyKitError, match="seed: 'fox' is not one of its values"):
        sweep.remove_values("seed", "fox")


def test_infinity_is_a_wrong_value_like_others(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), over={"width": [8, float("inf")]})
    assert sweep.start(skip_invalid=True).wait().summary == "1 of 2 done · 1 invalid"


def test_a_file_that_was_changed_is_another_input(kit: ComfyKit, tmp_path: Path) -> None:
    for name, color in (("a.png", 0), ("b.png", 9)):
        Image.new("RGB", (8, 8), (color, 0, 0)).save(tmp_path / name)
    sweep = kit.map(inverted(), image=[str(tmp_path / "a.png"), str(tmp_path / "b.png")])
    before = sweep._prepared.keys
    Image.new("RGB", (8, 9), (200, 0, 0)).save(tmp_path / "a.png")
    sweep.remove_places("image", [1])
    assert sweep._prepared.keys[0] != before[0]


def test_watchers_are_called_once_it_no_longer_runs(kit: ComfyKit) -> None:
    ended = threading.Event()
    sweep = kit.sweep(picture(), over={"width": [8, 16]})
    sweep.watch(lambda index: ended.set() if index == OTHER and not sweep.running and len(sweep.done) == 2 else None)
    sweep.start()
    assert ended.wait(10)


def test_a_point_is_run_again_though_the_sweep_is_just_ending(kit: ComfyKit, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = kit.sweep(picture(), over={"width": [8, 9]}).wait()
    before = sweep[0].id
    with monkeypatch.context() as ending:
        ending.setattr(Sweep, "running", True)
        sweep.rerun(0)
    assert sweep.wait(timeout=20).summary == "2 of 2 done"
    assert sweep[0].id != before


def test_a_start_while_a_point_runs_again_sends_the_others(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    sweep = kit.sweep(gated(name), over={"width": [8, 16, 24]})
    sweep.rerun(1)
    node_gate.wait()
    assert sweep.start() is sweep
    node_gate.open()
    assert sweep.wait(20).states == ["completed"] * 3
    assert len(kit.runs) == 3


def test_a_large_sweep_has_to_be_confirmed_while_a_point_runs_again(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    sweep = kit.sweep(gated(name), over={"width": range(8, 2010)})
    sweep.rerun(1)
    node_gate.wait()
    with pytest.raises(ComfyKitError, match=r"start\(sure=True\)"):
        sweep.start()
    node_gate.open()
    sweep.wait(20)
    assert sweep.states.count("completed") == 1


def test_a_sweep_whose_last_points_have_ended_is_not_paused(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, opened = gate
    sweep = kit.sweep(gated(name), over={"width": [8]}).start()
    opened.wait()
    sweep.pause()
    opened.open()
    assert sweep.wait(timeout=20).summary == "1 of 1 done"


def test_a_restart_runs_again_what_a_wrong_clock_has_dated_later(
    kit: ComfyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as clock:
        clock.setattr("comfykit_jupyter.explore.ledger.ledger.format_now", lambda: "2999-01-01T00:00:00.000000Z")
        sweep = kit.sweep(picture(), over={"width": [8, 9]}).wait()
    before = [row.id for row in sweep.done]
    assert not {row.id for row in sweep.restart().wait().done} & {*before}
