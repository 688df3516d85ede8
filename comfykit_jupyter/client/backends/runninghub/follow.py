"""Staying with a task of RunningHub until its outcome is known: by asking, and by its socket, which is but a hint."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.runninghub.api import Api, Busy, told_of
from comfykit_jupyter.client.backends.runninghub.socket import listen_to
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.progress import RunError
from comfykit_jupyter.workflow.untrusted_json import to_mapping

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Follower
    from comfykit_jupyter.client.backends.runninghub.backend import RunningHub

LOOK_FIRST = 0.5
"""Seconds to the second look; each pause is longer by half, up to the most."""
LOOK_QUEUED, LOOK_RUNNING = 2.0, 5.0
"""The most, while the task waits, and while it runs."""
LOOK_LEAST = 0.25
"""Seconds between two looks, whatever happens; longer by half each time that the socket gave reason for one in vain."""
BAD_LOOKS = 5
"""Looks in a row that may fail, or make no sense."""
SETTLING = 15.0
"""Seconds in which a task that was just created may not be known everywhere yet."""
SOCKET_TRIES = 5
"""Times that the address of a task's socket is asked for."""
OUTPUTS_TRIES = 6
"""Times that the outputs of a task which has ended are asked for, where they are not there at once."""
TEXT_LIMIT = 4 * 1024 * 1024
"""Bytes of a text that is read into the result; a longer one stays a file."""
_STATES = frozenset({"CREATE", "QUEUED", "RUNNING", "SUCCESS", "FAILED", "CANCEL"})
_BY_CODE = {**words.PENDING, 805: "FAILED"}
"""States that the older route tells by a code, for answers of the newer one that do so."""
AT_ONCE = 4
"""Files that are fetched at a time."""


@dataclass
class Look:
    """What is known of a task after one look."""

    state: str
    results: list[dict[str, Any]] | None = None
    reason: dict[str, Any] = field(default_factory=dict)
    code: int | None = None
    said: str = ""
    cost: Mapping[str, float] = field(default_factory=dict)
    socket: str | None = field(default=None, repr=False)
    """The address of its socket: a secret."""


class Missing(Exception):
    """The site does not know the task."""


class Hopeless(ServerError):
    """Asking again changes nothing: the key, say, is not valid any more."""


async def look_new(api: Api, task_id: str) -> Look | None:
    """What the newer route says of a task; None where the site has no such route.

    Raises:
        Missing, Hopeless, ServerError.
    """
    try:
        answer = await api.ask("/openapi/v2/query", {"taskId": task_id}, keyed=False, again=0)
    except ServerError as error:
        if error.status == 404:
            return None
        raise
    told = told_of(answer)
    state = str(told.get("status") or told.get("taskStatus") or "").upper()
    code = words.parse_code(told.get("errorCode")) or answer.code
    said = str(told.get("errorMessage") or answer.said or "")
    state = state or _BY_CODE.get(code or 0, "")
    if not state:
        if code in words.NO_SUCH_ROUTE or answer.status == 404:
            return None
        _judge(api, code, said)
        if "status" not in told and (code is None or words.is_success(code)):
            return await look_old(api, task_id)  # of another shape, this time
        why = f": {words.format_reason(code, said)}" if code is not None and not words.is_success(code) else ""
        raise ServerError(f"{api.url} does not say what the task does{why}", sent=True)
    results = words.parse_results(told["results"]) if isinstance(told.get("results"), list) else None
    return Look(
        state, results, words.parse_failure(told.get("failedReason")), code, said, words.parse_cost(told.get("usage"))
    )


async def look_old(api: Api, task_id: str) -> Look:
    """What the older route, that of the outputs, says of a task.

    Raises:
        Missing, Hopeless, ServerError.
    """
    answer = await api.ask("/task/openapi/outputs", {"taskId": task_id}, again=0)
    code, data = answer.code, answer.data
    socket = to_mapping(data).get("netWssUrl")
    if code in words.PENDING or (words.is_success(code) and not isinstance(data, list)):
        queued = code == 813 or "QUEUED" in answer.said.upper()
        return Look("QUEUED" if queued else "RUNNING", socket=socket if isinstance(socket, str) else None)
    if words.is_success(code):
        results = words.parse_results(data)
        cost: dict[str, float] = {}
        for each in data:
            cost |= words.parse_cost(each)  # every file tells the cost of the whole task
        return Look("SUCCESS", results, cost=cost)
    if code == 805:
        return Look(
            "FAILED", reason=words.parse_failure(to_mapping(data).get("failedReason")), code=code, said=answer.said
        )
    _judge(api, code, answer.said)
    if code in words.NO_SUCH_ROUTE or answer.status == 404:
        raise Hopeless(f"{api.url} does not tell of the task: it has no such route", status=404)
    raise ServerError(f"{api.url} does not say what the task does: {words.format_reason(code, answer.said)}", sent=True)


def _judge(api: Api, code: int | None, said: str) -> None:
    """Raise what a code means that is no state of a task."""
    if code in words.MISSING:
        raise Missing
    if code in words.KEY:
        raise Hopeless(f"{api.url} refuses us: {words.format_reason(code, said)}{api.hint(code)}", status=401)


class TaskPoller:
    """One task, and the run that it is.

    Args:
        cloud: where it runs.
        run: what is told of it.
        timeout: seconds that it may run; then it is left alone, and goes on. 0: no limit.
    """

    def __init__(self, cloud: RunningHub, run: Follower, timeout: float) -> None:
        self._cloud = cloud
        self._api = cloud.api
        self._run = run
        self._timeout = timeout
        self._running_since: float | None = None
        self._socket: asyncio.Task[None] | None = None
        self._newer = True
        """Whether the site has the newer route."""

    async def until_ended(self, *, listen: bool, lost: bool) -> None:
        """See `Backend.follow`."""
        run, bad, pause, least, began = self._run, 0, LOOK_FIRST, LOOK_LEAST, time.monotonic()
        if (task := self._cloud.tasks.get(run.prompt_id)) is not None and task.remark:
            run.on_warning(f"{self._api.url} says of the prompt: {task.remark}")
            self._cloud.tasks[run.prompt_id] = replace(task, remark="")
        try:
            while not run.ended:
                looked_at = time.monotonic()
                try:
                    look = await self._look(run.prompt_id)
                    bad = 0
                except Missing:
                    if lost or time.monotonic() - began > SETTLING:
                        run.on_missing()
                        return
                except Hopeless as error:
                    run.on_failed(RunError("unreachable", self._may_go_on(str(error))))
                    return
                except ServerError as error:
                    bad += 1
                    pause = max(pause, error.pause if isinstance(error, Busy) else LOOK_QUEUED)
                    if bad > BAD_LOOKS:
                        run.on_failed(RunError("unreachable", self._may_go_on(f"{error} ({bad} times in a row)")))
                        return
                else:
                    lost = False
                    if await self._ended(look):
                        return
                    await self._goes_on(look, listen=listen)
                    if self._is_overdue():
                        return
                most = LOOK_QUEUED if run.waiting or run.prompt_id in self._cloud.cancelled else LOOK_RUNNING
                pause = min(pause * 1.5, max(most, pause if bad else 0))
                until = time.monotonic() + self._until_overdue(pause)
                await run.doubt(until - time.monotonic())
                least = LOOK_LEAST if time.monotonic() >= until else min(least * 1.5, LOOK_QUEUED)
                await asyncio.sleep(max(0.0, looked_at + least - time.monotonic()))
        finally:
            await self._hang_up()

    async def _look(self, task_id: str) -> Look:
        look = await look_new(self._api, task_id) if self._newer else None
        if look is None:
            self._newer = False
            look = await look_old(self._api, task_id)
        if look.state not in _STATES:
            raise ServerError(f"{self._api.url} says that the task is {one_line(look.state, 40)!r}", sent=True)
        return look

    # -- while it goes on ----------------------------------------------------------------------------------------------

    async def _goes_on(self, look: Look, *, listen: bool) -> None:
        if look.state == "RUNNING" and self._running_since is None:
            self._running_since = time.monotonic()
            self._run.on_event({"type": "execution_start", "data": {"prompt_id": self._run.id}})
        if listen and look.state == "RUNNING" and self._socket is None:
            task = self._cloud.tasks.get(self._run.prompt_id)
            url = look.socket or (None if task is None else task.socket)
            if url is not None or self._newer:  # else the next look may tell it
                self._socket = asyncio.create_task(self._listen(url))

    async def _listen(self, url: str | None) -> None:
        """Listen to its socket. Nobody waits for its address either, which later only the older route tells."""
        for _ in range(SOCKET_TRIES):
            if url is not None:
                break
            with contextlib.suppress(ServerError, Missing):
                url = (await look_old(self._api, self._run.prompt_id)).socket
            await asyncio.sleep(LOOK_QUEUED if url is None else 0)
        if url is not None:
            await listen_to(url, self._run, self._api, self._cloud.settings)

    async def _hang_up(self) -> None:
        task, self._socket = self._socket, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})  # awaited itself, it would hide a cancellation of ours

    def _until_overdue(self, pause: float) -> float:
        if self._running_since is None or self._timeout <= 0:
            return pause
        return min(pause, max(0.0, self._running_since + self._timeout - time.monotonic()))

    def _is_overdue(self) -> bool:
        if self._timeout <= 0 or self._running_since is None:
            return False
        if time.monotonic() - self._running_since < self._timeout:
            return False
        message = self._may_go_on(f"not done within {self._timeout:g} s (runninghub_timeout)", surely=True)
        self._run.on_failed(RunError("timeout", message))
        return True

    def _may_go_on(self, why: str, *, surely: bool = False) -> str:
        id_ = self._run.prompt_id
        page = words.build_task_url(self._api.url, id_)
        return (
            f"{why}; task {id_} {'goes' if surely else 'may go'} on: kit.attach({id_!r}) finds it, and {page} shows it"
        )

    # -- its end -------------------------------------------------------------------------------------------------------

    async def _ended(self, look: Look) -> bool:
        """Tell the run of the task's end, if this is it."""
        if look.state not in ("SUCCESS", "FAILED", "CANCEL"):
            return False
        await self._hang_up()
        if look.state == "SUCCESS":
            record = await self._succeeded(look)
        elif look.state == "CANCEL":
            record = words.build_record(await self._partial(look), interrupted=True)
        else:
            record = await self._failed(look)
        self._run.on_history(record)
        return True

    async def _succeeded(self, look: Look) -> dict[str, Any]:
        results = look.results or []
        if not results or any(not each["node"] for each in results):
            older = await self._outputs()
            if older is not None:
                look.cost = {**older.cost, **look.cost}
                results = _with_texts(older.results or [], results)
            elif results:
                self._run.on_warning("RunningHub does not tell which nodes the outputs are of")
            elif look.results is None:
                id_ = self._run.prompt_id
                self._run.on_warning(
                    f"RunningHub does not tell the outputs yet: kit.attach({id_!r}) asks for them again"
                )
        self._run.on_cost(look.cost)
        fetched = await self._fetch(results)
        return words.build_record(fetched, seconds=look.cost.get("seconds", 0))

    async def _outputs(self) -> Look | None:
        """The outputs by the older route, which tells their nodes; they may be there a while after the end."""
        pause = LOOK_FIRST
        for left in reversed(range(OUTPUTS_TRIES)):
            try:
                look = await look_old(self._api, self._run.prompt_id)
            except Hopeless:
                return None
            except (ServerError, Missing):
                look = Look("")
            if look.state == "SUCCESS":
                return look
            if left:
                await asyncio.sleep(pause)
                pause = min(2 * pause, LOOK_RUNNING)
        return None

    async def _failed(self, look: Look) -> dict[str, Any]:
        error, said, code = look.reason, look.said, look.code
        self._run.on_cost(look.cost)
        if not error:
            with contextlib.suppress(ServerError, Missing):
                older = await look_old(self._api, self._run.prompt_id)
                error, said, code = older.reason, said or older.said, code or older.code
        stopped = not error or "InterruptProcessing" in error["exception_type"]
        if stopped and self._run.prompt_id in self._cloud.cancelled:
            return words.build_record(await self._partial(look), interrupted=True)
        if not error.get("exception_message"):
            error = {**error, "exception_message": f"the task failed: {words.format_reason(code, said)}"}
        return words.build_record(await self._partial(look), error=error)

    async def _partial(self, look: Look) -> list[dict[str, Any]]:
        """What a task gave that did not end well."""
        return await self._fetch(look.results or [])

    async def _fetch(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """The results with local copies, since their addresses live for a day; texts are read.

        Whoever cancels meanwhile waits no longer: what is not here yet has its address.
        """
        names = [each for each in results if "url" in each]
        done = 0
        turn = asyncio.Semaphore(AT_ONCE)

        async def fetch(each: dict[str, Any]) -> dict[str, Any]:
            nonlocal done
            if "url" not in each:
                return each
            async with turn:
                self._run.on_note(f"fetching {one_line(each['name'], 60)}, {done + 1} of {len(names)}")
                try:
                    path = await self._cloud.files.copy(each["url"], each["name"])
                except (ComfyKitError, OSError) as error:
                    self._run.on_warning(
                        f"{one_line(each['name'], 80)} could not be fetched, and lives for a day: {error}"
                    )
                    return each
                done += 1
            if path.suffix.lower() == ".txt" and path.stat().st_size <= TEXT_LIMIT:
                text = await asyncio.to_thread(path.read_text, "utf-8", "replace")
                return {"node": each["node"], "text": text}
            return each

        fetching = [asyncio.create_task(fetch(each)) for each in results]
        left: set[asyncio.Task[Any]] = set(fetching)
        try:
            while left:
                _, left = await asyncio.wait(left, timeout=LOOK_QUEUED)
                if self._run.prompt_id in self._cloud.cancelled:
                    break
        finally:
            for task in left:
                task.cancel()
        if left:
            self._run.on_warning(f"{len(left)} of the outputs were not fetched, and live for a day")
        return [each if task in left else task.result() for each, task in zip(results, fetching, strict=True)]


def _with_texts(older: list[dict[str, Any]], newer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The results with their nodes, and the texts that only the newer answer has."""
    if not older:
        return newer
    texts = [each for each in newer if "text" in each]
    files = [each for each in older if "url" in each]
    told = any("text" in each or each["name"].endswith(".txt") for each in older)
    return older if told or not texts else [*files, *texts]
