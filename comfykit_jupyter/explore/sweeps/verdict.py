"""`judge`: what the end of a run means for its point of a sweep. Pure: a result in, a word out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

Verdict = Literal["completed", "failed", "cancelled", "unknown", "gone", "unsent", "left", "moved", "away"]
"""What a run has come to.

The first four are the state of its point; with `unknown`, its job may still run, and costs money or can't be found
again. The others mean that the point is not done:

- `gone`: the server has no such job. It is sent again.
- `unsent`: the worker is away, and got nothing. It is sent again.
- `left`: the worker does not belong to the sweep, and does not answer. It is sent to another one.
- `moved`: the worker is away. It is sent to another one, unless its own is back before.
- `away`: the worker is away. Its job is followed when the worker is back.
"""


def judge(result: ExecuteResult, *, is_paid: bool, is_member: bool, has_others: bool) -> Verdict:
    """Return what the end of a run means for its point.

    Args:
        result: What came out.
        is_paid: Whether the job costs money: then it is not sent again while it may still run.
        is_member: Whether its worker belongs to the sweep.
        has_others: Whether another worker is there.
    """
    kind = result.error.kind if result.error is not None else ""
    if result.status == "completed":
        return "completed"
    if is_gone(result):  # it was never there, or was removed: nothing of it can come any more
        return "gone"
    if kind in ("cancelled", "interrupted"):
        return "cancelled"
    if kind == "timeout" and is_paid:  # a task of RunningHub keeps running
        return "unknown"
    if kind not in ("unreachable", "unknown"):
        return "failed"
    if kind == "unreachable" and result.prompt_id is None:
        return "unsent"
    if not is_member and not is_paid:
        return "left"
    if not is_member or result.prompt_id is None:
        return "unknown"
    return "moved" if kind == "unreachable" and not is_paid and has_others else "away"


def is_gone(result: ExecuteResult) -> bool:
    """Return whether the server has no such job."""
    return result.error is not None and result.error.kind == "gone"
