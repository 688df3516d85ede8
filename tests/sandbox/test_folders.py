"""File names from clients, of all kinds."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from comfykit_jupyter.sandbox.folders import ServerFolders, guess_media_type, resolve_inside

from .client import Client

NAMES = st.lists(st.sampled_from(["..", ".", "", "a", "b c", "ü", "~", "C:", "\0", "\\", "x" * 256, "$HOME"])).map(
    "/".join
)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES | st.text(), NAMES)
def test_a_name_is_resolved_inside_its_folder_or_rejected(tmp_path: Path, first: str, second: str) -> None:
    base = tmp_path.resolve()
    try:
        path = resolve_inside(base, first, second)
    except ValueError:
        return
    assert path == base or base in path.parents


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(NAMES | st.text())
def test_a_prefix_gives_a_name_inside_the_folder_or_is_rejected(tmp_path: Path, prefix: str) -> None:
    folders = ServerFolders(tmp_path)
    try:
        place = folders.choose_save_target(prefix, folders.output)
    except ValueError:
        return
    assert place.folder == folders.output or folders.output in place.folder.parents
    assert place.folder.is_dir()
    saved = place.folder / f"{place.name}_{place.counter:05}_.png"
    assert saved == folders.output / place.subfolder / saved.name
    assert not saved.exists()


def test_the_counter_continues_after_the_highest_number(tmp_path: Path) -> None:
    folders = ServerFolders(tmp_path)
    for name in ("cat_00001_.png", "cat_00007_.webp", "cat_00009.mp3", "cats_00050_.png", "cat_x_.png", "00099_.png"):
        (folders.output / name).touch()
    assert folders.choose_save_target("cat", folders.output).counter == 10
    assert folders.choose_save_target("dog", folders.output).counter == 1


def test_a_prefix_can_contain_sizes_and_dates(tmp_path: Path) -> None:
    folders = ServerFolders(tmp_path)
    place = folders.choose_save_target("%year%/%width%x%height%-%other%", folders.output, 64, 48)
    assert place.name == "64x48-%other%"
    assert len(place.subfolder) == 4


def test_a_name_can_be_annotated_with_its_folder(tmp_path: Path) -> None:
    folders = ServerFolders(tmp_path)
    assert folders.find_file("sub/cat.png") == folders.input / "sub/cat.png"
    assert folders.find_file("cat.png [output]") == folders.output / "cat.png"
    with pytest.raises(ValueError, match="leads out"):
        folders.find_file("../cat.png [temp]")


def test_files_are_listed_by_kind(tmp_path: Path) -> None:
    folders = ServerFolders(tmp_path)
    for name in ("b.PNG", "a.webp", "c.mp4", "d.flac", "e.txt", "f.svg"):
        (folders.input / name).touch()
    assert folders.list_files("image") == ["a.webp", "b.PNG"]
    assert folders.list_files("video") == ["c.mp4"]
    assert folders.list_files("audio") == ["d.flac"]


def test_models_are_listed_with_their_subfolders(tmp_path: Path) -> None:
    folders = ServerFolders(tmp_path)
    (tmp_path / "models/vae/sub").mkdir()
    (tmp_path / "models/vae/sub/b.safetensors").touch()
    (tmp_path / "models/vae/a.safetensors").touch()
    assert folders.list_models("vae") == ["a.safetensors", "sub/b.safetensors"]
    assert folders.list_models("nothing") == []
    with pytest.raises(ValueError, match="leads out"):
        folders.list_models("../input")


@given(st.text())
def test_no_media_type_is_one_that_a_browser_runs(name: str) -> None:
    assert guess_media_type(name).split("/")[0] in {"image", "video", "audio", "model", "text", "application"}
    assert guess_media_type(name) not in {"text/html", "image/svg+xml", "application/xhtml+xml", "text/javascript"}


def test_the_metadata_of_models_is_in_their_header(tmp_path: Path) -> None:
    folders = ServerFolders(tmp_path)
    people = tmp_path / "models/loras/people"
    people.mkdir()

    def write(name: str, header: bytes, length: int | None = None) -> None:
        (people / name).write_bytes((len(header) if length is None else length).to_bytes(8, "little") + header)

    write("anna.safetensors", b'{"__metadata__": {"ss_trigger_words": "anna"}}')
    write("bare.safetensors", b"{}")
    write("broken.safetensors", b"not json")
    write("huge.safetensors", b"{}", 2**40)
    write("old.ckpt", b'{"__metadata__": {}}')
    assert folders.read_metadata("loras", "people/anna.safetensors") == {"ss_trigger_words": "anna"}
    for name in ("people/bare.safetensors", "people/huge.safetensors", "people/old.ckpt", "none.safetensors"):
        assert folders.read_metadata("loras", name) is None
    for name in ("../../input/x.safetensors", "", "\0.safetensors", "people"):
        assert folders.read_metadata("loras", name) is None
    with pytest.raises(ValueError, match="Expecting value"):
        folders.read_metadata("loras", "people/broken.safetensors")


def test_the_metadata_of_built_in_models_is_served(client: Client) -> None:
    name = client.http.get("/models/loras").json()[-1]
    for path in ("/view_metadata/loras", "/api/view_metadata/loras"):
        found = client.http.get(path, params={"filename": name}).json()
        assert found["ss_trigger_words"] == "moonlit night"
    for path, filename in (("/view_metadata/none", name), ("/view_metadata/loras", "x"), ("/view_metadata/vae", name)):
        assert client.http.get(path, params={"filename": filename}).status_code == 404
    assert client.http.get("/view_metadata/loras").status_code == 404
