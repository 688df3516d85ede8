"""Looking at something again and again, soon at first and then seldom, for as long as that is wanted."""

from __future__ import annotations

import threading
from collections.abc import Callable

FIRST, MOST = 1.0, 60.0
"""Seconds between two looks: the first, and the most as they double."""


class Watch:
    """Looks in a thread of its own, as what is looked at may not answer.

    Args:
        look: called for each look, never twice at once; it tells whether to look again.
    """

    def __init__(self, look: Callable[[], bool]) -> None:
        self._look = look
        self._looking = threading.Lock()
        self._timer: threading.Timer | None = None
        self._pause = FIRST

    def begin(self) -> None:
        """Look in a while."""
        self._look_in(self._pause)

    def now(self) -> None:
        """Look at once, and as often as in the beginning."""
        self._pause = FIRST
        self._look_in(0)

    def stop(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()

    def _look_in(self, seconds: float) -> None:
        """Look after some seconds, and not before."""
        self.stop()
        self._timer = threading.Timer(seconds, self._once)
        self._timer.daemon = True
        self._timer.start()

    def _once(self) -> None:
        with self._looking:  # what is told last was seen last
            again = self._look()
        if again:
            self._look_in(self._pause)
            self._pause = min(2 * self._pause, MOST)
