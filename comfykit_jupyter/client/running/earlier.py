"""`CellCall`: a call that a cell makes, and the job that an earlier kernel sent for it."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.inputs.files import LocalFile, RemoteFile
from comfykit_jupyter.client.inputs.media import read_media
from comfykit_jupyter.client.running.calls import Call
from comfykit_jupyter.client.senders import SentJob

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Backend
    from comfykit_jupyter.client.cells import Cell
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Binding, Upload

LOOK_TIMEOUT = 5.0
"""Seconds in which a server must list its jobs, for a cell that looks for jobs of an earlier kernel."""


@dataclass(frozen=True)
class EarlierJob:
    """A job that an earlier kernel sent for the same call.

    Attributes:
        prompt_id: The server's ID.
        run_id: The ID of the run that sent it.
        workflow: The workflow.
        binding: Its prompt, with what was drawn for it.
        definitions: The definitions of its nodes.
    """

    prompt_id: str
    run_id: str
    workflow: Workflow
    binding: Binding
    definitions: Definitions


class CellCall:
    """A call that a cell makes.

    Args:
        cell: The cell.
        server: Where its job goes.

    Attributes:
        sources: The files to upload, once they have been read: an open file can be read only once.
    """

    def __init__(self, cell: Cell, server: Backend) -> None:
        self.sources: list[RemoteFile | LocalFile] | None = None
        self._cell = cell
        self._server = server
        self._call: Call | None = None
        self._workflow: Workflow | None = None
        self._definitions: Definitions = {}
        self._hash = ""
        self._name = ""

    @property
    def name(self) -> str:
        """The hash of this call. Equal calls in a cell are numbered as this is first asked for."""
        if not self._name and self._hash:
            self._name = self._cell.name_call(self._hash)
        return self._name

    async def identify(
        self,
        workflow: Workflow,
        values: Mapping[str, Any],
        binding: Binding,
        definitions: Definitions,
        *,
        expand_choices: bool,
    ) -> None:
        """Find out what is called; this reads the files.

        Raises:
            ComfyKitError: A file can't be read.
        """
        if self._call is not None:
            return
        if self.sources is None:
            self.sources = await _read_all(binding.uploads, self._server)
        files = [await asyncio.to_thread(source.compute_hash) for source in self.sources]
        call = Call(workflow, values, binding, definitions, files, expand_choices=expand_choices)
        self._hash = await asyncio.to_thread(call.compute_hash)
        self._call, self._workflow, self._definitions = call, workflow, definitions

    async def list_earlier(self) -> Sequence[SentJob | ServerError]:
        """Return the jobs of this user's cells in earlier kernels. They only become fewer: a cell asks once for them.

        An error stands for one of several servers that does not list its jobs.

        Raises:
            ServerError: No server lists its jobs.
        """
        url, known = self._server.url, self._cell.found
        if url not in known:
            try:
                found = await loop.wait_for(self._server.find_sent_jobs(), LOOK_TIMEOUT)
                known[url] = [job for job in found if isinstance(job, ServerError) or job.sender.is_resumable]
            except asyncio.TimeoutError:
                known[url] = [ServerError(f"no answer from {url} within {LOOK_TIMEOUT:g} s", sent=True)]
            except ServerError as error:
                known[url] = [error]
        jobs = known[url]
        unlisted = [job for job in jobs if isinstance(job, ServerError)]
        if unlisted and len(unlisted) == len(jobs):
            raise unlisted[0]
        return jobs

    async def find_job(self, taken: Collection[str]) -> EarlierJob | None:
        """Return the job that an earlier kernel sent for this call, if it still waits or runs.

        Args:
            taken: The prompt IDs of jobs that other calls are attached to.

        Raises:
            ServerError: There is none on the servers that list their jobs, and another one does not.
        """
        if self._call is None or self._workflow is None:
            return None
        unlisted: list[ServerError] = []
        for job in await self.list_earlier():
            if isinstance(job, ServerError):
                unlisted.append(job)
                continue
            if job.sender.call != self.name or job.prompt_id in taken or not await self._is_unfinished(job):
                continue
            if (binding := self._call.adopt(job.prompt)) is not None:
                self.remove_copies()
                return EarlierJob(job.prompt_id, job.run_id, self._workflow, binding, self._definitions)
        if unlisted:
            raise unlisted[0]
        return None

    def remove_copies(self) -> None:
        """Delete the copies of files to upload."""
        for source in self.sources or ():
            source.remove()

    async def _is_unfinished(self, job: SentJob) -> bool:
        """Return whether a job waits or runs; True if the server does not say, as another one may have to be paid."""
        try:
            return await loop.wait_for(self._server.is_unfinished(job.prompt_id), LOOK_TIMEOUT)
        except (ServerError, asyncio.TimeoutError):
            return True

    def report(self, prompt_id: str, renew: str) -> None:
        """Show in the cell that the call is attached to a job; `renew` says how to send a new one."""
        self._cell.report(prompt_id, renew)


async def _read_all(uploads: Sequence[Upload], server: Backend) -> list[RemoteFile | LocalFile]:
    """Read files to upload. If one can't be read, no copies of the others stay.

    Raises:
        ComfyKitError: A file can't be read.
    """
    found: list[RemoteFile | LocalFile] = []
    try:
        for needed in uploads:
            source = await read_media(needed, server)
            found.append(source)
    except BaseException:
        for source in found:
            source.remove()
        raise
    return found
