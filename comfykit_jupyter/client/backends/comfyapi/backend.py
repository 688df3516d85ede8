"""Comfy API v2: Comfy Cloud, its serverless deployments, and comfy-api-proxy in front of a server of one's own."""

from __future__ import annotations

import asyncio
import json
import mimetypes
import re
import time
import uuid
from collections import deque
from collections.abc import Iterable, Mapping
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from comfykit_jupyter.client.backends.base import (
    Accepted,
    Backend,
    Follower,
    Note,
    Order,
    Refused,
    Server,
    TryAgain,
)
from comfykit_jupyter.client.backends.comfyapi.api import Answer, Api, Busy, insist, job_path
from comfykit_jupyter.client.backends.comfyapi.assets import Assets, content_path, download
from comfykit_jupyter.client.backends.comfyapi.follow import Known, TaskPoller, links_of, recorded
from comfykit_jupyter.client.backends.jobs import Job, from_item, from_record, how_many
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.results.media import Media, to_encodable
from comfykit_jupyter.workflow.clouds import comfyapi as words

if TYPE_CHECKING:
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.binding import Upload
    from comfykit_jupyter.workflow.nodes import Definitions

ROOM = 600.0
"""Seconds for which a job is offered again and again to a server that has no room for it, or is not ready yet."""
LOOKS_FOR_LOST = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each look for a job whose answer was lost."""
CANCEL_AGAIN = (0.3, 0.6, 1.2)
"""Seconds before a cancellation is tried again that a server could not be told."""
LISTED = 100
"""Jobs that are asked for at most."""
VALUED = 20
"""Jobs of a list whose values are asked for: that takes a request each."""
_CLOCKS = 2.0
"""Seconds by which a server's clocks may differ."""
_RUNNING = ("running", "canceling")


class ComfyAPI(Backend):
    """One server that speaks Comfy API v2. Lives on the background loop; made without contacting it."""

    accepts_client_ids: ClassVar[bool] = False
    has_object_info: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.url = settings.comfyui_url
        self._settings = settings
        self._api = Api(settings)
        self._assets = Assets(self._api)
        self._taken: deque[str] = deque(maxlen=1000)
        """Ids of jobs that are known to be ours: the newest ones."""
        self._known: dict[str, Known] = {}
        """What is known of those that are followed, by their ids."""

    # -- workflows and their values ------------------------------------------------------------------------------------

    async def definitions(self, classes: Iterable[str], *, fresh: bool = False) -> Definitions:  # noqa: ARG002
        """None: this API does not describe nodes."""
        return {}

    def find_remote_file(self, text: str) -> Any:
        """What stands in a prompt for a file of this server, given by its address."""
        found = re.fullmatch(rf"{re.escape(self._api.base)}/assets/([0-9a-fA-F-]{{36}})/content", text)
        return words.build_asset(found[1]) if found else None

    def reference_to(self, media: Media) -> Any:
        """What stands in a prompt for an output; None where it can't be referred to.

        The proxy for one's own server names outputs by something else than a UUID, and its nodes can't have them.
        """
        id_ = media.query["id"]
        return words.build_asset(id_, name=media.name) if _is_uuid(id_) else None

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> dict[str, Any]:  # noqa: ARG002
        """Send a file, unless the server has it already; returns what stands in a prompt for it."""
        return await self._assets.send(content, suffix)

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def post(self, order: Order) -> Accepted:
        """Send a prompt, in a single attempt.

        Raises:
            Refused: The server rejects the prompt.
            TryAgain: The server has no room at the moment; it says when to ask again.
            ServerError: There is no answer. If `sent`, the job may run all the same.
        """
        body: dict[str, Any] = {"workflow": order.binding.prompt}
        if self._settings.api_key:
            body["extra_data"] = {"api_key_comfy_org": self._settings.api_key}
        content = json.dumps(body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": order.id}
        try:
            answer = await self._api.request("POST", "/jobs", content=content, headers=headers)
        except Busy as busy:
            failure = Refused(words.build_refusal(busy.code, f"{busy}, for {ROOM / 60:.0f} minutes", None))
            raise TryAgain(busy.pause, busy.why, failure, within=ROOM) from None
        if answer.code == "idempotency_key_reuse":  # something on the way sent it twice
            raise ServerError(answer.message, sent=True)
        if answer.status in (200, 201):
            if not isinstance(answer.body, dict) or not words.is_id(answer.body.get("id")):
                raise ServerError(f"{self.url} answers {answer.status}, and names no job", sent=True)
            return self._accepted(answer.body, order)
        if not answer.code:
            raise self._api.unexpected(answer, "a job")
        raise Refused(words.build_refusal(answer.code, _refusal(answer), answer.details))

    async def find_lost(self, order: Order, error: ServerError, note: Note) -> Accepted:
        """Find the job of an order whose answer was lost, in the server's list of jobs.

        Raises:
            ServerError: The job is not there, or the server does not list its jobs.
        """
        note("the answer was lost: looking for the job")
        seen = "it does not list its jobs"
        pauses, until = list(LOOKS_FOR_LOST), time.monotonic() + self._settings.patience
        while pauses:
            await asyncio.sleep(pauses[0])
            try:
                answer = await self._api.request("GET", "/jobs", params={"limit": str(LISTED)})
                if answer.status != 200:
                    break
                seen = "it is not in the list of jobs"
                for job in _listed(answer):
                    if await self._is_ours(job, order, order.since - _clock_ahead(answer)):
                        return self._accepted(job, order)
                pauses.pop(0)
            except ServerError as failure:  # the server may be away for a moment: that is how the answer was lost
                seen = f"its list of jobs can't be read: {failure}"
                pauses[0] = failure.pause if isinstance(failure, Busy) else LOOKS_FOR_LOST[-1]
                if time.monotonic() + pauses[0] > until:
                    break
        raise ServerError(
            f"{error}: whether the job runs is not known ({seen}). Look at {self.url} before you run it again",
            sent=True,
        )

    def _accepted(self, job: Mapping[str, Any], order: Order) -> Accepted:
        self._taken.append(job["id"])
        self._known[job["id"]] = Known(order.binding.prompt, links_of(job))
        return Accepted(job["id"])

    async def _is_ours(self, job: Mapping[str, Any], order: Order, since: float) -> bool:
        created = words.parse_time(job.get("created_at") or job.get("create_time"))
        if job["id"] in self._taken or created is None or created < since - _CLOCKS:
            return False
        prompt = await recorded(self._api, job["id"])
        return words.is_same_prompt(order.binding.prompt, prompt) and job["id"] not in self._taken

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Stay with a run until its outcome is known."""
        known = self._known.setdefault(run.prompt_id, Known())
        await TaskPoller(self._api, run, self._settings.patience, known).until_ended(listen=listen, lost=lost)

    def unfollow(self, run: Follower) -> None:
        """The run has ended, or is left: nothing need be known of it any more."""
        self._known.pop(run.prompt_id, None)

    async def cancel(self, prompt_id: str) -> bool:
        """Take a job out of the queue, or stop it: a server that has no ear for that now is told again.

        Returns whether it was there at all.
        """
        link = self._known[prompt_id].links.get("cancel") if prompt_id in self._known else None
        path = self._api.link(link, f"{job_path(prompt_id)}/cancel")
        answer = await insist(lambda: self._api.request("POST", path, again=True), CANCEL_AGAIN)
        if answer.status == 404 and answer.code:
            return False
        if answer.status not in (200, 202, 409):
            raise self._api.unexpected(answer, "a cancellation")
        self._known.setdefault(prompt_id, Known()).cancelled_at = time.monotonic()
        return True

    # -- outputs -------------------------------------------------------------------------------------------------------

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """The address of an output: that of its content, which does not expire, where a signed one does.

        Raises:
            ComfyKitError: it names a file otherwise.
        """
        id_, name = entry.get("id"), to_encodable(entry["filename"])
        if not isinstance(id_, str):
            raise ComfyKitError(f"{self.url} knows files by their ids only: give the file itself")
        if "." not in name:
            name += mimetypes.guess_extension(str(entry.get("content_type") or "")) or ""
        id_ = to_encodable(id_)
        query = {"filename": name, "id": id_, "job": to_encodable(entry.get("job") or "")}
        return f"{self._api.base}{content_path(id_)}", query

    async def fetch(self, media: Media) -> Path:
        """A local copy of an output, fetched once."""
        async with self._api.connection.moving(media.query["id"]):
            if media.local is None or not media.local.is_file():
                media.local = await download(self._api, media)
        return media.local

    # -- what it is and has --------------------------------------------------------------------------------------------

    async def status(self) -> Server:
        """What it is and does now; never raises for one that is away."""
        try:
            answer = await self._jobs(unfinished=True)
            if answer.status == 200:
                states = [job.get("status") for job in _listed(answer)]
                waiting = states.count("queued")
                running = sum(state in _RUNNING for state in states)
                return Server(self.url, True, None, "Comfy API v2", running, waiting)
            if not answer.code:  # no list: a job that is nowhere is answered in the words of this API
                answer = await self._api.request("GET", f"/jobs/{uuid.UUID(int=0)}")
            if not answer.code:
                raise self._api.unexpected(answer, "a job")
        except ServerError as error:
            return Server(self.url, reachable=False, message=str(error))
        return Server(self.url, True, None, "Comfy API v2")

    async def queued(self) -> list[Job]:
        """See `ComfyKit.queue`."""
        found = await self._list(unfinished=True)
        running = [job for job in found if job.get("status") in _RUNNING]
        waiting = [job for job in reversed(found) if job.get("status") == "queued"]  # the newest is told first
        prompts = await self._recorded([*running, *waiting])
        return [
            *(from_item([0, job["id"], prompts.get(job["id"])], "running") for job in running),
            *(from_item([0, job["id"], prompts.get(job["id"])], "queued", at) for at, job in enumerate(waiting, 1)),
        ]

    async def recent(self, most: int) -> list[Job]:
        """See `ComfyKit.history`; no more than `LISTED` jobs are told."""
        most = how_many(most)
        found = [job for job in await self._list(unfinished=False) if job.get("status") in words.ENDED][:most]
        prompts = await self._recorded(found)
        return [from_record(job["id"], words.build_record(job, prompts.get(job["id"]), {})) for job in found]

    async def _list(self, *, unfinished: bool) -> list[Mapping[str, Any]]:
        answer = await self._jobs(unfinished=unfinished)
        if answer.status != 200:
            raise ComfyKitError(f"{self.url} does not list its jobs: kit.attach(id) shows one")
        return _listed(answer)

    async def _recorded(self, jobs: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any] | None]:
        """What these jobs run, by id; of many only the first are asked for."""
        ids = [job["id"] for job in jobs[:VALUED]]
        found = await asyncio.gather(*(recorded(self._api, id_) for id_ in ids), return_exceptions=True)
        return {id_: None if isinstance(each, BaseException) else each for id_, each in zip(ids, found, strict=True)}

    async def _jobs(self, *, unfinished: bool) -> Answer:
        """The newest jobs; those that are `unfinished` only, where the server can tell them apart."""
        params = {"limit": str(LISTED)}
        if unfinished:
            answer = await self._api.request("GET", "/jobs", params={**params, "status": "queued,running,canceling"})
            if answer.status not in (400, 422):
                return answer
        return await self._api.request("GET", "/jobs", params=params)

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self._api.connection.close()


def _refusal(answer: Answer) -> str:
    """Why a job was refused, and what to do."""
    advice = {
        "insufficient_credits": "there are not enough credits: buy some on the page of your account",
        "deployment_stopped": "the deployment is stopped: start it on its page",
        "missing_asset": "a file that the prompt names is not there any more: give the file itself",
    }
    return ": ".join(filter(None, [answer.message, advice.get(answer.code)]))


def _listed(answer: Answer) -> list[Mapping[str, Any]]:
    body = answer.body if isinstance(answer.body, dict) else {}
    return [job for job in words.filter_objects(body.get("jobs")) if words.is_id(job.get("id"))]


def _clock_ahead(answer: Answer) -> float:
    """By how many seconds our clock is ahead of the server's, as far as it tells the time."""
    try:
        return time.time() - parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
