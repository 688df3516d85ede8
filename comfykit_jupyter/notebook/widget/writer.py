"""The one writer of traits: a thread of its own, between the runs on the background loop and the widgets.

The loop must not wait for a widget, and traitlets is not made for several threads. So whatever changes a widget comes
here as a job, and the jobs run one after the other. Of what changes many times a second only the newest is kept.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Hashable

logger = logging.getLogger(__name__)

Job = Callable[[], None]


class Writer:
    """Runs jobs in order in one daemon thread, which is started with the first of them."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._offers: dict[Hashable, tuple[float, Job]] = {}
        self._ran: dict[Hashable, float] = {}
        self._thread: threading.Thread | None = None

    def post(self, job: Job) -> None:
        """Run a job, after those posted before it. From any thread; returns at once."""
        with self._changed:
            self._jobs.append(job)
            self._wake()

    def offer(self, key: Hashable, job: Job, interval: float) -> None:
        """Run a job, unless a newer one of the same key comes first.

        Args:
            key: what the job is about: a newer offer of the same key takes its place.
            job: as for `post`.
            interval: seconds between two jobs of this key, at least.
        """
        with self._changed:
            self._offers[key] = (self._ran.get(key, 0.0) + interval, job)
            self._wake()

    def settle(self, key: Hashable) -> None:
        """Let the offer of a key run now, as if it had been posted, and forget the key."""
        with self._changed:
            self._ran.pop(key, None)
            if (offered := self._offers.pop(key, None)) is not None:
                self._jobs.append(offered[1])
                self._wake()

    def drop(self, key: Hashable) -> None:
        """Forget a key, and what was offered for it."""
        with self._changed:
            self._ran.pop(key, None)
            self._offers.pop(key, None)

    def drain(self, timeout: float) -> bool:
        """Wait until all that was posted before has run; False when that took longer than `timeout` seconds."""
        done = threading.Event()
        self.post(done.set)
        return done.wait(timeout)

    def _wake(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._serve, name="comfykit-writer", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _serve(self) -> None:
        while True:
            job = self._next()
            try:
                job()
            except Exception:
                logger.exception("an observer, or the writer of a widget, failed")

    def _next(self) -> Job:
        with self._changed:
            while True:
                if self._jobs:
                    return self._jobs.popleft()
                now = time.monotonic()
                key = min(self._offers, key=lambda key: self._offers[key][0], default=None)
                if key is not None and self._offers[key][0] <= now:
                    self._ran[key] = now
                    return self._offers.pop(key)[1]
                self._changed.wait(None if key is None else self._offers[key][0] - now)


writer = Writer()
"""The writer of all widgets of this process."""
