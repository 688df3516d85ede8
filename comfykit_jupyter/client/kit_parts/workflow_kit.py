"""`WorkflowKit`: what a `ComfyKit` can find out about a workflow without running it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.kit_parts.server_kit import ServerKit

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine
    from pathlib import Path

    from comfykit_jupyter.client.checking.check import Report
    from comfykit_jupyter.client.checking.dry_run import DryRun
    from comfykit_jupyter.client.missing.download import DownloadState
    from comfykit_jupyter.client.missing.item import Missing
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow


class WorkflowKit(ServerKit):
    """A kit that reads workflows, and checks them before they run."""

    async def check(self, workflow: Any, params: Mapping[str, Any] | None = None) -> Report:
        """Find everything that can be known to be wrong before the workflow runs. Sends nothing, and never raises.

        It finds unknown nodes and parameters, values that do not fit, missing models (and the folder they belong in),
        missing files and inputs, links between different types, cycles, and an unreachable server. With several servers
        the report is about the first server that can run it, if there is one.

        Args:
            workflow: As for `execute`.
            params: Values by parameter name.

        Returns:
            The report: `.ok`, and `.problems` with a line for each.

        Example:
            report = await kit.check("text.json", {"subject": "a fox"})
            print(report)
        """
        from comfykit_jupyter.client.checking.check import check_servers

        source, backend = self._locate(workflow)
        return await loop.await_on_loop(check_servers(backend, source, dict(params or {})))

    def dry_run(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> DryRun:
        """Find out what `run` would send, and how it differs from the workflow's file. Sends nothing.

        Args:
            workflow: As for `run`.
            values: Values by parameter name. Files must exist; URLs are not downloaded.
            more: More values, as keywords.

        Returns:
            The changed inputs, and the prompt.

        Raises:
            ComfyKitError: `run` would not send it: a wrong value, a missing file, an unreachable server.

        Example:
            >>> print(kit.dry_run("text.json", subject="a cat"))  # doctest: +ELLIPSIS
            nothing was sent: text would go to http://127.0.0.1:... with 1 input changed
              Text (1)  value: "a red fox in the snow" → "a cat"
        """
        from comfykit_jupyter.client.checking.dry_run import build_dry_run

        source, backend = self._locate(workflow)
        expand_choices = self._settings.expand_choices
        return loop.call(build_dry_run(backend, source, {**(values or {}), **more}, expand_choices=expand_choices))

    def read(self, workflow: Any) -> Workflow:
        """Read a workflow without converting it: one in editor format has no prompt yet, and needs no server.

        Raises:
            SourceError: It can't be read.
            WorkflowError: It is not a workflow.
            ServerError: It is stored on a server or in a cloud that is unreachable.
        """
        from comfykit_jupyter.client.inputs.workflows import read_workflow

        return loop.call(read_workflow(*self._locate(workflow)))

    def load(self, workflow: Any) -> Workflow:
        """Read a workflow, and convert it to API format if it is in editor format.

        Args:
            workflow: As for `run`.

        Returns:
            The workflow, with `.parameters`, `.prompt` and `.save()`.

        Raises:
            SourceError: It can't be read.
            WorkflowError: It is not a workflow, or the server lacks some of its nodes.
            ServerError: The server is unreachable, and needed to convert it.

        Example:
            >>> sorted(kit.load("text.json").parameters)
            ['delimiter', 'style', 'subject']
        """
        return loop.call(self._load(workflow))

    async def _load(self, workflow: Any) -> Workflow:
        from comfykit_jupyter.client.inputs.workflows import convert_workflow, read_workflow

        source, backend = self._locate(workflow)
        return await convert_workflow(await read_workflow(source, backend), backend)

    def fields(self, workflow: Any, *, every: bool = False) -> tuple[Field, ...]:
        """Return the parameters of a workflow as a form shows them, with the bounds and choices of the server.

        Args:
            workflow: As for `run`.
            every: Whether to add all other inputs of the workflow, under their addresses.

        Returns:
            The fields, in the order of the form.

        Raises:
            ComfyKitError: The workflow can't be read, or the server is unreachable.

        Example:
            >>> [(field.name, field.kind) for field in kit.fields("text.json")]
            [('subject', 'text'), ('style', 'text'), ('delimiter', 'text')]
        """
        return loop.call(self._build_fields(workflow, every=every))

    async def _build_fields(self, workflow: Any, *, every: bool) -> tuple[Field, ...]:
        loaded = await self._load(workflow)
        definitions = await self.find_backend(loaded).get_definitions(loaded.classes, fresh=True)
        return loaded.fields(definitions, every=every)

    def find_missing(self, workflow: Any, values: Mapping[str, Any]) -> tuple[Missing, ...]:
        """Return what the server lacks for a workflow with these values; nothing if it can't be asked."""
        from comfykit_jupyter.client.checking.check import check_servers

        source, backend = self._locate(workflow)
        return loop.call(check_servers(backend, source, values)).missing

    def install_model(self, missing: Missing, notify: Callable[[DownloadState], None]) -> Coroutine[Any, Any, Path]:
        """Return what downloads a missing model into the server's folder on this machine: for the background loop."""
        from comfykit_jupyter.client.missing.install import install_model

        return install_model(self.find_backend(), missing, notify)
