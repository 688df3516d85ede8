"""The notes of jobs that clouds have taken: found again, with what they were given, and forgotten in time."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from comfykit_jupyter.client import begun

CLOUD, OTHER = "https://www.runninghub.ai", "https://www.runninghub.cn"
PROMPT = {"3": {"class_type": "KSampler", "inputs": {"seed": 2**64 - 1}}}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def aged(seconds: float) -> None:
    """Make all notes older."""
    for path in begun.folder().iterdir():
        at = path.stat().st_mtime - seconds
        os.utime(path, (at, at))


def test_a_job_is_found_by_the_end_of_its_runs_id_at_its_own_cloud() -> None:
    begun.note(CLOUD, "1-abc", "77", PROMPT)
    begun.note(CLOUD, "2-xyz", "78", PROMPT)
    assert begun.find(CLOUD, "abc") == ["77"]
    assert begun.find(CLOUD, "nothing") == []
    assert begun.find(OTHER, "abc") == []


def test_what_it_was_given_is_known_exactly_also_when_it_has_ended() -> None:
    begun.note(CLOUD, "1-abc", "77", PROMPT)
    assert begun.prompt_of(CLOUD, "77") == PROMPT
    begun.end(CLOUD, "77")
    assert begun.prompt_of(CLOUD, "77") == PROMPT
    assert begun.prompt_of(OTHER, "77") is None
    assert begun.prompt_of(CLOUD, "7") is None


def test_of_those_that_ended_the_last_is_found_and_before_those_that_go_on() -> None:
    for job in ("1", "2", "3", "4"):
        begun.note(CLOUD, f"{job}-abc", job, PROMPT)
        aged(10)
    begun.end(CLOUD, "3")
    aged(10)
    begun.end(CLOUD, "1")
    assert begun.find(CLOUD, "abc") == ["1", "2", "4"]


def test_what_ended_is_found_for_a_day_and_all_is_forgotten_in_a_week() -> None:
    begun.note(CLOUD, "1-abc", "1", PROMPT)
    begun.note(CLOUD, "2-abc", "2", PROMPT)
    begun.end(CLOUD, "1")
    aged(25 * 3600)
    assert begun.find(CLOUD, "abc") == ["2"]
    aged(7 * 24 * 3600)
    begun.note(CLOUD, "3-abc", "3", PROMPT)
    assert begun.find(CLOUD, "abc") == ["3"]
    assert len(list(begun.folder().iterdir())) == 1


def test_there_are_never_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(begun, "MOST", 3)
    for job in range(9):
        begun.note(CLOUD, f"{job}-abc", str(job), PROMPT)
        aged(1)
    assert begun.find(CLOUD, "abc") == ["5", "6", "7", "8"]


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_only_their_owner_can_read_them() -> None:
    begun.note(CLOUD, "1-abc", "1", PROMPT)
    (path,) = begun.folder().iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(begun.folder().stat().st_mode) == 0o700


def test_where_nothing_can_be_written_or_a_note_is_damaged_nothing_is_found(state: Path) -> None:
    (state / "comfykit-jupyter").write_text("in the way")
    begun.note(CLOUD, "1-abc", "1", PROMPT)
    begun.end(CLOUD, "1")
    assert begun.find(CLOUD, "abc") == []
    (state / "comfykit-jupyter").unlink()
    begun.note(CLOUD, "1-abc", "1", PROMPT)
    (path,) = begun.folder().iterdir()
    for damage in (b"", b"[1]", b'{"url": 1}', b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(damage)
        assert (begun.find(CLOUD, "abc"), begun.prompt_of(CLOUD, "1")) == ([], None)
    assert time.time() - path.stat().st_mtime < begun.LIFE
