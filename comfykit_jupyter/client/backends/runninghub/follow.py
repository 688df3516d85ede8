"""Following a task of RunningHub to its end, by asking the site; its socket only adds progress and previews."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Collection
from itertools import islice
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.retry import Busy, backoff
from comfykit_jupyter.client.backends.runninghub.api import Api
from comfykit_jupyter.client.backends.runninghub.files import Files
from comfykit_jupyter.client.backends.runninghub.look import (
    ENDED,
    STATES,
    Hopeless,
    Look,
    Missing,
    look_by_new_route,
    look_by_old_route,
)
from comfykit_jupyter.client.backends.runninghub.socket import listen_to_socket
from comfykit_jupyter.client.backends.runninghub.task import CloudTask
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.loop import end_task
from comfykit_jupyter.client.transport.deadline import get_silence
from comfykit_jupyter.workflow.clouds import runninghub as words
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.progress import RunError

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.follower import Follower

LOOK_FIRST = 0.5
"""Seconds before the second look at the task; each pause is longer by half, up to one of the next two."""
LOOK_QUEUED = 2.0
"""Maximum of these pauses while the task waits."""
LOOK_RUNNING = 5.0
"""Maximum of these pauses while it runs."""
LOOK_LEAST = 0.25
"""Minimum seconds between two looks; longer by half each time that the socket gave reason for one in vain."""
BAD_LOOKS = 5
"""How many looks in a row may fail or make no sense."""
SETTLING = 15.0
"""Seconds in which not all of the site may know a task that was just created."""
SOCKET_TRIES = 5
"""How often the address of a task's socket is asked for."""
OUTPUTS_TRIES = 6
"""How often the outputs of a task that has ended are asked for, if they are not there at once."""
TEXT_LIMIT = 4 * 1024 * 1024
"""Maximum size in bytes of a text that is read into the result; a longer one stays a file."""
DOWNLOADS = 4
"""How many outputs are downloaded at a time."""


class TaskPoller:
    """Follows one task.

    Args:
        api: The site.
        files: The files of its key.
        run: The run that the task is.
        task: What is known of the task.
        timeout: Seconds that the task may run. After that it is no longer followed, and keeps running. 0: no limit.
    """

    def __init__(self, api: Api, files: Files, run: Follower, task: CloudTask, timeout: float) -> None:
        self._api = api
        self._files = files
        self._run = run
        self._task = task
        self._timeout = timeout
        self._running_since: float | None = None
        self._listener: asyncio.Task[None] | None = None
        self._has_new_route = True

    async def follow(self, *, listen: bool, lost: bool) -> None:
        """Follow the task until it ends; see `Backend.follow`."""
        run, began, failures = self._run, time.monotonic(), 0
        pauses = LookPauses()
        if self._task.remark:
            run.on_warning(f"{self._api.url} says about the prompt: {self._task.remark}")
            self._task.remark = ""
        while self._task.warnings:
            run.on_warning(self._task.warnings.pop(0))
        try:
            while not run.ended:
                pauses.begin()
                try:
                    look = await self._look()
                except Missing:
                    failures = 0
                    if lost or time.monotonic() - began > SETTLING:
                        run.on_missing()
                        return
                except ServerError as error:
                    failures += 1
                    if self._end_if_hopeless(error, failures):
                        return
                    pauses.lengthen(error.pause if isinstance(error, Busy) else LOOK_QUEUED)
                else:
                    failures, lost = 0, False
                    if await self._handle(look, listen=listen):
                        return
                most = LOOK_QUEUED if run.waiting or self._task.cancelled else LOOK_RUNNING
                await pauses.wait(run, most, failed=failures > 0, limit=self._count_seconds_left())
        finally:
            await self._stop_listening()

    def _end_if_hopeless(self, error: ServerError, failures: int) -> bool:
        """Return whether the task is given up after a failed look; the run has ended then."""
        is_silent = get_silence().seconds > self._api.settings.patience
        if not isinstance(error, Hopeless) and failures <= BAD_LOOKS and not is_silent:
            return False
        times = "" if failures < 2 else f" ({failures} times in a row)"
        self._run.on_failed(RunError("unreachable", self._describe_left_task(f"{error}{times}", "may keep running")))
        return True

    async def _look(self) -> Look:
        task_id = self._run.prompt_id
        look = await look_by_new_route(self._api, task_id) if self._has_new_route else None
        if look is None:
            self._has_new_route = False
            look = await look_by_old_route(self._api, task_id)
        if look.state not in STATES:
            state = one_line(look.state, 40)
            raise ServerError(f"{self._api.url} gives an unknown state of the task: {state!r}", sent=True)
        return look

    async def _handle(self, look: Look, *, listen: bool) -> bool:
        """Pass on what a look showed. Return whether the run has ended."""
        if look.state in ENDED:
            await self._stop_listening()
            self._run.on_raw(look.raw)
            self._run.on_history(await self._build_record(look))
            return True
        if look.state == "RUNNING" and self._running_since is None:
            self._running_since = time.monotonic()
            self._run.on_event({"type": "execution_start", "data": {"prompt_id": self._run.id}})
        if listen and look.state == "RUNNING" and self._listener is None:
            url = look.socket or self._task.socket
            if url is not None or self._has_new_route:  # else the next look may have it
                self._listener = asyncio.create_task(self._listen(url))
        if self._count_seconds_left() > 0:
            return False
        why = f"not done within {self._timeout:g} s (runninghub_timeout)"
        self._run.on_failed(RunError("timeout", self._describe_left_task(why, "keeps running")))
        return True

    async def _listen(self, url: str | None) -> None:
        """Listen to the task's socket. The newer route does not give its address: ask the older one for it."""
        for _ in range(SOCKET_TRIES):
            if url is not None:
                break
            with contextlib.suppress(ServerError, Missing):
                url = (await look_by_old_route(self._api, self._run.prompt_id)).socket
            await asyncio.sleep(LOOK_QUEUED if url is None else 0)
        if url is not None:
            await listen_to_socket(url, self._run, self._api.settings, self._api.url)

    async def _stop_listening(self) -> None:
        task, self._listener = self._listener, None
        if task is not None:
            await end_task(task)

    def _count_seconds_left(self) -> float:
        """Return the seconds that the task may still run."""
        if self._timeout <= 0 or self._running_since is None:
            return float("inf")
        return self._running_since + self._timeout - time.monotonic()

    def _describe_left_task(self, why: str, outcome: str) -> str:
        id_ = self._run.prompt_id
        page = words.build_task_url(self._api.url, id_)
        return f"{why}; task {id_} {outcome}: kit.attach({id_!r}) finds it, and {page} shows it"

    # -- the end of a task ---------------------------------------------------------------------------------------------

    async def _build_record(self, look: Look) -> dict[str, Any]:
        """Return the end of the task as a record of ComfyUI's history, its outputs downloaded."""
        if look.state == "SUCCESS":
            return await self._build_success(look)
        if look.state == "CANCEL":
            return words.build_record(await self._download_all(look.results or []), interrupted=True)
        return await self._build_failure(look)

    async def _build_success(self, look: Look) -> dict[str, Any]:
        results = look.results or []
        if not results or any(not each["node"] for each in results):
            older = await self._ask_for_outputs()
            if older is not None:
                self._run.on_raw(older.raw)
                look.cost = {**older.cost, **look.cost}
                results = _merge_results(older.results or [], results)
            elif results:
                self._run.on_warning("RunningHub does not say which nodes the outputs come from")
            elif look.results is None:
                id_ = self._run.prompt_id
                self._run.on_warning(
                    f"RunningHub does not have the outputs yet: kit.attach({id_!r}) asks for them again"
                )
        self._run.on_cost(look.cost)
        return words.build_record(await self._download_all(results), seconds=look.cost.get("seconds", 0))

    async def _ask_for_outputs(self, ends: Collection[str] = ("SUCCESS",)) -> Look | None:
        """Ask the older route for the outputs: it names their nodes. It may have them some time after the end.

        Return its first answer with one of these states.
        """
        for pause in [*islice(backoff(LOOK_FIRST, LOOK_RUNNING), OUTPUTS_TRIES - 1), None]:
            try:
                look = await look_by_old_route(self._api, self._run.prompt_id)
            except Hopeless:
                return None
            except (ServerError, Missing):
                look = Look("")
            if look.state in ends:
                return look
            if pause is not None:
                await asyncio.sleep(pause)
        return None

    async def _build_failure(self, look: Look) -> dict[str, Any]:
        error, message, code = look.reason, look.message, look.code
        self._run.on_cost(look.cost)
        results = look.results or []
        if not error and (older := await self._ask_for_outputs(ENDED)) is not None:
            if older.results and not self._task.cancelled and words.is_without_reason(code):
                self._run.on_raw(older.raw)
                self._run.on_warning("RunningHub calls the task failed without a reason, but has its outputs")
                older.cost = {**older.cost, **look.cost}
                return await self._build_success(older)
            results = _merge_results(older.results or [], results)
            error, message, code = older.reason, message or older.message, code or older.code
        interrupted = not error or "InterruptProcessing" in error["exception_type"]
        if interrupted and self._task.cancelled:
            return words.build_record(await self._download_all(results), interrupted=True)
        if not error.get("exception_message"):
            error = {**error, "exception_message": f"the task failed: {words.format_reason(code, message)}"}
        return words.build_record(await self._download_all(results), error=error)

    async def _download_all(self, results: list[dict[str, Any]]) -> list[dict[str, Any]]:
        """Return the results with local copies, since their addresses are valid for a day; texts are read.

        A cancellation ends the downloads. Outputs that are not here then keep their addresses.
        """
        count = len([each for each in results if "url" in each])
        done = 0
        places = asyncio.Semaphore(DOWNLOADS)

        async def download(each: dict[str, Any]) -> dict[str, Any]:
            nonlocal done
            if "url" not in each:
                return each
            async with places:
                self._run.on_note(f"downloading {one_line(each['name'], 60)}, {done + 1} of {count}")
                try:
                    path = await self._files.copy(each["url"], each["name"])
                except (ComfyKitError, OSError) as error:
                    name = one_line(each["name"], 80)
                    self._run.on_warning(f"{name} could not be downloaded; RunningHub keeps it for a day: {error}")
                    return each
                done += 1
            if path.suffix.lower() == ".txt" and path.stat().st_size <= TEXT_LIMIT:
                text = await asyncio.to_thread(path.read_text, "utf-8", "replace")
                return {"node": each["node"], "text": text}
            return each

        downloads = [asyncio.create_task(download(each)) for each in results]
        left: set[asyncio.Task[Any]] = set(downloads)
        try:
            while left:
                _, left = await asyncio.wait(left, timeout=LOOK_QUEUED)
                if self._task.cancelled:
                    break
        finally:
            for task in left:
                task.cancel()
        if left:
            self._run.on_warning(f"{len(left)} of the outputs were not downloaded; RunningHub keeps them for a day")
        return [each if task in left else task.result() for each, task in zip(results, downloads, strict=True)]


class LookPauses:
    """The pauses between the looks at one task."""

    def __init__(self) -> None:
        self._pause = LOOK_FIRST
        self._least = LOOK_LEAST
        self._looked_at = 0.0

    def begin(self) -> None:
        """Note the time of a look."""
        self._looked_at = time.monotonic()

    def lengthen(self, seconds: float) -> None:
        """Make the next pause this long at least: the site asked for it, or the look failed."""
        self._pause = max(self._pause, seconds)

    async def wait(self, run: Follower, most: float, *, failed: bool, limit: float) -> None:
        """Wait for the next look, or until there is reason for one.

        Args:
            run: The run; it knows whether there is reason for a look.
            most: Maximum of the pause.
            failed: Whether the last look failed: then the pause may be longer.
            limit: Seconds after which to look in any case.
        """
        self._pause = min(self._pause * 1.5, max(most, self._pause if failed else 0))
        until = time.monotonic() + min(self._pause, max(0.0, limit))
        await run.wait_for_doubt(until - time.monotonic())
        self._least = LOOK_LEAST if time.monotonic() >= until else min(self._least * 1.5, LOOK_QUEUED)
        await asyncio.sleep(max(0.0, self._looked_at + self._least - time.monotonic()))


def _merge_results(older: list[dict[str, Any]], newer: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the older route's results, which have nodes, with the texts that only the newer route has."""
    if not older:
        return newer
    texts = [each for each in newer if "text" in each]
    files = [each for each in older if "url" in each]
    has_texts = any("text" in each or each["name"].endswith(".txt") for each in older)
    return older if has_texts or not texts else [*files, *texts]
