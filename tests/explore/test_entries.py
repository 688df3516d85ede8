"""Test that lines in any order give the same runs, and that odd lines change nothing."""

from __future__ import annotations

import itertools
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.explore.ledger.entries import Entries
from comfykit_jupyter.explore.ledger.journal import Journal
from comfykit_jupyter.explore.ledger.ledger import Ledger
from comfykit_jupyter.explore.runs.rows import Rows

HASH = "ab" * 32
AT = "2026-01-01T00:00:00.000000Z"
LINES: list[tuple[str, dict[str, Any]]] = [
    ("a", {"event": "sent", "id": "1", "key": "k", "name": "fox", "template": HASH, "at": AT}),
    ("a", {"event": "accepted", "id": "1", "prompt_id": "77"}),
    ("a", {"event": "end", "id": "1", "status": "failed", "error": "lost", "at": "2026-01-01T00:00:02.000000Z"}),
    ("b", {"event": "end", "id": "1", "status": "completed", "at": "2026-01-01T00:00:03.000000Z",
           "outputs": [{"name": "fox.png", "node": "9", "var": "cover"}]}),
    ("b", {"event": "kept", "id": "1", "hashes": {"0": HASH}}),
    ("b", {"event": "mark", "target": "1", "seq": 2, "set": {"star": True}, "add_tags": ["x"]}),
    ("c", {"event": "mark", "target": "1", "seq": 2, "set": {"star": False, "rating": 3}, "remove_tags": ["x"]}),
    ("a", {"event": "mark", "target": "1", "seq": 1, "set": {"note": "hands"}, "add_tags": ["y"]}),
]  # fmt: skip


def fold(lines: list[tuple[str, dict[str, Any]]]) -> Entries:
    entries = Entries()
    for file, event in lines:
        entries.apply(file, event)
    return entries


def describe(entries: Entries) -> Any:
    return entries.runs, entries.sweeps, {id_: entries.get_marks(id_) for id_ in entries.runs}


def test_lines_in_any_order_give_the_same_run() -> None:
    expected = describe(fold(LINES))
    run = expected[0]["1"]
    assert (run.status, run.prompt_id, run.outputs[0].name, run.outputs[0].hash) == ("completed", "77", "fox.png", HASH)
    marks = expected[2]["1"]
    assert marks.values == {"star": False, "rating": 3, "note": "hands"}  # of two with one number, the later file's
    assert marks.tags == {"y"}
    for lines in itertools.islice(itertools.permutations(LINES), 0, None, 97):
        assert describe(fold(list(lines))) == expected
        assert describe(fold([*lines, *lines])) == expected  # a merged file is read beside its parts


@given(st.permutations(LINES), st.integers(0, len(LINES)))
def test_every_beginning_of_a_journal_can_be_read(lines: list[tuple[str, dict[str, Any]]], count: int) -> None:
    assert fold(lines[:count]).runs.keys() <= {"1"}


@given(
    st.dictionaries(
        st.sampled_from(["id", "at", "params", "patch", "outputs", "hashes", "set", "seq", "target", "axes", "status"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.text(max_size=5),
            lambda each: st.lists(each, max_size=3) | st.dictionaries(st.text(max_size=3), each, max_size=3),
        ),
    ),
    st.sampled_from(["sent", "end", "kept", "mark", "sweep", "found", "forgotten", "pruned", "template", "new kind"]),
)
def test_odd_lines_are_passed_over(event: dict[str, Any], kind: str) -> None:
    entries = fold([("a", {**event, "event": kind})])
    for run in entries.runs.values():
        assert run.status in {"sent", "completed", "failed", "cancelled"}


def test_forgotten_runs_do_not_come_back() -> None:
    for position in range(len(LINES) + 1):
        lines = [*LINES[:position], ("d", {"event": "forgotten", "id": "1"}), *LINES[position:]]
        assert not fold(lines).runs


def test_a_torn_line_is_read_when_it_is_complete(tmp_path: Path) -> None:
    journal = Journal(tmp_path)
    (tmp_path / "x.jsonl").write_bytes(b'{"event": "sent", "id": "1"}\n{"event": "se')
    assert [event["id"] for _, event in journal.read_new()] == ["1"]
    with (tmp_path / "x.jsonl").open("ab") as file:
        file.write(b'nt", "id": "2"}\nnot json\n[1]\n{"id": 3}\n{"event": "sent", "id": "4"}\n')
    assert [event["id"] for _, event in journal.read_new()] == ["2", "4"]
    assert journal.skipped == 3
    assert journal.read_new() == []


def test_lines_that_are_only_together_valid_are_broken_each(tmp_path: Path) -> None:
    lines = [b'{"event": "sent", "id": "1"}, {"event": "sent", "id": "2"}', b'{"event": "sent", "x": [1', b"2]}"]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join([*lines, b'{"event": "sent", "id": "3"}', b""]))
    journal = Journal(tmp_path)
    assert [event["id"] for _, event in journal.read_new()] == ["3"]
    assert journal.skipped == 3


def test_a_line_without_an_end_is_not_read_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("comfykit_jupyter.explore.ledger.journal.MAX_LINE_BYTES", 1000)
    monkeypatch.setattr("comfykit_jupyter.explore.ledger.journal._READ_BYTES", 300)
    lines = [
        b'{"event": "sent", "id": "1"}',
        b'{"event": "sent", "id": "' + b"x" * 5000 + b'"}',
        b'{"event": "sent", "id": "2"}',
    ]
    (tmp_path / "x.jsonl").write_bytes(b"\n".join(lines) + b"\n")
    journal = Journal(tmp_path)
    assert [event["id"] for _, event in journal.read_new()] == ["1", "2"]
    assert journal.skipped == 1


def test_merging_keeps_everything_but_forgotten_runs(tmp_path: Path) -> None:
    for name in "abc":
        lines = [event for file, event in LINES if file == name]
        first = {"event": "journal", "format": 1, "host": "elsewhere", "pid": 0}
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(each) + "\n" for each in [first, *lines]))
    own = Journal(tmp_path)
    own.append({"event": "sent", "id": "2"})
    before = fold(Journal(tmp_path).read_new())
    long_ago = time.time() - 40 * 24 * 3600
    for path in tmp_path.glob("[abc].jsonl"):  # another machine's processes are taken for gone after a month
        os.utime(path, (long_ago, long_ago))
    assert own.compact(lambda event: event.get("id") != "2") == 4
    assert len(list(tmp_path.iterdir())) == 1
    after = fold(Journal(tmp_path).read_new())
    del before.runs["2"]
    assert describe(after) == describe(before)


def write_elsewhere(folder: Path) -> Journal:
    """Return a journal that writes, and whose process can't be seen from here, as in another container."""
    journal = Journal(folder)
    journal.append({"event": "sent", "id": "1"})
    return journal


def test_the_file_of_a_living_writer_is_not_merged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, signal: int) -> None:
        raise ProcessLookupError

    other = write_elsewhere(tmp_path)
    monkeypatch.setattr(os, "kill", kill)
    assert Journal(tmp_path).compact(lambda _: True) == 0
    other.close()
    assert Journal(tmp_path).compact(lambda _: True) == 1


def test_no_process_is_signalled_on_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(pid: int, signal: int) -> None:
        raise AssertionError("there, signal 0 is Ctrl-C")

    write_elsewhere(tmp_path)
    monkeypatch.setattr(os, "kill", kill)
    monkeypatch.setattr(sys, "platform", "win32")
    assert Journal(tmp_path).compact(lambda _: True) == 0


def test_a_search_looks_once_for_new_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = Ledger(tmp_path)
    for number in range(100):
        ledger.append({"event": "sent", "id": str(number), "params": {"width": number}})
    looks: list[object] = []
    scan = os.scandir

    def count(path: Any) -> Any:
        looks.append(path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", count)
    assert len(Rows(ledger, [str(number) for number in range(100)]).where(width=[1, 2], star=False)) == 2
    assert len(looks) <= 3  # a network file system needs milliseconds for each


def test_a_journal_of_this_format_is_read_by_every_later_version() -> None:
    entries = fold([("a", json.loads(line)) for line in STORED.splitlines()])
    run = entries.runs["1494c5ec"]
    assert (run.params, run.status, run.seconds, run.waited) == ({"width": 64}, "completed", 0.005, 0.013)
    assert run.outputs[0].entry == {"filename": "picture_00001_.png", "subfolder": "", "type": "output"}
    assert entries.get_marks("1494c5ec").picked
    assert entries.sweeps["s"].axes == [{"names": ["cfg"], "labels": [[3]]}]
    assert not entries.unknown


STORED = """\
{"event":"journal","format":1,"host":"gpu","pid":4711,"at":"2026-11-29T18:57:38.000000Z"}
{"event":"template","hash":"89eca37a28890763c9b4bcc14889cdce812d8b42c3652edc5bce4f38f912d4da","name":"fox"}
{"event":"sweep","id":"s","name":"foxes","salt":"x","generation":0,"axes":[{"names":["cfg"],"labels":[[3]]}],"base":{}}
{"event":"sent","id":"1494c5ec","key":"1ab","name":"fox","template":"89ec","patch":[["1","width",64]],"params":{"width":64}}
{"event":"end","id":"1494c5ec","status":"completed","seconds":0.005,"waited":0.013,"outputs":[{"name":"picture_00001_.png","node":"2","var":"cover","entry":{"filename":"picture_00001_.png","subfolder":"","type":"output"}}]}
{"event":"kept","id":"1494c5ec","hashes":{"0":"98572cd0544d26755d93cdd7d292d294ef67e99253d855f91639b665ade06cd1"}}
{"event":"mark","target":"1494c5ec","seq":1,"set":{"star":true},"add_tags":["cover"]}
"""
