"""Test that a call in a cell finds the job that an earlier kernel sent for it, and no other one."""

from __future__ import annotations

import io
import json
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from aiohttp import web
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, ServerError
from comfykit_jupyter.client import senders
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.local_files import get_local_folder
from comfykit_jupyter.client.running import earlier
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import PATIENCE, Gate
from .notebook import Notebook
from .proxy import Proxy

Graph = dict[str, Any]
MODEL = "procedural-dreams (no diffusion model).safetensors"


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Notebook:
    return Notebook(monkeypatch)


@pytest.fixture
def graph(gate: tuple[str, Gate]) -> Graph:
    """A workflow that waits, with a seed, a text and a file as parameters."""
    graph = workflows.gated(gate[0])
    graph["1"]["_meta"]["title"] = "Canvas, $width, $color.color"
    return graph


def post(sandbox: Sandbox, graph: Graph, extra: Any, id: str = "") -> str:  # noqa: A002 - as in Run
    """Post a job as another client would, with anything as its `extra_data`."""
    body = {"prompt": graph, "extra_data": extra, **({"prompt_id": id} if id else {})}
    answer = httpx.post(f"{sandbox.url}/prompt", json=body).raise_for_status().json()
    return str(answer["prompt_id"])


def read_extra(sandbox: Sandbox, prompt_id: str) -> Any:
    queue = httpx.get(f"{sandbox.url}/queue").json()
    return next(item[3] for part in queue.values() for item in part if item[1] == prompt_id)


def read_sender(sandbox: Sandbox, prompt_id: str) -> Any:
    return read_extra(sandbox, prompt_id).get(senders.KEY)


def wait_until_delivered(run: Run) -> None:
    deadline = time.monotonic() + PATIENCE
    while not run.delivered:
        assert time.monotonic() < deadline
        time.sleep(0.002)


def submit_and_restart(kit: ComfyKit, notebook: Notebook, workflow: Any, **values: Any) -> Run:
    """Submit a job, wait until the server has it, and restart the kernel."""
    run = kit.options(raise_on_error=False).submit(workflow, values)
    wait_until_delivered(run)
    notebook.restart()
    return run


@pytest.mark.parametrize(
    ("change", "is_same"),
    [
        (lambda graph, _: (graph, {"width": 24}), True),
        (lambda graph, _: (json.loads(json.dumps(graph)), {"width": "24"}), False),
        (lambda graph, _: (graph, {"width": 25}), False),
        (lambda graph, _: (graph, {}), False),
        (lambda graph, _: ({**graph, "2": {**graph["2"], "inputs": {**graph["2"]["inputs"], "filename_prefix": "x"}}},
                           {"width": 24}), False),
        (lambda graph, note: (note.enter("another"), (graph, {"width": 24}))[1], False),
        (lambda graph, note: (note.leave(), (graph, {"width": 24}))[1], False),
    ],
    ids=["the same", "text", "value", "fewer values", "workflow", "another cell", "a script"],
)  # fmt: skip
def test_only_the_same_call_is_attached(
    kit: ComfyKit,
    notebook: Notebook,
    graph: Graph,
    gate: tuple[str, Gate],
    change: Callable[[Graph, Notebook], tuple[Graph, dict[str, Any]]],
    is_same: bool,
) -> None:
    first = submit_and_restart(kit, notebook, graph, width=24)
    second = kit.submit(*change(graph, notebook))
    gate[1].open()
    second.result()
    assert (second.prompt_id == first.prompt_id) == is_same
    assert notebook.reports == [first.prompt_id] * is_same


def test_option_and_a_later_kernel_and_the_same_kernel_send_a_new_job(
    kit: ComfyKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate]
) -> None:
    notebook.restart(kernel=5)
    runs = [kit.submit(graph)]
    wait_until_delivered(runs[0])
    notebook.enter()
    runs.append(kit.submit(graph))
    notebook.restart(kernel=4)  # another notebook server has opened it, before
    runs.append(kit.submit(graph))
    notebook.restart(kernel=6)
    runs.append(kit.options(attach=False).submit(graph))
    assert len({run.prompt_id for run in runs}) == 4
    assert not notebook.reports
    gate[1].open()
    for run in runs:
        run.result()


def test_equal_calls_are_attached_in_their_order_each_once(
    kit: ComfyKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate]
) -> None:
    before = [kit.submit(graph) for _ in range(3)]
    for run in before:
        wait_until_delivered(run)
    before[1].cancel()
    notebook.restart()
    after = [kit.submit(graph) for _ in range(4)]
    notebook.enter()
    again = kit.submit(graph)
    ids = [run.prompt_id for run in after]
    assert (ids[0], ids[2]) == (before[0].prompt_id, before[2].prompt_id)
    assert len({*ids, *(run.prompt_id for run in before), again.prompt_id}) == 6
    assert notebook.reports == [ids[0], ids[2]]
    gate[1].open()
    for run in [*after, again]:
        run.result()


@pytest.mark.parametrize("form", ["path", "bytes", "image", "open file"])
def test_files_are_compared_by_content_and_uploaded_only_for_a_new_job(
    kit: ComfyKit, notebook: Notebook, gate: tuple[str, Gate], tmp_path: Path, form: str
) -> None:
    graph = workflows.gated(gate[0])
    graph["1"] = {"class_type": "LoadImage", "inputs": {"image": "none.png"}, "_meta": {"title": "$~image"}}

    def give(color: str) -> Any:
        picture = Image.new("RGB", (8, 8), color)
        path = tmp_path / f"{color}-{len(list(tmp_path.iterdir()))}.png"
        picture.save(path)
        made = {"path": path, "bytes": path.read_bytes(), "image": picture, "open file": io.BytesIO(path.read_bytes())}
        return made[form]

    first = submit_and_restart(kit, notebook, graph, image=give("red"))
    second = kit.submit(graph, image=give("red"))
    notebook.enter()
    third = kit.submit(graph, image=give("blue"))
    gate[1].open()
    assert second.result().image.pil().getpixel((0, 0)) == (255, 0, 0)
    assert third.result().image.pil().getpixel((0, 0)) == (0, 0, 255)
    assert notebook.reports == [first.prompt_id] == [second.prompt_id]


def test_what_was_drawn_comes_from_the_job(kit: ComfyKit, notebook: Notebook, gate: tuple[str, Gate]) -> None:
    graph = {
        **workflows.gated(gate[0]),
        "5": {
            "class_type": "CLIPTextEncode",
            "inputs": {"text": "", "clip": ["6", 1]},
            "_meta": {"title": "$prompt.text"},
        },
        "6": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": MODEL}},
        "7": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
        "8": {
            "class_type": "KSampler",
            "inputs": {
                "model": ["6", 0], "positive": ["5", 0], "negative": ["5", 0], "latent_image": ["7", 0], "seed": 0,
                "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "normal", "denoise": 1.0,
            },
            "_meta": {"title": "$seed"},
        },
        "9": {"class_type": "VAEDecode", "inputs": {"samples": ["8", 0], "vae": ["6", 2]}},
        "10": {"class_type": "PreviewImage", "inputs": {"images": ["9", 0]}},
    }  # fmt: skip
    words = "a {" + "|".join(f"word {number}" for number in range(1000)) + "} here"
    first = submit_and_restart(kit, notebook, graph, seed="random", prompt=words)
    second = kit.submit(graph, seed="random", prompt=words)
    gate[1].open()
    one, two = first.result(), second.result()
    assert notebook.reports == [first.prompt_id]
    assert (one.seeds, one.params) == (two.seeds, two.params)
    assert one.seeds["seed"] == two.prompt["8"]["inputs"]["seed"]
    assert two.params["prompt"] == two.prompt["5"]["inputs"]["text"] != words


def test_forged_senders_are_ignored(
    kit: ComfyKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate], sandbox: Sandbox
) -> None:
    first = submit_and_restart(kit, notebook, graph, width=24)
    sender = read_sender(sandbox, first.prompt_id)
    assert set(sender) == {"user", "kernel", "call", "run"}
    first.cancel()
    other = json.loads(json.dumps(graph))
    other["1"]["inputs"] |= {"width": 24, "color": 7}
    forged = [post(sandbox, other, {senders.KEY: sender})]
    junk: list[Any] = [
        None, [], "x", {senders.KEY: None}, {senders.KEY: []}, {senders.KEY: {"user": 1}},
        {senders.KEY: {**sender, "call": {}}}, {senders.KEY: {**sender, "user": "f" * 100_000}},
        {senders.KEY: {**sender, "kernel": "\x1b[31m"}},
    ]  # fmt: skip
    forged += [post(sandbox, other, each) for each in junk]
    second = kit.submit(graph, width=24)
    assert second.prompt_id not in forged
    assert not notebook.reports
    owners = {job.prompt_id: job.owner for job in kit.queue() if job.prompt_id in forged}
    assert [*owners.values()].count("other") == len(junk)
    httpx.post(f"{sandbox.url}/queue", json={"delete": forged})
    gate[1].open()
    second.result()


def test_sender_holds_no_name_and_is_not_in_saved_files(
    kit: ComfyKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate], sandbox: Sandbox
) -> None:
    run = submit_and_restart(kit, notebook, graph)
    text = json.dumps(read_sender(sandbox, run.prompt_id))
    assert len(text) < 120
    assert all(part.isalnum() for part in json.loads(text).values())
    gate[1].open()
    assert senders.KEY not in str(run.result().image.pil().info)


def test_queue_says_whose_jobs_it_has(
    kit: ComfyKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate], sandbox: Sandbox, jobs: Jobs
) -> None:
    mine = post(sandbox, graph, {senders.KEY: senders.build_sender().to_json()})
    resumed = submit_and_restart(kit, notebook, graph, width=24)
    new = kit.submit(graph, width=26)
    again = kit.submit(graph, width=24)
    wait_until_delivered(new)
    theirs = post(sandbox, graph, {senders.KEY: {"user": "0" * 16, "kernel": senders.kernel}})
    page = jobs.post(graph)
    attached = kit.attach(theirs)
    assert notebook.reports == [resumed.prompt_id] == [again.prompt_id]
    owners = {job.prompt_id: job.owner for job in kit.queue()}
    asked = (mine, resumed.prompt_id, new.prompt_id, theirs, page)
    assert [owners[id_] for id_ in asked] == ["user", "kernel", "kernel", "other", "other"]
    gate[1].open()
    for run in (resumed, new, again, attached):
        run.result()


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "refusing"])
def test_job_is_sent_with_a_warning_if_the_queue_is_not_given(
    proxy: Proxy, make_kit: MakeKit, notebook: Notebook, monkeypatch: pytest.MonkeyPatch, silent: bool
) -> None:
    held = threading.Event()
    if silent:
        monkeypatch.setattr(earlier, "LOOK_TIMEOUT", 0.2)
        proxy.held["/queue"] = held
    else:
        proxy.answer = lambda request: web.Response(status=502) if request.path == "/queue" else None
    kit = make_kit(proxy.url)
    kit.models()  # the time is short: the connection exists before it begins
    results = [kit.run(workflows.picture()) for _ in range(2)]
    assert all("an earlier job of this cell" in str(result.warnings) for result in results)
    assert len(proxy.requests("GET", "/queue")) == 1  # a cell asks once
    held.set()


@pytest.mark.parametrize("has_job", [True, False], ids=["on the silent server", "on the other one"])
def test_job_may_be_on_the_one_of_several_servers_that_does_not_answer(
    proxy: Proxy, make_kit: MakeKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate], has_job: bool
) -> None:
    with Sandbox() as other:
        first = submit_and_restart(make_kit(proxy.url if has_job else other.url), notebook, graph)
        proxy.answer = lambda request: web.Response(status=502) if request.path == "/queue" else None
        second = make_kit([other.url, proxy.url]).submit(graph)
        gate[1].open()
        result = second.result()
        first.result(20)
    assert (result.status, result.prompt_id != first.prompt_id) == ("completed", has_job)
    assert ("if an earlier job of this cell still runs, there are two now" in str(result.warnings)) == has_job


def test_server_that_chooses_the_ids_is_asked_in_the_same_way(
    proxy: Proxy, make_kit: MakeKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate]
) -> None:
    proxy.chooses_ids = True
    kit = make_kit(proxy.url)
    first = submit_and_restart(kit, notebook, graph)
    second = kit.submit(graph)
    assert second.prompt_id == first.prompt_id == notebook.reports[0]
    gate[1].open()
    assert second.result().status == "completed"
    assert len(proxy.requests("POST", "/prompt")) == 1


def test_many_submissions_of_a_cell_ask_for_the_queue_once(proxy: Proxy, make_kit: MakeKit, notebook: Notebook) -> None:
    kit = make_kit(proxy.url)
    kit.run(workflows.picture())
    notebook.enter()
    before = len(proxy.requests("GET", "/queue"))
    for run in [kit.submit(workflows.picture(), width=16 + width) for width in range(10)]:
        run.result()
    assert len(proxy.requests("GET", "/queue")) <= before + 3  # runs that wait look at it, too


def test_run_that_is_kept_gets_its_end(
    make_kit: MakeKit, notebook: Notebook, graph: Graph, gate: tuple[str, Gate], tmp_path: Path
) -> None:
    kept = make_kit(runs=tmp_path / "runs")
    first = submit_and_restart(make_kit(runs=tmp_path / "other"), notebook, graph)
    assert first
    notebook.enter("kept")
    first = submit_and_restart(kept, notebook, graph)
    notebook.enter("kept")
    again = make_kit(runs=tmp_path / "runs")
    second = again.submit(graph)
    assert second.prompt_id == first.prompt_id
    gate[1].open()
    second.result()
    (row,) = again.runs
    assert row.status == "completed"


@pytest.mark.parametrize("broken", ["the second file", "the upload"])
def test_no_copies_of_files_stay_after_a_failure(
    broken: str, kit: ComfyKit, notebook: Notebook, monkeypatch: pytest.MonkeyPatch
) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (4, 4)).save(picture, "PNG")
    files: list[Any] = [io.BytesIO(picture.getvalue()) for _ in range(2)]
    if broken == "the second file":
        files[1].read()
    else:
        monkeypatch.setattr(ComfyUI, "upload", refuse_upload)
    graph = {
        id_: {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": f"${id_}.~image!"}}
        for id_ in ("one", "two")
    }
    graph |= {f"show {id_}": {"class_type": "PreviewImage", "inputs": {"images": [id_, 0]}} for id_ in graph}
    before = set(get_local_folder().iterdir())
    with pytest.raises(ComfyKitError, match="nothing is left to read" if broken == "the second file" else "full"):
        kit.run(graph, one=files[0], two=files[1])
    assert set(get_local_folder().iterdir()) == before


async def refuse_upload(*_: Any) -> str:
    raise ServerError("the disk is full")


def test_a_user_without_a_name_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(sys.modules, "pwd", None)  # as on Windows
    assert senders.find_user_name() == ""
