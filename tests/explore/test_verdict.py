"""Test `judge` and `Failures`: what the ends of runs mean for a sweep."""

from __future__ import annotations

from itertools import product

import pytest

from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.explore.sweeps.failures import Failures
from comfykit_jupyter.explore.sweeps.verdict import judge
from comfykit_jupyter.workflow.progress.progress import RunError

FREE, PAID = False, True
MEMBER, NO_MEMBER = True, False
OTHERS, ALONE = True, False


def fail(kind: str, prompt_id: str | None = "1") -> ExecuteResult:
    return ExecuteResult("failed", prompt_id, error=RunError(kind, kind))


@pytest.mark.parametrize("is_paid", [FREE, PAID])
@pytest.mark.parametrize(
    ("kind", "verdict"),
    [("gone", "gone"), ("cancelled", "cancelled"), ("interrupted", "cancelled"), ("node_error", "failed")],
)
def test_end_that_the_server_reports_is_the_same_everywhere(kind: str, verdict: str, is_paid: bool) -> None:
    for is_member, has_others in product([MEMBER, NO_MEMBER], [OTHERS, ALONE]):
        flags = {"is_paid": is_paid, "is_member": is_member, "has_others": has_others}
        assert judge(fail(kind), **flags) == verdict
        assert judge(ExecuteResult("completed", "1"), **flags) == "completed"


def test_only_a_clouds_task_continues_after_a_timeout() -> None:
    assert judge(fail("timeout"), is_paid=PAID, is_member=MEMBER, has_others=OTHERS) == "unknown"
    assert judge(fail("timeout"), is_paid=FREE, is_member=MEMBER, has_others=OTHERS) == "failed"


@pytest.mark.parametrize(
    ("kind", "prompt_id", "is_paid", "is_member", "has_others", "verdict"),
    [
        ("unreachable", None, FREE, MEMBER, OTHERS, "unsent"),
        ("unreachable", None, PAID, NO_MEMBER, ALONE, "unsent"),
        ("unreachable", "1", FREE, MEMBER, OTHERS, "moved"),
        ("unreachable", "1", FREE, MEMBER, ALONE, "away"),
        ("unreachable", "1", PAID, MEMBER, OTHERS, "away"),
        ("unreachable", "1", FREE, NO_MEMBER, OTHERS, "left"),
        ("unreachable", "1", PAID, NO_MEMBER, OTHERS, "unknown"),
        ("unknown", "1", FREE, MEMBER, OTHERS, "away"),
        ("unknown", None, FREE, MEMBER, OTHERS, "unknown"),
        ("unknown", None, FREE, NO_MEMBER, OTHERS, "left"),
        ("unknown", None, PAID, MEMBER, OTHERS, "unknown"),
    ],
)
def test_job_that_may_still_run_is_not_paid_twice(
    kind: str, prompt_id: str | None, is_paid: bool, is_member: bool, has_others: bool, verdict: str
) -> None:
    found = judge(fail(kind, prompt_id), is_paid=is_paid, is_member=is_member, has_others=has_others)
    assert found == verdict


def test_first_failure_is_a_reason_to_pause() -> None:
    assert Failures().note_failed("boom\nat line 1") == r"the first point failed: boom\nat line 1"


def test_three_equal_failures_in_a_row_are_a_reason_to_pause() -> None:
    failures = Failures()
    failures.note_completed()
    assert [failures.note_failed(error) for error in ("a", "b", "b")] == ["", "", ""]
    failures.note_completed()
    assert not failures.is_last
    assert [failures.note_failed(error) for error in ("b", "b")] == ["", ""]
    assert failures.note_failed("b") == "3 points failed in the same way: b"
    assert failures.is_last
