"""Test `%comfykit` and the form on a Comfy API v2 server: the official proxy in front of the embedded server."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.comfyapi.proxied import Proxied

from .kernels import Page, kernel
from .test_form import show_form
from .test_form_runs import HASH, run_code, run_form

SMALL = "width=128 height=128 steps=2"


@pytest.fixture(scope="module")
def proxied() -> Iterator[Proxied]:
    with Sandbox(step_seconds=0.02) as server, Proxied(server.url) as proxied:
        yield proxied


@pytest.fixture(scope="module")
def page(proxied: Proxied, folder: Path) -> Iterator[Page]:
    with kernel(folder, COMFYUI_BASE_URL=proxied.url) as page:
        loaded = page.run("%load_ext comfykit_jupyter\nfrom comfykit_jupyter import ComfyKit\nkit = ComfyKit()")
        assert loaded.status == "ok", loaded.error
        yield page


def test_file_runs_live_and_leaves_a_static_picture(page: Page) -> None:
    cell = page.start("%comfykit run text_to_image.json width=256 height=256 steps=60 seed=7 -o fox")
    model = page.model(cell)
    page.wait(lambda: model.state["progress"].get("step"))
    page.wait(lambda: cell.ended)
    assert cell.status == "ok", cell.error
    assert "data:image/webp" in cell.html
    assert "seed 7" in cell.html
    cell = page.run("%comfykit attach {fox.prompt_id} -o there")
    assert cell.status == "ok", cell.error
    assert page.value("there.image.read() == fox.image.read()") == "True"


def test_jobs_are_listed_and_unsupported_commands_say_so(page: Page, proxied: Proxied) -> None:
    page.run(f"%comfykit run text_to_image.json {SMALL} seed=11")
    assert f"Comfy API v2 at {proxied.url}" in page.run("%comfykit status").stdout
    page.run("run = kit.submit('text_to_image.json', steps=3000, width=256, height=256)")
    page.run(
        "import threading\nbegun = threading.Event()\n"
        "run.subscribe(lambda progress: progress.status == 'running' and begun.set())\nbegun.wait(20)"
    )
    for command in ("queue", "history"):
        cell = page.run(f"%comfykit {command}")
        assert cell.status == "ok", cell.error
        assert "<table>" in cell.html
    cell = page.run("%comfykit models")
    assert cell.status == "error"
    assert "does not expose its models" in cell.error
    page.run("%comfykit cancel")
    assert page.run("run.result()").status == "error"
    assert page.value("run.status") == "'cancelled'"


def test_form_runs_and_the_code_of_its_run_makes_the_same_image(page: Page, proxied: Proxied) -> None:
    model = show_form(page, "kit.form('text_to_image.json', width=128, height=128, steps=2)")
    assert model.state["server"]["state"] == "ready"
    assert proxied.url.partition("://")[2].startswith(model.server["address"])
    (run,) = run_form(page, model)
    made = page.value(HASH)
    assert run_code(page, page.ask(model, "code", run=run)[0]["code"]) == made
    page.run("kit = ComfyKit(kit.comfyui_url.replace('127.0.0.1', 'localhost').removesuffix('/api/v2'), api='v2')")
    model = show_form(page, "kit.form('text_to_image.json', width=128, height=128, steps=2)")
    (run,) = run_form(page, model)
    code = page.ask(model, "code", run=run)[0]["code"]
    assert "api='v2'" in code
    made = page.value(HASH)
    assert run_code(page, code) == made
