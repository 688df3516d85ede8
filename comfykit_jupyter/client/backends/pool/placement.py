"""`Placement`: chooses a server for each run: an idle one that can run it, and that has its files."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.pool.lack import find_lack
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.workflow.model_names import is_model_name

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend, Note
    from comfykit_jupyter.client.backends.server import Server
    from comfykit_jupyter.workflow.values.binding import Binding

DEPTH = 2
"""Single runs of a kit in the queue of each of its servers; others wait for the first that has room."""
LOOK_INTERVAL = 2.0
"""Seconds between two looks at the servers while runs wait for one: these take turns."""

Ask = Callable[[Callable[["Backend"], Awaitable[Any]]], Awaitable[list[tuple["Backend", Any]]]]
"""Asks all servers, and returns the answers of those that answer; a `ComfyKitError` in the place of an answer."""


@dataclass(frozen=True)
class _Look:
    """What a look at the servers has found for a run.

    Attributes:
        wanted: The servers that can run it; if some of them have its files, these.
        at: When it was, on the monotonic clock.
    """

    wanted: Sequence[Backend]
    at: float


class Placement:
    """Assigns runs to servers. It belongs to the event loop on which it was created.

    Args:
        ask: Asks all of them.
    """

    def __init__(self, ask: Ask) -> None:
        self._ask = ask
        self._loop = asyncio.get_running_loop()
        self._waiting = 0
        self._appeared: dict[str, float] = {}
        self._places: dict[str, Backend] = {}
        self._models: dict[str, tuple[str, ...]] = {}
        self._changed = asyncio.Event()
        self._choosing = asyncio.Lock()

    def release(self, id: str) -> None:  # noqa: A002 - as in Run
        """Note that a run has ended."""
        if self._places.pop(id, None) is not None:
            self._changed.set()

    async def choose(self, id: str, binding: Binding, note: Note) -> Backend:  # noqa: A002
        """Return the server for a run, and count the run among those that it has.

        Args:
            id: The run's own ID.
            binding: Its prompt, with the files that it needs.
            note: Shows the user what it waits for.

        Raises:
            ServerError: No server answers.
            ComfyKitError: None of those that answer can run it.
        """
        self._waiting += 1
        try:
            return await self._choose(id, binding, note)
        finally:
            self._waiting -= 1

    async def _choose(self, id: str, binding: Binding, note: Note) -> Backend:  # noqa: A002
        look: _Look | None = None
        while True:
            async with self._choosing:
                self._changed.clear()
                if look is None or self._is_outdated(look):
                    look = await self._look(binding)
                if (server := await self._find_idle(look, binding)) is not None:
                    self._places[id] = server
                    self._models[server.url] = list_models(binding)
                    return server
            note("waiting for a server with room")
            with contextlib.suppress(asyncio.TimeoutError):
                await loop.wait_for(self._changed.wait(), LOOK_INTERVAL)

    @property
    def is_usable(self) -> bool:
        """Whether it belongs to the running event loop: a forked process has another one."""
        return self._loop is asyncio.get_running_loop()

    def _is_outdated(self, look: _Look) -> bool:
        """Return whether to ask again: in turn, but always if a server is new, and before a run goes to one."""
        if any(at > look.at for at in self._appeared.values()):
            return True
        age = time.monotonic() - look.at
        return age > LOOK_INTERVAL * (1 if self._find_free(look) else self._waiting)

    async def _look(self, binding: Binding) -> _Look:
        able = await self._find_able(binding)
        holders = [server for server in able if await _holds_files(server, binding)]
        return _Look(holders or able, time.monotonic())

    def _count_runs(self, server: Backend) -> int:
        return sum(each is server for each in self._places.values())

    def _find_free(self, look: _Look) -> list[Backend]:
        """Return the servers that have room for one more run."""
        return [server for server in look.wanted if self._count_runs(server) < DEPTH]

    async def _find_able(self, binding: Binding) -> list[Backend]:
        """Return the servers that have all nodes and models of a run."""

        async def look(server: Backend) -> str:
            await server.check_identity()
            return await find_lack(server, binding)

        answers = await self._ask(look)
        able = [server for server, lack in answers if lack == ""]
        for server, lack in answers:
            if isinstance(lack, ServerError):
                self._appeared.pop(server.url, None)
        for server in able:
            self._appeared.setdefault(server.url, time.monotonic())
        if able:
            return able
        reasons = "; ".join(
            str(lack) if isinstance(lack, ComfyKitError) else f"{server.url} lacks {lack}" for server, lack in answers
        )
        if all(isinstance(lack, ServerError) for _, lack in answers):
            raise ServerError(f"none of {len(answers)} servers answers: {reasons}")
        raise ComfyKitError(f"none of {len(answers)} servers can run this: {reasons}")

    async def _find_idle(self, look: _Look, binding: Binding) -> Backend | None:
        """Return the server with the shortest queue; None if all of them have enough of our runs."""
        candidates = self._find_free(look)
        if len(candidates) < 2:
            return candidates[0] if candidates else None
        states = {server.url: state for server, state in await self._ask(lambda server: server.status())}

        def rank(server: Backend) -> tuple[int, bool]:
            state: Server | None = states.get(server.url)
            waiting = state.running + state.pending if state is not None and state.reachable else 1_000_000
            return max(waiting, self._count_runs(server)), self._models.get(server.url) != list_models(binding)

        return min(candidates, key=rank)


def list_models(binding: Binding) -> tuple[str, ...]:
    """Return the model files of a prompt: with the same ones, models stay loaded."""
    values = (value for node in binding.prompt.values() for value in node["inputs"].values())
    return tuple(sorted({value for value in values if is_model_name(value)}))


async def _holds_files(server: Backend, binding: Binding) -> bool:
    """Return whether one of the values is a file that a server already has."""
    for upload in binding.uploads:
        value = upload.value
        if isinstance(value, Media):
            if value.origin.url == server.url:
                return True
        elif isinstance(value, str) and (name := server.find_remote_file(value)) is not None:
            try:
                if "://" in value or await server.has_file(str(name)):
                    return True
            except ServerError:
                continue
    return False
