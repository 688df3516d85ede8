"""Following a job of Comfy API v2 to its end.

The state of the job, asked for again and again, is the truth. The stream of events is faster, and has the previews. A
server may have no such stream, or not enough of them, or may break it off: then the state has to do.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.comfyapi.api import build_job_path
from comfykit_jupyter.client.backends.comfyapi.assets import build_content_path, open_content
from comfykit_jupyter.client.backends.comfyapi.sse import EventParser, ServerSentEvent
from comfykit_jupyter.client.backends.preview import Preview
from comfykit_jupyter.client.backends.retry import Busy, backoff
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.loop import end_task, wait_for
from comfykit_jupyter.client.transport.body import TooLarge, iter_body
from comfykit_jupyter.client.transport.deadline import get_silence
from comfykit_jupyter.workflow.clouds import comfyapi as words
from comfykit_jupyter.workflow.progress.progress import RunError
from comfykit_jupyter.workflow.untrusted_json import parse_json

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.comfyapi.api import Api
    from comfykit_jupyter.client.backends.follower import Follower

LOOK_FIRST = 0.1
"""Seconds before the first look at a job."""
LOOK_MOST = 5.0
"""Maximum seconds between two looks. There are looks beside a stream as well: comfy-api-proxy sends nothing more to the
older one of two streams of a job."""
LOOK_QUEUE = 2.0
"""Maximum seconds between two looks at a queued job."""
LOOK_CANCELING = 0.5
"""Maximum seconds between two looks at a job that is about to stop."""
IDLE = 45.0
"""Seconds without a byte after which a stream is given up. Bytes that only keep it open count, too."""
REOPEN_FIRST = 0.5
"""Seconds before a stream is opened again; twice as many each time."""
REOPEN_MOST = 10.0
"""Maximum of these pauses."""
SETTLING = 5.0
"""Seconds in which a server may not know a job that it has just accepted."""
DEAF = 3.0
"""Seconds after which a cancelled job that still runs gets a warning."""
EXPIRED_LOOKS = 3
"""How many looks in a row must find a job expired: comfy-api-proxy also says so for a moment when a job ends."""
TEXTS_LEAST = 10.0
"""Seconds in which all texts of a job must arrive, or the kit's patience if that is longer."""
TEXT_LIMIT = 1024 * 1024
"""Maximum size in bytes of an output that is read as text; a larger one stays a file."""

_PREVIEWS = ("image/jpeg", "image/png", "image/webp")


@dataclass
class JobFacts:
    """What is known about a job. The backend and the job's poller share it."""

    prompt: Mapping[str, Any] | None = None
    """The prompt that it runs."""
    links: Mapping[str, Any] = field(default_factory=dict)
    """The server's links for it, by their purpose: `self`, `events`, `cancel`."""
    cancelled_at: float | None = None
    """When it was cancelled, on the monotonic clock; None if it was not, or after the warning that it still runs."""


class TaskPoller:
    """Follows one job.

    Args:
        api: The API of the server.
        run: The run that the job is.
        patience: Seconds without an answer of the server after which the run is given up as unreachable.
        facts: What is known about the job; more is added.
    """

    def __init__(self, api: Api, run: Follower, patience: float, facts: JobFacts) -> None:
        self._api = api
        self._run = run
        self._patience = patience
        self._facts = facts
        self._outputs: dict[str, list[Mapping[str, Any]]] = {}
        self._heard = False
        self._pause = LOOK_FIRST
        self._expired = 0

    async def follow(self, *, listen: bool, lost: bool) -> None:
        """Follow the job until it ends. `lost`: it was started elsewhere, so its prompt is asked for as well."""
        listening = asyncio.ensure_future(self._listen()) if listen else None
        try:
            await self._look_until_ended(lost)
        finally:
            if listening is not None:
                await end_task(listening)

    # -- looking -------------------------------------------------------------------------------------------------------

    async def _look_until_ended(self, lost: bool) -> None:
        run = self._run
        self._pause = 0.0 if lost else LOOK_FIRST
        not_before = 0.0
        away_since: float | None = None
        missing_since: float | None = None
        while True:
            await run.wait_for_doubt(min(self._pause, LOOK_QUEUE) if run.waiting else self._pause)
            await asyncio.sleep(max(0.0, not_before - time.monotonic()))
            if run.ended:
                return
            self._pause = min(max(self._pause, LOOK_FIRST) * 1.5, LOOK_MOST)
            try:
                job = await self._read_job()
                if job is not None and lost:
                    self._facts.prompt = await read_recorded(self._api, run.prompt_id)
                    lost = False
                away_since = None
                run.on_silence(None)
            except Busy as busy:
                not_before = time.monotonic() + busy.pause
                continue
            except ServerError as error:
                away_since = self._note_failure(away_since, error)
                continue
            if job is not None:
                missing_since = None
                await self._handle(job)
                continue
            missing_since = time.monotonic() if missing_since is None else missing_since
            if lost or time.monotonic() - missing_since > SETTLING:
                run.on_missing()

    async def _read_job(self) -> Mapping[str, Any] | None:
        """Return the job as the server has it; None if it does not know it."""
        if not words.is_id(self._run.prompt_id):
            return None
        path = self._api.resolve_link(self._facts.links.get("self"), build_job_path(self._run.prompt_id))
        answer = await self._api.request("GET", path)
        if answer.status == 404 and answer.code:
            return None
        if answer.status != 200 or not isinstance(answer.body, dict) or not isinstance(answer.body.get("status"), str):
            raise self._api.build_error(answer, "a job")
        self._facts.links = get_links(answer.body)
        return answer.body

    async def _handle(self, job: Mapping[str, Any]) -> None:
        run, status = self._run, job["status"]
        self._expired = self._expired + 1 if status == "expired" else 0
        if status in words.ENDED:
            texts: dict[str, str] = {}
            if not run.ended:
                with contextlib.suppress(asyncio.TimeoutError):  # those that take too long stay files
                    await wait_for(self._read_texts(job, texts), max(self._patience, TEXTS_LEAST))
            run.on_history(words.build_record(job, self._facts.prompt, texts))
        elif status == "expired":
            if self._expired >= EXPIRED_LOOKS:
                run.on_missing()
            elif self._expired == 1:
                self._pause = LOOK_FIRST
        else:
            if status == "canceling":
                self._pause = min(self._pause, LOOK_CANCELING)
            run.on_queue(words.build_queue(job, run.id, self._facts.prompt))
            if status == "running":
                self._warn_if_cancel_is_ignored()
            if status != "queued":
                self._on_progress(job.get("progress"))
            for output in words.filter_objects(job.get("outputs")):
                self._on_output(output)

    def _warn_if_cancel_is_ignored(self) -> None:
        """Warn once if the server keeps running a cancelled job.

        comfy-api-proxy accepts a cancellation whether the server behind it supports that or not.
        """
        at = self._facts.cancelled_at
        if at is not None and time.monotonic() - at > DEAF:
            self._facts.cancelled_at = None
            why = "the job was cancelled, but keeps running: behind comfy-api-proxy this needs a newer ComfyUI"
            self._run.on_warning(f"{self._api.url}: {why}")
            self._run.on_note(why)

    def _note_failure(self, since: float | None, error: ServerError) -> float:
        """Give the run up if the server has been away for too long. Return when that began."""
        now = time.monotonic()
        since = (get_silence().since or now) if since is None else since
        if now - since > self._patience or error.status in (401, 403):
            message = f"{error} (given up after {now - since:.0f} s; the job may still run there)"
            self._run.on_failed(RunError("unreachable", message))
        else:
            self._run.on_silence(since + self._patience)
        return since

    async def _read_texts(self, job: Mapping[str, Any], found: dict[str, str]) -> None:
        """Find the texts among the outputs of a job, by their IDs. One that can't be read stays a file."""
        for output in words.filter_objects(job.get("outputs")):
            id_ = output.get("id")
            if output.get("type") != "text" or not words.is_id(id_):
                continue
            with contextlib.suppress(ServerError, TooLarge):
                content = b""
                async with open_content(self._api, build_content_path(id_)) as chunks:
                    async for chunk in chunks:
                        content += chunk
                        if len(content) > TEXT_LIMIT:
                            break
                    else:
                        found[id_] = content.decode("utf-8-sig", "replace")

    # -- listening -----------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Read the stream of events, and open it again when it breaks."""
        pauses = backoff(REOPEN_FIRST, REOPEN_MOST)
        while True:
            least = 0.0
            try:
                async with self._api.streams:
                    began = time.monotonic()
                    await self._read_events()
                    if time.monotonic() - began > REOPEN_MOST:
                        pauses = backoff(REOPEN_FIRST, REOPEN_MOST)
            except Busy as busy:
                least = busy.pause
            except ServerError as error:
                if error.status in (401, 403, 404, 405, 406, 410, 501):
                    return
            except ValueError:  # an event is too large
                return
            finally:
                if self._heard:
                    self._heard = False
                    self._look_now()
            await asyncio.sleep(max(next(pauses), least))

    async def _read_events(self) -> None:
        parser = EventParser()
        path = self._api.resolve_link(self._facts.links.get("events"), f"{build_job_path(self._run.prompt_id)}/events")
        async with self._api.stream(path, quiet=IDLE, accept="text/event-stream") as response:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise ServerError("this is not a stream of events", status=406)
            async for chunk in iter_body(response, math.inf):
                self._heard = True
                for event in parser.feed(chunk):
                    if self._on_event(event):
                        return  # the job has the outcome

    def _on_event(self, event: ServerSentEvent) -> bool:
        """Pass on an event. Return whether it says that the job has ended."""
        try:
            data = parse_json(event.data)
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
            self._run.on_queue(words.build_queue(data, self._run.id, self._facts.prompt))
        return event.name == "status" and data.get("status") in (*words.ENDED, "expired")

    def _look_now(self) -> None:
        self._pause = LOOK_FIRST
        self._run.on_break()

    def _on_progress(self, progress: Any) -> None:
        for event in words.build_events(progress, self._run.id, self._facts.prompt):
            self._run.on_event(event)

    def _on_output(self, output: Mapping[str, Any]) -> None:
        """Pass on an output: its node has finished."""
        node, id_ = output.get("node_id"), output.get("id")
        if not isinstance(node, str) or not isinstance(id_, str):
            return
        known = self._outputs.setdefault(node, [])
        if all(each.get("id") != id_ for each in known):
            known.append(output)
            output = words.build_outputs(known, {}, None).get(node, {})
            data = {"prompt_id": self._run.id, "node": node, "output": output}
            self._run.on_event({"type": "executed", "data": data})

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


def get_links(job: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the links in a job."""
    links = job.get("urls")
    return links if isinstance(links, dict) else {}


async def read_recorded(api: Api, job_id: str) -> Mapping[str, Any] | None:
    """Return the prompt that a job runs; None if the server does not have it in API format.

    Raises:
        ServerError: The server can't be reached.
    """
    answer = await api.request("GET", f"{build_job_path(job_id)}/workflow")
    found = answer.body if answer.status == 200 and isinstance(answer.body, dict) else {}
    return words.parse_prompt(found.get("workflow")) if found.get("format") != "save" else None
