"""Test that answers of a server have bounds, by route, and that large ones don't stop other runs."""

from __future__ import annotations

import gzip
import json
import threading
from collections.abc import Callable
from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ServerError
from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.transport import body
from tests.kits import MakeKit

from . import workflows
from .nodes import Gate
from .proxy import Proxy

MANY = 300_000
FILE = {"filename": "a.png"}
NOTHING: dict[str, Any] = {}
RECORD = {"prompt": [0, "x", {}, {}, []], "outputs": {}, "status": {"status_str": "success", "completed": True}}


def answer_to(proxy: Proxy, path: str, content: bytes) -> None:
    """Make the proxy answer a path with packed JSON."""
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    packed = gzip.compress(content, 1)
    proxy.answer = lambda request: web.Response(body=packed, headers=headers) if request.path == path else None


def read_record(kit: ComfyKit) -> Any:
    return loop.call(kit._get_backend(ComfyUI).api.read_record("x"))


@pytest.mark.parametrize(
    ("path", "parts", "ask"),
    [
        ("/history", (b'{"x":[', b"[],", 20_000_000, b"1]}"), lambda kit: kit.history()),
        ("/history", (b'{"x":[', b"[],", 20_000_000, b"1]}"), lambda kit: kit.find("x")),
        ("/queue", (b'{"queue_running":[', b"0,", 20_000_000, b"1]}"), lambda kit: kit.queue()),
        ("/models", (b"[", b"{},", 20_000_000, b"1]"), lambda kit: kit.models()),
        ("/history/x", (b'{"x":[', b"[],", 4_000_000, b"1]}"), read_record),
    ],
    ids=["history", "find", "queue", "models", "record"],
)
def test_few_packed_bytes_do_not_become_gigabytes(
    path: str,
    parts: tuple[bytes, bytes, int, bytes],
    ask: Callable[[ComfyKit], Any],
    proxy: Proxy,
    make_kit: MakeKit,
) -> None:
    opening, element, count, end = parts
    answer_to(proxy, path, opening + element * count + end)
    with pytest.raises(ServerError, match=r"is too large: more than (500,000|6,000,000) elements$"):
        ask(make_kit(proxy.url))


@pytest.mark.parametrize(
    "outputs",
    [
        {"1": {"images": [FILE] * MANY}},
        {"1": {"text": ["x"] * MANY}},
        {str(node): NOTHING for node in range(MANY)},
        {"1": {str(key): 1 for key in range(MANY)}},
    ],
    ids=["files", "texts", "nodes", "keys"],
)
def test_record_of_too_many_outputs_is_rejected(outputs: dict[str, Any], proxy: Proxy, make_kit: MakeKit) -> None:
    answer_to(proxy, "/history/x", json.dumps({"x": {**RECORD, "outputs": outputs}}).encode())
    with pytest.raises(ServerError, match=r"is too large: more than (500,000 elements|20,000 outputs)$"):
        read_record(make_kit(proxy.url))


@pytest.mark.parametrize("answer", [[], "x", None, {"queue_running": {}, "queue_pending": []}, {"queue_running": []}])
def test_answer_that_is_not_a_queue_makes_no_sense(answer: Any, proxy: Proxy, make_kit: MakeKit) -> None:
    answer_to(proxy, "/queue", json.dumps(answer).encode())
    with pytest.raises(ServerError, match="its answer to /queue makes no sense"):
        make_kit(proxy.url).queue()


def test_of_a_large_queue_only_ids_and_clients_are_kept(proxy: Proxy, make_kit: MakeKit) -> None:
    prompt = {"1": {"class_type": "A", "inputs": {"seed": 7, "text": "x" * 20_000}}}
    items = [[number, f"id{number}", prompt, {"client_id": "me", "extra_pnginfo": {}}, ["1"]] for number in range(500)]
    queue = {"queue_running": items[:1], "queue_pending": [*reversed(items[1:]), "junk", None]}
    answer_to(proxy, "/queue", json.dumps(queue).encode())
    kit = make_kit(proxy.url)
    found = loop.call(kit._get_backend(ComfyUI).api.read_queue())
    assert found["queue_running"] == [[0, "id0", {}, {"client_id": "me"}, []]]
    assert len(json.dumps(found)) < 50_000
    jobs = kit.queue()
    assert [job.prompt_id for job in jobs] == [f"id{number}" for number in range(500)]
    assert [job.place for job in jobs[:3]] == [None, 1, 2]
    assert jobs[7].values == {"seed": 7, "text": "x" * 20_000}
    assert kit.server().pending == 501


def test_job_that_waits_is_attached_with_its_values(kit: ComfyKit, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    runs = [kit.submit(workflows.gated(name)), kit.submit(workflows.picture(), color=5)]
    while not any(job.prompt_id == runs[1].prompt_id for job in kit.queue()):
        pass
    attached = make_kit().attach(runs[1].prompt_id)
    while attached.workflow is None:
        assert not attached.done
    node_gate.open()
    assert attached.result().params["color"] == 5
    for run in runs:
        run.result()


async def test_large_answer_is_parsed_in_another_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(body, "_SMALL", 10)
    here = threading.get_ident()
    assert await body.parse_body(b"[]", lambda _: threading.get_ident()) == here
    assert await body.parse_body(b"[" * 20, lambda _: threading.get_ident()) != here
