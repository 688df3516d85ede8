"""Files of Comfy API v2: uploaded once, downloaded from any host, and read if they are texts."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from PIL import Image

from comfykit_jupyter import ComfyKit, ComfyKitError, ServerError
from comfykit_jupyter.client.backends.comfyapi import assets, follow
from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.kits import MakeKit

from .double import KEY, Double, Output, Reply, set_status

OUTPUTS = [
    Output("2", "a.png", "image", "image/png", b"an image"),
    Output("2", "b.mp4", "video", "video/mp4", b"a video"),
    Output("3", "c.flac", "audio", "audio/flac", b"a sound"),
    Output("4", "d.txt", "text", "text/plain", "ein Wört".encode()),
    Output("5", "e.glb", "file", "model/gltf-binary", b"a shape"),
    Output("6", "f.latent", "latent", "application/octet-stream", b"a latent"),
    Output("7", "g", "image", "image/jpeg", b"without a suffix"),
]


def make_image(color: str) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 4), color).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.mark.parametrize("redirects", [True, False], ids=["elsewhere", "there"])
def test_outputs_of_every_kind_are_in_the_result(redirects: bool, double: Double, cloud_kit: ComfyKit) -> None:
    double.redirects = redirects
    double.plan = [set_status("running"), set_status("succeeded", outputs=OUTPUTS)]
    result = cloud_kit.run(workflows.picture())
    found = {media.name: (media.kind, media.node, media.read()) for media in result.media}
    assert found == {
        "a.png": ("image", "2", b"an image"),
        "b.mp4": ("video", "2", b"a video"),
        "c.flac": ("audio", "3", b"a sound"),
        "e.glb": ("file", "5", b"a shape"),
        "f.latent": ("file", "6", b"a latent"),
        "g.jpg": ("image", "7", b"without a suffix"),
    }
    assert (result.texts, result.texts_by_var) == (["ein Wört"], {"4": ["ein Wört"]})
    assert result.images_by_var.keys() == {"cover", "7"}
    assert bool(double.files.seen) == redirects
    for seen in double.files.seen:
        assert "Authorization" not in seen.headers
        assert KEY not in str(seen)


def test_a_signed_url_is_never_stored(double: Double, cloud_kit: ComfyKit, tmp_path: Path) -> None:
    double.plan = [set_status("succeeded", outputs=OUTPUTS)]
    result = cloud_kit.run(workflows.picture())
    page = result.to_html(tmp_path / "page.html").read_text(encoding="utf-8")
    shown = f"{result!r}{result.outputs}{[str(media) for media in result.media]}{result._repr_mimebundle_()}{page}"
    assert "X-Signature" not in shown
    assert str(result.media[0]) == f"{double.base}/assets/{OUTPUTS[0].id}/content"


@pytest.mark.parametrize(
    ("content", "reply"),
    [(b"x" * 101, None), (b"short", Reply(404, "not_found")), (b"short", Reply(500, "upstream_error"))],
    ids=["long", "gone", "away"],
)
def test_an_unreadable_text_stays_a_file(
    content: bytes, reply: Reply | None, double: Double, cloud_kit: ComfyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "TEXT_LIMIT", 100)
    if reply is not None:
        double.fail("GET /assets/{id}/content", reply)
    double.plan = [set_status("succeeded", outputs=[Output("4", "d.txt", "text", "text/plain", content)])]
    result = cloud_kit.run(workflows.picture())
    (file,) = result.media
    assert (result.texts, file.kind, file.read()) == ([], "file", content)


def test_texts_that_come_byte_by_byte_stay_files(
    double: Double, make_kit: MakeKit, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not hold the run for longer than its patience."""
    monkeypatch.setattr(follow, "TEXTS_LEAST", 0.2)
    begun: list[Any] = []

    async def trickle() -> AsyncIterator[bytes]:
        while True:
            yield b"x"
            await asyncio.sleep(0.02)

    async def answer(request: web.Request, _id: str) -> web.StreamResponse:
        begun.append(request.transport)
        return web.Response(body=trickle())

    monkeypatch.setattr(double, "_get_content", answer)
    texts = [Output("4", f"{name}.txt", "text", "text/plain", b"") for name in "ab"]
    double.plan = [set_status("succeeded", outputs=texts)]
    result = make_kit(double.base, api_key=KEY, patience=0.2).run(workflows.picture())
    double.call(lambda: [transport.abort() for transport in begun])
    assert (result.status, result.texts, len(result.media)) == ("completed", [], 2)


def test_an_expired_file_is_reported_as_expired(double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("succeeded", outputs=OUTPUTS[:2])]
    first, second = cloud_kit.run(workflows.picture()).media
    assert first.read() == b"an image"
    double.files.expired = True
    assert first.read() == b"an image"  # it is here
    with pytest.raises(ServerError, match=r"does not have b\.mp4: it was never there, or has been deleted"):
        second.read()
    double.files.expired = False
    double.assets.clear()
    double.jobs.clear()
    with pytest.raises(ServerError, match=r"does not have b\.mp4"):
        second.read()


@pytest.mark.parametrize(
    "target", ["ftp://x/y", "http://", "http://127.0.0.1:1/x?secret=1", "//[", "/api/v2/assets/a/content"]
)
def test_a_broken_redirect_is_a_one_line_error(target: str, double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("succeeded", outputs=OUTPUTS[:1])]
    image = cloud_kit.run(workflows.picture()).image
    double.fail("GET /assets/{id}/content", *[Reply(302, headers={"Location": target})] * 3)
    with pytest.raises(ComfyKitError) as caught:
        image.read()
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("links", ["absolute", "relative"])
def test_an_output_is_downloaded_from_the_url_in_its_job(links: Any, double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("succeeded", outputs=OUTPUTS[:1])]
    image = cloud_kit.run(workflows.picture()).image
    double.fail("GET /assets/{id}/content", Reply(404, "not_found"))
    if links == "relative":
        double.files.sign = lambda id_: f"/api/v2/assets/{id_}/content"  # type: ignore[method-assign]
        double.redirects = False
    assert image.read() == b"an image"


# -- files that are sent -----------------------------------------------------------------------------------------------


def test_the_same_content_is_uploaded_once(double: Double, cloud_kit: ComfyKit, tmp_path: Path) -> None:
    path = tmp_path / "red.png"
    path.write_bytes(make_image("red"))
    graph = workflows.inverted()
    for value in (str(path), path.read_bytes(), path):
        cloud_kit.run(graph, image=value)
    assert (double.count("POST /assets"), double.count("POST /assets/from-hash")) == (1, 2)
    for job in double.jobs.values():
        info = job.workflow["1"]["inputs"]["image"]
        assert info["__type"] == "core/ASSET"
        assert double.assets[info["info"]["id"]]["content"] == path.read_bytes()
    (name,) = {asset["name"] for asset in double.assets.values()}
    assert name.endswith(".png")


async def test_many_runs_at_once_upload_once(double: Double, cloud_kit: ComfyKit) -> None:
    picture = make_image("blue")
    await asyncio.gather(*(cloud_kit.execute(workflows.inverted(), {"image": picture}) for _ in range(5)))
    assert double.count("POST /assets") == 1


def test_a_file_that_the_server_lost_is_uploaded_again(double: Double, cloud_kit: ComfyKit) -> None:
    picture = make_image("green")
    cloud_kit.run(workflows.inverted(), image=picture)
    double.call(double.assets.clear)
    cloud_kit.run(workflows.inverted(), image=picture)
    assert double.count("POST /assets") == 2


def test_an_output_of_an_earlier_run_is_referenced_not_uploaded(double: Double, cloud_kit: ComfyKit) -> None:
    double.plan = [set_status("succeeded", outputs=[Output("2", "a.png", "image", "image/png", make_image("red"))])]
    image = cloud_kit.run(workflows.picture()).image
    for value in (image, str(image)):
        cloud_kit.run(workflows.inverted(), image=value)
    assert (double.count("POST /assets"), double.count("GET /assets/{id}/content")) == (0, 0)
    *_, job = double.jobs.values()
    assert job.workflow["1"]["inputs"]["image"]["info"]["id"] == OUTPUTS[0].id or image.query["id"] in str(job.workflow)


def test_an_output_of_another_server_is_downloaded_and_uploaded(
    double: Double, cloud_kit: ComfyKit, sandbox: Sandbox, make_kit: MakeKit
) -> None:
    image = make_kit(sandbox.url).run(workflows.picture()).image
    cloud_kit.run(workflows.inverted(), image=image)
    (asset,) = double.assets.values()
    assert asset["content"] == image.read()


@pytest.mark.parametrize(
    ("reply", "expected_text"),
    [
        (Reply(413, "payload_too_large", "at most 100 MB"), "rejects the file because of its size: at most 100 MB"),
        (Reply(422, "invalid_request", "no such place"), "no such place"),
        (Reply(200, text="no asset"), "does not speak Comfy API v2"),
    ],
    ids=["large", "refused", "nonsense"],
)
async def test_a_rejected_upload_is_reported(
    reply: Reply, expected_text: str, double: Double, cloud_kit: ComfyKit
) -> None:
    double.fail("POST /assets", reply)
    result = await cloud_kit.execute(workflows.inverted(), {"image": make_image("red")})
    assert result.status == "failed"
    assert expected_text in str(result.msg)
    assert not double.jobs


@pytest.mark.parametrize(
    "reply",
    [
        Reply(0),
        Reply(0, after=True),
        Reply(500, "upstream_error"),
        Reply(429, "rate_limited", headers={"Retry-After": "1"}),
    ],
    ids=["cut", "lost", "away", "busy"],
)
@pytest.mark.parametrize("kind", ["bytes", "path"])
async def test_a_failed_upload_is_retried(
    kind: str, reply: Reply, double: Double, cloud_kit: ComfyKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(assets, "UPLOAD_PAUSES", (0.01, 0.02))
    double.fail("POST /assets", reply, reply)
    path = tmp_path / "red.png"
    path.write_bytes(make_image("red"))
    value = path.read_bytes() if kind == "bytes" else path
    assert (await cloud_kit.execute(workflows.inverted(), {"image": value})).status == "completed"
    (job,) = double.jobs.values()
    assert double.assets[job.workflow["1"]["inputs"]["image"]["info"]["id"]]["content"] == path.read_bytes()
    double.fail("POST /assets", *[Reply(0)] * 3)
    result = await cloud_kit.execute(workflows.inverted(), {"image": make_image("blue")})
    assert "broke" in str(result.msg)


def test_a_missing_file_is_rejected(double: Double, cloud_kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError, match=r"there is no file 'nowhere\.png'"):
        cloud_kit.run(workflows.inverted(), image="nowhere.png")
    assert not double.jobs


def build_odd_outputs() -> list[Any]:
    return [
        Output("2", name, "image", "image/png", b"x") for name in ("../../etc/passwd", "a\x1b[31m<b>.png", "x" * 5000)
    ]


def test_hostile_file_names_stay_inside_the_folder(double: Double, cloud_kit: ComfyKit, tmp_path: Path) -> None:
    double.plan = [set_status("succeeded", outputs=build_odd_outputs())]
    result = cloud_kit.run(workflows.picture())
    for media in result.media:
        saved = media.save(f"{tmp_path}/")
        assert saved.parent == tmp_path
        assert saved.read_bytes() == b"x"
