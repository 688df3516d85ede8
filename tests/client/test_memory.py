"""Test what a kit says of a server's memory, and that it frees it."""

from __future__ import annotations

from typing import Any

import pytest
from aiohttp import web

from comfykit_jupyter import ComfyKit, ComfyKitError, ServerError
from comfykit_jupyter.client.backends.comfyui.memory import read_memory
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy

GIGABYTE = 2**30
GPU = {
    "system": {"ram_total": 64 * GIGABYTE, "ram_free": 48 * GIGABYTE, "comfyui_version": "0.3.64"},
    "devices": [{"name": "cuda:0 RTX", "type": "cuda", "vram_total": 24 * GIGABYTE, "vram_free": 3 * GIGABYTE // 2}],
}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.backend.FREE_AGAIN", 0)


def test_server_says_how_much_memory_is_free(proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.answer = lambda request: web.json_response(GPU) if request.path == "/system_stats" else None
    server = make_kit(proxy.url).server()
    assert (server.vram_free, server.vram_total) == (3 * GIGABYTE // 2, 24 * GIGABYTE)
    assert (server.ram_free, server.ram_total, server.device) == (48 * GIGABYTE, 64 * GIGABYTE, "cuda:0 RTX")
    assert server.memory == "1.5 of 24.0 GB VRAM free, 48.0 of 64.0 GB memory free (cuda:0 RTX)"


def test_server_without_a_gpu_has_no_vram(kit: ComfyKit) -> None:
    server = kit.server()
    assert server.vram_total is server.vram_free is None
    assert server.ram_total is not None
    assert "GB memory free" in server.memory
    assert "VRAM" not in server.memory


@pytest.mark.parametrize(
    "stats",
    [
        None,
        [],
        {"system": [], "devices": {}},
        {"system": {"ram_total": "1", "ram_free": 1}, "devices": []},
        {"system": {"ram_total": True, "ram_free": True}, "devices": [None]},
        {"system": {"ram_total": 5, "ram_free": 6}, "devices": [{"vram_total": -1, "vram_free": -2}]},
        {"system": {"ram_total": 10**400, "ram_free": 1}, "devices": [{"vram_total": 0, "vram_free": 0}]},
        {"system": {"ram_total": float("nan"), "ram_free": 1.0}, "devices": ["x"]},
    ],
    ids=str,
)
def test_nonsense_about_memory_is_left_out(stats: Any) -> None:
    assert read_memory(stats) == {}


def test_name_of_a_device_is_one_line() -> None:
    assert read_memory({"devices": [{"name": "a\n\x1b[0m" + "b" * 200}]})["device"].isprintable()


def test_free_empties_the_cache_of_the_server(kit: ComfyKit) -> None:
    graph = workflows.picture(prefix="freed")
    kit.run(graph)
    assert kit.run(graph).cached_nodes
    kit.free(keep_results=True)
    assert kit.run(graph).cached_nodes
    kit.free()
    assert kit.run(graph).cached_nodes == []


def test_free_waits_for_the_end_of_a_job_that_runs(gate: tuple[str, Gate], jobs: Jobs, kit: ComfyKit) -> None:
    name, gate_ = gate
    graph = workflows.picture(prefix="kept")
    kit.run(graph)
    run = kit.submit(workflows.gated(name))
    gate_.wait()
    kit.free()
    gate_.open()
    assert run.result().status == "completed"
    assert kit.run(graph).cached_nodes == []


def test_free_asks_for_both(proxy: Proxy, make_kit: MakeKit) -> None:
    make_kit(proxy.url).free()
    bodies = [request.body for request in proxy.requests("POST", "/free")]
    assert bodies == [b'{"unload_models":true,"free_memory":true}'] * 2  # a server that cleans up misses the first


@pytest.mark.parametrize(("status", "message"), [(404, "update ComfyUI"), (500, "answers 500"), (418, "answers 418")])
def test_server_that_can_not_free_memory_says_so(status: int, message: str, proxy: Proxy, make_kit: MakeKit) -> None:
    proxy.answer = lambda _: web.Response(status=status)
    with pytest.raises(ServerError, match=message):
        make_kit(proxy.url).free()


def test_cloud_manages_its_own_memory() -> None:
    kit = ComfyKit("http://127.0.0.1:1", api="v2", runninghub_api_key="a" * 32)
    for workflow in (None, "1904136902449209346"):
        with pytest.raises(ComfyKitError, match="manages its memory itself"):
            kit.free(workflow=workflow)


COMFYUI = """Allocation on device 0 would exceed allowed memory. (out of memory)
Currently allocated     : 21.33 GiB

This error means you ran out of memory on your GPU.

TIPS: If the workflow worked before you might have accidentally set the batch_size to a large number."""


@pytest.mark.parametrize(
    ("message", "torch", "cause"),
    [
        (COMFYUI, True, "Allocation on device 0 would exceed allowed memory. (out of memory)"),
        ("Allocation on device ", True, "out of memory: Allocation on device"),
        ("CUDA out of memory. Tried to allocate 2 GiB.", False, "CUDA out of memory. Tried to allocate 2 GiB"),
        (
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B",
            False,
            "[enforce fail at alloc_cpu.cpp:117] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 B",
        ),
    ],
)
def test_run_that_is_out_of_memory_says_what_helps(message: str, torch: bool, cause: str, kit: ComfyKit) -> None:
    graph = {"1": {"class_type": "TestMemory", "inputs": {"message": message, "torch": torch}}}
    result = kit.options(raise_on_error=False).run(graph)
    advice = (
        "What helps: use a smaller size, length or batch, or unload the models of other workflows first: kit.free()"
    )
    assert result.msg == f"Memory: {cause}. {advice}"
    assert result.error is not None
    assert result.error.message == f"{cause}. {advice}"


def test_other_failures_get_no_advice(kit: ComfyKit) -> None:
    assert "helps" not in str(kit.options(raise_on_error=False).run(workflows.failing()).msg)
