"""Jobs whose prompt reaches the server late, through a slow gateway, when their run has been given up."""

from __future__ import annotations

import asyncio
import logging
import time
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


async def cancel_late_job(server: Backend, prompt_id: str) -> None:
    """Cancel a job as soon as it arrives, and log a warning; say so, too, if it has run already."""
    until = time.monotonic() + WATCH
    while time.monotonic() < until:
        if await _cancel_if_there(server, prompt_id):
            return
        await asyncio.sleep(PAUSE)


async def _cancel_if_there(server: Backend, prompt_id: str) -> bool:
    """Look once for a late job, and return whether it has arrived."""
    try:
        if await server.cancel(prompt_id):
            logger.warning("%s received the job %s late: it has been cancelled", server.url, prompt_id)
            return True
        if await server.has_ended(prompt_id):
            logger.warning("%s received the job %s late, and ran it: see kit.attach", server.url, prompt_id)
            return True
    except ServerError:
        pass  # an absent server is asked again
    finally:
        if server.is_closed:  # the look has opened connections again
            await server.close()
    return False
