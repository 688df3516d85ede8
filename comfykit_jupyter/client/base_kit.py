"""`BaseKit`: the settings and connections of a `ComfyKit`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast, overload

from typing_extensions import Self

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.base import Backend
from comfykit_jupyter.client.backends.routing import find_backend
from comfykit_jupyter.client.inputs.workflows import take_snapshot
from comfykit_jupyter.client.settings import AddressSecrets, Api, ExecutorType, Place, Settings, hide_arguments

if TYPE_CHECKING:
    from types import TracebackType


B = TypeVar("B", bound=Backend)
K = TypeVar("K", bound="BaseKit")
T = TypeVar("T")


class ReadOnly(Generic[T]):
    """A setting as an attribute of a kit."""

    def __set_name__(self, owner: type[BaseKit], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, kit: None, owner: type[BaseKit]) -> Self: ...
    @overload
    def __get__(self, kit: BaseKit, owner: type[BaseKit]) -> T: ...
    def __get__(self, kit: BaseKit | None, owner: type[BaseKit]) -> Self | T:
        if kit is None:
            return self
        return cast("T", getattr(kit._settings, self._name))  # noqa: SLF001 - its own

    def __set__(self, kit: BaseKit, value: object) -> None:
        del value  # it may be a secret, and a traceback may show the values of variables
        message = f"{self._name} of a kit can't be changed: use kit = kit.options({self._name}=…)"
        raise AttributeError(message, name=self._name, obj=kit)


class BaseKit:
    """The settings of a kit, and its backends: one for each kind of server or cloud."""

    comfyui_url = ReadOnly[str]()
    executor_type = ReadOnly[ExecutorType]()
    api_key = ReadOnly[str | None]()
    cookies = ReadOnly[str | None]()
    runninghub_url = ReadOnly[str]()
    runninghub_api_key = ReadOnly[str | None]()
    runninghub_timeout = ReadOnly[int]()
    runninghub_retry_count = ReadOnly[int]()
    runninghub_instance_type = ReadOnly[str | None]()
    runninghub_use_personal_queue = ReadOnly[bool]()
    runninghub_retain_seconds = ReadOnly[int | None]()
    runninghub_access_password = ReadOnly[str | None]()
    api = ReadOnly[Api | None]()
    place = ReadOnly[Place | None]()
    expand_choices = ReadOnly[bool]()

    _settings: Settings
    _backends: dict[type[Backend], Backend]

    def _configure(self, settings: Settings, backends: dict[type[Backend], Backend] | None = None) -> None:
        self._settings = settings
        self._backends = {} if backends is None else backends

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # a traceback may show a kit whose settings were rejected
            return f"{type(self).__name__}()"
        place = f", place={self.place!r}" if self.place else ""
        return f"{type(self).__name__}({self.comfyui_url!r}, executor_type={self.executor_type!r}{place})"

    def __copy__(self) -> Self:
        return self  # settings never change, and connections are shared

    def __deepcopy__(self, _memo: object) -> Self:
        return self

    def __reduce__(self) -> NoReturn:
        what = f"a {type(self).__name__}"
        raise TypeError(f"{what} can't be pickled, since it holds connections and keys: create one where it is used")

    @property
    def has_secret_address(self) -> bool:
        """Whether the server's address was given with a name, a password or a query, which `comfyui_url` leaves out."""
        return self._settings.address_secrets != AddressSecrets()

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
