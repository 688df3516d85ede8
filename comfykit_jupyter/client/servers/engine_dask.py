"""The engine for Dask distributed: ComfyUI servers that are started beside the workers of a cluster.

All that goes to a server and comes from it passes through Dask. A request is a function that runs once on the server's
worker: by `Client.run`, never as a task, since Dask repeats tasks. What the server's socket sends comes back as Dask's
events. All else is as for any ComfyUI server. Keys come from the environment of the workers; none is sent to them.
"""

from __future__ import annotations

import asyncio
import logging
import re
import shlex
import socket
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from distributed import Client, Worker, WorkerPlugin

from comfykit_jupyter.client.backends.comfyui.backend import ComfyUI
from comfykit_jupyter.client.backends.comfyui.kept_server import START, KeptServer
from comfykit_jupyter.client.backends.comfyui.remote import RemoteTunnel, ServerEnd
from comfykit_jupyter.client.errors import ServerError, SettingsError
from comfykit_jupyter.client.loop import end_task
from comfykit_jupyter.client.servers.pool import MakeKit, make_kit
from comfykit_jupyter.workflow.errors import one_line

if TYPE_CHECKING:
    from comfykit_jupyter.client.kit_parts.running_kit import RunningKit
    from comfykit_jupyter.client.settings import Settings

T = TypeVar("T")
NAME = "comfykit"
"""The name of the plugin, and of the topic of the events. Dask keeps the last 1,000 events of a topic."""
LOOK_INTERVAL = 1.0
"""Seconds between two looks at the workers of a cluster."""
DESCRIBE_TIMEOUT = 10.0
"""Seconds that new workers may take to describe their servers."""

# -- on a worker -------------------------------------------------------------------------------------------------------


class ServerPlugin(WorkerPlugin):  # type: ignore[misc]
    """Starts a ComfyUI server beside each worker of a Dask cluster, and ends it.

    If a worker is killed, the next one on its machine takes its server over, with its queue and history. A server that
    does not answer, or that another command has started, is ended, and started again.

    Args:
        command: What starts a server, as a list or as in a shell; `{port}` stands for its port, and `{number}` for 0,
            1, … on each machine, as for the GPU to use. By default the embedded server.
        linger: Seconds that a server waits for another worker when its own has ended.

    Example:
        client.register_plugin(ServerPlugin("python /opt/ComfyUI/main.py --port {port} --cuda-device {number}"))
        kit = ComfyKit(client)
    """

    name = NAME
    idempotent = True

    def __init__(self, command: str | Sequence[str] | None = None, linger: float = 30.0) -> None:
        embedded = [sys.executable, "-m", "comfykit_jupyter.sandbox", "--port", "{port}"]
        self.arguments = (command, linger)
        self.server = KeptServer(shlex.split(command) if isinstance(command, str) else command or embedded, linger)

    def setup(self, worker: Worker) -> None:
        """Start the server, or take over the one of an earlier worker."""
        logging.getLogger("distributed.worker").addFilter(lambda log: log.args not in (("call",), ("describe",)))
        self._worker = worker
        self._end: ServerEnd | None = None
        self._keeping = asyncio.ensure_future(self.server.keep())

    async def teardown(self, worker: Worker) -> None:  # noqa: ARG002 - Dask's interface
        """Leave the server to the next worker, or to its end."""
        await end_task(self._keeping)
        if self._end:
            await self._end.close()

    @property
    def label(self) -> str:
        """What rows say of the server: the same for the next worker that takes it over; "" while it does not answer."""
        host = re.sub(r"[^a-z0-9.-]", "-", socket.gethostname().lower())
        return f"dask://{host}/{self.server.number}" if self.server.url else ""

    async def open_end(self) -> ServerEnd:
        """Return the end of the tunnel on the server's side."""
        old = end = self._end
        if end is None or end.url != self.server.url:
            end = self._end = ServerEnd(self.server.url, partial(self._worker.log_event, NAME))
            if old is not None:
                await old.close()
        return end


async def describe(dask_worker: Worker) -> tuple[str, str, tuple[Any, ...]]:
    """Return the label of a worker's server, why it does not answer, and the arguments of its plugin, if it has one."""
    plugin = dask_worker.plugins.get(NAME)
    return (plugin.label, plugin.server.problem, plugin.arguments) if plugin is not None else ("", "", ())


async def call(label: str, method: str, *args: Any, dask_worker: Worker) -> tuple[Any, ...]:
    """Return what a method of a server's `ServerEnd` returns; nothing if this worker does not have that server now."""
    plugin = dask_worker.plugins.get(NAME)
    if plugin is None or plugin.label != label:
        return ()
    return (await getattr(await plugin.open_end(), method)(*args),)


# -- in the notebook ---------------------------------------------------------------------------------------------------


class Cluster:
    """The workers of a Dask client, by the labels of their servers."""

    def __init__(self, client: Client) -> None:
        self.receivers: dict[str, Callable[[dict[str, Any]], None]] = {}
        self.problems: dict[str, str] = {}  # why workers have no server, by the worker's address
        self._client = client
        self._addresses: dict[str, str] = {}
        self._seen_at: dict[str, float] = {}
        self._looking: Future[None] | None = None
        self._looked_at = 0.0
        self._arguments: tuple[Any, ...] = ()

    def look(self) -> Future[None]:
        """Look at the workers, unless that has been done a moment ago."""
        if self._looking is None or (self._looking.done() and time.monotonic() - self._looked_at > LOOK_INTERVAL):
            self._looking = self._start(self._look())
        return self._looking

    def find_labels(self, seconds: float) -> list[str]:
        """Return the labels of the servers that are there, or were a short time ago; if there is none, of all."""
        recent = time.monotonic() - seconds
        seen = dict(self._seen_at)  # Dask's thread adds to it
        return [label for label, at in seen.items() if label in self._addresses or at > recent] or list(seen)

    async def ask(self, label: str, method: str, *args: Any) -> Any:
        """Call a method of a server's `ServerEnd`; see `remote.Engine`. A worker that is gone is not waited for."""
        if label not in self._addresses:
            await asyncio.gather(asyncio.wrap_future(self.look()), return_exceptions=True)
        if (address := self._addresses.get(label)) is None:
            raise ConnectionRefusedError(f"no worker has the server {label} now")
        waiting = asyncio.wrap_future(self._start(self._call(address, label, method, *args)))
        answer: Any = "it is gone"
        try:
            while not waiting.done() and self._addresses.get(label) == address:
                await asyncio.wait({waiting}, timeout=LOOK_INTERVAL)
                self.look()
            if waiting.done() and not waiting.cancelled():
                answer = waiting.exception() or waiting.result()
        finally:
            waiting.cancel()
        if isinstance(answer, tuple) and answer:
            return answer[0]
        self._addresses.pop(label, None)
        if isinstance(answer, ConnectionRefusedError) or answer == ():
            raise ConnectionRefusedError(f"{label} does not answer on its worker")
        raise ConnectionError(f"the worker of {label} does not answer: {answer}")

    def subscribe(self) -> None:
        """Receive events from now on; that is repeated for a scheduler that has been restarted."""
        self._client.subscribe_topic(NAME, self._on_event)

    def _on_event(self, event: tuple[float, dict[str, Any]]) -> None:
        if receive := self.receivers.get(event[1]["relay"]):
            receive(event[1])

    def _start(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run a coroutine on the client's event loop, where the client's methods can be awaited."""
        if self._client.status in ("running", "connecting"):
            return asyncio.run_coroutine_threadsafe(work, self._client.loop.asyncio_loop)
        work.close()
        refused: Future[T] = Future()
        refused.set_exception(ConnectionRefusedError("the Dask client is closed"))
        return refused

    async def _look(self) -> None:
        """Note which workers there are, and ask new ones for their servers."""
        found = await self._client.nthreads()
        self._addresses = {label: address for label, address in dict(self._addresses).items() if address in found}
        self.problems = dict.fromkeys(found, "")
        if new := [address for address in found if address not in self._addresses.values()]:
            asking = self._client.run(describe, workers=new, on_error="return")
            for address, answer in (await asyncio.wait_for(asking, DESCRIBE_TIMEOUT)).items():
                failure = ("", str(answer), None)
                label, self.problems[address], arguments = answer if isinstance(answer, tuple) else failure
                if label:
                    self._addresses[label] = address
                if arguments == ():  # the scheduler was restarted, and no longer knows the plugin
                    await self._client.register_plugin(ServerPlugin(*self._arguments))
                self._arguments = arguments or self._arguments
        self._looked_at = time.monotonic()
        self._seen_at |= dict.fromkeys(self._addresses, self._looked_at)

    async def _call(self, address: str, *args: Any) -> Any:
        return (await self._client.run(call, *args, workers=[address], on_error="return")).get(address)


class DaskServers:
    """The servers of a cluster; a `ServerSource`."""

    def __init__(self, cluster: Cluster, settings: Settings, make: MakeKit) -> None:
        self._cluster = cluster
        self._settings = settings
        self._make = make
        self._kits: dict[str, RunningKit] = {}

    @property
    def servers(self) -> list[RunningKit]:
        """A kit for each server that there is, or was within the kit's patience."""
        self._cluster.look()
        labels = self._cluster.find_labels(self._settings.patience)
        return [self._kits.get(label) or self._kits.setdefault(label, self._make_kit(label)) for label in labels]

    def options(self, **options: Any) -> DaskServers:
        """See `ServerSource`."""
        return DaskServers(self._cluster, replace(self._settings, **options), self._make)

    def _make_kit(self, label: str) -> RunningKit:
        own = replace(self._settings, comfyui_url=label, servers=())
        return make_kit(label, ComfyUI(own, RemoteTunnel(label, self._cluster)), self._settings, self._make)


def open_servers(source: Any, settings: Settings, make: MakeKit) -> DaskServers:
    """Return the servers of a Dask client; they are started unless that has been done. See `client.engines`.

    Raises:
        SettingsError: It is something else of Dask's, or can't be used here.
        ServerError: No server could be started.
    """
    if not isinstance(source, Client):
        raise SettingsError(f"servers: give a Dask client, Client(…), not a {type(source).__name__}")
    if source.asynchronous:
        raise SettingsError("servers: the Dask client must not have asynchronous=True")
    cluster: Cluster = vars(source).setdefault(NAME, Cluster(source))  # one for each client
    try:
        source.register_plugin(ServerPlugin())  # if there is none
        until = time.monotonic() + START
        while not cluster.find_labels(0):
            cluster.look().result(START)
            if all(cluster.problems.values()) or time.monotonic() > until:
                default = "it does not answer" if cluster.problems else "wait for a worker: client.wait_for_workers(1)"
                reason = next(filter(None, cluster.problems.values()), default)
                raise ServerError(f"the cluster has no server: {reason}")
            time.sleep(0.1)
    except (OSError, RuntimeError, TimeoutError) as error:
        raise ServerError(f"the Dask cluster does not answer: {one_line(str(error), 200)}") from None
    return DaskServers(cluster, settings, make)
