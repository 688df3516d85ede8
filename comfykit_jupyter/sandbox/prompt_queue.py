"""The job queue and the history, behind one lock: a job is always in exactly one of them."""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MAX_HISTORY = 10_000
"""Number of finished jobs that the history keeps."""


@dataclass(eq=False)
class Job:
    """An accepted prompt. Two jobs are different even if they have the same `prompt_id`."""

    number: float
    """Position in the queue: smaller numbers run first."""
    prompt_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]
    """IDs of the output nodes to run."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def client_id(self) -> str | None:
        """ID of the client that gets the messages about this job."""
        client_id = self.extra_data.get("client_id")
        return client_id if isinstance(client_id, str) else None

    def to_item(self) -> list[Any]:
        """Return the job in the format of `/queue` and `/history`."""
        return [self.number, self.prompt_id, self.prompt, self.extra_data, self.outputs]


class PromptQueue:
    """The queued jobs, the running job and the history. All methods are thread-safe.

    Args:
        on_change: Called, in order, with the number of queued and running jobs whenever it may have changed.
    """

    def __init__(self, on_change: Callable[[int], None]) -> None:
        self._on_change = on_change
        self._condition = threading.Condition()
        self._arrivals = itertools.count()
        self._waiting: list[tuple[float, int, Job]] = []
        self._running: list[Job] = []
        self._history: dict[str, dict[str, Any]] = {}
        self._closed = False

    def put(self, job: Job) -> None:
        """Add a job to the queue."""
        with self._condition:
            heapq.heappush(self._waiting, (job.number, next(self._arrivals), job))
            self._notify()
            self._condition.notify()

    def get(self) -> Job | None:
        """Wait for the next job and mark it as running; return None when the queue is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            _, _, job = heapq.heappop(self._waiting)
            self._running.append(job)
            self._notify()
            return job

    def finish(self, job: Job, entry: dict[str, Any]) -> None:
        """Move a running job to the history."""
        with self._condition:
            self._running.remove(job)
            self._history.pop(job.prompt_id, None)
            while len(self._history) >= MAX_HISTORY:
                del self._history[next(iter(self._history))]
            self._history[job.prompt_id] = entry
            self._notify()

    def close(self) -> None:
        """Start no more jobs and interrupt the running one."""
        with self._condition:
            self._closed = True
            for job in self._running:
                job.cancelled.set()
            self._condition.notify_all()

    def count_remaining(self) -> int:
        """Return the number of queued and running jobs."""
        with self._condition:
            return len(self._waiting) + len(self._running)

    def list_running(self) -> list[Job]:
        """Return the running jobs: one or none."""
        with self._condition:
            return list(self._running)

    def list_waiting(self) -> list[Job]:
        """Return the queued jobs in no particular order."""
        with self._condition:
            return [job for _, _, job in self._waiting]

    def delete(self, prompt_ids: Collection[str]) -> bool:
        """Remove queued jobs; return whether there were any."""
        return self._drop(lambda job: job.prompt_id in prompt_ids)

    def clear(self) -> None:
        """Remove all queued jobs."""
        self._drop(lambda _: True)

    def _drop(self, unwanted: Callable[[Job], bool]) -> bool:
        with self._condition:
            kept = [entry for entry in self._waiting if not unwanted(entry[2])]
            dropped = len(kept) < len(self._waiting)
            if dropped:
                heapq.heapify(kept)
                self._waiting = kept
                self._notify()
            return dropped

    def interrupt(self, prompt_id: str | None = None) -> bool:
        """Interrupt the running job if it has this ID, or any job without one; return whether there was one."""
        with self._condition:
            targets = [job for job in self._running if prompt_id in {None, job.prompt_id}]
            for job in targets:
                job.cancelled.set()
            return bool(targets)

    def list_history(self, max_items: int | None = None, offset: int = -1) -> dict[str, dict[str, Any]]:
        """Return history entries by prompt ID, oldest first.

        Args:
            max_items: Number of entries; by default all.
            offset: Index of the first entry; if negative, the newest entries are returned.
        """
        with self._condition:
            ids = list(self._history)
            if offset < 0:
                offset = 0 if max_items is None else max(0, len(ids) - max_items)
            end = None if max_items is None else offset + max_items
            return {prompt_id: self._history[prompt_id] for prompt_id in ids[offset:end]}

    def find_history(self, prompt_id: str) -> dict[str, Any] | None:
        """Return one job's history entry, or None if the job is unknown or not finished."""
        with self._condition:
            return self._history.get(prompt_id)

    def take_snapshot(self) -> tuple[list[Job], list[Job], dict[str, dict[str, Any]]]:
        """Return the queued jobs, the running jobs and the history, all at one moment."""
        with self._condition:
            return [job for _, _, job in self._waiting], list(self._running), dict(self._history)

    def forget(self, prompt_ids: Collection[str] | None = None) -> None:
        """Remove these jobs, or all of them, from the history."""
        with self._condition:
            for prompt_id in list(self._history) if prompt_ids is None else prompt_ids:
                self._history.pop(prompt_id, None)

    def _notify(self) -> None:
        self._on_change(len(self._waiting) + len(self._running))
