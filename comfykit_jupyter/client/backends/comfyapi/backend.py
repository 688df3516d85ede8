"""Comfy API v2: Comfy Cloud, its serverless deployments, and comfy-api-proxy in front of a ComfyUI server."""

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
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.base import Backend, Note
from comfykit_jupyter.client.backends.comfyapi.api import Answer, Api, build_job_path, is_temporary
from comfykit_jupyter.client.backends.comfyapi.assets import Assets, build_content_path, download
from comfykit_jupyter.client.backends.comfyapi.follow import JobFacts, TaskPoller, get_links, read_recorded
from comfykit_jupyter.client.backends.follower import Follower
from comfykit_jupyter.client.backends.jobs import Job, build_ended_job, build_queued_job, check_limit
from comfykit_jupyter.client.backends.order import Accepted, Order, Refused, TryAgain
from comfykit_jupyter.client.backends.retry import Busy, retry
from comfykit_jupyter.client.backends.server import Server
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.loop import wait_for
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.clouds import comfyapi as words
from comfykit_jupyter.workflow.file_names import to_encodable

if TYPE_CHECKING:
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Upload

ROOM = 600.0
"""Seconds for which a job is posted again and again to a server that has no room for it, or is not ready yet."""
LOST_LEAST = 10.0
"""Seconds that a lost job is looked for at most, or the kit's patience if that is longer."""
LOST_PAUSES = (0.2, 0.5, 1.0, 2.0)
"""Seconds before each look for a job whose answer was lost."""
CANCEL_PAUSES = (0.3, 0.6, 1.2)
"""Seconds before another attempt to cancel a job, if the server was busy or did not hear it."""
LISTED = 100
"""Maximum number of jobs in a list."""
VALUED = 20
"""How many jobs of a list get their values: each takes a request."""
_CLOCKS = 2.0
"""Seconds by which the clocks of a server may differ."""
_RUNNING = ("running", "canceling")
_ID = r"\w[\w.~=-]{0,1999}"
"""The ID of a file as part of an address: a UUID, or what comfy-api-proxy signs. It is never `..`."""

ASSET = "asset:"
"""What stands before the ID of a file where it is given as a value."""


class ComfyAPI(Backend):
    """One server. It lives on the background loop, but can be created in any thread."""

    accepts_client_ids: ClassVar[bool] = False
    has_object_info: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.url = settings.comfyui_url
        self._settings = settings
        self._api = Api(settings)
        self._assets = Assets(self._api)
        self._accepted: deque[str] = deque(maxlen=1000)
        """The IDs of jobs that are known to be ours; only the newest ones are kept."""
        self._known: dict[str, JobFacts] = {}
        """What is known about the jobs that are followed, by their IDs."""
        self._given: dict[str, Media] = {}
        """The outputs that were given by their IDs, so that each is downloaded once."""

    # -- workflows and their values ------------------------------------------------------------------------------------

    async def get_definitions(self, classes: Iterable[str], *, fresh: bool = False) -> Definitions:  # noqa: ARG002
        """Return nothing: this API does not describe nodes."""
        return {}

    def find_remote_file(self, text: str) -> Any:
        """Return what stands in a prompt for a file that nodes can read, given by its address or as `asset:ID`."""
        id_ = self._find_id(text)
        return words.build_asset(id_) if id_ is not None and _is_uuid(id_) else None

    def find_output(self, text: str) -> Media | None:
        """Return an output that nodes can't read, given by its address or as `asset:ID`; its file name is not known."""
        id_ = self._find_id(text)
        if id_ is None or _is_uuid(id_):
            return None
        if id_ not in self._given:
            self._given[id_] = Media(self, {"filename": "the output", "id": id_}, node="", var="")
        return self._given[id_]

    def spell_file(self, file: Any) -> str:
        """Return `asset:ID` for a file of this server."""
        text = f"{ASSET}{file['info']['id']}" if words.is_asset(file) else str(file)
        id_ = self._find_id(text)
        return text if id_ is None else f"{ASSET}{id_}"

    def _find_id(self, text: str) -> str | None:
        """Return the ID of a file of this server, given by its address or as `asset:ID`."""
        address = rf"{re.escape(self._api.base)}/assets/({_ID})/content"
        found = re.fullmatch(rf"{ASSET}({_ID})|{address}", text, re.ASCII)
        return (found[1] or found[2]) if found else None

    def reference_to(self, media: Media) -> Any:
        """Return what stands in a prompt for an output; None where nodes can't read it.

        comfy-api-proxy names outputs by something other than a UUID, and its nodes can't read them.
        """
        id_ = media.query["id"]
        return words.build_asset(id_, name=media.name) if _is_uuid(id_) else None

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> dict[str, Any]:  # noqa: ARG002
        """Upload a file, unless the server has it already, and return what stands for it in a prompt."""
        return await self._assets.upload(content, suffix)

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def post(self, order: Order) -> Accepted:
        """Send a prompt, in a single attempt.

        Raises:
            Refused: The server rejects the prompt.
            TryAgain: The server has no room at the moment; it says when to ask again.
            ServerError: There is no answer. If `sent`, the job may run anyway.
        """
        body: dict[str, Any] = {"workflow": order.binding.prompt}
        if self._settings.api_key:
            body["extra_data"] = {"api_key_comfy_org": self._settings.api_key}
        content = json.dumps(body, allow_nan=False).encode()
        headers = {"Content-Type": "application/json", "Idempotency-Key": order.id}
        try:
            answer = await self._api.request("POST", "/jobs", content=content, headers=headers)
        except Busy as busy:
            failure = Refused(words.build_refusal(str(busy.code), f"{busy}, for {ROOM / 60:.0f} minutes", None))
            raise TryAgain(busy.pause, busy.why, failure, within=ROOM) from None
        if answer.code == "idempotency_key_reuse":  # something on the way sent it twice
            raise ServerError(answer.message, sent=True)
        if answer.status in (200, 201):
            if not isinstance(answer.body, dict) or not words.is_id(answer.body.get("id")):
                raise ServerError(f"{self.url} answers {answer.status}, and names no job", sent=True)
            if answer.body["id"] in self._accepted:  # a gateway repeats an earlier answer
                raise ServerError(f"{self.url} answers with the job of another run", sent=True)
            return self._accept(answer.body, order)
        if answer.status == HTTPStatus.REQUEST_TIMEOUT or answer.status < HTTPStatus.MULTIPLE_CHOICES:
            raise ServerError(f"{self.url} answers {answer.status} to a job", status=answer.status, sent=True)
        if not answer.code:
            raise self._api.build_error(answer, "a job")
        raise Refused(words.build_refusal(answer.code, _describe_refusal(answer), answer.details))

    async def find_lost(self, order: Order, error: ServerError, note: Note) -> Accepted:
        """Find the job of an order whose answer was lost, in the server's list of jobs.

        Raises:
            ServerError: The job is not there, or the server does not list its jobs.
        """
        note("the answer was lost: looking for the job")
        within = max(self._settings.patience, LOST_LEAST)
        try:
            found = await wait_for(self._look_for_lost(order), within)
        except asyncio.TimeoutError:
            found = f"its jobs could not be read within {within:g} s"
        if isinstance(found, Accepted):
            return found
        raise ServerError(
            f"{error}: the job may be running ({found}). Look at {self.url} before you run it again",
            sent=True,
        )

    async def _look_for_lost(self, order: Order) -> Accepted | str:
        """Return the job of an order, or why it was not found."""
        seen = "it does not expose its jobs"
        pauses, until = list(LOST_PAUSES), time.monotonic() + self._settings.patience
        others: set[str] = set()
        while pauses:
            await asyncio.sleep(pauses[0])
            try:
                answer = await self._api.request("GET", "/jobs", params={"limit": str(LISTED)}, long=True)
                if answer.status != 200:
                    break
                seen = "it is not in the list of jobs"
                for job in _parse_jobs(answer):
                    if job["id"] in others:  # their prompts were read in an earlier round
                        continue
                    if await self._is_ours(job, order, order.since - _measure_clock(answer)):
                        return self._accept(job, order)
                    others.add(job["id"])
                pauses.pop(0)
            except ServerError as failure:  # the server may be away for a moment: that is how the answer was lost
                seen = f"its list of jobs can't be read: {failure}"
                pauses[0] = failure.pause if isinstance(failure, Busy) else LOST_PAUSES[-1]
                if time.monotonic() + pauses[0] > until:
                    break
        return seen

    def _accept(self, job: Mapping[str, Any], order: Order) -> Accepted:
        self._accepted.append(job["id"])
        self._known[job["id"]] = JobFacts(order.binding.prompt, get_links(job))
        return Accepted(job["id"])

    async def _is_ours(self, job: Mapping[str, Any], order: Order, since: float) -> bool:
        created = words.parse_time(job.get("created_at") or job.get("create_time"))
        if job["id"] in self._accepted or created is None or created < since - _CLOCKS:
            return False
        prompt = await read_recorded(self._api, job["id"])
        return words.is_same_prompt(order.binding.prompt, prompt) and job["id"] not in self._accepted

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Follow a job until it ends."""
        known = self._known.setdefault(run.prompt_id, JobFacts())
        await TaskPoller(self._api, run, self._settings.patience, known).follow(listen=listen, lost=lost)

    async def is_unfinished(self, prompt_id: str) -> bool:
        """Return whether a job waits or runs."""
        if not words.is_id(prompt_id):
            return False
        answer = await self._api.request("GET", build_job_path(prompt_id))
        if answer.status == 200 and isinstance(answer.body, dict):
            return answer.body.get("status") not in (*words.ENDED, "expired")
        if answer.status == 404 and answer.code:
            return False
        raise self._api.build_error(answer, "a job")

    def unfollow(self, run: Follower) -> None:
        """Forget what is known about a job."""
        self._known.pop(run.prompt_id, None)

    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a queued or running job, retrying while the server is busy. Return whether it was there."""
        link = self._known[prompt_id].links.get("cancel") if prompt_id in self._known else None
        path = self._api.resolve_link(link, f"{build_job_path(prompt_id)}/cancel")
        answer = await retry(lambda: self._api.request("POST", path, again=True), CANCEL_PAUSES, is_temporary)
        if answer.status == 404 and answer.code:
            return False
        if answer.status not in (200, 202, 409):
            raise self._api.build_error(answer, "a cancellation")
        self._known.setdefault(prompt_id, JobFacts()).cancelled_at = time.monotonic()
        return True

    # -- outputs -------------------------------------------------------------------------------------------------------

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the address of an output's content. It does not expire, as a signed address would.

        Raises:
            ComfyKitError: The file has no ID.
        """
        id_, name = entry.get("id"), to_encodable(entry["filename"])
        if not isinstance(id_, str):
            raise ComfyKitError(f"{self.url} knows files only by their IDs: give the file itself")
        if "." not in name:
            name += mimetypes.guess_extension(str(entry.get("content_type") or "")) or ""
        id_ = to_encodable(id_)
        query = {"filename": name, "id": id_, "job": to_encodable(entry.get("job") or "")}
        return f"{self._api.base}{build_content_path(id_)}", query

    async def fetch(self, media: Media) -> Path:
        """Return a local copy of an output, downloaded once."""
        async with self._api.connection.lock_file(media.query["id"]):
            if media.local is None or not media.local.is_file():
                media.local = await download(self._api, media)
        return media.local

    # -- the server ---------------------------------------------------------------------------------------------------

    async def status(self) -> Server:
        """Return the state of the server. Never raises for one that can't be reached."""
        try:
            answer = await self._request_jobs(unfinished=True)
            if answer.status == 200:
                states = [job.get("status") for job in _parse_jobs(answer)]
                waiting = states.count("queued")
                running = sum(state in _RUNNING for state in states)
                return Server(self.url, True, None, "Comfy API v2", running, waiting)
            if not answer.code:  # there is no list: does the server answer to an unknown job as this API does?
                answer = await self._api.request("GET", f"/jobs/{uuid.UUID(int=0)}")
            if not answer.code:
                raise self._api.build_error(answer, "a job")
        except ServerError as error:
            return Server(self.url, reachable=False, message=str(error))
        return Server(self.url, True, None, "Comfy API v2")

    async def list_queue(self) -> list[Job]:
        """See `ComfyKit.queue`."""
        found = await self._list_jobs(unfinished=True)
        running = [job for job in found if job.get("status") in _RUNNING]
        waiting = [job for job in reversed(found) if job.get("status") == "queued"]  # the newest comes first
        prompts = await self._read_prompts([*running, *waiting])
        sent = await asyncio.to_thread(job_log.find_sent_jobs, self.url)
        owners = {job.prompt_id: job.sender.owner for job in sent}

        def build(job: Mapping[str, Any], status: str, place: int | None = None) -> Job:
            id_ = job["id"]
            return build_queued_job([0, id_, prompts.get(id_)], status, place, owner=owners.get(id_, "other"))

        return [
            *(build(job, "running") for job in running),
            *(build(job, "queued", place) for place, job in enumerate(waiting, 1)),
        ]

    async def list_history(self, most: int) -> list[Job]:
        """See `ComfyKit.history`; at most `LISTED` jobs are returned."""
        most = check_limit(most)
        found = [job for job in await self._list_jobs(unfinished=False) if job.get("status") in words.ENDED][:most]
        prompts = await self._read_prompts(found)
        return [build_ended_job(job["id"], words.build_record(job, prompts.get(job["id"]), {})) for job in found]

    async def _list_jobs(self, *, unfinished: bool) -> list[Mapping[str, Any]]:
        answer = await self._request_jobs(unfinished=unfinished)
        if answer.status != 200:
            raise ComfyKitError(f"{self.url} does not expose its jobs: kit.attach(ID) follows one")
        return _parse_jobs(answer)

    async def _read_prompts(self, jobs: list[Mapping[str, Any]]) -> dict[str, Mapping[str, Any] | None]:
        """Return the prompts of jobs, by ID; of many jobs only the first ones are asked for."""
        ids = [job["id"] for job in jobs[:VALUED]]
        found = await asyncio.gather(*(read_recorded(self._api, id_) for id_ in ids), return_exceptions=True)
        return {id_: None if isinstance(each, BaseException) else each for id_, each in zip(ids, found, strict=True)}

    async def _request_jobs(self, *, unfinished: bool) -> Answer:
        """Ask for the newest jobs; with `unfinished` only for those, if the server can filter them."""
        params = {"limit": str(LISTED)}
        if unfinished:
            answer = await self._api.request("GET", "/jobs", params={**params, "status": "queued,running,canceling"})
            if answer.status not in (400, 422):
                return answer
        return await self._api.request("GET", "/jobs", params=params)

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self._api.connection.close()


def _describe_refusal(answer: Answer) -> str:
    """Return why a job was rejected, and what to do."""
    advice = {
        "insufficient_credits": "there are not enough credits: buy some on the page of your account",
        "deployment_stopped": "the deployment is stopped: start it on its page",
        "missing_asset": "a file of the prompt is no longer there: give the file itself",
    }
    return ": ".join(filter(None, [answer.message, advice.get(answer.code)]))


def _parse_jobs(answer: Answer) -> list[Mapping[str, Any]]:
    body = answer.body if isinstance(answer.body, dict) else {}
    return [job for job in words.filter_objects(body.get("jobs")) if words.is_id(job.get("id"))]


def _measure_clock(answer: Answer) -> float:
    """Return the seconds by which our clock is ahead of the server's; 0 if it does not send the time."""
    try:
        return time.time() - parsedate_to_datetime(answer.headers.get("date", "")).timestamp()
    except (ValueError, TypeError, OverflowError, IndexError):
        return 0.0


def _is_uuid(text: str) -> bool:
    try:
        return str(uuid.UUID(text)) == text.lower()
    except ValueError:
        return False
