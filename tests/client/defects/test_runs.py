"""Runs that are interrupted, lost, left or forbidden, and connections that break."""

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

from .scenes import EXECUTORS, WAIT, Write


def test_01_a_kit_can_be_closed_after_a_run(package: Package, sandbox: Sandbox, write: Write) -> None:
    told = package.play("close", kit={"comfyui_url": sandbox.url}, workflow=write(workflows.text()))
    assert told["status"] == "completed", told["msg"]


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


def test_24_a_large_frame_ends_nothing(package: Package, write: Write, proxy: Proxy) -> None:
    proxy.sockets.greeting = [b"\0\0\0\1\0\0\0\1" + bytes(2 << 20)]
    told = package.execute(proxy.url, write(workflows.text()), executor="websocket")
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
