"""The runs of this process that have not ended, and what its exit waits for and reports."""

from __future__ import annotations

import concurrent.futures.thread  # noqa: F401 - its exit handler must be registered before ours, which runs before it
import contextlib
import logging
import os
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.observable import ObservableRun
    from comfykit_jupyter.client.running.run import Run

logger = logging.getLogger(__name__)

EXIT_PATIENCE = 10.0
"""Seconds that the exit of the interpreter waits for submissions that are not sent yet."""
WAKE_INTERVAL = 0.02
"""Seconds between two looks at them."""
MAX_REPORTS = 20
"""Runs that a report names at most."""

_unfinished: dict[Run, None] = {}
_unseen: dict[str, str] = {}
"""A line for each failed run whose result was never looked at, by the ID of the run."""


def find_unfinished_runs() -> list[Run]:
    """Return the runs of this process that have not ended, oldest first."""
    return [run for run in list(_unfinished) if not run.done]


def find_sender(prompt_id: str) -> Run | None:
    """Return the run of this process whose job has not arrived on the server, or has got another ID there."""

    def is_sender(run: Run) -> bool:
        return prompt_id in (run.id, run.prompt_id) and not (run.arrived and run.prompt_id == prompt_id)

    return next(filter(is_sender, find_unfinished_runs()), None)


def add(run: Run) -> None:
    """Add a run that is about to start."""
    _unfinished[run] = None


def remove(run: Run, failure: str | None) -> None:
    """Remove a run that has ended.

    Args:
        run: The run.
        failure: Why it failed, to be reported at exit unless somebody sees its result before; None for nothing.
    """
    _unfinished.pop(run, None)
    if failure is not None and len(_unseen) < MAX_REPORTS:
        _unseen[run.id] = f"{_describe(run)} failed: {failure}"


def mark_seen(run: ObservableRun) -> None:
    """Note that the result of a run was seen."""
    _unseen.pop(run.id, None)


def report_others(run: Run) -> None:
    """Log which runs continue although the caller of one was interrupted."""
    others = [each.prompt_id for each in find_unfinished_runs() if each is not run]
    if others:
        names = ", ".join(others[:MAX_REPORTS]) + (", …" if len(others) > MAX_REPORTS else "")
        what = "1 other run continues" if len(others) == 1 else f"{len(others)} other runs continue"
        logger.warning("%s: %s (run.cancel() or %%comfykit cancel stops them)", what, names)


def _wait_at_exit() -> None:
    """Wait until all submissions are sent, since their jobs need this process only until then; report the others."""
    deadline = time.monotonic() + EXIT_PATIENCE
    with contextlib.suppress(KeyboardInterrupt):
        while any(not run.delivered for run in find_unfinished_runs()) and time.monotonic() < deadline:
            time.sleep(WAKE_INTERVAL)
    for run in find_unfinished_runs():
        if not run.sent:
            logger.warning("%s was not sent to %s: the program ended first", _describe(run), run.server)
        elif not run.delivered:
            logger.warning("%s may still start: %s has not answered", _describe(run), run.server)
    for line in list(_unseen.values()):
        logger.warning("%s", line)


def _describe(run: Run) -> str:
    return f"run {run.id[:8]}" + (f" of {run.workflow.name}" if run.workflow is not None else "")


def _reset_after_fork() -> None:
    _unfinished.clear()
    _unseen.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)

# `atexit` comes too late: by then no thread of an executor can be started any more, and the loop needs them.
register_at_exit: Callable[[Callable[[], None]], object] = threading._register_atexit  # type: ignore[attr-defined]  # noqa: SLF001
register_at_exit(_wait_at_exit)
