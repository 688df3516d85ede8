"""Test what is kept of runs, on the embedded server."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, RunFailed, SettingsError
from comfykit_jupyter.explore.ledger.key import KeyMaker
from comfykit_jupyter.explore.ledger.ledger import Ledger, apply_patch, build_patch
from comfykit_jupyter.sandbox import Sandbox
from tests.client.workflows import failing, inverted, picture
from tests.kits import MakeKit

from .conftest import wait_until_kept


def test_a_run_is_kept_with_its_values_and_original(kit: ComfyKit) -> None:
    result = kit.run(picture(), width=64)
    wait_until_kept(kit)
    row = kit.runs[0]
    assert (row.status, row.params["width"], row.prompt) == ("completed", 64, result.prompt)
    assert row.image.read() == result.image.read()
    assert row.image.path.is_relative_to(kit.runs.folder)
    assert row.result.images_by_var["cover"][0] == row.image
    assert row.build_thumbnail()
    assert kit.runs.folder.stat().st_mode & 0o777 == 0o700
    assert (kit.runs.folder / ".gitignore").read_text() == "*\n"
    for path in [*kit.runs.folder.rglob("*.jsonl"), *kit.runs.folder.rglob("*.png")]:
        assert path.stat().st_mode & 0o777 == 0o600


def test_the_original_survives_the_server(make_kit: MakeKit) -> None:
    with Sandbox() as server:
        kit = make_kit(server.url)
        kit.run(picture())
        wait_until_kept(kit)
    assert kit.runs[0].image.pil().size == (32, 16)


def test_failed_runs_are_kept_with_what_there_is(kit: ComfyKit) -> None:
    with pytest.raises(RunFailed):
        kit.run(failing())
    wait_until_kept(kit)
    row = kit.runs[0]
    assert row.status == "failed"
    assert "The bomb" in row.error
    assert len(row.media) == 1  # the branch that was saved before


def test_what_was_not_sent_is_not_kept(kit: ComfyKit) -> None:
    with pytest.raises(ComfyKitError):
        kit.run(picture(), width=-5)
    with pytest.raises(ComfyKitError, match="no folder"):
        assert kit.options(runs=None).runs
    assert len(kit.runs) == 0


def test_rows_are_found_by_values_marks_and_text(kit: ComfyKit) -> None:
    for width in (16, 32, 64):
        kit.run(picture(), width=width)
    row = kit.runs.where(width=32)[0]
    row.star, row.rating, row.note = True, 4, "Hands"
    row.tags |= {"cover", "x"}
    row.tags -= {"x"}
    again = ComfyKit(kit.comfyui_url, runs=kit.runs.folder).runs
    assert [each.params["width"] for each in again] == [64, 32, 16]
    assert [each.id for each in again.where(star=True)] == [row.id]
    assert [each.id for each in again.where(text="hands")] == [row.id]
    assert [each.id for each in again.where(tag="cover", rating=3, picked=True)] == [row.id]
    assert len(again.where(width=[16, 64], status="completed")) == 2
    assert len(again.where(since="2020-01-01", until="2021-01-01")) == 0
    assert len(again.where(since="1h")) == 3
    assert len(again.where(until="1h")) == 0
    with pytest.raises(ComfyKitError, match=r"since must be a time .* not 'lately'"):
        again.where(since="lately")
    assert again[row.id[:8]] == row
    with pytest.raises(ComfyKitError, match="did you mean width"):
        again.where(widht=3)
    with pytest.raises(ComfyKitError, match="rating must be"):
        row.rating = 7
    row.rejected = True
    assert not again.where(picked=True)


def test_rows_show_themselves_and_run_nothing(kit: ComfyKit) -> None:
    hostile = "<script>alert(1)</script>"
    kit.run(picture(prefix="x"), width=8)
    wait_until_kept(kit)
    row = kit.runs[0]
    row.note, row.tags = hostile, {hostile}
    kit.runs._ledger.append({"event": "sent", "id": "odd", "name": hostile, "params": {hostile: [1, None, hostile]}})
    for shown in (row._repr_html_(), kit.runs[-1]._repr_html_(), kit.runs[0]._repr_html_(), kit.runs._repr_html_()):
        assert "<script" not in shown
        assert "style=" not in shown
    assert "data:image/webp" in kit.runs._repr_html_()


def test_a_run_is_made_again_with_its_files(kit: ComfyKit, sandbox: Sandbox) -> None:
    source = kit.run(picture(), width=8).image
    first = kit.run(inverted(), image=source.pil())
    wait_until_kept(kit)
    for path in (sandbox.folder / "input").glob("comfykit-*"):
        path.unlink()
    second = kit.runs.again(kit.runs[0]).result()
    assert second.image.pil().tobytes() == first.image.pil().tobytes()
    wait_until_kept(kit)
    assert kit.runs[0].key == kit.runs[1].key
    assert str(kit.runs.diff(kit.runs[0], kit.runs[2])).startswith("image")


def test_a_run_is_made_again_with_some_other_values(kit: ComfyKit) -> None:
    kit.run(picture(), width=8, color=255)
    wait_until_kept(kit)
    result = kit.runs.again(kit.runs[0], {"color": 0}, width=16).result()
    assert (result.image.pil().size[0], result.image.pil().getpixel((0, 0))) == (16, (0, 0, 0))


def test_kept_outputs_are_inputs(kit: ComfyKit) -> None:
    kit.run(picture(), width=8, color=0)
    wait_until_kept(kit)
    assert kit.run(inverted(), image=kit.runs[0].image).image.pil().getpixel((0, 0)) == (255, 255, 255)


def test_pruned_originals_leave_rows_and_thumbnails(kit: ComfyKit) -> None:
    kit.run(picture(), width=16)
    kit.run(picture(), width=32)
    wait_until_kept(kit)
    kit.runs[0].star = True
    assert kit.runs.prune("0h").startswith("would delete 1 originals")
    assert kit.runs.prune("0h", dry_run=False).startswith("deleted 1 originals")
    assert (kit.runs[1].status, kit.runs[0].status) == ("completed", "completed")  # its thumbnail is left
    assert kit.runs[1].build_thumbnail()
    with pytest.raises(ComfyKitError, match="no longer here"):
        kit.runs[1].image.read()
    assert kit.runs[0].image.read()


def test_braces_in_the_name_of_a_folder_are_not_a_pattern(kit: ComfyKit, tmp_path: Path) -> None:
    kit.run(picture(prefix="fox"), width=16)
    wait_until_kept(kit)
    folder = tmp_path / "{best}"
    assert kit.runs.where(width=16).save(folder, "/{width}/") == [folder / "16" / kit.runs[0].media[0].name]
    assert kit.runs.where(width=16).save(folder, "{width}") == [folder / "16.png"]
    assert kit.runs.where(width=16).save(folder, "16") == [
        folder / "16" / kit.runs[0].media[0].name.replace(".", "-2.")
    ]


def test_forgotten_runs_leave_nothing(kit: ComfyKit) -> None:
    kit.run(picture(prefix="secret"), width=16)
    wait_until_kept(kit)
    assert kit.runs.forget(kit.runs[0]) == 1
    assert len(kit.runs) == 0
    left = [path for path in kit.runs.folder.rglob("*") if path.suffix in (".png", ".webp")]
    assert not left
    assert all(b'"sent"' not in path.read_bytes() for path in kit.runs.folder.rglob("*.jsonl"))


def test_the_folder_of_comfyui_is_taken_in(kit: ComfyKit) -> None:
    with Sandbox() as server:
        own = ComfyKit(server.url)
        for width in (8, 16):
            own.run(picture(prefix="fox"), width=width)
        (server.folder / "output" / "notes.png").write_bytes(b"not an image")
        assert kit.runs.scan(server.folder / "output").endswith("output: 2 new, 1 without a workflow")
        assert kit.runs.scan(server.folder / "output").endswith("output: 0 new, 2 known, 1 without a workflow")
        assert {(row.workflow_name, row.params["width"]) for row in kit.runs} == {("fox", 8), ("fox", 16)}
        assert kit.runs.where(width=8)[0].image.pil().size == (8, 16)
        assert kit.runs[0].build_thumbnail()


def test_a_frame_keeps_seeds_and_media(kit: ComfyKit) -> None:
    kit.run(picture(), width=16)
    wait_until_kept(kit)
    frame = kit.runs.df
    assert frame["width"].dtype == "Int64"
    assert frame["media"].iloc[0].kind == "image"
    assert frame.index.names == ["id"]
    assert list(frame.columns[:2]) == ["at", "workflow"]
    kit.run(picture(), color=7)
    assert set(kit.runs.records()[0]) == {"id", *kit.runs.df.columns}
    kit.runs._ledger.append({"event": "sent", "id": "x", "params": {"status": 1}})
    assert kit.runs.df["param.status"].isna().sum() == 2
    assert "param.status" not in kit.runs.where(workflow="workflow").records()[0]  # only its own values


def test_what_can_not_be_written_is_said_and_does_not_stop_a_run(
    kit: ComfyKit, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("comfykit_jupyter.explore.ledger.journal.Journal.append", refuse)
    result = kit.run(picture())
    assert result.status == "completed"
    assert [line for line in result.warnings if "No space left on device" in line]


@pytest.mark.parametrize("keep", ["thumbs", "links"])
def test_less_is_kept_if_asked(make_kit: MakeKit, keep: str) -> None:
    kit = make_kit(keep=keep)
    kit.run(picture())
    wait_until_kept(kit)
    assert not list(kit.runs.folder.rglob("*.png"))
    assert (kit.runs[0].build_thumbnail() is not None) is (keep == "thumbs")
    assert kit.runs[0].status == "completed"


def test_folders_that_can_not_be_used_are_refused_at_once(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    for given in (file, file / "runs", 5, Path(os.__file__).parent / "site-packages" / "x"):
        with pytest.raises(SettingsError, match="runs"):
            ComfyKit(runs=given)  # type: ignore[arg-type]


def test_the_exit_of_a_script_waits_for_originals(sandbox: Sandbox, tmp_path: Path) -> None:
    code = f"from comfykit_jupyter import ComfyKit; ComfyKit({sandbox.url!r}, runs='kept').run({picture()!r})"
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True, timeout=60)
    entries = Ledger(tmp_path / "kept").read()
    assert [run.kept for run in entries.runs.values()] == [True]


def test_a_patch_makes_the_prompt_of_its_template() -> None:
    template = picture()
    prompt = {
        **template,
        "1": {**template["1"], "inputs": {**template["1"]["inputs"], "width": 5}},
        "9": failing()["3"],
    }
    patch = build_patch(template, prompt)
    assert patch == [["1", "width", 5], ["9", None, failing()["3"]]]
    assert apply_patch(template, patch) == prompt


def test_keys_do_not_depend_on_titles_order_or_points() -> None:
    graph = picture()
    other = {
        "2": graph["2"],
        "1": {**graph["1"], "_meta": {"title": "x"}, "inputs": {**graph["1"]["inputs"], "width": 32.0}},
    }
    assert KeyMaker().compute(graph) == KeyMaker(graph).compute(other) == STORED_KEY
    assert KeyMaker().compute(graph) != KeyMaker().compute(graph, {("1", "width"): "sha256:00"})
    assert KeyMaker().compute({**graph, "3": graph["1"]}) != STORED_KEY


STORED_KEY = "18ab7e43d9a38c03ea495d61f04cab7eb754271e2c6eed37125a9d10b10b6b59e"
"""The key of `picture()`: keys are in journals, and never change."""
