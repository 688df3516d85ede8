"""Fixtures of the client's tests: kits, proxies and gates."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit, closing_kits, hide_settings

from .nodes import GATES, PATIENCE, Gate
from .proxy import Proxy


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    hide_settings(monkeypatch)


@pytest.fixture
def make_kit(sandbox: Sandbox) -> Iterator[MakeKit]:
    """A function that creates kits, by default for the embedded server."""
    with closing_kits(lambda url=None, **options: ComfyKit(url or sandbox.url, **options)) as make_kit:
        yield make_kit


@pytest.fixture
def kit(make_kit: MakeKit) -> ComfyKit:
    return make_kit()


@pytest.fixture(params=["http", "websocket"])
def either(request: pytest.FixtureRequest, make_kit: MakeKit) -> ComfyKit:
    """A kit of each executor type."""
    return make_kit(executor_type=request.param)


@pytest.fixture
def eager(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs without events ask for the queue from the first look on, and not only after more than a second."""
    monkeypatch.setattr("comfykit_jupyter.client.backends.comfyui.follow.LOOK_QUEUE", 0.001)


@pytest.fixture
def proxy(sandbox: Sandbox) -> Iterator[Proxy]:
    """A proxy in front of the embedded server."""
    with Proxy(sandbox.url) as proxy:
        yield proxy


@pytest.fixture
def gate() -> Iterator[tuple[str, Gate]]:
    """A gate and its name; it is always opened at the end."""
    name = uuid.uuid4().hex
    yield name, GATES[name]
    GATES[name].open()  # it stays open for jobs that begin later


class Jobs:
    """The jobs of a server, asked for directly instead of through the client."""

    def __init__(self, url: str) -> None:
        self._http = httpx.Client(base_url=url, verify=False, timeout=20)

    def close(self) -> None:
        self._http.close()

    def queue(self) -> list[str]:
        """Return the IDs of the running and queued jobs."""
        found = self._http.get("/queue").json()
        return [item[1] for part in ("queue_running", "queue_pending") for item in found[part]]

    def expect(self, *prompt_ids: str) -> None:
        """Wait until exactly these jobs are running or queued: one that just ended may take a moment to go."""
        deadline = time.monotonic() + PATIENCE
        while self.queue() != [*prompt_ids]:
            assert time.monotonic() < deadline, f"the queue has {self.queue()}, not {prompt_ids}"
            time.sleep(0.001)

    def history(self, prompt_id: str) -> dict[str, Any] | None:
        found: dict[str, Any] | None = self._http.get(f"/history/{prompt_id}").json().get(prompt_id)
        return found

    def post(self, prompt: dict[str, Any], extra_data: Any = None) -> str:
        """Post a job as another client would."""
        body = {"prompt": prompt} | ({} if extra_data is None else {"extra_data": extra_data})
        answer = self._http.post("/prompt", json=body).raise_for_status().json()
        return str(answer["prompt_id"])


@pytest.fixture
def jobs(sandbox: Sandbox) -> Iterator[Jobs]:
    jobs = Jobs(sandbox.url)
    yield jobs
    jobs.close()
