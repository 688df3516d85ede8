"""Test cells that are run again after their kernel was restarted: their calls are attached to the jobs that go on."""

from __future__ import annotations

import json
import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.client.nodes import GATES

from .kernels import PATIENCE, Cell, Page, kernel

SMALL = "width=64, height=64, steps=1"
LONG = "width=256, height=256, steps=3000"
Start = Callable[..., Page]


@pytest.fixture
def held(folder: Path) -> Iterator[Callable[[], None]]:
    """A workflow `held.json`, whose jobs run until the function is called."""
    name = uuid.uuid4().hex
    graph = json.loads((folder / "text_to_image.json").read_text())
    (save,) = (node for node in graph.values() if node["class_type"] == "SaveImage")
    graph["gate"] = {"class_type": "TestGate", "inputs": {"image": save["inputs"]["images"], "name": name, "steps": 1}}
    save["inputs"]["images"] = ["gate", 0]
    (folder / "held.json").write_text(json.dumps(graph))
    yield GATES[name].open
    GATES[name].open()  # it stays open for jobs that begin later


class Record:
    """The jobs in the server's own record."""

    def __init__(self, http: httpx.Client) -> None:
        self._http = http

    def list_queue(self) -> list[list[Any]]:
        queue = self._http.get("/queue").json()
        return [*queue["queue_running"], *sorted(queue["queue_pending"])]

    def list_ids(self) -> list[str]:
        """Return the IDs of the jobs that have not ended, in order."""
        return [item[1] for item in self.list_queue()]

    def count(self) -> int:
        """Return the number of all jobs that were ever sent."""
        return len(self.list_queue()) + len(self._http.get("/history").json())

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition holds, which may ask the server."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, f"the queue has {self.list_ids()}"
            time.sleep(0.005)


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    with Sandbox(step_seconds=0.02) as server:
        yield server


@pytest.fixture
def record(server: Sandbox) -> Iterator[Record]:
    with httpx.Client(base_url=server.url) as http:
        record = Record(http)
        http.post("/history", json={"clear": True})
        yield record
        http.post("/queue", json={"clear": True})
        http.post("/interrupt")
        record.wait_for(lambda: not record.list_ids())


@pytest.fixture
def start(server: Sandbox, folder: Path, record: Record) -> Iterator[Start]:
    """Start a kernel of a notebook; called again, its kernel after a restart."""
    with ExitStack() as stack:

        def start(notebook: str = "study.ipynb", setup: str = "%load_ext comfykit_jupyter") -> Page:
            opened: AbstractContextManager[Page] = kernel(
                folder, COMFYUI_BASE_URL=server.url, JPY_SESSION_NAME=notebook
            )
            page = stack.enter_context(opened)
            page.run(f"{setup}\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()", cell_id="setup")
            return page

        yield start


def restart(page: Page, start: Start, **more: str) -> Page:
    page.process.kill()
    return start(**more)


def find_line(cell: Cell) -> str:
    """Return the line about the jobs that a cell is attached to; "" if there is none."""
    lines = [bundle["text/plain"] for bundle in cell.bundles if bundle["text/plain"].startswith("Attached")]
    assert len(lines) < 2
    return "".join(lines)


def test_magic_is_attached_to_its_job_and_cancels_it_as_its_own(start: Start, record: Record) -> None:
    line = "%comfykit run text_to_image.json width=256 height=256 steps=3000 -o fox"
    first = start()
    first.start(line, cell_id="a")
    record.wait_for(record.list_ids)
    (job,) = record.list_ids()
    second = restart(first, start)
    cell = second.start(line, cell_id="a")
    model = second.model(cell)
    second.wait(lambda: model.state["status"] == "running")
    assert job[:8] in find_line(cell)
    assert "--new" in find_line(cell)
    assert record.count() == 1
    second.interrupt()
    second.wait(lambda: cell.ended)
    assert "cancelled" in cell.error
    record.wait_for(lambda: not record.list_ids())
    assert record.count() == 1


def test_magic_sends_again_what_has_ended_and_whatever_is_new(start: Start, record: Record) -> None:
    short = "%comfykit run text_to_image.json width=64 height=64 steps=1"
    long = "%%comfykit run text_to_image.json\nwidth: 256\nheight: 256\nsteps: 3000"
    first = start()
    assert first.run(short, cell_id="short").status == "ok"
    first.start(long, cell_id="long")
    record.wait_for(record.list_ids)
    second = restart(first, start)
    cell = second.start(short.replace(" width", " --new width"), cell_id="new")
    record.wait_for(lambda: record.count() == 3)
    again = second.start(short, cell_id="short")
    renewed = second.start(long.replace("json", "json --new"), cell_id="long")
    record.wait_for(lambda: len(record.list_ids()) == 2)
    second.interrupt()
    second.wait(lambda: cell.ended)
    assert find_line(cell) == find_line(again) == find_line(renewed) == ""


def test_blocking_run_is_attached_and_its_result_has_the_seed_of_the_job(
    start: Start, record: Record, held: Callable[[], None]
) -> None:
    code = f"fox = kit.run('held.json', {SMALL}, seed='random', prompt='a fox')"
    first = start()
    first.start(code, cell_id="a")
    record.wait_for(record.list_ids)
    (item,) = record.list_queue()
    second = restart(first, start, setup="")
    cell = second.start(code, cell_id="a")
    second.wait(lambda: find_line(cell))
    held()
    second.wait(lambda: cell.ended)
    assert cell.status == "ok", cell.error
    assert "kit.options(attach=False)" in find_line(cell)
    assert record.count() == 1
    assert second.value("fox.prompt_id, fox.seeds['seed']") == repr((item[1], item[2]["3"]["inputs"]["seed"]))
    assert second.value("fox.params['prompt'], fox.params['steps'], fox.workflow_name") == repr(("a fox", 1, "held"))
    assert second.value("fox.image.pil().size") == "(64, 64)"


def test_list_of_submissions_goes_on_in_the_middle(start: Start, record: Record) -> None:
    code = (
        "runs = [kit.submit('text_to_image.json', width=256, height=256, steps=n, seed='random')"
        " for n in (1, 3000, 3000, 3000)]"
    )
    first = start()
    first.run(code, cell_id="list")
    record.wait_for(lambda: (record.count(), len(record.list_ids())) == (4, 3))
    left = record.list_ids()
    second = restart(first, start)
    cell = second.run(code, cell_id="list")
    assert cell.status == "ok", cell.error
    assert find_line(cell).startswith("Attached to 3 jobs")
    record.wait_for(lambda: record.count() == 5)
    assert second.value("[run.prompt_id for run in runs[1:]]") == repr(left)
    cell = second.run(code, cell_id="list")  # in one kernel, each call is a new run
    assert find_line(cell) == ""
    record.wait_for(lambda: record.count() == 9)
    second.run("%comfykit cancel")
    record.wait_for(lambda: not record.list_ids())


def test_cells_of_another_notebook_with_the_same_text_are_not_mixed_up(start: Start, record: Record) -> None:
    code = f"run = kit.submit('text_to_image.json', {LONG})"
    first, other = start("a.ipynb"), start("b.ipynb")
    first.run(code, cell_id="same")
    record.wait_for(lambda: len(record.list_ids()) == 1)
    other.run(code, cell_id="same")
    record.wait_for(lambda: len(record.list_ids()) == 2)
    mine, theirs = record.list_ids()
    first, other = restart(first, start, notebook="a.ipynb"), restart(other, start, notebook="b.ipynb")
    other.run(code, cell_id="same")
    first.run(code, cell_id="same")
    first.run(f"another = kit.submit('text_to_image.json', {LONG})", cell_id="other")
    assert other.value("run.prompt_id") == repr(theirs)
    assert first.value("run.prompt_id, another.prompt_id != run.prompt_id") == repr((mine, True))
    record.wait_for(lambda: record.count() == 3)
    table = first.run("%comfykit queue").bundles[0]["text/plain"]
    owners = [re.split(r"\s{2,}", line)[2] for line in table.splitlines()[2:]]
    assert owners == ["this kernel", "you", "this kernel"]
    assert "2 from this kernel, 1 from your other kernels" in table


def test_awaited_submission_is_attached(start: Start, record: Record, held: Callable[[], None]) -> None:
    code = f"result = await kit.submit('held.json', {SMALL})"
    first = start()
    first.start(code, cell_id="a")
    record.wait_for(record.list_ids)
    second = restart(first, start)
    cell = second.start(code, cell_id="a")
    second.wait(lambda: find_line(cell))
    held()
    second.wait(lambda: cell.ended)
    assert cell.status == "ok", cell.error
    assert record.count() == 1


def test_execute_and_cells_without_an_id_always_send(start: Start, record: Record) -> None:
    code = f"task = asyncio.ensure_future(kit.execute('text_to_image.json', dict({LONG})))\nawait asyncio.sleep(0.5)"
    first = start()
    first.run(f"import asyncio\n{code}", cell_id="a")
    record.wait_for(record.list_ids)
    second = restart(first, start)
    cell = second.run(f"import asyncio\n{code}", cell_id="a")
    record.wait_for(lambda: record.count() == 2)
    assert find_line(cell) == ""


@pytest.mark.parametrize("together", [True, False], ids=["in one cell", "in two cells"])
def test_run_of_a_form_in_a_cell_is_attached_and_shown_once(start: Start, record: Record, together: bool) -> None:
    form, run = f"form = kit.form('text_to_image.json', {LONG})", "run = form.run()"
    cells = {"form": f"{form}\n{run}\nform"} if together else {"form": f"{form}\nform", "run": run}
    first = start()
    for name, code in cells.items():
        first.run(code, cell_id=name)
    record.wait_for(lambda: record.count() == 1)
    second = restart(first, start)
    made = [second.run(code, cell_id=name) for name, code in cells.items()]
    assert "".join(map(find_line, made)).startswith("Attached to job")
    model = second.model(made[0])
    second.wait(lambda: model.state["status"] == "running")
    assert second.value("run.prompt_id") == repr(record.list_ids()[0])
    assert (record.count(), model.state["waiting"]) == (1, [])
    second.run("run.cancel()")
    second.wait(lambda: model.state["status"] == "cancelled")
    assert len(model.state["runs"]) == 1
