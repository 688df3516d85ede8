"""Test media values: the accepted forms of an image, and that a file is uploaded once."""

from __future__ import annotations

import asyncio
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from aiohttp import web
from PIL import Image

from comfykit_jupyter import ComfyKit, Media, ParameterError
from comfykit_jupyter.sandbox import Sandbox
from tests.kits import MakeKit

from . import workflows
from .proxy import Proxy, Served

COLOR = (10, 200, 30)
NEGATIVE = (245, 55, 225)


def make_image(color: tuple[int, int, int] = COLOR, size: tuple[int, int] = (12, 8)) -> Image.Image:
    return Image.new("RGB", size, color)


def encode_image(color: tuple[int, int, int] = COLOR, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    make_image(color).save(buffer, form)
    return buffer.getvalue()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "my cat & dog.PNG"
    path.write_bytes(encode_image())
    return path


SHAPES = {
    "uint8": np.full((8, 12, 3), COLOR, np.uint8),
    "float32 of 0…1": np.full((8, 12, 3), COLOR, np.float32) / 255,
    "int64": np.full((8, 12, 3), COLOR, np.int64),
    "with alpha": np.full((8, 12, 4), (*COLOR, 255), np.uint8),
    "a batch of one": np.full((1, 8, 12, 3), COLOR, np.uint8),
}


def first_pixel(result: Any) -> Any:
    """Return the first pixel of the result, to be compared with `approx_color`."""
    assert result.status == "completed", result.msg
    return result.image.pil().convert("RGB").getpixel((0, 0))


def approx_color(color: tuple[int, int, int], by: int = 1) -> Any:
    """Return a color with tolerance for the rounding of floating-point images."""
    return pytest.approx(color, abs=by)


@pytest.mark.parametrize("form", ["path", "Path", "home", "bytes", "bytearray", "memory", "file", "open", "picture"])
async def test_image_is_accepted_in_many_forms(
    form: str, either: ComfyKit, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(file.parent))
    with file.open("rb") as opened:
        value = {
            "path": str(file),
            "Path": file,
            "home": f"~/{file.name}",
            "bytes": encode_image(),
            "bytearray": bytearray(encode_image()),
            "memory": memoryview(encode_image()),
            "file": io.BytesIO(encode_image(form="JPEG")),
            "open": opened,
            "picture": make_image(),
        }[form]
        result = await either.execute(workflows.inverted(), {"image": value})
    assert first_pixel(result) == approx_color(NEGATIVE, 3 if form == "file" else 1)


@pytest.mark.parametrize("shape", SHAPES)
async def test_array_is_accepted_as_an_image(shape: str, kit: ComfyKit) -> None:
    assert first_pixel(await kit.execute(workflows.inverted(), {"image": SHAPES[shape]})) == approx_color(NEGATIVE)


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "CMYK", "F", "1"])
async def test_images_of_every_mode_are_accepted(mode: str, kit: ComfyKit) -> None:
    result = await kit.execute(workflows.inverted(), {"image": make_image((255, 255, 255)).convert(mode)})
    assert first_pixel(result) == approx_color((0, 0, 0), 2)


@pytest.mark.parametrize(
    "value",
    [
        np.zeros((8, 12, 5)),
        np.zeros(7),
        np.full((4, 4), 300),
        io.StringIO("text"),
        io.BytesIO(),
        object(),
        7,
        1.5,
        [1],
        {},
    ],
    ids=lambda value: type(value).__name__,
)
async def test_other_values_are_rejected(value: Any, kit: ComfyKit) -> None:
    with pytest.raises(ParameterError, match="image"):
        await kit.submit(workflows.inverted(), image=value)


async def test_url_is_fetched_by_the_client_without_secrets(make_kit: MakeKit) -> None:
    seen: list[dict[str, str]] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(dict(request.headers))
        return web.Response(body=encode_image()) if request.path == "/cat" else web.Response(status=404)

    kit = make_kit(api_key="the-secret", cookies="session=the-secret", headers={"X-Proxy": "the-secret"})
    with Served(serve) as site:
        result = await kit.execute(workflows.inverted(), {"image": f"{site.url}/cat?size=large"})
        assert first_pixel(result) == approx_color(NEGATIVE)
        absent = await kit.execute(workflows.inverted(), {"image": f"{site.url}/absent.png?token=hidden"})
    assert absent.status == "failed"
    assert absent.msg == "127.0.0.1 answers 404 to /absent.png"
    assert "the-secret" not in str(seen)
    gone = await kit.execute(workflows.inverted(), {"image": f"{site.url}/cat"})
    assert gone.error is not None
    assert gone.error.kind == "invalid"


async def test_name_of_a_file_on_the_server_is_used_unchanged(
    sandbox: Sandbox, proxy: Proxy, make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (sandbox.folder / "input").mkdir(exist_ok=True)
    (sandbox.folder / "input" / "known.png").write_bytes(encode_image())
    kit = make_kit(proxy.url)
    for name in ("known.png", "known.png [input]"):
        result = await kit.execute(workflows.inverted(), {"image": name})
        assert first_pixel(result) == approx_color(NEGATIVE)
        assert result.prompt["1"]["inputs"]["image"] == name
    assert not proxy.requests("POST", "/upload/image")
    with pytest.raises(ParameterError, match=r"did you mean 'known\.png'"):
        await kit.submit(workflows.inverted(), image="knwon.png")


async def test_local_file_takes_precedence_over_one_on_the_server(
    sandbox: Sandbox, kit: ComfyKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (sandbox.folder / "input").mkdir(exist_ok=True)
    (sandbox.folder / "input" / "both.png").write_bytes(encode_image((1, 1, 1)))
    (tmp_path / "both.png").write_bytes(encode_image())
    assert first_pixel(await kit.execute(workflows.inverted(), {"image": "both.png"})) == approx_color(NEGATIVE)


async def test_output_of_an_earlier_run_is_not_uploaded(proxy: Proxy, make_kit: MakeKit) -> None:
    kit = make_kit(proxy.url)
    first = await kit.execute(workflows.picture(prefix="sub dir/a #1+ü"), {"color": 0x0AC81E})
    as_media = await kit.execute(workflows.inverted(), {"image": first.image})
    as_text = await kit.execute(workflows.inverted(), {"image": str(first.image)})
    assert first_pixel(as_media) == first_pixel(as_text) == approx_color(NEGATIVE)
    graph = workflows.picture()
    graph["2"] = {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}}
    preview = await kit.execute(graph, {"color": 0x0AC81E})
    assert preview.image.temp
    assert first_pixel(await kit.execute(workflows.inverted(), {"image": preview.image})) == approx_color(NEGATIVE)
    assert not proxy.requests("POST", "/upload/image")


async def test_output_of_another_server_is_transferred(kit: ComfyKit, make_kit: MakeKit) -> None:
    with Sandbox() as other:
        made = await make_kit(other.url).execute(workflows.picture(), {"color": 0x0AC81E})
        assert isinstance(made.image, Media)
        assert first_pixel(await kit.execute(workflows.inverted(), {"image": made.image})) == approx_color(NEGATIVE)


async def test_same_content_is_uploaded_once_in_any_form(proxy: Proxy, make_kit: MakeKit, tmp_path: Path) -> None:
    kit = make_kit(proxy.url)
    content = encode_image((3, 1, 4))
    one, two = tmp_path / "one.png", tmp_path / "two.png"
    one.write_bytes(content)
    two.write_bytes(content)
    values: list[Any] = [one, two, content, *(io.BytesIO(content) for _ in range(9))]
    runs = [kit.submit(workflows.inverted(), image=value) for value in values]
    names = {(await run).prompt["1"]["inputs"]["image"] for run in runs}
    assert len(names) == 1
    sent = [seen for seen in proxy.requests("POST", "/upload/image") if content in seen.body]
    assert len(sent) == 1
    await make_kit(proxy.url).execute(workflows.inverted(), {"image": one})
    assert len(proxy.requests("POST", "/upload/image")) == 1


async def test_changed_content_under_the_same_name_is_uploaded(kit: ComfyKit, file: Path) -> None:
    assert first_pixel(await kit.execute(workflows.inverted(), {"image": file})) == approx_color(NEGATIVE)
    file.write_bytes(encode_image((0, 0, 0)))
    assert first_pixel(await kit.execute(workflows.inverted(), {"image": file})) == approx_color((255, 255, 255))


async def test_large_file_round_trips(kit: ComfyKit, tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (1200, 1600, 3), np.uint8)
    path = tmp_path / "noise.bmp"
    Image.fromarray(noise).save(path)
    assert path.stat().st_size > 5 * 1024 * 1024
    result = await kit.execute(workflows.inverted(), {"image": path})
    assert result.status == "completed", result.msg
    back = await asyncio.to_thread(result.image.pil)
    assert (np.abs(np.asarray(back).astype(int) - (255 - noise)) <= 1).all()


async def test_default_of_the_workflow_is_never_uploaded(
    proxy: Proxy, make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "never-sent.png").write_bytes(encode_image())
    graph = workflows.inverted()
    graph["1"] = {
        "class_type": "LoadImage",
        "inputs": {"image": "never-sent.png"},
        "_meta": {"title": "$~image"},
    }
    result = await make_kit(proxy.url).execute(graph)
    assert result.status == "failed"
    assert not proxy.requests("POST", "/upload/image")


@pytest.mark.parametrize(
    "value", ["", "no/such/file.png", "a\0b", "x" * 5000, "~nobody-at-all/x.png", "file:///etc/passwd"]
)
async def test_missing_file_is_reported_by_name(value: str, kit: ComfyKit) -> None:
    with pytest.raises(ParameterError, match=r"image \(Load Image\): there is no file") as caught:
        await kit.submit(workflows.inverted(), image=value)
    assert len(str(caught.value)) < 500
    assert "\0" not in str(caught.value)


async def test_upload_parameter_can_differ_from_the_input_name(kit: ComfyKit, file: Path) -> None:
    graph = workflows.inverted()
    graph["1"]["_meta"]["title"] = "$~input_image!"
    assert first_pixel(await kit.execute(graph, {"input_image": file})) == approx_color(NEGATIVE)


@pytest.mark.parametrize(("name", "workflow"), [("sound", workflows.sound), ("clip", workflows.clip)])
async def test_audio_and_videos_are_uploaded(name: str, workflow: Any, kit: ComfyKit, tmp_path: Path) -> None:
    made = await kit.execute(workflow())
    copy = made.media[0].save(tmp_path / made.media[0].name)
    graph: workflows.Graph
    if name == "sound":
        graph = {
            "1": {"class_type": "LoadAudio", "inputs": {"audio": ""}, "_meta": {"title": "$take.audio!"}},
            "2": {"class_type": "SaveAudio", "inputs": {"audio": ["1", 0], "filename_prefix": "again"}},
        }
    else:
        graph = {
            "1": {"class_type": "LoadVideo", "inputs": {"file": ""}, "_meta": {"title": "$take.file!"}},
            "2": {
                "class_type": "SaveVideo",
                "inputs": {"video": ["1", 0], "filename_prefix": "again", "format": "auto", "codec": "auto"},
            },
        }
    again = await kit.execute(graph, {"take": copy})
    assert again.status == "completed", again.msg
    assert json.dumps(again.params) == json.dumps({"take": str(copy)})
    assert [media.kind for media in again.media] == [made.media[0].kind]


def test_value_that_the_server_has_is_recorded_without_its_address(kit: ComfyKit, tmp_path: Path) -> None:
    image = kit.run(workflows.picture()).image
    name = f"{image.name} [output]"
    for given in (image, str(image), name):
        result = kit.run(workflows.inverted(), image=given)
        assert result.params["image"] == result.changed["image"] == name
        assert type(result.params["image"]) is str
        assert result.prompt["1"]["inputs"]["image"] == name
    again = kit.run(workflows.inverted(), result.params)
    assert again.params == result.params
    saved = str(image.save(tmp_path / "fox.png"))
    assert kit.run(workflows.inverted(), image=saved).params["image"] == saved


def test_output_of_another_server_is_recorded_by_its_name_here(proxy: Proxy, kit: ComfyKit, make_kit: MakeKit) -> None:
    image = make_kit(proxy.url).run(workflows.picture()).image
    result = kit.run(workflows.inverted(), image=image)
    assert result.params["image"] == result.prompt["1"]["inputs"]["image"]
    assert proxy.url not in str(result.params)
