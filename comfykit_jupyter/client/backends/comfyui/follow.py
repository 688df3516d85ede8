"""Staying with a run on a ComfyUI server until its outcome is known.

The socket's events are believed while nothing was missed; after any break, silence or doubt `/queue` and `/history`
decide.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.base import Follower
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.workflow.progress.progress import RunError
from comfykit_jupyter.workflow.progress.records import is_queued

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI

LOOK_FIRST, LOOK_MOST = 0.002, 1.5
"""Seconds between two looks where nothing is heard from the socket: the first, and the most."""
LOOK_QUEUE = 0.25
"""Seconds between two looks from which on the queue is looked at as well: a short run is not worth it."""
LOOK_AGAIN = 5.0
"""Seconds between two looks at the queue for a run that began already: it may have been removed."""
WATCH_QUEUE = 0.5
WATCH_QUIET = 10.0
"""Seconds between two looks while the socket tells what happens: for runs that wait in the queue, and for others."""


class RunPoller:
    """Looks after the runs on one server. Belongs to one event loop.

    Args:
        server: the server.
        patience: seconds that it may be away during a run before the run is given up as unreachable.
    """

    def __init__(self, server: ComfyUI, patience: float) -> None:
        self._server = server
        self._patience = patience
        self._queue_seen: tuple[float, Mapping[str, Any]] = (float("-inf"), {})
        self._looking = asyncio.Lock()

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Stay with a run until its outcome is known; `lost`: nobody can tell whether it is there at all.

        While the socket is believed, this looks seldom. Else it looks often at first, and slower as time passes: a run
        of a millisecond and one of an hour are both served.
        """
        away_since: float | None = None
        pause = LOOK_FIRST
        queue_at = float("-inf")
        while True:
            heard = listen and run.trusted and self._server.events.connected
            if heard:
                pause = LOOK_FIRST
                await run.doubt(WATCH_QUEUE if run.waiting else WATCH_QUIET)
            else:
                await run.doubt(pause)
                pause = min(pause * 1.15, LOOK_MOST)
            if run.ended:
                return
            now = time.monotonic()
            everywhere = heard or lost or (pause > LOOK_QUEUE and (run.waiting or now - queue_at > LOOK_AGAIN))
            try:
                await self._look_for(run, everywhere=everywhere)
                away_since, lost = None, False
                queue_at = now if everywhere else queue_at
            except ServerError as error:
                away_since = self._away(run, away_since, error)
                pause = max(pause, LOOK_QUEUE)
                queue_at = float("-inf")

    async def _look_for(self, run: Follower, *, everywhere: bool) -> None:
        """Ask the server where a run is: in the history, and `everywhere` else it may be.

        It goes from the queue to the history: what is in neither, looked at in this order, is not there.
        """
        if not (everywhere and run.waiting) and (entry := await self._server.history(run.prompt_id)) is not None:
            run.on_history(entry)
        elif everywhere:
            queue = await self._shared_queue(run.changed_at)
            if is_queued(queue, run.prompt_id):
                run.on_queue(queue)
            elif (entry := await self._server.history(run.prompt_id)) is not None:
                run.on_history(entry)
            elif not run.ended:
                run.on_missing()

    def _away(self, run: Follower, since: float | None, error: ServerError) -> float:
        now = time.monotonic()
        since = now if since is None else since
        if now - since > self._patience or error.status in (401, 403):
            message = f"{error} (given up after {now - since:.0f} s; the job may still run there)"
            run.on_failed(RunError("unreachable", message))
        return since

    async def _shared_queue(self, since: float) -> Mapping[str, Any]:
        """The queue as of lately, but after `since`: a hundred waiting runs ask for it once."""
        async with self._looking:
            at, queue = self._queue_seen
            if at < since or time.monotonic() - at > WATCH_QUEUE * 0.9:
                at = time.monotonic()
                queue = await self._server.queue()
                self._queue_seen = (at, queue)
        return queue
