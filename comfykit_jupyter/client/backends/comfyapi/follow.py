"""Staying with one job of Comfy API v2 until its outcome is known.

The job itself, looked at again and again, is the truth. Its stream of events says earlier what happens, and shows
previews; a server may have none, or not enough of them, or may break them off: then looking has to do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.comfyapi.api import Busy, job_path
from comfykit_jupyter.client.backends.comfyapi.assets import content_of, content_path
from comfykit_jupyter.client.backends.comfyapi.sse import EventParser, ServerSentEvent
from comfykit_jupyter.client.backends.preview import Preview
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.transport.body import TooLarge, pieces
from comfykit_jupyter.workflow.clouds import comfyapi as words
from comfykit_jupyter.workflow.progress.progress import RunError

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Follower
    from comfykit_jupyter.client.backends.comfyapi.api import Api

LOOK_FIRST, LOOK_MOST = 0.1, 5.0
"""Seconds between two looks at the job: the first, and the most. It is looked at also while there is a stream: of two
streams of one job, the proxy for one's own server lets the older one go deaf."""
LOOK_QUEUE, LOOK_CANCELING = 2.0, 0.5
"""Seconds between two looks at the most, at a job that waits or is about to stop."""
IDLE = 45.0
"""Seconds without a word in a stream, be it only to keep it open, after which it is given up."""
REOPEN_FIRST, REOPEN_MOST = 0.5, 10.0
"""Seconds between attempts to open it again: the first, and the most as they double."""
SETTLING = 5.0
"""Seconds that a server which has just taken a job may not know it."""
DEAF = 3.0
"""Seconds after which a job that was to stop, and still runs, is said to go on."""
EXPIRED_LOOKS = 3
"""Looks, one after the other, that find a job expired, until that is believed: the proxy for one's own server says so
too when a job ends between its two looks at that server."""
TEXT_LIMIT = 1024 * 1024
"""Bytes of an output that is read as a text; a larger one is a file."""

_PREVIEWS = ("image/jpeg", "image/png", "image/webp")


@dataclass
class Known:
    """What is known of a job."""

    prompt: Mapping[str, Any] | None = None
    """What it runs."""
    links: Mapping[str, Any] = field(default_factory=dict)
    """The server's links to it, by what is behind them: `self`, `events`, `cancel`."""
    cancelled_at: float | None = None
    """When the server was told to stop it, on the monotonic clock; None: it was not, or that it goes on was said."""


class TaskPoller:
    """One run, from its job's beginning to its end.

    Args:
        api: that of the server.
        run: who is told.
        patience: seconds that the server may be away before the run is given up as unreachable.
        known: what is known of its job; more is added.
    """

    def __init__(self, api: Api, run: Follower, patience: float, known: Known) -> None:
        self._api = api
        self._run = run
        self._patience = patience
        self._known = known
        self._outputs: dict[str, list[Mapping[str, Any]]] = {}
        self._heard = False
        self._pause = LOOK_FIRST
        self._expired = 0

    async def until_ended(self, *, listen: bool, lost: bool) -> None:
        """Stay until the outcome is known. `lost`: it is somebody else's, so that what it runs is asked for as well."""
        listening = asyncio.ensure_future(self._listen()) if listen else None
        try:
            await self._look_until_ended(lost)
        finally:
            if listening is not None:
                listening.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await listening

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _look_until_ended(self, lost: bool) -> None:
        run = self._run
        self._pause = 0.0 if lost else LOOK_FIRST
        not_before = 0.0
        away_since: float | None = None
        missing_since: float | None = None
        while True:
            await run.doubt(min(self._pause, LOOK_QUEUE) if run.waiting else self._pause)
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
            if run.ended:
                return
            self._pause = min(max(self._pause, LOOK_FIRST) * 1.5, LOOK_MOST)
            try:
                job = await self._job()
                if job is not None and lost:
                    self._known.prompt = await recorded(self._api, run.prompt_id)
                    lost = False
                away_since = None
            except Busy as busy:
                not_before = time.monotonic() + busy.pause
                continue
            except ServerError as error:
                away_since = self._away(away_since, error)
                continue
            if job is not None:
                missing_since = None
                await self._tell(job)
                continue
            missing_since = time.monotonic() if missing_since is None else missing_since
            if lost or time.monotonic() - missing_since > SETTLING:
                run.on_missing()

    async def _job(self) -> Mapping[str, Any] | None:
        """The job as the server has it; None when it has none."""
        if not words.is_id(self._run.prompt_id):
            return None
        path = self._api.link(self._known.links.get("self"), job_path(self._run.prompt_id))
        answer = await self._api.request("GET", path)
        if answer.status == 404 and answer.code:
            return None
        if answer.status != 200 or not isinstance(answer.body, dict) or not isinstance(answer.body.get("status"), str):
            raise self._api.unexpected(answer, "a job")
        self._known.links = links_of(answer.body)
        return answer.body

    async def _tell(self, job: Mapping[str, Any]) -> None:
        run, status = self._run, job["status"]
        self._expired = self._expired + 1 if status == "expired" else 0
        if status in words.ENDED:
            texts = {} if run.ended else await self._texts(job)
            run.on_history(words.build_record(job, self._known.prompt, texts))
        elif status == "expired":
            if self._expired >= EXPIRED_LOOKS:
                run.on_missing()
            elif self._expired == 1:
                self._pause = LOOK_FIRST
        else:
            if status == "canceling":
                self._pause = min(self._pause, LOOK_CANCELING)
            run.on_queue(words.build_queue(job, run.id, self._known.prompt))
            if status == "running":
                self._notice_deafness()
            if status != "queued":
                self._on_progress(job.get("progress"))
            for output in words.filter_objects(job.get("outputs")):
                self._on_output(output)

    def _notice_deafness(self) -> None:
        """Say it once when the server goes on with a job that it was told to stop.

        The proxy for one's own server takes a cancellation whether that server knows how to do it or not.
        """
        at = self._known.cancelled_at
        if at is not None and time.monotonic() - at > DEAF:
            self._known.cancelled_at = None
            why = "it was told to cancel, and goes on: behind comfy-api-proxy that takes a newer ComfyUI"
            self._run.on_warning(f"{self._api.url}: {why}")
            self._run.on_note(why)

    def _away(self, since: float | None, error: ServerError) -> float:
        now = time.monotonic()
        since = now if since is None else since
        if now - since > self._patience or error.status in (401, 403):
            message = f"{error} (given up after {now - since:.0f} s; the job may still run there)"
            self._run.on_failed(RunError("unreachable", message))
        return since

    async def _texts(self, job: Mapping[str, Any]) -> dict[str, str]:
        """The texts among the outputs of a job, by the ids of these outputs; one that can't be had stays a file."""
        found: dict[str, str] = {}
        for output in words.filter_objects(job.get("outputs")):
            id_ = output.get("id")
            if output.get("type") != "text" or not words.is_id(id_):
                continue
            with contextlib.suppress(ServerError, TooLarge):
                content = b""
                async with content_of(self._api, content_path(id_)) as pieces:
                    async for piece in pieces:
                        content += piece
                        if len(content) > TEXT_LIMIT:
                            break
                    else:
                        found[id_] = content.decode("utf-8-sig", "replace")
        return found

    # -- listening -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Hear the stream of events, and open it again when it breaks."""
        pause = REOPEN_FIRST
        while True:
            try:
                async with self._api.streams:
                    began = time.monotonic()
                    await self._hear()
                    if time.monotonic() - began > REOPEN_MOST:
                        pause = REOPEN_FIRST
            except Busy as busy:
                pause = max(pause, busy.pause)
            except ServerError as error:
                if error.status in (401, 403, 404, 405, 406, 410, 501):
                    return
            except ValueError:  # an event without end
                return
            finally:
                if self._heard:
                    self._heard = False
                    self._look_now()
            await asyncio.sleep(pause)
            pause = min(pause * 2, REOPEN_MOST)

    async def _hear(self) -> None:
        parser = EventParser()
        path = self._api.link(self._known.links.get("events"), f"{job_path(self._run.prompt_id)}/events")
        async with self._api.stream(path, quiet=IDLE, accept="text/event-stream") as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ServerError("no stream of events", status=406)
            async for piece in pieces(response, math.inf):
                self._heard = True
                for event in parser.feed(piece):
                    if self._on_event(event):
                        return  # what came of it, the job tells

    def _on_event(self, event: ServerSentEvent) -> bool:
        """Tell what happened. Returns whether the job is said to be over."""
        try:
            data = json.loads(event.data)
        except (ValueError, RecursionError):
            return False
        if not isinstance(data, dict):
            return False
        if event.name == "progress":
            self._on_progress(data)
        elif event.name == "output":
            self._on_output(data)
        elif event.name == "preview":
            self._on_preview(data)
        elif event.name == "status" and data.get("status") in ("queued", "running"):
            self._run.on_queue(words.build_queue(data, self._run.id, self._known.prompt))
        return event.name == "status" and data.get("status") in (*words.ENDED, "expired")

    def _look_now(self) -> None:
        self._pause = LOOK_FIRST
        self._run.on_break()

    def _on_progress(self, progress: Any) -> None:
        for event in words.build_events(progress, self._run.id, self._known.prompt):
            self._run.on_event(event)

    def _on_output(self, output: Mapping[str, Any]) -> None:
        """An output is there: its node is done."""
        node, id_ = output.get("node_id"), output.get("id")
        if not isinstance(node, str) or not isinstance(id_, str):
            return
        known = self._outputs.setdefault(node, [])
        if all(each.get("id") != id_ for each in known):
            known.append(output)
            told = words.build_outputs(known, {}, None).get(node, {})
            self._run.on_event({"type": "executed", "data": {"prompt_id": self._run.id, "node": node, "output": told}})

    def _on_preview(self, preview: Mapping[str, Any]) -> None:
        node, mime, text = (preview.get(key) for key in ("node_id", "content_type", "data_base64"))
        if mime not in _PREVIEWS or not isinstance(text, str):
            return
        try:
            data = base64.b64decode(text, validate=True)
        except ValueError:
            return
        if data:
            self._run.on_preview(Preview(self._run.id, node if isinstance(node, str) and node else None, mime, data))


def links_of(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """The links that a job came with."""
    links = job.get("urls")
    return links if isinstance(links, dict) else {}


async def recorded(api: Api, job_id: str) -> Mapping[str, Any] | None:
    """The prompt that a job runs, in API format; None where the server does not tell, or what the editor saved.

    Raises:
        ServerError: the server is away.
    """
    answer = await api.request("GET", f"{job_path(job_id)}/workflow")
    told = answer.body if answer.status == 200 and isinstance(answer.body, dict) else {}
    return words.parse_prompt(told.get("workflow")) if told.get("format") != "save" else None
