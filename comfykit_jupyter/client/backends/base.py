"""`Backend`: the interface of the places where workflows run. The folder of each server or cloud implements it.

A backend speaks ComfyUI's language. Whatever its own API is like, it gives a run (`Follower`) events and records as
ComfyUI has them, so that the same code follows all runs. `routing.py` decides which backend a workflow goes to.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias

from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.remembered import RememberedOrigin, get_place
from comfykit_jupyter.client.errors import ComfyKitError, Problem, ServerError, SourceError
from comfykit_jupyter.client.senders import SentJob

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.folders import Folders
    from comfykit_jupyter.client.backends.follower import Follower
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.backends.model_files import ModelFile
    from comfykit_jupyter.client.backends.order import Accepted, Order
    from comfykit_jupyter.client.backends.server import Server, Servers
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Binding, Upload

Note: TypeAlias = "Callable[[str], None]"
"""Shows the user, in a few words, what a run is waiting for."""


class Backend(ABC):
    """One server or cloud. It lives on the background loop, but can be created in any thread."""

    accepts_client_ids: ClassVar[bool] = True
    """Whether the client chooses the prompt ID. If so, a job can be found although its answer was lost."""
    has_object_info: ClassVar[bool] = True
    """Whether it describes its nodes, as `/object_info` does, and knows which files it has."""
    memory_advice: ClassVar[str] = "use a smaller size, length or batch"
    """What helps when a run needs more memory than there is."""
    url_setting: ClassVar[str] = "comfyui_url"
    """The setting that has its address."""

    url: str
    version: str | None = None
    is_closed: bool = False
    """Whether its kit was closed, and has submitted nothing since: connections are not left open then."""
    last_turn: asyncio.Event | None = None
    """Set when the newest submission was posted, or never will be. The next one waits for it."""

    @abstractmethod
    def __init__(self, settings: Settings) -> None: ...

    @property
    def place(self) -> str:
        """The name of its kind, for `routing.remember_origin`."""
        return get_place(type(self))

    def __reduce__(self) -> tuple[type[RememberedOrigin], tuple[type[Backend], str]]:
        """Return what pickled media keep of it: its place and address, and no secrets."""
        return RememberedOrigin, (type(self), self.url)

    # -- several servers (backends.pool) -------------------------------------------------------------------------------

    @property
    def members(self) -> Sequence[Backend]:
        """The servers that this stands for; none if it is one place."""
        return ()

    async def choose(self, id: str, binding: Binding, note: Note) -> Backend:  # noqa: A002, ARG002
        """Return where a run goes; `release` gives its room back.

        Args:
            id: The run's own ID.
            binding: Its prompt, with the files that it needs.
            note: Shows the user what it waits for.

        Raises:
            ComfyKitError: It can't go anywhere.
        """
        return self

    def release(self, id: str) -> None:  # noqa: A002, B027 - one place counts nothing
        """Note the end of a run for which `choose` was called."""

    async def find_holder(self, prompt_id: str) -> Backend:  # noqa: ARG002
        """Return where a job is."""
        return self

    async def find_file(self, name: str) -> Backend:  # noqa: ARG002
        """Return the server with a file that nodes know by this name."""
        return self

    # -- workflows and their values ------------------------------------------------------------------------------------

    async def read_hosted(self, hosted: HostedWorkflow) -> Workflow:
        """Read a workflow that is stored in this cloud; see `Route.find_hosted`.

        Raises:
            SourceError: There is no such workflow.
            ServerError: The cloud can't be reached, or rejects the key.
        """
        raise SourceError(f"{hosted.name} is not a workflow of {self.url}")

    @abstractmethod
    async def get_definitions(self, classes: Iterable[str], *, fresh: bool = False) -> Definitions:
        """Return the definitions of node classes; a class without one is left out.

        Args:
            classes: The names of the classes.
            fresh: Whether to ask for those again that are known already.
        """

    def has_definitions(self, classes: Iterable[str]) -> bool:  # noqa: ARG002 - most do not keep them
        """Return whether `get_definitions` knows all these classes without asking the server."""
        return False

    async def list_classes(self) -> list[str]:
        """Return the names of all node classes; none if they are not known."""
        return []

    async def has_file(self, name: str) -> bool:  # noqa: ARG002 - some can't say
        """Return whether there is a file with this name, as nodes know it; True if that is not known."""
        return True

    async def preflight(self, workflow: Workflow) -> list[Problem]:  # noqa: ARG002 - most find none
        """Return what would prevent a run, apart from the workflow and its values."""
        return []

    @abstractmethod
    def find_remote_file(self, text: str) -> Any:
        """Return what stands in a prompt for a file on this server; None if the text is not its address or name."""

    def find_output(self, text: str) -> Media | None:  # noqa: ARG002 - most let nodes read outputs, or give them an address
        """Return an output on this server that its nodes can't read, by its address or name: it has to be uploaded."""
        return None

    def spell_file(self, file: Any) -> str:
        """Return the address, name or prompt value of a file on this server as a value without the server's address."""
        name = self.find_remote_file(str(file))
        return name if isinstance(name, str) else str(file)

    @abstractmethod
    def reference_to(self, media: Media) -> Any:
        """Return what stands in a prompt for an output of an earlier run; None if it has to be uploaded."""

    @abstractmethod
    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> Any:
        """Upload a file, unless it is there already, and return what stands for it in a prompt.

        Args:
            content: A file, or the bytes of one.
            suffix: The suffix of its name, such as `.png`.
            needed: The input that it is for.

        Raises:
            ServerError: It did not arrive.
            SourceError: It can't be read.
        """

    # -- a run ---------------------------------------------------------------------------------------------------------

    async def listen(self, run: Follower) -> None:  # noqa: B027 - not every backend has a socket
        """Send a run its events from now on, if that has to begin before it is posted."""

    async def is_listening(self) -> bool:
        """Return whether a run will get all its events from now on."""
        return False

    async def prepare(self, order: Order, note: Note) -> None:  # noqa: B027 - most backends have nothing to prepare
        """Check an order, and wait until there is room for its job; `unfollow` gives the room back.

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
            ServerError: There is no answer; `sent` says whether the job may run anyway.
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
        """Follow a run until it ends.

        Args:
            run: The run.
            listen: Whether to use events; otherwise the server is asked again and again.
            lost: Whether the submission may never have arrived.
        """

    @abstractmethod
    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a queued or running job; never another one. Return whether it was there."""

    async def has_ended(self, prompt_id: str) -> bool:  # noqa: ARG002 - clouds have a route of their own for a job
        """Return whether there is the record of a job."""
        return False

    async def find_sent(self, order: Order) -> str | None:  # noqa: ARG002 - asked where the client chooses the ID
        """Return the prompt ID of an order whose answer was lost; None if its job is not there."""
        return None

    def unfollow(self, run: Follower) -> None:  # noqa: B027 - not every backend keeps something
        """Forget a run: it has ended, or is no longer waited for."""

    # -- outputs (results.media.Origin) --------------------------------------------------------------------------------

    @abstractmethod
    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Return the address of an output, and what `fetch` needs to download it, from its entry in a record."""

    @abstractmethod
    async def fetch(self, media: Media) -> Path:
        """Return a local copy of an output, downloaded once.

        Raises:
            ServerError: The server can't be reached, or no longer has it.
        """

    # -- the server ----------------------------------------------------------------------------------------------------

    @abstractmethod
    async def status(self) -> Server | Servers:
        """Return the state of the server. Never raises for one that can't be reached."""

    async def check_identity(self) -> None:  # noqa: B027 - a cloud is one place
        """Find out whether one server answers at the address.

        Raises:
            ComfyKitError: A balancer has several behind it, so that jobs and their records can't be found again.
        """

    async def free(self, *, keep_results: bool) -> None:  # noqa: ARG002
        """See `ComfyKit.free`."""
        raise ComfyKitError(f"{self.url} manages its memory itself: there is nothing to free")

    async def find_jobs(self, ending: str) -> list[str]:
        """See `ComfyKit.find`. Jobs whose IDs the cloud chose are found in this machine's log."""
        return await asyncio.to_thread(job_log.find, self.url, ending)

    async def find_sent_jobs(self) -> Sequence[SentJob | ServerError]:
        """Return the unfinished jobs that this package sent, as far as is known, in the order in which they run.

        An error stands for one of several servers that does not say.
        """
        return await asyncio.to_thread(job_log.find_sent_jobs, self.url)  # clouds do not keep senders

    @abstractmethod
    async def is_unfinished(self, prompt_id: str) -> bool:
        """Return whether a job waits or runs."""

    async def list_queue(self) -> list[Job]:
        """See `ComfyKit.queue`."""
        raise ComfyKitError(f"{self.url} does not expose its queue")

    async def list_history(self, most: int) -> list[Job]:  # noqa: ARG002
        """See `ComfyKit.history`."""
        raise ComfyKitError(f"{self.url} does not expose its history")

    async def list_models(self, folder: str | None) -> list[str]:  # noqa: ARG002
        """See `ComfyKit.models`."""
        raise ComfyKitError(f"{self.url} does not expose its models")

    async def read_model_metadata(self, folder: str, name: str) -> Any:  # noqa: ARG002
        """Return the metadata of a model file, which may be anything; None if there is none, or it doesn't say."""
        return None

    async def list_model_files(self, folder: str) -> dict[str, ModelFile]:  # noqa: ARG002
        """Return the size and date of the model files in a folder, by name; nothing if it doesn't say."""
        return {}

    async def find_packs(self) -> dict[str, str]:
        """Return the versions of its packs of nodes, and of PyTorch, by name; nothing if it doesn't say."""
        return {}

    async def find_model_hash(self, name: str, size: int) -> str:  # noqa: ARG002
        """Return the hash of a model file with this name and size in bytes; "" if it doesn't say."""
        return ""

    async def find_folders(self) -> Folders | None:
        """Return where the server's folders are on its machine; None if it doesn't say."""
        return None

    @abstractmethod
    async def close(self) -> None:
        """Close all connections; the next request opens new ones."""
