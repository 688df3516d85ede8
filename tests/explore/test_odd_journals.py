"""Test journals that were edited, damaged, made by others or deleted: what is odd harms nothing else."""

from __future__ import annotations

import json
import os
import shutil
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from comfykit_jupyter import ComfyKit, ComfyKitError, Sweep
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.explore.ledger.journal import MAX_LINE_BYTES
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.ledger.recorder import build_end
from comfykit_jupyter.explore.runs.query import search_rows
from comfykit_jupyter.explore.runs.rows import Rows
from tests.client.workflows import picture


def write_journal(folder: Path, *lines: str) -> Ledger:
    (folder / "journal").mkdir(parents=True, exist_ok=True)
    (folder / "journal" / "old.jsonl").write_text("".join(f"{line}\n" for line in lines))
    return Ledger(folder)


def test_a_number_that_is_too_large_hides_no_other_line(tmp_path: Path) -> None:
    ledger = write_journal(
        tmp_path, '{"event":"mark","target":"1","seq":1e999,"set":{"star":true}}', '{"event":"sent","id":"1"}'
    )
    assert "1" in ledger.read().runs


def test_a_journal_with_nan_is_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykit_jupyter.explore.ledger.journal.is_writer_gone", lambda _path, _first: True)
    ledger = write_journal(tmp_path, '{"event":"sent","id":"1"}', '{"event":"other","value":NaN}')
    assert ledger.compact() == 1
    assert "1" in Ledger(tmp_path).read().runs


def test_marks_and_times_of_the_wrong_kind_are_not_shown(tmp_path: Path) -> None:
    odd: dict[str, Any] = {"score": float("nan"), "rating": [1], "note": {"a": 1}, "star": "yes"}
    ledger = write_journal(
        tmp_path,
        '{"event":"sent","id":"1","at":"9999-12-31T23:59:59Z"}',
        '{"event":"end","id":"1","status":"completed","seconds":Infinity,"waited":NaN}',
        json.dumps({"event": "mark", "target": "1", "seq": 5, "set": odd}),
    )
    (row,) = Rows(ledger, ["1"])
    assert (row.seconds, row.waited, row.at, row.score, row.rating, row.note, row.star) == (
        None, None, None, None, 0, "", False,
    )  # fmt: skip


def test_an_output_has_no_path_outside_of_the_folder(tmp_path: Path) -> None:
    output = {"name": "fox.png", "node": "1", "var": "v", "hash": "../../../../etc/passwd"}
    ledger = write_journal(
        tmp_path,
        '{"event":"sent","id":"1"}',
        json.dumps({"event": "end", "id": "1", "status": "completed", "outputs": [output]}),
    )
    assert str(Rows(ledger, ["1"])[0].media[0]) == "fox.png"


def test_a_prompt_that_is_none_is_said_to_be_gone(kit: ComfyKit) -> None:
    pytest.importorskip("comfykit_jupyter.notebook.page.page_widget", reason="the widget's JavaScript is not built")
    from comfykit_jupyter.notebook.explorer.details import describe_row

    ledger = kit.sweep(picture(), over={"width": [8]})._ledger
    good = ledger.add_template("x", picture())
    bad = ledger.store.add_json({"1": 5, "2": {"inputs": 3}})
    patches: list[tuple[str, Any]] = [(good, [[["x"], "a", 1]]), (good, [["1", None, 5]]), (bad, []),
                                      (bad, [["1", "a", 1]]), (good, [["1", ["a"], 1]])]  # fmt: skip
    for number, (template, patch) in enumerate(patches):
        sent = {"event": "sent", "id": f"r{number}", "template": template, "patch": patch, "files": {"x": "sha256:ab"}}
        ledger.append(sent)
        ledger.append({"event": "end", "id": f"r{number}", "status": "completed"})
    assert len(kit.runs.where(model="fox")) == 0
    for row in kit.runs:
        assert describe_row(row, ledger)["status"] == "completed"
        with pytest.raises(ComfyKitError):
            row.workflow  # noqa: B018
        with pytest.raises(ComfyKitError):
            kit.runs.again(row)


@pytest.mark.parametrize("axes", [[5], [{"names": 5, "labels": []}], [{"names": [5], "labels": [[1]]}], {"a": 1}])
def test_a_sweep_with_odd_axes_has_none(kit: ComfyKit, axes: Any) -> None:
    pytest.importorskip("comfykit_jupyter.notebook.page.page_widget", reason="the widget's JavaScript is not built")
    from comfykit_jupyter.notebook.explorer.run_lists import RunLists

    sweep = kit.sweep(picture(), over={"width": [8]}).wait()
    ledger = sweep._ledger
    ledger.append({"event": "sweep", "id": sweep.id, "name": "fox", "template": "", "axes": axes, "seq": 99})
    assert ledger.read().sweeps[sweep.id].axes == []
    assert any(each["name"] == "sweep" for each in RunLists(ledger).list_filters())
    with pytest.raises(ComfyKitError, match="the workflow of fox is no longer here"):
        kit.runs.bundle("fox", "fox.zip")


def test_an_address_of_a_server_may_be_any_text(tmp_path: Path) -> None:
    pytest.importorskip("comfykit_jupyter.notebook.page.page_widget", reason="the widget's JavaScript is not built")
    from comfykit_jupyter.notebook.explorer.details import describe_row

    for number, (url, shown) in enumerate((("http://[", "http://["), ("http://me:secret@gpu:1/x", "gpu:1"))):
        end = '{"event":"end","id":"1","status":"failed","error":"bad","kind":"node_error"}'
        ledger = write_journal(tmp_path / str(number), json.dumps({"event": "sent", "id": "1", "server": url}), end)
        assert describe_row(Rows(ledger, ["1"])[0], ledger)["server"] == shown


def test_lines_go_on_in_a_new_file_when_the_folder_was_deleted(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "runs")
    ledger.append({"event": "sent", "id": "1"})
    shutil.rmtree(tmp_path / "runs")
    ledger.append({"event": "sent", "id": "2"})
    assert Ledger(tmp_path / "runs").read().runs.keys() == {"2"}
    assert ledger.journal._descriptor is not None
    os.close(ledger.journal._descriptor)  # as on a network file system, after another machine has removed the file
    ledger.append({"event": "sent", "id": "3"})
    assert Ledger(tmp_path / "runs").read().runs.keys() == {"2", "3"}


def test_an_unreadable_line_is_not_written(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    with pytest.raises(OSError, match="a line of 16 MB is longer than 16 MB"):
        ledger.append({"event": "sent", "id": "1", "params": {"text": "a" * MAX_LINE_BYTES}})
    result = ExecuteResult("completed", "1", texts_by_var={"t": ["a" * 9_000_000, "b" * 9_000_000]})
    ledger.append({"event": "sent", "id": "1"})
    ledger.append(build_end("1", result))
    assert Ledger(tmp_path).read().runs["1"].status == "completed"


def test_a_table_has_integers_of_any_size(tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    ledger = Ledger(tmp_path)
    values: list[dict[str, Any]] = [
        {"seed": -1, "large": 2**70, "mixed": 2**60 + 1, "text": "\ud800"},
        {"seed": 2**63 + 5, "large": 1, "mixed": 0.5, "text": "a"},
    ]
    for number, params in enumerate(values):
        ledger.append({"event": "sent", "id": str(number), "params": params})
    frame = Rows(ledger, ["0", "1"]).df
    for name in values[0]:
        assert [*frame[name]] == [each[name] for each in values]


def test_what_is_typed_into_the_search_is_never_an_argument(tmp_path: Path) -> None:
    ledger = write_journal(tmp_path, '{"event":"sent","id":"1","params":{"cfg":3}}')
    with pytest.raises(ComfyKitError, match="no run here has a value 'self'"):
        search_rows(Rows(ledger, ["1"]), "self=1")
    assert len(search_rows(Rows(ledger, ["1"]), "since=999999w")) == 0  # its time is not known
    assert Rows(ledger, ["1"]).where(since="0001-01-01") is not None


def test_runs_are_counted_while_others_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger, found = Ledger(tmp_path), SimpleNamespace(workflow=SimpleNamespace(name="fox"))
    for number in range(2000):
        ledger.append({"event": "sent", "id": f"old{number}", "name": "fox"})
    ended = threading.Event()

    def add() -> None:
        number = 0
        while not ended.is_set():
            number += 1
            ledger.append({"event": "sent", "id": f"new{number}", "name": "fox"})
            ledger.read()

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    thread = threading.Thread(target=add)
    thread.start()
    try:
        until = time.monotonic() + 0.3
        while time.monotonic() < until:
            assert Sweep._find_durations(SimpleNamespace(_ledger=ledger, _prepared=found)) == []  # type: ignore[arg-type]
    finally:
        ended.set()
        thread.join()
        sys.setswitchinterval(interval)
