"""The live line of a sweep: in a terminal it is rewritten in place, in a notebook it becomes the grid."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.sweep import Sweep

INTERVAL = 0.25
"""Seconds between two updates."""
_BAR = 24


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

    def __init__(self, sweep: Sweep, stream: TextIO) -> None:
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


def format_bar(sweep: Sweep) -> str:
    """Format how many points have ended as a bar: `████░░░░`."""
    states = sweep.states
    ended = sum(state not in ("waiting", "running") for state in states)
    full = _BAR * ended // max(len(states), 1)
    return "█" * full + "░" * (_BAR - full)


def open_line(sweep: Sweep) -> Line:
    """Return the line for where this program runs."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    if getattr(shell, "kernel", None) is not None:
        from comfykit_jupyter.notebook.sweep_line import NotebookLine

        return NotebookLine(sweep)
    return TerminalLine(sweep, sys.stderr) if sys.stderr.isatty() else NoLine()
