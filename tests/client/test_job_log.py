"""The notes of jobs that clouds have taken: found again, with what they were given, and forgotten in time."""

from __future__ import annotations

import os
import stat
import sys
import time
from pathlib import Path

import pytest

from comfykit_jupyter.client.backends import job_log

CLOUD, OTHER = "https://www.runninghub.ai", "https://www.runninghub.cn"
PROMPT = {"3": {"class_type": "KSampler", "inputs": {"seed": 2**64 - 1}}}


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path


def aged(seconds: float) -> None:
    """Make all notes older."""
    for path in job_log.find_folder().iterdir():
        at = path.stat().st_mtime - seconds
        os.utime(path, (at, at))


def test_a_job_is_found_by_the_end_of_its_runs_id_at_its_own_cloud() -> None:
    job_log.add(CLOUD, "1-abc", "77", PROMPT)
    job_log.add(CLOUD, "2-xyz", "78", PROMPT)
    assert job_log.find(CLOUD, "abc") == ["77"]
    assert job_log.find(CLOUD, "nothing") == []
    assert job_log.find(OTHER, "abc") == []


def test_what_it_was_given_is_known_exactly_also_when_it_has_ended() -> None:
    job_log.add(CLOUD, "1-abc", "77", PROMPT)
    assert job_log.read_prompt(CLOUD, "77") == PROMPT
    job_log.mark_ended(CLOUD, "77")
    assert job_log.read_prompt(CLOUD, "77") == PROMPT
    assert job_log.read_prompt(OTHER, "77") is None
    assert job_log.read_prompt(CLOUD, "7") is None


def test_of_those_that_ended_the_last_is_found_and_before_those_that_go_on() -> None:
    for job in ("1", "2", "3", "4"):
        job_log.add(CLOUD, f"{job}-abc", job, PROMPT)
        aged(10)
    job_log.mark_ended(CLOUD, "3")
    aged(10)
    job_log.mark_ended(CLOUD, "1")
    assert job_log.find(CLOUD, "abc") == ["1", "2", "4"]


def test_what_ended_is_found_for_a_day_and_all_is_forgotten_in_a_week() -> None:
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    job_log.add(CLOUD, "2-abc", "2", PROMPT)
    job_log.mark_ended(CLOUD, "1")
    aged(25 * 3600)
    assert job_log.find(CLOUD, "abc") == ["2"]
    aged(7 * 24 * 3600)
    job_log.add(CLOUD, "3-abc", "3", PROMPT)
    assert job_log.find(CLOUD, "abc") == ["3"]
    assert len(list(job_log.find_folder().iterdir())) == 1


def test_there_are_never_many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "MAX_NOTES", 3)
    for job in range(9):
        job_log.add(CLOUD, f"{job}-abc", str(job), PROMPT)
        aged(1)
    assert job_log.find(CLOUD, "abc") == ["5", "6", "7", "8"]


@pytest.mark.skipif(sys.platform == "win32", reason="no modes there")
def test_only_their_owner_can_read_them() -> None:
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    (path,) = job_log.find_folder().iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(job_log.find_folder().stat().st_mode) == 0o700


def test_where_nothing_can_be_written_or_a_note_is_damaged_nothing_is_found(state: Path) -> None:
    (state / "comfykit-jupyter").write_text("in the way")
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    job_log.mark_ended(CLOUD, "1")
    assert job_log.find(CLOUD, "abc") == []
    (state / "comfykit-jupyter").unlink()
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    (path,) = job_log.find_folder().iterdir()
    for damage in (b"", b"[1]", b'{"url": 1}', b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(damage)
        assert (job_log.find(CLOUD, "abc"), job_log.read_prompt(CLOUD, "1")) == ([], None)
    assert time.time() - path.stat().st_mtime < job_log.LIFE
