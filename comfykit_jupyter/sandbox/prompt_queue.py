"""The queue of prompts and the history of those that ran, behind one lock: a job is always in exactly one of them."""

from __future__ import annotations

import heapq
import itertools
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

MAX_HISTORY = 10_000


@dataclass(eq=False)
class Job:
    """One prompt that was accepted. A job is itself and no other, even with the same `prompt_id`."""

    number: float
    """Its place in the queue: smaller numbers run first."""
    prompt_id: str
    prompt: dict[str, Any]
    extra_data: dict[str, Any]
    outputs: list[str]
    """The output nodes that are to run."""
    cancelled: threading.Event = field(default_factory=threading.Event)

    @property
    def client_id(self) -> str | None:
        """The client that is told how the run goes."""
        client_id = self.extra_data.get("client_id")
        return client_id if isinstance(client_id, str) else None

    def to_item(self) -> list[Any]:
        """The job as `/queue` and `/history` show it."""
        return [self.number, self.prompt_id, self.prompt, self.extra_data, self.outputs]


class PromptQueue:
    """Jobs that wait, the one that runs, and what became of the last 10,000. All methods may be called by any thread.

    Args:
        changed: called with the number of jobs that wait or run, whenever it may have changed, and in that order.
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
        """Let a job wait for its turn."""
        with self._condition:
            heapq.heappush(self._waiting, (job.number, next(self._arrivals), job))
            self._notify()
            self._condition.notify()

    def get(self) -> Job | None:
        """Wait for the next job, which is running from then on; None when the queue is closed."""
        with self._condition:
            self._condition.wait_for(lambda: self._waiting or self._closed)
            if self._closed:
                return None
            _, _, job = heapq.heappop(self._waiting)
            self._running.append(job)
            self._notify()
            return job

    def finish(self, job: Job, entry: dict[str, Any]) -> None:
        """Move a job from the running ones to the history."""
        with self._condition:
            self._running.remove(job)
            self._history.pop(job.prompt_id, None)
            while len(self._history) >= MAX_HISTORY:
                del self._history[next(iter(self._history))]
            self._history[job.prompt_id] = entry
            self._notify()

    def close(self) -> None:
        """Let nothing start any more, and interrupt what runs."""
        with self._condition:
            self._closed = True
            for job in self._running:
                job.cancelled.set()
            self._condition.notify_all()

    def count_remaining(self) -> int:
        """How many jobs wait or run."""
        with self._condition:
            return len(self._waiting) + len(self._running)

    def list_running(self) -> list[Job]:
        """The jobs that run: one or none."""
        with self._condition:
            return list(self._running)

    def list_waiting(self) -> list[Job]:
        """The jobs that wait, in no particular order."""
        with self._condition:
            return [job for _, _, job in self._waiting]

    def delete(self, prompt_ids: Collection[str]) -> bool:
        """Drop jobs that wait; False if there was none of them."""
        return self._drop(lambda job: job.prompt_id in prompt_ids)

    def clear(self) -> None:
        """Drop all jobs that wait."""
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
        """Interrupt the job with this id if it runs, or without an id whatever runs; False if there is none."""
        with self._condition:
            targets = [job for job in self._running if prompt_id in {None, job.prompt_id}]
            for job in targets:
                job.cancelled.set()
            return bool(targets)

    def list_history(self, max_items: int | None = None, offset: int = -1) -> dict[str, dict[str, Any]]:
        """What became of jobs, oldest first: `max_items` of them from `offset` on, or the newest without an offset."""
        with self._condition:
            ids = list(self._history)
            if offset < 0:
                offset = 0 if max_items is None else max(0, len(ids) - max_items)
            end = None if max_items is None else offset + max_items
            return {prompt_id: self._history[prompt_id] for prompt_id in ids[offset:end]}

    def find_history(self, prompt_id: str) -> dict[str, Any] | None:
        """What became of one job; None if it is not known, or has not ended."""
        with self._condition:
            return self._history.get(prompt_id)

    def take_snapshot(self) -> tuple[list[Job], list[Job], dict[str, dict[str, Any]]]:
        """The jobs that wait, those that run, and the history, all at one moment."""
        with self._condition:
            return [job for _, _, job in self._waiting], list(self._running), dict(self._history)

    def forget(self, prompt_ids: Collection[str] | None = None) -> None:
        """Drop jobs, or without ids all of them, from the history."""
        with self._condition:
            for prompt_id in list(self._history) if prompt_ids is None else prompt_ids:
                self._history.pop(prompt_id, None)

    def _notify(self) -> None:
        self._on_change(len(self._waiting) + len(self._running))
