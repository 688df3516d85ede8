"""Test the log of jobs submitted to clouds: entries are found with their prompts and expire."""

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


def age_entries(seconds: float) -> None:
    """Make all entries older."""
    for path in job_log.find_folder().iterdir():
        at = path.stat().st_mtime - seconds
        os.utime(path, (at, at))


def test_job_is_found_by_the_suffix_of_its_run_id_and_cloud() -> None:
    job_log.add(CLOUD, "1-abc", "77", PROMPT)
    job_log.add(CLOUD, "2-xyz", "78", PROMPT)
    assert job_log.find(CLOUD, "abc") == ["77"]
    assert job_log.find(CLOUD, "nothing") == []
    assert job_log.find(OTHER, "abc") == []


def test_prompt_is_kept_exactly_after_the_end() -> None:
    job_log.add(CLOUD, "1-abc", "77", PROMPT)
    assert (job_log.read_note(CLOUD, "77") or {})["prompt"] == PROMPT
    job_log.mark_ended(CLOUD, "77")
    assert (job_log.read_note(CLOUD, "77") or {})["prompt"] == PROMPT
    assert job_log.read_note(OTHER, "77") is None
    assert job_log.read_note(CLOUD, "7") is None


def test_name_of_the_workflow_is_kept() -> None:
    job_log.add(CLOUD, "1-abc", "77", PROMPT, "portrait")
    assert (job_log.read_note(CLOUD, "77") or {})["workflow"] == "portrait"


def test_last_finished_job_is_found_before_running_ones() -> None:
    for job in ("1", "2", "3", "4"):
        job_log.add(CLOUD, f"{job}-abc", job, PROMPT)
        age_entries(10)
    job_log.mark_ended(CLOUD, "3")
    age_entries(10)
    job_log.mark_ended(CLOUD, "1")
    assert job_log.find(CLOUD, "abc") == ["1", "2", "4"]


def test_finished_jobs_expire_after_a_day_and_all_after_a_week() -> None:
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    job_log.add(CLOUD, "2-abc", "2", PROMPT)
    job_log.mark_ended(CLOUD, "1")
    age_entries(25 * 3600)
    assert job_log.find(CLOUD, "abc") == ["2"]
    age_entries(7 * 24 * 3600)
    job_log.add(CLOUD, "3-abc", "3", PROMPT)
    assert job_log.find(CLOUD, "abc") == ["3"]
    assert len(list(job_log.find_folder().iterdir())) == 1


def test_number_of_entries_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_log, "MAX_NOTES", 3)
    for job in range(9):
        job_log.add(CLOUD, f"{job}-abc", str(job), PROMPT)
        age_entries(1)
    assert job_log.find(CLOUD, "abc") == ["5", "6", "7", "8"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no file modes")
def test_an_old_entry_that_can_not_be_removed_does_not_prevent_a_new_one(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unlink(path: Path, missing_ok: bool = False) -> None:
        raise PermissionError

    monkeypatch.setattr(job_log, "MAX_NOTES", 0)
    monkeypatch.setattr(Path, "unlink", unlink)
    for number in "12":
        job_log.add(CLOUD, f"{number}-abc", number, PROMPT)
    assert job_log.find(CLOUD, "abc") == ["1", "2"]


def test_entries_are_readable_by_the_owner_only() -> None:
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    (path,) = job_log.find_folder().iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(job_log.find_folder().stat().st_mode) == 0o700


def test_unwritable_folder_and_damaged_entries_are_ignored(state: Path) -> None:
    (state / "comfykit-jupyter").write_text("in the way")
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    job_log.mark_ended(CLOUD, "1")
    assert job_log.find(CLOUD, "abc") == []
    (state / "comfykit-jupyter").unlink()
    job_log.add(CLOUD, "1-abc", "1", PROMPT)
    (path,) = job_log.find_folder().iterdir()
    for damage in (b"", b"[1]", b'{"url": 1}', b"\xff\xfe", b"[" * 100_000):
        path.write_bytes(damage)
        assert (job_log.find(CLOUD, "abc"), job_log.read_note(CLOUD, "1")) == ([], None)
    assert time.time() - path.stat().st_mtime < job_log.LIFE
