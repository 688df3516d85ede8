"""Check a server repeatedly: soon at first, then less and less often."""

from __future__ import annotations

import threading
from collections.abc import Callable

FIRST_SECONDS = 1.0
"""Time to the first check; it doubles with each check."""
MAX_SECONDS = 60.0
"""Time between two checks, at most."""


class ServerWatch:
    """Calls a check in a thread of its own, since the server may not answer.

    Args:
        check: Called for each check, never twice at once. Returns whether to check again.
    """

    def __init__(self, check: Callable[[], bool]) -> None:
        self._check = check
        self._checking = threading.Lock()
        self._timer: threading.Timer | None = None
        self._pause = FIRST_SECONDS

    def start(self) -> None:
        """Schedule the first check."""
        self._schedule(self._pause)

    def check_now(self) -> None:
        """Check at once, and often again from now on."""
        self._pause = FIRST_SECONDS
        self._schedule(0)

    def stop(self) -> None:
        """Stop checking."""
        if self._timer is not None:
            self._timer.cancel()

    def _schedule(self, seconds: float) -> None:
        """Check after some seconds, and not before."""
        self.stop()
        self._timer = threading.Timer(seconds, self._run)
        self._timer.daemon = True
        self._timer.start()

    def _run(self) -> None:
        with self._checking:  # so that reports come in the order of the checks
            again = self._check()
        if again:
            self._schedule(self._pause)
            self._pause = min(2 * self._pause, MAX_SECONDS)
