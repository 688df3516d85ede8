"""Test the form of a workflow on RunningHub: real kernels, driven by the messages of a page."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.runninghub import DROPPED, Fate, Held, Output, Refusal, RunningHub

from .cloud_kernels import (
    APP,
    NOWHERE,
    PICTURE,
    REPAINT,
    begin_run,
    cloud_kernel,
    collect_received,
    holding_tasks,
    start_cloud,
)
from .kernels import Model, Page
from .test_form import make_png, show_form
from .test_form_runs import HASH, run_code, run_form

SMALL = "width=128, height=128, steps=2"


@pytest.fixture(scope="module")
def cloud(sandbox: Sandbox) -> Iterator[RunningHub]:
    with start_cloud(sandbox) as cloud:
        yield cloud


@pytest.fixture(scope="module")
def page(cloud: RunningHub, folder: Path) -> Iterator[Page]:
    with cloud_kernel(cloud, folder) as page:
        yield page
        assert cloud.key not in collect_received(page)
        assert not cloud.files.leaks


def show_cloud_form(page: Page, id_: str, values: str = "") -> Model:
    """Show the form of a workflow; the kernel calls it `form`."""
    return show_form(page, f"kit.form({id_!r}, {values})")


def read_size(page: Page, model: Model, run: str, key: str) -> tuple[int, int]:
    """Return the size of an output as the page receives it."""
    answer, _ = page.ask(model, "media", run=run, key=key, size="thumb", offset=0)
    assert "error" not in answer, answer
    return answer["width"], answer["height"]


def test_form_has_the_fields_of_the_graph_and_shows_the_account(page: Page, cloud: RunningHub) -> None:
    model = show_cloud_form(page, PICTURE, "steps=12, seed=2**64 - 3")
    fields = {field["name"]: field for field in model.state["fields"]}
    kinds = [fields[name]["kind"] for name in ("seed", "steps", "prompt")]
    assert kinds == ["seed", "integer", "multiline"]
    assert (model.state["values"]["steps"], model.state["values"]["seed"]) == (12, str(2**64 - 3))
    server = model.server
    assert (server["address"], server["state"]) == (cloud.url.partition("://")[2], "ready")
    assert server["message"] == "RunningHub, 177814 coins"


def test_form_cancels_a_task_by_its_id(page: Page, cloud: RunningHub) -> None:
    show_cloud_form(page, PICTURE, "steps=3000, width=256, height=256")
    before = len(cloud.tasks)
    page.run("run = form.run()")
    cloud.wait_for(lambda: len(cloud.tasks) > before and cloud.task.begun)
    page.run("form.cancel(run.prompt_id)")
    state = cloud.task.state
    page.run("run.cancel()")
    assert state == "CANCEL"


def test_form_of_an_app_has_the_bounds_and_choices_of_the_site(page: Page) -> None:
    model = show_cloud_form(page, APP)
    fields = {field["name"]: field for field in model.state["fields"]}
    assert (fields["steps"]["min"], fields["seed"]["max"]) == (1, str(2**64 - 1))
    assert len(fields["ckpt_name"]["choices"]) == 3
    assert model.state["title"].startswith("Fuchs im Schnee")
    assert page.ask(model, "set", name="steps", value=0)[0]["error"]
    (id_,) = run_form(page, show_cloud_form(page, APP, "steps=2"))
    assert id_


def test_what_ran_is_shown_from_local_copies_with_its_cost(page: Page, cloud: RunningHub) -> None:
    model = show_cloud_form(page, PICTURE, SMALL)
    (run,) = run_form(page, model)
    cloud.files.expired = 403
    try:
        (brief,) = model.state["runs"]
        (item,) = brief["items"]
        assert read_size(page, model, run, item["key"]) == (128, 128)
        assert page.value("form.result.image.pil().size") == "(128, 128)"
        assert "data:image/webp" in page.run("form.result").html
    finally:
        cloud.files.expired = None
    cloud.fates.append(Fate(outputs=[Output("9", "fox.txt", b"a fox", "a fox")], seconds=83))
    (run,) = run_form(page, model)
    assert model.state["runs"][0]["cost"] == "17 coins"


def test_progress_previews_and_what_is_waited_for_are_shown_and_cancel_ends_the_task(
    page: Page, cloud: RunningHub
) -> None:
    model = show_cloud_form(page, PICTURE, "width=256, height=256, steps=3000")
    first = page.ask(model, "run")[0]["prompt_id"]
    page.wait(lambda: model.state["progress"].get("step"))
    assert (model.state["status"], model.state["progress"]["prompt_id"]) == ("running", first)
    page.wait(lambda: any(content["kind"] == "preview" for content, _ in model.messages))
    second = page.ask(model, "run")[0]["prompt_id"]
    page.wait(lambda: [waiting["id"] for waiting in model.state["waiting"]] == [second])
    before = len(cloud.tasks)
    page.ask(model, "cancel", prompt_id=second)
    page.wait(lambda: not model.state["waiting"])
    assert len(cloud.tasks) == before
    page.ask(model, "cancel", prompt_id=None)
    page.wait(lambda: model.state["status"] == "cancelled")
    assert cloud.task.state == "CANCEL"


def test_uploads_in_progress_are_shown(page: Page, cloud: RunningHub) -> None:
    model = show_cloud_form(page, REPAINT, "steps=2, seed=7")
    data, slowly = make_png(90, 60), Held(threading.Event())
    page.ask(model, "upload", [data], name="image", file="my photo.png", size=len(data), offset=0, upload="u1")
    page.wait(lambda: "image" in model.state["values"])
    cloud.answer("v2/upload", slowly)
    page.ask(model, "run")
    page.wait(lambda: model.state["progress"].get("note") == "Uploading image")
    slowly.event.set()
    page.wait(lambda: model.state["runs"])
    assert model.state["runs"][0]["status"] == "completed"


def test_reloaded_page_has_everything_again(page: Page) -> None:
    model = show_cloud_form(page, PICTURE, SMALL)
    (run,) = run_form(page, model)
    page.ask(model, "hello")
    assert [brief["id"] for brief in model.state["runs"]] == [run]
    assert read_size(page, model, run, model.state["runs"][0]["items"][0]["key"]) == (128, 128)


def test_settings_come_back_and_an_output_is_used_as_an_input_after_its_address_has_expired(
    page: Page, cloud: RunningHub
) -> None:
    model = show_cloud_form(page, REPAINT, f"image=kit.run({PICTURE!r}, {SMALL}).image, steps=2")
    (first,) = run_form(page, model)
    page.run("form.values = {'prompt': 'something else', 'steps': 3}")
    assert page.ask(model, "apply", run=first)[0].keys() == {"kind", "id"}
    assert page.value("form.values['steps'], form.values['seed'] == form.result.seeds['seed']") == "(2, True)"
    (item,) = [item for item in model.state["runs"][0]["items"] if item["kind"] == "image"]
    page.ask(model, "use", run=first, key=item["key"], name="image")
    assert read_size(page, model, "input", "image") == (512, 512)
    cloud.files.expired = 404
    try:
        page.ask(model, "run")
        page.wait(lambda: model.state["status"] == "running")
    finally:
        cloud.files.expired = None
    page.wait(lambda: len(model.state["runs"]) == 2)
    brief = model.state["runs"][0]
    assert (brief["status"], brief["changed"]["image"]) == ("completed", item["name"])


@pytest.mark.parametrize("source", [repr(PICTURE), f"kit.load({PICTURE!r})", "__import__('pathlib').Path('rh.json')"])
def test_code_of_a_run_makes_the_same_image(page: Page, folder: Path, source: str) -> None:
    (folder / "rh.json").write_text(json.dumps({"_source": "runninghub", "workflow_id": PICTURE}))
    model = show_form(page, f'kit.form({source}, {SMALL}, prompt="a \\"fox\\"")')
    (run,) = run_form(page, model)
    code = page.ask(model, "code", run=run)[0]["code"]
    assert "kit = ComfyKit()\n" in code
    assert f"seed={model.state['runs'][0]['seeds']['seed']}" in code
    assert PICTURE in code or "rh.json" in code
    assert "class_type" not in code
    made = page.value(HASH)
    assert run_code(page, code) == made


def test_code_of_a_run_names_the_uploaded_file_and_only_the_setting_of_a_key(
    page: Page, cloud: RunningHub, folder: Path
) -> None:
    with cloud_kernel(cloud, folder, key="") as other:
        given = f"runninghub_api_key={cloud.key!r}, runninghub_instance_type='plus'"
        other.run(f"kit = ComfyKit({given})")
        model = show_form(other, f"kit.form({REPAINT!r}, steps=2, seed=7)")
        data = make_png(96, 64)
        other.ask(model, "upload", [data], name="image", file="my photo.png", size=len(data), offset=0, upload="u1")
        other.wait(lambda: "image" in model.state["values"])
        (run,) = run_form(other, model)
        assert cloud.task.instance_type == "plus"
        code = other.ask(model, "code", run=run)[0]["code"]
        made = other.value(HASH)
        assert cloud.key not in collect_received(other)
    assert "# also needs runninghub_api_key=" in code
    assert "ComfyKit(runninghub_instance_type='plus')" in code
    assert "image='openapi/" in code
    assert run_code(page, code) == made


def test_value_that_the_site_rejects_is_shown_at_its_field_and_nothing_runs(page: Page, cloud: RunningHub) -> None:
    model = show_cloud_form(page, PICTURE, SMALL)
    answer, _ = page.ask(model, "set", name="steps", value="many")
    assert "steps (Sampler)" in answer["error"]
    assert "steps (Sampler)" in model.state["errors"]["steps"]
    page.ask(model, "set", name="steps", value=2)
    error = {"type": "x", "message": "too big", "details": "", "extra_info": {"input_name": "cfg"}}
    tips = {"result": False, "node_errors": {"3": {"errors": [error], "class_type": "KSampler"}}}
    cloud.answer("create", Refusal(433, data={"promptTips": json.dumps(tips)}))
    page.ask(model, "run")
    page.wait(lambda: "cfg" in model.state["errors"])
    assert model.state["runs"][0]["error"]["kind"] == "refused"
    assert "too big" in model.state["errors"]["cfg"]


def test_lost_answer_is_reported_and_the_request_not_repeated(page: Page, cloud: RunningHub) -> None:
    model = show_cloud_form(page, PICTURE, SMALL)
    before = len(cloud.find_requests("create"))
    cloud.answer("create", DROPPED)
    page.ask(model, "run")
    page.wait(lambda: model.state["runs"])
    error = model.state["runs"][0]["error"]
    assert error["kind"] == "unknown"
    assert "kit.attach" in error["message"]
    assert len(cloud.find_requests("create")) == before + 1


@pytest.mark.parametrize("ended", [False, True], ids=["running", "ended"])
def test_after_a_restart_the_cell_finds_its_task_with_its_values(cloud: RunningHub, folder: Path, ended: bool) -> None:
    code = f"form = kit.form({PICTURE!r}, width=256, height=256, steps=2, seed=2**64 - 3)\nform"
    before, created = set(cloud.tasks), len(cloud.find_requests("create"))
    with holding_tasks(cloud) as release:
        with cloud_kernel(cloud, folder) as first:
            model = first.model(first.run(code, cell_id=f"cloud {ended}"))
            first.ask(model, "run")
            cloud.wait_for(lambda: set(cloud.tasks) - before and cloud.task.begun)
            if ended:
                release()
                first.wait(lambda: model.state["runs"])
            task = cloud.task.id
            first.process.kill()
        with cloud_kernel(cloud, folder) as page:
            other = page.model(page.run(code, cell_id="another"))
            model = page.model(page.run(code, cell_id=f"cloud {ended}"))
            if not ended:
                page.wait(lambda: model.state["status"] == "running")
                release()
            page.wait(lambda: model.state["runs"])
            (brief,) = model.state["runs"]
            assert (brief["id"], brief["status"], brief["seeds"]) == (task, "completed", {"seed": str(2**64 - 3)})
            assert read_size(page, model, task, brief["items"][0]["key"]) == (256, 256)
            assert "seed=18446744073709551613" in page.ask(model, "code", run=task)[0]["code"]
            assert "error" not in page.ask(model, "apply", run=task)[0]
            assert not other.state["runs"]
    assert len(cloud.find_requests("create")) == created + 1


def test_on_another_machine_a_form_shows_a_task_by_its_id(cloud: RunningHub, folder: Path, tmp_path: Path) -> None:
    with holding_tasks(cloud) as release:
        with cloud_kernel(cloud, folder) as first:
            task = begin_run(first, cloud, steps=2)
            first.process.kill()
        with cloud_kernel(cloud, folder, XDG_STATE_HOME=str(tmp_path)) as page:
            model = show_cloud_form(page, PICTURE)
            page.run(f"run = form.attach({task!r})")
            page.wait(lambda: model.state["status"] == "running")
            release()
            page.wait(lambda: model.state["runs"])
            (brief,) = model.state["runs"]
            assert (brief["id"], brief["status"]) == (task, "completed")
            assert read_size(page, model, task, brief["items"][0]["key"]) == (256, 256)
            for kind in ("code", "apply"):
                assert "are unknown" in page.ask(model, kind, run=task)[0]["error"]


def test_files_on_the_site_are_not_looked_for_on_a_server(page: Page) -> None:
    model = show_cloud_form(page, "rh-app:1937084629516193795")
    answer, _ = page.ask(model, "media", run="input", key="image", size="thumb", offset=0)
    assert "does not give back" in answer["error"]
    assert NOWHERE not in answer["error"]


@pytest.mark.parametrize(
    ("made", "message"),
    [
        ("kit.form('1904')", "it has no such workflow"),
        (f"ComfyKit(runninghub_url={NOWHERE!r}).form({PICTURE!r})", "can't be reached"),
        (f"ComfyKit(runninghub_api_key='x' * 32).form({PICTURE!r})", "it does not know the key"),
        (f"kit.form({PICTURE!r}, stepz=3)", "did you mean 'steps'?"),
    ],
)
def test_form_that_cannot_be_made_says_why_in_one_line(page: Page, made: str, message: str) -> None:
    cell = page.run(made)
    assert cell.status == "error"
    assert message in cell.error.strip().splitlines()[-1]
    assert "Exception ignored" not in cell.stderr


def test_unavailable_account_is_requested_again(page: Page, cloud: RunningHub) -> None:
    cloud.answer("accountStatus", 1005, times=1)
    model = show_cloud_form(page, PICTURE)
    page.wait(lambda: model.state["server"]["state"] == "ready")
    names: list[Any] = [field["name"] for field in model.state["fields"]]
    assert "prompt" in names
