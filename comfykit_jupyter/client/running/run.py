"""`Run`: one submission of a workflow, which can be watched, awaited and cancelled."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NoReturn

from typing_extensions import Self

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.running import registry
from comfykit_jupyter.client.running.cancel import CANCEL_TIMEOUT, cancel_runs
from comfykit_jupyter.client.running.executable import ExecutableRun
from comfykit_jupyter.workflow.errors import hide_frames

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.earlier import EarlierJob

logger = logging.getLogger(__name__)

_FOR_USERS = frozenset(
    {"cancel", "done", "id", "progress", "prompt_id", "result", "server", "status", "subscribe", "workflow"}
)


class Run(ExecutableRun):
    """One submission of a workflow; created by `ComfyKit.submit`, which returns it at once.

    `await run` waits like `run.result()`; cancelling the awaiting task cancels the job. Attributes may be read from any
    thread.

    Args:
        server: The backend that runs it.
        values: Values by parameter name.
        listen: Whether to follow it by the server's events; else its history is polled.
        timeout: Seconds that it may take; after that the job is cancelled. None means no limit.
        raise_on_error: Whether `result()` raises `RunFailed` for a failed run.
        id: The run's own ID; a new one by default.
        reader: Reads the workflow.
        bound: See `Submission`.
        lenient: See `Submission`.
        expand_choices: See `Submission`.
        recorder: Keeps the run.
        cell: See `Submission`.

    Attributes:
        id: The run's own ID.
        workflow: The workflow, once it has been read.

    Example:
        >>> run = kit.submit("text.json", subject="a fox")
        >>> run.result(timeout=60).text
        'a fox, watercolor, morning light'
        >>> run.status, run.done
        ('completed', True)
    """

    def __repr__(self) -> str:
        name = self.prompt_id if self.prompt_id.isdecimal() else self.prompt_id[:8]  # long numbers begin alike
        return f"<Run {name} {self.progress}>"

    def __dir__(self) -> list[str]:
        """Return the names that are for users; the others are public for the rest of the package only."""
        return [name for name in super().__dir__() if name.startswith("__") or name in _FOR_USERS]

    def __reduce__(self) -> NoReturn:
        raise TypeError("a Run can't be pickled: pickle its prompt_id for kit.attach, or its result()")

    # -- for its users -------------------------------------------------------------------------------------------------

    def result(self, timeout: float | None = None) -> ExecuteResult:
        """Wait for the run to end and return its result.

        Args:
            timeout: Seconds to wait; None waits as long as it takes.

        Returns:
            The result; with `raise_on_error=False` also of a failed run.

        Raises:
            RunFailed: The run failed, was rejected or cancelled; `.result` of the error has what there is.
            ComfyKitError: Nothing was sent: a wrong value, a missing file, an unreachable server.
            TimeoutError: The run did not end within `timeout` seconds; it continues.
            KeyboardInterrupt: Ctrl-C or ■ was pressed; the job has been cancelled on the server.
            RuntimeError: Called in a callback of a run, where it would wait for itself.
        """
        if self._result is not None and loop.is_loop_thread():  # in a callback; others wait until all of them ran
            return self._return_or_raise(self._result)
        if loop.is_loop_thread():
            raise RuntimeError(
                "Run.result() would wait for itself in a callback: use `await run`, or `subscribe(done=…)`"
            )
        job = self._get_job()
        try:
            return self._return_or_raise(loop.wait(job.outcome, timeout))
        except TimeoutError:
            late = TimeoutError(f"not done within {timeout:g} s, the run continues: {self.progress}")
            hide_frames(late)
            raise late from None
        except (KeyboardInterrupt, SystemExit):
            self.leave()
            raise

    def __await__(self) -> Generator[Any, None, ExecuteResult]:
        return self._await_outcome().__await__()

    def cancel(self) -> None:
        """Cancel the job, whether it waits or runs, and return when the server has accepted it.

        Jobs of others are never touched. A run that has ended stays as it is.

        Raises:
            ServerError: The server is unreachable or does not respond; the request is still sent when it does.
            RuntimeError: Called in a callback of a run, where it would wait for itself.

        Example:
            run = kit.submit("text_to_image.json", prompt="a fox")
            run.cancel()
        """
        cancel_runs([self], CANCEL_TIMEOUT)

    # -- for the kit ---------------------------------------------------------------------------------------------------

    def check(self) -> None:
        """Raise at once what `Submission.check` finds, unless the errors of the run are not raised."""
        if self._raise_on_error and self._submission is not None and not loop.is_loop_thread():
            loop.call(self._submission.check())

    def _find_earlier(self, known: set[str], renew: str) -> EarlierJob | None:
        """Return the job that an earlier kernel sent for the same call in a cell, if it still waits or runs.

        Args:
            known: The prompt IDs of jobs that other calls of this kernel are attached to.
            renew: How the user sends a new job instead.
        """
        submission = self._submission
        if submission is None or submission.call is None or loop.is_loop_thread():
            return None
        try:
            job = loop.call(submission.find_earlier(known))
        except ServerError as error:
            self._warnings.append(f"if an earlier job of this cell still runs, there are two now: {error}")
            return None
        if job is not None:
            submission.call.report(job.prompt_id, renew)
        return job

    def start(self) -> Self:
        """Start the run, and return it; an interrupt on the way cancels it."""
        try:
            self._job = loop.BackgroundTask(self._drive)
            registry.add(self)
            self._job.start()
        except BaseException:
            self.leave()
            raise
        return self

    def leave(self) -> None:
        """Cancel the job of an interrupted caller, unless it has ended; log what may still run, and what continues."""
        job = self._job
        if job is None or self.done or self._is_left:
            return
        job.cancel()
        self._is_left = True
        with contextlib.suppress(TimeoutError):
            loop.wait(job.outcome, loop.GRACE_PERIOD)
        if self.sent and (self._unconfirmed or not self.done):
            name = self.prompt_id if self._is_named else "whose ID is not known yet"
            logger.warning("%s has not confirmed the end of the job %s: it may still run", self.server, name)
        registry.report_others(self)

    async def wait_for_result(self) -> ExecuteResult:
        """Return the result, whatever its status; cancelling the caller cancels the job on the server."""
        result = await loop.await_on_loop(self._get_job())
        registry.mark_seen(self)
        return result

    async def _await_outcome(self) -> ExecuteResult:
        return self._return_or_raise(await self.wait_for_result())

    def _return_or_raise(self, result: ExecuteResult) -> ExecuteResult:
        registry.mark_seen(self)
        if result.status == "completed" or not self._raise_on_error:
            return result
        if self._failure is not None:
            raise self._failure
        return result.raise_for_status()

    def _set_result(self, result: ExecuteResult) -> None:
        registry.remove(self, None if result.error is None or result.error.stopped else result.msg)
        super()._set_result(result)
