"""Test which files of runs stay, and which go: kept, pruned, forgotten, found by a scan, handed on."""

from __future__ import annotations

import json
import os
import threading
import unicodedata
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, PngImagePlugin

from comfykit_jupyter import ComfyKit, ComfyKitError, Sweep, seeds
from comfykit_jupyter.client import loop
from comfykit_jupyter.explore.exports.grid import build_grid
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.ledger.recorder import LedgerRecorder
from comfykit_jupyter.sandbox import Sandbox
from tests.client.nodes import Gate
from tests.client.proxy import Proxy
from tests.client.workflows import gated, picture
from tests.explore.made_runs import make_runs
from tests.kits import MakeKit


class Output:
    """An output, as far as it matters to what keeps it."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind


def save_with_prompt(path: Path, prompt: Any) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", json.dumps(prompt))
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (16, 16), (1, 2, 3)).save(path, pnginfo=info)


def test_thumbs_removes_no_original_of_another_run(tmp_path: Path) -> None:
    ledger, path = Ledger(tmp_path / "runs"), tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    output: Any = Output("a.png", "image")
    digest = LedgerRecorder(ledger, "originals")._add_output(path, output)
    assert LedgerRecorder(ledger, "thumbs")._add_output(path, output) == digest
    assert ledger.store.find(digest) is not None


def test_thumbs_keeps_what_has_no_thumbnail(tmp_path: Path) -> None:
    ledger, path = Ledger(tmp_path / "runs"), tmp_path / "a.flac"
    path.write_bytes(b"fLaC" + bytes(100))
    output: Any = Output("a.flac", "audio")
    assert ledger.is_kept(LedgerRecorder(ledger, "thumbs")._add_output(path, output))  # else it would run again


def test_prune_leaves_the_inputs_of_newer_runs(kit: ComfyKit) -> None:
    ledger = kit.sweep(picture(), over={"width": [8]})._ledger
    digest = ledger.store.add_bytes(b"x", ".png")
    ledger.append({"event": "sent", "id": "old", "at": "2020-01-01T00:00:00Z"})
    outputs = [{"name": "a.png", "node": "1", "var": "v"}]
    ledger.append({"event": "end", "id": "old", "status": "completed", "outputs": outputs})
    ledger.append({"event": "kept", "id": "old", "hashes": {"0": digest}})
    ledger.append({"event": "sent", "id": "new", "files": {'["1", "image"]': f"sha256:{digest}"}})
    kit.runs.prune("30d", dry_run=False)
    assert ledger.store.find(digest) is not None


def test_nothing_is_left_of_a_found_file_that_was_forgotten(kit: ComfyKit, tmp_path: Path) -> None:
    make_runs(kit, {"width": [8]})
    prompt = picture() | {"9": {"class_type": "PreviewAny", "inputs": {"source": "a very private text"}}}
    save_with_prompt(tmp_path / "out" / "a.png", prompt)
    kit.runs.scan(tmp_path / "out")
    row = next(row for row in kit.runs if row.id.startswith("found"))
    assert row.build_thumbnail() is not None
    kit.runs.forget(row)
    files = [path for path in kit.runs.folder.rglob("*") if path.is_file()]
    assert not [path for path in files if path.parent.name == "found" or b"very private" in path.read_bytes()]
    assert kit.runs[0].workflow is not None  # that of others stays


def test_nothing_is_left_of_a_sweep_whose_runs_were_all_forgotten(kit: ComfyKit) -> None:
    text = {"class_type": "PrimitiveStringMultiline", "inputs": {"value": "x"}, "_meta": {"title": "$text.value"}}
    workflow = picture() | {"8": text, "9": {"class_type": "PreviewAny", "inputs": {"source": ["8", 0]}}}

    def plan() -> Sweep:
        return kit.sweep(workflow, text="a very private text", over={"width": [8, 9], "seed": seeds(1)})

    workflow["1"]["_meta"]["title"] = "Canvas, $width, $seed.color"
    sweep = plan().wait()
    seed = sweep.points[0].labels["seed"]
    kit.runs.forget(sweep[0])
    assert len(kit.runs.sweep(sweep.id)) == 1
    kit.runs.forget(sweep[1])
    assert not [path for path in kit.runs.folder.rglob("*") if path.is_file() and b"private" in path.read_bytes()]
    with pytest.raises(ComfyKitError, match="there is no sweep"):
        kit.runs.sweep(sweep.id)
    again = plan().wait()
    assert again.points[0].labels["seed"] == seed
    assert len(kit.runs.sweep(sweep.id)) == 2
    kit.runs.compact()
    assert len(kit.runs.sweep(sweep.id)) == 2


def list_kept_files(kit: ComfyKit) -> set[Path]:
    """Return the originals and thumbnails."""
    return {path for name in ("objects", "thumbs") for path in (kit.runs.folder / name).rglob("*") if path.is_file()}


def test_nothing_is_kept_of_a_run_that_was_forgotten_while_it_ran(kit: ComfyKit, gate: tuple[str, Gate]) -> None:
    name, node_gate = gate
    run = kit.submit(gated(name))
    node_gate.wait()
    kit.runs.forget(run.id)
    node_gate.open()
    assert run.result(20).status == "completed"
    assert (len(kit.runs), list_kept_files(kit)) == (0, set())
    lines = [line for path in kit.runs.folder.rglob("*.jsonl") for line in path.read_text().splitlines()]
    assert not [line for line in lines if '"event":"end"' in line]


def test_nothing_is_kept_of_a_run_that_was_forgotten_while_its_outputs_were_fetched(
    sandbox: Sandbox, make_kit: MakeKit
) -> None:
    with Proxy(sandbox.url) as proxy:
        kit = make_kit(proxy.url)
        kit.run(picture(), color=1)
        runs, before = kit.runs, list_kept_files(kit)
        held = proxy.held["/view"] = threading.Event()
        number = len(proxy.requests("GET", "/view"))
        result = kit.run(picture(), color=2)
        proxy.wait_for(lambda _: len(proxy.requests("GET", "/view")) > number)
        runs.forget(str(result.prompt_id))
        held.set()
        assert (len(kit.runs), list_kept_files(kit)) == (1, before)


def test_outputs_are_kept_although_the_kit_is_closed_meanwhile(sandbox: Sandbox, make_kit: MakeKit) -> None:
    with Proxy(sandbox.url) as proxy:
        kit = make_kit(proxy.url)
        held = proxy.held["/view"] = threading.Event()
        kit.run(picture(), width=11)
        proxy.wait_for(lambda seen: seen.path == "/view")
        loop.call(kit.close())
        held.set()
        image = kit.runs[0].find_image()
    assert isinstance(image, Path)
    with Image.open(image) as found:
        assert found.width == 11


def test_rows_are_read_without_those_that_were_forgotten(kit: ComfyKit) -> None:
    make_runs(kit, {"width": [8, 9, 10]})
    rows = kit.runs.where(width=[8, 9])
    kit.runs.forget(rows[0])
    assert len(rows.records()) == len(rows.where(width=[8, 9])) == 1
    assert "Rows of 1 runs" in rows._repr_html_()


def test_a_found_file_that_was_deleted_is_lost(kit: ComfyKit, tmp_path: Path) -> None:
    sweep = kit.sweep(picture(), over={"width": [8]})
    save_with_prompt(tmp_path / "out" / "a.png", sweep._prepared.bind(sweep.points[0]).prompt)
    kit.runs.scan(tmp_path / "out")
    assert kit.sweep(picture(), over={"width": [8]}).plan.count("have") == 1
    (tmp_path / "out" / "a.png").unlink()
    assert kit.runs[0].status == "lost"
    assert kit.sweep(picture(), over={"width": [8]}).plan.count("send") == 1


def test_files_of_any_date_and_texts_of_any_kind_are_handed_on(kit: ComfyKit, tmp_path: Path) -> None:
    save_with_prompt(tmp_path / "out" / "a.png", picture())
    os.utime(tmp_path / "out" / "a.png", (0, 0))  # ZIP begins in 1980
    ledger = kit.sweep(picture(), over={"width": [8]})._ledger
    kit.runs.scan(tmp_path / "out")
    ledger.append({"event": "sent", "id": "0", "name": "x", "params": {"text": "\ud800"}})
    ledger.append({"event": "end", "id": "0", "status": "completed", "outputs": [{"var": "t", "text": "a\ud800"}]})
    for path in (kit.runs.zip(tmp_path / "x.zip"), kit.runs.to_html(tmp_path / "x.html")):
        assert path.stat().st_size > 0


def test_no_exported_file_replaces_another_on_any_system(kit: ComfyKit, tmp_path: Path) -> None:
    import zipfile

    make_runs(kit, {"width": [8, 9, 10]})
    entries = kit.runs._ledger.read().runs.values()
    for entry, name in zip(entries, ("Caf\u00e9", "cafe\u0301", "CAF\u00c9"), strict=True):
        entry.name = name
    names = zipfile.ZipFile(kit.runs.zip(tmp_path / "a.zip", "{workflow}")).namelist()
    assert len({unicodedata.normalize("NFC", name).lower() for name in names}) == len(names) == 4


def test_the_names_of_axes_are_escaped(kit: ComfyKit) -> None:
    graph = picture()
    node_id = next(node_id for node_id, node in graph.items() if "width" in node["inputs"])
    graph[node_id]["inputs"]["<b onclick=1>"] = 3
    for more in ({}, {"width": [8, 9]}):
        sweep = kit.sweep(graph, over={f"{node_id}.<b onclick=1>": [1, 2], **more})
        assert "&lt;b onclick" in build_grid(sweep)
        assert "<b onclick" not in build_grid(sweep)


def test_a_bundle_with_nan_is_refused(kit: ComfyKit, tmp_path: Path) -> None:
    import zipfile

    make_runs(kit, {"width": [8]})
    path = kit.sweep(picture(), over={"width": [8]}).bundle(tmp_path / "a.zip")
    with zipfile.ZipFile(path) as bundle:
        manifest = json.loads(bundle.read("manifest.json"))
    manifest["runs"][0]["params"] = {"cfg": float("nan")}
    with zipfile.ZipFile(path, "w") as bundle:
        bundle.writestr("manifest.json", json.dumps(manifest))
    with pytest.raises(ComfyKitError, match="NaN is not a number"):
        kit.runs.open(path)
