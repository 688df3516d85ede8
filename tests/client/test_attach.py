"""A run is found again by its prompt_id: waiting, running, ended, or gone."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ComfyKitError, RunFailed
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.sandbox import Sandbox

from . import workflows
from .conftest import Jobs, MakeKit
from .nodes import Gate
from .proxy import Proxy

ROOT = Path(__file__).parents[2]


def wait_for(run: Run, status: str) -> None:
    met = threading.Event()
    stop = run.subscribe(progress=lambda progress: met.set() if progress.status == status else None)
    assert met.wait(20)
    stop()


def test_a_run_that_has_ended_gives_its_result_again(kit: ComfyKit, make_kit: MakeKit) -> None:
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


def test_the_seeds_of_a_recorded_run_are_those_that_were_drawn(kit: ComfyKit, make_kit: MakeKit) -> None:
    graph = workflows.picture()
    graph["1"]["_meta"]["title"] = "$seed.color"
    first = kit.run(graph, seed="random")
    again = make_kit().attach(str(first.prompt_id)).result()
    assert again.seeds == first.seeds
    assert again.params == first.params


def test_a_failed_run_fails_again_with_what_it_made(kit: ComfyKit, make_kit: MakeKit) -> None:
    with pytest.raises(RunFailed) as first:
        kit.run(workflows.failing())
    with pytest.raises(RunFailed) as again:
        make_kit().attach(str(first.value.result.prompt_id)).result()
    assert str(again.value) == str(first.value)
    assert again.value.result.error == first.value.result.error
    assert again.value.result.images == first.value.result.images


def test_a_running_one_is_followed_to_its_end(kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, its = gate
    run = kit.submit(workflows.gated(name))
    its.wait()
    found = make_kit().attach(run.prompt_id)
    wait_for(found, "running")
    assert found.workflow is not None
    assert found.workflow.get_title("3") == "The gate"
    its.open()
    assert found.result().images == run.result().images


def test_a_waiting_one_knows_its_place_and_runs(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, its = gate
    jobs.post(workflows.gated(name))
    its.wait()
    waiting = jobs.post(workflows.picture())
    found = kit.attach(waiting)
    known = threading.Event()
    found.subscribe(progress=lambda progress: known.set() if progress.queue_position == 1 else None)
    assert known.wait(20)
    its.open()
    assert found.result().status == "completed"


def test_both_who_submitted_and_who_attached_hear_of_it(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, its = gate
    run = kit.submit(workflows.gated(name))
    its.wait()
    found = kit.attach(run.prompt_id)
    previews: list[Any] = []
    wait_for(found, "running")
    found.subscribe(preview=previews.append)
    its.open()
    assert found.result().images == run.result().images


@pytest.mark.parametrize("prompt_id", ["00000000-0000-4000-8000-000000000000", "../queue", "a b#1?x", "x\u2028"])
def test_one_that_the_server_does_not_know_is_gone(prompt_id: str, kit: ComfyKit) -> None:
    with pytest.raises(RunFailed, match="does not know the job") as caught:
        kit.attach(prompt_id).result()
    assert caught.value.result.error.kind == "gone"
    assert caught.value.result.prompt_id == prompt_id


def test_spaces_around_an_id_are_none_of_it(kit: ComfyKit) -> None:
    first = kit.run(workflows.text())
    assert kit.attach(f" {first.prompt_id}\n").result().texts == first.texts


@pytest.mark.parametrize("prompt_id", ["", " ", None, 5])
def test_what_is_no_prompt_id_is_refused_at_once(prompt_id: Any, kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match="prompt_id must be the ID of a job"):
        kit.attach(prompt_id)


async def test_who_stops_waiting_leaves_the_run_alone(
    kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, its = gate
    run = kit.submit(workflows.gated(name))
    await asyncio.to_thread(its.wait)
    found = make_kit().attach(run.prompt_id)

    async def wait() -> Any:
        return await found

    waiting = asyncio.ensure_future(wait())
    await asyncio.to_thread(wait_for, found, "running")
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    jobs.expect(run.prompt_id)
    its.open()
    assert (await found).images == (await run).images


def test_cancelling_it_stops_the_job(kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, its = gate
    run = kit.submit(workflows.gated(name))
    its.wait()
    found = make_kit().attach(run.prompt_id)
    found.cancel()
    for each, kind in ((found, "cancelled"), (run, "interrupted")):
        with pytest.raises(RunFailed) as caught:
            each.result()
        assert caught.value.result.error.kind == kind
    jobs.expect()


def test_a_fresh_process_finds_what_one_that_was_killed_began(
    sandbox: Sandbox, kit: ComfyKit, gate: tuple[str, Gate], tmp_path: Path
) -> None:
    name, its = gate
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
        its.wait()
        process.kill()
    found = kit.attach(prompt_id)
    wait_for(found, "running")
    its.open()
    result = found.result()
    assert (result.prompt_id, len(result.images)) == (prompt_id, 1)


def test_a_server_that_stays_away_is_given_up_in_the_end(make_kit: MakeKit) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    with pytest.raises(RunFailed) as caught:
        make_kit(f"http://127.0.0.1:{port}", patience=0).attach("some-run").result()
    assert caught.value.result.error.kind == "unreachable"
    assert caught.value.result.prompt_id == "some-run"


RECORDS: list[Any] = [{}, {"prompt": None}, {"prompt": [1, "x", {"1": 5}, None, []]}, {"prompt": {"a": 1}}]


@pytest.mark.parametrize("record", RECORDS)
def test_a_record_of_any_shape_does_no_harm(record: Any, proxy: Proxy, make_kit: MakeKit) -> None:
    entry = {"outputs": {"1": {"text": ["hello"]}}, "status": {"status_str": "success"}, **record}
    proxy.answer = lambda request: web.json_response({"odd": entry}) if request.path == "/history/odd" else None
    result = make_kit(proxy.url).attach("odd").result()
    assert (result.status, result.texts, result.prompt) == ("completed", ["hello"], {})
