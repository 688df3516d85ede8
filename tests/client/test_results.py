"""What a run gave: pictures, videos, sounds, texts, files, under the names of the workflow; odd ones do no harm."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter import ComfyKit, ComfyKitError, ExecuteResult, Media, ServerError
from comfykit_jupyter.client.results.media import build_view_url, to_safe_name
from comfykit_jupyter.client.results.result import collect_outputs
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.progress.progress import RunState

from . import workflows


class Origin:
    """A server that has no files: for results that were made by hand."""

    url = "http://127.0.0.1:1"

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        return build_view_url(self.url, entry)

    async def fetch(self, media: Media) -> Path:
        raise ServerError("no such file")


def entry(name: str, folder: str = "output", subfolder: str = "") -> dict[str, str]:
    return {"filename": name, "subfolder": subfolder, "type": folder}


def collected(outputs: dict[str, Any], names: dict[str, str] | None = None) -> ExecuteResult:
    result = ExecuteResult("completed")
    state = RunState("id", 0.0, outputs=outputs)
    collect_outputs(result, state, names or {}, Origin())
    return result


async def test_every_kind_of_output_is_found_under_its_name(either: ComfyKit) -> None:
    graph = {
        **workflows.picture(),
        **{f"s{id_}": _renamed(node, "s") for id_, node in workflows.sound().items()},
        **{f"c{id_}": _renamed(node, "c") for id_, node in workflows.clip().items()},
        **{f"t{id_}": _renamed(node, "t") for id_, node in workflows.text().items()},
        "p": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    result = await either.execute(graph)
    assert result.status == "completed", result.msg
    assert {name: len(found) for name, found in result.images_by_var.items()} == {"cover": 1, "p": 1}
    assert list(result.audios_by_var) == ["take"]
    assert list(result.videos_by_var) == ["clip"]
    assert result.texts_by_var == {"words": ["hello"]}
    assert [result[name][0] for name in ("cover", "take", "clip", "words")] == [
        result.image, result.audio, result.video, "hello",
    ]  # fmt: skip
    assert (result.image.temp, result["p"][0].temp) == (False, True)
    assert len(result.media) == 4
    assert result.audio.mime == "audio/flac"
    assert result.audio.read()[:4] == b"fLaC"
    assert result.video.read()[4:8] == b"ftyp"
    assert result.image.pil().size == (32, 16)


def _renamed(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    links = {
        name: [f"{prefix}{value[0]}", value[1]] if isinstance(value, list) else value
        for name, value in node["inputs"].items()
    }
    return {**node, "inputs": links}


async def test_files_of_any_kind_under_any_key_are_found(either: ComfyKit) -> None:
    shown = {
        "gifs": [entry("a.gif"), entry("b.mp4")],
        "3d": [entry("mesh.glb", subfolder="3d")],
        "a_images": [entry("x.PNG"), entry("y.tif"), entry("z.avif")],
        "video": entry("single.webm"),
        "latents": [entry("noise.latent")],
        "svg": [entry("drawing.svg")],
        "string": ["a text"],
        "animated": [True],
    }
    result = await either.execute(workflows.showing(shown))
    assert [media.name for media in result.media if media.kind == "image"] == ["x.PNG", "y.tif", "z.avif"]
    assert [media.name for media in result.media if media.kind == "video"] == ["a.gif", "b.mp4", "single.webm"]
    assert [media.name for media in result.media if media.kind == "file"] == [
        "mesh.glb", "noise.latent", "drawing.svg",
    ]  # fmt: skip
    assert result.files_by_var == {"1": result.files}
    assert result.texts == ["a text"]
    assert result.outputs == {"1": shown}


ODD = ["text", 3, None, [], {}, {"filename": 7}, {"filename": ""}, {"filename": None}, [["nested"]], {"type": "output"}]


async def test_odd_entries_never_spoil_the_rest(either: ComfyKit) -> None:
    shown = {"images": [*ODD, entry("good.png"), {"filename": "bare.png"}], "audio": {"x": 1}, "text": {"y": 2}, "n": 5}
    result = await either.execute(workflows.showing(shown, {"text": "fine"}))
    assert result.status == "completed", result.msg
    assert [media.name for media in result.media] == ["good.png", "bare.png"]
    assert result.texts == ["fine"]
    assert result.outputs is not None
    assert result.outputs["1"] == shown


TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
"""Any text that JSON can hold, halves of characters included."""

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just("filename"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["images", "text", "audio", "x", "animated"]), JSON, max_size=4))
def test_whatever_a_server_shows_a_result_is_made_of_it(output: dict[str, Any]) -> None:
    result = collected({"1": {"images": [entry("good.png")]}, "2": output, "3": {"text": ["last"]}})
    assert result.images[0].endswith("good.png&type=output")
    assert "last" in result.texts
    assert repr(result)


@given(st.text(min_size=1, max_size=30), st.text(max_size=20), st.sampled_from(["output", "temp", "input"]))
def test_an_address_names_exactly_the_file(name: str, subfolder: str, folder: str) -> None:
    (media,) = collected({"1": {"images": [entry(name, folder, subfolder)]}}).media
    parts = urlsplit(media)
    query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True, errors="strict").items()}
    assert {"subfolder": "", **query} == entry(name, folder, subfolder)
    assert (parts.netloc, parts.path, parts.fragment) == ("127.0.0.1:1", "/view", "")


@given(
    st.text(max_size=300) | st.sampled_from(["../../etc/passwd", "..\\..\\x", "/abs", "C:\\x", "..", ".", "", "a\0b"])
)
def test_no_file_name_leads_out_of_a_folder(name: str) -> None:
    safe = to_safe_name(name)
    assert safe
    assert safe not in {".", ".."}
    assert not set(safe) & set('/\\:\0\n"')
    assert len(safe.encode()) <= 255
    assert safe == to_safe_name(safe)


async def test_strange_names_are_fetched_and_saved_as_what_they_are(either: ComfyKit, tmp_path: Path) -> None:
    graph = workflows.picture(prefix="sub dir/ü x&y#1+%2F")
    media = (await either.execute(graph)).image
    assert media.query["subfolder"] == "sub dir"
    assert media.name.startswith("ü x&y#1+%2F")
    assert media.save(tmp_path) == tmp_path / media.name
    assert media.save(tmp_path / "new/folder/cat.png").is_file()
    assert media.save(f"{tmp_path}/made/").parent == tmp_path / "made"
    assert media.path == media.path
    assert media.read() == (tmp_path / media.name).read_bytes()


@pytest.mark.parametrize("hostile", ["../../escape.png", "/etc/escape.png", "..\\escape.png", "a/../../escape.png"])
def test_a_hostile_name_is_saved_inside_the_folder_or_not_at_all(
    hostile: str, kit: ComfyKit, sandbox: Sandbox, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    media = kit.run(workflows.showing({"images": [entry(hostile)]})).image
    with pytest.raises(ServerError):
        media.save(inside)
    media.local = sandbox.folder / "local.bin"
    media.local.write_bytes(b"x")
    assert media.save(inside).parent == inside
    assert list(tmp_path.iterdir()) == [inside]


async def test_a_file_is_fetched_once_and_one_that_is_gone_is_told(kit: ComfyKit, sandbox: Sandbox) -> None:
    result = await kit.execute(workflows.picture(prefix="vanishing"))
    path = result.image.path
    (sandbox.folder / "output" / result.image.name).unlink()
    assert result.image.path == path
    result.image.local = None
    with pytest.raises(ServerError, match=f"has no {result.image.name}"):
        result.image.read()


def test_the_one_of_a_kind_is_asked_for_by_name_when_there_are_more() -> None:
    several = collected({"1": {"images": [entry("a.png"), entry("b.png")]}, "2": {"text": ["x"]}}, {"1": "pair"})
    with pytest.raises(ComfyKitError, match="this run has 2 images"):
        _ = several.image
    with pytest.raises(ComfyKitError, match="this run has no video: it has 'pair', '2'"):
        _ = several.video
    with pytest.raises(KeyError, match="no output 'pear'; this run has 'pair', '2'"):
        _ = several["pear"]
    saved = collected({"1": {"images": [entry("a.png", "temp")]}, "2": {"images": [entry("b.png")]}})
    assert saved.image.name == "b.png"


def test_a_result_shows_itself_in_one_line() -> None:
    done = collected({"1": {"images": [entry("a.png"), entry("b.png")], "text": ["x"]}})
    done.duration = 1.25
    assert repr(done) == "<ExecuteResult completed in 1.25 s: 2 images, 1 text>"
    assert repr(ExecuteResult("failed", duration=0.5, msg="KSampler: boom")) == (
        "<ExecuteResult failed after 0.50 s: KSampler: boom; no outputs>"
    )
    assert repr(ExecuteResult("completed")) == "<ExecuteResult completed: no outputs>"


async def test_media_are_strings_that_can_be_copied_and_sent_elsewhere(kit: ComfyKit) -> None:
    result = await kit.execute(workflows.picture())
    assert isinstance(result.images[0], str)
    assert pickle.loads(pickle.dumps(result.images)) == [str(result.image)]
    assert str(result.image).startswith(f"{kit.comfyui_url}/view?filename=picture_")
