"""Progress of a run as a line of text, where no widget can be shown."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol, TextIO

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.workflow.progress.progress import Progress

INTERVAL = 0.5
"""Seconds between two updates, each of which is a message to the page."""
_BAR = 24
"""Characters of the bar."""
_LENGTH = 120
"""Characters of the line."""


class Bar(Protocol):
    """Shows a line of text, and replaces it."""

    def write(self, text: str) -> None:
        """Replace the line."""

    def close(self) -> None:
        """Leave room for what comes next."""


class TerminalBar:
    """A line that is rewritten in place.

    Args:
        stream: The terminal.
    """

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._length = 0

    def write(self, text: str) -> None:
        """Replace the line."""
        text = text[: self._get_width()]
        self._stream.write(f"\r{text.ljust(self._length)}")
        self._stream.flush()
        self._length = len(text)

    def _get_width(self) -> int:
        """Return how many characters fit in a line: a line that the terminal wraps can't be rewritten."""
        try:
            columns = os.get_terminal_size(self._stream.fileno()).columns
        except (OSError, ValueError):
            return _LENGTH
        return columns - 1 if columns else _LENGTH

    def close(self) -> None:
        """End the line."""
        if self._length:
            self._stream.write("\n")
            self._stream.flush()


class CellBar:
    """A line in the output of a cell, which the result replaces.

    Args:
        replace: Replaces the output of the cell by a MIME bundle.
    """

    def __init__(self, replace: Callable[[dict[str, str]], None]) -> None:
        self._replace = replace

    def write(self, text: str) -> None:
        """Replace the line."""
        self._replace({"text/plain": text})

    def close(self) -> None:
        """Do nothing: the result takes the place of the line."""


def format_progress(title: str, progress: Progress) -> str:
    """Format how far a run is: `portrait ████░░░░  50% KSampler 10/20 · 2 of 7 nodes · 0:08`."""
    full = min(_BAR, max(0, int(_BAR * progress.fraction)))
    bar = "█" * full + "░" * (_BAR - full)
    return f"{title} {bar} {progress.fraction:4.0%} {progress}"[:_LENGTH]


@contextmanager
def show_as_text(run: Run, title: str, bar: Bar) -> Iterator[None]:
    """Show a run as a line of text during a `with` block."""
    last = 0.0

    def update(progress: Progress) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last >= INTERVAL:
            last = now
            bar.write(format_progress(title, progress))

    stop = run.subscribe(progress=update)
    try:
        yield
    finally:
        stop()
        bar.close()


def find_terminal() -> TextIO | None:
    """Return the terminal that shows errors; None if they go into a file or a pipe."""
    return sys.stderr if sys.stderr is not None and sys.stderr.isatty() else None
