"""Outputs are downloaded when a task ends, without the key; their URLs expire after a day."""

from __future__ import annotations

import asyncio
import json
import threading
from pathlib import Path

import pytest

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.local_files import get_local_folder
from tests.client import workflows
from tests.kits import MakeKit

from .api_client import WORKFLOW
from .runninghub import DROPPED, NOT_FOUND, Fate, Held, Output, Reply, RunningHub, build_page, changes


def make_output(name: str, content: bytes = b"content", node: str = "2", text: str | None = None) -> Output:
    return Output(node, name, content, text)


def test_outputs_are_downloaded_when_the_run_ends(kit: ComfyKit, cloud: RunningHub, tmp_path: Path) -> None:
    result = kit.run(WORKFLOW, width=48)
    cloud.files.expired = 404
    assert result.image.startswith(cloud.files_url)
    assert result.image.pil().size == (48, 16)
    assert result.image.save(tmp_path / "picture.png").read_bytes().startswith(b"\x89PNG")
    assert len(cloud.files.requests) == 1


def test_downloads_carry_no_secret(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate(outputs=[make_output(f"{number}.png") for number in range(9)]))
    assert len(kit.run(WORKFLOW).images) == 9
    assert len(cloud.files.requests) == 9
    assert cloud.files.leaks == []


def test_the_sites_own_answer_is_kept(kit: ComfyKit, cloud: RunningHub) -> None:
    result = kit.run(WORKFLOW)
    text = json.dumps(result.to_dict()["raw"])
    assert str(result.image) in text
    assert cloud.key not in text
    assert "netWssUrl" not in text


def test_the_older_answer_is_the_list_that_comfykit_calls_raw_data(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/query", NOT_FOUND, times=None)
    result = kit.run(WORKFLOW)
    assert [(each["fileUrl"], each["fileType"]) for each in result.raw] == [(str(result.image), "png")]


def test_a_server_has_no_answer_of_its_own(kit: ComfyKit) -> None:
    assert kit.run(workflows.picture()).raw is None


@pytest.mark.parametrize("status", [403, 404])
def test_a_deleted_output_is_a_warning_not_a_failure(status: int, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.files.expired = status
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert len(result["cover"]) == 1
    (warning,) = result.warnings
    assert result.image.name in warning
    assert str(status) in warning
    with pytest.raises(ServerError, match="RunningHub keeps files for a day"):
        result.image.read()
    cloud.files.expired = None
    assert result.image.pil().size == (32, 16)


@pytest.mark.parametrize("trouble", [DROPPED, build_page(502), Reply(b"half", end="cut")], ids=str)
def test_a_failed_download_is_retried(trouble: Reply, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("file", trouble)
    result = kit.run(WORKFLOW)
    assert (result.status, result.warnings) == ("completed", [])
    assert result.image.pil().size == (32, 16)


@pytest.mark.parametrize("trouble", [DROPPED, build_page(502), Reply(b"half", end="cut")], ids=str)
def test_an_output_that_cannot_be_downloaded_is_a_warning(trouble: Reply, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates.append(Fate(outputs=[make_output("a.png"), make_output("b.png")]))
    cloud.answer("file", trouble, times=None)
    result = kit.run(WORKFLOW)
    assert (result.status, len(result.images), len(result.warnings)) == ("completed", 2, 2)


def test_downloads_are_reported_as_progress(kit: ComfyKit, cloud: RunningHub) -> None:
    event = threading.Event()
    cloud.answer("file", Held(event))
    run = kit.submit(WORKFLOW)
    downloading = threading.Event()
    run.subscribe(progress=lambda progress: downloading.set() if "downloading picture" in progress.note else None)
    assert downloading.wait(20)
    event.set()
    assert run.result().status == "completed"


KINDS = {
    "picture.png": "image", "picture.webp": "image", "picture.bmp": "image", "moving.gif": "video",
    "clip.mp4": "video", "clip.webm": "video", "clip.mov": "video", "take.flac": "audio", "take.ogg": "audio",
    "take.m4a": "audio", "mesh.glb": "file", "all.zip": "file", "x.latent": "file", "data.json": "file",
    "file": "file",
}  # fmt: skip


@pytest.mark.parametrize("route", ["newer", "older"])
def test_files_have_the_right_kind(route: str, kit: ComfyKit, cloud: RunningHub) -> None:
    if route == "older":
        cloud.answer("v2/query", NOT_FOUND, times=None)
    cloud.fates.append(Fate(outputs=[make_output(name, name.encode()) for name in KINDS]))
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert [media.kind for media in result["cover"]] == [*KINDS.values()]
    assert [media.read().decode() for media in result.media] == [*KINDS]


def test_outputs_of_several_nodes_keep_their_names(kit: ComfyKit, cloud: RunningHub) -> None:
    graph = cloud.workflows[WORKFLOW]
    graph["5"] = {**graph["2"], "_meta": {"title": "$output.second"}}
    graph["6"] = {**graph["2"], "_meta": {"title": "Save"}}
    result = kit.run(WORKFLOW)
    assert {name: len(found) for name, found in result.images_by_var.items()} == {"cover": 1, "second": 1, "6": 1}


@pytest.mark.parametrize("route", ["newer", "newer, as files", "older", "without nodes"])
def test_text_outputs_are_read(route: str, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.text()
    cloud.texts_as_files = route == "newer, as files"
    if route == "older":
        cloud.answer("v2/query", NOT_FOUND, times=None)
    if route == "without nodes":
        cloud.answer("v2/query", changes.without_node_ids, times=None)
    result = kit.run(WORKFLOW, say="ein Fuchs, 狐 🦊\nund mehr")
    assert result.text == "ein Fuchs, 狐 🦊\nund mehr"
    assert result.texts_by_var == {"words": [result.text]}
    assert result.media == []
    assert cloud.files.leaks == []


def test_an_undecodable_text_is_shown_as_well_as_possible(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.texts_as_files = True
    cloud.fates.append(
        Fate(outputs=[make_output("a.TXT", b"\xff\xfe<b>", text="x"), make_output("b.txt", b"", text="")])
    )
    result = kit.run(WORKFLOW)
    assert len(result.texts) == 2
    assert "<b>" in result.texts[0]


NAMES = ["..", "a/../../b.png", "a b#1&x+ü%20.png", "<img src=x>.png", "x" * 300 + ".png", "a\nb.png", "\u202egnp.exe"]


@pytest.mark.parametrize("name", NAMES)
def test_hostile_file_names_stay_inside_the_folder(name: str, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.files.name = lambda _: name
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    (media,) = result.media
    assert get_local_folder() in media.path.resolve().parents
    assert media.read().startswith(b"\x89PNG")
    assert "<img src=x>" not in str(result._repr_mimebundle_()["text/html"])
    assert "\n" not in repr(result)


async def test_the_cost_is_reported(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.fates += [Fate(outputs=[make_output("a.png")], seconds=83)] * 2
    result = await kit.execute(WORKFLOW)
    assert result.cost == {"coins": 17, "seconds": 83}
    cloud.answer("v2/query", NOT_FOUND, times=None)
    assert (await kit.execute(WORKFLOW)).cost == {"coins": 17, "seconds": 83}
    assert "17 coins" in repr(result)


def test_a_malformed_cost_is_ignored(kit: ComfyKit, cloud: RunningHub) -> None:
    usage = {"consumeCoins": "many", "consumeMoney": -1, "taskCostTime": True, "thirdPartyConsumeMoney": 10**400}
    for answer in (usage, None, 7, "x", {"consumeMoney": "0.25"}):
        cloud.fates.append(Fate(outputs=[make_output("a.png")]))
        cloud.answer("v2/query", with_usage(answer), times=None)
        assert kit.run(WORKFLOW).cost == ({"money": 0.25} if isinstance(answer, dict) and len(answer) == 1 else {})
        cloud.reset_answer("v2/query")


def with_usage(answer: object) -> changes.Change:
    return lambda body: {**body, "usage": answer}


def test_a_full_disk_does_not_fail_a_paid_task(
    kit: ComfyKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(self: Path, target: object) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", full)
    result = kit.run(WORKFLOW)
    assert result.status == "completed"
    assert "No space left" in result.warnings[0]


async def test_many_outputs_are_downloaded_at_once(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.concurrency = 4
    kit = make_kit(runninghub_concurrency=4)
    results = await asyncio.gather(*(kit.execute(WORKFLOW, {"color": number}) for number in range(8)))
    assert [result.image.pil().getpixel((0, 0))[2] for result in results] == [*range(8)]  # type: ignore[index]
    assert len({result.prompt_id for result in results}) == 8
