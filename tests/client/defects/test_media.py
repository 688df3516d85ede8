"""Test defects of uploads, and of the addresses of outputs."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import Package
from tests.client.proxy import Proxy, Served

from .scenes import Write, get_posted_prompt, make_image, open_first_image, upload


def test_02_output_urls_are_encoded(package: Package, sandbox: Sandbox, write: Write) -> None:
    name = "a b#1&x+ü.png"
    graph = workflows.showing({"images": [{"filename": name, "subfolder": "", "type": "output"}]})
    result = package.execute(sandbox.url, write(graph))
    assert parse_qs(urlsplit(result["images"][0]).query)["filename"] == [name]


def test_03_missing_file_is_rejected(package: Package, sandbox: Sandbox, write: Write) -> None:
    upload(sandbox, "default.png", make_image(8))
    graph = workflows.inverted()
    graph["1"]["inputs"]["image"] = "default.png"
    result = package.execute(sandbox.url, write(graph), {"image": "my-hoilday.png"})
    assert result["status"] == "failed"


def test_04_media_parameter_finds_the_upload_input(
    package: Package, sandbox: Sandbox, write: Write, tmp_path: Path
) -> None:
    upload(sandbox, "default.png", make_image(8))
    (tmp_path / "given.png").write_bytes(make_image(12))
    graph = workflows.inverted()
    graph["1"] = {**graph["1"], "inputs": {"image": "default.png"}, "_meta": {"title": "$~input_image!"}}
    result = package.execute(sandbox.url, write(graph), {"input_image": str(tmp_path / "given.png")})
    assert open_first_image(result).size == (12, 12)


def test_05_image_can_be_a_path_bytes_or_an_open_file(
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


def test_06_subfolder_of_an_upload_is_used(
    package: Package, sandbox: Sandbox, write: Write, proxy: Proxy, tmp_path: Path
) -> None:
    (tmp_path / "given.png").write_bytes(make_image(12))
    upload(sandbox, "elsewhere.png", make_image(12), "deep/down")
    answer = {"name": "elsewhere.png", "subfolder": "deep/down", "type": "input"}
    proxy.answer = lambda request: web.json_response(answer) if request.path == "/upload/image" else None
    package.execute(proxy.url, write(workflows.inverted()), {"image": str(tmp_path / "given.png")})
    assert get_posted_prompt(proxy)["1"]["inputs"]["image"] == "deep/down/elsewhere.png"


def test_13_default_is_never_uploaded(
    package: Package, sandbox: Sandbox, write: Write, proxy: Proxy, tmp_path: Path
) -> None:
    upload(sandbox, "private.png", make_image(8))
    (tmp_path / "private.png").write_bytes(make_image(12))
    graph = workflows.inverted()
    graph["1"] = {**graph["1"], "inputs": {"image": "private.png"}, "_meta": {"title": "$~image"}}
    result = package.execute(proxy.url, write(graph), folder_of_work=str(tmp_path))
    assert result["status"] == "completed", result["msg"]
    assert not proxy.requests("POST", "/upload/image")


@pytest.mark.parametrize("secret", ["api_key", "cookies"])
def test_22_secrets_are_not_sent_to_the_host_of_an_image(
    secret: str, package: Package, sandbox: Sandbox, write: Write
) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(str(dict(request.headers)))
        return web.Response(body=make_image(12), content_type="image/png")

    with Served(serve) as elsewhere:
        kit = {secret: "session=planted-secret"}
        result = package.execute(
            sandbox.url, write(workflows.inverted()), {"image": f"{elsewhere.url}/cat.png"}, kit=kit
        )
    assert result["status"] == "completed", result["msg"]
    assert seen
    assert "planted-secret" not in "".join(seen)


def test_30_same_bytes_are_uploaded_once(package: Package, write: Write, proxy: Proxy, tmp_path: Path) -> None:
    (tmp_path / "given.png").write_bytes(make_image(12))
    for _ in range(2):
        result = package.execute(proxy.url, write(workflows.inverted()), {"image": str(tmp_path / "given.png")})
        assert result["status"] == "completed", result["msg"]
    assert len(proxy.requests("POST", "/upload/image")) == 1
