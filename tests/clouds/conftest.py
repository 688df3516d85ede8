"""Fixtures: clouds in front of the embedded server, and kits for them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import loop
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.clouds import runninghub as words
from tests.client import workflows
from tests.client.conftest import gate
from tests.client.nodes import Gate
from tests.kits import MakeKit, closing_kits, hide_settings

from .api_client import WORKFLOW, ApiClient, open_client
from .pauses import shorten_pauses
from .runninghub import RunningHub

__all__ = ["gate"]


@pytest.fixture
def cloud(sandbox: Sandbox) -> Iterator[RunningHub]:
    """A double of RunningHub with one workflow, which makes a small image."""
    with RunningHub(sandbox.url) as cloud:
        cloud.workflows[WORKFLOW] = workflows.picture()
        yield cloud


@pytest.fixture
def ask(cloud: RunningHub) -> Iterator[ApiClient]:
    """A minimal client with the cloud's key."""
    with open_client(cloud) as ask:
        yield ask


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pauses of the client for RunningHub are short; those before a task is offered again, still more so."""
    monkeypatch.setattr(words, "BACK_OFF", {code: seconds / 1000 for code, seconds in words.BACK_OFF.items()})
    shorten_pauses(monkeypatch, factor=300)


@pytest.fixture
def make_kit(cloud: RunningHub, quick: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[MakeKit]:
    """A function that creates kits for the double, independent of the machine's settings."""
    hide_settings(monkeypatch)

    def create(**options: Any) -> ComfyKit:
        # There is no ComfyUI server, so a run that does not go to the cloud fails.
        given = {"comfyui_url": "http://127.0.0.1:1", "runninghub_url": cloud.url, "runninghub_api_key": cloud.key}
        return ComfyKit(**{**given, **options})

    with closing_kits(create) as make_kit:
        yield make_kit
        loop.call(_wait_for_background_tasks())


@pytest.fixture
def kit(make_kit: MakeKit) -> ComfyKit:
    """A kit for the double, whose `run` returns failed results too."""
    return make_kit(raise_on_error=False)


async def _wait_for_background_tasks() -> None:
    """Wait for background tasks to end, because they could open connections again."""
    going = asyncio.all_tasks() - {asyncio.current_task()}
    if going:
        await asyncio.wait(going, timeout=0.5)


def wait_until_running(cloud: RunningHub, gate: Gate) -> None:
    """Wait until the only task is running and its ID is known."""
    gate.wait()
    cloud.wait_for(lambda: cloud.tasks)


def get_sent_values(cloud: RunningHub) -> dict[tuple[str, str], Any]:
    """Return the values sent for the only task, by node and field."""
    (request,) = [*cloud.find_requests("create"), *cloud.find_requests("ai-app/run")]
    return {(each["nodeId"], each["fieldName"]): each["fieldValue"] for each in request.body["nodeInfoList"]}
