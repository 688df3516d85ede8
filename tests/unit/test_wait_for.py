"""Waiting for something that may come too late: a cancellation is never lost, whatever comes at the same moment."""

from __future__ import annotations

import asyncio

import pytest

from comfykit_jupyter.client.loop import wait_for


async def test_what_comes_in_time_is_the_result() -> None:
    assert await wait_for(asyncio.sleep(0, "here"), 20) == "here"
    with pytest.raises(ValueError, match="wrong"):
        await wait_for(failing(), 20)


async def failing() -> None:
    raise ValueError("wrong")


@pytest.mark.parametrize("seconds", [0.01, 0, -1])
async def test_what_does_not_come_is_cancelled(seconds: float) -> None:
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
async def test_a_cancellation_beside_the_end_is_not_lost(end: str) -> None:
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


async def test_cancelling_it_cancels_what_it_waits_for() -> None:
    work: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    waiting = asyncio.ensure_future(wait_for(work, 20))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert work.cancelled()
