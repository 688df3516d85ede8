"""Test `%comfykit` with workflows on RunningHub, in real kernels against the local double."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from comfykit_jupyter.sandbox import Sandbox
from tests.clouds.runninghub import Fate, Output, RunningHub

from .cloud_kernels import (
    APP,
    LONG,
    PICTURE,
    REPAINT,
    SMALL,
    TEXT,
    begin_run,
    cloud_kernel,
    collect_received,
    holding_tasks,
    start_cloud,
    wait_until_running,
)
from .kernels import WIDGET, Page

HASH = "__import__('hashlib').sha256({}.image.pil().tobytes()).hexdigest()"


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


def test_id_runs_as_the_file_does_and_leaves_a_static_picture(page: Page, cloud: RunningHub, sandbox: Sandbox) -> None:
    cell = page.run(f'%comfykit run {PICTURE} {SMALL} prompt="a fox" seed={2**63 + 1} -o fox')
    assert cell.status == "ok", cell.error
    (bundle,) = cell.bundles
    assert WIDGET not in bundle
    assert 'src="data:image/webp;base64,' in bundle["text/html"]
    for text in (PICTURE, f"seed {2**63 + 1}", "prompt = a fox"):
        assert text in bundle["text/html"]
    assert page.value("fox.prompt_id, fox.status") == repr((cloud.task.id, "completed"))
    page.run(f"file = ComfyKit({sandbox.url!r}).run('text_to_image.json', fox.params | fox.seeds)")
    assert page.value(f"{HASH.format('fox')} == {HASH.format('file')}") == "True"


def test_cost_of_a_run_is_shown_with_its_outputs(page: Page, cloud: RunningHub) -> None:
    cloud.fates.append(Fate(outputs=[Output("9", "fox.txt", b"a fox", "a fox")], seconds=83))
    cell = page.run(f"%comfykit run {PICTURE} -o fox")
    assert cell.status == "ok", cell.error
    assert " · 17 coins · " in cell.html
    assert page.value("fox.cost") == "{'coins': 17.0, 'seconds': 83.0}"
    assert page.value("repr(fox)").endswith("1 text; 17 coins>'")
    page.run("fox.to_html('fox.html')")
    assert "17 coins" in page.value("open('fox.html').read()")


def test_cell_shows_the_task_while_it_runs_and_previews_come(page: Page, cloud: RunningHub) -> None:
    cell = page.start(f"%comfykit run {PICTURE} steps=60 width=256 height=256")
    model = page.model(cell)
    content, buffers = page.wait(lambda: next((m for m in model.messages if m[0]["kind"] == "preview"), None))
    assert content["mime"].startswith("image/")
    assert len(buffers[0]) > 100
    page.wait(lambda: cell.ended)
    assert cell.status == "ok", cell.error
    assert model.server["address"] == cloud.url.partition("://")[2]
    fractions = [state["progress"].get("fraction", 0) for state in model.history if state.get("progress")]
    assert any(0 < fraction < 1 for fraction in fractions)


def test_text_an_app_and_an_earlier_output_run_the_same_way(page: Page, cloud: RunningHub) -> None:
    page.run(f'%comfykit run {TEXT} subject="a cat" style=ink -o written')
    assert page.value("written.text") == "'a cat, ink'"
    cell = page.run(f'%comfykit run {APP} text="a fox" steps=2 seed=5 -o painted')
    assert cell.status == "ok", cell.error
    assert "Fuchs im Schnee" in cell.html
    uploads = len(cloud.uploads)
    cell = page.run(f"%comfykit run {REPAINT} image={{painted.image}} steps=2 -o changed")
    assert cell.status == "ok", cell.error
    assert len(cloud.uploads) == uploads + 1
    assert f"image = {page.value('painted.image.name')[1:-1]}" in cell.html


def test_values_can_be_given_below_the_line(page: Page, cloud: RunningHub) -> None:
    cell = page.run(f"%%comfykit run {TEXT} -o written\nsubject: |\n    one\n    two\nstyle: ink")
    assert cell.status == "ok", cell.error
    assert page.value("written.text") == r"'one\ntwo, ink'"


def test_parameters_are_listed_and_then_completed(page: Page) -> None:
    line = f"%comfykit run {REPAINT}"
    assert page.complete("%comfykit run 19041369024492093470 den") == []
    cell = page.run(f"%comfykit params {REPAINT}")
    assert "denoise" in cell.html
    assert page.complete(f"{line} den") == [f"{line} denoise="]
    assert line in page.complete("%comfykit run 19041")
    page.run(f"%comfykit params {APP}")
    offered = page.complete(f"%comfykit run {APP} ckpt_name=")
    assert any("procedural-ink" in each for each in offered)


def test_dry_run_creates_nothing(page: Page, cloud: RunningHub) -> None:
    page.run("%comfykit run picture.json --dry-run")
    before = len(cloud.find_requests("create"))
    cell = page.run(f"%comfykit run {PICTURE} steps=3 --dry-run")
    assert cell.status == "ok", cell.error
    assert "steps" in cell.html
    assert "would go to the server with 2 inputs changed" in cell.html
    assert len(cloud.find_requests("create")) == before


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (f"run {PICTURE} stepz=3", "did you mean 'steps'?"),
        (f"run {PICTURE} steps=many", "steps (Sampler): 'many' is text"),
        (f"run {APP} ckpt_name=none", "ckpt_name"),
        (f"run {REPAINT} image=no.png", "there is no file 'no.png'"),
        ("run 1904", "it has no such workflow"),
        ("run rh-app:1904", "it has no such app"),
        ("form 1904", "it has no such workflow"),
        ("params 1904", "it has no such workflow"),
        ("cancel 1904", "no unfinished run of this kernel"),
    ],
)
def test_mistake_is_reported_in_one_line_and_costs_nothing(
    page: Page, cloud: RunningHub, line: str, message: str
) -> None:
    before = len(cloud.tasks)
    cell = page.run(f"%comfykit {line}")
    assert cell.status == "error"
    assert message in cell.error
    assert len(cell.error.strip().splitlines()) == 1
    assert len(cloud.tasks) == before


def test_task_that_fails_binds_its_result_and_fails_the_cell_with_the_node(page: Page, cloud: RunningHub) -> None:
    reason = {"node_id": "3", "node_name": "KSampler", "exception_message": "no memory", "traceback": ["<b>"]}
    cloud.fates.append(Fate("FAILED", reason=reason))
    cell = page.run(f"%comfykit run {PICTURE} -o poor")
    assert cell.status == "error"
    assert cell.error.strip() == f"RunFailed: {PICTURE}: Sampler: no memory"
    assert page.value("poor.status, poor.error.kind, poor.error.node_title") == "('failed', 'node_error', 'Sampler')"
    assert "no memory" not in cell.html, "the cell's error says it, and the output above does not repeat it"
    assert "failed after" in cell.html
    assert "&lt;b&gt;" in cell.html
    assert "<b>" not in cell.html


def test_status_shows_the_account_and_the_task_by_which_its_run_is_cancelled(page: Page, cloud: RunningHub) -> None:
    task = begin_run(page, cloud)
    cell = page.run(f"%comfykit status {PICTURE}")
    assert f"RunningHub, 177814 coins at {cloud.url}: 1 running" in cell.stdout, cell.error
    assert task in cell.stdout
    assert page.complete("%comfykit cancel ") == [f"%comfykit cancel {task}"]
    cell = page.run(f"%comfykit cancel {task[:-1]}")
    assert cell.stdout == f"cancelled {task}\n", cell.error
    assert (
        page.value("run.options if 0 else __import__('asyncio') and run.status in ('running', 'cancelled')") == "True"
    )
    cell = page.run("run.result()")
    assert cell.status == "error"
    assert page.value("run.status, run.prompt_id") == repr(("cancelled", task))
    assert cloud.task.state == "CANCEL"


def test_task_is_cancelled_by_the_id_that_its_run_had_before(page: Page, cloud: RunningHub) -> None:
    begin_run(page, cloud)
    own = page.value("run.id").strip("'")
    cell = page.run(f"%comfykit cancel {own}")
    page.run("run.cancel()")
    assert cell.status == "ok", cell.error
    assert cell.stdout.strip() == f"cancelled {cloud.task.id}"


def test_stop_button_cancels_the_task(page: Page, cloud: RunningHub) -> None:
    cell = page.start(LONG)
    wait_until_running(page, cell)
    page.interrupt()
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    assert "cancelled" in cell.error
    assert cloud.task.state == "CANCEL"


def test_cell_that_waits_for_a_place_says_so(page: Page, cloud: RunningHub) -> None:
    begin_run(page, cloud)
    before = len(cloud.tasks)
    cell = page.start(f"%comfykit run {PICTURE} {SMALL}")
    model = page.model(cell)
    page.wait(lambda: "Waiting for a free slot" in model.state["progress"].get("note", ""))
    assert model.state["status"] == "queued"
    page.cancel(model)
    page.wait(lambda: cell.ended)
    assert cell.status == "error"
    assert len(cloud.tasks) == before
    page.run("%comfykit cancel")


def test_after_a_restart_a_task_is_attached_by_its_id(page: Page, cloud: RunningHub, folder: Path) -> None:
    with holding_tasks(cloud) as release:
        with cloud_kernel(cloud, folder) as first:
            task = begin_run(first, cloud, steps=2)
            first.process.kill()
        before = len(cloud.tasks)
        with cloud_kernel(cloud, folder) as second:
            cell = second.start(f"%comfykit attach {task} -o again")
            model = second.model(cell)
            second.wait(lambda: model.state["status"] == "running")
            release()
            second.wait(lambda: cell.ended)
            assert cell.status == "ok", cell.error
            assert "data:image/webp" in cell.html
            assert second.value("again.status, again.image.pil().size") == "('completed', (256, 256))"
    assert len(cloud.tasks) == before
    cell = page.run("%comfykit attach 1910")
    assert "does not know the job" in cell.error


def test_without_a_key_one_line_says_what_to_do_and_a_key_in_the_environment_works_at_once(
    cloud: RunningHub, folder: Path
) -> None:
    with cloud_kernel(cloud, folder, key="") as page:
        for line in ("run", "form", "params"):
            cell = page.run(f"%comfykit {line} {TEXT}")
            assert cell.status == "error"
            assert "set RUNNINGHUB_API_KEY" in cell.error
            assert len(cell.error.strip().splitlines()) == 1
        assert "set RUNNINGHUB_API_KEY" in page.run(f"%comfykit status {TEXT}").stdout
        page.run(f"%env RUNNINGHUB_API_KEY={cloud.key}")
        assert page.run(f"%comfykit run {TEXT}").status == "ok"


def test_help_says_how_to_name_a_workflow_on_runninghub(page: Page) -> None:
    assert "rh-app:" in page.run("%comfykit").stdout
