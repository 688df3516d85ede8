"""The live line of a sweep: in a terminal it is rewritten in place, in a notebook it becomes the grid."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol, TextIO

from comfykit_jupyter.client import loop

logger = logging.getLogger(__name__)

INTERVAL = 0.25
"""Seconds between two updates."""
_BAR = 24


class SweepStatus(Protocol):
    """The status of a sweep or a search, as a line shows it."""

    @property
    def name(self) -> str:
        """Its name."""

    @property
    def summary(self) -> str:
        """How far it is, in one line."""

    @property
    def running(self) -> bool:
        """Whether it runs."""

    def count_ended(self) -> tuple[int, int]:
        """Return how many points have ended, and how many there are."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]: ...


class Line(Protocol):
    """A line that shows how far a sweep is."""

    def update(self) -> None:
        """Show how far it is now."""

    def close(self) -> None:
        """Show how it ended."""


class TerminalLine:
    """A line in a terminal.

    Args:
        sweep: The sweep.
        stream: The terminal.
    """

    def __init__(self, sweep: SweepStatus, stream: TextIO) -> None:
        self._sweep = sweep
        self._stream = stream
        self._length = 0

    def update(self) -> None:
        """Rewrite the line."""
        text = f"{format_bar(self._sweep)} {self._sweep.summary}"[:200]
        self._stream.write(f"\r{text.ljust(self._length)}")
        self._stream.flush()
        self._length = len(text)

    def close(self) -> None:
        """Write the last state, and end the line."""
        self.update()
        self._stream.write("\n")


class NoLine:
    """Shows nothing: the output is a file."""

    def update(self) -> None:
        """Show nothing."""

    def close(self) -> None:
        """Show nothing."""


def format_bar(sweep: SweepStatus) -> str:
    """Format how many points have ended as a bar: `████░░░░`."""
    ended, count = sweep.count_ended()
    full = _BAR * ended // max(count, 1)
    return "█" * full + "░" * (_BAR - full)


def open_line(sweep: SweepStatus) -> Line:
    """Return the line for where this program runs."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    if getattr(shell, "kernel", None) is not None:
        from comfykit_jupyter.notebook.explorer.sweep_line import open_notebook_line

        return open_notebook_line(sweep) or NoLine()
    return TerminalLine(sweep, sys.stderr) if sys.stderr.isatty() else NoLine()


def wait_with_line(
    sweep: SweepStatus, outcome: Future[None], timeout: float | None, pause: Callable[[], object]
) -> None:
    """Wait until a sweep has ended, and show how far it is.

    Args:
        sweep: The sweep.
        outcome: Its end.
        timeout: Seconds to wait; None waits as long as it takes.
        pause: Called after ■ or Ctrl-C.

    Raises:
        TimeoutError: It takes longer.
        KeyboardInterrupt: ■ or Ctrl-C was pressed.
    """
    line = open_line(sweep)
    deadline = None if timeout is None else time.monotonic() + timeout
    try:
        while not outcome.done():
            left = INTERVAL if deadline is None else min(INTERVAL, deadline - time.monotonic())
            with contextlib.suppress(TimeoutError):
                loop.wait(outcome, max(left, 0.001))
            line.update()
            if deadline is not None and time.monotonic() > deadline and sweep.running:
                raise TimeoutError(f"not done within {timeout:g} s, the sweep continues: {sweep.summary}")
        outcome.result()
    except KeyboardInterrupt:
        pause_after_interrupt(pause)
        raise
    finally:
        line.close()


def pause_after_interrupt(pause: Callable[[], object]) -> None:
    """Pause a sweep after ■ or Ctrl-C, and say how to continue."""
    pause()
    logger.warning("the sweep is paused; the points that run end. start() continues, stop(now=True) cancels them")
