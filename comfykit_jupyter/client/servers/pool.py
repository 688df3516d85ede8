"""`Worker`: a place that runs jobs, as a sweep sees it, and `KitWorker`, which is one server of a kit.

A kit has one server or several; `kit.servers` has a kit for each. A sweep makes a `KitWorker` of each of them, gives
every worker a job when it has fewer than `depth`, and knows nothing else of servers. Forms, magics and single runs see
several servers as one `Backend` (`backends.pool`), which chooses one of them for each run.

How to add an engine, such as a cluster whose servers only its own nodes can reach:

1. `client/engines.py`: a line in `ENGINES`, from the package of its objects to its module,
   `client/servers/engine_NAME.py`. That file is all that knows of the engine. `kit.options(servers=OBJECT)`,
   `ComfyKit(OBJECT)` and lists that contain such an OBJECT then call its `open_servers(source, settings, make)`.
2. It returns a `ServerSource`: its `servers` is asked again and again, so that servers may come and go. Make the kit of
   each with `make_kit(url, backend, settings, make)`, once, and keep it. `url` is what rows and messages say, and must
   be the same after a restart of the engine, since a sweep finds the jobs of an earlier kernel by it: a worker's name,
   for example, and not its port.
3. `backend` is a `Backend` that reaches the server in the engine's way. For a ComfyUI server, if the engine can call
   functions beside it, that is `ComfyUI(settings, RemoteTunnel(url, engine))`, from `backends/comfyui/remote.py`;
   `KeptServer`, in `backends/comfyui/kept_server.py`, can start the server there. A request that gets no answer because
   a worker is away raises `ServerError`, with `sent=True` if it may have arrived. Then the rules for servers hold here,
   too. A prompt is posted once under an ID that we choose, and looked for if the answer is lost. A job is followed for
   `patience` seconds while its server is away, and is given to another one after that, once.
4. An engine that runs whole jobs instead, without a backend, implements `Worker`. A `PooledJob` and an `ExecuteResult`
   can be pickled; files in `job.binding.uploads` are values as the user gave them, and must be read before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from comfykit_jupyter.client.backends.pool.lack import find_lack
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.inputs.routing import find_backend

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.kit_parts.running_kit import RunningKit
    from comfykit_jupyter.client.results.media import Origin
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.recorder import RunRecorder
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.progress.state import Progress
    from comfykit_jupyter.workflow.values.binding import Binding

DEPTH = 2
"""Jobs of a pool in one server's queue: a run by hand gets in between, and a killed kernel leaves little behind."""
OnProgress = Callable[["Progress"], None]
MakeKit = Callable[["Settings", "dict[type[Backend], Backend]"], "RunningKit"]
"""Makes a kit of settings, with backends that it has already."""
K = TypeVar("K")


@dataclass(frozen=True)
class PooledJob:
    """One job of a pool: a workflow with its values. It can be pickled if its values can."""

    workflow: Workflow
    binding: Binding
    definitions: Definitions


class ServerSource(Protocol):
    """Something that has servers: a kit, or a cluster; see the top of this file."""

    @property
    def servers(self) -> Sequence[RunningKit]:
        """A kit for each server that there is now."""

    def options(self, **options: Any) -> ServerSource:
        """Return the same servers with other settings, such as `patience`."""


class Worker(Protocol):
    """A place that runs jobs. Its methods are called on the background loop."""

    @property
    def label(self) -> str:
        """What rows say: the server's address."""

    @property
    def depth(self) -> int:
        """How many jobs of the pool it gets at once."""

    @property
    def is_paid(self) -> bool:
        """Whether a job costs money: it is not given to another worker while it may still run."""

    @property
    def origin(self) -> Origin:
        """Where the files of its jobs come from."""

    async def find_missing(self, job: PooledJob) -> str:
        """Return what it lacks for a job, a node or a model; "" for nothing. Sends nothing.

        Raises:
            ComfyKitError: It can't be asked, or is not one server.
        """

    async def run(self, job: PooledJob, run_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Run a job under an ID of the pool's, which must be new, and return its result, whatever its status.

        Raises:
            ComfyKitError: The worker is not one server, so that the job can't be found again.

        The error's kind is `unreachable` after the worker was away for the kit's `patience`; the result has a prompt ID
        then if the job may have arrived.
        """

    async def attach(self, prompt_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Follow a job that was sent before. The error's kind is `gone` if it is not there."""

    async def cancel(self, run_id: str) -> None:
        """Cancel a job that this worker runs; its `run` returns then."""

    async def discard(self, run_id: str) -> None:
        """Cancel a job that another worker has run meanwhile, now that this one is reachable again."""

    async def is_reachable(self) -> bool:
        """Return whether it answers."""

    async def free(self) -> None:
        """Unload models, after a job ran out of memory."""


def make_kit(
    url: str, backend: Backend, settings: Settings, make: Callable[[Settings, dict[type[Backend], Backend]], K]
) -> K:
    """Return a kit whose server is reached by a backend of an engine.

    Args:
        url: What rows and messages say.
        backend: The backend.
        settings: As `open_servers` got them.
        make: As `open_servers` got it.
    """
    own = replace(settings, comfyui_url=url, servers=(), api_key=None, cookies=None, headers={})
    return make(own, {find_backend(None, own): backend})


class KitWorker:
    """The server of a kit.

    Args:
        kit: The kit.
        recorder: Keeps the runs.
        backend: Where they run; by default the kit's own server.
    """

    def __init__(self, kit: RunningKit, recorder: RunRecorder | None = None, backend: Backend | None = None) -> None:
        self._kit = kit
        self._backend = kit.find_backend() if backend is None else backend
        self._recorder = recorder
        self._runs: dict[str, Run] = {}

    @property
    def label(self) -> str:
        """The server's address."""
        return self._backend.url

    @property
    def depth(self) -> int:
        """How many jobs it gets at once: one, where a run's time is limited, since the wait for another job counts."""
        return DEPTH if self._kit.timeout is None else 1

    @property
    def is_paid(self) -> bool:
        """Whether it is a cloud."""
        return not self._backend.accepts_client_ids

    @property
    def origin(self) -> Origin:
        """The server."""
        return self._backend

    async def find_missing(self, job: PooledJob) -> str:
        """Return what the server lacks; see `Worker`."""
        await self._backend.check_identity()
        return await find_lack(self._backend, job.binding)

    async def run(self, job: PooledJob, run_id: str, on_progress: OnProgress) -> ExecuteResult:
        """Run a job; see `Worker`."""
        run = self._kit.prepare_bound(job.workflow, job.binding, job.definitions, id=run_id, recorder=self._recorder)
        result = await self._follow(run, run_id, on_progress)
        if result.error is not None and result.error.kind == "gone":  # there it was, a moment ago
            await self._backend.check_identity()
        return result

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

    async def discard(self, run_id: str) -> None:
        """Cancel a job that was run elsewhere; see `Worker`."""
        with contextlib.suppress(ComfyKitError):
            await self._backend.cancel(run_id)

    async def is_reachable(self) -> bool:
        """Return whether the server answers."""
        return (await self._backend.status()).reachable

    async def free(self) -> None:
        """Unload the server's models."""
        with contextlib.suppress(ComfyKitError):  # a server that can't is asked in vain
            await self._backend.free(keep_results=False)
