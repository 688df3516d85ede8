"""Check a server repeatedly: soon at first, then less and less often."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

logger = logging.getLogger(__name__)

FIRST_SECONDS = 1.0
"""Time to the first check; it doubles with each check."""
MAX_SECONDS = 60.0
"""Time between two checks, at most."""


class ServerWatch:
    """Calls a check in a thread of its own, since the server may not answer. The thread lasts until none is scheduled.

    Args:
        check: Called for each check, never twice at once. Returns whether to check again.
    """

    def __init__(self, check: Callable[[], bool]) -> None:
        self._check = check
        self._changed = threading.Condition()
        self._due: float | None = None
        self._thread: threading.Thread | None = None
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
        with self._changed:
            self._due = None
            self._changed.notify()

    def _schedule(self, seconds: float) -> None:
        """Check after some seconds, and not before."""
        with self._changed:
            self._due = time.monotonic() + seconds
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="comfykit-watch", daemon=True)
                self._thread.start()
            self._changed.notify()

    def _run(self) -> None:
        while self._wait_until_due():
            try:
                again = self._check()
            except Exception:
                logger.exception("a check of the server failed")
                again = False
            if again:
                self._schedule_again()

    def _schedule_again(self) -> None:
        with self._changed:
            if self._due is None:
                self._due = time.monotonic() + self._pause
                self._pause = min(2 * self._pause, MAX_SECONDS)

    def _wait_until_due(self) -> bool:
        """Wait for the time of the next check; return False, and end the thread, if none is scheduled."""
        with self._changed:
            while self._due is not None:
                left = self._due - time.monotonic()
                if left <= 0:
                    self._due = None
                    return True
                self._changed.wait(left)
            self._thread = None
            return False
