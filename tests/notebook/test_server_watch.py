"""Test the checks of a form's server: one thread, however often they are asked for."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest

from comfykit_jupyter.notebook.widget import server_watch
from comfykit_jupyter.notebook.widget.server_watch import ServerWatch

PATIENCE = 20.0


def wait_until(fulfilled: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not fulfilled():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def count_threads() -> int:
    return sum(thread.name == "comfykit-watch" for thread in threading.enumerate())


def test_many_requests_use_one_thread_that_ends() -> None:
    before, answered = count_threads(), threading.Event()
    checks: list[int] = []

    def check() -> bool:
        checks.append(count_threads() - before)
        answered.wait(PATIENCE)
        return False

    watch = ServerWatch(check)
    for _ in range(8000):
        watch.check_now()
    wait_until(lambda: bool(checks))
    watch.check_now()  # during a check: one more follows, and no more than one
    watch.check_now()
    answered.set()
    wait_until(lambda: count_threads() == before)
    assert checks == [1, 1]
    watch.check_now()  # a new thread does it
    wait_until(lambda: len(checks) == 3)


def test_checks_repeat_until_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server_watch, "FIRST_SECONDS", 0.001)
    monkeypatch.setattr(server_watch, "MAX_SECONDS", 0.002)
    before = count_threads()
    checks: list[None] = []

    def check() -> bool:
        checks.append(None)
        if len(checks) == 5:
            watch.stop()
        return len(checks) < 5

    watch = ServerWatch(check)
    watch.start()
    wait_until(lambda: len(checks) == 5 and count_threads() == before)


def test_check_that_fails_is_logged_and_the_watch_still_works(caplog: pytest.LogCaptureFixture) -> None:
    before = count_threads()
    watch = ServerWatch(lambda: bool(1 / 0))
    for _ in range(2):
        watch.check_now()
        wait_until(lambda: count_threads() == before)
    assert caplog.text.count("a check of the server failed") == 2
