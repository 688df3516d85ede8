"""Following runs on a ComfyUI server to their ends.

The socket's events are trusted while nothing was missed. After any break, silence or doubt `/queue` and `/history`
decide.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from comfykit_jupyter.client.backends.comfyui.shared_request import SharedRequest
from comfykit_jupyter.client.backends.follower import Follower
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.transport.deadline import get_silence
from comfykit_jupyter.workflow.progress.progress import RunError
from comfykit_jupyter.workflow.progress.records import find_all_queued_ids, keep_ids, rename_queued

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyui.socket import EventSocket

LOOK_FIRST = 0.002
"""Seconds before the first look at the history, if the socket is silent."""
LOOK_MOST = 1.5
"""Maximum seconds between two such looks."""
LOOK_QUEUE = 0.25
"""The pause between two looks from which on the queue is read as well: for a short run it is not worth it."""
LOOK_HISTORY = 2.0
"""Seconds after which the queue is read in any case: a server that takes long to answer has few looks in that time."""
LOOK_AGAIN = 5.0
"""Seconds between two looks at the queue for a running job: it may have been removed."""
WATCH_QUEUE = 0.5
"""Seconds between two looks while the socket is trusted, for a queued run."""
WATCH_SHARE = 0.03
"""The same for each followed run, if that is longer: a thousand runs that look twice a second would fill a core."""
WATCH_QUIET = 10.0
"""Seconds between two looks while the socket is trusted, for any other run."""


SLOW = 2.0
"""Seconds without an answer after which the run shows that the server is silent."""


class PolledApi(Protocol):
    """What this module needs of a server's API."""

    async def read_queue(self, keep: Callable[[str, Any], Any]) -> Mapping[str, Any]:
        """See `Api.read_queue`."""

    async def read_record(self, prompt_id: str) -> Mapping[str, Any] | None:
        """See `Api.read_record`."""


class RunPoller:
    """Follows the runs on one server. It belongs to one event loop.

    Args:
        api: The server.
        events: Its event socket.
        patience: Seconds without an answer of the server after which a run is given up as unreachable.
    """

    def __init__(self, api: PolledApi, events: EventSocket, patience: float) -> None:
        self._api = api
        self._events = events
        self._patience = patience
        self._queue_seen: tuple[float, Mapping[str, Any]] = (float("-inf"), {})
        self._queued_ids: frozenset[str] = frozenset()
        self._runs: list[Follower] = []
        self._looking = SharedRequest()

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Follow a run until it ends. `lost`: the submission may never have arrived."""
        self._runs.append(run)
        try:
            await self._follow(run, listen=listen, lost=lost)
        finally:
            self._runs.remove(run)

    @property
    def _watch_queue(self) -> float:
        """Seconds between two requests for the queue, for a queued run."""
        return max(WATCH_QUEUE, WATCH_SHARE * len(self._runs))

    async def _follow(self, run: Follower, *, listen: bool, lost: bool) -> None:
        """Ask the server for a run again and again until it ends.

        While the socket is trusted, this looks seldom. Otherwise it looks often at first, and less often as time
        passes: that suits a run of a millisecond and one of an hour.
        """
        away_since: float | None = None
        pause, began = LOOK_FIRST, time.monotonic()
        queue_at = float("-inf")
        while True:
            heard = listen and run.trusted and self._events.connected
            if heard:
                pause = LOOK_FIRST
                await run.wait_for_doubt(self._watch_queue if run.waiting else WATCH_QUIET)
            else:
                await run.wait_for_doubt(pause)
                pause = min(pause * 1.15, max(LOOK_MOST, self._watch_queue if run.waiting else 0.0))
            if run.ended:
                return
            now = time.monotonic()
            is_long = pause > LOOK_QUEUE or now - began > LOOK_HISTORY
            everywhere = heard or lost or (is_long and (run.waiting or now - queue_at > LOOK_AGAIN))
            try:
                await self._look_until_end(run, everywhere=everywhere)
                away_since, lost = None, False
                run.on_silence(None)
                queue_at = now if everywhere else queue_at
            except ServerError as error:
                since = now if (silent := get_silence().since) is None else min(now, silent)
                away_since = self._note_failure(run, since if away_since is None else away_since, error)
                pause = max(pause, LOOK_QUEUE)
                queue_at = float("-inf")

    async def _look_until_end(self, run: Follower, *, everywhere: bool) -> None:
        """Ask the server for a run, unless its end becomes known meanwhile: the server may take long to answer."""
        look = asyncio.ensure_future(self._look_for(run, everywhere=everywhere))
        end = asyncio.ensure_future(run.wait_for_end())
        try:
            since = time.monotonic()
            done, _ = await asyncio.wait({look, end}, timeout=SLOW, return_when=asyncio.FIRST_COMPLETED)
            if not done:
                since = max(since, self._events.get_last_heard(run.id))
                if time.monotonic() - since >= SLOW:  # its events would say that it is only slow
                    run.on_silence(since + self._patience)
                await asyncio.wait({look, end}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            look.cancel()
            end.cancel()
            await asyncio.wait({look, end})
            failure = None if look.cancelled() else look.exception()
        if failure is not None and not run.ended:
            raise failure

    async def _look_for(self, run: Follower, *, everywhere: bool) -> None:
        """Ask the server for a run: in the history, and with `everywhere` also in the queue.

        A job moves from the queue to the history. If it is in neither, read in this order, the server does not know it.
        A job in the queue is alive, even if the history can't be read.
        """
        failure: ServerError | None = None
        began = time.monotonic()
        if not (everywhere and run.waiting):
            try:
                entry = await self._api.read_record(run.prompt_id)
            except ServerError as error:
                failure = error
            else:
                if entry is not None:
                    run.on_history(entry)
                if entry is not None or not everywhere:
                    return
        queue = await self._get_queue(run.changed_at)
        if run.prompt_id in self._queued_ids:
            run.on_queue(rename_queued(queue, run.prompt_id, run.id))
        elif failure is not None:
            raise failure
        elif (entry := await self._api.read_record(run.prompt_id)) is not None:
            run.on_history(entry)
        elif not await run.find_job(began) and not run.ended:
            run.on_missing()

    def _note_failure(self, run: Follower, since: float, error: ServerError) -> float:
        """Give a run up if the server has been away for too long. Return when that began."""
        now = time.monotonic()
        since = max(since, self._events.get_last_heard(run.id))
        if now - since > self._patience or error.status in (401, 403):
            message = f"{error} (given up after {now - since:.0f} s; the job may still run there)"
            run.on_failed(RunError("unreachable", message))
        else:
            run.on_silence(since + self._patience)
        return since

    async def _get_queue(self, since: float) -> Mapping[str, Any]:
        """Return a recent queue, read after `since`: a hundred waiting runs share one request."""
        async with self._looking:
            at, queue = self._queue_seen
            if at < since or time.monotonic() - at > self._watch_queue * 0.9:
                at = time.monotonic()
                unknown = {run.prompt_id for run in self._runs if run.needs_prompt}
                queue = await self._api.read_queue(partial(keep_ids, whole=unknown))
                self._queue_seen = (at, queue)
                self._queued_ids = find_all_queued_ids(queue)
        return queue
