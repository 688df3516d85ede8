"""Test what every backend does for a kit, with every kind of server and cloud."""

from __future__ import annotations

import asyncio
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, ParameterError, RunFailed, ServerError
from tests.client import workflows
from tests.client.conftest import Jobs
from tests.client.nodes import Gate
from tests.client.test_cancel import wait_for
from tests.client.test_progress import Watcher
from tests.kits import MakeKit

from .places import Place

WORKFLOWS = Path(__file__).parents[2] / "notebooks/workflows"

# -- runs --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("executor_type", ["http", "websocket"])
async def test_run_completes_with_its_outputs(place: Place, make_kit: MakeKit, executor_type: str) -> None:
    kit = make_kit(executor_type=executor_type)
    result = await kit.execute(place.name_workflow(workflows.picture()), {"width": 40})
    assert (result.status, result.msg, result.error) == ("completed", None, None)
    assert (result.params["width"], result.params["height"]) == (40, 16)
    assert list(result.images_by_var) == ["cover"]
    assert result["cover"] == [result.image]
    assert result.prompt["1"]["inputs"]["width"] == 40
    assert result.prompt_id
    assert result.duration is not None
    image = await asyncio.to_thread(result.image.pil)
    assert (image.size, image.getpixel((0, 0))) == ((40, 16), (0, 0, 255))


@pytest.mark.parametrize(
    ("graph", "kind", "suffix"),
    [(workflows.clip, "video", ".mp4"), (workflows.sound, "audio", ".flac")],
    ids=["video", "audio"],
)
def test_output_has_its_kind_and_can_be_saved(
    place: Place, kit: ComfyKit, tmp_path: Path, graph: Any, kind: str, suffix: str
) -> None:
    result = kit.run(place.name_workflow(graph()))
    (media,) = result.media
    assert media.kind == kind
    saved = media.save(tmp_path / f"output{suffix}")
    assert saved.read_bytes() == media.read() != b""


def test_attached_run_has_the_name_of_its_workflow(place: Place, kit: ComfyKit, make_kit: MakeKit) -> None:
    workflow = kit.load(place.name_workflow(workflows.picture()))
    workflow.name = "portrait"
    first = kit.run(workflow)
    again = make_kit().attach(str(first.prompt_id)).result()
    assert again.workflow_name == first.workflow_name == "portrait"


def test_output_that_is_given_is_recorded_without_the_address_of_its_server(place: Place, kit: ComfyKit) -> None:
    image = kit.run(place.name_workflow(workflows.picture())).image
    inverted = place.name_workflow(workflows.inverted())
    result = kit.run(inverted, image=image)
    assert kit.comfyui_url not in result.params["image"]
    assert kit.run(inverted, result.params).image.pil().tobytes() == result.image.pil().tobytes()


def test_output_can_be_read_after_a_pickle(place: Place, kit: ComfyKit) -> None:
    image = kit.run(place.name_workflow(workflows.picture())).image
    again = pickle.loads(pickle.dumps(image))
    assert (again, again.query, again.origin.url) == (image, image.query, image.origin.url)
    assert again.read() == image.read()


def test_concurrent_runs_get_their_own_outputs(place: Place, kit: ComfyKit) -> None:
    before = place.count_jobs()
    workflow = place.name_workflow(workflows.picture())
    runs = [kit.submit(workflow, width=16 * number) for number in range(1, 7)]
    widths = [run.result().image.pil().size[0] for run in runs]
    assert widths == [16, 32, 48, 64, 80, 96]
    assert len({run.prompt_id for run in runs}) == 6
    assert place.count_jobs() - before == 6


def test_seed_is_random_or_exact_and_always_reported(place: Place, kit: ComfyKit) -> None:
    graph = json.loads((WORKFLOWS / "text_to_image.json").read_text())
    ((id_, sampler),) = [(id_, node) for id_, node in graph.items() if node["class_type"] == "KSampler"]
    sampler["inputs"]["steps"] = 1
    workflow = place.name_workflow(graph)
    drawn, exact = kit.run(workflow, seed="random"), kit.run(workflow, seed=2**53 + 1)
    assert drawn.prompt[id_]["inputs"]["seed"] == drawn.seeds["seed"] > 0
    assert exact.prompt[id_]["inputs"]["seed"] == exact.seeds["seed"] == 2**53 + 1


# -- media -------------------------------------------------------------------------------------------------------------


def test_file_is_uploaded_and_output_can_be_the_next_input(place: Place, kit: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "red – ä.png"
    Image.new("RGB", (9, 7), (255, 0, 0)).save(path)
    workflow = place.name_workflow(workflows.inverted())
    negative = kit.run(workflow, image=path).image
    assert negative.pil().convert("RGB").getpixel((0, 0)) == (0, 255, 255)
    assert kit.run(workflow, image=negative).image.pil().convert("RGB").getpixel((0, 0)) == (255, 0, 0)


def test_uploaded_file_is_a_value_by_its_name(place: Place, kit: ComfyKit, tmp_path: Path) -> None:
    workflow = place.name_workflow(workflows.inverted())
    path = tmp_path / "red.png"
    Image.new("RGB", (3, 2), "red").save(path)
    name = kit.upload(path, workflow)
    assert kit.upload(path.read_bytes(), workflow) == kit.upload(name, workflow) == name
    assert "://" not in name
    assert kit.run(workflow, image=name).image.pil().convert("RGB").getpixel((0, 0)) == (0, 255, 255)
    with pytest.raises(ComfyKitError, match=r"file \(kit\.upload\): there is no file 'nowhere\.png'"):
        kit.upload("nowhere.png", workflow)


def test_missing_file_is_named_and_nothing_is_sent(place: Place, kit: ComfyKit) -> None:
    before = place.count_jobs()
    with pytest.raises(ComfyKitError, match=r"image.*nowhere\.png"):
        kit.run(place.name_workflow(workflows.inverted()), image="nowhere.png")
    assert place.count_jobs() == before


# -- errors ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("values", [{"widht": 48}, {"width": "wide"}, {"width": True}], ids=["name", "type", "bool"])
def test_wrong_value_is_rejected_before_anything_is_sent(place: Place, kit: ComfyKit, values: dict[str, Any]) -> None:
    before = place.count_jobs()
    workflow = place.name_workflow(workflows.picture())
    with pytest.raises(ParameterError, match="width") as caught:
        kit.run(workflow, values)
    assert [problem.parameter for problem in caught.value.problems] == list(values)
    assert place.count_jobs() == before


def test_every_wrong_value_is_reported_at_once(place: Place, kit: ComfyKit) -> None:
    with pytest.raises(ParameterError) as caught:
        kit.run(place.name_workflow(workflows.picture()), width="wide", height=True)
    assert {problem.parameter for problem in caught.value.problems} == {"width", "height"}


def test_failing_node_is_named(place: Place, kit: ComfyKit) -> None:
    with pytest.raises(RunFailed, match=r"The bomb: .*kaboom") as caught:
        kit.run(place.name_workflow(workflows.failing()))
    result = caught.value.result
    assert result is not None
    assert result.error is not None
    assert (result.error.kind, result.error.node_id) == ("node_error", "3")
    assert result.prompt_id
    assert result.prompt


async def test_execute_ignores_what_the_workflow_lacks_and_run_rejects_it(place: Place, kit: ComfyKit) -> None:
    workflow = place.name_workflow(workflows.picture())
    result = await kit.execute(workflow, {"width": 24, "index": 1, "heigth": 8})
    assert (result.status, result.params["width"]) == ("completed", 24), result.msg
    assert [line.partition(":")[0] for line in result.warnings] == ["index", "heigth"]
    assert "did you mean 'height'" in result.warnings[1]
    jobs = place.count_jobs()
    with pytest.raises(ParameterError, match="no such parameter"):
        await asyncio.to_thread(kit.run, workflow, width=24, index=1)
    assert place.count_jobs() == jobs


async def test_execute_does_not_raise_for_a_failed_run(place: Place, kit: ComfyKit) -> None:
    result = await kit.execute(place.name_workflow(workflows.failing()))
    assert result.status == "failed"
    assert "kaboom" in str(result.msg)


def test_unreachable_server_is_reported_with_its_address(place: Place) -> None:
    kit = place.make_lost_kit()
    workflow = place.name_workflow(workflows.picture())
    with pytest.raises(ServerError, match=r"127\.0\.0\.1:1"):
        kit.run(workflow)
    result = kit.options(raise_on_error=False).run(workflow)
    assert result.error is not None
    assert result.error.kind == "unreachable"
    server = kit.server(workflow)
    assert not server.reachable
    assert "127.0.0.1:1" in server.message


# -- following, cancelling, attaching ----------------------------------------------------------------------------------


def test_progress_only_increases_and_the_end_comes_last(place: Place, kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(place.name_workflow(workflows.gated(name, steps=5)))
    watcher = Watcher(run)
    node_gate.wait()
    node_gate.open()
    result = run.result()
    watcher.wait()
    assert watcher.received[-1] is result
    fractions = [each.fraction for each in watcher.progress]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1.0
    order = ["queued", "running", "completed"]
    statuses = [order.index(each.status) for each in watcher.progress]
    assert statuses == sorted(statuses)
    assert run.status == "completed"


def test_running_job_is_cancelled(place: Place, kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, node_gate = gate
    run = kit.submit(place.name_workflow(workflows.gated(name)))
    node_gate.wait()
    run.cancel()
    with pytest.raises(RunFailed) as caught:
        run.result()
    assert caught.value.result is not None
    assert caught.value.result.error is not None
    assert (run.status, caught.value.result.error.kind) == ("cancelled", "cancelled")
    jobs.expect()


async def test_cancelling_the_caller_cancels_the_job(
    place: Place, kit: ComfyKit, gate: tuple[str, Gate], jobs: Jobs
) -> None:
    name, node_gate = gate
    task = asyncio.ensure_future(kit.execute(place.name_workflow(workflows.gated(name))))
    await asyncio.to_thread(node_gate.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    await asyncio.to_thread(jobs.expect)


def test_timeout_cancels_the_job(place: Place, make_kit: MakeKit, gate: tuple[str, Gate], jobs: Jobs) -> None:
    name, _ = gate
    with pytest.raises(RunFailed) as caught:
        make_kit(timeout=1.0).run(place.name_workflow(workflows.gated(name)))
    assert caught.value.result is not None
    assert caught.value.result.error is not None
    assert caught.value.result.error.kind == "timeout"
    jobs.expect()


def test_another_kit_attaches_to_a_running_and_a_finished_job(
    place: Place, make_kit: MakeKit, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate
    run = make_kit().submit(place.name_workflow(workflows.gated(name)))
    node_gate.wait()
    wait_for(run, lambda run: run.status == "running")  # a cloud has assigned its job ID by then
    attached = make_kit().attach(run.prompt_id)
    node_gate.open()
    result = run.result()
    assert [media.name for media in attached.result().media] == [media.name for media in result.media]
    assert [media.name for media in make_kit().attach(run.prompt_id).result().media] == [
        media.name for media in result.media
    ]


def test_attaching_at_once_finds_the_job_or_says_its_id(
    place: Place, make_kit: MakeKit, gate: tuple[str, Gate]
) -> None:
    name, node_gate = gate
    run = make_kit().submit(place.name_workflow(workflows.gated(name)))
    attached = make_kit().attach(run.id)
    node_gate.wait()
    node_gate.open()
    media = [each.name for each in run.result().media]
    if attached.server == run.server:
        assert [each.name for each in attached.result().media] == media
    else:  # an ID of ours is not one of RunningHub's
        with pytest.raises(RunFailed, match=f"has given this job the ID {run.prompt_id}: attach to that ID"):
            attached.result()


# -- queries -----------------------------------------------------------------------------------------------------------


async def test_check_finds_problems_and_sends_nothing(place: Place, kit: ComfyKit) -> None:
    before = place.count_jobs()
    workflow = place.name_workflow(workflows.picture())
    report = await kit.check(workflow, {"width": 48})
    assert (report.ok, list(report.problems)) == (True, [])
    report = await kit.check(workflow, {"widht": 48})
    assert [problem.parameter for problem in report.problems] == ["widht"]
    assert place.count_jobs() == before


def test_dry_run_shows_the_prompt_and_sends_nothing(place: Place, kit: ComfyKit) -> None:
    before = place.count_jobs()
    dry = kit.dry_run(place.name_workflow(workflows.picture()), width=48)
    assert "48" in str(dry)
    assert place.count_jobs() == before


def test_parameters_of_a_workflow_are_its_fields(place: Place, kit: ComfyKit) -> None:
    fields = kit.fields(place.name_workflow(workflows.picture()))
    assert [field.name for field in fields] == ["width", "height", "color"]
    assert [field.default for field in fields] == [32, 16, 255]


def test_server_is_reachable(place: Place, kit: ComfyKit) -> None:
    server = kit.server(place.name_workflow(workflows.picture()))
    assert server.reachable
    assert server.message


@pytest.mark.parametrize("ask", ["queue", "history", "models"])
def test_unsupported_listing_names_the_server(place: Place, kit: ComfyKit, ask: str) -> None:
    kit.run(place.name_workflow(workflows.picture()))
    try:
        found = getattr(kit, ask)()
    except ComfyKitError as error:
        said = str(error)
    else:
        assert isinstance(found, list)
        return
    assert kit.addresses[0] in said
