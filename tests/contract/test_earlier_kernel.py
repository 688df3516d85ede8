"""Test what every backend does with the job of a cell whose kernel was restarted."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.client import workflows
from tests.client.nodes import Gate
from tests.client.notebook import Notebook
from tests.client.test_cancel import wait_for
from tests.kits import MakeKit

from .places import Place


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Notebook:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return Notebook(monkeypatch)


def test_same_call_after_a_restart_is_attached_to_its_job(
    place: Place, make_kit: MakeKit, gate: tuple[str, Gate], notebook: Notebook
) -> None:
    name, door = gate
    workflow = place.name_workflow(workflows.gated(name))
    first = make_kit().submit(workflow, width=24)
    wait_for(first, lambda run: run.status == "running")
    before = place.count_jobs()
    notebook.restart()
    second = make_kit().submit(workflow, width=24)
    assert second.prompt_id == first.prompt_id == notebook.reports[0]
    assert place.count_jobs() == before
    door.open()
    result = second.result()
    assert (result.status, result.params["width"], result.image.pil().size) == ("completed", 24, (24, 16))
    first.result()
    notebook.enter()
    assert make_kit().run(workflow, width=24).prompt_id != first.prompt_id  # it has ended
    assert place.count_jobs() == before + 1
    assert len(notebook.reports) == 1


def test_cancelling_the_call_cancels_the_job(
    place: Place, make_kit: MakeKit, gate: tuple[str, Gate], notebook: Notebook
) -> None:
    name, door = gate
    workflow = place.name_workflow(workflows.gated(name))
    first = make_kit(raise_on_error=False).submit(workflow)
    wait_for(first, lambda run: run.status == "running")
    notebook.restart()
    second = make_kit(raise_on_error=False).submit(workflow)
    assert notebook.reports == [first.prompt_id]
    second.cancel()
    second.result()
    assert second.status == "cancelled"
    door.open()
    assert first.result().status == "failed"
