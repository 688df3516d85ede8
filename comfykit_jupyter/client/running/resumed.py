"""`ResumedRun`: a job that this cell sent before the kernel restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykit_jupyter.client.running.attached import FollowedRun
from comfykit_jupyter.client.running.registry import find_unfinished_runs

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.running.earlier import EarlierJob
    from comfykit_jupyter.client.running.recorder import RunRecorder


class ResumedRun(FollowedRun):
    """A run of a job that an earlier kernel sent for the same call in a cell.

    It is what the call would have started: when the caller stops waiting, the job is cancelled.

    Args:
        server: The backend that runs it.
        job: The job.
        timeout: Seconds that it may take from now on.
        raise_on_error: As for `Run`.
        recorder: Keeps how it ends.
    """

    def __init__(
        self,
        server: Backend,
        job: EarlierJob,
        *,
        timeout: float | None,
        raise_on_error: bool,
        recorder: RunRecorder | None,
    ) -> None:
        super().__init__(server, job.prompt_id, raise_on_error=raise_on_error)
        self._timeout = timeout
        self._values = job.binding.params
        self._earlier = job
        self._recorder = recorder
        self._record_id = job.run_id

    async def _execute(self) -> None:
        """Follow the job."""
        job = self._earlier
        self._set_workflow(job.workflow, job.binding, job.definitions)
        if self._recorder is not None:
            self._recorder.record_resumed(job.run_id)
        await super()._execute()


def find_resumed_jobs() -> set[str]:
    """Return the prompt IDs of the jobs that calls of this kernel are attached to."""
    return {run.prompt_id for run in find_unfinished_runs() if isinstance(run, ResumedRun)}
