"""Test what sweeps do when something breaks: disks, journals, clocks, servers. What was sent is counted."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import shutil
import signal
import subprocess
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, seeds
from comfykit_jupyter.client.backends.comfyui import backend
from comfykit_jupyter.client.servers.pool import KitWorker
from comfykit_jupyter.explore.ledger import journal, ledger, recorder
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.sandbox import Sandbox
from tests.client.nodes import ATTEMPTS, Gate
from tests.client.proxy import Proxy
from tests.client.workflows import gated, picture
from tests.explore.dask_clusters import wait_until
from tests.kits import MakeKit

Mount = Callable[[str], Path]


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox() as server:
        yield server


@pytest.fixture
def proxy(server: Sandbox) -> Iterator[Proxy]:
    """A proxy that sees only the requests of its test."""
    with Proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def kit(make_kit: MakeKit, proxy: Proxy) -> ComfyKit:
    return make_kit(proxy.url)


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mount a small file system at a new folder, as only root can."""
    mounted: list[Path] = []

    def make(options: str) -> Path:
        path = tmp_path / "mounted"
        path.mkdir()
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(path)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("needs a file system of its own: root can mount one")
        mounted.append(path)
        return path

    yield make
    for path in mounted:
        subprocess.run(["umount", "-l", str(path)], check=True)


def moody(name: str) -> dict[str, Any]:
    return {"1": {"class_type": "TestMoody", "inputs": {"number": 0, "name": name}, "_meta": {"title": "$number"}}}


def forget_ledgers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the next kit read and write the folder as another process would."""
    monkeypatch.setattr(ledger, "_open", {})
    monkeypatch.setattr(recorder, "_by_folder", {})


def count_posts(proxy: Proxy) -> int:
    return len(proxy.requests("POST", "/prompt"))


def test_a_full_disk_pauses_before_sending(
    make_kit: MakeKit, proxy: Proxy, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mount("size=64k")
    kit = make_kit(proxy.url, runs=folder / "runs")
    sweep = kit.sweep(picture(), over={"width": [8, 9, 10]}).start()
    sweep.wait()
    assert len(sweep.done) == 3
    forget_ledgers(monkeypatch)
    more = kit.sweep(picture(), over={"width": [8, 9, 10, 11, 12]})
    filler = folder / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 512)
    sent = count_posts(proxy)
    with pytest.raises(ComfyKitError, match="nothing was sent"):
        more.start()
    assert count_posts(proxy) == sent
    result = kit.run(picture(), width=20)  # a single run continues
    assert [line for line in result.warnings if "this run is not kept" in line]
    filler.unlink()
    assert len(more.wait().done) == 5
    assert count_posts(proxy) == sent + 3


def test_a_folder_that_became_read_only_is_read_and_nothing_is_sent(
    make_kit: MakeKit, proxy: Proxy, mount: Mount, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mount("size=1m")
    kit = make_kit(proxy.url, runs=folder / "runs")
    kit.sweep(picture(), over={"width": [8]}).wait()
    kit.runs._ledger.journal.close()
    forget_ledgers(monkeypatch)
    subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
    sweep = kit.sweep(picture(), over={"width": [8, 9]})
    assert sweep.plan.count("have") == 1
    with pytest.raises(ComfyKitError, match=r"Read-only file system \(nothing was sent\)"):
        sweep.start()
    assert count_posts(proxy) == 1
    assert len(kit.runs) == 1


def test_a_newer_journal_is_read_as_far_as_it_is_understood(kit: ComfyKit, proxy: Proxy) -> None:
    kit.sweep(picture(), over={"width": [8]}).wait()
    newer = kit.runs.folder / "journal" / "20300101-newer-1-abcdef.jsonl"
    lines = [{"event": "journal", "format": 2, "pid": 0}, {"event": "hologram", "id": "x"}]
    newer.write_text("".join(json.dumps(line) + "\n" for line in lines) + "edited by hand\n")
    assert "2 lines of the journal were not understood" in repr(kit.runs)
    kit.runs.compact()
    assert "hologram" in newer.read_text()  # a newer version will need it
    assert kit.sweep(picture(), over={"width": [8]}).plan.count("have") == 1


def test_a_kernel_runs_nothing_that_another_one_has_run_meanwhile(
    make_kit: MakeKit, proxy: Proxy, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    over = {"width": range(8, 14)}
    first = make_kit(proxy.url).sweep(gated(gate[0]), over=over).start()
    gate[1].wait()
    forget_ledgers(monkeypatch)
    second = make_kit(proxy.url).sweep(gated(gate[0]), over=over)
    assert second.plan.count("send") >= 4
    gate[1].open()
    first.wait()
    second.wait()
    assert len(first.done) == len(second.done) == 6
    assert count_posts(proxy) == 6


def test_two_kernels_that_run_a_sweep_at_the_same_moment_share_its_points(
    make_kit: MakeKit, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each has drawn seeds of its own before the other one begins."""
    workflow = Path(__file__).parents[2] / "notebooks/workflows/text_to_image.json"
    values = {"width": 64, "height": 64}
    sweeps = []
    for _ in range(2):
        forget_ledgers(monkeypatch)
        sweeps.append(make_kit(proxy.url).sweep(workflow, values, over={"steps": [1, 2], "seed": seeds(4)}))
    drawn = [{point.labels["seed"] for point in sweep.points} for sweep in sweeps]
    assert not drawn[0] & drawn[1]
    for sweep in sweeps:
        sweep.start()
    for sweep in sweeps:
        assert len(sweep.wait().done) == 8
    assert count_posts(proxy) == 8


def test_a_clock_that_is_set_back_runs_nothing_twice(
    kit: ComfyKit, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    over = {"width": [8, 9]}
    kit.sweep(picture(), over=over).wait().restart().wait()
    assert count_posts(proxy) == 4
    for module in (journal, ledger):
        monkeypatch.setattr(module, "format_now", lambda: "2020-01-01T00:00:00.000000Z")
    assert kit.sweep(picture(), over=over).wait().restart().wait().states == ["completed"] * 2
    assert count_posts(proxy) == 6
    sweep = kit.sweep(picture(), over=over)
    assert sweep.plan.count("have") == 2
    for name in ("foxes", "cats"):
        monkeypatch.setattr(ledger, "format_now", lambda name=name: f"20{len(name) + 10}-01-01T00:00:00.000000Z")
        sweep.rename(name)
        assert kit.sweep(picture(), over=over).name == name
    kit.runs[-1].rating = 2
    kit.runs[-1].rating = 4
    assert kit.runs[-1].rating == 4


@pytest.mark.parametrize("fault", ["late", "never"])
def test_a_prompt_whose_answer_is_late_or_lost_is_not_sent_again(kit: ComfyKit, proxy: Proxy, fault: str) -> None:
    release = threading.Event()
    if fault == "late":
        proxy.held["/prompt"] = release
        threading.Timer(0.3, release.set).start()
    else:
        proxy.lost.add("/prompt")
    sweep = kit.sweep(picture(), over={"width": [8, 9, 10]}).wait(timeout=30)
    assert len(sweep.done) == 3
    assert count_posts(proxy) == 3


def test_an_emptied_history_runs_only_what_is_not_kept(make_kit: MakeKit) -> None:
    with Sandbox() as server, Proxy(server.url) as proxy:
        kit = make_kit(proxy.url)
        kit.sweep(picture(), over={"width": [8, 9]}).wait()
        kept = Ledger(kit.runs.folder)
        kept.append({"event": "sent", "id": str(uuid.uuid4()), "key": "x", "server": proxy.url})  # of another workflow
    with Sandbox() as server, Proxy(server.url) as proxy:
        again = make_kit(proxy.url).sweep(picture(), over={"width": [8, 9, 10]}).wait()
        assert len(again.done) == 3
        assert count_posts(proxy) == 1


def test_outputs_that_were_not_fetched_come_from_a_server_that_has_forgotten_the_job(
    kit: ComfyKit, proxy: Proxy, server: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("comfykit_jupyter.explore.ledger.recorder.LedgerRecorder._keep_output", _keep_nothing)
        kit.sweep(picture(), over={"width": [8, 9]}).wait()
    sent = count_posts(proxy)
    clear_history(server)
    again = kit.sweep(picture(), over={"width": [8, 9]})
    assert again.plan.count("fetch") == 2
    assert [row.image.pil().width for row in again.wait().done] == [8, 9]
    assert count_posts(proxy) == sent


async def _keep_nothing(*_: Any) -> str:
    return ""


def clear_history(server: Sandbox) -> None:
    import urllib.request

    body = json.dumps({"clear": True}).encode()
    urllib.request.urlopen(urllib.request.Request(f"{server.url}/history", body, method="POST")).close()


def test_what_is_gone_is_noted_and_sent_once_more(kit: ComfyKit, proxy: Proxy) -> None:
    sweep = kit.sweep(picture(), over={"width": [8]})
    Ledger(kit._get_runs_folder()).append(
        {"event": "sent", "id": str(uuid.uuid4()), "key": sweep._prepared.keys[0], "server": proxy.url}
    )
    sweep = kit.sweep(picture(), over={"width": [8]})
    assert sweep.plan.count("attach") == 1
    assert len(sweep.wait().done) == 1
    assert count_posts(proxy) == 1
    assert not kit.runs.unfinished()


def test_a_sweep_made_again_waits_for_the_id_that_a_server_gives_to_its_job(kit: ComfyKit, proxy: Proxy) -> None:
    proxy.chooses_ids = True
    kit.run(picture(), color=3)
    held = proxy.held["/prompt"] = threading.Event()
    sweep = kit.sweep(picture(), over={"width": [8]}).start()
    proxy.wait_for(lambda _: count_posts(proxy) == 2)
    again = kit.sweep(picture(), over={"width": [8]}).start()
    wait_until(lambda: (found := again.get_progress(0)) is not None and found.note == "not sent yet")
    held.set()
    assert again.wait(20).states == sweep.wait(20).states == ["completed"]
    assert count_posts(proxy) == 2


def test_three_equal_errors_pause(kit: ComfyKit, proxy: Proxy) -> None:
    sweep = kit.sweep(moody(uuid.uuid4().hex), over={"number": [1, 2, 11, 12, 13, 14, 15, 16, 17]}).wait()
    assert "3 points failed in the same way" in sweep.paused
    assert 3 <= len(sweep.failed) <= 4  # one was in the queue
    assert count_posts(proxy) <= 6
    assert sweep.states.count("waiting") >= 3


def test_a_point_out_of_memory_is_tried_once_more_alone(
    kit: ComfyKit, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = uuid.uuid4().hex
    calls: list[tuple[str, int]] = []  # what the server is asked for, and how many points run then
    active = 0
    run, free = KitWorker.run, KitWorker.free

    async def note_run(self: KitWorker, *arguments: Any) -> Any:
        nonlocal active
        calls.append(("run", active))
        active += 1
        try:
            return await run(self, *arguments)
        finally:
            active -= 1

    async def note_free(self: KitWorker) -> None:
        calls.append(("free", active))
        await free(self)

    monkeypatch.setattr(KitWorker, "run", note_run)
    monkeypatch.setattr(KitWorker, "free", note_free)
    monkeypatch.setattr(backend, "FREE_AGAIN", 0)
    sweep = kit.sweep(moody(name), over={"number": [1, -2, 3, 25, 4, 5, 6, 7]}).wait()
    assert [row.params["number"] for row in sweep.done] == [1, -2, 3, 4, 5, 6, 7]
    assert "smaller batch_size or size" in sweep.get_error(3)
    assert (ATTEMPTS[name].count(-2), ATTEMPTS[name].count(25)) == (2, 2)
    freed = [at for at, (what, _) in enumerate(calls) if what == "free"]
    assert (count_posts(proxy), len(freed)) == (10, 2)
    assert [[running for _, running in calls[first : first + 3]] for first in freed] == [[0, 0, 0]] * 2


def test_a_point_that_waits_to_run_alone_is_not_run_twice(
    kit: ComfyKit, proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backend, "FREE_AGAIN", 0)
    name = uuid.uuid4().hex
    held = proxy.held["/free"] = threading.Event()
    sweep = kit.sweep(moody(name), over={"number": [1, -2]}).start()
    proxy.wait_for(lambda seen: seen.path == "/free")
    sweep.rerun(1)
    held.set()
    assert sweep.wait(20).states == ["completed", "completed"]
    assert count_posts(proxy) == 3


def test_the_stop_button_pauses_and_lets_running_points_end(
    kit: ComfyKit, proxy: Proxy, gate: tuple[str, Gate], caplog: pytest.LogCaptureFixture
) -> None:
    sweep = kit.sweep(gated(gate[0]), over={"width": range(8, 14)}).start()
    gate[1].wait()
    threading.Timer(0.2, os.kill, (os.getpid(), signal.SIGINT)).start()
    with caplog.at_level(logging.WARNING), pytest.raises(KeyboardInterrupt):
        sweep.wait()
    assert "the sweep is paused" in caplog.text
    gate[1].open()
    deadline = time.monotonic() + 20
    while sweep.running and time.monotonic() < deadline:
        time.sleep(0.02)
    assert sweep.states.count("completed") == count_posts(proxy) <= 3
    assert not proxy.requests("POST", "/interrupt")
    assert len(sweep.start().wait().done) == 6
    assert count_posts(proxy) == 6


def test_stop_lets_running_points_end(kit: ComfyKit, proxy: Proxy, gate: tuple[str, Gate]) -> None:
    sweep = kit.sweep(gated(gate[0]), over={"width": range(8, 14)}).start()
    gate[1].wait()
    sweep.stop()
    gate[1].open()
    sweep.wait()
    assert sweep.states.count("completed") == count_posts(proxy) <= 3
    assert "stop() was called" in sweep.paused
