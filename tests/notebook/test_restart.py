"""Test runs that outlive their kernel or form: they are found again by id, and by the cell that started them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.client.proxy import Proxy
from tests.ports import find_free_port

from .kernels import Page, kernel
from .test_editor_files import EDITOR
from .test_form import show_form

LONG = 'form = kit.form("text_to_image.json", width=256, height=256, steps=3000)\nform'
SHORT = 'form = kit.form("picture.json", width=24)\nform'


@pytest.fixture(scope="module")
def server() -> Iterator[Sandbox]:
    """A server of its own, with its own queue and history."""
    with Sandbox(step_seconds=0.02) as server:
        yield server


@pytest.fixture
def first(server: Sandbox, folder: Path) -> Iterator[Page]:
    with kernel(folder, COMFYUI_BASE_URL=server.url) as page:
        page.run("from comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        yield page


@pytest.fixture
def second(first: Page, server: Sandbox, folder: Path) -> Iterator[Page]:
    """The kernel after a restart."""
    with kernel(folder, COMFYUI_BASE_URL=server.url) as page:
        page.run("from comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        yield page


def test_after_a_restart_the_cell_finds_its_run_follows_it_and_cancels_it(first: Page, second: Page) -> None:
    model = first.model(first.run(LONG, cell_id="long"))
    id_ = first.ask(model, "run")[0]["prompt_id"]
    first.wait(lambda: model.state["status"] == "running")
    first.process.kill()
    other = second.model(second.run(LONG, cell_id="another"))
    model = second.model(second.run(LONG, cell_id="long"))
    second.wait(lambda: model.state["status"] == "running")
    assert model.state["progress"]["prompt_id"] == id_
    assert other.state["status"] == "idle"
    second.ask(model, "cancel", prompt_id=None)
    second.wait(lambda: model.state["runs"])
    assert (model.state["runs"][0]["id"], model.state["status"]) == (id_, "cancelled")


def test_after_a_restart_the_cell_has_the_outputs_of_its_last_run(first: Page, second: Page) -> None:
    model = first.model(first.run(SHORT, cell_id="short"))
    first.ask(model, "set", name="color", value=7)
    first.ask(model, "run")
    first.wait(lambda: len(model.state["runs"]) == 1)
    first.ask(model, "set", name="color", reset=True)
    id_ = first.ask(model, "run")[0]["prompt_id"]
    first.wait(lambda: len(model.state["runs"]) == 2)
    first.process.kill()
    model = second.model(second.run(SHORT, cell_id="short"))
    second.wait(lambda: model.state["runs"])
    (run,) = model.state["runs"]
    assert (run["id"], run["status"], run["changed"]) == (id_, "completed", {"width": 24})
    assert "kit.run('picture.json', width=24)" in second.ask(model, "code", run=run["id"])[0]["code"]
    answer, _ = second.ask(model, "media", run=run["id"], key=run["items"][0]["key"], size="thumb", offset=0)
    assert (answer["width"], answer["height"]) == (24, 48)
    again = second.model(second.run(SHORT, cell_id="short"))
    second.ask(again, "run")
    second.wait(lambda: again.state["runs"])
    assert len(again.state["runs"]) == 1


def test_after_a_restart_the_cell_has_the_values_of_its_last_run_unless_it_gives_others(
    first: Page, second: Page
) -> None:
    model = first.model(first.run(SHORT, cell_id="values"))
    first.ask(model, "set", name="height", value=40)
    first.ask(model, "run")
    first.wait(lambda: model.state["runs"])
    first.process.kill()
    model = second.model(second.run(SHORT, cell_id="values"))
    second.wait(lambda: model.state["values"]["height"] == 40)
    assert model.state["values"]["width"] == 24


def test_values_of_a_cell_precede_those_of_its_last_run(first: Page, second: Page) -> None:
    model = first.model(first.run(SHORT, cell_id="code"))
    first.ask(model, "set", name="height", value=40)
    first.ask(model, "run")
    first.wait(lambda: model.state["runs"])
    first.process.kill()
    code = 'form = kit.form("picture.json", width=32, height=56)\nform'
    model = second.model(second.run(code, cell_id="code"))
    second.wait(lambda: model.state["runs"])
    second.ask(model, "ping")  # after the values, on the same thread
    assert (model.state["values"]["width"], model.state["values"]["height"]) == (32, 56)


@pytest.mark.parametrize("name", ["picture", "editor"])
def test_after_a_restart_the_cell_finds_its_run_when_its_server_is_back(
    name: str, server: Sandbox, folder: Path
) -> None:
    (folder / "editor.json").write_text(json.dumps(EDITOR))  # its fields are not known without the server
    port = find_free_port()

    def open_way() -> Proxy:
        way = Proxy(server.url)
        way.port = port
        return way

    make = f"form = __import__('comfykit_jupyter').ComfyKit('http://127.0.0.1:{port}').form('{name}.json')\nform"
    with open_way(), kernel(folder) as page:
        model = page.model(page.run(make, cell_id="away"))
        id_ = page.ask(model, "run")[0]["prompt_id"]
        page.wait(lambda: model.state["runs"])
    with kernel(folder) as page:
        model = page.model(page.run(make, cell_id="away"))
        assert model.state["server"]["state"] == "unreachable"
        with open_way():
            page.ask(model, "hello")
            page.wait(lambda: model.state["runs"])
            assert [run["id"] for run in model.state["runs"]] == [id_]


def test_cell_run_again_in_the_same_kernel_shows_its_unfinished_run(first: Page) -> None:
    before = first.model(first.run(LONG, cell_id="long"))
    id_ = first.ask(before, "run")[0]["prompt_id"]
    after = first.model(first.run(LONG, cell_id="long"))
    first.wait(lambda: after.state["status"] == "running")
    assert after.state["progress"]["prompt_id"] == id_
    first.ask(after, "cancel", prompt_id=id_)
    first.wait(lambda: after.state["status"] == before.state["status"] == "cancelled")


def test_run_is_attached_by_its_id(first: Page) -> None:
    first.run("result = kit.run('picture.json', width=33)")
    model = show_form(first, 'kit.form("picture.json")')
    assert first.value("form.attach(result.prompt_id).result().image.pil().size") == "(33, 48)"
    first.wait(lambda: model.state["runs"])
    assert model.state["runs"][0]["id"] == first.value("result.prompt_id").strip("'")
    cell = first.run("form.attach('no such run').result()")
    assert cell.status == "error"
    assert "does not know the job" in cell.error


def test_forms_made_in_one_cell_are_distinguished(first: Page) -> None:
    cell = first.run("forms = [kit.form('picture.json') for _ in range(3)]\nmarks = {form._cell_id for form in forms}")
    assert cell.status == "ok", cell.error
    assert first.value("len(marks)") == "3"
