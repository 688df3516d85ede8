"""The one background event loop: all of our I/O runs on it, in a daemon thread.

It is the only way that works in a script, a cell, a callback and every ipykernel alike: the caller's own loop may be
absent, running, patched or blocked. `call` waits for a coroutine from a thread, `await_on_loop` from another loop. When
the caller leaves, both cancel the coroutine and wait a moment for its last requests to the server.
"""

from __future__ import annotations

import asyncio
import concurrent.futures
import os
import threading
from collections.abc import Awaitable, Coroutine
from typing import Any, Generic, TypeVar

from comfykit_jupyter.workflow.errors import hide_frames, strip_traceback

T = TypeVar("T")

FAREWELL = 5.0
"""Seconds that a cancelled coroutine has for its last requests, such as cancelling the job on the server."""

HEARTBEAT = 0.05
"""Seconds between two looks at a quiet wait: a notebook's ■ reaches an awaiting cell only when its loop wakes up, and
on Windows a thread that waits for a lock without a limit can't be interrupted at all."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def get_loop() -> asyncio.AbstractEventLoop:
    """The background loop, started on first use, and anew in a forked process."""
    global _loop, _thread
    with _lock:
        if _loop is None or _thread is None or not _thread.is_alive():
            _loop = asyncio.new_event_loop()
            _thread = threading.Thread(target=_serve, args=(_loop,), name="comfykit-loop", daemon=True)
            _thread.start()
        return _loop


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    asyncio.set_event_loop(loop)
    loop.run_forever()


def _forked() -> None:
    global _loop, _thread, _lock
    _lock = threading.Lock()
    _loop = _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forked)


class BackgroundTask(Generic[T]):
    """A coroutine under way on the background loop, and its outcome for other threads."""

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._coroutine = coroutine
        self._task: asyncio.Task[T] | None = None
        self._cancelled = False
        self._loop = get_loop()
        self._loop.call_soon_threadsafe(self._start)

    def cancel(self) -> None:
        """Cancel the coroutine, once: a second call does not disturb its last requests. `outcome` is set at its end."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _start(self) -> None:
        self._task = self._loop.create_task(self._coroutine)
        self._task.add_done_callback(self._done)

    def _cancel(self) -> None:
        if self._task is not None and not self._cancelled:
            self._cancelled = True
            self._loop.call_soon(self._task.cancel)  # after its first step: one that never began could not tell its end

    def _done(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.set_exception(concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            strip_traceback(error)
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


def call(coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Run a coroutine on the background loop and wait for it, in any other thread.

    Args:
        coroutine: what to run.
        timeout: seconds to wait; None waits for ever.

    Raises:
        RuntimeError: called on the background loop's own thread, where waiting would never end.
        TimeoutError: the time is over; the coroutine has been cancelled.
        KeyboardInterrupt: Ctrl-C or ■; the coroutine has been cancelled, and was given a moment for its last requests.
    """
    if is_loop_thread():
        coroutine.close()
        raise RuntimeError("a blocking call in a callback would wait for itself: use `await`, or another thread")
    job = BackgroundTask(coroutine)
    try:
        return wait(job.outcome, timeout)
    except concurrent.futures.CancelledError:
        raise
    except (KeyboardInterrupt, TimeoutError):
        if not job.outcome.done():
            job.cancel()
            concurrent.futures.wait([job.outcome], FAREWELL)
        raise


def wait(outcome: concurrent.futures.Future[T], timeout: float | None = None) -> T:
    """The result of a future, waited for in slices, so that Ctrl-C gets through everywhere.

    Raises:
        TimeoutError: it took longer than `timeout` seconds.
    """
    left = timeout
    while True:
        slice_ = 5 * HEARTBEAT if left is None else min(left, 5 * HEARTBEAT)
        try:
            concurrent.futures.wait([outcome], slice_)
        except KeyboardInterrupt as interrupt:
            hide_frames(interrupt)
            raise
        if outcome.done():
            return outcome.result()
        if left is not None:
            left -= slice_
            if left <= 0:
                raise TimeoutError(f"no answer within {timeout:g} s")


async def await_on_loop(work: Coroutine[Any, Any, T] | BackgroundTask[T], *, leave: bool = False) -> T:
    """Await, on the caller's loop, what runs on the background loop.

    Cancelling the caller cancels it; with `leave` it goes on.
    """
    job = work if isinstance(work, BackgroundTask) else BackgroundTask(work)
    waiter = asyncio.ensure_future(asyncio.wrap_future(job.outcome))
    try:
        while not waiter.done():
            await asyncio.wait({waiter}, timeout=HEARTBEAT)
    except BaseException as error:
        hide_frames(error)
        if leave:  # the waiter is left alone: cancelled, it would cancel what it waits for
            raise
        job.cancel()
        await asyncio.wait({waiter}, timeout=FAREWELL)
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # seen: the caller is told of its own cancellation instead
        raise
    return waiter.result()


async def wait_for(work: Awaitable[T], seconds: float) -> T:
    """The result of something, if it is there in time.

    `asyncio.wait_for` loses, before Python 3.12, a cancellation that comes at the same moment as the result: whoever
    pressed ■ would go on waiting.

    Raises:
        asyncio.TimeoutError: it is not; it has been cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # seen: the caller is told of its own cancellation instead
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()


def is_loop_thread() -> bool:
    """Whether the caller runs on the background loop's thread."""
    return _thread is not None and threading.get_ident() == _thread.ident
