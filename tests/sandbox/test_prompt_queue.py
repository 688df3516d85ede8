"""The queue and the history, without a server."""

from __future__ import annotations

import threading
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.sandbox import prompt_queue
from comfykit_jupyter.sandbox.prompt_queue import Job, PromptQueue


def make_job(prompt_id: str, number: float = 0) -> Job:
    return Job(number, prompt_id, {}, {}, [])


def make_entry(prompt_id: str) -> dict[str, Any]:
    return {"of": prompt_id}


@given(st.lists(st.floats(-10, 10)))
def test_jobs_run_in_order_of_number_then_arrival(numbers: list[float]) -> None:
    queue = PromptQueue(lambda _: None)
    for place, number in enumerate(numbers):
        queue.put(make_job(str(place), number))
    ran = [queue.get() for _ in numbers]
    assert [one.prompt_id for one in ran if one is not None] == [
        str(place) for place, _ in sorted(enumerate(numbers), key=lambda pair: pair[1])
    ]


def test_the_history_keeps_only_the_newest_jobs() -> None:
    queue = PromptQueue(lambda _: None)
    for number in range(prompt_queue.MAX_HISTORY + 5):
        queue.put(make_job(str(number), number))
        running = queue.get()
        assert running is not None
        queue.finish(running, make_entry(str(number)))
    history = queue.list_history()
    assert len(history) == prompt_queue.MAX_HISTORY
    assert next(iter(history)) == "5"


def test_each_change_reports_the_number_of_jobs() -> None:
    counts: list[int] = []
    queue = PromptQueue(counts.append)
    queue.put(make_job("a"))
    queue.put(make_job("b"))
    running = queue.get()
    queue.delete(["b"])
    queue.delete(["unknown"])
    assert running is not None
    queue.finish(running, make_entry("a"))
    assert counts == [1, 2, 2, 1, 0]


def test_two_jobs_with_the_same_id_stay_separate() -> None:
    queue = PromptQueue(lambda _: None)
    queue.put(make_job("same"))
    queue.put(make_job("same"))
    first, second = queue.get(), queue.get()
    assert first is not None
    assert second is not None
    queue.finish(first, make_entry("first"))
    assert queue.list_running() == [second]
    queue.finish(second, make_entry("second"))
    assert queue.list_history() == {"same": make_entry("second")}


def test_close_ends_waiting_and_interrupts_the_running_job() -> None:
    queue = PromptQueue(lambda _: None)
    queue.put(make_job("runs"))
    running = queue.get()
    got: list[Job | None] = []
    waiter = threading.Thread(target=lambda: got.append(queue.get()))
    waiter.start()
    queue.close()
    waiter.join(10)
    assert got == [None]
    assert running is not None
    assert running.cancelled.is_set()
