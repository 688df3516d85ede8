"""Load the parameters of a form: as the server defines them or, while it is away, as the workflow shows them."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.backends.server import Server
from comfykit_jupyter.client.errors import ParameterError, ServerError, WorkflowError
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.running.refusal import find_reason
from comfykit_jupyter.notebook.page.values import STACK, check_form_values, get_initial_value
from comfykit_jupyter.notebook.widget.form.field_traits import build_fields_trait
from comfykit_jupyter.notebook.widget.form.loras import FormLoras
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS, find_format

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.server import Servers
    from comfykit_jupyter.client.missing.item import Missing
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow
    from comfykit_jupyter.workflow.nodes import Definitions

MAX_NOTES = 5
"""How many lines about a workflow stand above its form."""


class FormParameters:
    """The parameters of one form.

    Args:
        kit: Where the workflow runs.
        source: The workflow, as the user named it.

    Attributes:
        workflow: The workflow.
        fields: Its fields by name.
        preset: The preset that the workflow came with, which only decides the first values.
        loras: The LoRAs of the form.
        others: The fields of all other inputs by address, once they were asked for.
        definitions: The server's definitions of its node classes; empty while the server is away.
        is_complete: Whether the server has defined the fields.

    Raises:
        ComfyKitError: The workflow can't be read.
    """

    def __init__(self, kit: ComfyKit, source: Any) -> None:
        self._kit = kit
        self.source = source
        given = kit.read(source)
        self.preset = given.preset
        self.loras = FormLoras(kit, given)
        self._unread = self.workflow = given.with_preset(None).with_stack(())
        self.fields: dict[str, Field] = {}
        self.others: dict[str, Field] = {}
        self.definitions: Definitions = {}
        self.is_complete = False

    def load(self) -> Server | Servers:
        """Load the fields, from the server if it is there, and return the state of the server.

        Raises:
            WorkflowError: The server lacks nodes of a workflow in editor format.
        """
        server = self._kit.server(self.workflow)
        if server.reachable and not self.is_complete:
            with contextlib.suppress(ServerError):
                self.workflow = self._load_workflow()
                self.definitions = self.loras.load(self.workflow)
                self.fields = {field.name: field for field in self.workflow.fields(self.definitions)}
                self.others = {}
                self.is_complete = True
        if not self.fields and self.workflow.resolved:  # in editor format there are none without the server
            self.fields = {field.name: field for field in self.workflow.fields({})}
        return server

    def _load_workflow(self) -> Workflow:
        """Return the workflow with a prompt, also if the server lacks some of its nodes."""
        try:
            return self._kit.load(self._unread)
        except WorkflowError:
            if self._unread.resolved:
                raise
            workflow = self._unread.resolve(self._kit.definitions(self._unread), partial=True)
            if not workflow.packs:
                raise
            return workflow

    def renew(self) -> Server | Servers:
        """Load the fields again from the server, which may have got what it lacked."""
        self.is_complete = False
        return self.reload()

    def find_missing(self, values: Mapping[str, Any]) -> tuple[Missing, ...]:
        """Return what the server lacks for the workflow with these values."""
        if not self.is_complete:
            return ()
        return self._kit.find_missing(self.workflow, {n: value for n, value in values.items() if n != STACK})

    def reload(self) -> Server | Servers:
        """Load the fields again; a server that lacks nodes counts as away, since they may be installed later."""
        try:
            return self.load()
        except WorkflowError as error:
            return Server(self._kit.server(self.workflow).url, reachable=False, message=str(error))

    def find_field(self, name: str) -> Field | None:
        """Return the field of a parameter, or of any other input by its address."""
        return self.fields.get(name) or self.load_others().get(name)

    def load_others(self) -> dict[str, Field]:
        """Return the fields of the inputs that are not in the form, by address."""
        if not self.others and self.workflow.resolved:
            every = self.workflow.fields(self.definitions, every=True)
            self.others = {field.name: field for field in every if field.name not in self.fields}
        return self.others

    def find_name(self, name: str) -> str:
        """Return the name in the form of what a name or an address means; an unknown one stays as it is."""
        if name in self.fields or not self.workflow.resolved:
            return name
        try:
            return self.workflow.find_parameter(name, self.definitions).name
        except ParameterError:
            return name

    def check(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Check values, and return them as the form keeps them.

        Raises:
            ParameterError: Some values do not fit.
        """
        named = {self.find_name(name): value for name, value in values.items() if name != STACK}
        fields = {name: field for name in named if (field := self.find_field(name)) is not None}
        for name, value in named.items():
            if type(value) is str and "://" in value and name in fields and fields[name].kind in MEDIA_KINDS:
                named[name] = self._kit.spell_file(value, self.workflow)
        checked = check_form_values(named, fields, self.workflow, self.definitions)
        return {**checked, STACK: self.loras.check(values[STACK])} if STACK in values else checked

    def take_stack(self, values: Mapping[str, Any]) -> tuple[Workflow, dict[str, Any]]:
        """Return the workflow with the stack of LoRAs that is among the values of a form, and the other values."""
        stack = values.get(STACK, self.loras.default)
        left = {name: value for name, value in values.items() if name != STACK}
        return (self.workflow.with_stack(stack) if stack else self.workflow), left

    def build_others(self) -> list[dict[str, Any]]:
        """Return the fields of the inputs that are not in the form, as `build_trait` does."""
        return build_fields_trait(self.load_others().values())

    def list_notes(self) -> list[str]:
        """Return what the form says about the workflow, such as that a title is not read."""
        unread = self.workflow.unread_titles if self.workflow.resolved else ()
        return [*self.workflow.notes, *unread][:MAX_NOTES]

    def build_trait(self) -> list[dict[str, Any]]:
        """Return the trait `fields`."""
        stack = self.loras.build_field(self.workflow, self.fields.values())
        return [*build_fields_trait(self.fields.values()), *([stack] if stack else [])]

    def find_origin(self) -> tuple[Path, str] | None:
        """Return the local image that carries the workflow, and its MIME type; None if it came in another way."""
        source = self.source.local if isinstance(self.source, Media) else self.source
        if not isinstance(source, (str, Path)):
            return None
        kind, found = find_format(Path(source).name)
        path = Path(source).expanduser()
        return (path, found.mime) if kind == "image" and path.is_file() else None

    def get_storage_name(self) -> str:
        """Return the trait `storage`, from the names of the workflow and its parameters."""
        names = json.dumps([self.workflow.name, sorted(self.fields)])
        return f"{self.workflow.name[:60]}-{hashlib.sha256(names.encode()).hexdigest()[:16]}"

    def get_defaults(self) -> dict[str, Any]:
        """Return the values that a form begins with."""
        defaults = {name: get_initial_value(field) for name, field in self.fields.items()}
        return {**{name: value for name, value in defaults.items() if value is not None}, STACK: self.loras.default}

    def find_rejected(self, result: ExecuteResult) -> dict[str, str]:
        """Return the server's message for each field that it has rejected."""
        error = result.error
        if error is None or error.kind != "refused":
            return {}
        found: dict[str, str] = {}
        for name in self.fields:
            for target in self.workflow.find_parameter(name, self.definitions).targets:
                reason = find_reason(error.message, target.node_id, target.field)
                if reason is None and (target.node_id, target.field) == (error.node_id, error.field):
                    reason = error.message
                if reason is not None:
                    found.setdefault(name, reason)
        return found
