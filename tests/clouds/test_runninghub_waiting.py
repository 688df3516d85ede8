"""Cancelling, leaving and attaching to tasks, and the number that run at a time."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, RunFailed
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.running.run import Run
from tests.client import workflows
from tests.client.nodes import Gate
from tests.kits import MakeKit, end_time

from .api_client import WORKFLOW, ApiClient
from .conftest import wait_until_running
from .runninghub import Fate, Output, RunningHub, changes

ROOT = Path(__file__).parents[2]


@pytest.fixture
def task_gate(cloud: RunningHub, gate: tuple[str, Gate]) -> Gate:
    """Replace the workflow by one that waits at a gate; return the gate."""
    cloud.workflows[WORKFLOW] = workflows.gated(gate[0])
    return gate[1]


def wait_for_note(run: Run, words: str) -> None:
    """Wait until a run's progress has this note."""
    is_noted = threading.Event()
    stop = run.subscribe(progress=lambda progress: is_noted.set() if words in progress.note else None)
    assert is_noted.wait(20), run.progress
    stop()


# Cancelling


def test_a_run_can_be_cancelled(kit: ComfyKit, cloud: RunningHub, task_gate: Gate) -> None:
    run = kit.submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    run.cancel()
    result = run.result()
    assert (run.status, result.status, result.msg) == ("cancelled", "failed", "cancelled")
    assert result.prompt_id == cloud.task.id
    assert cloud.task.cancels == 1
    assert cloud.task.state == "CANCEL"


async def test_cancelling_the_awaiting_task_cancels_the_run(kit: ComfyKit, cloud: RunningHub, task_gate: Gate) -> None:
    waiting = asyncio.ensure_future(kit.execute(WORKFLOW))
    await asyncio.to_thread(wait_until_running, cloud, task_gate)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cloud.task.cancels == 1


def test_the_kits_timeout_cancels_the_task(make_kit: MakeKit, cloud: RunningHub, task_gate: Gate) -> None:
    run = make_kit(timeout=60, raise_on_error=False).submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    end_time(run)
    result = run.result()
    assert result.error is not None
    assert result.error.kind == "timeout"
    assert "it was cancelled" in str(result.msg)
    assert result.prompt_id == cloud.task.id
    assert cloud.task.cancels == 1


SCRIPT = """
import sys
from comfykit_jupyter import ComfyKit
try:
    ComfyKit().run(sys.argv[1])
except KeyboardInterrupt:
    print("interrupted", flush=True)
"""


def build_environment(cloud: RunningHub) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "RUNNINGHUB_BASE_URL": cloud.url,
        "RUNNINGHUB_API_KEY": cloud.key,
    }


def test_ctrl_c_in_a_script_cancels_the_run(cloud: RunningHub, task_gate: Gate) -> None:
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, WORKFLOW], env=build_environment(cloud), stdout=subprocess.PIPE, text=True
    )
    wait_until_running(cloud, task_gate)
    script.send_signal(signal.SIGINT)
    out, _ = script.communicate(timeout=20)
    assert out == "interrupted\n"
    assert cloud.task.cancels == 1


@pytest.mark.parametrize("code", [807, 423, 1004])
def test_cancelling_a_finished_task_is_not_an_error(
    code: int, kit: ComfyKit, cloud: RunningHub, task_gate: Gate
) -> None:
    run = kit.submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    cloud.answer("cancel", code)
    run.cancel()
    task_gate.open()
    assert run.result().status == "completed"


def test_a_failed_cancel_warns_that_the_task_may_continue(
    make_kit: MakeKit, cloud: RunningHub, task_gate: Gate
) -> None:
    cloud.answer("cancel", 802, times=None)
    run = make_kit(timeout=60, raise_on_error=False).submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    end_time(run)
    result = run.result()
    assert result.error is not None
    assert result.error.kind == "timeout"
    assert any("may still run" in line for line in result.warnings)
    assert result.prompt_id == cloud.task.id


# Leaving


@pytest.mark.parametrize("route", ["newer", "older"])
def test_after_the_clouds_timeout_a_task_can_be_attached(
    route: str, make_kit: MakeKit, cloud: RunningHub, task_gate: Gate
) -> None:
    if route == "older":
        cloud.answer("v2/query", 404, times=None)
    kit = make_kit(runninghub_timeout=1, raise_on_error=False)
    result = kit.run(WORKFLOW, width=48)
    assert result.error is not None
    assert result.error.kind == "timeout"
    assert result.prompt_id == cloud.task.id
    assert f"task {cloud.task.id} keeps running: kit.attach('{cloud.task.id}') finds it" in str(result.msg)
    assert "runninghub_timeout" in str(result.msg)
    assert cloud.task.cancels == 0
    run = make_kit(raise_on_error=False).attach(cloud.task.id)
    task_gate.open()
    assert run.result().image.pil().size == (48, 16)


def test_time_in_the_queue_does_not_count_as_runtime(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate(outputs=[Output("2", "a.png", b"png")]))
    cloud.answer("v2/query", changes.with_state("QUEUED"), times=80)
    kit = make_kit(runninghub_timeout=1)
    assert kit.run(WORKFLOW).status == "completed"
    assert len(cloud.find_requests("v2/query")) > 80


def test_a_timeout_of_none_means_no_limit(make_kit: MakeKit, cloud: RunningHub) -> None:
    assert make_kit(runninghub_timeout=0).run(WORKFLOW).status == "completed"


# Attaching


def test_another_kit_can_attach_to_a_task(kit: ComfyKit, make_kit: MakeKit, cloud: RunningHub, task_gate: Gate) -> None:
    first = kit.submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    second = make_kit().attach(cloud.task.id)
    task_gate.open()
    (one, two) = (first.result(), second.result())
    assert one.images == two.images
    assert two.prompt_id == one.prompt_id == second.prompt_id
    assert two.server == cloud.url
    assert one.image.read() == two.image.read()


def test_another_process_can_attach_to_a_task(kit: ComfyKit, cloud: RunningHub) -> None:
    result = kit.run(WORKFLOW, width=48)
    code = "from comfykit_jupyter import ComfyKit; print(ComfyKit().attach({!r}).result().image.pil().size)"
    done = subprocess.run(
        [sys.executable, "-c", code.format(result.prompt_id)],
        env=build_environment(cloud), capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert done.stdout == "(48, 16)\n", done.stderr


async def test_cancelling_the_wait_for_an_attached_task_keeps_it_running(
    kit: ComfyKit, cloud: RunningHub, task_gate: Gate
) -> None:
    run = kit.submit(WORKFLOW)
    await asyncio.to_thread(wait_until_running, cloud, task_gate)

    attached = kit.attach(cloud.task.id)

    async def wait() -> None:
        await attached

    waiting = asyncio.ensure_future(wait())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert cloud.task.cancels == 0
    task_gate.open()
    assert (await attached).status == (await run).status == "completed"


def test_an_attached_task_can_be_cancelled(kit: ComfyKit, cloud: RunningHub, ask: ApiClient, task_gate: Gate) -> None:
    task_id = ask.create()["data"]["taskId"]
    wait_until_running(cloud, task_gate)
    run = kit.attach(task_id)
    run.cancel()
    assert run.result().status == "failed"
    assert run.status == "cancelled"
    assert cloud.task.cancels == 1


def test_an_attached_task_that_was_cancelled_is_interrupted(
    kit: ComfyKit, cloud: RunningHub, ask: ApiClient, task_gate: Gate
) -> None:
    task_id = ask.create()["data"]["taskId"]
    wait_until_running(cloud, task_gate)
    ask("cancel", taskId=task_id)
    result = kit.attach(task_id).result()
    assert result.error is not None
    assert result.error.kind == "interrupted"


@pytest.mark.parametrize("name", ["", "  "])
def test_an_invalid_task_id_is_rejected(name: str, kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match="attach: prompt_id must be"):
        kit.attach(name)


def test_attach_without_a_key_is_an_error(make_kit: MakeKit, cloud: RunningHub) -> None:
    with pytest.raises(RunFailed, match="RUNNINGHUB_API_KEY"):
        make_kit(runninghub_api_key=None).attach("1904136902449209346").result()
    assert not cloud.requests


# Concurrency


def test_one_task_runs_at_a_time_across_kits(make_kit: MakeKit, cloud: RunningHub, task_gate: Gate) -> None:
    kits = [make_kit() for _ in range(3)]
    first = kits[0].submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    second = kits[1].submit(WORKFLOW, color=2)
    wait_for_note(second, "waiting for a free slot: 1 at a time (runninghub_concurrency)")
    third = kits[2].submit(WORKFLOW, color=3)
    wait_for_note(third, "waiting for a free slot")
    assert second.status == third.status == "queued"
    assert len(cloud.find_requests("create")) == 1
    task_gate.open()
    for run in (third, second, first):
        assert run.result().status == "completed"
    colors = [each.graph["1"]["inputs"]["color"] for each in cloud.tasks.values()]
    assert colors == [255, 2, 3]  # in the order of their submission
    assert len(cloud.find_requests("create")) == 3  # none was ever rejected


def test_many_runs_of_one_kit_keep_their_order(make_kit: MakeKit, cloud: RunningHub) -> None:
    kit = make_kit()
    runs = [kit.submit(WORKFLOW, color=number) for number in range(1, 6)]
    assert [run.result().status for run in runs] == ["completed"] * 5
    assert [task.graph["1"]["inputs"]["color"] for task in cloud.tasks.values()] == [1, 2, 3, 4, 5]
    assert len(cloud.find_requests("create")) == 5


def test_the_concurrency_can_be_raised(
    make_kit: MakeKit, cloud: RunningHub, task_gate: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.concurrency = 2
    monkeypatch.setenv("RUNNINGHUB_CONCURRENCY", "2")
    kit = make_kit()
    runs = [kit.submit(WORKFLOW, color=number) for number in (1, 2, 3)]
    cloud.wait_for(lambda: len(cloud.tasks) == 2)
    wait_for_note(runs[2], "waiting for a free slot: 2 at a time")
    task_gate.open()
    for run in runs:
        assert run.result().status == "completed"


def test_two_keys_do_not_wait_for_each_other(make_kit: MakeKit, cloud: RunningHub, task_gate: Gate) -> None:
    first = make_kit().submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    second = make_kit(runninghub_api_key="0" * 32, raise_on_error=False).run(WORKFLOW)
    assert "(code 802)" in str(second.msg)
    task_gate.open()
    assert first.result().status == "completed"


def test_a_waiting_run_can_be_cancelled_before_it_is_sent(
    make_kit: MakeKit, cloud: RunningHub, task_gate: Gate
) -> None:
    kit = make_kit(raise_on_error=False)
    first = kit.submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    second, third = kit.submit(WORKFLOW), kit.submit(WORKFLOW, color=3)
    wait_for_note(second, "waiting for a free slot")
    second.cancel()
    result = second.result()
    assert (second.status, result.prompt_id, result.warnings) == ("cancelled", None, [])
    task_gate.open()
    assert first.result().status == third.result().status == "completed"
    assert len(cloud.find_requests("create")) == 2
    assert not cloud.find_requests("cancel")


def test_a_slot_is_freed_however_a_run_ends(make_kit: MakeKit, cloud: RunningHub) -> None:
    kit = make_kit(raise_on_error=False)
    for answer in (433, 500, changes.failed_at_once, changes.without_data):
        cloud.answer("create", answer)
        assert kit.run(WORKFLOW).status == "failed"
        for task in cloud.tasks.values():
            task.end, task.polls = "FAILED", 99  # frees its slot in the account
    assert kit.run(WORKFLOW, width=-1).status == "failed"
    assert kit.run(WORKFLOW).status == "completed"


def test_a_run_waits_for_a_task_of_another_client(
    make_kit: MakeKit, cloud: RunningHub, ask: ApiClient, task_gate: Gate
) -> None:
    ask.create()
    wait_until_running(cloud, task_gate)
    run = make_kit().submit(WORKFLOW)
    wait_for_note(run, "the account already runs as many tasks as it may: trying again in")
    task_gate.open()
    ask.wait_for_end(cloud, cloud.task.id)
    assert run.result().status == "completed"


def test_a_task_of_another_client_can_be_attached(
    kit: ComfyKit, cloud: RunningHub, ask: ApiClient, task_gate: Gate
) -> None:
    task_gate.open()
    result = kit.attach(ask.create()["data"]["taskId"]).result()
    assert result.image.pil().size == (32, 16)
    assert result.images_by_var == {"2": result.images}  # the site does not say which workflow it ran


def test_closing_a_kit_keeps_its_tasks_running(make_kit: MakeKit, cloud: RunningHub, task_gate: Gate) -> None:
    kit = make_kit()
    run = kit.submit(WORKFLOW)
    wait_until_running(cloud, task_gate)
    cloud.wait_for(lambda: cloud.find_requests("v2/query"))
    loop.call(kit.find_backend(WORKFLOW).close())
    assert cloud.task.cancels == 0
    task_gate.open()
    assert run.result().status == "completed"
