"""`BaseKit`: the settings and connections of a `ComfyKit`, and what it can ask a server."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar, cast

from typing_extensions import Self

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.base import Backend, Server
from comfykit_jupyter.client.backends.routing import find_backend
from comfykit_jupyter.client.inputs.workflows import take_snapshot
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.settings import Settings, hide_arguments

if TYPE_CHECKING:
    from types import TracebackType

    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.workflow import Workflow

B = TypeVar("B", bound=Backend)
K = TypeVar("K", bound="BaseKit")


class BaseKit:
    """The settings of a kit, its backends (one for each kind of server or cloud), and its questions to them."""

    _settings: Settings
    _backends: dict[type[Backend], Backend]

    def _configure(self, settings: Settings, backends: dict[type[Backend], Backend] | None = None) -> None:
        self._settings = settings
        self._backends = {} if backends is None else backends
        self.comfyui_url = settings.comfyui_url
        self.api = settings.api
        self.executor_type = settings.executor_type
        self.api_key = settings.api_key
        self.cookies = settings.cookies
        self.runninghub_url = settings.runninghub_url
        self.runninghub_api_key = settings.runninghub_api_key
        self.runninghub_timeout = settings.runninghub_timeout
        self.runninghub_retry_count = settings.runninghub_retry_count
        self.runninghub_instance_type = settings.runninghub_instance_type

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # a traceback may show a kit whose settings were rejected
            return f"{type(self).__name__}()"
        return f"{type(self).__name__}({self.comfyui_url!r}, executor_type={self.executor_type!r})"

    def _get_backend(self, kind: type[B]) -> B:
        """Return the backend of this kind, created when it is first needed."""
        backend = self._backends.get(kind) or self._backends.setdefault(kind, kind(self._settings))
        return cast("B", backend)

    def _locate(self, workflow: Any) -> tuple[Any, Backend]:
        """Return a snapshot of a workflow, and where it runs; None stands for the server of `comfyui_url`."""
        source = take_snapshot(workflow, self._settings)
        return source, self._get_backend(find_backend(source, self._settings))

    def _find_backend(self, workflow: Any = None) -> Backend:
        """Return where a workflow runs; None stands for the server of `comfyui_url`."""
        return self._locate(workflow)[1]

    @hide_arguments
    def options(self, **options: Any) -> Self:
        """Return a kit with some settings changed, so that all keywords of `run` stay free for workflow values.

        It shares the connections of this kit if it can. Secrets are dropped when the address they belong to changes.

        Args:
            options: Settings by name, as for `ComfyKit`.

        Raises:
            SettingsError: There is no such setting, or it can't be used.

        Example:
            >>> patient = kit.options(timeout=600, raise_on_error=False)
            >>> patient.run("text.json").status
            'completed'
        """
        changed = self._settings.replace(options)
        kit = type(self).__new__(type(self))
        backends = self._backends if changed.shares_connection(self._settings) else None
        kit._configure(changed, backends)  # noqa: SLF001 - a kit
        return kit

    async def close(self) -> None:
        """Close the connections. Jobs keep running, and the kit opens new connections when it needs them.

        `async with ComfyKit() as kit:` does this at the end of the block.
        """
        for backend in list(self._backends.values()):
            backend.is_closed = True
            await loop.await_on_loop(backend.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    # -- the server ----------------------------------------------------------------------------------------------------

    def server(self, workflow: Any = None) -> Server:
        """Return what the server is and does now. Never raises for an unreachable server.

        Args:
            workflow: Ask the server or cloud that runs this workflow; by default the kit's own server.

        Example:
            >>> kit.server().reachable
            True
        """
        return loop.call(self._find_backend(workflow).status())

    def queue(self) -> list[Job]:
        """Return the jobs that the server runs, then those that wait, in order. They may be anybody's.

        Raises:
            ServerError: The server is unreachable.
        """
        return loop.call(self._find_backend().list_queue())

    def history(self, limit: int = 10) -> list[Job]:
        """Return the jobs of the server that have ended, newest first.

        Args:
            limit: The most jobs to return, 1 to 1000.

        Raises:
            ServerError: The server is unreachable.
            ComfyKitError: The limit is not allowed.
        """
        return loop.call(self._find_backend().list_history(limit))

    def models(self, folder: str | None = None) -> list[str]:
        """Return the files in one of the server's folders of models.

        Args:
            folder: Such as `loras`; None returns the names of the folders.

        Raises:
            ServerError: The server is unreachable.
            ComfyKitError: It has no such folder.
        """
        return loop.call(self._find_backend().list_models(folder))

    def input(self, name: str, workflow: Any = None) -> Media:
        """Return a file that the server has. It is downloaded when it is read.

        Args:
            name: The name that nodes use, such as `cat.png` or `cats/cat.png [output]`.
            workflow: Ask the server or cloud that runs this workflow; by default the kit's own server.

        Raises:
            ComfyKitError: The name is not valid, or the cloud does not give files back.
        """
        return Media.from_name(self._find_backend(workflow), name)

    def definitions(self, workflow: Workflow) -> Definitions:
        """Return what the server says about the node classes of a workflow.

        Raises:
            ServerError: The server is unreachable.
        """
        return loop.call(self._find_backend(workflow).get_definitions(workflow.classes, fresh=True))

    def find(self, ending: str, workflow: Any = None) -> list[str]:
        """Return the prompt IDs on the server with this ending: the job that ended last, then those that still run.

        Args:
            ending: The end of the IDs.
            workflow: As for `server`. In a cloud that chooses the IDs, those that this machine has noted.

        Raises:
            ServerError: The server is unreachable.
        """
        return loop.call(self._find_backend(workflow).find_jobs(ending))
