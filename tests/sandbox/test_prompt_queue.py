"""The queue and the history, without a server."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.sandbox import prompt_queue
from comfykit_jupyter.sandbox.prompt_queue import Job, PromptQueue


def job(prompt_id: str, number: float = 0) -> Job:
    return Job(number, prompt_id, {}, {}, [])


def entry(prompt_id: str) -> dict[str, Any]:
    return {"of": prompt_id}


@given(st.lists(st.floats(-10, 10)))
def test_jobs_run_by_their_number_and_then_as_they_came(numbers: list[float]) -> None:
    queue = PromptQueue(lambda _: None)
    for place, number in enumerate(numbers):
        queue.put(job(str(place), number))
    ran = [queue.get() for _ in numbers]
    assert [one.prompt_id for one in ran if one is not None] == [
        str(place) for place, _ in sorted(enumerate(numbers), key=lambda pair: pair[1])
    ]


def test_only_the_newest_jobs_are_remembered() -> None:
    queue = PromptQueue(lambda _: None)
    for number in range(prompt_queue.MAX_HISTORY + 5):
        queue.put(job(str(number), number))
        running = queue.get()
        assert running is not None
        queue.finish(running, entry(str(number)))
    history = queue.list_history()
    assert len(history) == prompt_queue.MAX_HISTORY
    assert next(iter(history)) == "5"


def test_each_change_is_told_with_the_number_of_jobs() -> None:
    told: list[int] = []
    queue = PromptQueue(told.append)
    queue.put(job("a"))
    queue.put(job("b"))
    running = queue.get()
    queue.delete(["b"])
    queue.delete(["unknown"])
    assert running is not None
    queue.finish(running, entry("a"))
    assert told == [1, 2, 2, 1, 0]


def test_two_jobs_with_one_id_are_two_jobs() -> None:
    queue = PromptQueue(lambda _: None)
    queue.put(job("same"))
    queue.put(job("same"))
    first, second = queue.get(), queue.get()
    assert first is not None
    assert second is not None
    queue.finish(first, entry("first"))
    assert queue.list_running() == [second]
    queue.finish(second, entry("second"))
    assert queue.list_history() == {"same": entry("second")}


def test_closing_ends_the_wait_for_a_job_and_interrupts_what_runs() -> None:
    queue = PromptQueue(lambda _: None)
    queue.put(job("runs"))
    running = queue.get()
    got: list[Job | None] = []
    waiter = threading.Thread(target=lambda: got.append(queue.get()))
    waiter.start()
    queue.close()
    waiter.join(10)
    assert got == [None]
    assert running is not None
    assert running.cancelled.is_set()
