"""Test defects of runs: interruptions, lost jobs, cancellation, forbidden requests, broken connections."""

from __future__ import annotations

import threading

import httpx
import pytest
from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.conftest import Jobs
from tests.client.nodes import Gate
from tests.client.packages import Package
from tests.client.proxy import Proxy

from .scenes import EXECUTORS, Write, get_patience


def test_01_kit_can_be_closed_after_a_run(package: Package, sandbox: Sandbox, write: Write) -> None:
    result = package.play("close", kit={"comfyui_url": sandbox.url}, workflow=write(workflows.text()))
    assert result["status"] == "completed", result["msg"]


@EXECUTORS
def test_16_interrupted_run_says_so(
    executor: str, package: Package, sandbox: Sandbox, write: Write, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate
    graph = workflows.gated(name)
    graph["4"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}

    def interrupt() -> None:
        node_gate.wait()
        httpx.post(f"{sandbox.url}/interrupt")

    thread = threading.Thread(target=interrupt)
    thread.start()
    result = package.execute(sandbox.url, write(graph), executor=executor)
    thread.join()
    assert result["status"] == "failed"
    assert "interrupted at The gate" in result["msg"]


def test_18_deleted_job_is_not_waited_for(
    package: Package, sandbox: Sandbox, write: Write, gate: tuple[str, Gate], jobs: Jobs, proxy: Proxy
) -> None:
    name, node_gate = gate
    jobs.post(workflows.gated(name))
    node_gate.wait()

    def remove() -> None:
        proxy.wait_for(lambda seen: seen.path.startswith("/history/"))
        httpx.post(f"{sandbox.url}/queue", json={"clear": True})

    thread = threading.Thread(target=remove)
    thread.start()
    result = package.execute(proxy.url, write(workflows.picture()), seconds=get_patience(package))
    thread.join()
    assert result["status"] == "failed"


@pytest.mark.parametrize("status", [401, 403])
def test_18_forbidden_history_is_not_polled_forever(status: int, package: Package, write: Write, proxy: Proxy) -> None:
    proxy.answer = lambda request: web.Response(status=status) if request.path.startswith("/history") else None
    result = package.execute(proxy.url, write(workflows.text()), seconds=get_patience(package))
    assert result["status"] == "failed"
    assert result["prompt_id"]


def test_24_large_frame_does_not_end_the_run(package: Package, write: Write, proxy: Proxy) -> None:
    proxy.sockets.greeting = [b"\0\0\0\1\0\0\0\1" + bytes(2 << 20)]
    result = package.execute(proxy.url, write(workflows.text()), executor="websocket")
    assert result["status"] == "completed", result["msg"]


def test_24_broken_socket_does_not_end_the_run(
    package: Package, write: Write, proxy: Proxy, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate

    def cut() -> None:
        node_gate.wait()
        proxy.cut()
        node_gate.open()

    thread = threading.Thread(target=cut)
    thread.start()
    result = package.execute(proxy.url, write(workflows.gated(name)), executor="websocket")
    thread.join()
    assert (result["status"], len(result["images"])) == ("completed", 1), result["msg"]


def test_29_both_executor_types_agree_on_a_run_without_outputs(
    package: Package, sandbox: Sandbox, write: Write
) -> None:
    kits = [{"comfyui_url": sandbox.url, "executor_type": executor} for executor in ("http", "websocket")]
    http, websocket = package.play("execute_both", kits=kits, workflow=write(workflows.showing({})))
    assert (http["status"], websocket["status"]) == ("completed", "completed")


@EXECUTORS
def test_30_cancelled_task_leaves_no_job_behind(
    executor: str, package: Package, sandbox: Sandbox, write: Write, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    kit = {"comfyui_url": sandbox.url, "executor_type": executor}
    assert package.play("leave", kit=kit, workflow=write(workflows.gated(gate[0])), seconds=1) == "left"
    assert gate[1].begun.is_set()
    assert jobs.queue() == []


def test_31_failed_polls_do_not_end_the_wait(package: Package, write: Write, proxy: Proxy) -> None:
    failures = iter([True] * 5)

    def fail(request: web.Request) -> web.Response | None:
        if not request.path.startswith("/history/") or not next(failures, False):
            return None
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    proxy.answer = fail
    result = package.execute(proxy.url, write(workflows.text()))
    assert result["status"] == "completed", result["msg"]
    assert result["prompt_id"]
