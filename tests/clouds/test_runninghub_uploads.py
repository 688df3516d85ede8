"""Uploads to RunningHub: by either route, once for each content."""

from __future__ import annotations

import io
import threading
from pathlib import Path

import pytest
from aiohttp import web
from PIL import Image

from comfykit_jupyter import ComfyKit
from comfykit_jupyter.client.backends.runninghub import files as runninghub_files
from tests.client import workflows
from tests.client.proxy import Served
from tests.kits import MakeKit

from .api_client import WORKFLOW, ApiClient
from .conftest import get_sent_values
from .runninghub import (
    DROPPED,
    HANGING,
    LOST,
    NO_JSON,
    NOT_FOUND,
    WRONG_PATH,
    App,
    Field,
    Held,
    Reply,
    RunningHub,
    build_page,
)


def make_png(color: int = 255) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 4), (color, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(autouse=True)
def _inverted(cloud: RunningHub) -> None:
    cloud.workflows[WORKFLOW] = workflows.inverted()


def get_sent_image(cloud: RunningHub) -> str:
    """Return the name sent as the task's image."""
    name: str = get_sent_values(cloud)["1", "image"]
    return name


def list_uploads(cloud: RunningHub) -> list[str]:
    return [request.endpoint for request in cloud.requests if "upload" in request.endpoint]


def test_an_uploaded_image_comes_back_inverted(kit: ComfyKit, cloud: RunningHub, tmp_path: Path) -> None:
    (tmp_path / "cat.png").write_bytes(make_png())
    result = kit.run(WORKFLOW, image=tmp_path / "cat.png")
    assert result["negative"][0].pil().getpixel((0, 0)) == (0, 255, 255)
    assert cloud.uploads[get_sent_image(cloud)] == make_png()
    assert get_sent_image(cloud).startswith("openapi/")
    assert get_sent_image(cloud).endswith(".png")
    (request,) = cloud.find_requests("v2/upload")
    assert request.headers["Authorization"] == f"Bearer {cloud.key}"
    assert cloud.key not in str(request.body)
    assert list_uploads(cloud) == ["v2/upload"]


def test_images_can_be_bytes_open_files_and_urls(kit: ComfyKit, cloud: RunningHub, tmp_path: Path) -> None:
    async def serve(request: web.Request) -> web.StreamResponse:
        assert cloud.key not in f"{request.headers}"
        return web.Response(body=make_png(3), content_type="image/png")

    path = tmp_path / "cat.png"
    path.write_bytes(make_png(1))
    with Served(serve) as site, path.open("rb") as file:
        for value in (make_png(2), file, f"{site.url}/cat.png?x=1", Image.new("RGB", (8, 4))):
            assert kit.run(WORKFLOW, image=value).image.pil().size == (8, 4)
    assert [*cloud.uploads.values()][:3] == [make_png(2), make_png(1), make_png(3)]


def test_the_same_content_is_uploaded_once(kit: ComfyKit, cloud: RunningHub, tmp_path: Path) -> None:
    for name in ("one.png", "two.png"):
        (tmp_path / name).write_bytes(make_png())
        assert kit.run(WORKFLOW, image=tmp_path / name).status == "completed"
    assert kit.options(timeout=60).run(WORKFLOW, image=make_png()).status == "completed"
    assert list_uploads(cloud) == ["v2/upload"]


def test_simultaneous_runs_upload_once(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.concurrency = 3
    kit = make_kit(runninghub_concurrency=3)
    runs = [kit.submit(WORKFLOW, image=make_png()) for _ in range(3)]
    assert [run.result().status for run in runs] == ["completed"] * 3
    assert list_uploads(cloud) == ["v2/upload"]


def test_simultaneous_first_uploads_of_a_kit_upload_once(make_kit: MakeKit, cloud: RunningHub) -> None:
    cloud.apps["12"] = App("Invert", WORKFLOW, [Field("1", "image", "IMAGE")])
    cloud.concurrency = 3
    held = threading.Event()
    cloud.answer("v2/upload", Held(held), times=None)
    kit = make_kit(runninghub_concurrency=3)
    first = kit.submit("rh-app:12", image=make_png())
    cloud.wait_for(lambda: list_uploads(cloud))
    others = [kit.submit("rh-app:12", image=make_png()) for _ in range(2)]
    for run in others:
        seen = threading.Event()
        run.subscribe(progress=lambda progress, seen=seen: seen.set() if "uploading" in progress.note else None)  # type: ignore[misc]
        assert seen.wait(20)
    held.set()
    assert [run.result().status for run in (first, *others)] == ["completed"] * 3
    assert list_uploads(cloud) == ["v2/upload"]


def test_an_old_upload_is_repeated(kit: ComfyKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch) -> None:
    kit.run(WORKFLOW, image=make_png())
    monkeypatch.setattr(runninghub_files, "UPLOAD_LIFE", 0)
    kit.run(WORKFLOW, image=make_png())
    assert len(list_uploads(cloud)) == 2


@pytest.mark.parametrize(
    "answer", [NOT_FOUND, WRONG_PATH, build_page(404), Reply({"message": "NOT_FOUND"}, 404)], ids=str
)
def test_without_the_new_route_the_old_one_is_used(answer: Reply, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/upload", answer, times=None)
    assert kit.run(WORKFLOW, image=make_png()).status == "completed"
    assert list_uploads(cloud) == ["v2/upload", "upload"]
    assert get_sent_image(cloud).startswith("api/")
    (request,) = cloud.find_requests("upload")
    assert request.body["fileType"] == "input"
    assert request.body["apiKey"] == cloud.key


def test_without_an_upload_route_no_task_is_created(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/upload", NOT_FOUND, times=None)
    cloud.answer("upload", build_page(404), times=None)
    assert "has no route for uploads" in str(kit.run(WORKFLOW, image=make_png()).msg)
    assert not cloud.find_requests("create")


def test_the_old_routes_limits_are_checked_before_uploading(
    kit: ComfyKit, cloud: RunningHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runninghub_files, "UPLOAD_LIMIT", 2 << 20)
    large = make_png() + bytes(3 << 20)
    assert kit.run(WORKFLOW, image=large).status == "completed"  # the new route has no known limit
    cloud.answer("v2/upload", NOT_FOUND, times=None)
    result = kit.run(WORKFLOW, image=large + b"1")
    assert result.status == "failed"
    assert "image (LoadImage): the file has 3 MB, and RunningHub accepts at most 2 MB" in str(result.msg)
    assert not cloud.find_requests("upload")
    monkeypatch.undo()
    assert runninghub_files.UPLOAD_LIMIT == 30 << 20


def test_a_too_large_file_is_reported_with_the_limit(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/upload", 809)
    result = kit.run(WORKFLOW, image=make_png())
    assert "the file for image: the file is too large: at most 30 MB (code 809)" in str(result.msg)
    assert not cloud.find_requests("create")


@pytest.mark.parametrize(
    "trouble", [DROPPED, LOST, NO_JSON, build_page(502), build_page(429), 808, 1003, 1010], ids=str
)
def test_a_failed_upload_is_retried(trouble: Reply | int, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/upload", trouble, times=2)
    assert kit.run(WORKFLOW, image=make_png()).status == "completed"
    assert list_uploads(cloud) == ["v2/upload"] * 3


def test_upload_retries_have_a_limit(make_kit: MakeKit, cloud: RunningHub) -> None:
    for trouble in (build_page(502), 808, DROPPED):
        cloud.requests.clear()
        cloud.answer("v2/upload", trouble, times=None)
        result = make_kit(raise_on_error=False, runninghub_retry_count=2).run(WORKFLOW, image=make_png())
        assert result.status == "failed"
        assert list_uploads(cloud) == ["v2/upload"] * 3
        cloud.reset_answer("v2/upload")
    assert not cloud.find_requests("create")


@pytest.mark.parametrize("code", [401, 301, 802, 1014, 500, 1])
def test_a_rejected_upload_is_not_retried(code: int, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/upload", code, times=None)
    result = kit.run(WORKFLOW, image=make_png())
    assert result.status == "failed"
    assert f"(code {code})" in str(result.msg)
    assert list_uploads(cloud) == ["v2/upload"]


@pytest.mark.parametrize("data", [None, {}, {"fileName": ""}, {"fileName": None}, {"fileName": 7}, [], "x"], ids=str)
def test_a_response_without_a_file_name_is_an_error(data: object, kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/upload", Reply({"code": 0, "message": "success", "data": data}), times=None)
    assert kit.run(WORKFLOW, image=make_png()).status == "failed"
    assert not cloud.find_requests("create")


def test_a_file_name_from_the_site_is_accepted(kit: ComfyKit, cloud: RunningHub, ask: ApiClient) -> None:
    names = [
        ask.upload("cat.png", make_png())["data"]["fileName"],
        ask.upload("cat.png", make_png(), v2=True)["data"]["fileName"],
    ]
    cloud.requests.clear()
    for name in names:
        assert kit.run(WORKFLOW, image=name).status == "completed"
    assert not list_uploads(cloud)
    sent = [request.body["nodeInfoList"][0]["fieldValue"] for request in cloud.find_requests("create")]
    assert sent == names
    assert str(names[0]) in str(kit.dry_run(WORKFLOW, image=names[0]))


def test_a_missing_file_is_rejected(kit: ComfyKit, cloud: RunningHub) -> None:
    for name in ("nowhere.png", "apis/x.png", "/api/x.png", "api/"):
        result = kit.run(WORKFLOW, image=name)
        assert "there is no file" in str(result.msg)
    assert not cloud.find_requests("create")


def test_a_default_file_is_not_uploaded(
    kit: ComfyKit, cloud: RunningHub, ask: ApiClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = ask.upload("cat.png", make_png(0), v2=True)["data"]["fileName"]
    cloud.workflows[WORKFLOW]["1"] = {
        "class_type": "LoadImage",
        "inputs": {"image": name},
        "_meta": {"title": "$~image"},
    }
    monkeypatch.chdir(tmp_path)
    (tmp_path / "openapi").mkdir()
    (tmp_path / name).write_bytes(b"private")
    cloud.requests.clear()
    assert kit.run(WORKFLOW).image.pil().getpixel((0, 0)) == (255, 255, 255)
    assert not list_uploads(cloud)


def test_an_output_of_an_earlier_task_is_uploaded(kit: ComfyKit, cloud: RunningHub) -> None:
    first = kit.run(WORKFLOW, image=make_png())
    cloud.files.expired = 404  # by now: its copy is what is sent
    cloud.requests.clear()
    second = kit.run(WORKFLOW, image=first.image)
    assert list_uploads(cloud) == ["v2/upload"]
    assert cloud.uploads[get_sent_image(cloud)] == first.image.read()
    cloud.files.expired = None
    assert second.warnings
    assert kit.attach(str(second.prompt_id)).result().image.pil().getpixel((0, 0)) == (255, 0, 0)


def test_a_run_cancelled_during_an_upload_was_never_submitted(kit: ComfyKit, cloud: RunningHub) -> None:
    cloud.answer("v2/upload", HANGING)
    run = kit.submit(WORKFLOW, image=make_png())
    uploading = threading.Event()
    run.subscribe(progress=lambda progress: uploading.set() if progress.note == "uploading image" else None)
    assert uploading.wait(20)
    cloud.wait_for(lambda: cloud.find_requests("v2/upload"))
    run.cancel()
    result = run.result()
    assert (run.status, result.prompt_id) == ("cancelled", None)
    assert not cloud.find_requests("create")
    assert not cloud.find_requests("cancel")
