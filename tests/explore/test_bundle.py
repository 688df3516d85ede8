"""Test that a sweep moves to another folder as one file, and that a hostile file harms nothing."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError
from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.sandbox import Sandbox
from tests.client.workflows import inverted, picture
from tests.kits import MakeKit

from .conftest import wait_until_kept


def test_a_sweep_moves_with_inputs_outputs_and_marks(kit: ComfyKit, make_kit: MakeKit, tmp_path: Path) -> None:
    source = kit.sweep(picture(), height=8, over={"width": [8, 9]}).wait()
    sweep = kit.map(inverted(), image=[row.image for row in source.done]).wait()
    sweep.pick(1)
    sweep.done[0].tags |= {"sea"}
    path = sweep.bundle(tmp_path / "fox.zip")
    other = make_kit(runs=tmp_path / "elsewhere")
    bundle = other.runs.open(path)
    assert str(bundle).splitlines()[0].startswith("workflow: 2 points, 4 files")
    assert len(other.runs) == 0  # nothing is written before it is taken
    rows = bundle.take()
    assert [row.image.read() for row in rows] == [row.image.read() for row in sweep.done]
    assert [row.star for row in rows] == [False, True]
    assert rows[0].tags == {"sea"}
    assert other.runs.again(rows[0]).result().status == "completed"
    wait_until_kept(other)
    assert other.runs[0].key == rows[0].key
    assert len(bundle.take()) == 2  # a second time changes nothing
    assert len(other.runs) == 3


def test_what_differs_here_is_said(kit: ComfyKit, tmp_path: Path) -> None:
    path = kit.sweep(picture(), over={"width": [8]}).wait().bundle(tmp_path / "fox.zip")
    manifest = read_manifest(path)
    manifest["prompt"]["3"] = {"class_type": "NodeOfAPack", "inputs": {}}
    manifest["server_version"] = "0.1.0"
    write(path, {"manifest.json": json.dumps(manifest)})
    text = str(kit.runs.open(path))
    assert "NodeOfAPack" in text
    assert "0.1.0 there" in text


def test_versions_and_model_files_are_compared(
    make_kit: MakeKit, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph: Any = json.loads((Path(__file__).parents[2] / "notebooks/workflows/text_to_image.json").read_text())
    name = next(node["inputs"]["ckpt_name"] for node in graph.values() if "ckpt_name" in node["inputs"])
    packs, digests = {"ComfyUI-Fox": "1.2.0", "ComfyUI-Cat": "nightly"}, {name: "blake3:aa"}

    async def find_packs(_: Any) -> dict[str, str]:
        return dict(packs)

    async def find_model_hash(_: Any, name: str, size: int) -> str:
        return digests.get(name, "")

    monkeypatch.setattr(ComfyUI, "find_packs", find_packs)
    monkeypatch.setattr(ComfyUI, "find_model_hash", find_model_hash)
    with Sandbox() as server:
        model = server.folder / "models/checkpoints" / name
        model.write_bytes(b"one")
        kit = make_kit(server.url)
        sweep = kit.sweep(graph, width=64, height=64, steps=1, over={"seed": [1]}).wait()
        path = sweep.bundle(tmp_path / "fox.zip")
        manifest = read_manifest(path)
        assert manifest["packs"] == packs
        assert manifest["model_files"][name] | {"class": ""} == {
            "size": 3, "class": "", "input": "ckpt_name", "hash": "blake3:aa",
        }  # fmt: skip
        assert kit.runs.open(path).differences == ()
        digests[name] = "blake3:bb"
        packs |= {"ComfyUI-Fox": "1.3.0"}
        del packs["ComfyUI-Cat"]
        assert kit.runs.open(path).differences == (
            "ComfyUI-Fox: 1.3.0 here, 1.2.0 there",
            "ComfyUI-Cat: not here, nightly there",
            f"{name}: another file of this name and size, by its hash",
        )
        model.write_bytes(b"another")
        assert f"{name}: another file of this name, with 7 bytes here and 3 there" in str(kit.runs.open(path))
        other = make_kit(server.url, runs=tmp_path / "elsewhere")
        assert other.runs.open(path).take()[0].models[name].size == 3
        for odd in ({"packs": [1], "model_files": "x"}, {"packs": {"a": 1}, "model_files": {name: 3, "b": {}}}):
            write(path, {"manifest.json": json.dumps(manifest | odd)})
            assert kit.runs.open(path).differences == ()


def test_an_earlier_sweep_is_bundled_by_its_name(kit: ComfyKit, make_kit: MakeKit, tmp_path: Path) -> None:
    sweep = kit.sweep(picture(), height=9, over={"width": [8, 9]}).wait()
    sweep.rename("sea")
    bundle = make_kit(runs=tmp_path / "elsewhere").runs.open(kit.runs.bundle("sea", tmp_path / "sea.zip"))
    assert (bundle.name, bundle.points) == ("sea", 2)
    assert [run["labels"] for run in read_manifest(tmp_path / "sea.zip")["runs"]] == [{"width": 8}, {"width": 9}]
    with pytest.raises(ComfyKitError, match="did you mean sea"):
        kit.runs.bundle("seaa", tmp_path / "x.zip")


def read_manifest(path: Path) -> Any:
    with zipfile.ZipFile(path) as bundle:
        return json.loads(bundle.read("manifest.json"))


def write(path: Path, files: dict[str, str]) -> None:
    with zipfile.ZipFile(path, "w") as bundle:
        for name, content in files.items():
            bundle.writestr(name, content)


@pytest.mark.parametrize(
    "name", ["../evil.png", "/etc/passwd", "objects/x.png", "a.py", "objects/" + "a" * 64 + ".png/../../x"]
)
def test_bundles_with_other_files_are_refused(kit: ComfyKit, tmp_path: Path, name: str) -> None:
    path = tmp_path / "evil.zip"
    write(path, {"manifest.json": "{}", name: "x"})
    with pytest.raises(ComfyKitError, match="is not a bundle"):
        kit.runs.open(path)


@pytest.mark.parametrize(
    "manifest",
    [
        "[]",
        "{",
        '{"format": 2}',
        '{"format": 1}',
        '{"format": 1, "prompt": {}, "runs": [{"id": "../x"}]}',
        "[" * 100_000,
    ],
)
def test_odd_manifests_are_refused(kit: ComfyKit, tmp_path: Path, manifest: str) -> None:
    path = tmp_path / "odd.zip"
    write(path, {"manifest.json": manifest})
    with pytest.raises(ComfyKitError, match="is not a bundle, or is damaged"):
        kit.runs.open(path)
    (tmp_path / "no.zip").write_bytes(b"PK\x03\x04 nothing")
    with pytest.raises(ComfyKitError, match="is not a bundle, or is damaged"):
        kit.runs.open(tmp_path / "no.zip")
    with pytest.raises(ComfyKitError, match="there is no file"):
        kit.runs.open(tmp_path / "missing.zip")


def test_odd_runs_and_wrong_contents_are_not_taken(kit: ComfyKit, make_kit: MakeKit, tmp_path: Path) -> None:
    path = kit.sweep(picture(), over={"width": [8]}).wait().bundle(tmp_path / "fox.zip")
    manifest = read_manifest(path)
    manifest["runs"][0] |= {"params": [1], "outputs": "x", "patch": 7, "marks": 3, "tags": 1}
    write(path, {"manifest.json": json.dumps(manifest)})
    other = make_kit(runs=tmp_path / "elsewhere")
    assert other.runs.open(path).take()[0].params == {}
    write(path, {"manifest.json": json.dumps(manifest), f"objects/{'ab' * 32}.png": "another content"})
    with pytest.raises(ComfyKitError, match="does not match its name"):
        other.runs.open(path).take()
    assert not list((tmp_path / "elsewhere").rglob("abab*"))


def damage(path: Path, name: str, kind: str) -> None:
    """Change a file in a bundle: its compressed bytes, or the flag that says that it is encrypted."""
    with zipfile.ZipFile(path) as bundle:
        info = bundle.getinfo(name)
    data = bytearray(path.read_bytes())
    if kind == "encrypted":
        data[info.header_offset + 6] |= 1
        data[data.index(b"PK\x01\x02", info.header_offset) + 8] |= 1
    else:
        start = info.header_offset + 30 + len(name)
        data[start : start + 8] = b"\xff" * 8
    path.write_bytes(data)


@pytest.mark.parametrize("kind", ["compressed", "encrypted"])
@pytest.mark.parametrize("name", ["manifest.json", f"objects/{'a' * 64}.png"])
def test_a_file_that_can_not_be_unpacked_is_said(kit: ComfyKit, tmp_path: Path, name: str, kind: str) -> None:
    path = kit.sweep(picture(), over={"width": [8]}).wait().bundle(tmp_path / "fox.zip")
    manifest = json.dumps(read_manifest(path))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as bundle:
        for each in (f"objects/{'a' * 64}.png", "manifest.json"):
            bundle.writestr(each, manifest)
    damage(path, name, kind)
    with pytest.raises(ComfyKitError, match=r"fox\.zip is (not a bundle, or is )?damaged"):
        kit.runs.open(path).take()
