"""Test attaching to a queued, running, finished or deleted job by its prompt ID."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ComfyKitError, Progress, RunFailed
from comfykit_jupyter.client.backends.comfyui import follow
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy

ROOT = Path(__file__).parents[2]


def wait_for(run: Run, status: str) -> None:
    met = threading.Event()
    stop = run.subscribe(progress=lambda progress: met.set() if progress.status == status else None)
    assert met.wait(20)
    stop()


def test_finished_run_gives_its_result_again(kit: ComfyKit, make_kit: MakeKit) -> None:
    first = kit.run(workflows.picture(), color=4711)
    again = make_kit().attach(str(first.prompt_id)).result()
    assert again.status == "completed"
    assert again.images == first.images
    assert again.images_by_var == first.images_by_var
    assert again.prompt == first.prompt
    assert again.params == first.params
    assert (again.prompt_id, again.server, again.server_version) == (
        first.prompt_id,
        first.server,
        first.server_version,
    )
    assert again.duration is not None
    assert again.image.pil().size == (32, 16)


def test_attached_run_has_the_name_of_its_workflow(kit: ComfyKit, make_kit: MakeKit, tmp_path: Path) -> None:
    file = tmp_path / "portrait.json"
    file.write_text(json.dumps(workflows.picture()))
    first = kit.run(file)
    again = make_kit().attach(str(first.prompt_id)).result()
    assert again.workflow_name == first.workflow_name == "portrait"


@pytest.mark.parametrize(
    "extra", [None, {}, {"comfykit_workflow": 7}, {"comfykit_workflow": "a\nb\x1b[31m" + "x" * 999}]
)
def test_name_of_a_job_from_elsewhere_is_one_line(extra: Any, kit: ComfyKit, jobs: Jobs) -> None:
    prompt_id = jobs.post(workflows.picture(), extra)
    name = kit.attach(prompt_id).result().workflow_name
    assert name.isprintable()
    assert len(name) <= 200


@pytest.mark.parametrize("treatment", ["dead", "silent"])
def test_attach_to_a_server_that_is_away_says_so_at_once(
    treatment: str, make_kit: MakeKit, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "SLOW", 0.05)
    with socket.create_server(("127.0.0.1", 0)) as mute:  # it accepts connections, and never answers
        url = "http://127.0.0.1:1" if treatment == "dead" else f"http://127.0.0.1:{mute.getsockname()[1]}"
        lines: list[str] = []
        noted = threading.Event()

        def note(progress: Progress) -> None:
            lines.append(str(progress))
            if progress.gives_up_in is not None:
                noted.set()

        run = make_kit(url, patience=0.3).attach("some-job")
        run.subscribe(progress=note)
        assert noted.wait(20)
        assert "the server does not answer, trying for 0 s more" in lines[-1]
        assert caplog.messages == [f"{url} does not answer: trying to attach to some-job for 0 s"]
        with pytest.raises(RunFailed, match="given up"):
            run.result(20)
    assert len(caplog.messages) == 1


def test_attach_waits_for_a_server_that_comes_back(proxy: Proxy, kit: ComfyKit, make_kit: MakeKit) -> None:
    first = kit.run(workflows.picture())
    away = threading.Event()
    proxy.answer = lambda _: web.Response(status=502)
    run = make_kit(proxy.url).attach(str(first.prompt_id))
    run.subscribe(progress=lambda progress: away.set() if progress.gives_up_in is not None else None)
    assert away.wait(20)
    proxy.answer = lambda _: None
    assert run.result(20).image.name == first.image.name
    assert run.progress.gives_up_in is None


def test_run_and_attached_run_have_the_same_times(
    either: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    blocking = make_kit().submit(workflows.gated(name))
    node_gate.wait()
    run = either._prepare(workflows.picture(), {}, listen=either.executor_type == "websocket").start()
    jobs.expect(blocking.prompt_id, run.prompt_id)
    attached = make_kit().attach(run.prompt_id)
    time.sleep(0.3)  # it waits at least as long
    node_gate.open()
    results = [blocking.result(), run.result(), attached.result(), make_kit().attach(run.prompt_id).result()]
    times = [(result.seconds, result.waited) for result in results]
    assert all(seconds is not None and waited is not None and waited > 0.29 for seconds, waited in times[1:])
    assert times[2] == times[3]


def test_seeds_of_a_finished_run_are_found(kit: ComfyKit, make_kit: MakeKit) -> None:
    graph = workflows.picture()
    graph["1"]["_meta"]["title"] = "$seed.color"
    first = kit.run(graph, seed="random")
    again = make_kit().attach(str(first.prompt_id)).result()
    assert again.seeds == first.seeds
    assert again.params == first.params


def test_failed_run_fails_again_with_its_outputs(kit: ComfyKit, make_kit: MakeKit) -> None:
    with pytest.raises(RunFailed) as first:
        kit.run(workflows.failing())
    with pytest.raises(RunFailed) as again:
        make_kit().attach(str(first.value.result.prompt_id)).result()
    assert str(again.value) == str(first.value)
    assert again.value.result.error == first.value.result.error
    assert again.value.result.images == first.value.result.images


def test_running_job_is_followed_to_its_end(kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    node_gate.wait()
    found = make_kit().attach(run.prompt_id)
    wait_for(found, "running")
    assert found.workflow is not None
    assert found.workflow.get_title("3") == "The gate"
    node_gate.open()
    assert found.result().images == run.result().images


def test_queued_job_knows_its_position_and_runs(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, node_gate = gate
    jobs.post(workflows.gated(name))
    node_gate.wait()
    waiting = jobs.post(workflows.picture())
    found = kit.attach(waiting)
    known = threading.Event()
    found.subscribe(progress=lambda progress: known.set() if progress.queue_position == 1 else None)
    assert known.wait(20)
    node_gate.open()
    assert found.result().status == "completed"


def test_submitted_and_attached_runs_both_receive_events(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    node_gate.wait()
    found = kit.attach(run.prompt_id)
    previews: list[Any] = []
    wait_for(found, "running")
    found.subscribe(preview=previews.append)
    node_gate.open()
    assert found.result().images == run.result().images


def test_job_that_is_still_being_sent_is_waited_for(proxy: Proxy, make_kit: MakeKit) -> None:
    held = proxy.held["/object_info/EmptyImage"] = threading.Event()
    run = make_kit(proxy.url).submit(workflows.picture())
    found = make_kit(proxy.url).attach(run.prompt_id)
    with pytest.raises(TimeoutError, match="not sent yet"):
        found.result(0.3)
    held.set()
    assert found.result(20).images == run.result(20).images


def test_job_that_was_sent_after_a_look_at_the_queue_is_found(
    proxy: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "WATCH_QUEUE", 30.0)  # runs share what was read for so long
    name, node_gate = gate
    kit = make_kit(proxy.url)
    busy = kit.submit(workflows.gated(name))
    node_gate.wait()
    held = proxy.held["/object_info/PrimitiveString"] = threading.Event()
    run = kit.submit(workflows.text())
    found = kit.attach(run.prompt_id)
    looking = kit.attach(busy.prompt_id)
    wait_for(looking, "running")  # it has looked
    held.set()
    with pytest.raises(TimeoutError):
        found.result(0.5)
    node_gate.open()
    assert found.result(20).text == "hello"
    assert busy.result(20).images == looking.result(20).images


def test_job_that_has_ended_before_the_reply_to_its_prompt_is_found(proxy: Proxy, make_kit: MakeKit) -> None:
    held = proxy.held["/prompt"] = threading.Event()
    run = make_kit(proxy.url).submit(workflows.picture())
    found = make_kit(proxy.url).attach(run.prompt_id)
    proxy.wait_for(lambda seen: seen.path == "/prompt")
    assert found.result(15).status == "completed"
    held.set()
    assert run.result(20).images == found.result().images


def test_cancelling_a_job_that_is_still_being_sent_cancels_its_run(proxy: Proxy, make_kit: MakeKit, jobs: Jobs) -> None:
    held = proxy.held["/object_info/EmptyImage"] = threading.Event()
    run = make_kit(proxy.url).submit(workflows.picture())
    found = make_kit(proxy.url).attach(run.prompt_id)
    found.cancel()
    held.set()
    for each in (run, found):
        with pytest.raises(RunFailed) as caught:
            each.result(20)
        assert caught.value.result.error.kind == "cancelled"
    assert proxy.requests("POST", "/prompt") == []
    assert jobs.queue() == []


def test_job_that_could_not_be_sent_is_gone(proxy: Proxy, make_kit: MakeKit) -> None:
    held = proxy.held["/object_info/EmptyImage"] = threading.Event()
    run = make_kit(proxy.url).submit(workflows.picture(), width="wide")
    found = make_kit(proxy.url).attach(run.prompt_id)
    held.set()
    with pytest.raises(RunFailed, match="it was never submitted here") as caught:
        found.result(20)
    assert caught.value.result.error.kind == "gone"


@pytest.mark.parametrize("prompt_id", ["00000000-0000-4000-8000-000000000000", "../queue", "a b#1?x", "x\u2028"])
def test_unknown_job_is_gone(prompt_id: str, kit: ComfyKit) -> None:
    with pytest.raises(RunFailed, match="does not know the job") as caught:
        kit.attach(prompt_id).result()
    assert caught.value.result.error.kind == "gone"
    assert caught.value.result.prompt_id == prompt_id


def test_spaces_around_an_id_are_ignored(kit: ComfyKit) -> None:
    first = kit.run(workflows.text())
    assert kit.attach(f" {first.prompt_id}\n").result().texts == first.texts


@pytest.mark.parametrize("prompt_id", ["", " ", None, 5.0, True])
def test_invalid_prompt_id_is_rejected(prompt_id: Any, kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match="prompt_id must be the ID of a job"):
        kit.attach(prompt_id)


async def test_cancelled_wait_does_not_cancel_the_job(
    kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    await asyncio.to_thread(node_gate.wait)
    found = make_kit().attach(run.prompt_id)

    async def wait() -> Any:
        return await found

    waiting = asyncio.ensure_future(wait())
    await asyncio.to_thread(wait_for, found, "running")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    jobs.expect(run.prompt_id)
    node_gate.open()
    assert (await found).images == (await run).images


def test_cancel_stops_the_job(kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    node_gate.wait()
    found = make_kit().attach(run.prompt_id)
    found.cancel()
    for each, kind in ((found, "cancelled"), (run, "interrupted")):
        with pytest.raises(RunFailed) as caught:
            each.result()
        assert caught.value.result.error.kind == kind
    jobs.expect()


def test_new_process_attaches_to_the_job_of_a_killed_one(
    sandbox: Sandbox, kit: ComfyKit, gate: tuple[str, Gate], tmp_path: Path
) -> None:
    name, node_gate = gate
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(workflows.gated(name)))
    script = f"""
from comfykit_jupyter import ComfyKit
run = ComfyKit({sandbox.url!r}).submit({str(path)!r})
print(run.prompt_id, flush=True)
run.result()
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        prompt_id = process.stdout.readline().strip()
        node_gate.wait()
        process.kill()
    found = kit.attach(prompt_id)
    wait_for(found, "running")
    node_gate.open()
    result = found.result()
    assert (result.prompt_id, len(result.images)) == (prompt_id, 1)


def test_unreachable_server_is_given_up(make_kit: MakeKit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RunFailed) as caught:
        make_kit(f"http://127.0.0.1:{port}", patience=0).attach("some-run").result()
    assert caught.value.result.error.kind == "unreachable"
    assert caught.value.result.prompt_id == "some-run"


RECORDS: list[Any] = [{}, {"prompt": None}, {"prompt": [1, "x", {"1": 5}, None, []]}, {"prompt": {"a": 1}}]


@pytest.mark.parametrize("record", RECORDS)
def test_malformed_record_is_accepted(record: Any, proxy: Proxy, make_kit: MakeKit) -> None:
    entry = {"outputs": {"1": {"text": ["hello"]}}, "status": {"status_str": "success"}, **record}
    proxy.answer = lambda request: web.json_response({"odd": entry}) if request.path == "/history/odd" else None
    result = make_kit(proxy.url).attach("odd").result()
    assert (result.status, result.texts, result.prompt) == ("completed", ["hello"], {})
