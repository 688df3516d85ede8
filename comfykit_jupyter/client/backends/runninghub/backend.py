"""RunningHub: workflows and AI apps that lie in its cloud, run there by their ids.

Its facts, for whoever changes this: every answer is HTTP 200 with a code; a task that is created is paid by the second,
so that it is never created twice; seeds that are not sent are drawn anew; files live for a day. The two sites,
runninghub.ai and runninghub.cn, share neither keys nor workflows.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
import time
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

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
from comfykit_jupyter.client.backends.runninghub.api import Answer, Api, Busy, told_of
from comfykit_jupyter.client.backends.runninghub.files import Files
from comfykit_jupyter.client.backends.runninghub.follow import TaskPoller
from comfykit_jupyter.client.backends.runninghub.task import CloudTask
from comfykit_jupyter.client.errors import ComfyKitError, Problem, ServerError, SourceError, WorkflowError
from comfykit_jupyter.client.results.media import Media, to_encodable
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.clouds.runninghub_app import build_app_prompt
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
from comfykit_jupyter.workflow.untrusted_json import to_mapping
from comfykit_jupyter.workflow.workflow import Workflow

if TYPE_CHECKING:
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.binding import Upload
    from comfykit_jupyter.workflow.nodes import Definitions

GRAPH_LIFE = 60.0
"""Seconds for which a workflow that was read is believed: its author may change it."""

RECONNECT = 2.0
"""Seconds until a task is offered again to a site that was not reached; half as many more each time."""
MOST_TASKS = 100
_SENT = re.compile(r"(open)?api/[^\s]{1,300}|[0-9a-f]{32,128}")
"""What the site calls the files that it was sent; archives by their digest alone."""

_places: WeakValueDictionary[tuple[Any, ...], asyncio.Semaphore] = WeakValueDictionary()
"""By site, key, number, and event loop: the tasks that may run at a time, of all kits of this process."""


class RunningHub(Backend):
    """The cloud, for one key. Lives on the background loop; made without contacting it."""

    accepts_client_ids: ClassVar[bool] = False
    has_object_info: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.url = settings.runninghub_url
        self.settings = settings
        self.api = Api(settings)
        self.files = Files(self.api, max(0, settings.runninghub_retry_count))
        self.tasks: OrderedDict[str, CloudTask] = OrderedDict()
        """What was told of tasks when they were created, by their ids."""
        self.cancelled: set[str] = set()
        """Tasks that somebody here wants cancelled."""
        self._workflows: dict[HostedWorkflow, tuple[float, Workflow, Definitions]] = {}
        self._holding: dict[str, asyncio.Semaphore] = {}
        self._lost: dict[str, ServerError] = {}
        """By run: whether its task was created is not known."""

    # -- workflows and their values ------------------------------------------------------------------------------------

    async def read_hosted(self, hosted: HostedWorkflow) -> Workflow:
        """Read a workflow: its graph, or, of an app, the inputs that may be set.

        Raises:
            SourceError: The site does not have it, or does not give it.
            ServerError: The site can't be reached, or rejects the key.
        """
        if hosted.is_on_other_site(self.url):
            site = one_line(hosted.site, 60)
            raise SourceError(
                f"the page is on {site}, and this kit uses {self.url}: the sites share no keys and no workflows; "
                f"with a key of that site, give runninghub_url={site!r}"
            )
        return (await self._read(HostedWorkflow(hosted.id, hosted.app)))[0]

    async def _read(self, hosted: HostedWorkflow) -> tuple[Workflow, Definitions]:
        async with self.api.connection.moving(hosted.name):
            at, workflow, definitions = self._workflows.get(hosted, (float("-inf"), None, {}))
            if workflow is None or time.monotonic() - at > GRAPH_LIFE:
                workflow, definitions = await (self._app(hosted) if hosted.app else self._graph(hosted))
                self._workflows[hosted] = (time.monotonic(), workflow, definitions)
        return workflow, definitions

    async def _graph(self, hosted: HostedWorkflow) -> tuple[Workflow, Definitions]:
        answer = await self.api.ask("/api/openapi/getJsonApiFormat", {"workflowId": hosted.id})
        if not words.is_success(answer.code):
            raise self._refuses(answer, f"the workflow {hosted.id}")
        graph: Any = to_mapping(answer.data).get("prompt")
        try:
            found = await asyncio.to_thread(
                Workflow.parse, graph if isinstance(graph, str) else to_mapping(graph), hosted.id
            )
            return Workflow(hosted.id, found.prompt, found.extra_pnginfo, hosted=hosted), {}
        except WorkflowError as error:
            raise SourceError(f"{self.url} gives no graph of the workflow {hosted.id}: {error}") from None

    async def _app(self, hosted: HostedWorkflow) -> tuple[Workflow, Definitions]:
        answer = await self.api.app_demo(hosted.id)
        if not words.is_success(answer.code):
            raise self._refuses(answer, f"the app {hosted.id}")
        told = to_mapping(answer.data)
        name = one_line(str(told.get("webappName") or hosted.id), 80)
        prompt, definitions = build_app_prompt(told, hosted, f"the app {name}")
        return Workflow(name, prompt, hosted=hosted), definitions

    def _refuses(self, answer: Answer, what: str) -> ComfyKitError:
        line = self.api.line(answer, what)
        return ServerError(line, status=401) if answer.code in words.KEY else SourceError(line)

    async def definitions(self, classes: Iterable[str], *, fresh: bool = False) -> Definitions:  # noqa: ARG002
        """Those of the apps that were read: the site does not describe the nodes of a workflow."""
        wanted = set(classes)
        found: dict[str, Any] = {}
        for _, workflow, definitions in self._workflows.values():
            if workflow.classes == wanted:
                found |= definitions
        return found

    async def preflight(self, workflow: Workflow) -> list[Problem]:  # noqa: ARG002 - of the account, whatever the workflow
        """What the account lacks."""
        there = await self.status()
        return [] if there.reachable else [Problem("", there.message, kind="unreachable")]

    def find_remote_file(self, text: str) -> str | None:
        """The name of a file that was sent there, as nodes know it."""
        return text if _SENT.fullmatch(text) else None

    def reference_to(self, media: Media) -> None:  # noqa: ARG002
        """Nothing: its nodes can't have the outputs of an earlier task, these are sent again."""
        return

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> str:
        """Send a file, unless that was done lately; returns the name by which nodes know it there."""
        return await self.files.upload(content, suffix, needed)

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def prepare(self, order: Order, note: Note) -> None:
        """Check an order, and wait until fewer tasks run than the account may have: the site would reject it.

        Raises:
            ParameterError: The saved workflow has no such input.
            ComfyKitError: The workflow is not one of RunningHub.
        """
        self._request(order)
        most = self.settings.runninghub_concurrency
        key = (self.url, self.api.key, most, id(asyncio.get_running_loop()))
        places = _places.get(key)
        if places is None:
            places = _places[key] = asyncio.Semaphore(most)
        if places.locked():
            note(f"waiting for a place: {most} at a time (runninghub_concurrency)")
        await places.acquire()
        self._holding[order.id] = places
        note("")

    async def post(self, order: Order) -> Accepted:
        """Create the task, in a single attempt.

        Raises:
            Refused: The site rejects it for good, and says why.
            TryAgain: The site rejects it for the moment, or could not be reached.
            ServerError: There is no answer; if `sent`, it is not known whether the task runs.
        """
        path, body = self._request(order)
        try:
            answer = await self.api.post(path, body)
        except Busy as busy:
            raise self._try_again(order, busy, busy.pause or words.BACK_OFF[429]) from None
        except ServerError as error:
            if error.sent:
                raise self._unknown(order.id, str(error)) from None
            if error.status is None:  # no connection: nothing was sent
                raise self._try_again(order, error, RECONNECT) from None
            raise
        told = to_mapping(answer.data) or told_of(answer)
        code = answer.code if "code" in answer.body else words.parse_code(told.get("errorCode") or 0)
        task_id = _id(told.get("taskId"))
        if task_id and (words.is_success(code) or code in words.PENDING):
            return await self._accepted(task_id, told)
        if code is not None and code in words.BACK_OFF:
            failure = ServerError(self.api.line(answer, "the task"), status=429)
            raise self._try_again(order, failure, words.BACK_OFF[code], code)
        if code is None or words.is_success(code) or code in words.UNKNOWN:
            raise self._unknown(
                order.id, f"{self.url} answers without a task: {words.format_reason(code, answer.said)}"
            )
        refusal = words.build_refusal(code, answer.said, told.get("promptTips"))
        refusal["error"]["message"] += self.api.hint(code)
        raise Refused(refusal)

    def _try_again(self, order: Order, failure: ServerError, pause: float, code: int | None = None) -> TryAgain:
        """Return the exception for a task that was not created. Waiting behind other tasks has no limit."""
        retries = None if code in words.QUEUES else max(0, self.settings.runninghub_retry_count)
        why = one_line(str(failure), 100) if code is None else words.describe_code(code)
        return TryAgain(lengthen(pause, order.attempt), why, failure, retries=retries)

    def _request(self, order: Order) -> tuple[str, dict[str, Any]]:
        hosted = order.workflow.hosted
        if hosted is None:
            raise ComfyKitError(f"{one_line(order.workflow.name)} is no workflow of RunningHub")
        body: dict[str, Any] = {
            "apiKey": self.api.key,
            "nodeInfoList": words.build_node_info(order.workflow, order.binding),
        }
        if hosted.app:
            path, body["webappId"] = "/task/openapi/ai-app/run", int(hosted.id)
        else:
            path, body["workflowId"] = "/task/openapi/create", hosted.id
        if self.settings.runninghub_instance_type:
            body["instanceType"] = self.settings.runninghub_instance_type
        return path, body

    def unfollow(self, run: Follower) -> None:
        """The next task has its place."""
        if (places := self._holding.pop(run.id, None)) is not None:
            places.release()
        self.tasks.pop(run.prompt_id, None)
        self.cancelled.discard(run.prompt_id)
        self._lost.pop(run.id, None)

    async def _accepted(self, task_id: str, told: Mapping[str, Any]) -> Accepted:
        tips = words.parse_tips(told.get("promptTips"))
        state = str(told.get("taskStatus") or told.get("status") or "").upper()
        if tips and words.is_refused(tips, state):
            if state != "FAILED":  # nothing of it is of use, and it would be paid
                with contextlib.suppress(ServerError):
                    await self.cancel(task_id)
            raise Refused(words.build_refusal(0, "", told.get("promptTips")), task_id)
        socket = told.get("netWssUrl")
        self.tasks[task_id] = CloudTask(
            socket if isinstance(socket, str) and socket else None, words.find_remark(told.get("promptTips"))
        )
        while len(self.tasks) > MOST_TASKS:
            self.tasks.popitem(last=False)
        return Accepted(task_id, words.build_node_errors(tips))

    def _unknown(self, id_: str, why: str) -> ServerError:
        error = ServerError(
            f"whether the task runs is not known: {why}. It is not sent again, since it would be paid twice: look at "
            f"the records of your calls on {self.url}; kit.attach(TASK_ID) takes up one that is there",
            sent=True,
        )
        self._lost[id_] = error
        return error

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Stay with a task until its outcome is known, or it has run for longer than it may.

        Raises:
            ServerError: nobody knows whether there is a task: the caller left while it was created.
        """
        if run.ended:  # it was refused, or nobody knows whether it was taken
            return
        if not _id(run.prompt_id):
            if run.id in self._lost:
                raise self._lost[run.id]
            run.on_missing()
            return
        await TaskPoller(self, run, self.settings.runninghub_timeout).until_ended(listen=listen, lost=lost)

    async def cancel(self, prompt_id: str) -> bool:
        """Take a task out of the queue, or stop it; what it ran until then is paid. Returns whether it was there."""
        self.cancelled.add(prompt_id)
        answer = await self.api.ask("/task/openapi/cancel", {"taskId": prompt_id}, again=1)
        if answer.code in words.MISSING:
            return False
        if not words.is_success(answer.code):
            raise ServerError(self.api.line(answer, "to cancel the task"))
        return True

    # -- outputs -------------------------------------------------------------------------------------------------------

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """The address of an output, which is good for a day.

        Raises:
            ComfyKitError: it is no output: what was sent there can't be had back.
        """
        url = entry.get("url")
        if not isinstance(url, str):
            raise ComfyKitError(f"{self.url} does not give back the files that it was sent")
        return to_encodable(url), {"filename": to_encodable(entry["filename"])}

    async def fetch(self, media: Media) -> Path:
        """The local copy, which was made when the run ended; else one is made now."""
        if media.local is None or not media.local.is_file():
            media.local = await self.files.copy(str(media), media.name)
        return media.local

    # -- what it is and has --------------------------------------------------------------------------------------------

    async def status(self) -> Server:
        """What the account has and does now; never raises for a site that is away."""
        try:
            answer = await self.api.ask("/uc/openapi/accountStatus", {"apikey": self.api.key}, again=0)
            if not words.is_success(answer.code):
                raise ServerError(self.api.line(answer, "the key"))
        except ServerError as error:
            return Server(self.url, reachable=False, message=str(error))
        told = told_of(answer)
        has = [
            f"{one_line(str(told[key]), 40)} {what}"
            for key, what in (
                ("remainCoins", "coins"),
                ("remainMoney", one_line(str(told.get("currency") or "money"), 10)),
            )
            if told.get(key)
        ]
        running = words.parse_code(told.get("currentTaskCounts")) or 0
        return Server(self.url, True, None, f"RunningHub, {' and '.join(has) or 'no balance told'}", running)

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self.api.connection.close()


def lengthen(pause: float, attempt: int) -> float:
    """Return the seconds before the next attempt: half as many more each time, and not the same for all runs."""
    return min(pause * 1.5 ** min(attempt, 20), words.BACK_OFF_MOST) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret


def _id(value: Any) -> str:
    """The id of a task, which is text or a number."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text if text.isascii() and text.isdigit() else ""
