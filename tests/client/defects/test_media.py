"""Files that go to the server, and the addresses of those that come back."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import Package
from tests.client.proxy import Proxy, Served

from .scenes import Write, picture_of, posted, put, shown_picture


def test_02_addresses_are_encoded(package: Package, sandbox: Sandbox, write: Write) -> None:
    name = "a b#1&x+ü.png"
    graph = workflows.showing({"images": [{"filename": name, "subfolder": "", "type": "output"}]})
    told = package.execute(sandbox.url, write(graph))
    assert parse_qs(urlsplit(told["images"][0]).query)["filename"] == [name]


def test_03_a_file_that_is_nowhere_is_refused(package: Package, sandbox: Sandbox, write: Write) -> None:
    put(sandbox, "default.png", picture_of(8))
    graph = workflows.inverted()
    graph["1"]["inputs"]["image"] = "default.png"
    told = package.execute(sandbox.url, write(graph), {"image": "my-hoilday.png"})
    assert told["status"] == "failed"


def test_04_a_media_parameter_finds_the_upload_field(
    package: Package, sandbox: Sandbox, write: Write, tmp_path: Path
) -> None:
    put(sandbox, "default.png", picture_of(8))
    (tmp_path / "given.png").write_bytes(picture_of(12))
    graph = workflows.inverted()
    graph["1"] = {**graph["1"], "inputs": {"image": "default.png"}, "_meta": {"title": "$~input_image!"}}
    told = package.execute(sandbox.url, write(graph), {"input_image": str(tmp_path / "given.png")})
    assert shown_picture(told).size == (12, 12)


def test_05_pictures_may_be_paths_bytes_and_open_files(
    package: Package, sandbox: Sandbox, write: Write, tmp_path: Path
) -> None:
    ends = package.play(
        "pictures",
        kit={"comfyui_url": sandbox.url},
        workflow=write(workflows.inverted()),
        parameter="image",
        folder=tmp_path,
    )
    assert ends == ["completed"] * 3


def test_06_the_subfolder_of_an_upload_counts(
    package: Package, sandbox: Sandbox, write: Write, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "given.png").write_bytes(picture_of(12))
    put(sandbox, "elsewhere.png", picture_of(12), "deep/down")
    answer = {"name": "elsewhere.png", "subfolder": "deep/down", "type": "input"}
    proxy.answer = lambda request: web.json_response(answer) if request.path == "/upload/image" else None
    package.execute(proxy.url, write(workflows.inverted()), {"image": str(tmp_path / "given.png")})
    assert posted(proxy)["1"]["inputs"]["image"] == "deep/down/elsewhere.png"


def test_13_a_default_is_never_uploaded(
    package: Package, sandbox: Sandbox, write: Write, proxy: Proxy, tmp_path: Path
) -> None:
    put(sandbox, "private.png", picture_of(8))
    (tmp_path / "private.png").write_bytes(picture_of(12))
    graph = workflows.inverted()
    graph["1"] = {**graph["1"], "inputs": {"image": "private.png"}, "_meta": {"title": "$~image"}}
    told = package.execute(proxy.url, write(graph), folder_of_work=str(tmp_path))
    assert told["status"] == "completed", told["msg"]
    assert not proxy.requests("POST", "/upload/image")


@pytest.mark.parametrize("secret", ["api_key", "cookies"])
def test_22_secrets_do_not_go_to_the_host_of_a_picture(
    secret: str, package: Package, sandbox: Sandbox, write: Write
) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(str(dict(request.headers)))
        return web.Response(body=picture_of(12), content_type="image/png")

    with Served(serve) as elsewhere:
        kit = {secret: "session=planted-secret"}
        told = package.execute(sandbox.url, write(workflows.inverted()), {"image": f"{elsewhere.url}/cat.png"}, kit=kit)
    assert told["status"] == "completed", told["msg"]
    assert seen
    assert "planted-secret" not in "".join(seen)


def test_30_the_same_bytes_are_sent_once(package: Package, write: Write, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "given.png").write_bytes(picture_of(12))
    for _ in range(2):
        told = package.execute(proxy.url, write(workflows.inverted()), {"image": str(tmp_path / "given.png")})
        assert told["status"] == "completed", told["msg"]
    assert len(proxy.requests("POST", "/upload/image")) == 1
