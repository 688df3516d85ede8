"""`ResumedRun`: a job that this cell sent before the kernel restarted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykit_jupyter.client.running.attached import FollowedRun
from comfykit_jupyter.client.running.registry import find_unfinished_runs

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.earlier import EarlierJob
    from comfykit_jupyter.client.running.run import Run


class ResumedRun(FollowedRun):
    """A run of a job that an earlier kernel sent for the same call in a cell.

    It is what the call would have started: when the caller stops waiting, the job is cancelled.

    Args:
        run: What the call would have started.
        job: The job.
    """

    def __init__(self, run: Run, job: EarlierJob) -> None:
        super().__init__(run._server, job.prompt_id, raise_on_error=run._raise_on_error)  # noqa: SLF001 - a run, too
        self._timeout = run._timeout  # noqa: SLF001 - seconds from now on
        self._recorder = run._recorder  # noqa: SLF001
        self._values = job.binding.params
        self._earlier = job
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


def resume(run: Run, renew: str) -> Run:
    """Return a run of the job that an earlier kernel sent for the same call, if it still waits or runs; else this run.

    Args:
        run: The run, not started.
        renew: How the user sends a new job instead.
    """
    job = run._find_earlier(find_resumed_jobs(), renew)  # noqa: SLF001 - for this function
    return run if job is None else ResumedRun(run, job)
