"""`Submission`: a workflow on its way to the server: it is read, gets its values and files, and is posted once."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends import job_log
from comfykit_jupyter.client.backends.order import Accepted, Order, Refused, TryAgain
from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, Problem, ServerError
from comfykit_jupyter.client.inputs.files import LocalFile, RemoteFile
from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.inputs.media import read_media
from comfykit_jupyter.client.inputs.workflows import WorkflowReader, convert_workflow
from comfykit_jupyter.client.missing.model_files import find_model_files, find_model_places
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.running import late
from comfykit_jupyter.client.senders import build_sender

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.running.earlier import CellCall, EarlierJob
    from comfykit_jupyter.client.running.recorder import RunRecorder
    from comfykit_jupyter.workflow.document.workflow import Binding, Upload, Workflow
    from comfykit_jupyter.workflow.nodes import Definitions

_ADDRESSES = ("http://", "https://")
TURN = 10.0
"""Seconds that a prompt waits for those submitted before it, which may still upload files."""


def _is_checked_at_once(value: Any) -> bool:
    """Return whether a file can be read before the run starts: it is here, or on the server, and can be read twice."""
    if isinstance(value, Masked):
        return not value.has_url
    return isinstance(value, (str, os.PathLike)) and not str(value).startswith(_ADDRESSES)


async def _wait_for_turn(before: asyncio.Event) -> None:
    """Wait until the submission before has passed its turn on, but not longer than `TURN`."""
    with contextlib.suppress(asyncio.TimeoutError, RuntimeError):  # in a forked process nothing sets the event
        await loop.wait_for(before.wait(), TURN)


class Submission:
    """What is sent for one run. The submissions to a server are posted in the order in which they were started.

    Args:
        server: Where it goes.
        id: The run's own ID.
        reader: Reads the workflow.
        values: The values of the workflow's parameters, by name.
        note: Shows the user what the run is waiting for.
        bound: The prompt with its values and the definitions, if the values have been checked already.
        lenient: Whether values that name no parameter are ignored with a warning; else they are rejected.
        expand_choices: Whether one alternative of `{red|blue}` is drawn in texts that are given as values.
        call: The call of the cell that it comes from, if it is known.
    """

    def __init__(
        self,
        server: Backend,
        id: str,  # noqa: A002 - as in Run
        reader: WorkflowReader,
        values: Mapping[str, Any],
        note: Callable[[str], None],
        bound: tuple[Binding, Definitions] | None = None,
        *,
        lenient: bool = False,
        expand_choices: bool = True,
        call: CellCall | None = None,
    ) -> None:
        self.recorder: RunRecorder | None = None
        """Keeps what is sent."""
        self.call = call
        self.posted_at: float | None = None
        """When the prompt was sent, on the monotonic clock; None as long as no job can exist."""
        self.prompt_id = id if server.accepts_client_ids else None
        """The prompt ID; None until a server that chooses the ID has done so."""
        self._id = id
        self._server = server
        self._reader = reader
        self._values = values
        self._note = note
        self._lenient = lenient
        self._expand_choices = expand_choices
        self._warnings: list[str] = []
        self._workflow: Workflow | None = None
        self._binding = bound[0] if bound is not None else None
        self.known = bound[1] if bound is not None else {}
        """The definitions that its values were checked with."""
        self._order: Order | None = None
        self._posting: asyncio.Task[Accepted] | None = None
        self.is_lost = False
        """Whether the answer to the prompt was lost, and its job is not found."""
        self._replied = asyncio.Event()
        self._replied.set()
        self._before: asyncio.Event | None = None
        self._turn = asyncio.Event()
        self._passing: asyncio.Task[None] | None = None

    def take_warnings(self) -> list[str]:
        """Return a line for each value that was ignored, and one if the run can't be kept; each line once."""
        found, self._warnings = self._warnings, []
        return found

    def take_turn(self) -> None:
        """Take a place after the submissions that were started before."""
        self._server.is_closed = False
        self._before, self._server.last_turn = self._server.last_turn, self._turn

    def move(self, server: Backend) -> None:
        """Go to one of several servers, and take a place there."""
        self._server = server
        self.prompt_id = self._id if server.accepts_client_ids else None
        self.take_turn()

    async def check(self) -> None:
        """Check the values at once, if the definitions are known already; the server is asked before one is rejected.

        Raises:
            ComfyKitError: The workflow can't be read, a value does not fit, or a file is missing.
        """
        if not self._reader.is_local:
            return
        workflow = self._workflow = await self._reader.read()
        if not self._server.has_definitions(workflow.classes):
            return
        with contextlib.suppress(ServerError):  # the run itself waits for the server
            workflow = self._workflow = await convert_workflow(workflow, self._server)
            binding = await self.bind(workflow)
            for needed in binding.uploads:
                if _is_checked_at_once(needed.value):
                    (await read_media(needed, self._server)).remove()
            self._binding = binding

    async def read(self) -> Workflow:
        """Read the workflow, and convert it to a prompt.

        Raises:
            ComfyKitError: It can't be read, or the server can't be reached.
        """
        workflow = self._workflow if self._workflow is not None else await self._reader.read()
        return await convert_workflow(workflow, self._server)

    async def bind(self, workflow: Workflow) -> Binding:
        """Put the values into the prompt. If one does not fit, the definitions are read again: they may be outdated.

        Raises:
            ParameterError: A value does not fit.
            ServerError: The server can't be reached.
        """
        if self._binding is not None:
            return self._binding
        self.known = await self._server.get_definitions(workflow.classes)
        unknown = self._find_unknown(workflow)
        if not any("." in str(name) for name in unknown):  # an address may name an input that is new there
            with contextlib.suppress(ParameterError):
                binding = self._bind_known(workflow, unknown)
                if not binding.warnings:  # of a preset, what is new there may fit, too
                    return binding
        self.known = await self._server.get_definitions(workflow.classes, fresh=True)
        return self._bind_known(workflow, self._find_unknown(workflow))

    def _find_unknown(self, workflow: Workflow) -> Mapping[Any, Problem]:
        """Return the values to ignore, by name."""
        return workflow.find_unknown(self._values, self.known) if self._lenient else {}

    def _bind_known(self, workflow: Workflow, unknown: Mapping[Any, Problem]) -> Binding:
        known = {name: value for name, value in self._values.items() if name not in unknown}
        binding = workflow.bind(known, self.known, expand_choices=self._expand_choices)
        self._warnings = [
            *dict.fromkeys([*self._warnings, *(f"{each.message} (ignored)" for each in unknown.values())])
        ]
        return binding

    async def send_files(self, binding: Binding) -> None:
        """Upload the files of all media values, and put the references to them into the prompt.

        Raises:
            ComfyKitError: A file can't be read, or the server does not accept it.
        """
        sources = None if self.call is None else self.call.sources
        for at, needed in enumerate(binding.uploads):
            source = await read_media(needed, self._server) if sources is None else sources[at]
            binding.place(needed, *await self._send_file(needed, source))

    async def _send_file(self, needed: Upload, source: RemoteFile | LocalFile) -> tuple[Any, str | None]:
        """Return what stands in the prompt for a file, and how it is spelled as a value if it is on the server."""
        try:
            if self.recorder is not None:
                await self.recorder.record_input(self._id, needed, source)
            if isinstance(source, RemoteFile):
                given = needed.value
                spelled = given.server_name if isinstance(given, Media) else self._server.spell_file(str(given))
                return source.name, spelled
            self._note(f"uploading {needed.parameter}")
            name = await self._server.upload(source.content, source.suffix, needed)
            return name, self._server.spell_file(name) if self._has_address(needed.value) else None
        finally:
            source.remove()

    def _has_address(self, value: Any) -> bool:
        """Return whether a value names a file by the address of its server, which has another name for it."""
        if isinstance(value, Media):
            return value.server_name != str(value)
        return isinstance(value, str) and self._server.spell_file(value) != value

    def remove_copies(self) -> None:
        """Delete the copies of files that were read and not uploaded."""
        if self.call is not None:
            self.call.remove_copies()

    async def identify(self, workflow: Workflow, binding: Binding) -> None:
        """Find out which call of its cell this is, if there is a cell.

        Raises:
            ComfyKitError: A file can't be read.
        """
        if self.call is not None:
            await self.call.identify(workflow, self._values, binding, self.known, expand_choices=self._expand_choices)

    async def find_earlier(self, taken: Collection[str]) -> EarlierJob | None:
        """Find the job that an earlier kernel sent for the same call, if it still waits or runs.

        Args:
            taken: The prompt IDs of jobs that other calls of this kernel are attached to.

        Raises:
            ServerError: The server does not list its jobs.
        """
        if self.call is None or not await self.call.list_earlier():
            return None
        try:
            workflow = self._workflow = await self.read()
            binding = self._binding = await self.bind(workflow)
            await self.identify(workflow, binding)
        except ComfyKitError:
            return None  # the run itself reports it
        return await self.call.find_job(taken)

    async def post(self, workflow: Workflow, binding: Binding) -> Any:
        """Send the prompt, once: cancelling the caller does not take it back. Returns the server's `node_errors`.

        Raises:
            Refused, ServerError: As `Backend.post`.
        """
        extra = workflow.build_pnginfo(binding.prompt, self.known)
        if self._before is not None:
            await _wait_for_turn(self._before)
            self._before = None
        sender = build_sender("" if self.call is None else self.call.name, self._id)
        order = self._order = Order(self._id, workflow, binding, extra, sender=sender)
        await self._server.prepare(order, self._note)
        if self.recorder is not None:
            models = await find_model_files(self._server, find_model_places(binding.prompt))
            if warning := await self.recorder.record_sent(self._id, self._server.url, workflow, binding, models):
                self._warnings.append(warning)
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
        self._posting.add_done_callback(self._on_answer)
        return await asyncio.shield(self._posting)

    async def _post_or_find(self, order: Order) -> Accepted:
        try:
            accepted = await self._server.post(order)
        except ServerError as error:
            if not error.sent:
                raise
            accepted = await self._server.find_lost(order, error, self._note)
        if not self._server.accepts_client_ids:
            await self._log_job(order, accepted.prompt_id)
        return accepted

    async def _log_job(self, order: Order, prompt_id: str) -> None:
        """Log a job before anything else: it is found again even if this process ends now, and is not paid twice."""
        note = (self._server.url, order.id, prompt_id, order.binding.prompt, order.workflow.name, order.sender)
        with contextlib.suppress(RuntimeError):  # the interpreter is ending: no thread can be started
            await asyncio.to_thread(job_log.add, *note)

    def _on_answer(self, posting: asyncio.Task[Accepted]) -> None:
        self.pass_turn()
        self._replied.set()
        if posting.cancelled():
            return
        error = posting.exception()
        if error is None:
            self.prompt_id = posting.result().prompt_id
            if self.recorder is not None:
                self.recorder.record_accepted(self._id, self.prompt_id)
        elif isinstance(error, TryAgain):
            self.posted_at = None
        elif isinstance(error, ServerError):
            self.is_lost = error.sent
        elif isinstance(error, Refused) and error.prompt_id is not None:
            self.prompt_id = error.prompt_id

    def pass_turn(self) -> None:
        """Let the next submission continue: this one was posted, or never will be.

        One that ends before its turn passes it on when it comes: the next one must not overtake those before it.
        """
        before, self._before = self._before, None
        if before is None or before.is_set():
            self._turn.set()
        else:
            self._passing = asyncio.ensure_future(self._pass_turn_after(before))

    async def _pass_turn_after(self, before: asyncio.Event) -> None:
        await _wait_for_turn(before)
        self._turn.set()

    @property
    def is_answered(self) -> bool:
        """Whether no answer to the prompt is outstanding: there was one, or the prompt was not sent."""
        return self._replied.is_set()

    async def cancel_when_answered(self, cancel: Callable[[], Awaitable[None]]) -> None:
        """Cancel the job when the server has answered the prompt; if the answer is lost, when the job arrives."""
        await self.wait_for_answer()
        if self.is_lost and self._server.accepts_client_ids:
            await late.cancel_late_job(self._server, self.find_job)
            return
        with contextlib.suppress(ServerError):
            await cancel()

    async def find_job(self) -> str | None:
        """Return the prompt ID of the job whose answer was lost, once it is there; the server may have chosen it.

        Raises:
            ServerError: The server can't be reached, or its answers make no sense.
        """
        found = None if self._order is None else await self._server.find_sent(self._order)
        if found is not None:
            self.prompt_id, self.is_lost = found, False
        return found

    async def wait_for_answer(self) -> None:
        """Wait until the server has answered the prompt, in any way."""
        await self._replied.wait()
