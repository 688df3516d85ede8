"""Test results: images, videos, audio, texts and files under their names, and malformed outputs."""

from __future__ import annotations

import pickle
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter import ComfyKit, ComfyKitError, ExecuteResult, Media, ServerError
from comfykit_jupyter.client.results.media import build_view_url
from comfykit_jupyter.client.results.result import collect_outputs
from comfykit_jupyter.sandbox import Sandbox
from comfykit_jupyter.workflow.file_names import fill_pattern, to_safe_name
from comfykit_jupyter.workflow.progress.progress import RunState

from . import workflows


class Origin:
    """A server without files, for results that are built in tests."""

    url = "http://127.0.0.1:1"

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        return build_view_url(self.url, entry)

    async def fetch(self, media: Media) -> Path:
        raise ServerError("no such file")


def make_entry(name: str, folder: str = "output", subfolder: str = "") -> dict[str, str]:
    return {"filename": name, "subfolder": subfolder, "type": folder}


def build_result(outputs: dict[str, Any], names: dict[str, str] | None = None) -> ExecuteResult:
    result = ExecuteResult("completed")
    state = RunState("id", 0.0, outputs=outputs)
    collect_outputs(result, state, names or {}, Origin())
    return result


async def test_outputs_of_every_kind_are_found_by_name(either: ComfyKit) -> None:
    graph = {
        **workflows.picture(),
        **{f"s{id_}": _prefix_links(node, "s") for id_, node in workflows.sound().items()},
        **{f"c{id_}": _prefix_links(node, "c") for id_, node in workflows.clip().items()},
        **{f"t{id_}": _prefix_links(node, "t") for id_, node in workflows.text().items()},
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


def _prefix_links(node: dict[str, Any], prefix: str) -> dict[str, Any]:
    links = {
        name: [f"{prefix}{value[0]}", value[1]] if isinstance(value, list) else value
        for name, value in node["inputs"].items()
    }
    return {**node, "inputs": links}


async def test_files_of_any_kind_and_key_are_found(either: ComfyKit) -> None:
    shown = {
        "gifs": [make_entry("a.gif"), make_entry("b.mp4")],
        "3d": [make_entry("mesh.glb", subfolder="3d")],
        "a_images": [make_entry("x.PNG"), make_entry("y.tif"), make_entry("z.avif")],
        "video": make_entry("single.webm"),
        "latents": [make_entry("noise.latent")],
        "svg": [make_entry("drawing.svg")],
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


async def test_malformed_entries_do_not_affect_others(either: ComfyKit) -> None:
    shown = {
        "images": [*ODD, make_entry("good.png"), {"filename": "bare.png"}],
        "audio": {"x": 1},
        "text": {"y": 2},
        "n": 5,
    }
    result = await either.execute(workflows.showing(shown, {"text": "fine"}))
    assert result.status == "completed", result.msg
    assert [media.name for media in result.media] == ["good.png", "bare.png"]
    assert result.texts == ["fine"]
    assert result.outputs is not None
    assert result.outputs["1"] == shown


TEXT = st.text(st.characters(exclude_categories=()), max_size=300)
"""Any text that JSON can hold, including lone surrogates."""

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | TEXT,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5) | st.just("filename"), inner, max_size=4)
    ),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["images", "text", "audio", "x", "animated"]), JSON, max_size=4))
def test_any_output_gives_a_result(output: dict[str, Any]) -> None:
    result = build_result({"1": {"images": [make_entry("good.png")]}, "2": output, "3": {"text": ["last"]}})
    assert result.images[0].endswith("good.png&type=output")
    assert "last" in result.texts
    assert repr(result)


@given(st.text(min_size=1, max_size=30), st.text(max_size=20), st.sampled_from(["output", "temp", "input"]))
def test_url_names_exactly_the_file(name: str, subfolder: str, folder: str) -> None:
    (media,) = build_result({"1": {"images": [make_entry(name, folder, subfolder)]}}).media
    parts = urlsplit(media)
    query = {key: values[0] for key, values in parse_qs(parts.query, keep_blank_values=True, errors="strict").items()}
    assert {"subfolder": "", **query} == make_entry(name, folder, subfolder)
    assert (parts.netloc, parts.path, parts.fragment) == ("127.0.0.1:1", "/view", "")


@given(
    st.text(max_size=300) | st.sampled_from(["../../etc/passwd", "..\\..\\x", "/abs", "C:\\x", "..", ".", "", "a\0b"])
)
def test_safe_name_stays_in_its_folder(name: str) -> None:
    safe = to_safe_name(name)
    assert safe
    assert safe not in {".", ".."}
    assert not set(safe) & set('/\\:\0\n"')
    assert len(safe.encode()) <= 255
    assert safe == to_safe_name(safe)


def test_safe_name_looks_like_what_it_is() -> None:
    assert to_safe_name("\u202egnp.exe") == "_gnp.exe"
    assert to_safe_name("a\x85\u2066b\u2069.png") == "a__b_.png"
    assert to_safe_name("حرف é 👩\u200d🚀.png") == "حرف é 👩\u200d🚀.png"


@pytest.mark.parametrize("name", ["con", "NUL.png", "com1.tar.gz", "LPT9 .png", "aux.png", "COM¹.png"])
def test_safe_name_is_not_a_device_of_windows(name: str) -> None:
    assert to_safe_name(name).startswith("_")


@pytest.mark.parametrize("name", ["console.png", "com.png", "com10.png", "null"])
def test_safe_name_that_only_looks_like_a_device_is_kept(name: str) -> None:
    assert to_safe_name(name) == name


@given(st.text(max_size=300) | st.sampled_from(["..", ".", "", "/", "con", "a/../b"]))
def test_value_in_a_pattern_makes_no_folder(value: str) -> None:
    for pattern in ("{x}", "out/{x}.png", "{x}/a.png"):
        filled = fill_pattern(pattern, {"x": value}, ".png")
        assert filled.count("/") == pattern.count("/")
        assert not {"..", ".", ""} & set(filled.split("/"))
        assert filled.endswith(".png")


async def test_unusual_names_are_downloaded_and_saved(either: ComfyKit, tmp_path: Path) -> None:
    graph = workflows.picture(prefix="sub dir/ü x&y#1+%2F")
    media = (await either.execute(graph)).image
    assert media.query["subfolder"] == "sub dir"
    assert media.name.startswith("ü x&y#1+%2F")
    assert media.save(tmp_path) == tmp_path / media.name
    assert media.save(tmp_path / "new/folder/cat.png").is_file()
    assert media.save(f"{tmp_path}/made/").parent == tmp_path / "made"
    assert media.path == media.path
    assert media.read() == (tmp_path / media.name).read_bytes()


def make_local(result: ExecuteResult, folder: Path) -> ExecuteResult:
    """Give each output of a result a local copy that contains its position."""
    folder.mkdir()
    for position, media in enumerate(result.media):
        media.local = folder / str(position)
        media.local.write_text(str(position))
    return result


class LocalOrigin(Origin):
    """A server whose files are local copies."""

    async def fetch(self, media: Media) -> Path:
        if media.local is None:
            raise ServerError("no such file")
        return media.local


def build_local_result(folder: Path, *names: str) -> ExecuteResult:
    result = ExecuteResult(
        "completed", "the-id", workflow_name="fox", params={"prompt": "a fox/cat", "seed": 7, "cfg": 4.5}
    )
    outputs = {"1": {"files": [make_entry(name, subfolder=str(place)) for place, name in enumerate(names)]}}
    collect_outputs(result, RunState("id", 0.0, outputs=outputs), {}, LocalOrigin())
    return make_local(result, folder)


def read_folder(folder: Path) -> dict[str, str]:
    return {path.relative_to(folder).as_posix(): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_outputs_of_one_name_do_not_replace_each_other_or_older_files(tmp_path: Path) -> None:
    result = build_local_result(tmp_path / "local", "cat.png", "cat.png", "CON.png")
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "cat.png").write_text("old")
    assert [path.name for path in result.save(folder)] == ["cat-2.png", "cat-3.png", "_CON.png"]
    assert read_folder(folder) == {"cat.png": "old", "cat-2.png": "0", "cat-3.png": "1", "_CON.png": "2"}
    assert result.media[1].save(folder) == folder / "cat-4.png"
    assert result.media[1].save(folder, overwrite=True) == folder / "cat.png"
    assert [path.name for path in result.save(folder, overwrite=True)] == ["cat.png", "cat-2.png", "_CON.png"]
    assert read_folder(folder) == {
        "cat.png": "0",
        "cat-2.png": "1",
        "cat-3.png": "1",
        "cat-4.png": "1",
        "_CON.png": "2",
    }


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("runs/{workflow}-{seed}.png", ["runs/fox-7.png", "runs/fox-7-2.png"]),
        ("{prompt}", ["a fox_cat.png", "a fox_cat-2.png"]),
        ("{cfg}", ["4.5.png", "4.5-2.png"]),
        ("v1.5", ["v1.5.png", "v1.5-2.png"]),
        ("{id}/{index}-{var}-{kind}.{ext}", ["the-id/1-1-image.png", "the-id/2-1-image.png"]),
        ("{workflow}/", ["fox/cat.png", "fox/cat-2.png"]),
        ("plain.png", ["plain.png", "plain-2.png"]),
    ],
)
def test_outputs_are_named_by_a_pattern(pattern: str, expected: list[str], tmp_path: Path) -> None:
    result = build_local_result(tmp_path / "local", "cat.png", "cat.png")
    folder = tmp_path / "out"
    saved = result.save(f"{folder}/{pattern}")
    assert [path.relative_to(folder).as_posix() for path in saved] == expected
    assert read_folder(folder) == dict(zip(expected, "01", strict=True))


def test_date_in_a_pattern_is_a_folder(tmp_path: Path) -> None:
    (path,) = build_local_result(tmp_path / "local", "cat.png").save(f"{tmp_path}/{{date}}/{{time}}")
    assert re.fullmatch(r"\d{4}-\d\d-\d\d/\d\d-\d\d-\d\d\.png", path.relative_to(tmp_path).as_posix())


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("{sede}.png", "unknown name {sede}: did you mean {seed}?"),
        ("{seed:05}", "unknown name {seed:05}"),
        ("{}", "unknown name {}"),
        ("{seed", "each { needs a }"),
        ("{seed}.mp4", "cat.png is not a .mp4 file: leave the suffix out, or write .{ext}"),
    ],
)
def test_wrong_pattern_is_reported_and_saves_nothing(pattern: str, message: str, tmp_path: Path) -> None:
    result = build_local_result(tmp_path / "local", "cat.png", "cat.png")
    with pytest.raises(ComfyKitError, match=re.escape(message)):
        result.save(f"{tmp_path}/out/{pattern}")
    assert not (tmp_path / "out").exists()


def test_result_without_outputs_can_not_be_saved(tmp_path: Path) -> None:
    with pytest.raises(ComfyKitError, match="there is nothing to save: this run has no outputs"):
        ExecuteResult("completed").save(tmp_path)


def test_previews_are_saved_only_if_there_is_nothing_else(tmp_path: Path) -> None:
    result = build_local_result(tmp_path / "local", "a.png", "b.png")
    result.media[0].temp = True
    assert [path.name for path in result.save(tmp_path)] == ["b.png"]
    result.media[1].temp = True
    assert [path.name for path in result.save(tmp_path)] == ["a.png", "b-2.png"]


@pytest.mark.parametrize("hostile", ["../../escape.png", "/etc/escape.png", "..\\escape.png", "a/../../escape.png"])
def test_hostile_name_is_saved_inside_the_folder_or_not_at_all(
    hostile: str, kit: ComfyKit, sandbox: Sandbox, tmp_path: Path
) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    media = kit.run(workflows.showing({"images": [make_entry(hostile)]})).image
    with pytest.raises(ServerError):
        media.save(inside)
    media.local = sandbox.folder / "local.bin"
    media.local.write_bytes(b"x")
    assert media.save(inside).parent == inside
    assert list(tmp_path.iterdir()) == [inside]


async def test_file_is_downloaded_once_and_missing_file_is_reported(kit: ComfyKit, sandbox: Sandbox) -> None:
    result = await kit.execute(workflows.picture(prefix="vanishing"))
    path = result.image.path
    (sandbox.folder / "output" / result.image.name).unlink()
    assert result.image.path == path
    result.image.local = None
    with pytest.raises(ServerError, match=f"does not have {result.image.name}"):
        result.image.read()


def test_ambiguous_output_must_be_named() -> None:
    several = build_result(
        {"1": {"images": [make_entry("a.png"), make_entry("b.png")]}, "2": {"text": ["x"]}}, {"1": "pair"}
    )
    with pytest.raises(ComfyKitError, match="this run has 2 images"):
        _ = several.image
    with pytest.raises(ComfyKitError, match="this run has no video: it has 'pair', '2'"):
        _ = several.video
    assert not hasattr(several, "image")
    assert getattr(several, "video", None) is None
    with pytest.raises(KeyError, match="no output 'pear'; this run has 'pair', '2'"):
        _ = several["pear"]
    saved = build_result({"1": {"images": [make_entry("a.png", "temp")]}, "2": {"images": [make_entry("b.png")]}})
    assert saved.image.name == "b.png"


def test_repr_of_a_result_is_one_line() -> None:
    done = build_result({"1": {"images": [make_entry("a.png"), make_entry("b.png")], "text": ["x"]}})
    done.duration = 1.25
    assert repr(done) == "<ExecuteResult completed in 1.25 s: 2 images, 1 text>"
    assert repr(ExecuteResult("failed", duration=0.5, msg="KSampler: boom")) == (
        "<ExecuteResult failed after 0.50 s: KSampler: boom; no outputs>"
    )
    assert repr(ExecuteResult("completed")) == "<ExecuteResult completed: no outputs>"


async def test_media_are_strings_and_can_be_pickled(kit: ComfyKit) -> None:
    result = await kit.execute(workflows.picture())
    assert isinstance(result.images[0], str)
    assert pickle.loads(pickle.dumps(result.images)) == result.images
    assert str(result.image).startswith(f"{kit.comfyui_url}/view?filename=picture_")
