"""RunningHub: workflows and AI apps that are stored in its cloud and run there by their IDs, or graphs sent to it.

What to know before you change this:

- Every answer is HTTP 200 with a code.
- A task is paid by the second, so it is never created twice.
- The site draws every seed that it is not sent again. The seeds of a graph that is sent can't be sent beside it.
- Files are kept for a day.
- The two sites, runninghub.ai and runninghub.cn, share neither keys nor workflows.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
import re
import time
from collections import OrderedDict, deque
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar
from weakref import WeakValueDictionary

from comfykit_jupyter.client.backends.base import Backend, Note
from comfykit_jupyter.client.backends.follower import Follower
from comfykit_jupyter.client.backends.order import Accepted, Order, Refused, TryAgain
from comfykit_jupyter.client.backends.retry import Busy
from comfykit_jupyter.client.backends.runninghub.api import Answer, Api, find_object
from comfykit_jupyter.client.backends.runninghub.files import Files
from comfykit_jupyter.client.backends.runninghub.follow import TaskPoller
from comfykit_jupyter.client.backends.runninghub.look import is_unfinished
from comfykit_jupyter.client.backends.runninghub.task import CloudTask
from comfykit_jupyter.client.backends.server import Server
from comfykit_jupyter.client.errors import ComfyKitError, Problem, ServerError, SourceError, WorkflowError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.clouds.runninghub_app import build_app_prompt
from comfykit_jupyter.workflow.document.workflow import Workflow
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.file_names import to_encodable
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
from comfykit_jupyter.workflow.untrusted_json import to_mapping

if TYPE_CHECKING:
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Upload

GRAPH_LIFE = 60.0
"""Seconds for which a workflow is kept after it was read: its author may change it."""
RECONNECT = 2.0
"""Seconds before another attempt to create a task when the site was not reached; longer by half each time."""
MAX_TASKS = 10_000
"""Maximum number of tasks that are remembered; the oldest is forgotten first."""
_UPLOADED = re.compile(r"(open)?api/[^\s]{1,300}|[0-9a-f]{32,128}")
"""The site's names for uploaded files; archives are named by their digest alone."""

_ANY_WORKFLOW = "1"
"""The ID beside a graph that is sent: the site wants one, and ignores it."""

_places: WeakValueDictionary[tuple[Any, ...], asyncio.Semaphore] = WeakValueDictionary()
"""How many tasks may run at a time, for all kits of this process: by site, key, number and event loop."""


class RunningHub(Backend):
    """The cloud, for one key. It lives on the background loop, but can be created in any thread."""

    memory_advice: ClassVar[str] = (
        'use a smaller size, length or batch, or a machine with more memory: runninghub_instance_type="plus"'
    )
    url_setting: ClassVar[str] = "runninghub_url"
    accepts_client_ids: ClassVar[bool] = False
    has_object_info: ClassVar[bool] = False

    def __init__(self, settings: Settings) -> None:
        self.url = settings.runninghub_url
        self._settings = settings
        self._api = Api(settings)
        self._files = Files(self._api)
        self._tasks: OrderedDict[str, CloudTask] = OrderedDict()
        self._workflows: dict[HostedWorkflow, tuple[float, Workflow, Definitions]] = {}
        self._holding: dict[str, asyncio.Semaphore] = {}
        """The place that a run holds, by the run's ID."""
        self._lost: dict[str, ServerError] = {}
        """Why it is not known whether a run's task was created, by the run's ID."""
        self._created: deque[str] = deque(maxlen=MAX_TASKS)
        """The IDs of the newest tasks, to recognize an answer that is repeated."""

    # -- workflows and their values ------------------------------------------------------------------------------------

    async def read_hosted(self, hosted: HostedWorkflow) -> Workflow:
        """Read a workflow: its graph, or, of an app, the inputs that can be set.

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
        hosted = HostedWorkflow(hosted.id, hosted.app)
        async with self._api.connection.lock_file(hosted.name):
            at, workflow, definitions = self._workflows.get(hosted, (float("-inf"), None, {}))
            if workflow is None or time.monotonic() - at > GRAPH_LIFE:
                workflow, definitions = await (self._read_app(hosted) if hosted.app else self._read_graph(hosted))
                self._workflows[hosted] = (time.monotonic(), workflow, definitions)
        return workflow

    async def _read_graph(self, hosted: HostedWorkflow) -> tuple[Workflow, Definitions]:
        answer = await self._api.ask("/api/openapi/getJsonApiFormat", {"workflowId": hosted.id})
        if not words.is_success(answer.code):
            raise self._build_refusal(answer, f"the workflow {hosted.id}")
        graph: Any = to_mapping(answer.data).get("prompt")
        try:
            found = await asyncio.to_thread(
                Workflow.parse, graph if isinstance(graph, str) else to_mapping(graph), hosted.id
            )
            return Workflow(hosted.id, found.prompt, found.extra_pnginfo, hosted=hosted), {}
        except WorkflowError as error:
            raise SourceError(f"{self.url} gives no graph for the workflow {hosted.id}: {error}") from None

    async def _read_app(self, hosted: HostedWorkflow) -> tuple[Workflow, Definitions]:
        answer = await self._api.read_app(hosted.id)
        if not words.is_success(answer.code):
            raise self._build_refusal(answer, f"the app {hosted.id}")
        demo = to_mapping(answer.data)
        name = one_line(str(demo.get("webappName") or hosted.id), 80)
        prompt, definitions = build_app_prompt(demo, hosted, f"the app {name}")
        return Workflow(name, prompt, hosted=hosted), definitions

    def _build_refusal(self, answer: Answer, what: str) -> ComfyKitError:
        line = self._api.format_refusal(answer, what)
        return ServerError(line, status=401) if answer.code in words.KEY else SourceError(line)

    async def get_definitions(self, classes: Iterable[str], *, fresh: bool = False) -> Definitions:  # noqa: ARG002
        """Return the definitions for the apps that were read: the site does not describe the nodes of a workflow."""
        wanted = set(classes)
        found: dict[str, Any] = {}
        for _, workflow, definitions in self._workflows.values():
            if workflow.classes == wanted:
                found |= definitions
        return found

    async def preflight(self, workflow: Workflow) -> list[Problem]:  # noqa: ARG002
        """Return what is wrong with the account, whatever the workflow."""
        account = await self.status()
        return [] if account.reachable else [Problem("", account.message, kind="unreachable")]

    def find_remote_file(self, text: str) -> str | None:
        """Return the text if it is the name of a file that was uploaded."""
        return text if _UPLOADED.fullmatch(text) else None

    def reference_to(self, media: Media) -> None:  # noqa: ARG002
        """Return None: nodes can't read the outputs of an earlier task, so these are uploaded."""
        return

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> str:
        """Upload a file, unless that was done lately, and return the name that nodes know it by."""
        return await self._files.upload(content, suffix, needed)

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def prepare(self, order: Order, note: Note) -> None:
        """Check an order, and wait until fewer tasks run than the account may have: the site would reject it.

        Raises:
            ParameterError: The saved workflow has no such input.
        """
        self._build_request(order)
        most = self._settings.runninghub_concurrency
        key = (self.url, self._api.key, most, id(asyncio.get_running_loop()))
        places = _places.get(key)
        if places is None:
            places = _places[key] = asyncio.Semaphore(most)
        if places.locked():
            note(f"waiting for a free slot: {most} at a time (runninghub_concurrency)")
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
        path, body = self._build_request(order)
        try:
            answer = await self._api.post(path, body)
        except Busy as busy:
            raise self._try_again(order, busy, busy.pause or words.BACK_OFF[429]) from None
        except ServerError as error:
            if error.sent:
                raise self._note_lost(order.id, str(error)) from None
            if error.status is None:  # no connection: nothing was sent
                raise self._try_again(order, error, RECONNECT) from None
            raise
        created = to_mapping(answer.data) or find_object(answer)
        code = answer.code if "code" in answer.body else words.parse_code(created.get("errorCode") or 0)
        task_id = _parse_id(created.get("taskId"))
        if task_id in self._created:  # a gateway repeats an earlier answer
            raise self._note_lost(order.id, f"the answer of {self.url} names the task of another run")
        if task_id and (words.is_success(code) or code in words.PENDING):
            self._created.append(task_id)
            accepted = await self._accept(task_id, created)
            if order.workflow.hosted is None and words.has_seeds(order.binding.prompt):
                self._find_task(task_id).warnings.append(words.SEEDS_MAY_DIFFER)
            return accepted
        if password := self._settings.runninghub_access_password:
            answer = answer.remove_password(password)
            created = to_mapping(answer.data) or find_object(answer)
        if code is not None and code in words.BACK_OFF:
            failure = ServerError(self._api.format_refusal(answer, "the task"), status=429)
            raise self._try_again(order, failure, words.BACK_OFF[code], code)
        if code is None or words.is_success(code) or code in words.UNKNOWN:
            raise self._note_lost(
                order.id, f"the answer of {self.url} names no task: {words.format_reason(code, answer.message)}"
            )
        refusal = words.build_refusal(code, answer.message, created.get("promptTips"))
        refusal["error"]["message"] += self._api.find_hint(code)
        raise Refused(refusal)

    def _build_request(self, order: Order) -> tuple[str, dict[str, Any]]:
        hosted = order.workflow.hosted
        body: dict[str, Any] = {"apiKey": self._api.key}
        if hosted is None:  # the values are in the graph: a list of them would have to fit a saved workflow
            graph = json.dumps(order.binding.prompt, ensure_ascii=False, allow_nan=False)
            body |= {"nodeInfoList": [], "workflow": graph}
        else:
            body["nodeInfoList"] = words.build_node_info(order.workflow, order.binding)
        if hosted is None:
            path, body["workflowId"] = "/task/openapi/create", _ANY_WORKFLOW
        elif hosted.app:
            path, body["webappId"] = "/task/openapi/ai-app/run", int(hosted.id)
        else:
            path, body["workflowId"] = "/task/openapi/create", hosted.id
        settings = self._settings
        options = {
            "instanceType": settings.runninghub_instance_type,
            "usePersonalQueue": settings.runninghub_use_personal_queue,
            "retainSeconds": settings.runninghub_retain_seconds,
            "accessPassword": settings.runninghub_access_password,
        }
        return path, {**body, **{name: value for name, value in options.items() if value}}

    def _try_again(self, order: Order, failure: ServerError, pause: float, code: int | None = None) -> TryAgain:
        """Return the exception for a task that was not created. Waiting behind other tasks has no limit."""
        retries = None if code in words.QUEUES else max(0, self._settings.runninghub_retry_count)
        why = one_line(str(failure), 100) if code is None else words.describe_code(code)
        return TryAgain(compute_next_pause(pause, order.attempt), why, failure, retries=retries)

    async def _accept(self, task_id: str, created: Mapping[str, Any]) -> Accepted:
        tips = words.parse_tips(created.get("promptTips"))
        state = str(created.get("taskStatus") or created.get("status") or "").upper()
        if tips and words.is_refused(tips, state):
            if state != "FAILED":  # no part of it would be of use, and it would be paid for
                with contextlib.suppress(ServerError):
                    await self.cancel(task_id)
            raise Refused(words.build_refusal(0, "", created.get("promptTips")), task_id)
        socket = created.get("netWssUrl")
        task = self._find_task(task_id)
        task.socket = socket if isinstance(socket, str) and socket else None
        task.remark = words.find_remark(created.get("promptTips"))
        return Accepted(task_id, words.build_node_errors(tips))

    def _find_task(self, task_id: str) -> CloudTask:
        task = self._tasks.setdefault(task_id, CloudTask())
        if len(self._tasks) > MAX_TASKS:
            self._tasks.popitem(last=False)
        return task

    def _note_lost(self, run_id: str, why: str) -> ServerError:
        """Return the error for a task that may or may not have been created, and keep it for `follow`."""
        error = ServerError(
            f"the task may be running: {why}. It was not sent again, because you would pay twice. Look for it in the "
            f"records of your calls on {self.url}, and follow it with kit.attach(TASK_ID)",
            sent=True,
        )
        self._lost[run_id] = error
        return error

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Follow a task until it ends, or has run for longer than it may.

        Raises:
            ServerError: It is not known whether there is a task: the caller left while it was created.
        """
        if run.ended:  # it was refused, or it is not known whether it was accepted
            return
        if not _parse_id(run.prompt_id):
            if run.id in self._lost:
                raise self._lost[run.id]
            run.on_missing()
            return
        task = self._find_task(run.prompt_id)
        poller = TaskPoller(self._api, self._files, run, task, self._settings.runninghub_timeout)
        await poller.follow(listen=listen, lost=lost)

    async def is_unfinished(self, prompt_id: str) -> bool:
        """Return whether a task waits or runs."""
        return await is_unfinished(self._api, prompt_id)

    def unfollow(self, run: Follower) -> None:
        """Give the run's place to the next one."""
        if (places := self._holding.pop(run.id, None)) is not None:
            places.release()
        self._tasks.pop(run.prompt_id, None)
        self._lost.pop(run.id, None)

    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a queued or running task; the time that it ran is paid. Return whether it was there."""
        self._find_task(prompt_id).cancelled = True
        answer = await self._api.ask("/task/openapi/cancel", {"taskId": prompt_id}, retries=1)
        if answer.code in words.MISSING:
            return False
        if not words.is_success(answer.code):
            raise ServerError(self._api.format_refusal(answer, "to cancel the task"))
        return True

    # -- outputs -------------------------------------------------------------------------------------------------------

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the address of an output, which is valid for a day.

        Raises:
            ComfyKitError: It is not an output: uploaded files can't be downloaded again.
        """
        url = entry.get("url")
        if not isinstance(url, str):
            raise ComfyKitError(f"{self.url} does not give back uploaded files")
        return to_encodable(url), {"filename": to_encodable(entry["filename"])}

    async def fetch(self, media: Media) -> Path:
        """Return the local copy, which was made when the run ended; if it is gone, make another one."""
        if media.local is None or not media.local.is_file():
            media.local = await self._files.copy(str(media), media.name)
        return media.local

    # -- the account ---------------------------------------------------------------------------------------------------

    async def status(self) -> Server:
        """Return the account's balance and running tasks. Never raises for a site that can't be reached."""
        try:
            answer = await self._api.ask("/uc/openapi/accountStatus", {"apikey": self._api.key}, retries=0)
            if not words.is_success(answer.code):
                raise ServerError(self._api.format_refusal(answer, "the key"))
        except ServerError as error:
            return Server(self.url, reachable=False, message=str(error))
        account = find_object(answer)
        has = [
            f"{one_line(str(account[key]), 40)} {what}"
            for key, what in (
                ("remainCoins", "coins"),
                ("remainMoney", one_line(str(account.get("currency") or "money"), 10)),
            )
            if account.get(key)
        ]
        running = words.parse_code(account.get("currentTaskCounts")) or 0
        return Server(self.url, True, None, f"RunningHub, {' and '.join(has) or 'balance unknown'}", running)

    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
        await self._api.connection.close()


def compute_next_pause(pause: float, attempt: int) -> float:
    """Return the seconds before the next attempt: longer by half each time, and not the same for all runs."""
    return min(pause * 1.5 ** min(attempt, 20), words.BACK_OFF_MOST) * random.uniform(1.0, 1.2)  # noqa: S311 - no secret


def _parse_id(value: Any) -> str:
    """Return the ID of a task, which may be text or a number; an empty text if it is neither."""
    text = str(value) if isinstance(value, (str, int)) and not isinstance(value, bool) else ""
    return text if text.isascii() and text.isdigit() else ""
