"""Uploads and views never lead out of the server's folders."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from PIL import Image, PngImagePlugin

from comfykit_jupyter.sandbox import Sandbox


@pytest.fixture
def http(server: Sandbox) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url, verify=False, trust_env=False) as connected:
        yield connected


def png(colour: tuple[int, ...] = (255, 0, 0), mode: str = "RGB", text: str = "") -> bytes:
    buffer = io.BytesIO()
    about = PngImagePlugin.PngInfo()
    if text:
        about.add_text("prompt", text)
    Image.new(mode, (16, 12), colour).save(buffer, "PNG", pnginfo=about)
    return buffer.getvalue()


def upload(http: httpx.Client, name: str, data: bytes, route: str = "/upload/image", **fields: str) -> httpx.Response:
    return http.post(route, files={"image": (name, data, "image/png")}, data=fields)


def view(http: httpx.Client, filename: str, **query: Any) -> httpx.Response:
    headers = query.pop("headers", {})
    return http.get("/view", params={"filename": filename, "type": "input", **query}, headers=headers)


def test_an_upload_keeps_its_name_unless_a_different_file_has_it(http: httpx.Client) -> None:
    red, blue = png(), png((0, 0, 255))
    assert upload(http, "cat.png", red).json() == {"name": "cat.png", "subfolder": "", "type": "input"}
    assert upload(http, "cat.png", red).json()["name"] == "cat.png"
    assert upload(http, "cat.png", blue).json()["name"] == "cat (1).png"
    assert upload(http, "cat.png", blue).json()["name"] == "cat (1).png"
    assert view(http, "cat.png").content == red
    assert upload(http, "cat.png", blue, overwrite="true").json()["name"] == "cat.png"
    assert view(http, "cat.png").content == blue


@pytest.mark.parametrize(
    "disposition",
    [
        'name="image"; filename="a\0.png"',
        'name="ima\0ge"; filename="a.png"',
        "name=\"image\"; filename*=UTF-8''a%00.png",
    ],
)
def test_a_nul_in_an_upload_is_rejected(http: httpx.Client, disposition: str, server: Sandbox) -> None:
    body = f"--B\r\nContent-Disposition: form-data; {disposition}\r\n\r\nx\r\n--B--\r\n".encode()
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    assert http.post("/upload/image", content=body, headers=headers).status_code == 400
    assert not [*(server.folder / "input").iterdir(), *(server.folder / "incoming").iterdir()]


def test_an_upload_can_choose_subfolder_and_type(http: httpx.Client) -> None:
    given = {"name": "x.png", "subfolder": "a/b", "type": "temp"}
    assert upload(http, "x.png", png(), subfolder="a/b", type="temp").json() == given
    assert view(http, "x.png", subfolder="a/b", type="temp").status_code == 200


@pytest.mark.parametrize("name", ["ü x&y#+.png", "日本.png", 'a"b.png', "no suffix"])
def test_unusual_file_names_round_trip(http: httpx.Client, name: str) -> None:
    kept = upload(http, name, png()).json()["name"]
    assert view(http, kept).content == png()


@pytest.mark.parametrize(
    ("name", "fields"),
    [
        ("../../evil.png", {}),
        ("/etc/evil.png", {}),
        ("sub/evil.png", {}),
        ("..", {}),
        ("a\\b.png", {}),
        ("x" * 300, {}),
        ("x.png", {"subfolder": "../../evil"}),
        ("x.png", {"subfolder": "/tmp"}),
        ("x.png", {"subfolder": "../input2"}),
        ("x.png", {"type": "models"}),
    ],
)
def test_an_upload_outside_the_folders_is_rejected(
    server: Sandbox, http: httpx.Client, name: str, fields: dict[str, str]
) -> None:
    before = sorted(server.folder.rglob("*"))
    assert upload(http, name, png(), **fields).status_code == 400
    assert sorted(server.folder.rglob("*")) == before


def test_a_symlink_out_of_the_folder_is_not_followed(
    server: Sandbox, http: httpx.Client, tmp_path_factory: pytest.TempPathFactory
) -> None:
    secret = tmp_path_factory.mktemp("outside")
    (secret / "secret.png").write_bytes(png())
    (server.folder / "input" / "link.png").symlink_to(secret / "secret.png")
    (server.folder / "input" / "folder").symlink_to(secret)
    assert view(http, "link.png").status_code == 403
    assert view(http, "secret.png", subfolder="folder").status_code == 403
    assert upload(http, "new.png", png(), subfolder="folder").status_code == 400
    assert upload(http, "link.png", png((1, 2, 3))).status_code == 400
    assert (secret / "secret.png").read_bytes() == png()
    assert [path.name for path in secret.iterdir()] == ["secret.png"]


def test_a_too_large_upload_is_rejected_and_leaves_no_file() -> None:
    with (
        Sandbox(max_upload_size=10_000) as small,
        httpx.Client(base_url=small.url, trust_env=False) as http,
    ):
        assert upload(http, "large.bin", bytes(20_000)).status_code == 413
        assert upload(http, "small.bin", bytes(5_000)).status_code == 200
        assert http.get("/features").json()["max_upload_size"] == 10_000
        assert sorted(path.name for path in small.folder.rglob("*") if path.is_file()) == ["small.bin"]


def test_an_upload_of_unknown_length_is_stopped_at_the_limit() -> None:
    def body() -> Iterator[bytes]:
        yield b'--b\r\nContent-Disposition: form-data; name="image"; filename="x.bin"\r\n\r\n'
        for _ in range(50):
            yield bytes(1_000)
        yield b"\r\n--b--\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    with (
        Sandbox(max_upload_size=10_000) as small,
        httpx.Client(base_url=small.url, trust_env=False) as http,
    ):
        assert http.post("/upload/image", content=body(), headers=headers).status_code == 413
        assert not [path for path in small.folder.rglob("*") if path.is_file()]


@pytest.mark.parametrize(
    "request_",
    [
        {"files": {"other": ("x.png", png())}},
        {"data": {"image": "text"}},
        {"content": b"no multipart"},
        {"content": b"garbage", "headers": {"Content-Type": "multipart/form-data; boundary=b"}},
    ],
)
def test_a_body_without_an_image_is_rejected(http: httpx.Client, request_: dict[str, Any]) -> None:
    assert http.post("/upload/image", **request_).status_code == 400


def test_a_mask_becomes_the_alpha_channel_of_its_original(http: httpx.Client) -> None:
    upload(http, "original.png", png(text='{"1": {}}'))
    reference = json.dumps({"filename": "original.png", "subfolder": "", "type": "input"})
    mask = png((0, 0, 0, 77), "RGBA")
    name = upload(http, "mask.png", mask, "/upload/mask", original_ref=reference).json()["name"]
    with Image.open(io.BytesIO(view(http, name).content)) as picture:
        assert picture.getpixel((0, 0)) == (255, 0, 0, 77)
        assert picture.info["prompt"] == '{"1": {}}'


@pytest.mark.parametrize(
    ("reference", "status"),
    [("", 400), ("[]", 400), ('{"filename": "../x.png"}', 400), ('{"filename": "none.png", "type": "input"}', 404)],
)
def test_a_mask_without_an_original_is_rejected(http: httpx.Client, reference: str, status: int) -> None:
    assert upload(http, "m.png", png(), "/upload/mask", original_ref=reference).status_code == status


def test_view_sends_the_media_type(http: httpx.Client) -> None:
    upload(http, "cat.png", png())
    response = view(http, "cat.png")
    assert response.headers["content-type"] == "image/png"
    assert response.headers["content-disposition"] == 'filename="cat.png"'
    assert response.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize("name", ["a.html", "a.svg", "a.js", "a.xhtml", "a.xml", "a.css", "a.SVG", "a.html.gz", "a"])
def test_view_never_sends_a_type_that_a_browser_runs(http: httpx.Client, name: str) -> None:
    upload(http, name, b"<script>alert(1)</script>")
    assert view(http, name).headers["content-type"] == "application/octet-stream"


def test_view_supports_range_requests(http: httpx.Client) -> None:
    data = bytes(range(256))
    upload(http, "clip.mp4", data)
    response = view(http, "clip.mp4", headers={"Range": "bytes=10-19"})
    assert (response.status_code, response.content) == (206, data[10:20])
    assert response.headers["content-range"] == "bytes 10-19/256"
    assert response.headers["content-type"] == "video/mp4"
    assert view(http, "clip.mp4", headers={"Range": "bytes=999-"}).status_code == 416


@pytest.mark.parametrize(
    ("query", "encoding"),
    [
        ({"preview": "webp;50"}, "WEBP"),
        ({"preview": "jpeg;80"}, "JPEG"),
        ({"preview": "jpeg"}, "JPEG"),
        ({"preview": "odd;x"}, "WEBP"),
        ({"preview": "webp;99999999"}, "WEBP"),
        ({"channel": "rgb"}, "PNG"),
        ({"channel": "a"}, "PNG"),
    ],
)
def test_view_can_reencode_an_image(http: httpx.Client, query: dict[str, str], encoding: str) -> None:
    upload(http, "alpha.png", png((9, 9, 9, 77), "RGBA"))
    response = view(http, "alpha.png", **query)
    with Image.open(io.BytesIO(response.content)) as picture:
        assert (picture.format, picture.size) == (encoding, (16, 12))
    assert response.headers["content-type"] == f"image/{encoding.lower()}"


def test_postscript_that_is_called_an_image_is_not_run(http: httpx.Client, ghostscript: Path) -> None:
    upload(http, "cat.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 16 16\n%%EndComments\n{} loop\n%%EOF\n")
    assert view(http, "cat.png", preview="webp;75").status_code == 400
    assert not ghostscript.exists()


def test_a_preview_of_a_file_that_is_not_an_image_is_rejected(http: httpx.Client) -> None:
    upload(http, "notes.txt", b"no picture")
    assert view(http, "notes.txt", preview="webp").status_code == 400


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({"filename": ""}, 404),
        ({"filename": "none.png"}, 404),
        ({"filename": "../x.png"}, 400),
        ({"filename": "/etc/passwd"}, 400),
        ({"filename": "x.png", "type": "models"}, 400),
        ({"filename": "passwd", "subfolder": "../../../../etc"}, 403),
        ({"filename": "passwd", "subfolder": "/etc"}, 403),
        ({"filename": "a\0b"}, 403),
        ({"filename": "."}, 404),
    ],
)
def test_view_rejects_missing_files(http: httpx.Client, query: dict[str, str], status: int) -> None:
    response = http.get("/view", params=query)
    assert (response.status_code, response.content) == (status, b"")
    assert "content-type" not in response.headers
