"""What a form's parameters are: as the server defines them, and while it is away as the workflow shows them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ServerError, WorkflowError
from comfykit_jupyter.notebook.widget.field_traits import build_fields_trait
from comfykit_jupyter.notebook.widget.values import check_all, initial

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Server
    from comfykit_jupyter.client.kit import ComfyKit
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.workflow import Field


class Parameters:
    """The parameters of one form.

    Args:
        kit: whose server it is.
        source: the workflow, as it was given. Raises `ComfyKitError` where it can't be read.
    """

    def __init__(self, kit: ComfyKit, source: Any) -> None:
        self._kit = kit
        self.source = source
        self.workflow = kit.read(source)
        self.fields: dict[str, Field] = {}
        """By name."""
        self.definitions: Definitions = {}
        """Of the workflow's node classes; none while the server is away."""
        self.complete = False
        """Whether the server was there to define them."""

    def ask(self) -> Server:
        """Look at the server, and get the fields as it defines them.

        Raises:
            WorkflowError: it lacks nodes of a file that only it can read.
        """
        server = self._kit.server(self.workflow)
        if server.reachable and not self.complete:
            with contextlib.suppress(ServerError):
                self.workflow = self._kit.load(self.workflow)
                self.definitions = self._kit.definitions(self.workflow)
                self.fields = {field.name: field for field in self.workflow.fields(self.definitions)}
                self.complete = True
        if not self.fields and self.workflow.resolved:  # what the editor saved has none before the server is there
            self.fields = {field.name: field for field in self.workflow.fields({})}
        return server

    def ask_again(self) -> Server:
        """As `ask`; a server that lacks nodes counts as one that is away: they may be installed."""
        try:
            return self.ask()
        except WorkflowError as error:
            return replace(self._kit.server(self.workflow), reachable=False, message=str(error))

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return values as the form keeps them.

        Raises:
            ParameterError: with all that is wrong.
        """
        return check_all(values, self.fields, self.workflow, self.definitions)

    def described(self) -> list[dict[str, Any]]:
        """The trait `fields`."""
        return build_fields_trait(self.fields.values())

    def storage(self) -> str:
        """The trait `storage`."""
        names = json.dumps([self.workflow.name, sorted(self.fields)])
        return f"{self.workflow.name[:60]}-{hashlib.sha256(names.encode()).hexdigest()[:16]}"

    def initial(self) -> dict[str, Any]:
        """The values that a form begins with."""
        first = {name: initial(field) for name, field in self.fields.items()}
        return {name: value for name, value in first.items() if value is not None}

    def blamed(self, result: ExecuteResult) -> dict[str, str]:
        """The fields that a server has refused, each with what it said."""
        error = result.error
        if error is None or error.kind != "refused":
            return {}
        return {
            name: error.message
            for name in self.fields
            for target in self.workflow.find_parameter(name).targets
            if (target.node_id, target.field) == (error.node_id, error.field)
        }
