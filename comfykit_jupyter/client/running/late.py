"""Jobs whose prompt reaches the server late, through a slow gateway, when their run has been given up."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from comfykit_jupyter.client.errors import ServerError

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend

logger = logging.getLogger(__name__)

SETTLING = 3.0
"""Seconds in which a prompt whose answer was lost must appear on the server; then its run is given up."""
WATCH = 60.0
"""Seconds in which a late job is looked for."""
PAUSE = 1.0
"""Seconds between two looks."""
LATE = "no job with its ID is there; one that arrives within a minute is cancelled"
"""The words for a run whose job may still arrive."""


def has_settled(since: float) -> bool:
    """Return whether a prompt that was sent at this time, on the monotonic clock, has had its time to appear."""
    return time.monotonic() - since > SETTLING


async def cancel_late_job(server: Backend, find_job: Callable[[], Awaitable[str | None]]) -> None:
    """Cancel a job as soon as it arrives, and log a warning; say so, too, if it has run already.

    Args:
        server: Where it may arrive.
        find_job: Returns its prompt ID, once it is there.
    """
    until = time.monotonic() + WATCH
    while time.monotonic() < until:
        if await _cancel_if_there(server, find_job):
            return
        await asyncio.sleep(PAUSE)


async def _cancel_if_there(server: Backend, find_job: Callable[[], Awaitable[str | None]]) -> bool:
    """Look once for a late job, and return whether it has arrived."""
    try:
        prompt_id = await find_job()
        if prompt_id is not None:
            outcome = ": it has been cancelled" if await server.cancel(prompt_id) else ", and ran it: see kit.attach"
            logger.warning("%s received the job %s late%s", server.url, prompt_id, outcome)
            return True
    except ServerError:
        pass  # an absent server is asked again
    finally:
        if server.is_closed:  # the look has opened connections again
            await server.close()
    return False
