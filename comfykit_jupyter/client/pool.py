"""`Worker`: a place that runs jobs, as a pool sees it, and `KitWorker`, which is a server."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from comfykit_jupyter.client.errors import ComfyKitError

if TYPE_CHECKING:
    from comfykit_jupyter.client.kit import ComfyKit
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.recorder import RunRecorder
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.progress.state import Progress
    from comfykit_jupyter.workflow.values.binding import Binding
    from comfykit_jupyter.workflow.workflow import Workflow

DEPTH = 2
"""Jobs of a pool in one server's queue: a run by hand gets in between, and a killed kernel leaves little behind."""
OnProgress = Callable[["Progress"], None]


@dataclass(frozen=True)
class PooledJob:
    """One job of a pool: a workflow with its values."""

    workflow: Workflow
    binding: Binding
    definitions: Definitions


class Worker(Protocol):
    """A place that runs jobs. Its methods are called on the background loop."""

    @property
    def label(self) -> str:
        """What rows say: the server's address."""

    @property
    def depth(self) -> int:
        """How many jobs of the pool it gets at once."""

    async def run(self, job: PooledJob, run_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Run a job under an ID of the pool's, which must be new, and return its result, whatever its status."""

    async def attach(self, prompt_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Follow a job that was sent before. The error's kind is `gone` if it is not there."""

    async def cancel(self, run_id: str) -> None:
        """Cancel a job that this worker runs; its `run` returns then."""

    async def is_reachable(self) -> bool:
        """Return whether it answers."""

    async def free(self) -> None:
        """Unload models, after a job ran out of memory."""


class KitWorker:
    """The server of a kit.

    Args:
        kit: The kit.
        recorder: Keeps the runs.
    """

    depth = DEPTH

    def __init__(self, kit: ComfyKit, recorder: RunRecorder | None = None) -> None:
        self._kit = kit
        self._recorder = recorder
        self._runs: dict[str, Run] = {}

    @property
    def label(self) -> str:
        """The server's address."""
        return self._kit.comfyui_url

    async def run(self, job: PooledJob, run_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Run a job; see `Worker`."""
        run = self._kit.prepare_bound(job.workflow, job.binding, job.definitions, id=run_id, recorder=self._recorder)
        return await self._follow(run, run_id, on_progress)

    async def attach(self, prompt_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Follow a job that was sent before; see `Worker`."""
        return await self._follow(self._kit.prepare_attached(prompt_id), prompt_id, on_progress)

    async def _follow(self, run: Run, name: str, on_progress: OnProgress) -> ExecuteResult:
        self._runs[name] = run
        stop = run.subscribe(progress=on_progress)
        try:
            return await run.start().wait_for_result()
        finally:
            stop()
            self._runs.pop(name, None)

    async def cancel(self, run_id: str) -> None:
        """Cancel a job; see `Worker`."""
        if (run := self._runs.get(run_id)) is not None:
            await run.request_cancellation()

    async def is_reachable(self) -> bool:
        """Return whether the server answers."""
        return (await self._kit._find_backend().status()).reachable  # noqa: SLF001 - the same kit

    async def free(self) -> None:
        """Unload the server's models."""
        with contextlib.suppress(ComfyKitError):  # a server that can't is asked in vain
            await self._kit._find_backend().free(keep_results=False)  # noqa: SLF001 - the same kit
