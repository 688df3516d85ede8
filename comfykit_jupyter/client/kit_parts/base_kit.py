"""`BaseKit`: the settings and connections of a `ComfyKit`.

What reads workflows and runs them is imported when it is first used, here and in the other parts: a cell that only
creates a kit is as quick as one that imports httpx.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar, cast, overload

from typing_extensions import Self

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.addresses import AddressSecrets
from comfykit_jupyter.client.engines import open_source
from comfykit_jupyter.client.errors import SettingsError
from comfykit_jupyter.client.settings import (
    Api,
    ExecutorType,
    Keep,
    Place,
    SameServer,
    Settings,
    hide_arguments,
    resolve_settings,
)

if TYPE_CHECKING:
    from types import TracebackType

    from comfykit_jupyter.client.backends.base import Backend

B = TypeVar("B", bound="Backend")
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


class UrlOfOneServer(ReadOnly["str | None"]):
    """The address of a kit's server; None if it has several."""

    @overload
    def __get__(self, kit: None, owner: type[BaseKit]) -> Self: ...
    @overload
    def __get__(self, kit: BaseKit, owner: type[BaseKit]) -> str | None: ...
    def __get__(self, kit: BaseKit | None, owner: type[BaseKit]) -> Self | str | None:
        return super().__get__(kit, owner) or None if kit is not None else self


class BaseKit:
    """The settings of a kit, and its backends: one for each kind of server or cloud."""

    comfyui_url = UrlOfOneServer()
    executor_type = ReadOnly[ExecutorType]()
    api_key = ReadOnly[str | None]()
    cookies = ReadOnly[str | None]()
    runninghub_url = ReadOnly[str]()
    runninghub_api_key = ReadOnly[str | None]()
    runninghub_timeout = ReadOnly[int]()
    runninghub_retry_count = ReadOnly[int]()
    runninghub_instance_type = ReadOnly[str | None]()
    runninghub_concurrency = ReadOnly[int]()
    runninghub_use_personal_queue = ReadOnly[bool]()
    runninghub_retain_seconds = ReadOnly[int | None]()
    runninghub_access_password = ReadOnly[str | None]()
    headers = ReadOnly[Mapping[str, str]]()
    api = ReadOnly[Api | None]()
    place = ReadOnly[Place | None]()
    timeout = ReadOnly[float | None]()
    patience = ReadOnly[float]()
    verify = ReadOnly[Any]()
    proxy = ReadOnly[str | None]()
    expand_choices = ReadOnly[bool]()
    raise_on_error = ReadOnly[bool]()
    same_server = ReadOnly[SameServer | None]()
    keep = ReadOnly[Keep]()

    _settings: Settings
    _backends: dict[type[Backend], Backend]

    def _configure(self, settings: Settings, backends: dict[type[Backend], Backend] | None = None) -> None:
        sources = tuple(self._open_source(each, settings) for each in settings.servers)
        self._settings = replace(settings, servers=sources)
        self._backends = {} if backends is None else backends
        _check_several(self.servers if sources else [])

    def _open_source(self, given: Any, settings: Settings) -> Any:
        """Return what has the servers of an address, a kit or a cluster."""
        if not isinstance(given, str):
            return open_source(given, settings, self._make)
        shared = {name: getattr(settings, name) for name in ("api", "patience", "verify", "proxy")}
        # Secrets of the environment belong to one address, and it is not known to which.
        return self._make(replace(resolve_settings({**shared, "comfyui_url": given}), api_key=None, cookies=None))

    def _make(self, settings: Settings, backends: dict[type[Backend], Backend] | None = None) -> Self:
        kit = type(self).__new__(type(self))
        kit._configure(settings, backends)  # noqa: SLF001 - a kit
        return kit

    @property
    def servers(self) -> list[Self]:
        """A kit for each of its servers; of a kit with one server, a list of itself.

        Example:
            >>> [each.server().reachable for each in kit.servers]
            [True]
        """
        return [kit for source in self._settings.servers for kit in source.servers] or [self]

    def __repr__(self) -> str:
        if not hasattr(self, "_settings"):  # a traceback may show a kit whose settings were rejected
            return f"{type(self).__name__}()"
        place = f", place={self.place!r}" if self.place else ""
        url = self.comfyui_url or self.addresses
        return f"{type(self).__name__}({url!r}, executor_type={self.executor_type!r}{place})"

    @property
    def addresses(self) -> list[str]:
        """The addresses of its servers."""
        return [kit.comfyui_url for kit in self.servers if kit.comfyui_url]

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
        from comfykit_jupyter.client.inputs.routing import find_backend
        from comfykit_jupyter.client.inputs.workflows import take_snapshot

        source = take_snapshot(workflow, self._settings)
        return source, self._get_backend(find_backend(source, self._settings))

    def find_backend(self, workflow: Any = None) -> Backend:
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
        of_servers = {name: value for name, value in options.items() if name in ("patience", "verify", "proxy")}
        if of_servers and "servers" not in options:
            changed = replace(changed, servers=tuple(each.options(**of_servers) for each in changed.servers))
        shares = changed.is_of_engine or changed.shares_connection(self._settings)  # an engine's has no other way
        return self._make(changed, self._backends if shares else None)

    async def close(self) -> None:
        """Close the connections. Jobs keep running, and the kit opens new connections when it needs them.

        `async with ComfyKit() as kit:` does this at the end of the block.
        """
        for server in self._settings.servers:
            if isinstance(server, BaseKit):
                await server.close()
        for backend in list(self._backends.values()):
            backend.is_closed = True
            await loop.await_on_loop(backend.close())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()


def _check_several(kits: Sequence[BaseKit]) -> None:
    """Reject a server that is given twice, and a kit that runs workflows elsewhere than on its server."""
    seen: set[str | None] = set()
    for kit in kits:
        if kit.place is not None:
            raise SettingsError(f"servers: a kit with place={kit.place!r} is not a server: leave it out")
        if kit.comfyui_url in seen:
            raise SettingsError(f"servers: {kit.comfyui_url} is given twice")
        seen.add(kit.comfyui_url)
