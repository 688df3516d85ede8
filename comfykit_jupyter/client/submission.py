"""`Submission`: a workflow on its way to the server: read, its values bound, its files sent, and posted once."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ParameterError
from comfykit_jupyter.client.sources import OnServer, read_media, resolve
from comfykit_jupyter.client.transfer import upload

if TYPE_CHECKING:
    from comfykit_jupyter.client.comfyui import ComfyUI
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.workflow import Binding, Upload, Workflow

TURN = 10.0
"""Seconds that a prompt which is ready waits for those submitted before it, which may still send files."""


class Submission:
    """What is sent under one prompt_id. Those of a server are posted in the order in which they were made.

    Args:
        server: where it goes.
        prompt_id: ours: known before the server has seen anything.
        read: gives the workflow.
        values: the workflow's values by name.
    """

    def __init__(
        self,
        server: ComfyUI,
        prompt_id: str,
        read: Callable[[], Awaitable[Workflow]],
        values: Mapping[str, Any],
    ) -> None:
        self.posted_at: float | None = None
        """When the prompt was sent, on the monotonic clock."""
        self._server = server
        self._prompt_id = prompt_id
        self._read = read
        self._values = values
        self._known: Definitions = {}
        self._posting: asyncio.Task[Any] | None = None
        self._before, self._turn = server.last_turn, asyncio.Event()
        server.last_turn = self._turn

    async def bind(self) -> tuple[Workflow, Binding]:
        """The workflow, and its prompt with the values; one that the definitions refuse is tried with fresh ones.

        Raises:
            ComfyKitError: the workflow can't be read, a value does not fit, or the server is away.
        """
        workflow = await resolve(await self._read(), self._server)
        self._known = await self._server.definitions(workflow.classes)
        with contextlib.suppress(ParameterError):
            return workflow, workflow.bind(self._values, self._known)
        self._known = await self._server.definitions(workflow.classes, fresh=True)
        return workflow, workflow.bind(self._values, self._known)

    async def send_files(self, binding: Binding) -> None:
        """Have every media value on the server, and in the prompt its name there.

        Raises:
            ComfyKitError: a file can't be read, or the server does not take it.
        """
        for needed in binding.uploads:
            binding.place(needed, await self._send(needed))

    async def _send(self, needed: Upload) -> str:
        source = await read_media(needed, self._server.url)
        if isinstance(source, OnServer):
            return source.name
        try:
            return await upload(self._server, source.content, source.suffix)
        finally:
            if source.temporary and isinstance(source.content, Path):
                source.content.unlink(missing_ok=True)

    async def post(self, workflow: Workflow, binding: Binding) -> Any:
        """Send the prompt, once: cancelling the caller does not take it back. Returns the server's `node_errors`.

        Raises:
            Refused, ServerError: as `ComfyUI.post`.
        """
        extra = workflow.pnginfo(binding.prompt, self._known)
        if self._before is not None:
            with contextlib.suppress(asyncio.TimeoutError, RuntimeError):  # a forked process has nobody before it
                await asyncio.wait_for(self._before.wait(), TURN)
            self._before = None
        self.posted_at = time.monotonic()
        sending = self._server.post(self._prompt_id, binding.prompt, extra)
        self._posting = asyncio.ensure_future(sending)
        self._posting.add_done_callback(lambda _posting: self.pass_turn())
        return await asyncio.shield(self._posting)

    def pass_turn(self) -> None:
        """The next one need not wait for this any more: it was posted, or never will be."""
        self._turn.set()

    @property
    def is_answered(self) -> bool:
        """Whether the server has answered the prompt, in whatever way; or will never, since it was not sent."""
        return self._posting is None or self._posting.done()

    async def answered(self) -> None:
        """Come back when the server has answered the prompt, in whatever way."""
        if self._posting is not None:
            await asyncio.wait({self._posting})
            if not self._posting.cancelled():
                self._posting.exception()  # seen: whoever posted has been told
