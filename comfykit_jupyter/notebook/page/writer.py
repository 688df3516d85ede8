"""Write traits in one thread, between the runs on the background loop and the widgets.

The loop must not wait for a widget, and traitlets is not thread-safe. So every change of a widget is posted here as a
job, and the jobs run one after the other. Of what changes many times a second, only the newest job is kept.
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
    """Runs jobs in order in one daemon thread, which starts with the first job."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._jobs: deque[Job] = deque()
        self._offers: dict[Hashable, tuple[float, Job]] = {}
        self._ran: dict[Hashable, float] = {}
        self._thread: threading.Thread | None = None

    def post(self, job: Job) -> None:
        """Run a job after those posted before it. Can be called from any thread; returns at once."""
        with self._changed:
            self._jobs.append(job)
            self._wake_thread()

    def offer(self, key: Hashable, job: Job, interval: float) -> None:
        """Run a job, unless a newer one of the same key comes first.

        Args:
            key: What the job updates. A newer offer with the same key replaces it.
            job: The job.
            interval: Seconds between two jobs with this key, at least.
        """
        with self._changed:
            self._offers[key] = (self._ran.get(key, 0.0) + interval, job)
            self._wake_thread()

    def settle(self, key: Hashable) -> None:
        """Post the job that was offered for a key, if any, and forget the key."""
        with self._changed:
            self._ran.pop(key, None)
            if (offered := self._offers.pop(key, None)) is not None:
                self._jobs.append(offered[1])
                self._wake_thread()

    def drop(self, key: Hashable) -> None:
        """Forget a key, and the job that was offered for it."""
        with self._changed:
            self._ran.pop(key, None)
            self._offers.pop(key, None)

    def drain(self, timeout: float) -> bool:
        """Wait until all jobs posted before have run; return False if that takes longer than `timeout` seconds."""
        done = threading.Event()
        self.post(done.set)
        return done.wait(timeout)

    def _wake_thread(self) -> None:
        if self._thread is None or not self._thread.is_alive():
            self._thread = threading.Thread(target=self._run_jobs, name="comfykit-writer", daemon=True)
            self._thread.start()
        self._changed.notify_all()

    def _run_jobs(self) -> None:
        while True:
            job = self._wait_for_job()
            try:
                job()
            except Exception:
                logger.exception("an observer, or an update of a widget, failed")

    def _wait_for_job(self) -> Job:
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
