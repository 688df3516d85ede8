"""Test the ways to run a workflow, and that all give the same result."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from PIL import Image

from comfykit_jupyter import ComfyKit, ExecuteResult, RunFailed, Workflow
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy

ROOT = Path(__file__).parents[2]

WORKFLOWS: dict[str, Callable[[], workflows.Graph]] = {
    "picture": workflows.picture,
    "text": workflows.text,
    "sound": workflows.sound,
    "clip": workflows.clip,
    "failing": workflows.failing,
    "nothing": lambda: workflows.showing({}),
    "odd": lambda: workflows.showing({"images": ["x", {"filename": "a.png"}], "text": [1, None]}, {"audio": {}}),
}


def normalize(result: ExecuteResult) -> dict[str, Any]:
    """Return a result without what differs between runs: IDs, times, counters in file names."""
    found = {field.name: getattr(result, field.name) for field in dataclasses.fields(result)}
    for name in ("prompt_id", "duration", "seconds", "waited", "node_times", "cached_nodes"):
        del found[name]
    found["media"] = [(media.kind, media.node, media.var, media.temp, media.mime) for media in result.media]
    if result.error is not None:
        found["error"] = dataclasses.asdict(result.error)
    return dict(json.loads(re.sub(r"_\d{5}_", "_N_", json.dumps(found))))


@pytest.mark.parametrize("name", WORKFLOWS)
async def test_all_ways_to_run_give_the_same_result(name: str, make_kit: MakeKit) -> None:
    graph = WORKFLOWS[name]()
    http, websocket = (make_kit(executor_type=kind, raise_on_error=False) for kind in ("http", "websocket"))
    by_http = await http.execute(graph)
    assert by_http.status == ("failed" if name == "failing" else "completed"), by_http.msg
    others = [
        await websocket.execute(graph),
        await websocket.execute_json(graph),
        await asyncio.to_thread(http.run, graph),
        await http.submit(graph),
        await asyncio.to_thread(websocket.submit(graph).result),
    ]
    for other in others:
        assert normalize(other) == normalize(by_http)


async def test_cached_run_gives_the_same_outputs(either: ComfyKit) -> None:
    graph = workflows.picture()
    first = await either.execute(graph, {"color": 0x010203})
    again = await either.execute(graph, {"color": 0x010203})
    assert again.images == first.images
    assert again.cached_nodes == ["1", "2"]


async def test_usage_example_of_comfykit_runs(sandbox: Sandbox, tmp_path: Path) -> None:
    path = tmp_path / "workflow.json"
    path.write_text(json.dumps(workflows.text()))
    async with ComfyKit(sandbox.url) as kit:
        result = await kit.execute(str(path), {"say": "a cute cat"})
    assert (result.status, result.texts, result.texts_by_var) == (
        "completed",
        ["a cute cat"],
        {"words": ["a cute cat"]},
    )
    assert result.duration is not None
    assert result.duration > 0
    assert result.outputs == {"2": {"text": ["a cute cat"]}}


async def test_workflow_can_be_a_path_url_dict_bytes_or_workflow(kit: ComfyKit, proxy: Proxy, tmp_path: Path) -> None:
    graph = workflows.text("from anywhere")
    path = tmp_path / "greeting.json"
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"prompt": graph}).encode())
    proxy.answer = lambda request: web.json_response(graph)
    sources: list[Any] = [path, str(path), f"{proxy.url}/some/greeting.json?token=1", graph, Workflow.parse(graph)]
    sources.append(json.dumps(graph).encode())
    for source in sources:
        result = await kit.execute(source)
        assert result.texts == ["from anywhere"], result.msg
    assert (await kit.execute(path)).workflow_name == "greeting"
    assert (await kit.execute(sources[2])).workflow_name == "greeting"


def test_wait_can_time_out_while_the_run_continues(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    node_gate.wait()
    with pytest.raises(TimeoutError, match=r"not done within 0.05 s, the run continues: The gate"):
        run.result(timeout=0.05)
    assert not run.done
    node_gate.open()
    assert run.result().status == run.status == "completed"


def test_values_can_be_keywords_a_dict_or_both(kit: ComfyKit) -> None:
    graph = workflows.picture()
    assert kit.run(graph, {"width": 8}, height=24).image.pil().size == (8, 24)
    graph["1"]["_meta"]["title"] = "$values.width, $workflow.height, $timeout.color"
    assert kit.run(graph, values=12, workflow=20, timeout=7).image.pil().getpixel((0, 0)) == (0, 0, 7)


def test_failed_run_raises_or_is_returned(kit: ComfyKit) -> None:
    with pytest.raises(RunFailed, match="The bomb: kaboom over 1 picture") as caught:
        kit.run(workflows.failing())
    assert caught.value.result.status == "failed"
    assert len(caught.value.result.images) == 1
    assert kit.options(raise_on_error=False).run(workflows.failing()).status == "failed"


async def test_runs_from_many_loops_and_threads_at_once(kit: ComfyKit) -> None:
    texts: list[str] = []

    def thread(number: int) -> None:
        texts.append(asyncio.run(kit.execute(workflows.text(f"{number}"))).texts[0])

    threads = [threading.Thread(target=thread, args=(number,)) for number in range(5)]
    for each in threads:
        each.start()
    here = await asyncio.gather(*(kit.execute(workflows.text(f"here {number}")) for number in range(5)))
    for each in threads:
        await asyncio.to_thread(each.join)
    assert sorted(texts) == ["0", "1", "2", "3", "4"]
    assert [result.texts[0] for result in here] == [f"here {number}" for number in range(5)]


def test_await_outside_of_asyncio_is_rejected_before_anything_begins(kit: ComfyKit, jobs: Jobs) -> None:
    before = kit.history(100)
    for awaited in (kit.execute(workflows.text()), kit.check(workflows.text())):
        with pytest.raises(RuntimeError, match="needs asyncio: in trio, call") as caught:
            awaited.send(None)  # as trio does
        assert caught.value.__suppress_context__
    assert jobs.queue() == []
    assert kit.history(100) == before


def test_callback_can_read_the_result_only_after_the_end(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(workflows.gated(name))
    received: list[Any] = []
    ended = threading.Event()

    def on_progress(_: Any) -> None:
        if not run.done and not received:
            for call in (run.result, run.cancel):
                with pytest.raises(RuntimeError):
                    call()
                received.append("refused")

    def on_done(_: Any) -> None:
        received.append(run.result())
        ended.set()

    run.subscribe(progress=on_progress, done=on_done)
    node_gate.open()
    assert ended.wait(20)
    assert received == ["refused", "refused", run.result()]


async def test_200_submissions_share_one_socket_and_a_limited_pool(proxy: Proxy, make_kit: MakeKit, jobs: Jobs) -> None:
    kit = make_kit(proxy.url)
    runs = [kit.submit(workflows.picture(), color=number) for number in range(200)]
    results = [await run for run in runs]
    assert len({result.prompt_id for result in results}) == 200
    assert [result.params["color"] for result in results] == list(range(200))
    assert proxy.sockets.opened == 1
    assert len(proxy.connections) <= 17
    assert len(proxy.requests("POST", "/prompt")) == 200
    assert len(proxy.requests("GET", "/object_info/EmptyImage")) == 1
    assert len(proxy.requests("GET", "/queue")) < 100
    jobs.expect()


def test_submissions_are_queued_in_order(kit: ComfyKit) -> None:
    runs = [kit.submit(workflows.picture(), color=number) for number in range(1000, 1030)]
    ids = [run.result().prompt_id for run in runs]
    history = httpx.get(f"{kit.comfyui_url}/history").json()
    numbers = [history[prompt_id]["prompt"][0] for prompt_id in ids]
    assert numbers == sorted(numbers)


def test_failed_submission_does_not_block_others(
    kit: ComfyKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.running.submission.TURN", 3600.0)
    wrong = kit.options(raise_on_error=False).submit(tmp_path / "missing.json")  # else it is not even started
    assert kit.submit(workflows.text()).result(20).status == "completed"
    assert "missing.json" in str(wrong.result().msg)


@pytest.mark.parametrize("end", ["fails", "is cancelled"])
def test_submission_that_ends_before_its_turn_lets_no_other_overtake(end: str, proxy: Proxy, make_kit: MakeKit) -> None:
    kit = make_kit(proxy.url, raise_on_error=False)
    held = proxy.held["/upload/image"] = threading.Event()
    first = kit.submit(workflows.inverted(), image=Image.frombytes("RGB", (4, 4), os.urandom(48)))
    proxy.wait_for(lambda seen: seen.path == "/upload/image")
    middle = kit.submit(workflows.picture(), width="wide" if end == "fails" else 16)
    if end == "is cancelled":
        middle.cancel()
    assert middle.result(20).status == "failed"
    last = kit.submit(workflows.text())
    with pytest.raises(TimeoutError):
        last.result(0.5)
    held.set()
    ids = [run.result(20).prompt_id for run in (first, last)]
    assert [json.loads(seen.body)["prompt_id"] for seen in proxy.requests("POST", "/prompt")] == ids


def test_workflow_can_be_changed_after_submission(kit: ComfyKit) -> None:
    graph = workflows.text()
    runs = []
    for number in range(20):
        graph["1"]["inputs"]["value"] = f"{number}"
        runs.append(kit.submit(graph))
    assert [run.result().text for run in runs] == [f"{number}" for number in range(20)]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_kit_works_in_a_forked_process(sandbox: Sandbox) -> None:
    script = f"""
import os
from comfykit_jupyter import ComfyKit
kit = ComfyKit({sandbox.url!r})
kit.run({workflows.text("parent")!r})
child = os.fork()
if not child:
    os._exit(0 if kit.run({workflows.text("child")!r}).text == "child" else 1)
assert os.waitpid(child, 0)[1] == 0
assert kit.run({workflows.text("parent again")!r}).text == "parent again"
"""
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", script]  # Python warns about fork with threads
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


async def test_closed_kit_can_be_used_again(kit: ComfyKit) -> None:
    await kit.close()
    assert (await kit.execute(workflows.text())).status == "completed"
    await kit.close()
    await kit.close()
    assert (await kit.submit(workflows.text())).status == "completed"


@pytest.mark.parametrize("path", ["/object_info/LoadImage", "/upload/image", "/prompt"])
async def test_run_that_is_being_sent_outlives_its_closed_kit(path: str, proxy: Proxy, make_kit: MakeKit) -> None:
    image = Image.frombytes("RGB", (2, 8), os.urandom(48))
    held = proxy.held[path] = threading.Event()
    async with make_kit(proxy.url) as kit:
        run = kit.submit(workflows.inverted(), image=image)
        await asyncio.to_thread(proxy.wait_for, lambda seen: seen.path == path)
    held.set()
    negative = (await run).image
    assert (await asyncio.to_thread(negative.pil)).size == image.size
    assert len(proxy.requests("POST", "/prompt")) == 1


async def test_result_has_the_prompt_and_server(either: ComfyKit) -> None:
    graph = workflows.picture()
    result = await either.execute(graph, {"width": 48})
    assert result.server == either.comfyui_url
    assert result.server_version == "0.33.0"
    assert result.params == {"width": 48, "height": 16, "color": 255}
    assert result.prompt["1"]["inputs"]["width"] == 48
    assert graph == workflows.picture()


def test_dir_of_a_run_has_what_is_for_users(kit: ComfyKit) -> None:
    run = kit.submit(workflows.picture())
    names = [name for name in dir(run) if not name.startswith("_")]
    wanted = ["cancel", "done", "id", "progress", "prompt_id", "result", "server", "status", "subscribe", "workflow"]
    assert names == wanted
    run.result()
    assert [name for name in dir(kit.attach(run.prompt_id)) if not name.startswith("_")] == wanted
