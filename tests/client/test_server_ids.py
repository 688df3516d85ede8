"""Test runs on servers that choose the prompt ID, whatever the client proposes."""

from __future__ import annotations

from typing import Any

import pytest

from comfykit_jupyter import RunFailed
from tests.kits import MakeKit

from . import workflows
from .conftest import Jobs
from .nodes import Gate
from .proxy import Proxy
from .test_cancel import is_known, wait_for


@pytest.fixture
def chooser(proxy: Proxy) -> Proxy:
    """A server that chooses the prompt ID."""
    proxy.chooses_ids = True
    return proxy


@pytest.mark.parametrize("executor", ["http", "websocket"])
async def test_job_is_followed_by_the_server_s_id(executor: Any, chooser: Proxy, make_kit: MakeKit, jobs: Jobs) -> None:
    kit = make_kit(chooser.url, executor_type=executor)
    run = kit.submit(workflows.picture(), color=7)
    result = await run
    assert (result.status, len(result.images)) == ("completed", 1)
    assert result.prompt_id == run.prompt_id != run.id
    assert jobs.history(run.prompt_id) is not None
    assert (await kit.attach(run.prompt_id)).images == result.images


def test_running_job_shows_steps_and_previews_and_is_cancelled(
    chooser: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    previews: list[str] = []
    run = make_kit(chooser.url).submit(workflows.gated(name, steps=3))
    run.subscribe(preview=lambda preview: previews.append(preview.prompt_id))
    node_gate.wait()
    wait_for(run, lambda run: run.progress.step == 2)
    run.cancel()
    with pytest.raises(RunFailed):
        run.result()
    assert run.status == "cancelled"
    assert set(previews) <= {run.id}
    jobs.expect()


@pytest.mark.usefixtures("eager")
def test_queued_job_knows_its_position_and_is_cancelled(
    chooser: Proxy, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    other = jobs.post(workflows.gated(name))
    node_gate.wait()
    run = make_kit(chooser.url).submit(workflows.picture())
    wait_for(run, is_known)
    assert run.progress.queue_position == 1
    run.cancel()
    with pytest.raises(RunFailed, match="cancelled before it started"):
        run.result()
    jobs.expect(other)
