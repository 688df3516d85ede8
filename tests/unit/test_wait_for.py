"""Test `wait_for` and `end_task`: results, timeouts, and cancellations at the same moment as the result."""

from __future__ import annotations

import asyncio

import pytest

from comfykit_jupyter.client.loop import end_task, wait_for


async def test_result_in_time_is_returned() -> None:
    assert await wait_for(asyncio.sleep(0, "here"), 20) == "here"
    with pytest.raises(ValueError, match="wrong"):
        await wait_for(fail(), 20)


async def fail() -> None:
    raise ValueError("wrong")


@pytest.mark.parametrize("seconds", [0.01, 0, -1])
async def test_late_result_is_cancelled(seconds: float) -> None:
    ended = asyncio.Event()

    async def never() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    work = asyncio.ensure_future(never())
    await asyncio.sleep(0)
    with pytest.raises(asyncio.TimeoutError):
        await wait_for(work, seconds)
    assert ended.is_set()


@pytest.mark.parametrize("end", ["result", "failure"])
async def test_cancellation_at_the_same_moment_is_not_lost(end: str) -> None:
    outcome: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(wait_for(outcome, 20))
    await asyncio.sleep(0)
    if end == "result":
        outcome.set_result("here")
    else:
        outcome.set_exception(ValueError("wrong"))
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_cancellation_cancels_the_awaited_future() -> None:
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(wait_for(work, 20))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.cancelled()


async def test_cancellation_while_a_task_ends_is_not_lost() -> None:
    ending, released = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ending.set()
            await released.wait()

    task = asyncio.ensure_future(work())
    await asyncio.sleep(0)
    caller = asyncio.ensure_future(end_task(task))
    await ending.wait()
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_error_of_a_task_that_is_ended_is_raised() -> None:
    task = asyncio.ensure_future(fail())
    await asyncio.wait({task})
    with pytest.raises(ValueError, match="wrong"):
        await end_task(task)
