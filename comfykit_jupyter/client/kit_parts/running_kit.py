"""`RunningKit`: a kit that runs workflows, and waits for them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.cells import find_cell
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.kit_parts.workflow_kit import WorkflowKit
from comfykit_jupyter.workflow.errors import short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.client.cells import Cell
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.attached import AttachedRun
    from comfykit_jupyter.client.running.recorder import RunRecorder
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.values.binding import Binding


class RunningKit(WorkflowKit):
    """A kit that runs workflows."""

    async def execute(
        self, workflow: str | int | Path | Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> ExecuteResult:
        """Run a workflow and wait for its result, whatever its status. Cancelling the caller cancels the job.

        Args:
            workflow: A path, a URL, a dict, or a RunningHub ID.
            params: Values by parameter name. A name that the workflow lacks only adds a warning.

        Returns:
            The result. If the run failed, a value is wrong or the server is unreachable, its `status` is `failed`, and
            `msg` and `error` say why.

        Example:
            result = await kit.execute("text.json", {"subject": "a cat"})
            print(result.status, result.msg, result.texts)
        """
        loop.check_asyncio()  # before the run starts
        listen = self.executor_type == "websocket"
        run = self._prepare(workflow, dict(params or {}), listen=listen, lenient=True, expand_choices=False)
        try:
            return await run.start().wait_for_result()
        except (KeyboardInterrupt, SystemExit):
            run.leave()
            raise

    async def execute_json(
        self, workflow_json: Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> ExecuteResult:
        """Run a workflow that is given as a dict; everything else is as in `execute`.

        Args:
            workflow_json: The workflow, in editor format or API format.
            params: Values by parameter name.

        Returns:
            The result, whatever its status.
        """
        return await self.execute(workflow_json, params)

    def run(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> ExecuteResult:
        """Run a workflow and wait for its result, in a script or a cell.

        Args:
            workflow: A path, a URL, a dict, media that carry a workflow, or a RunningHub ID.
            values: Values by parameter name.
            more: More values, as keywords.

        Returns:
            The result.

        Raises:
            RunFailed: The run failed; `.result` has what there is.
            ComfyKitError: Nothing was sent: a wrong value, a missing file, an unreachable server.
            KeyboardInterrupt: Ctrl-C or ■ was pressed; the job has been cancelled on the server.

        Example:
            >>> kit.run("text.json", subject="a cat", style="ink").text
            'a cat, ink'
        """
        run = self._prepare(workflow, {**(values or {}), **more}, cell=find_cell())
        try:
            run = self._resume(run)
            return run.start().result()
        except (KeyboardInterrupt, SystemExit):  # after the start, and before the wait
            run.leave()
            raise

    def submit(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> Run:
        """Start a run and return at once. Later errors are raised by `Run.result()` and `await run`.

        Args:
            workflow: A path, a URL, a dict, media that carry a workflow, or a RunningHub ID.
            values: Values by parameter name.
            more: More values, as keywords.

        Returns:
            The run, with `.status`, `.progress`, `.cancel()` and `.result()`.

        Raises:
            ComfyKitError: The workflow can't be read. Once this kit knows the nodes, as after a first run, also if a
                value does not fit or a file is missing. With `raise_on_error=False` nothing is raised.

        Example:
            >>> run = kit.submit("text.json", subject="a cat")
            >>> run.result().text
            'a cat, watercolor, morning light'
        """
        run = self._prepare(workflow, {**(values or {}), **more}, cell=find_cell())
        run.check()
        return self._resume(run).start()

    def submit_as(
        self,
        id: str,  # noqa: A002 - as in Run
        workflow: Any,
        values: Mapping[str, Any],
        *,
        is_call: bool = False,
    ) -> Run:
        """Start a run under an ID of the caller's, which must be new: the server would run it twice.

        Args:
            id: The ID.
            workflow: As for `run`.
            values: Values by parameter name.
            is_call: Whether a cell calls, so that the run may be attached to an earlier job, with another ID.
        """
        run = self._prepare(workflow, dict(values), id=id, cell=find_cell() if is_call else None)
        return self._resume(run).start()

    def attach(self, prompt_id: str | int) -> Run:
        """Find a job that was started elsewhere, or before the kernel restarted, and watch it to its end.

        Returns at once. Interrupting the wait does not cancel the job; `run.cancel()` does. The result is made from the
        server's record: `duration` covers the execution only, and the kit's `timeout` does not apply.

        Args:
            prompt_id: The server's ID of the job, as in `Run.prompt_id` and `Job.prompt_id`.

        Returns:
            The run. If the server does not know the job, its result is `failed` with the error kind `gone`.

        Raises:
            ComfyKitError: The prompt ID is not text, or empty.

        Example:
            >>> before = kit.run("text.json")
            >>> kit.attach(before.prompt_id).result().text
            'a red fox in the snow, watercolor, morning light'
        """
        from comfykit_jupyter.client.inputs.workflows import format_id

        given = format_id(prompt_id)
        id_ = given.strip(" \t\r\n") if isinstance(given, str) else ""  # it may be copied from a page
        if not id_:
            raise ComfyKitError(f"attach: prompt_id must be the ID of a job, as text, not {short_repr(prompt_id)}")
        return self.prepare_attached(id_).start()

    def prepare_attached(self, prompt_id: str) -> AttachedRun:
        """Return what watches a job, to be started."""
        from comfykit_jupyter.client.inputs.routing import find_backend_of_job
        from comfykit_jupyter.client.running.attached import AttachedRun

        backend = self._get_backend(find_backend_of_job(prompt_id, self._settings))
        return AttachedRun(backend, prompt_id, raise_on_error=self._settings.raise_on_error)

    def prepare_bound(
        self,
        workflow: Workflow,
        binding: Binding,
        definitions: Definitions,
        *,
        id: str | None = None,  # noqa: A002 - as in Run
        recorder: RunRecorder | None = None,
    ) -> Run:
        """Return a run to be started, with values that `Workflow.bind` has checked and set; see `Submission`."""
        return self._prepare(workflow, binding.params, id=id, bound=(binding, definitions), recorder=recorder)

    def prepare_call(
        self, workflow: Workflow, values: Mapping[str, Any], binding: Binding, definitions: Definitions, renew: str
    ) -> Run:
        """Return a run to be started for a call in a cell, with values that are bound already; see `resume`."""
        return self._resume(self._prepare(workflow, values, bound=(binding, definitions), cell=find_cell()), renew)

    def _resume(self, run: Run, renew: str = "kit.options(attach=False)") -> Run:
        from comfykit_jupyter.client.running.resumed import resume

        return resume(run, renew) if self._settings.attach else run

    def _prepare(
        self,
        workflow: Any,
        values: Mapping[str, Any],
        *,
        listen: bool = True,
        id: str | None = None,  # noqa: A002 - as in Run
        bound: tuple[Binding, Definitions] | None = None,
        lenient: bool = False,
        expand_choices: bool = True,
        recorder: RunRecorder | None = None,
        cell: Cell | None = None,
    ) -> Run:
        """Return a run that is not started yet: an interrupt can't lose it."""
        from comfykit_jupyter.client.inputs.workflows import WorkflowReader
        from comfykit_jupyter.client.running.run import Run

        source, backend = self._locate(workflow)
        return Run(
            backend,
            values,
            listen=listen,
            timeout=self._settings.timeout,
            raise_on_error=self._settings.raise_on_error,
            id=id,
            reader=WorkflowReader(source, backend),
            bound=bound,
            lenient=lenient,
            expand_choices=expand_choices and self._settings.expand_choices,
            recorder=recorder or self._get_recorder(),
            cell=cell,
        )

    @property
    def has_runs_folder(self) -> bool:
        """Whether a folder keeps the runs of this kit."""
        return self._settings.runs is not None

    def _get_recorder(self) -> RunRecorder | None:
        """Return what keeps the runs of this kit, if a folder is set."""
        raise NotImplementedError
