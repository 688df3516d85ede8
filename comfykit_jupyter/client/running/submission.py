"""`Submission`: a workflow on its way to the server: read, its values bound, its files sent, and posted once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.base import Accepted, Order, Refused, TryAgain
from comfykit_jupyter.client.errors import ParameterError, ServerError
from comfykit_jupyter.client.inputs.media import RemoteFile, read_media
from comfykit_jupyter.client.inputs.workflows import convert_workflow

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.workflow import Binding, Upload, Workflow

TURN = 10.0
"""Seconds that a prompt which is ready waits for those submitted before it, which may still send files."""


class Submission:
    """What is sent for one run. Those of a server are posted in the order in which they were made.

    Args:
        server: where it goes.
        id: the run's own: known before the server has seen anything.
        read: gives the workflow.
        values: the workflow's values by name.
        note: tells whoever watches what is waited for.
    """

    def __init__(
        self,
        server: Backend,
        id: str,  # noqa: A002 - what it is
        read: Callable[[], Awaitable[Workflow]],
        values: Mapping[str, Any],
        note: Callable[[str], None],
    ) -> None:
        self.posted_at: float | None = None
        """When the prompt was sent, on the monotonic clock; None as long as no job can have begun."""
        self.prompt_id = id if server.accepts_client_ids else None
        """The server's name for it; where that gives the name, as soon as it has."""
        self._id = id
        self._server = server
        self._read = read
        self._values = values
        self._note = note
        self._prompt: Mapping[str, Any] = {}
        self.known: Definitions = {}
        """The definitions by which its values were bound."""
        self._posting: asyncio.Task[Accepted] | None = None
        self._replied = asyncio.Event()
        self._replied.set()
        self._before, self._turn = server.last_turn, asyncio.Event()
        server.last_turn = self._turn

    async def read(self) -> Workflow:
        """The workflow, with its prompt.

        Raises:
            ComfyKitError: it can't be read, or the server is away.
        """
        return await convert_workflow(await self._read(), self._server)

    async def bind(self, workflow: Workflow) -> Binding:
        """Its prompt with the values; one that the definitions refuse is tried with fresh ones.

        Raises:
            ParameterError: a value does not fit. ServerError: the server is away.
        """
        self.known = await self._server.definitions(workflow.classes)
        with contextlib.suppress(ParameterError):
            return workflow.bind(self._values, self.known)
        self.known = await self._server.definitions(workflow.classes, fresh=True)
        return workflow.bind(self._values, self.known)

    async def send_files(self, binding: Binding) -> None:
        """Have every media value on the server, and in the prompt its name there.

        Raises:
            ComfyKitError: a file can't be read, or the server does not take it.
        """
        for needed in binding.uploads:
            binding.place(needed, await self._send(needed))

    async def _send(self, needed: Upload) -> Any:
        source = await read_media(needed, self._server)
        if isinstance(source, RemoteFile):
            return source.name
        self._note(f"sending {needed.parameter}")
        try:
            return await self._server.upload(source.content, source.suffix, needed)
        finally:
            if source.temporary and isinstance(source.content, Path):
                source.content.unlink(missing_ok=True)

    async def post(self, workflow: Workflow, binding: Binding) -> Any:
        """Send the prompt, once: cancelling the caller does not take it back. Returns the server's `node_errors`.

        Raises:
            Refused, ServerError: As `Backend.post`.
        """
        extra = workflow.build_pnginfo(binding.prompt, self.known)
        if self._before is not None:
            with contextlib.suppress(asyncio.TimeoutError, RuntimeError):  # in a forked process nothing sets the event
                await loop.wait_for(self._before.wait(), TURN)
            self._before = None
        self._prompt = binding.prompt
        order = Order(self._id, workflow, binding, extra)
        await self._server.prepare(order, self._note)
        return (await self._post_until_accepted(order)).node_errors

    async def _post_until_accepted(self, order: Order) -> Accepted:
        """Post an order, again and again while the server rejects it for the moment."""
        began, counted = time.monotonic(), 0
        while True:
            try:
                return await self._post_shielded(replace(order, since=time.time()))
            except TryAgain as rejection:
                pause = rejection.pause
                counted += rejection.retries is not None
                if rejection.retries is not None and counted > rejection.retries:
                    raise rejection.failure from None
                if rejection.within is not None and time.monotonic() + pause > began + rejection.within:
                    raise rejection.failure from None
                self._note(f"{rejection.why}: trying again in {pause:.0f} s")
            await asyncio.sleep(pause)
            order = replace(order, attempt=order.attempt + 1)

    async def _post_shielded(self, order: Order) -> Accepted:
        """Post an order, once. Cancelling the caller does not cancel the request, and its outcome is not lost."""
        self.posted_at = time.monotonic()
        self._replied.clear()
        self._posting = asyncio.ensure_future(self._post_or_find(order))
        self._posting.add_done_callback(self._answered)
        return await asyncio.shield(self._posting)

    async def _post_or_find(self, order: Order) -> Accepted:
        try:
            return await self._server.post(order)
        except ServerError as error:
            if not error.sent:
                raise
            return await self._server.find_lost(order, error, self._note)

    def _answered(self, posting: asyncio.Task[Accepted]) -> None:
        self.pass_turn()
        self._replied.set()
        if posting.cancelled():
            return
        error = posting.exception()
        if error is None:
            self.prompt_id = posting.result().prompt_id
            if not self._server.accepts_client_ids:  # whatever becomes of this process, the job can be found again
                remember = partial(job_log.add, self._server.url, self._id, self.prompt_id, self._prompt)
                asyncio.get_running_loop().run_in_executor(None, remember)
        elif isinstance(error, TryAgain):
            self.posted_at = None
        elif isinstance(error, Refused) and error.prompt_id is not None:
            self.prompt_id = error.prompt_id

    def pass_turn(self) -> None:
        """The next one need not wait for this any more: it was posted, or never will be."""
        self._turn.set()

    @property
    def is_answered(self) -> bool:
        """Whether the server has answered the prompt, in whatever way; or will never, since it was not sent."""
        return self._replied.is_set()

    async def answered(self) -> None:
        """Come back when the server has answered the prompt, in whatever way."""
        await self._replied.wait()
