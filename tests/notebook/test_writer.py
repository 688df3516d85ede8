"""Test the writer: jobs run in order, newer offers replace older ones, and the last is never lost."""

from __future__ import annotations

import logging
import threading
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from comfykit_jupyter.notebook.page.writer import Writer


def hold(writer: Writer, until: threading.Event) -> None:
    """Keep the writer busy until an event is set."""

    def wait() -> None:
        until.wait(20)

    writer.post(wait)


@given(st.lists(st.integers(), max_size=50))
def test_jobs_run_in_order_in_one_thread(numbers: list[int]) -> None:
    writer = Writer()
    seen: list[tuple[int, int]] = []

    def note(number: int) -> None:
        seen.append((number, threading.get_ident()))

    for number in numbers:
        writer.post(partial(note, number))
    assert writer.drain(20)
    assert [number for number, _ in seen] == numbers
    assert len({thread for _, thread in seen}) <= 1


def test_newest_offer_runs_and_the_last_is_never_lost() -> None:
    writer, busy = Writer(), threading.Event()
    seen: list[int] = []
    hold(writer, busy)
    for number in range(1000):
        writer.offer("progress", partial(seen.append, number), 0.01)
    writer.settle("progress")
    busy.set()
    assert writer.drain(20)
    assert seen == [999]


def test_offers_of_one_key_keep_their_interval_and_other_keys_do_not_wait() -> None:
    writer, seen = Writer(), threading.Event()
    first = threading.Event()
    writer.offer("slow", first.set, 1000.0)
    assert first.wait(20)
    writer.offer("slow", lambda: pytest.fail("came too soon"), 1000.0)
    writer.offer("other", seen.set, 1000.0)
    assert seen.wait(20)


def test_dropped_offer_never_runs() -> None:
    writer, busy = Writer(), threading.Event()
    hold(writer, busy)
    writer.offer("preview", lambda: pytest.fail("was dropped"), 0.0)
    writer.drop("preview")
    busy.set()
    assert writer.drain(20)


def test_job_that_fails_is_logged_and_the_next_one_runs(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise ZeroDivisionError

    writer = Writer()
    with caplog.at_level(logging.ERROR, logger="comfykit_jupyter"):
        writer.post(fail)
        assert writer.drain(20)
    assert "ZeroDivisionError" in caplog.text
