"""Test what every backend does with the job of a cell whose kernel was restarted."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client import cells, marks
from tests.client import workflows
from tests.client.nodes import Gate
from tests.client.test_cancel import wait_for

from .places import Place


class Notebook:
    """Cells in which calls are made, and a kernel that can be restarted."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reports: list[str] = []
        self._monkeypatch = monkeypatch
        self._kernels = Counter[str]()

    def enter(self, name: str = "cell") -> None:
        """Begin to run a cell."""
        cell = cells.Cell(f"{id(self)} {name}", lambda prompt_id, _: self.reports.append(prompt_id))
        cells.set_finder(lambda: cell)

    def restart(self) -> None:
        """Begin another kernel, later than all before."""
        self._kernels["started"] += 1
        self._monkeypatch.setattr(marks, "kernel", f"f{self._kernels['started']:019x}")


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Notebook]:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path_factory.mktemp("state")))
    notebook = Notebook(monkeypatch)
    notebook.enter()
    yield notebook
    cells.set_finder(None)


MakeKit = Callable[..., ComfyKit]


def test_same_call_after_a_restart_is_attached_to_its_job(
    place: Place, make_kit: MakeKit, gate: tuple[str, Gate], notebook: Notebook
) -> None:
    name, door = gate
    workflow = place.name_workflow(workflows.gated(name))
    first = make_kit().submit(workflow)
    wait_for(first, lambda run: run.status == "running")
    before = place.count_jobs()
    notebook.restart()
    notebook.enter()
    second = make_kit().submit(workflow)
    assert second.prompt_id == first.prompt_id == notebook.reports[0]
    assert place.count_jobs() == before
    door.open()
    assert second.result().status == first.result().status == "completed"
    notebook.enter()
    assert make_kit().run(workflow).prompt_id != first.prompt_id  # it has ended
    assert place.count_jobs() == before + 1
    assert len(notebook.reports) == 1
