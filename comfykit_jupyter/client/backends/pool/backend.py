"""`Pool`: several servers as one backend. Questions go to all of them; a run goes to one, and stays there."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

from comfykit_jupyter.client.backends.base import Backend, Note
from comfykit_jupyter.client.backends.pool.placement import Placement
from comfykit_jupyter.client.backends.server import Server, Servers
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.workflow.errors import short_repr
from comfykit_jupyter.workflow.nodes import merge_definitions

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.folders import Folders
    from comfykit_jupyter.client.backends.follower import Follower
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.backends.order import Accepted, Order
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.senders import SentJob
    from comfykit_jupyter.client.settings import Settings
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Binding, Upload

T = TypeVar("T")
GRACE = 5.0
"""Seconds that the other servers get to answer after the first answer."""
AWAY = 10.0
"""Seconds for which a server that did not answer is not asked again, as long as there are others."""
FIND_INTERVAL = 1.0
"""Seconds between two searches for a job while some servers are away."""


class SharedName(str):
    """The name of a model that one of several servers has.

    Attributes:
        servers: The addresses of those that have it.
    """

    servers: tuple[str, ...] = ()


class Pool(Backend):
    """Several servers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._silent: dict[str, float] = {}
        self._placement: Placement | None = None
        self.url = ", ".join(server.url for server in self.members)

    @property
    def members(self) -> Sequence[Backend]:
        """The servers that there are now."""
        kits = [kit for source in self._settings.servers for kit in source.servers]
        return [kit.find_backend() for kit in kits]

    async def _ask(self, ask: Callable[[Backend], Awaitable[T]]) -> list[tuple[Backend, T | ComfyKitError]]:
        """Ask all servers at once, and return each with its answer, or with the error if it gives none."""
        now = time.monotonic()
        members = self.members
        asked = [server for server in members if self._silent.get(server.url, 0.0) < now] or members
        tasks = {asyncio.ensure_future(ask(server)): server for server in asked}
        answers: dict[str, T | ComfyKitError] = {}
        pending, left = set(tasks), None
        try:
            while pending:
                done, pending = await asyncio.wait(pending, timeout=left, return_when=asyncio.FIRST_COMPLETED)
                if not done:
                    break
                for task in done:
                    error = task.exception()
                    if error is not None and not isinstance(error, ComfyKitError):
                        raise error
                    answers[tasks[task].url] = task.result() if error is None else error
                    left = GRACE if error is None else left
        finally:
            for task in pending:
                task.cancel()
        for server in members:
            missing = ServerError(f"{server.url} does not answer", sent=False)
            answer = answers.setdefault(server.url, missing)
            if isinstance(answer, ServerError) and server in asked:
                self._silent[server.url] = time.monotonic() + AWAY
        return [(server, answers[server.url]) for server in members]

    async def _collect(self, ask: Callable[[Backend], Awaitable[T]]) -> list[tuple[Backend, T]]:
        """Ask all servers, and return the answers that arrive.

        Raises:
            ComfyKitError: None of them answers.
        """
        answers = await self._ask(ask)
        good = [(server, answer) for server, answer in answers if not isinstance(answer, ComfyKitError)]
        if not good:
            raise next(answer for _, answer in answers if isinstance(answer, ComfyKitError))
        return good

    # -- where a run goes ----------------------------------------------------------------------------------------------

    async def choose(self, id: str, binding: Binding, note: Note) -> Backend:  # noqa: A002
        """See `Backend.choose`."""
        if self._placement is None or not self._placement.is_usable:
            self._placement = Placement(self._ask)
        return await self._placement.choose(id, binding, note)

    def release(self, id: str) -> None:  # noqa: A002
        """See `Backend.release`."""
        if self._placement is not None:
            self._placement.release(id)

    async def find_holder(self, prompt_id: str) -> Backend:
        """Return the server that has a job, after waiting for servers that don't answer.

        Raises:
            ServerError: It is not on any that answers, and others are away for too long.
        """
        deadline = time.monotonic() + self._settings.patience
        while True:
            answers = await self._ask(lambda server: _has_job(server, prompt_id))
            for server, answer in answers:
                if answer is True:
                    return server
            away = [answer for _, answer in answers if isinstance(answer, ServerError)]
            if not away:
                return answers[0][0]  # it will say that there is no such job
            if time.monotonic() > deadline:
                others = f" (the others do not know {short_repr(prompt_id)})" if len(away) < len(answers) else ""
                raise ServerError(f"{away[0]}{others}")
            await asyncio.sleep(FIND_INTERVAL)
            self._silent.clear()

    async def cancel(self, prompt_id: str) -> bool:
        """Cancel a job, wherever it is."""
        return any(found for _, found in await self._collect(lambda server: server.cancel(prompt_id)))

    async def has_ended(self, prompt_id: str) -> bool:
        """Return whether one of the servers has the record of a job."""
        return any(found for _, found in await self._collect(lambda server: server.has_ended(prompt_id)))

    async def is_unfinished(self, prompt_id: str) -> bool:
        """Return whether a job waits or runs on one of the servers.

        Raises:
            ComfyKitError: None that answers has it, and another one does not answer.
        """
        answers = [answer for _, answer in await self._ask(lambda server: server.is_unfinished(prompt_id))]
        if True in answers:
            return True
        for answer in answers:
            if isinstance(answer, ComfyKitError):
                raise answer
        return False

    # -- workflows and their values ------------------------------------------------------------------------------------

    async def get_definitions(self, classes: Iterable[str], *, fresh: bool = False) -> Definitions:
        """Return the definitions of node classes, with the choices of all servers."""
        names = list(classes)
        found = await self._collect(lambda server: server.get_definitions(names, fresh=fresh))
        return merge_definitions([definitions for _, definitions in found])

    def has_definitions(self, classes: Iterable[str]) -> bool:
        """See `Backend.has_definitions`."""
        names = list(classes)
        return all(server.has_definitions(names) for server in self.members)

    async def list_classes(self) -> list[str]:
        """Return the names of all node classes of all servers."""
        found = await self._collect(lambda server: server.list_classes())
        return list(dict.fromkeys(name for _, names in found for name in names))

    async def has_file(self, name: str) -> bool:
        """Return whether one of the servers has a file."""
        return any(found for _, found in await self._collect(lambda server: server.has_file(name)))

    async def find_file(self, name: str) -> Backend:
        """Return the server that has a file; the first if none has it."""
        found = await self._collect(lambda server: server.has_file(name))
        return next((server for server, is_there in found if is_there), found[0][0])

    def find_remote_file(self, text: str) -> Any:
        """Return what stands in a prompt for a file on one of the servers."""
        found = (server.find_remote_file(text) for server in self.members)
        return next((name for name in found if name is not None), None)

    def reference_to(self, media: Media) -> Any:
        """Return what stands in a prompt for an output, on the server that has it."""
        owner = next((server for server in self.members if server.url == media.origin.url), None)
        return None if owner is None else owner.reference_to(media)

    async def upload(self, content: Path | bytes, suffix: str, needed: Upload) -> Any:
        """Upload a file to all servers; its name is the same on all of them."""
        return (await self._collect(lambda server: server.upload(content, suffix, needed)))[0][1]

    # -- the servers ---------------------------------------------------------------------------------------------------

    async def status(self) -> Server | Servers:
        """Return the states of all servers."""
        found = await self._ask(lambda server: server.status())
        states = [
            Server(server.url, reachable=False, message=str(state)) if isinstance(state, ComfyKitError) else state
            for server, state in found
        ]
        return Servers([state for state in states if isinstance(state, Server)])

    async def check_identity(self) -> None:
        """See `Backend.check_identity`."""
        await self._collect(lambda server: server.check_identity())

    async def free(self, *, keep_results: bool) -> None:
        """Unload the models of all servers."""
        await self._collect(lambda server: server.free(keep_results=keep_results))

    async def find_jobs(self, ending: str) -> list[str]:
        """See `ComfyKit.find`."""
        found = await self._collect(lambda server: server.find_jobs(ending))
        return [prompt_id for _, ids in found for prompt_id in ids]

    async def find_sent_jobs(self) -> Sequence[SentJob | ServerError]:
        """See `Backend.find_sent_jobs`."""
        found: list[SentJob | ServerError] = []
        for _, jobs in await self._ask(lambda server: server.find_sent_jobs()):
            if isinstance(jobs, ServerError):
                found.append(jobs)
            elif not isinstance(jobs, ComfyKitError):
                found += jobs
        return found

    async def list_queue(self) -> list[Job]:
        """Return the jobs in all queues, the running ones first."""
        found = await self._collect(lambda server: server.list_queue())
        jobs = [replace(job, server=server.url) for server, listed in found for job in listed]
        return sorted(jobs, key=lambda job: (job.status != "running", job.place or 0))

    async def list_history(self, most: int) -> list[Job]:
        """Return the jobs of all servers that have ended, newest first by their clocks."""
        found = await self._collect(lambda server: server.list_history(most))
        jobs = [replace(job, server=server.url) for server, listed in found for job in listed]
        return sorted(jobs, key=lambda job: -(job.began or 0.0))[:most]

    async def list_models(self, folder: str | None) -> list[str]:
        """Return the models that any of the servers has, as `SharedName`."""
        owners: dict[str, list[str]] = {}
        for server, names in await self._collect(lambda server: server.list_models(folder)):
            for name in names:
                owners.setdefault(name, []).append(server.url)
        listed = []
        for name in sorted(owners):
            shared = SharedName(name)
            shared.servers = tuple(owners[name])
            listed.append(shared)
        return list(listed)

    async def read_model_metadata(self, folder: str, name: str) -> Any:
        """Return the metadata of a model file, from the first server that has it."""
        found = await self._collect(lambda server: server.read_model_metadata(folder, name))
        return next((metadata for _, metadata in found if metadata), None)

    async def find_folders(self) -> Folders | None:
        """Return where the first server that says so has its folders."""
        found = await self._collect(lambda server: server.find_folders())
        return next((folders for _, folders in found if folders is not None), None)

    async def close(self) -> None:
        """Do nothing: the kits of the servers close their connections."""

    # -- what only one server can do -----------------------------------------------------------------------------------

    async def post(self, order: Order) -> Accepted:
        """Raise an error: `choose` comes first."""
        self._refuse(order.id)

    async def follow(self, run: Follower, *, listen: bool, lost: bool = False) -> None:  # noqa: ARG002
        """Raise an error: `choose` comes first."""
        self._refuse(run.id)

    def locate(self, entry: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
        """Raise an error: a file is on one server."""
        self._refuse(str(entry))

    async def fetch(self, media: Media) -> Path:
        """Raise an error: a file is on one server."""
        self._refuse(media.name)

    def _refuse(self, what: str) -> NoReturn:
        raise RuntimeError(f"no server was chosen for {what}")


async def _has_job(server: Backend, prompt_id: str) -> bool:
    """Return whether a server has a job in its queue or its history."""
    # In this order, since a job may end between the two questions.
    return await server.is_unfinished(prompt_id) or await server.has_ended(prompt_id)
