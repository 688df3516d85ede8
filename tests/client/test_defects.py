"""The defects of the public `comfykit` 0.1.12, by their numbers: each test holds here, and fails there.

The same scenario is played by both packages, each in a process of its own; for `comfykit` the failure is expected, and
a test that passes there fails the suite. Its number 19 (editor files) and those of the RunningHub cloud (20, 28, parts
of 21 and 22) need a cloud, or a converter, and have their tests elsewhere.
"""

from __future__ import annotations

import asyncio
import io
import json
import os
import re
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from aiohttp import web
from PIL import Image

from comfykit_jupyter.sandbox import Sandbox

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .packages import OURS, ROOT, THEIRS, Package, opened
from .proxy import Proxy, Served

WAIT = 6.0
"""Seconds after which a run that nothing is left of is said to hang."""

EXECUTORS = pytest.mark.parametrize("executor", ["http", "websocket"])


@pytest.fixture(
    scope="module",
    params=[OURS, pytest.param(THEIRS, marks=pytest.mark.xfail(raises=AssertionError, strict=True, reason="defect"))],
)
def package(request: pytest.FixtureRequest) -> Iterator[Package]:
    yield from opened(request.param)


@pytest.fixture
def write(tmp_path: Path) -> Callable[[Any], Path]:
    """A function that writes a workflow to a file."""

    def to_file(graph: Any) -> Path:
        path = tmp_path / "workflow.json"
        path.write_text(json.dumps(graph))
        return path

    return to_file


Write = Callable[[Any], Path]


def posted(proxy: Proxy) -> dict[str, Any]:
    """The prompt that was sent."""
    (seen,) = proxy.requests("POST", "/prompt")
    prompt: dict[str, Any] = json.loads(seen.body)["prompt"]
    return prompt


def picture_of(size: int) -> bytes:
    """A square picture, never the same twice."""
    buffer = io.BytesIO()
    Image.frombytes("RGB", (size, size), os.urandom(3 * size * size)).save(buffer, "PNG")
    return buffer.getvalue()


def put(sandbox: Sandbox, name: str, content: bytes, subfolder: str = "") -> None:
    """Have a file on the server."""
    httpx.post(
        f"{sandbox.url}/upload/image",
        files={"image": (name, content)},
        data={"type": "input", "subfolder": subfolder, "overwrite": "true"},
    ).raise_for_status()


def shown_picture(told: dict[str, Any]) -> Image.Image:
    assert told["status"] == "completed", told
    return Image.open(io.BytesIO(httpx.get(told["images"][0]).raise_for_status().content))


def test_01_a_kit_can_be_closed_after_a_run(package: Package, sandbox: Sandbox, write: Write) -> None:
    told = package.play("close", kit={"comfyui_url": sandbox.url}, workflow=write(workflows.text()))
    assert told["status"] == "completed", told["msg"]


def test_02_addresses_are_encoded(package: Package, sandbox: Sandbox, write: Write) -> None:
    name = "a b#1&x+ü.png"
    graph = workflows.showing({"images": [{"filename": name, "subfolder": "", "type": "output"}]})
    told = package.execute(sandbox.url, write(graph))
    assert parse_qs(urlsplit(told["images"][0]).query)["filename"] == [name]


def test_03_a_file_that_is_nowhere_is_refused(package: Package, sandbox: Sandbox, write: Write) -> None:
    put(sandbox, "default.png", picture_of(8))
    graph = workflows.inverted()
    graph["1"]["inputs"]["image"] = "default.png"
    told = package.execute(sandbox.url, write(graph), {"image": "my-hoilday.png"})
    assert told["status"] == "failed"


def test_04_a_media_parameter_finds_the_upload_field(
    package: Package, sandbox: Sandbox, write: Write, tmp_path: Path
) -> None:
    put(sandbox, "default.png", picture_of(8))
    (tmp_path / "given.png").write_bytes(picture_of(12))
    graph = workflows.inverted()
    graph["1"] = {**graph["1"], "inputs": {"image": "default.png"}, "_meta": {"title": "$~input_image!"}}
    told = package.execute(sandbox.url, write(graph), {"input_image": str(tmp_path / "given.png")})
    assert shown_picture(told).size == (12, 12)


def test_05_pictures_may_be_paths_bytes_and_open_files(
    package: Package, sandbox: Sandbox, write: Write, tmp_path: Path
) -> None:
    ends = package.play(
        "pictures",
        kit={"comfyui_url": sandbox.url},
        workflow=write(workflows.inverted()),
        parameter="image",
        folder=tmp_path,
    )
    assert ends == ["completed"] * 3


def test_06_the_subfolder_of_an_upload_counts(
    package: Package, sandbox: Sandbox, write: Write, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "given.png").write_bytes(picture_of(12))
    put(sandbox, "elsewhere.png", picture_of(12), "deep/down")
    answer = {"name": "elsewhere.png", "subfolder": "deep/down", "type": "input"}
    proxy.answer = lambda request: web.json_response(answer) if request.path == "/upload/image" else None
    package.execute(proxy.url, write(workflows.inverted()), {"image": str(tmp_path / "given.png")})
    assert posted(proxy)["1"]["inputs"]["image"] == "deep/down/elsewhere.png"


def test_07_a_misspelled_name_is_refused(package: Package, sandbox: Sandbox, write: Write) -> None:
    told = package.execute(sandbox.url, write(workflows.picture()), {"widht": 64})
    assert told["status"] == "failed"
    assert "did you mean 'width'" in told["msg"]


def seeded(field: str, value: int) -> workflows.Graph:
    """A node with a seed; the server takes no notice of it."""
    graph = workflows.picture()
    graph["1"]["inputs"][field] = value
    graph["1"]["_meta"]["title"] = f"Canvas, $seed.{field}"
    return graph


def test_08_a_seed_of_0_that_is_given_stays_0(package: Package, write: Write, proxy: Proxy) -> None:
    package.execute(proxy.url, write(seeded("seed", 5)), {"seed": 0})
    assert posted(proxy)["1"]["inputs"]["seed"] == 0


def test_08_a_noise_seed_that_nobody_set_is_drawn(package: Package, write: Write, proxy: Proxy) -> None:
    package.execute(proxy.url, write(seeded("noise_seed", 0)))
    assert posted(proxy)["1"]["inputs"]["noise_seed"] != 0


def test_08_a_seed_that_was_drawn_is_told(package: Package, write: Write, proxy: Proxy) -> None:
    told = package.execute(proxy.url, write(seeded("seed", 0)))
    assert told.get("seeds") == {"seed": posted(proxy)["1"]["inputs"]["seed"]}


def test_09_a_name_on_two_nodes_leaves_each_its_own_default(package: Package, write: Write, proxy: Proxy) -> None:
    graph = workflows.picture()
    graph["3"] = {**graph["1"], "inputs": {**graph["1"]["inputs"], "width": 8}}
    package.execute(proxy.url, write(graph))
    assert [posted(proxy)[node]["inputs"]["width"] for node in ("1", "3")] == [32, 8]


def test_10_markers_on_output_nodes_count(package: Package, write: Write, proxy: Proxy) -> None:
    graph = workflows.picture()
    graph["2"]["_meta"]["title"] = "Save, $name.filename_prefix, $output.cover"
    told = package.execute(proxy.url, write(graph), {"name": "portrait"})
    assert posted(proxy)["2"]["inputs"]["filename_prefix"] == "portrait"
    assert list(told["images_by_var"]) == ["cover"]


def test_11_an_optional_parameter_may_be_a_link(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.picture()
    graph["3"] = {"class_type": "ImageInvert", "inputs": {"image": ["1", 0]}, "_meta": {"title": "$image"}}
    graph["2"]["inputs"]["images"] = ["3", 0]
    told = package.execute(sandbox.url, write(graph))
    assert told["status"] == "completed", told["msg"]


def test_12_a_text_on_a_loader_is_no_file(package: Package, write: Write, proxy: Proxy) -> None:
    node = {"class_type": "VHS_LoadVideo", "inputs": {"video": "clip.mp4", "format": "None"}}
    graph = {"1": {**node, "_meta": {"title": "$mode.format"}}}
    package.execute(proxy.url, write(graph), {"mode": "AnimateDiff"})
    assert posted(proxy)["1"]["inputs"]["format"] == "AnimateDiff"


def test_13_a_default_is_never_uploaded(
    package: Package, sandbox: Sandbox, write: Write, proxy: Proxy, tmp_path: Path
) -> None:
    put(sandbox, "private.png", picture_of(8))
    (tmp_path / "private.png").write_bytes(picture_of(12))
    graph = workflows.inverted()
    graph["1"] = {**graph["1"], "inputs": {"image": "private.png"}, "_meta": {"title": "$~image"}}
    told = package.execute(proxy.url, write(graph), folder_of_work=str(tmp_path))
    assert told["status"] == "completed", told["msg"]
    assert not proxy.requests("POST", "/upload/image")


def test_14_nothing_that_a_node_gives_is_dropped(package: Package, sandbox: Sandbox, write: Write) -> None:
    keys = {
        "3d": "a.glb",
        "latents": "b.latent",
        "images": "c.tif",
        "a_images": "d.png",
        "video": "e.mp4",
        "f": "f.svg",
    }
    output = {key: [{"filename": name, "subfolder": "", "type": "output"}] for key, name in keys.items()}
    told = package.execute(sandbox.url, write(workflows.showing(output)))
    found = [url for kind in ("images", "videos", "audios", "files") for url in told[kind]]
    assert sorted(parse_qs(urlsplit(url).query)["filename"][0] for url in found) == sorted(keys.values())


def test_15_an_odd_entry_does_not_spoil_the_rest(package: Package, sandbox: Sandbox, write: Write) -> None:
    good = {"filename": "good.png", "subfolder": "", "type": "output"}
    told = package.execute(sandbox.url, write(workflows.showing({"images": ["odd", good], "audio": {"x": 1}})))
    assert (told["status"], len(told["images"])) == ("completed", 1)


@EXECUTORS
def test_16_an_interrupted_run_says_so(
    executor: str, package: Package, sandbox: Sandbox, write: Write, gate: tuple[str, Gate]
) -> None:
    name, its = gate
    graph = workflows.gated(name)
    graph["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}

    def interrupt() -> None:
        its.wait()
        httpx.post(f"{sandbox.url}/interrupt")

    thread = threading.Thread(target=interrupt)
    thread.start()
    told = package.execute(sandbox.url, write(graph), executor=executor)
    thread.join()
    assert told["status"] == "failed"
    assert "interrupted at The gate" in told["msg"]


@EXECUTORS
def test_17_a_failure_names_its_node_and_keeps_what_was_made(
    executor: str, package: Package, sandbox: Sandbox, write: Write
) -> None:
    graph = workflows.failing()
    graph["3"]["_meta"]["title"] = "The bomb"
    told = package.execute(sandbox.url, write(graph), executor=executor)
    assert told["msg"] == "The bomb: kaboom over 1 picture"
    assert len(told["images"]) == 1


def test_17_what_was_left_out_of_a_prompt_is_told(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.picture()
    graph["3"] = {"class_type": "SaveImage", "inputs": {"filename_prefix": "x"}, "_meta": {"title": "Half"}}
    told = package.execute(sandbox.url, write(graph))
    assert told["status"] == "completed"
    assert "Half" in "".join(told.get("warnings", ()))


def test_18_a_job_that_is_gone_is_not_waited_for(
    package: Package, sandbox: Sandbox, write: Write, gate: tuple[str, Gate], jobs: Jobs, proxy: Proxy
) -> None:
    name, its = gate
    jobs.post(workflows.gated(name))
    its.wait()

    def remove() -> None:
        proxy.wait_for(lambda seen: seen.path.startswith("/history/"))
        httpx.post(f"{sandbox.url}/queue", json={"clear": True})

    thread = threading.Thread(target=remove)
    thread.start()
    told = package.execute(proxy.url, write(workflows.picture()), seconds=WAIT)
    thread.join()
    assert told["status"] == "failed"


@pytest.mark.parametrize("status", [401, 403])
def test_18_a_history_that_is_forbidden_is_not_asked_for_ever(
    status: int, package: Package, write: Write, proxy: Proxy
) -> None:
    proxy.answer = lambda request: web.Response(status=status) if request.path.startswith("/history") else None
    told = package.execute(proxy.url, write(workflows.text()), seconds=WAIT)
    assert told["status"] == "failed"
    assert told["prompt_id"]


def test_21_the_environment_sets_the_executor_and_what_is_given_wins(package: Package) -> None:
    environment = {"COMFYUI_EXECUTOR_TYPE": "websocket", "RUNNINGHUB_RETRY_COUNT": "7"}
    found = package.play("settings", kit={"runninghub_retry_count": 3}, environment=environment)
    assert (found["executor_type"], found["runninghub_retry_count"]) == ("websocket", 3)


@pytest.mark.parametrize("secret", ["api_key", "cookies"])
def test_22_secrets_do_not_go_to_the_host_of_a_picture(
    secret: str, package: Package, sandbox: Sandbox, write: Write
) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(str(dict(request.headers)))
        return web.Response(body=picture_of(12), content_type="image/png")

    with Served(serve) as elsewhere:
        kit = {secret: "session=planted-secret"}
        told = package.execute(sandbox.url, write(workflows.inverted()), {"image": f"{elsewhere.url}/cat.png"}, kit=kit)
    assert told["status"] == "completed", told["msg"]
    assert seen
    assert "planted-secret" not in "".join(seen)


def test_23_the_page_that_gives_the_cookies_is_read_once(package: Package, sandbox: Sandbox, write: Write) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.json_response({"session": "1"})

    with Served(serve) as page:
        told = package.execute(sandbox.url, write(workflows.text()), kit={"cookies": f"{page.url}/cookies"})
    assert told["status"] == "completed", told["msg"]
    assert len(seen) == 1


def test_24_a_large_frame_ends_nothing(package: Package, write: Write, proxy: Proxy) -> None:
    proxy.sockets.greeting = [b"\0\0\0\1\0\0\0\1" + bytes(2 << 20)]
    told = package.execute(proxy.url, write(workflows.text()), executor="websocket")
    assert told["status"] == "completed", told["msg"]


def test_24_a_run_that_gives_only_a_model_has_completed(package: Package, sandbox: Sandbox, write: Write) -> None:
    graph = workflows.showing({"3d": [{"filename": "a.glb", "subfolder": "", "type": "output"}]})
    told = package.execute(sandbox.url, write(graph), executor="websocket")
    assert told["status"] == "completed", told["msg"]


def test_24_a_socket_that_breaks_ends_nothing(
    package: Package, write: Write, proxy: Proxy, gate: tuple[str, Gate]
) -> None:
    name, its = gate

    def cut() -> None:
        its.wait()
        proxy.cut()
        its.open()

    thread = threading.Thread(target=cut)
    thread.start()
    told = package.execute(proxy.url, write(workflows.gated(name)), executor="websocket")
    thread.join()
    assert (told["status"], len(told["images"])) == ("completed", 1), told["msg"]


def test_24_an_output_of_a_node_that_expanded_has_its_name(package: Package, write: Write) -> None:
    graph = workflows.showing({})
    graph["1"]["_meta"] = {"title": "$output.words"}
    with Served(expanding) as server:
        told = package.execute(server.url, write(graph), executor="websocket", seconds=WAIT)
    assert (told["status"], told["texts_by_var"]) == ("completed", {"words": ["hello"]}), told["msg"]


async def expanding(request: web.Request) -> web.StreamResponse:
    """A server whose node 1 expands to another, 1:3, that shows a text."""
    if request.path == "/ws":
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        _SOCKETS[request.query["clientId"]] = socket
        async for _ in socket:
            pass
        return socket
    if request.path == "/prompt":
        body = await request.json()
        prompt_id = body.get("prompt_id", "the-run")
        output = {"text": ["hello"]}
        shown = {"prompt_id": prompt_id, "node": "1:3", "display_node": "1", "output": output}
        events = [("execution_start", {}), ("executing", {"node": "1", "display_node": "1"}), ("executed", shown),
                  ("execution_success", {}), ("executing", {"node": None})]  # fmt: skip
        status = {"status_str": "success", "completed": True, "messages": []}
        meta = {"1:3": {"node_id": "1:3", "display_node": "1", "parent_node": "1", "real_node_id": "1"}}
        _RECORDS[prompt_id] = {"outputs": {"1:3": output}, "meta": meta, "status": status, "prompt": []}
        listener = _SOCKETS[body["client_id"]]

        async def tell() -> None:
            await asyncio.sleep(0)  # after the answer
            for kind, data in events:
                await listener.send_json({"type": kind, "data": {"prompt_id": prompt_id, **data}})

        _TELLING.append(asyncio.ensure_future(tell()))
        return web.json_response({"prompt_id": prompt_id, "number": 1, "node_errors": {}})
    if request.path.startswith("/history/"):
        prompt_id = request.path.rpartition("/")[2]
        return web.json_response({prompt_id: _RECORDS[prompt_id]} if prompt_id in _RECORDS else {})
    return web.json_response({"queue_running": [], "queue_pending": []} if request.path == "/queue" else {})


_SOCKETS: dict[str, web.WebSocketResponse] = {}
_RECORDS: dict[str, Any] = {}
_TELLING: list[asyncio.Future[None]] = []


def test_25_what_is_needed_of_websockets_is_declared(package: Package) -> None:
    if package.name == OURS:
        needs = re.findall(r'"(websockets[^"]*)"', (ROOT / "pyproject.toml").read_text())
    else:
        needs = package.play("requirements")
    (bound,) = [re.search(r">=(\d+)", need) for need in needs if need.startswith("websockets")]
    assert bound is not None
    assert int(bound[1]) >= 14


def test_26_importing_it_leaves_logging_alone(package: Package) -> None:
    code = (
        "import logging; before = str(logging.root.handlers), logging.root.level; "
        f"from {package.name} import ComfyKit; ComfyKit(); "
        "print(before == (str(logging.root.handlers), logging.root.level))"
    )
    done = subprocess.run(
        [package.python, "-c", code], capture_output=True, text=True, env=package.environment, timeout=60
    )
    assert done.stdout == "True\n"


def test_27_a_file_may_be_called_by_a_number(package: Package, sandbox: Sandbox, tmp_path: Path) -> None:
    (tmp_path / "12345").write_text(json.dumps(workflows.text()))
    told = package.execute(sandbox.url, Path("12345"), folder_of_work=str(tmp_path))
    assert told["status"] == "completed", told["msg"]


def test_27_a_superscript_is_no_number_of_a_workflow(package: Package, sandbox: Sandbox) -> None:
    told = package.execute(sandbox.url, Path("²"))
    assert told["status"] == "failed"
    assert "no file" in told["msg"]


def test_29_both_executor_types_agree_on_a_run_without_outputs(
    package: Package, sandbox: Sandbox, write: Write
) -> None:
    kits = [{"comfyui_url": sandbox.url, "executor_type": executor} for executor in ("http", "websocket")]
    http, websocket = package.play("execute_both", kits=kits, workflow=write(workflows.showing({})))
    assert (http["status"], websocket["status"]) == ("completed", "completed")


@EXECUTORS
def test_30_whoever_leaves_leaves_no_job_behind(
    executor: str, package: Package, sandbox: Sandbox, write: Write, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    kit = {"comfyui_url": sandbox.url, "executor_type": executor}
    assert package.play("leave", kit=kit, workflow=write(workflows.gated(gate[0])), seconds=1) == "left"
    assert gate[1].begun.is_set()
    assert jobs.queue() == []


def test_30_the_same_bytes_are_sent_once(package: Package, write: Write, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "given.png").write_bytes(picture_of(12))
    for _ in range(2):
        told = package.execute(proxy.url, write(workflows.inverted()), {"image": str(tmp_path / "given.png")})
        assert told["status"] == "completed", told["msg"]
    assert len(proxy.requests("POST", "/upload/image")) == 1


def test_31_looks_that_fail_do_not_end_the_wait(package: Package, write: Write, proxy: Proxy) -> None:
    failures = iter([True] * 5)

    def fail(request: web.Request) -> web.Response | None:
        if not request.path.startswith("/history/") or not next(failures, False):
            return None
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    proxy.answer = fail
    told = package.execute(proxy.url, write(workflows.text()))
    assert told["status"] == "completed", told["msg"]
    assert told["prompt_id"]


@pytest.mark.parametrize("form", ["a byte order mark", "a wrapper"])
def test_32_files_as_other_programs_write_them_are_read(
    form: str, package: Package, sandbox: Sandbox, tmp_path: Path
) -> None:
    path = tmp_path / "workflow.json"
    graph = workflows.text()
    if form == "a wrapper":
        path.write_text(json.dumps({"prompt": graph}))
    else:
        path.write_text(json.dumps(graph), encoding="utf-8-sig")
    told = package.execute(sandbox.url, path)
    assert told["status"] == "completed", told["msg"]


def test_33_what_is_no_workflow_is_said_so_and_a_result_shows_itself(package: Package, sandbox: Sandbox) -> None:
    told = package.play("execute_json", kit={"comfyui_url": sandbox.url}, graph={"nodes": [], "edges": []})
    assert told["status"] == "failed"
    assert "no nodes" in told["msg"] or "API format" in told["msg"]
    assert told["shown"]
