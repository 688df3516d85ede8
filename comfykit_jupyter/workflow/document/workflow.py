"""`Workflow`: read a workflow, find its parameters, and put values into it."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from comfykit_jupyter.workflow.document.formats import recognize
from comfykit_jupyter.workflow.document.with_loras import WorkflowWithLoras
from comfykit_jupyter.workflow.editor.apply_values import apply_values, find_changes
from comfykit_jupyter.workflow.editor.convert import Converted, MissingNode, convert, find_classes, is_editor_graph
from comfykit_jupyter.workflow.errors import WorkflowError, join_names, one_line
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
from comfykit_jupyter.workflow.interface.renaming import find_renamed
from comfykit_jupyter.workflow.json_values import to_plain_json
from comfykit_jupyter.workflow.nodes import Definitions, NodeDefinition
from comfykit_jupyter.workflow.parameters.parameter import Parameter, Target
from comfykit_jupyter.workflow.tables import build_table
from comfykit_jupyter.workflow.values.binding import Binding, Upload, bind
from comfykit_jupyter.workflow.values.check import CheckedValue, check_values
from comfykit_jupyter.workflow.values.fields import Field, build_fields, build_other_fields
from comfykit_jupyter.workflow.values.overview import format_workflow, tabulate_workflow

__all__ = ["Binding", "CheckedValue", "Field", "Parameter", "Target", "Upload", "Workflow"]

_OWN = frozenset(
    {"name", "_prompt", "extra_pnginfo", "notes", "hosted", "definitions", "controls", "packs", "_renamed"}
    | {"preset", "stack", "lora_warnings", "_without_loras"}
)
"""The attributes of a workflow that a pickle has."""


class Workflow(WorkflowWithLoras):
    """A workflow, which never changes: `bind` makes the prompt of a run.

    A file in editor format becomes a prompt with the help of a server's node definitions: see `resolve`. Until then,
    everything that needs the prompt raises `WorkflowError`. Make one with `parse`, or with `kit.load`.

    Attributes:
        name: What messages and results call it, usually the file's name without the suffix.
        extra_pnginfo: What goes along with a run into the files that it saves, such as the editor's graph.
        notes: Lines on what only the editor's page can supply, and a run from here lacks.
        hosted: The ID by which a cloud runs it, if it is stored there.

    Example:
        >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "$steps"}}
        >>> workflow = Workflow.parse({"1": node})
        >>> workflow.parameters["steps"].targets[0].default
        20
        >>> workflow.bind({"steps": 8}).prompt["1"]["inputs"]
        {'steps': 8}
    """

    def __getstate__(self) -> dict[str, Any]:
        own = {name: value for name, value in vars(self).items() if name in _OWN}  # the rest is found again
        return {name: dict(value) if isinstance(value, MappingProxyType) else value for name, value in own.items()}

    def __repr__(self) -> str:
        return format_workflow(self) if self.resolved else f"<Workflow {self._describe_unresolved()}>"

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:  # noqa: ARG002
        if self.resolved:
            return tabulate_workflow(self)
        return build_table(self._describe_unresolved(), (), ())

    def _describe_unresolved(self) -> str:
        return f"{one_line(self.name)}: in editor format; kit.load(workflow) reads its parameters"

    def __init__(
        self,
        name: str,
        prompt: Mapping[str, Any] | None,
        extra_pnginfo: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
        hosted: HostedWorkflow | None = None,
    ) -> None:
        self.name = name
        self._prompt = prompt
        self.extra_pnginfo = extra_pnginfo
        self.notes = notes
        self.hosted = hosted

    @classmethod
    def parse(cls, data: Mapping[Any, Any] | list[Any] | str | bytes | BinaryIO, name: str = "workflow") -> Workflow:
        """Read a workflow in any form: API or editor format, plain, wrapped in a request, or carried by a media file.

        Args:
            data: The graph as a dict; a job of the queue as a list; the JSON of either as text or bytes (UTF-8, with
                or without a byte order mark); or an image, video, audio file or model that carries a workflow, as
                bytes or as a file opened for reading. Of a large file, only the workflow is read.
            name: What to call it in messages and results, usually the file's name without the suffix.

        Returns:
            The workflow.

        Raises:
            WorkflowError: The data is not a workflow. The message says what was found, and what to do.

        Example:
            >>> node = {"class_type": "SaveImage", "inputs": {"images": ["2", 0]}}
            >>> Workflow.parse({"prompt": {"1": node}, "client_id": "…"}, name="portrait").classes
            frozenset({'SaveImage'})
        """
        found = recognize(data, one_line(name))
        return cls(name, found.prompt, found.extra_pnginfo)

    @property
    def prompt(self) -> Mapping[str, Any]:
        """The nodes in API format, by ID.

        Raises:
            WorkflowError: The workflow is in editor format and must be resolved first.
        """
        if self._prompt is None:
            raise WorkflowError(
                f"{one_line(self.name)} is in editor format: a server's node definitions are needed to read it "
                "(use kit.load, or Workflow.resolve)"
            )
        return self._prompt

    @property
    def resolved(self) -> bool:
        """Whether the workflow has a prompt, so that no server is needed to read it."""
        return self._prompt is not None

    @property
    def editor(self) -> Mapping[str, Any] | None:
        """The graph in editor format, or None. It goes along with a run, into the files that the run saves."""
        graph = self.extra_pnginfo.get("workflow") if self.extra_pnginfo else None
        return graph if is_editor_graph(graph) else None

    def resolve(self, definitions: Definitions, *, partial: bool = False) -> Workflow:
        """Return the workflow with a prompt: itself, or converted from editor format as the editor would.

        Args:
            definitions: The server's node definitions by class, of all `classes`.
            partial: Whether nodes may be missing. Their inputs then have no names, and a server rejects the prompt.

        Returns:
            The workflow with a prompt.

        Raises:
            WorkflowError: The server lacks node classes, or the graph is broken. The message names the classes
                and, if the file says so, the packs that have them.

        Example:
            >>> raw = {"input": {"required": {"text": ["STRING"]}}, "output_node": True}
            >>> graph = {"nodes": [{"id": 1, "type": "Show", "widgets_values": ["a fox"]}], "links": []}
            >>> workflow = Workflow.parse(graph).resolve({"Show": NodeDefinition.parse("Show", raw)})
            >>> workflow.prompt["1"]["inputs"]
            {'text': 'a fox'}
        """
        if self.resolved:
            return self
        converted = self._convert(definitions)
        if converted.missing and not partial:
            raise WorkflowError(
                f"{one_line(self.name)} needs nodes that the server lacks: {_format_missing(converted.missing)}"
            )
        if not converted.prompt:
            raise WorkflowError(
                f"{one_line(self.name)} has no nodes that run: give it an output node, such as SaveImage"
            )
        for each in converted.missing:
            converted.prompt[each.node_id]["class_type"] = each.class_type
        return self._copy_with(
            _prompt=converted.prompt,
            notes=converted.notes,
            packs={each.node_id: each.pack for each in converted.missing},
            definitions=definitions,
            controls=converted.controls,
        )

    def build_pnginfo(self, prompt: Mapping[str, Any], definitions: Definitions) -> Mapping[str, Any] | None:
        """Return `extra_pnginfo` for a run, with the values of its prompt also in the editor's graph."""
        if self.extra_pnginfo is None or self.editor is None:
            return self.extra_pnginfo
        graph = apply_values(self.editor, find_changes(self.prompt, prompt), definitions)
        return {**self.extra_pnginfo, "workflow": graph}

    def to_api(self, definitions: Mapping[str, Any]) -> dict[str, Any]:
        """Return a copy of the prompt; editor format is converted exactly as the editor does it.

        Args:
            definitions: A server's `/object_info` by class, raw or parsed. Nodes of other classes are written as
                the editor writes them, and a server rejects them.

        Returns:
            The prompt in API format.

        Raises:
            WorkflowError: The graph is broken.

        Example:
            >>> Workflow.parse({"1": {"class_type": "LoadImage", "inputs": {"image": "a.png"}}}).to_api({})
            {'1': {'class_type': 'LoadImage', 'inputs': {'image': 'a.png'}}}
        """
        prompt = (
            self._prompt
            if self._prompt is not None
            else self._convert(_parse_definitions(definitions, self.classes)).prompt
        )
        copied: dict[str, Any] = to_plain_json(prompt)
        return copied

    def rename(self, names: Mapping[str, str] | None = None, /, **more: str) -> Workflow:
        """Return this workflow with other names for some of its parameters, or for inputs that have none.

        The names are also in the titles of what `save` writes and of the prompts that are sent, so that an image made
        with it has them.

        Args:
            names: The new names, each with the name or address that it stands for.
            more: More of them, as keywords.

        Returns:
            The workflow under the same name. This one stays as it is.

        Raises:
            ParameterError: There is no such parameter, or another one has the new name. It has all problems.
            WorkflowError: The workflow must be resolved first, as by `kit.load`.

        Example:
            >>> node = {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}}
            >>> workflow = Workflow.parse({"6": node}, "fox").rename(animal="6.text")
            >>> workflow
            <Workflow fox: animal='a fox'>
            >>> workflow.bind({"animal": "a cat"}).prompt["6"]["inputs"]["text"]
            'a cat'
        """
        names = {**(names or {}), **more}
        found = find_renamed(names, self.get_parameters(self.definitions), self._find_for_renaming)
        changed = {parameter.places for parameter in found.values()}
        kept = {name: each for name, each in self._renamed.items() if each.places not in changed}
        # Loaders that are in the prompt already belong to the workflow from now on.
        own = {} if self.needs_loaders else {"stack": (), "lora_warnings": (), "_without_loras": None}
        return self._copy_with(_renamed={**kept, **found}, **own)

    def _find_for_renaming(self, name: str) -> Parameter:
        return self.find_parameter(name, self.definitions)

    def save(self, path: str | Path, *, editor: bool = False) -> Path:
        """Write the workflow to a file, as JSON.

        Args:
            path: The file, which is replaced if it exists.
            editor: Whether to write editor format, to open it there. Else it is API format if it is resolved.

        Returns:
            The path.

        Raises:
            WorkflowError: There is no graph in editor format.
            OSError: The file can't be written.

        Example:
            kit.load("portrait.json").save("portrait_api.json")
        """
        graph = self.editor if editor or not self.resolved else self.named_prompt
        if graph is None:
            raise WorkflowError(f"{one_line(self.name)} has no graph in editor format: save it without editor=True")
        target = Path(path).expanduser()
        try:
            content = json.dumps(graph, ensure_ascii=False, indent=2).encode()
        except UnicodeEncodeError:  # half of a surrogate pair can only be written as an escape
            content = json.dumps(graph, indent=2).encode()
        target.write_bytes(content)
        return target

    def _convert(self, definitions: Definitions) -> Converted:
        return convert(self.editor or {}, definitions, one_line(self.name))

    @cached_property
    def classes(self) -> frozenset[str]:
        """The node classes in use, whose definitions a server is asked for."""
        if self._prompt is None:
            return find_classes(self.editor or {}, one_line(self.name))
        return frozenset(node["class_type"] for node in self.prompt.values())

    def fields(self, definitions: Definitions, *, every: bool = False) -> tuple[Field, ...]:
        """Return the fields of a form: one for each parameter that accepts a value, in order of appearance.

        Without parameters in titles, they are what the workflow's author shows, or the inputs that most people want to
        change.

        Args:
            definitions: The server's node definitions, for types, bounds and choices.
            every: Whether to add all other inputs of the workflow, under their addresses.

        Returns:
            The fields.

        Example:
            >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "$steps"}}
            >>> [(field.name, field.kind, field.default) for field in Workflow.parse({"1": node}).fields({})]
            [('steps', 'integer', 20)]
        """
        others = build_other_fields(self, definitions) if every else ()
        return (*build_fields(self, definitions), *others)

    def check(
        self, values: Mapping[str, Any], definitions: Definitions | None = None, *, partial: bool = False
    ) -> dict[str, CheckedValue]:
        """Check values against every input that they set.

        Args:
            values: The values by parameter name or address, as for `bind`.
            definitions: The server's node definitions; without them, values must be like the workflow's own.
            partial: Whether required parameters may be missing, as in a form that is not filled in yet.

        Returns:
            The values as they are sent, by parameter name.

        Raises:
            ParameterError: Values do not fit; it has all problems, not only the first.

        Example:
            >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "$steps"}}
            >>> Workflow.parse({"1": node}).check({"steps": 8})["steps"].value
            8
        """
        return check_values(self, values, definitions, partial=partial)

    def bind(
        self,
        values: Mapping[str, Any],
        definitions: Definitions | None = None,
        *,
        draw: Callable[[int, int], int] | None = None,
        expand_choices: bool = True,
    ) -> Binding:
        """Put values into the workflow, and draw its seeds and the choices of texts.

        Args:
            values: The values by parameter name or address. A seed may be `"random"`; media may be anything that the
                caller can upload.
            definitions: The server's node definitions; without them, values must be like the workflow's own.
            draw: `draw(low, high)` returns a seed, or the number of an alternative, both bounds included. The system's
                random numbers if not given.
            expand_choices: Whether one alternative is drawn where a given text has `{red|blue}`, and the definition of
                its input has `dynamicPrompts`.

        Returns:
            The prompt of one run, with its values, its seeds and the files to upload.

        Raises:
            ParameterError: Values do not fit; it has all problems, not only the first.

        Example:
            >>> workflow = Workflow.parse({"1": {"class_type": "KSampler", "inputs": {"steps": 20, "seed": 7}}})
            >>> workflow.bind({"KSampler.steps": 8}).prompt["1"]["inputs"]
            {'steps': 8, 'seed': 7}
        """
        fitted = self.fit_preset(values, definitions)
        binding = bind(self, {**fitted.values, **values}, definitions, draw, expand=expand_choices)
        self.place_strengths(binding, [*values, *fitted.values], definitions)
        binding.warnings = (*fitted.warnings, *self.lora_warnings)
        return binding


def _format_missing(missing: Iterable[MissingNode]) -> str:
    """Format the classes that are missing, each with the pack that has it."""
    packs = {node.class_type: node.pack for node in missing}
    names = [f"{one_line(name)} (of {one_line(pack)})" if pack else one_line(name) for name, pack in packs.items()]
    return f"{join_names(names, 10)}: install them there (ComfyUI's manager finds them by name)"


def _parse_definitions(definitions: Mapping[str, Any], classes: frozenset[str]) -> Definitions:
    """Return the definitions of these classes, parsed."""
    known = {name: definitions[name] for name in classes if name in definitions}
    return {
        name: raw if isinstance(raw, NodeDefinition) else NodeDefinition.parse(name, raw)
        for name, raw in known.items()
        if isinstance(raw, (NodeDefinition, Mapping))
    }
