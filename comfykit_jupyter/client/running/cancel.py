"""Cancel several runs at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ServerError

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.run import Run

CANCEL_TIMEOUT = 5.0
"""Seconds in which the server must accept a cancellation, and again in which it must confirm the end of the job."""


def cancel_runs(runs: Iterable[Run], timeout: float = CANCEL_TIMEOUT) -> None:
    """Cancel runs at once, as `Run.cancel` does; their jobs on one server share the requests."""
    open_runs = [run for run in runs if not run.done]
    if not open_runs:
        return
    if loop.is_loop_thread():
        raise RuntimeError("Run.cancel() would wait for itself in a callback: call it in another thread")
    cancelling = loop.BackgroundTask(lambda: _cancel_runs(open_runs))
    try:
        loop.wait(cancelling.start().outcome, timeout)
    except TimeoutError:  # the task continues until the servers respond
        servers = ", ".join(dict.fromkeys(run.server for run in open_runs if not run.done))
        raise ServerError(f"{servers} does not respond: it has not accepted the cancellation yet") from None


def stop_waiting(runs: Iterable[Run]) -> None:
    """End runs here although their server does not answer; it is still asked once to cancel their jobs."""
    open_runs = [run for run in runs if not run.done]
    for run in open_runs:
        run.stop_waiting()
    loop.BackgroundTask(lambda: _try_to_cancel(open_runs)).start()


async def _try_to_cancel(runs: Sequence[Run]) -> None:
    with contextlib.suppress(ServerError):
        await _cancel_runs(runs)


async def _cancel_runs(runs: Sequence[Run]) -> None:
    outcomes = await asyncio.gather(*(run.request_cancellation() for run in runs), return_exceptions=True)
    for error in filter(None, outcomes):
        raise error
