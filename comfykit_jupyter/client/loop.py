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
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Generic, TypeVar

from comfykit_jupyter.workflow.errors import hide_frames, strip_traceback

T = TypeVar("T")

GRACE_PERIOD = 5.0
"""Seconds that a cancelled coroutine has for its last requests, such as cancelling the job on the server."""


WAKE_INTERVAL = 0.05
"""Seconds after which a wait wakes up: ■ reaches an awaiting cell only when its loop wakes up, and on Windows a thread
that waits for a lock without a limit can't be interrupted at all."""

_lock = threading.Lock()
_loop: asyncio.AbstractEventLoop | None = None
_thread: threading.Thread | None = None


def get_loop() -> asyncio.AbstractEventLoop:
    """Return the background loop; it is started on first use, and again in a forked process."""
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


def _reset_after_fork() -> None:
    global _loop, _thread, _lock
    _lock = threading.Lock()
    _loop = _thread = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_reset_after_fork)


class BackgroundTask(Generic[T]):
    """A coroutine that runs on the background loop once it is started; `outcome` is its result for other threads.

    It is assigned to a variable before it is started: an interrupt in between leaves nothing that can't be cancelled.

    Args:
        create: Creates the coroutine.
    """

    def __init__(self, create: Callable[[], Coroutine[Any, Any, T]]) -> None:
        self.outcome: concurrent.futures.Future[T] = concurrent.futures.Future()
        self._create = create
        self._task: asyncio.Task[T] | None = None
        self._cancelled = False
        self._loop = get_loop()

    def start(self) -> BackgroundTask[T]:
        """Start the coroutine, and return the task itself."""
        self._loop.call_soon_threadsafe(self._ensure_task)
        return self

    def cancel(self) -> None:
        """Cancel the coroutine. A second call has no effect: it would disturb the last requests."""
        self._loop.call_soon_threadsafe(self._cancel)

    def _ensure_task(self) -> asyncio.Task[T]:
        if self._task is None:
            self._task = self._loop.create_task(self._create())
            self._task.add_done_callback(self._set_outcome)
        return self._task

    def _cancel(self) -> None:
        task = self._ensure_task()  # if an interrupt came before the start, its cleanup runs all the same
        if not self._cancelled:
            self._cancelled = True
            self._loop.call_soon(task.cancel)  # not before its first step: then its cleanup would never run

    def _set_outcome(self, task: asyncio.Task[T]) -> None:
        if task.cancelled():
            self.outcome.set_exception(concurrent.futures.CancelledError())
        elif (error := task.exception()) is not None:
            strip_traceback(error)
            self.outcome.set_exception(error)
        else:
            self.outcome.set_result(task.result())


def call(coroutine: Coroutine[Any, Any, T], timeout: float | None = None) -> T:
    """Run a coroutine on the background loop, and wait for it in another thread.

    Args:
        coroutine: What to run.
        timeout: Seconds to wait; None waits as long as it takes.

    Raises:
        RuntimeError: Called on the background loop's own thread, where the wait would never end.
        TimeoutError: The time is over; the coroutine has been cancelled.
        KeyboardInterrupt: Ctrl-C or ■ was pressed; the coroutine has been cancelled, with time for its last requests.
    """
    if is_loop_thread():
        coroutine.close()
        raise RuntimeError("this call would wait for itself in a callback: use `await`, or call it in another thread")
    job = BackgroundTask(lambda: coroutine)
    try:
        return wait(job.start().outcome, timeout)
    except concurrent.futures.CancelledError:
        raise
    except (KeyboardInterrupt, TimeoutError):
        if not job.outcome.done():
            job.cancel()
            concurrent.futures.wait([job.outcome], GRACE_PERIOD)
        raise


def wait(outcome: concurrent.futures.Future[T], timeout: float | None = None) -> T:
    """Wait for a future and return its result; the wait wakes up often, so that Ctrl-C works everywhere.

    Raises:
        TimeoutError: It takes longer than `timeout` seconds.
    """
    left = timeout
    while True:
        slice_ = 5 * WAKE_INTERVAL if left is None else min(left, 5 * WAKE_INTERVAL)
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
                raise TimeoutError(f"no response within {timeout:g} s")


async def await_on_loop(work: Coroutine[Any, Any, T] | BackgroundTask[T], *, leave: bool = False) -> T:
    """Await a coroutine that runs on the background loop, from the caller's loop.

    Args:
        work: The coroutine.
        leave: Whether it continues when the caller is cancelled; else it is cancelled as well.

    Raises:
        RuntimeError: The caller does not run in asyncio. A coroutine has not been started.
    """
    try:
        check_asyncio()
    except RuntimeError:
        if not isinstance(work, BackgroundTask):
            work.close()
        raise
    job = work if isinstance(work, BackgroundTask) else BackgroundTask(lambda: work).start()
    waiter = asyncio.ensure_future(asyncio.wrap_future(job.outcome))
    try:
        while not waiter.done():
            await asyncio.wait({waiter}, timeout=WAKE_INTERVAL)
    except BaseException as error:
        hide_frames(error)
        if leave:  # cancelling the waiter would cancel what it waits for
            raise
        job.cancel()
        await asyncio.wait({waiter}, timeout=GRACE_PERIOD)
        if waiter.done() and not waiter.cancelled():
            waiter.exception()  # retrieved: the caller gets its own cancellation instead
        raise
    return waiter.result()


async def wait_for(work: Awaitable[T], seconds: float) -> T:
    """Return the result of an awaitable if it is ready in time.

    Before Python 3.12, `asyncio.wait_for` loses a cancellation that arrives together with the result: after ■ the cell
    would continue to wait.

    Raises:
        asyncio.TimeoutError: It was not ready in time, and has been cancelled.
    """
    task = asyncio.ensure_future(work)
    try:
        await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.cancel()
        await asyncio.wait({task})
        if not task.cancelled():
            task.exception()  # retrieved: the caller gets its own cancellation instead
        raise
    if not task.done():
        task.cancel()
        await asyncio.wait({task})
        if task.cancelled():
            raise asyncio.TimeoutError
    return task.result()


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel a task, and return when it has ended; raise its error if it had failed.

    Awaiting the task itself would mistake a cancellation of the caller for one of the task, and lose it.
    """
    task.cancel()
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def check_asyncio() -> None:
    """Raise RuntimeError if the caller does not run in asyncio, but in trio for example."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        error = RuntimeError("`await` needs asyncio: in trio, call kit.run(…) with trio.to_thread.run_sync")
        hide_frames(error)
        raise error from None


def is_loop_thread() -> bool:
    """Whether the caller runs on the background loop's thread."""
    return _thread is not None and threading.get_ident() == _thread.ident
