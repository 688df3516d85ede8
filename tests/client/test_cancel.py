"""Test that cancelling stops the job on the server, in every state and way, and no other job."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from queue import Queue
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, RunFailed, ServerError
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.running.cancel import cancel_runs
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import GATES, Gate
from .proxy import Proxy

ROOT = Path(__file__).parents[2]


def is_known(run: Run) -> bool:
    return run.progress.queue_position is not None


def wait_for(run: Run, condition: Any) -> None:
    """Wait until a run meets a condition."""
    met = threading.Event()
    stop = run.subscribe(progress=lambda _: met.set() if condition(run) else None)
    assert met.wait(20)
    stop()


def test_running_job_is_stopped(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    node_gate.wait()
    run.cancel()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert (run.status, caught.value.result.error.kind) == ("cancelled", "cancelled")
    assert str(caught.value) == "cancelled at The gate"
    jobs.expect()
    entry = jobs.history(run.prompt_id)
    assert entry is not None
    assert entry["status"]["status_str"] == "error"


def test_queued_job_is_removed_and_other_jobs_continue(
    kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    others = jobs.post(workflows.gated(name))
    node_gate.wait()
    mine = kit.submit(workflows.picture())
    wait_for(mine, is_known)
    after = jobs.post(workflows.picture(prefix="somebody else's"))
    mine.cancel()
    with pytest.raises(RunFailed, match="cancelled before it started"):
        mine.result()
    assert mine.status == "cancelled"
    jobs.expect(others, after)
    node_gate.open()
    make_kit().run(workflows.text("after all of them"))
    for prompt_id in (others, after):
        entry = jobs.history(prompt_id)
        assert entry is not None
        assert entry["status"]["status_str"] == "success"
    assert jobs.history(mine.prompt_id) is None


def test_runs_that_are_cancelled_together_share_their_requests(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    kit = make_kit(proxy.url)
    runs = [kit.submit(workflows.gated(name)) for _ in range(20)]
    others = jobs.post(workflows.picture(prefix="somebody else's"))
    node_gate.wait()
    for run in runs:
        wait_for(run, lambda run: is_known(run) or run.status == "running")
    waiting = [run.prompt_id for run in runs if run.status == "queued"]
    asked = len(proxy.requests("GET", "/queue"))
    cancel_runs(runs)
    (deletion,) = proxy.requests("POST", "/queue")
    assert json.loads(deletion.body) == {"delete": sorted(waiting)}
    assert len(proxy.requests("POST", "/interrupt")) == 1
    assert len(proxy.requests("GET", "/queue")) - asked < 10
    for run in runs:
        with pytest.raises(RunFailed):
            run.result()
        assert run.status == "cancelled"
    make_kit().run(workflows.text("after all of them"))
    entry = jobs.history(others)
    assert entry is not None
    assert entry["status"]["status_str"] == "success"


def test_interrupt_names_the_runs_that_continue(
    kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs, caplog: pytest.LogCaptureFixture
) -> None:
    first, *others = (kit.submit(workflows.gated(gate[0])) for _ in range(3))
    jobs.expect(*(run.prompt_id for run in (first, *others)))
    first.leave()
    names = ", ".join(run.prompt_id for run in others)
    assert caplog.messages == [f"2 other runs continue: {names} (run.cancel() or %comfykit cancel stops them)"]
    jobs.expect(*(run.prompt_id for run in others))
    caplog.clear()
    cancel_runs(others)


def test_many_waiting_runs_look_at_the_queue_less_often(kit: ComfyKit) -> None:
    poller = kit._get_backend(ComfyUI).poller
    assert poller._watch_queue == 0.5
    runs: list[Any] = poller._runs
    runs += [None] * 500
    assert poller._watch_queue == 15


def test_cancelling_a_finished_run_changes_nothing(kit: ComfyKit) -> None:
    run = kit.submit(workflows.text())
    result = run.result()
    run.cancel()
    assert run.result() is result
    assert run.status == "completed"


@pytest.mark.parametrize("path", ["/object_info/TestGate", "/prompt"])
def test_job_cancelled_before_submission_does_not_stay(
    path: str, proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    """The server responds slowly: it gets the prompt, if at all, after the user has cancelled."""
    reached, proceed = threading.Event(), threading.Event()

    def slow(request: web.Request) -> None:
        if request.path == path and not proceed.is_set():
            reached.set()
            proceed.wait(20)  # blocks the whole proxy

    proxy.answer = slow
    run = make_kit(proxy.url).submit(workflows.gated(gate[0]))
    assert reached.wait(20)
    canceller = threading.Thread(target=run.cancel)
    canceller.start()
    proceed.set()
    canceller.join()
    with pytest.raises(RunFailed):
        run.result()
    assert run.status == "cancelled"
    jobs.expect()
    assert len(proxy.requests("POST", "/prompt")) == (1 if path == "/prompt" else 0)


def test_job_is_stopped_before_the_reply_to_its_prompt(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    answer = proxy.held["/prompt"] = threading.Event()
    run = make_kit(proxy.url).submit(workflows.gated(name))
    node_gate.wait()
    run.cancel()
    jobs.expect()
    assert not answer.is_set()
    answer.set()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert caught.value.result.error.kind == "cancelled"
    jobs.expect()


async def test_cancelling_the_awaiting_task_stops_the_job(either: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, node_gate = gate
    task = asyncio.ensure_future(either.execute(workflows.gated(name)))
    await asyncio.to_thread(node_gate.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    jobs.expect()


async def test_cancelling_the_awaiting_task_removes_the_queued_job(
    either: ComfyKit, proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    before = jobs.post(workflows.gated(name))
    await asyncio.to_thread(node_gate.wait)
    kit = make_kit(proxy.url, executor_type=either.executor_type)
    task = asyncio.ensure_future(kit.execute(workflows.picture()))
    await asyncio.to_thread(proxy.wait_for, lambda seen: seen.path.startswith(("/queue", "/history")))
    assert len(jobs.queue()) == 2
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    jobs.expect(before)


async def test_timeout_around_the_call_cancels_the_job(either: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    with pytest.raises(asyncio.TimeoutError):
        await asyncio.wait_for(either.execute(workflows.gated(gate[0])), 0.3)
    jobs.expect()


async def test_cancelling_at_any_moment_leaves_nothing_behind(kit: ComfyKit, jobs: Jobs) -> None:
    for turns in range(0, 60, 3):
        task = asyncio.ensure_future(kit.execute(workflows.picture(), {"color": turns}))
        for _ in range(turns):
            await asyncio.sleep(0.0005)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            assert (await task).status == "completed"
        jobs.expect()


def test_subscriber_receives_the_end_of_a_run_that_never_started(kit: ComfyKit) -> None:
    for _ in range(20):
        ends: Queue[str] = Queue()
        run = kit.submit(workflows.picture())
        run.subscribe(done=lambda result, ends=ends: ends.put(result.status))  # type: ignore[misc]
        run.cancel()
        assert ends.get(timeout=20) in ("failed", "completed")
        assert run.done
        assert ends.empty()


async def test_second_cancel_does_not_disturb_the_first(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    await asyncio.to_thread(node_gate.wait)
    tasks = [asyncio.ensure_future(run.wait_for_result()) for _ in range(3)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert run.status == "cancelled"
    jobs.expect()
    assert (await run.wait_for_result()).status == "failed"


def test_failed_cancel_request_raises(proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = make_kit(proxy.url).submit(workflows.gated(name))
    node_gate.wait()
    proxy.answer = lambda request: web.Response(status=503) if request.path in ("/queue", "/interrupt") else None
    with pytest.raises(ServerError, match="503"):
        run.cancel()
    proxy.answer = lambda request: None
    run.cancel()
    with pytest.raises(RunFailed):
        run.result()


SCRIPT = """
import asyncio, json, sys
from comfykit_jupyter import ComfyKit
kit = ComfyKit()
graph = json.loads(sys.argv[2])
try:
    if sys.argv[1] == "run":
        kit.run(graph)
    elif sys.argv[1] == "result":
        kit.submit(graph).result()
    else:
        asyncio.run(kit.execute(graph))
except KeyboardInterrupt:
    print("left", flush=True)
    sys.exit(130)
"""


@pytest.mark.skipif(os.name == "nt", reason="Ctrl-C can't be sent to one process on Windows")
@pytest.mark.parametrize("how", ["run", "result", "execute"])
@pytest.mark.parametrize("executor", ["http", "websocket"])
def test_ctrl_c_in_a_script_cancels_the_job(
    how: str, executor: str, sandbox: Sandbox, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    environment = os.environ | {
        "COMFYUI_BASE_URL": sandbox.url,
        "COMFYUI_EXECUTOR_TYPE": executor,
        "PYTHONPATH": str(ROOT),
    }
    script = subprocess.Popen(
        [sys.executable, "-c", SCRIPT, how, json.dumps(workflows.gated(name))],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    node_gate.wait()
    script.send_signal(signal.SIGINT)
    out, err = script.communicate(timeout=20)
    assert (script.returncode, out, err) == (130, "left\n", "")
    jobs.expect()
    assert not GATES[name].opened.is_set()
