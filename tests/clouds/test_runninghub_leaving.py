"""Leaving during creation leaves no running task behind, however late the response arrives."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.running import executable
from comfykit_jupyter.client.running.run import Run
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .clock import advance
from .runninghub import HANGING, Held, RunningHub


@pytest.fixture
def answered() -> Iterator[threading.Event]:
    """When set, the answer to what creates a task is sent."""
    event = threading.Event()
    yield event
    event.set()


def submit_held(kit: ComfyKit, cloud: RunningHub, answered: threading.Event) -> Run:
    """Submit a run and wait until its task is being created."""
    cloud.answer("create", Held(answered, done=True))
    run = kit.submit(WORKFLOW)
    cloud.wait_for(lambda: cloud.find_requests("create"))
    return run


def test_a_rejected_task_is_not_retried_after_cancel(
    kit: ComfyKit, cloud: RunningHub, answered: threading.Event
) -> None:
    cloud.concurrency = 0
    run = submit_held(kit, cloud, answered)
    canceller = threading.Thread(target=run.cancel)
    canceller.start()
    while not run._cancelling:
        canceller.join(0.01)
    answered.set()
    canceller.join()
    result = run.result()
    assert (run.status, result.prompt_id, result.warnings) == ("cancelled", None, [])
    assert len(cloud.find_requests("create")) == 1
    assert not cloud.tasks


def test_a_task_is_cancelled_even_if_its_response_comes_too_late(
    make_kit: MakeKit, cloud: RunningHub, answered: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(executable, "CANCEL_TIMEOUT", 0.1)
    kit = make_kit(raise_on_error=False, timeout=20)
    run = submit_held(kit, cloud, answered)
    advance(20)
    result = run.result()
    assert result.error is not None
    assert (result.error.kind, result.prompt_id) == ("timeout", None)
    assert "it may still run" in result.error.message
    assert len(result.warnings) == 1
    answered.set()
    cloud.wait_for(lambda: cloud.tasks and cloud.task.cancels == 1)


def test_an_interrupt_warns_that_the_task_may_be_running(
    kit: ComfyKit,
    cloud: RunningHub,
    answered: threading.Event,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr(executable, "CANCEL_TIMEOUT", 0.1)
    run = submit_held(kit, cloud, answered)
    run.leave()
    assert "it may still run" in caplog.text
    answered.set()
    cloud.wait_for(lambda: cloud.tasks and cloud.task.cancels == 1)


def test_cancel_during_downloads_returns_the_outputs_urls(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("file", HANGING)
    run = kit.submit(WORKFLOW)
    cloud.wait_for(lambda: cloud.files.requests)
    assert "downloading" in run.progress.note
    run.cancel()
    result = run.result(20)
    assert result.status == "completed"
    assert result.warnings == ["1 of the outputs were not downloaded; RunningHub keeps them for a day"]
    assert result.image.pil().size == (32, 16)
