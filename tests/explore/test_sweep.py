"""Test sweeps on the embedded server: their plan, their points, what they resume, and what stops them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, Row, Sweep, replace, seeds
from comfykit_jupyter.explore.ledger.recorder import LedgerRecorder
from comfykit_jupyter.explore.sweeps.callbacks import RowCallbacks
from comfykit_jupyter.sandbox import Sandbox
from tests.client.nodes import Gate
from tests.client.workflows import failing, gated, picture
from tests.kits import MakeKit

from .conftest import wait_until_kept


def count_jobs(kit: ComfyKit) -> int:
    return len(kit.history(1000)) + len(kit.queue())


@pytest.fixture
def fresh(make_kit: MakeKit) -> Any:
    """A kit on a server of its own, whose jobs can be counted."""
    with Sandbox() as server:
        yield make_kit(server.url)


def test_a_sweep_runs_all_points_once_and_again_none(fresh: ComfyKit) -> None:
    over = {"width": [8, 16, 24], "color": [0, 255]}
    sweep = fresh.sweep(picture(), over=over)
    assert str(sweep.plan).startswith("6 points, 0 done")
    assert count_jobs(fresh) == 0  # nothing is sent before it is started
    assert sweep.wait() is sweep
    assert (len(sweep.done), sweep.summary) == (6, "6 of 6 done")
    assert sweep.at(width=16, color=255).image.pil().size == (16, 16)
    again = fresh.sweep(picture(), over={"width": [8, 16, 24, 32], "color": [0, 255]})
    assert again.plan.count("send") == 2
    again.wait()
    assert count_jobs(fresh) == 8


def test_seeds_are_drawn_once(kit: ComfyKit) -> None:
    def labels(sweep: Sweep) -> list[int]:
        return [point.labels["seed"] for point in sweep.points]

    workflow = "notebooks/workflows/text_to_image.json"
    values = {"width": 64, "height": 64}
    first = kit.sweep(workflow, values, over={"seed": seeds(2)}).wait()
    more = kit.sweep(workflow, values, over={"seed": seeds(3)})
    assert labels(more)[:2] == labels(first)
    assert more.plan.count("have") == 2
    plain = kit.sweep(workflow, values, over={"steps": [1, 2]}).wait()
    assert kit.sweep(workflow, values, over={"steps": [1, 2, 3]}).plan.count("have") == 2
    assert len({row.seeds["seed"] for row in plain.done}) == 1  # drawn for the sweep, not for each point
    old = labels(first)
    assert labels(first.restart().wait()) != old


def test_words_of_the_given_text_are_replaced(kit: ComfyKit) -> None:
    sweep = kit.sweep(
        "notebooks/workflows/text_to_image.json",
        prompt="a fox in snow",
        over={"prompt": replace("fox", ["fox", "cat"])},
    )
    assert [point.values["prompt"] for point in sweep.points] == ["a fox in snow", "a cat in snow"]
    assert sweep.plan.count("send") == 2


def test_a_typo_is_answered_with_what_there_is(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), over={"width": [8, 16], "color": [0, 255]})
    with pytest.raises(ComfyKitError, match=r"no point has width=9, color=0: width is 8, 16$"):
        sweep.at(width=9, color=0)
    with pytest.raises(ComfyKitError, match=r"2 points have width=8: give another axis"):
        sweep.at(width=8)
    with pytest.raises(ComfyKitError, match=r"say what varies, as in over=\{'width': \[8, 16\]\}"):
        kit.sweep(picture(), width=[8, 16])
    with pytest.raises(ComfyKitError, match="there is no folder 'photos-of-june'"):
        kit.map(picture(), image=Path("photos-of-june"))


def test_wrong_points_are_all_said_and_nothing_is_sent(fresh: ComfyKit) -> None:
    sweep = fresh.sweep(picture(), over={"width": [-1, 8, -2], "color": [0]})
    assert sweep.states == ["invalid", "waiting", "invalid"]
    with pytest.raises(ComfyKitError, match=r"2 of 3 points are wrong(?s:.)*point 0: width(?s:.)*point 2: width"):
        sweep.start()
    assert count_jobs(fresh) == 0
    sweep.start(skip_invalid=True).wait()
    assert len(sweep.done) == 1
    with pytest.raises(ComfyKitError, match="did you mean"):
        fresh.sweep(picture(), over={"widht": [1]})
    with pytest.raises(ComfyKitError, match="is an axis and a value"):
        fresh.sweep(picture(), width=8, over={"width": [1]})


def test_large_sweeps_have_to_be_confirmed(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), over={"width": range(1, 51), "color": range(50)})
    with pytest.raises(ComfyKitError, match=r"2,500 points.*sure=True"):
        sweep.start()


def test_at_most_two_are_in_the_queue(fresh: ComfyKit, gate: tuple[str, Gate]) -> None:
    sweep = fresh.sweep(gated(gate[0]), over={"width": range(8, 14)}).start()
    gate[1].wait()
    time.sleep(0.2)
    assert len(fresh.queue()) == 2
    sweep.pause()
    gate[1].open()
    sweep.wait()
    assert 2 <= len(sweep.done) < 6
    assert "paused" in repr(sweep)
    sweep.start().wait()
    assert count_jobs(fresh) == 6


def test_stopping_at_once_cancels_only_ours(fresh: ComfyKit, gate: tuple[str, Gate]) -> None:
    sweep = fresh.sweep(gated(gate[0]), over={"width": range(8, 12)}).start()
    gate[1].wait()
    other = fresh.submit(picture())
    sweep.stop(now=True)
    sweep.wait()
    gate[1].open()
    assert other.result().status == "completed"
    assert sweep.states.count("completed") == 0
    assert fresh.sweep(gated(gate[0]), over={"width": range(8, 12)}).plan.count("send") == 4


def test_a_paused_sweep_that_is_started_at_once_continues(fresh: ComfyKit, gate: tuple[str, Gate]) -> None:
    sweep = fresh.sweep(gated(gate[0]), over={"width": range(8, 14)}).start()
    gate[1].wait()
    sweep.pause()
    sweep.start()
    gate[1].open()
    assert len(sweep.wait().done) == 6
    assert not sweep.paused


def test_a_sweep_that_is_started_while_its_last_files_are_kept_continues(
    fresh: ComfyKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept, started = LedgerRecorder.wait_until_all_are_kept, threading.Event()

    async def keep_slowly(recorder: LedgerRecorder) -> None:
        await kept(recorder)
        await asyncio.to_thread(started.wait, 20)

    sweep = fresh.sweep(gated(gate[0]), over={"width": range(8, 14)}).start()
    gate[1].wait()
    monkeypatch.setattr(LedgerRecorder, "wait_until_all_are_kept", keep_slowly)
    sweep.pause()
    gate[1].open()
    while "running" in sweep.states or not sweep.done:
        time.sleep(0.01)
    assert sweep.running
    sweep.start()
    started.set()
    assert len(sweep.wait().done) == 6


@pytest.mark.parametrize("written", [True, False], ids=["after its line", "before its line"])
def test_a_point_cancelled_while_it_is_noted_is_sent_again(
    written: bool, fresh: ComfyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The thread that notes it can't be stopped. Its line without an end would be that of a job to follow."""
    noting, resume, noted = threading.Event(), threading.Event(), threading.Event()
    append = LedgerRecorder._append_sent

    def append_slowly(self: LedgerRecorder, *given: Any) -> None:
        if written:
            append(self, *given)
        noting.set()
        assert resume.wait(20)
        if not written:
            append(self, *given)
        noted.set()

    monkeypatch.setattr(LedgerRecorder, "_append_sent", append_slowly)
    sweep = fresh.sweep(picture(), over={"width": [8]}).start()
    assert noting.wait(20)
    sweep.stop(now=True)
    sweep.wait()
    resume.set()
    assert noted.wait(20)
    assert sweep.states == ["cancelled"]
    assert fresh.sweep(picture(), over={"width": [8]}).plan.count("send") == 1
    assert count_jobs(fresh) == 0


def test_the_first_failure_pauses_and_retry_runs_it_again(fresh: ComfyKit) -> None:
    sweep = fresh.sweep(failing(), over={"width": range(8, 13)}).wait()
    assert "the first point failed" in sweep.paused
    assert 1 <= len(sweep.failed) <= 3
    assert "The bomb" in sweep.failed[0].error
    failed = len(sweep.failed)
    again = fresh.sweep(failing(), over={"width": range(8, 13)})
    assert again.plan.count("failed") == failed
    again.retry().wait()
    assert count_jobs(fresh) > failed


def test_a_killed_kernel_loses_nothing_and_runs_nothing_twice(fresh: ComfyKit, tmp_path: Path) -> None:
    code = f"""
from comfykit_jupyter import ComfyKit
from tests.client.workflows import picture
kit = ComfyKit({fresh.comfyui_url!r}, runs={str(fresh.runs.folder)!r})
for row in kit.sweep(picture(), over={{"width": range(8, 48)}}).as_completed():
    print(row.id, flush=True)
"""
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    for _ in range(2):
        script = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment, cwd=tmp_path)
        assert script.stdout is not None
        for _ in range(8):
            script.stdout.readline()
        script.send_signal(signal.SIGKILL)
        script.wait()
        script.stdout.close()
    sweep = fresh.sweep(picture(), over={"width": range(8, 48)})
    assert sweep.plan.count("have", "attach", "fetch") >= 8
    sweep.wait()
    assert len(sweep.done) == 40
    assert count_jobs(fresh) == 40


def test_lost_originals_are_fetched_or_made_again(fresh: ComfyKit) -> None:
    sweep = fresh.sweep(picture(), over={"width": [8, 16]}).wait()
    for path in [*fresh.runs.folder.rglob("*.png"), *fresh.runs.folder.rglob("*.webp")]:
        path.unlink()
    assert sweep.done[0].status == "lost"
    again = fresh.sweep(picture(), over={"width": [8, 16]})
    assert "2 lost" in str(again.plan)
    assert len(again.wait().done) == 2
    assert again.at(width=8).image.pil().size == (8, 16)


def test_rows_are_picked_scored_and_exported(kit: ComfyKit, tmp_path: Path) -> None:
    sweep = kit.sweep(picture(), over={"width": [8, 16], "color": [0, 255]}).wait()
    sweep.pick(0, 3)
    assert [row.params["width"] for row in sweep.picked] == [8, 16]
    best = sweep.score(lambda row: row.params["width"] + row.params["color"])
    assert best[0].params == {"width": 16, "height": 16, "color": 255}
    assert {path.name for path in sweep.export(tmp_path, "{width}-{color}")} == {
        "8-0.png", "8-255.png", "16-0.png", "16-255.png",
    }  # fmt: skip
    frame = sweep.df
    assert frame.index.names == ["width", "color"]
    assert frame.loc[(16, 255), "score"] == 271
    with pytest.raises(ComfyKitError, match="2 points have width=8"):
        sweep.at(width=8)
    with pytest.raises(ComfyKitError, match="did you mean width"):
        sweep.at(widht=8)


def test_a_wrong_score_names_its_row(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), over={"width": [8]}).wait()
    with pytest.raises(ComfyKitError, match=r"<Row .* completed .*>: score must be a number, not 'x'"):
        sweep.score(lambda row: "x")  # type: ignore[arg-type, return-value]


def test_pausing_what_does_not_run_changes_nothing(kit: ComfyKit) -> None:
    sweep = kit.sweep(picture(), over={"width": [8]})
    sweep.pause()
    sweep.wait()
    sweep.stop()
    assert (sweep.paused, sweep.summary) == ("", "1 of 1 done")


def test_a_forgotten_point_leaves_the_others(kit: ComfyKit, tmp_path: Path) -> None:
    sweep = kit.sweep(picture(), height=11, over={"width": [8, 9]}).wait()
    kit.runs.forget(sweep[0])
    assert "forgotten" in sweep._repr_mimebundle_()["text/html"]
    assert (len(sweep.done), len(sweep.score(lambda row: 1)), len(sweep.export(tmp_path))) == (1, 1, 1)
    sweep.bundle(tmp_path / "fox.zip")
    sweep.sheet(tmp_path / "sheet.png")
    assert kit.sweep(picture(), height=11, over={"width": [8, 9]}).plan.count("send") == 1


def test_unknown_columns_of_a_table_are_refused_at_once(kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match="did you mean 'width'"):
        kit.sweep(picture(), over=[{"width": 8, "widht": 9}])
    with pytest.raises(ComfyKitError, match="width is an axis and a value"):
        kit.sweep(picture(), width=8, over=[{"width": 8}])


def test_a_table_is_a_sweep_and_results_are_inputs(kit: ComfyKit) -> None:
    from tests.client.workflows import inverted

    first = kit.sweep(picture(), over=[{"width": 8, "color": 0}, {"width": 16, "color": 255}]).wait()
    second = kit.sweep(inverted(), over={"image": [row.image for row in first.done]}).wait()
    assert [row.image.pil().size for row in second.done] == [(8, 16), (16, 16)]
    assert kit.sweep(inverted(), over={"image": [row.image for row in first.done]}).plan.count("have") == 2


def test_callbacks_get_rows_and_their_errors_stop_nothing(kit: ComfyKit, caplog: pytest.LogCaptureFixture) -> None:
    seen: list[Row] = []
    sweep = kit.sweep(picture(), over={"width": [8, 16]})
    sweep.on_done(seen.append)
    sweep.on_done(lambda row: 1 / 0)
    sweep.wait()
    deadline = time.monotonic() + 10
    while len(seen) < 2 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert {row.id for row in seen} == {row.id for row in sweep.done}
    assert "on_done failed: ZeroDivisionError" in caplog.text


def test_callbacks_share_one_thread(kit: ComfyKit) -> None:
    release = threading.Event()
    seen: list[tuple[int, Row]] = []
    sweep = kit.sweep(picture(), over={"width": [8, 16, 24]})

    def block(row: Row) -> None:
        release.wait(20)
        seen.append((threading.get_ident(), row))

    sweep.wait()
    before = {*threading.enumerate()}
    calls = RowCallbacks()
    calls.add(block)
    for row in sweep.done:
        calls.call(row)
    assert [each.name for each in threading.enumerate() if each not in before].count("comfykit-on-done") == 1
    release.set()
    deadline = time.monotonic() + 10
    while len(seen) < 3 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert [row for _, row in seen] == list(sweep.done)
    assert len({thread for thread, _ in seen}) == 1


async def test_a_sweep_can_be_awaited(kit: ComfyKit) -> None:
    sweep = await kit.sweep(picture(), over={"width": [8, 16]})
    assert len(sweep.done) == 2


def test_equal_points_are_run_once(fresh: ComfyKit) -> None:
    sweep = fresh.sweep(picture(), over=[{"width": 8}, {"width": 8}, {"width": 9}]).wait()
    assert [sweep[0].id == sweep[1].id, sweep[1].id == sweep[2].id] == [True, False]
    assert count_jobs(fresh) == 2


def test_a_journal_that_can_not_be_written_pauses_before_sending(
    fresh: ComfyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = fresh.sweep(picture(), over={"width": [8, 16, 24]})
    append = sweep._ledger.journal.append

    def refuse(event: Any, **more: Any) -> None:
        if event["event"] == "sent":
            raise OSError(28, "No space left on device")
        append(event, **more)

    monkeypatch.setattr(sweep._ledger.journal, "append", refuse)
    sweep.wait()
    assert "No space left on device (nothing was sent)" in sweep.paused
    assert count_jobs(fresh) == 0
    monkeypatch.undo()
    assert len(sweep.start().wait().done) == 3


def test_a_server_that_comes_back_goes_on(make_kit: MakeKit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykit_jupyter.explore.sweeps.crew.RETRY_INTERVAL", 0.05)
    with Sandbox() as server:
        port = int(server.url.rpartition(":")[2])
        kit = make_kit(server.url, patience=0.5)
        sweep = kit.sweep(picture(), over={"width": range(8, 12)})
    sweep.start()
    deadline = time.monotonic() + 20
    while "waiting: " not in sweep.summary and time.monotonic() < deadline:
        time.sleep(0.02)
    assert "waiting: " in sweep.summary
    with Sandbox(port=port) as server:
        sweep.wait(timeout=30)
        assert len(sweep.done) == 4
    wait_until_kept(kit)
