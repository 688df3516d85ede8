"""Comfy API v2 through the official proxy in front of the embedded server: everything works as on a server."""

from __future__ import annotations

import asyncio
import io
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, RunFailed
from comfykit_jupyter.client.backends.comfyapi.backend import ComfyAPI
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.inputs.routing import find_backend
from comfykit_jupyter.client.settings import resolve_settings
from tests.client import workflows
from tests.client.conftest import Jobs
from tests.client.nodes import GATES, Gate
from tests.client.test_cancel import wait_for
from tests.client.test_progress import Watcher
from tests.kits import MakeKit

from .proxied import Proxied

ROOT = Path(__file__).parents[3]

EDITOR: dict[str, Any] = {
    "nodes": [{"id": 1, "type": "EmptyImage", "pos": [0, 0], "inputs": [], "outputs": [], "widgets_values": []}],
    "links": [],
    "version": 0.4,
}


def read_color(picture: Image.Image) -> tuple[Any, Any]:
    """Return the size and the colour of an image of one colour."""
    return picture.size, picture.getpixel((0, 0))


@pytest.mark.parametrize(
    ("url", "api", "kind"),
    [
        ("https://cloud.comfy.org", None, ComfyAPI),
        ("https://dep-12.run.comfy.app/", None, ComfyAPI),
        ("https://dep-12.stg.run.comfy.app", None, ComfyAPI),
        ("http://127.0.0.1:8189/api/v2/", None, ComfyAPI),
        ("http://127.0.0.1:8189", "v2", ComfyAPI),
        ("http://127.0.0.1:8188", None, ComfyUI),
        ("https://run.comfy.app.elsewhere.org", None, ComfyUI),
        ("https://notcloud.comfy.org.elsewhere", None, ComfyUI),
        ("https://cloud.comfy.org", "comfyui", ComfyUI),
    ],
)
def test_the_url_chooses_the_protocol_unless_api_is_given(url: str, api: str | None, kind: type) -> None:
    assert find_backend(None, resolve_settings({"comfyui_url": url, "api": api})) is kind


def test_an_unknown_api_is_rejected() -> None:
    with pytest.raises(ComfyKitError, match="api must be 'comfyui' or 'v2', not 'v3'"):
        ComfyKit(api="v3")  # type: ignore[arg-type]


async def test_a_workflow_runs_and_returns_its_outputs(either: ComfyKit, jobs: Jobs) -> None:
    result = await either.execute(workflows.picture(), {"width": 40})
    assert (result.status, result.msg, result.warnings) == ("completed", None, [])
    assert result.params == {"width": 40, "height": 16, "color": 255}
    assert list(result.images_by_var) == ["cover"]
    assert result.image.node == "2"
    assert read_color(await asyncio.to_thread(result.image.pil)) == ((40, 16), (0, 0, 255))
    entry = jobs.history(str(result.prompt_id))
    assert entry is not None
    assert entry["prompt"][2] == result.prompt


@pytest.mark.parametrize(
    ("workflow", "kind", "suffix"),
    [(workflows.clip(), "video", ".mp4"), (workflows.sound(), "audio", ".flac")],
    ids=["video", "sound"],
)
async def test_outputs_have_the_right_kind(
    workflow: Any, kind: str, suffix: str, either: ComfyKit, sandbox: Any
) -> None:
    result = await either.execute(workflow)
    (media,) = result.media
    assert (media.kind, media.name[-len(suffix) :]) == (kind, suffix)
    (stored,) = sandbox.folder.rglob(media.name)
    assert await asyncio.to_thread(media.read) == stored.read_bytes()


def test_an_image_is_uploaded_once_and_comes_back_changed(kit: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    Image.new("RGB", (9, 7), (255, 0, 0)).save(path)
    first = kit.run(workflows.inverted(), image=str(path))
    again = kit.run(workflows.inverted(), image=path.read_bytes())
    assert read_color(first.image.pil()) == read_color(again.image.pil()) == ((9, 7), (0, 255, 255))
    assert first.prompt["1"]["inputs"]["image"] == again.prompt["1"]["inputs"]["image"]


def test_an_output_can_be_an_input_of_the_next_run(kit: ComfyKit) -> None:
    made = kit.run(workflows.picture(), color=0).image
    assert kit.run(workflows.inverted(), image=made).image.pil().getpixel((0, 0)) == (255, 255, 255)


def test_progress_increases_with_previews_and_the_end_comes_last(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, task_gate = gate
    run = kit.submit(workflows.gated(name, steps=5))
    watcher = Watcher(run)
    task_gate.wait()
    wait_for(run, lambda run: (run.progress.node_title, run.progress.step, run.progress.steps) == ("The gate", 4, 5))
    task_gate.open()
    result = run.result()
    watcher.wait()
    assert watcher.received[-1] is result
    fractions = [each.fraction for each in watcher.progress]
    assert fractions == sorted(fractions)
    statuses = list(dict.fromkeys(each.status for each in watcher.progress))
    assert statuses[-2:] == ["running", "completed"]


def test_previews_are_shown(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    """The proxy passes on one preview every half second, so only some of many steps have one."""
    name, task_gate = gate
    shown = threading.Event()
    seen: list[Any] = []

    def show(preview: Any) -> None:
        seen.append(preview)
        shown.set()

    blocking = workflows.gated(f"{name}-before")
    before = GATES[f"{name}-before"]
    kit.submit(blocking)
    before.wait()
    run = kit.submit(workflows.gated(name, steps=400))
    run.subscribe(preview=show)
    wait_for(run, lambda run: run.progress.queue_position is not None)
    before.open()
    assert shown.wait(20)
    run.cancel()  # the other steps show nothing new
    task_gate.open()
    assert seen[0].node_id == "3"
    assert Image.open(io.BytesIO(seen[0].data)).size == (16, 16)


def test_a_queued_job_knows_its_position(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, task_gate = gate
    first = kit.submit(workflows.gated(name))
    task_gate.wait()
    second, third = kit.submit(workflows.text("2")), kit.submit(workflows.text("3"))
    wait_for(third, lambda run: run.progress.queue_position == 2)
    assert second.progress.queue_position == 1
    assert (first.status, third.status) == ("running", "queued")
    assert (kit.server().running, kit.server().pending) == (1, 2)
    assert [job.prompt_id for job in kit.queue()] == [run.prompt_id for run in (first, second, third)]
    task_gate.open()
    for run in (first, second, third):
        assert run.result().status == "completed"


def test_a_failure_names_its_node_and_keeps_earlier_outputs(kit: ComfyKit) -> None:
    with pytest.raises(RunFailed, match=r"^The bomb: kaboom over 1 picture$") as caught:
        kit.run(workflows.failing())
    result = caught.value.result
    assert (result.error.kind, result.error.node_id, result.error.class_type) == ("node_error", "3", "TestBoom")
    assert [media.var for media in result.media] == ["cover"]


async def test_a_rejected_prompt_names_node_and_input(either: ComfyKit) -> None:
    graph = workflows.picture()
    graph["1"]["inputs"]["batch_size"] = "many"
    result = await either.execute(graph)
    assert result.error is not None
    assert (result.error.kind, result.error.node_id, result.error.field) == ("refused", "1", "batch_size")
    assert "Canvas (node 1)" in str(result.msg)
    assert result.prompt_id is None


async def test_a_missing_node_is_named(either: ComfyKit) -> None:
    result = await either.execute({"1": {"class_type": "NoSuchNode", "inputs": {}}})
    assert result.error is not None
    assert result.error.kind == "refused"
    assert "NoSuchNode" in str(result.msg)


# -- cancelling --------------------------------------------------------------------------------------------------------


def test_a_running_job_is_cancelled(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, task_gate = gate
    run = kit.submit(workflows.gated(name))
    task_gate.wait()
    run.cancel()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert (run.status, caught.value.result.error.kind) == ("cancelled", "cancelled")
    jobs.expect()


def test_cancelling_a_queued_job_keeps_the_others(kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, task_gate = gate
    first = kit.submit(workflows.gated(name))
    task_gate.wait()
    mine, other = kit.submit(workflows.text("mine")), kit.submit(workflows.text("other"))
    wait_for(other, lambda run: run.progress.queue_position == 2)
    mine.cancel()
    with pytest.raises(RunFailed) as caught:
        mine.result()
    assert caught.value.result.error.kind == "cancelled"
    jobs.expect(first.prompt_id, other.prompt_id)
    task_gate.open()
    assert {first.result().status, other.result().status} == {"completed"}


async def test_cancelling_the_awaiting_task_cancels_the_job(
    either: ComfyKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, task_gate = gate
    task = asyncio.ensure_future(either.execute(workflows.gated(name)))
    await asyncio.to_thread(task_gate.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    jobs.expect()


async def test_a_timeout_cancels_the_job(
    proxied: Proxied, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    result = await make_kit(proxied.url, timeout=0.5).execute(workflows.gated(gate[0]))
    assert result.error is not None
    assert result.error.kind == "timeout"
    jobs.expect()


def test_an_interrupt_from_elsewhere_is_reported(kit: ComfyKit, gate: tuple[str, Gate], sandbox: Any) -> None:
    name, task_gate = gate
    run = kit.submit(workflows.gated(name))
    task_gate.wait()
    httpx.post(f"{sandbox.url}/interrupt")
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert caught.value.result.error.kind == "interrupted"


def test_ctrl_c_in_a_script_cancels_the_job(proxied: Proxied, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, task_gate = gate
    code = f"from comfykit_jupyter import ComfyKit; ComfyKit({proxied.url!r}).run({workflows.gated(name)!r})"
    script = subprocess.Popen([sys.executable, "-c", code], cwd=ROOT, stderr=subprocess.PIPE)
    task_gate.wait()
    script.send_signal(signal.SIGINT)
    _, errors = script.communicate(timeout=20)
    assert b"KeyboardInterrupt" in errors
    jobs.expect()


def test_a_job_removed_elsewhere_is_gone(kit: ComfyKit, gate: tuple[str, Gate], sandbox: Any) -> None:
    name, task_gate = gate
    first = kit.submit(workflows.gated(name))
    task_gate.wait()
    mine = kit.submit(workflows.text())
    wait_for(mine, lambda run: run.progress.queue_position is not None)
    httpx.post(f"{sandbox.url}/queue", json={"delete": [mine.prompt_id]})
    with pytest.raises(RunFailed) as caught:
        mine.result()
    assert caught.value.result.error.kind == "gone"
    task_gate.open()
    first.result()


def test_a_restart_of_the_proxy_loses_no_run(sandbox: Any, make_kit: MakeKit, gate: tuple[str, Gate]) -> None:
    name, task_gate = gate
    with Proxied(sandbox.url) as proxied:
        run = make_kit(proxied.url).submit(workflows.gated(name))
        task_gate.wait()
        wait_for(run, lambda run: run.status == "running")
        with proxied.restart():
            task_gate.open()
            assert run.result().status == "completed"


# -- attaching ---------------------------------------------------------------------------------------------------------


def test_attach_to_a_finished_run_returns_its_result(kit: ComfyKit, proxied: Proxied, make_kit: MakeKit) -> None:
    first = kit.run(workflows.picture(), width=24)
    again = make_kit(proxied.url).attach(str(first.prompt_id)).result()
    assert [str(media) for media in again.media] == [str(media) for media in first.media]
    assert (again.prompt, again.params) == (first.prompt, first.params)
    assert list(again.images_by_var) == ["cover"]


def test_attach_follows_a_running_job_and_leaving_does_not_cancel_it(
    kit: ComfyKit, proxied: Proxied, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, task_gate = gate
    run = kit.submit(workflows.gated(name))
    task_gate.wait()
    wait_for(run, lambda run: run.prompt_id != run.id)  # the node may run before the server has answered
    attached = make_kit(proxied.url).attach(run.prompt_id)
    wait_for(attached, lambda run: run.status == "running")
    with pytest.raises(TimeoutError):
        attached.result(timeout=0.1)
    jobs.expect(run.prompt_id)
    task_gate.open()
    assert attached.result().images == run.result().images


@pytest.mark.parametrize(
    "id_", ["00000000-0000-0000-0000-00000000abcd", "no id at all", "../../x?y#z", "\ud800", "x" * 9000]
)
def test_attach_to_an_unknown_job_fails(id_: str, kit: ComfyKit) -> None:
    with pytest.raises(RunFailed, match="does not know the job") as caught:
        kit.attach(id_).result()
    assert caught.value.result.error.kind == "gone"


# -- information -------------------------------------------------------------------------------------------------------


def test_status_describes_the_server(kit: ComfyKit, make_kit: MakeKit, sandbox: Any) -> None:
    assert (kit.server().reachable, kit.server().message) == (True, "Comfy API v2")
    away = make_kit("http://127.0.0.1:1/api/v2").server()
    assert not away.reachable
    assert "no server with Comfy API v2 at http://127.0.0.1:1/api/v2" in away.message
    other = make_kit(sandbox.url, api="v2").server()
    assert not other.reachable
    assert "does not speak Comfy API v2" in other.message


def test_history_lists_finished_jobs(kit: ComfyKit) -> None:
    done = kit.run(workflows.picture(), width=13)
    with pytest.raises(RunFailed):
        kit.run(workflows.failing())
    failed, completed = kit.history(2)
    assert (completed.prompt_id, completed.status, completed.files) == (done.prompt_id, "completed", 1)
    assert (completed.values, completed.nodes) == ({"width": 13, "height": 16, "color": 255}, 2)
    assert (failed.status, failed.message) == ("failed", "kaboom over 1 picture")


def test_unsupported_requests_are_reported_in_one_line(kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match="does not expose its models"):
        kit.models()
    with pytest.raises(ComfyKitError, match="knows files only by their IDs"):
        kit.input("cat.png")


def test_a_form_has_the_workflows_parameters(kit: ComfyKit) -> None:
    form = kit.form(workflows.picture(), width=48)
    assert form.run().result().image.pil().size == (48, 16)
    form.close()


def test_an_output_can_be_a_value_of_a_form(kit: ComfyKit) -> None:
    made = kit.run(workflows.picture(), color=0).image
    form = kit.form(workflows.inverted(), image=made)
    sent_value = form.get_state()["values"]["image"]
    assert sent_value == made.server_name
    assert form.run().result().image.pil().getpixel((0, 0)) == (255, 255, 255)
    form.values["image"] = sent_value  # as a page would send it
    assert form.run().result().image.pil().getpixel((0, 0)) == (255, 255, 255)
    form.close()


def test_an_output_can_be_given_by_its_name_or_address(kit: ComfyKit, either: ComfyKit) -> None:
    made = kit.run(workflows.picture(), color=0).image
    for text in (made.server_name, str(made)):
        assert "upload of an earlier output" in str(either.dry_run(workflows.inverted(), image=text))
        result = either.run(workflows.inverted(), image=text)
        assert result.image.pil().getpixel((0, 0)) == (255, 255, 255)
        assert result.params["image"].startswith("asset:")
    assert kit.upload(made.server_name).startswith("asset:")


async def test_an_output_that_is_gone_is_reported(kit: ComfyKit) -> None:
    lost = "asset:eyJmIjogIm5vbmUucG5nIn0.c2lnbmVk"
    assert (await kit.check(workflows.inverted(), {"image": lost})).ok  # nothing is downloaded for a check
    assert "does not have the output" in str((await kit.execute(workflows.inverted(), {"image": lost})).msg)
    assert "there is no file" in str((await kit.execute(workflows.inverted(), {"image": "asset:../jobs"})).msg)


def test_editor_format_needs_a_server_with_object_info(kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match="export it in API format"):
        kit.run(EDITOR)


async def test_check_finds_what_it_can_without_the_nodes(kit: ComfyKit) -> None:
    assert (await kit.check(workflows.picture(), {"width": 20})).ok
    (problem,) = (await kit.check(workflows.picture(), {"widht": 20})).problems
    assert "did you mean" in problem.message
    (problem,) = (await kit.check(EDITOR)).problems
    assert "export it in API format" in problem.message
    assert "7 → 9" in str(await asyncio.to_thread(kit.dry_run, _build_wide(7), {"width": 9}))


def _build_wide(width: int) -> workflows.Graph:
    graph = workflows.picture()
    graph["1"]["inputs"]["width"] = width
    return graph


async def test_many_runs_at_once_share_a_few_streams(kit: ComfyKit) -> None:
    runs = [kit.submit(workflows.picture(prefix=f"many{number}")) for number in range(30)]
    results = [await run for run in runs]
    assert {result.status for result in results} == {"completed"}
    assert len({result.prompt_id for result in results}) == 30


async def test_a_closed_kit_can_be_reused(kit: ComfyKit) -> None:
    await kit.execute(workflows.text())
    await kit.close()
    assert (await kit.execute(workflows.text())).status == "completed"


async def test_a_required_key_is_reported_and_sent(sandbox: Any, make_kit: MakeKit) -> None:
    with Proxied(sandbox.url, token="the-token") as guarded:
        for key, advice in ((None, "give api_key="), ("wrong", "check api_key=")):
            refused = await make_kit(guarded.url, api_key=key).execute(workflows.text())
            assert advice in str(refused.msg)
        kit = make_kit(guarded.url, api_key="the-token")
        result = await kit.execute(workflows.picture())
        assert await asyncio.to_thread(result.image.read)
        address = str(result.image)  # it is not public: only the server's own client can download it
        assert (await kit.execute(workflows.inverted(), {"image": address})).status == "completed"
