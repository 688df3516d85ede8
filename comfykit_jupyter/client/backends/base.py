"""`Backend`: what a run, and the kit, ask of the place where workflows run. Each server's or cloud's file has its own.

A backend speaks in ComfyUI's words: whatever its own API says, it hands a run (`Follower`) events and records of that
kind, so that one engine follows them all. `routing.py` decides which one a workflow goes to.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypeAlias

from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.errors import ComfyKitError, Problem, ServerError, SourceError
from comfykit_jupyter.workflow.progress.progress import RunError

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.backends.preview import Preview
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.binding import Binding, Upload
    from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.workflow import Workflow

Note: TypeAlias = "Callable[[str], None]"
"""Shows the user, in a few words, what a run is waiting for."""


@dataclass(frozen=True)
class Server:
    """A server or cloud as it answered last."""

    url: str
    reachable: bool
    version: str | None = None
    message: str = ""
    """One line: what is wrong, or what it is."""
    running: int = 0
    pending: int = 0
    """Jobs in its queue."""


class Refused(Exception):
    """The server rejected a prompt for good.

    Attributes:
        body: The server's reasons, as ComfyUI gives them: `{"error": …, "node_errors": …}`.
        prompt_id: The prompt ID, if the job got one all the same.
    """

    def __init__(self, body: Mapping[str, Any], prompt_id: str | None = None) -> None:
        super().__init__()
        self.body = body
        self.prompt_id = prompt_id


class TryAgain(Exception):
    """The server rejected a job for the moment. No job exists, so the order may be posted again.

    Attributes:
        pause: Seconds to wait before the next attempt.
        why: The reason in a few words.
        failure: The error to raise when giving up.
        retries: How often an order may be posted again for reasons that have such a limit; None: without limit.
        within: Seconds after the first attempt in which the next one has to begin; None: without limit.
    """

    def __init__(
        self, pause: float, why: str, failure: Exception, *, retries: int | None = None, within: float | None = None
    ) -> None:
        super().__init__(why)
        self.pause = pause
        self.why = why
        self.failure = failure
        self.retries = retries
        self.within = within


@dataclass(frozen=True)
class Accepted:
    """The server has accepted a job.

    Attributes:
        prompt_id: The prompt ID.
        node_errors: As in ComfyUI's answer: not empty if the server accepted only a part of the prompt.
    """

    prompt_id: str
    node_errors: Any = None


@dataclass(frozen=True)
class Order:
    """What to run, for `Backend.post`.

    Attributes:
        id: The run's own ID.
        workflow: The workflow.
        binding: Its prompt with all values, and with the references to uploaded files.
        extra_pnginfo: What the server stores in the files that it saves.
        attempt: How often it was posted before.
        since: When this attempt began, in seconds since 1970.
    """

    id: str
    workflow: Workflow
    binding: Binding
    extra_pnginfo: Mapping[str, Any] | None
    attempt: int = 0
    since: float = 0.0


class Listener(Protocol):
    """One run, as what is heard from a server tells of it."""

    def on_event(self, event: Mapping[str, Any]) -> None:
        """A message as ComfyUI's socket sends them; its `prompt_id` is the run's own `id`."""

    def on_preview(self, preview: Preview) -> None:
        """A preview of this run."""

    def on_break(self) -> None:
        """The connection was lost: what happened meanwhile was not seen."""


class Follower(Listener, Protocol):
    """A run, as `Backend.follow` sees it."""

    id: str
    """Its own name, the same from its first moment to its end."""
    trusted: bool
    """Whether the socket has seen all of it so far."""
    changed_at: float
    """A queue as of before this moment, on the monotonic clock, says nothing about it."""

    @property
    def prompt_id(self) -> str:
        """The server's name for it."""

    @property
    def ended(self) -> bool:
        """Whether the outcome is known."""

    @property
    def waiting(self) -> bool:
        """Whether it is still in the queue."""

    async def doubt(self, timeout: float) -> None:
        """Come back when it has ended, or when there is reason to ask the server; in `timeout` seconds at most."""

    def on_history(self, entry: Mapping[str, Any]) -> None:
        """The record of its end, as in ComfyUI's history: the truth."""

    def on_queue(self, queue: Mapping[str, Any]) -> None:
        """The queue, as ComfyUI tells it, with this run in it."""

    def on_note(self, note: str) -> None:
        """What is waited for, in a few words, until something else happens."""

    def on_warning(self, line: str) -> None:
        """Something that whoever reads the result should know."""

    def on_cost(self, cost: Mapping[str, float]) -> None:
        """What it cost, where that is told: `coins`, `money`, `seconds` that were paid."""

    def on_missing(self) -> None:
        """The server does not know it."""

    def on_failed(self, error: RunError) -> None:
        """No more can be known: the server is away for too long, say."""


class Backend(ABC):
    """One server or cloud. Lives on the background loop; made without contacting it, from any thread."""

    accepts_client_ids: ClassVar[bool] = True
    """Whether a job may be named by whoever sends it: then it can be looked for whatever happens."""
    has_object_info: ClassVar[bool] = True
    """Whether it tells what its nodes take, and which files it has."""

    url: str
    version: str | None = None
    last_turn: asyncio.Event | None = None
    """Set when the newest submission has been posted, or never will be: the next one waits for it."""

    @abstractmethod
    def __init__(self, settings: Settings) -> None: ...

    # -- workflows and their values ------------------------------------------------------------------------------------

    async def read_hosted(self, hosted: HostedWorkflow) -> Workflow:
        """Read a workflow that is stored in this cloud; see `Route.find_hosted`.

        Raises:
            SourceError: There is no such workflow. ServerError: The cloud can't be reached, or rejects the key.
        """
        raise SourceError(f"{hosted.name} is not a workflow of {self.url}")

    @abstractmethod
    async def definitions(self, classes: Iterable[str], *, fresh: bool = False) -> Definitions:
        """What is known of these classes; those of which nothing is are left out."""

    async def classes(self) -> list[str]:
        """The names of all node classes, as far as they are told."""
        return []

    async def has(self, name: str) -> bool:  # noqa: ARG002 - where nobody can tell
        """Whether there is a file of the name by which nodes know it."""
        return True

    async def preflight(self, workflow: Workflow) -> list[Problem]:  # noqa: ARG002 - for those who have any
        """What stands in the way of a run, beside the workflow and its values."""
        return []

    @abstractmethod
    def find_remote_file(self, text: str) -> str | None:
        """What stands in a prompt for a file that is there already, if the text is its address or name there."""

    @abstractmethod
    def reference_to(self, media: Media) -> Any:
        """What stands in a prompt for an output of an earlier run there; None: it has to be sent."""

    @abstractmethod
    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> Any:
        """Send a file, unless it is there already; returns what stands in a prompt for it.

        Raises:
            ServerError: it did not arrive. SourceError: it can't be read.
        """

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def listen(self, run: Follower) -> None:  # noqa: B027 - nothing need be done
        """Tell a run of what happens from now on, if that has to begin before it is sent."""

    async def ready(self) -> bool:
        """Whether all that happens from now on will be heard."""
        return False

    async def prepare(self, order: Order, note: Note) -> None:  # noqa: B027 - most backends have nothing to prepare
        """Check an order, and wait until there is room for its job; `unfollow` gives that back.

        Args:
            order: What is going to be posted.
            note: Shows the user what the run is waiting for.

        Raises:
            ComfyKitError: This backend can't run it.
        """

    @abstractmethod
    async def post(self, order: Order) -> Accepted:
        """Send a prompt, in a single attempt. The caller shields it against cancellation.

        Raises:
            Refused: The server rejects the prompt for good.
            TryAgain: The server rejects it for the moment.
            ServerError: There is no answer; `sent` says whether the job may run all the same.
        """

    async def find_lost(self, order: Order, error: ServerError, note: Note) -> Accepted:  # noqa: ARG002
        """Find the job of an order whose answer was lost. It must never be posted again: it would run twice.

        Args:
            order: What was posted.
            error: Why there is no answer.
            note: Shows the user what the run is waiting for.

        Raises:
            ServerError: The job can't be found.
        """
        raise error

    @abstractmethod
    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:
        """Stay with a run until its outcome is known; `lost`: nobody can tell whether it is there at all."""

    @abstractmethod
    async def cancel(self, prompt_id: str) -> bool:
        """Take a job out of the queue, or stop it; never another one's. Returns whether it was there at all."""

    def unfollow(self, run: Follower) -> None:  # noqa: B027 - nothing need be done
        """The run has ended, or is left: tell it no more."""

    # -- outputs (result.Origin) ---------------------------------------------------------------------------------------

    @abstractmethod
    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """The address of an output, and what `fetch` needs to have it, from its entry in a record."""

    @abstractmethod
    async def fetch(self, media: Media) -> Path:
        """A local copy of an output, fetched once.

        Raises:
            ServerError: the server is away, or no longer has it.
        """

    # -- what it is and has --------------------------------------------------------------------------------------------

    @abstractmethod
    async def status(self) -> Server:
        """What it is and does now; never raises for one that is away."""

    async def find(self, ending: str) -> list[str]:
        """See `ComfyKit.find`: by the notes of this machine, where ids are not ours."""
        return await asyncio.to_thread(job_log.find, self.url, ending)

    async def queued(self) -> list[Job]:
        """See `ComfyKit.queue`."""
        raise ComfyKitError(f"{self.url} does not tell of its queue")

    async def recent(self, most: int) -> list[Job]:  # noqa: ARG002
        """See `ComfyKit.history`."""
        raise ComfyKitError(f"{self.url} does not tell what it has run")

    async def models(self, folder: str | None) -> list[str]:  # noqa: ARG002
        """See `ComfyKit.models`."""
        raise ComfyKitError(f"{self.url} does not tell which models it has")

    @abstractmethod
    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
