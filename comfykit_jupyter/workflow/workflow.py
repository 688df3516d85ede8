"""`Workflow`: a workflow's prompt, the parameters that its titles (or its app) declare; describes and binds them."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

from comfykit_jupyter.workflow.app_mode import find_app_inputs, find_app_outputs
from comfykit_jupyter.workflow.binding import Binding, Upload, bind
from comfykit_jupyter.workflow.editor.apply_values import apply_values, find_changes
from comfykit_jupyter.workflow.editor.convert import Converted, MissingNode, convert, find_classes, is_editor_graph
from comfykit_jupyter.workflow.errors import ParameterError, Problem, WorkflowError, one_line, short_repr
from comfykit_jupyter.workflow.fields import Field, build_fields
from comfykit_jupyter.workflow.formats import recognize
from comfykit_jupyter.workflow.hosted_workflow import HostedWorkflow
from comfykit_jupyter.workflow.json_values import to_plain_json
from comfykit_jupyter.workflow.nodes import MISSING, Definitions, NodeDefinition, is_link, unwrap
from comfykit_jupyter.workflow.parameters import Parameter, Target
from comfykit_jupyter.workflow.spelling import find_nearest
from comfykit_jupyter.workflow.suggestions import suggest_parameters
from comfykit_jupyter.workflow.titles import Title, parse_title
from comfykit_jupyter.workflow.values import CheckedValue, check_values

__all__ = ["Binding", "CheckedValue", "Field", "Parameter", "Target", "Upload", "Workflow"]

_LONGEST_ADDRESS = 500  # characters
_LONGEST_TITLE = 120
_WORD = re.compile(r"[^\s\"'={}]{1,60}")


class Workflow:
    """A workflow. Nothing in it is ever changed: `bind` makes the prompt of a run.

    What the editor saved becomes a prompt by a server's node definitions: see `resolve`. Before that, everything that
    needs the prompt raises WorkflowError.

    >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "$steps"}}
    >>> workflow = Workflow.parse({"1": node})
    >>> workflow.bind({"steps": 8}).prompt["1"]["inputs"]
    {'steps': 8}
    """

    def __init__(
        self,
        name: str,
        prompt: Mapping[str, Any] | None,
        extra_pnginfo: Mapping[str, Any] | None = None,
        notes: tuple[str, ...] = (),
        hosted: HostedWorkflow | None = None,
    ) -> None:
        """Takes a graph that is known to be one: use `parse`."""
        self.name = name
        self._prompt = prompt
        self.extra_pnginfo = extra_pnginfo
        self.notes = notes
        """Whole lines on what the editor's page supplies, and a run from here lacks."""
        self.hosted = hosted
        """Where it lies, if that is a cloud, which runs it by its id."""

    @classmethod
    def parse(cls, data: Mapping[Any, Any] | list[Any] | str | bytes | BinaryIO, name: str = "workflow") -> Workflow:
        """Reads a workflow in any form: API format or the editor's, plain, wrapped, or carried by a media file.

        Args:
            data: the graph as a dict; a job of the queue as a list; the JSON of either as text or bytes (UTF-8, with
                or without a byte order mark); or an image, video, audio file or model that carries a workflow, as
                bytes or as a file opened for reading. Of a large file, only the workflow is read.
            name: what to call it in messages and results, usually the file's name without the suffix.

        Raises:
            WorkflowError: it is something else; the message says what, and what to do.
        """
        found = recognize(data, one_line(name))
        return cls(name, found.prompt, found.extra_pnginfo)

    @property
    def prompt(self) -> Mapping[str, Any]:
        """The nodes in API format, by id. Raises WorkflowError if the workflow has to be resolved first."""
        if self._prompt is None:
            raise WorkflowError(
                f"{one_line(self.name)} was saved by the editor: reading it takes a server's node definitions "
                "(kit.load, or Workflow.resolve)"
            )
        return self._prompt

    @property
    def resolved(self) -> bool:
        """Whether the prompt is there."""
        return self._prompt is not None

    @property
    def editor(self) -> Mapping[str, Any] | None:
        """The graph as the editor saves it, where there is one: it goes along with a run, into what that saves."""
        graph = self.extra_pnginfo.get("workflow") if self.extra_pnginfo else None
        return graph if is_editor_graph(graph) else None

    def resolve(self, definitions: Definitions) -> Workflow:
        """The workflow with its prompt: itself, or what the editor would send to a server of these definitions.

        Raises:
            WorkflowError: nodes are not defined, named by class and, where the file says so, by the pack that has
                them; or the graph is broken.
        """
        if self.resolved:
            return self
        converted = self._convert(definitions)
        if converted.missing:
            raise WorkflowError(f"{one_line(self.name)} needs nodes that the server lacks: {_packs(converted.missing)}")
        if not converted.prompt:
            raise WorkflowError(
                f"{one_line(self.name)} has no nodes that run: give it an output node, such as SaveImage"
            )
        return Workflow(self.name, converted.prompt, self.extra_pnginfo, converted.notes)

    def build_pnginfo(self, prompt: Mapping[str, Any], definitions: Definitions) -> Mapping[str, Any] | None:
        """`extra_pnginfo` for a run with this prompt, one of `bind`: the editor's graph has its values, too."""
        if self.extra_pnginfo is None or self.editor is None:
            return self.extra_pnginfo
        graph = apply_values(self.editor, find_changes(self.prompt, prompt), definitions)
        return {**self.extra_pnginfo, "workflow": graph}

    def to_api(self, definitions: Mapping[str, Any]) -> dict[str, Any]:
        """The prompt in API format, a copy; what the editor saved is converted exactly as the editor does it.

        Args:
            definitions: by class: a server's `/object_info`, as it stands or parsed. Classes that are not there are
                written as the editor writes them, for the server to refuse.

        Raises:
            WorkflowError: the graph is broken.
        """
        prompt = self._prompt if self._prompt is not None else self._convert(_parsed(definitions, self.classes)).prompt
        copied: dict[str, Any] = to_plain_json(prompt)
        return copied

    def save(self, path: str | Path, *, editor: bool = False) -> Path:
        """Writes the workflow to a file, as JSON; returns its path.

        Args:
            path: of the file; one that is there is replaced.
            editor: in the editor's format, for opening it there; else in API format, if it is resolved.

        Raises:
            WorkflowError: there is no editor's graph to save. OSError: the file can't be written.
        """
        graph = self.editor if editor or not self.resolved else self.prompt
        if graph is None:
            raise WorkflowError(f"{one_line(self.name)} has no editor's graph: save it without editor=True")
        target = Path(path).expanduser()
        try:
            content = json.dumps(graph, ensure_ascii=False, indent=2).encode()
        except UnicodeEncodeError:  # halves of characters, which only escapes can write
            content = json.dumps(graph, indent=2).encode()
        target.write_bytes(content)
        return target

    def _convert(self, definitions: Definitions) -> Converted:
        return convert(self.editor or {}, definitions, one_line(self.name))

    @cached_property
    def _titles(self) -> Mapping[str, Title]:
        return {id_: parse_title(_title(node)) for id_, node in self.prompt.items()}

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """What titles declare; where none does, what the workflow's app shows."""
        return MappingProxyType(self._declared() or self._read_app_parameters())

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The names of outputs by node id: by title; where none has one, what the workflow's app shows."""
        named = {id_: title.output for id_, title in self._titles.items() if title.output is not None}
        return MappingProxyType(named or self._read_app_outputs())

    @cached_property
    def classes(self) -> frozenset[str]:
        """The node classes in use: what a server is asked the definitions of."""
        if self._prompt is None:
            return find_classes(self.editor or {}, one_line(self.name))
        return frozenset(node["class_type"] for node in self.prompt.values())

    def get_title(self, node_id: str, definitions: Definitions | None = None) -> str:
        """What to call a node: the display text of its title, else its class's display name, if known, or its class."""
        text = self.get_heading(node_id)
        if not text:
            text = self.prompt[node_id]["class_type"]
            definition = definitions.get(text) if definitions else None
            text = definition.display_name if definition is not None else text
        return one_line(text, _LONGEST_TITLE)

    def get_heading(self, node_id: str) -> str:
        """The display text of a node's title: what stands over its parameters. Empty when it has none."""
        return one_line(self._titles[node_id].text, _LONGEST_TITLE)

    def find_parameter(self, name: str, definitions: Definitions | None = None) -> Parameter:
        """The parameter of a title, or any input by its address: "3.cfg", or "KSampler.cfg" if one node is called so.

        Raises ParameterError when there is none, with the name that was probably meant.
        """
        if name in self.parameters:
            return self.parameters[name]
        head, found = "", 0
        for at in _dots(name):
            ids = self._called(name[:at])
            if len(ids) == 1 and self._has(ids[0], name[at + 1 :], definitions):
                target = self.build_target(ids[0], name[at + 1 :])
                return self._parameter(name, [target], required=False)
            if ids and not found:
                head, found = name[:at], at
        raise ParameterError([self._unknown(name, head, name[found + 1 :], definitions)])

    def build_target(self, node_id: str, field: str, *, upload: bool = False) -> Target:
        """One input of one node."""
        value = self.prompt[node_id]["inputs"].get(field, MISSING)
        return Target(node_id, field, upload, MISSING if is_link(value) else unwrap(value))

    def build_address(self, node_id: str, field: str) -> str:
        """The name of one input for `parameter`: with the node's title or class if only it is called so, else its id.

        A title of several words is not used: a name can be typed, also after `%comfykit run`.
        """
        for name in (self._titles[node_id].text, self.prompt[node_id]["class_type"]):
            if _WORD.fullmatch(name) and self._called(name) == [node_id]:
                return f"{name}.{field}"
        return f"{node_id}.{field}"

    def fields(self, definitions: Definitions) -> tuple[Field, ...]:
        """What a form shows: one field for each parameter that takes a value, in order of appearance.

        Where nothing is declared they are the obvious inputs, under the names by which `bind` takes them.
        """
        return build_fields(self, definitions)

    def check(
        self, values: Mapping[str, Any], definitions: Definitions | None = None, *, partial: bool = False
    ) -> dict[str, CheckedValue]:
        """Check values against every input that they set.

        Args:
            values: by parameter name or address, as for `bind`.
            definitions: the server's; without them only the workflow's own values tell what fits.
            partial: whether required parameters may be missing, as in a form that is not filled in yet.

        Returns:
            The values as they are sent, by parameter name.

        Raises:
            ParameterError: with all that is wrong, not only the first problem.

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
    ) -> Binding:
        """Puts values in: the prompt of one run.

        Args:
            values: by parameter name or address. A seed may be "random"; media may be anything the caller can upload.
            definitions: the server's; without them only what the workflow itself shows is checked.
            draw: `draw(low, high)` gives a seed, both bounds included; the system's random numbers if not given.

        Raises:
            ParameterError: all that is wrong with the values, at once.
        """
        return bind(self, values, definitions, draw)

    def _declared(self) -> dict[str, Parameter]:
        targets: dict[str, list[Target]] = {}
        required: set[str] = set()
        for id_, title in self._titles.items():
            for marker in title.markers:
                targets.setdefault(marker.name, []).append(self.build_target(id_, marker.field, upload=marker.upload))
                if marker.required:
                    required.add(marker.name)
        return {name: self._parameter(name, found, required=name in required) for name, found in targets.items()}

    def _read_app_parameters(self) -> dict[str, Parameter]:
        """The inputs of the workflow's app, by the names of their widgets; by address where two have the same."""
        shown = find_app_inputs(self.editor, self.prompt) if self.editor is not None else []
        counts = Counter(name for name, _ in shown)
        parameters: dict[str, Parameter] = {}
        for widget, places in shown:
            name = widget if counts[widget] == 1 else self.build_address(*places[0])
            parameters[name] = self._parameter(name, [self.build_target(*place) for place in places], required=False)
        return parameters

    def _read_app_outputs(self) -> dict[str, str]:
        """The outputs of the workflow's app, by the titles of their nodes, or by id where two have the same."""
        shown = find_app_outputs(self.editor, self.prompt) if self.editor is not None else []
        titles = {id_: self.get_title(id_) for id_ in shown}
        return {id_: title if self._called(title) == [id_] else id_ for id_, title in titles.items()}

    def _parameter(self, name: str, targets: list[Target], *, required: bool) -> Parameter:
        first = targets[0].node_id
        return Parameter(name, tuple(targets), required, self.get_title(first), self.prompt[first]["class_type"])

    @cached_property
    def _ids(self) -> Mapping[str, list[str]]:
        """Node ids by what a node may be called: its title or its class."""
        ids: dict[str, list[str]] = {}
        for id_, node in self.prompt.items():
            for called in {self._titles[id_].text, node["class_type"]} - {""}:
                ids.setdefault(called, []).append(id_)
        return ids

    def _called(self, called: str) -> list[str]:
        return [called] if called in self.prompt else self._ids.get(called, [])

    def _inputs(self, node_id: str, definitions: Definitions | None) -> list[str]:
        node = self.prompt[node_id]
        definition = definitions.get(node["class_type"]) if definitions else None
        return list(dict.fromkeys([*node["inputs"], *(definition.inputs if definition is not None else ())]))

    def _has(self, node_id: str, field: str, definitions: Definitions | None) -> bool:
        return field in self._inputs(node_id, definitions)

    def _unknown(self, name: str, called: str, field: str, definitions: Definitions | None) -> Problem:
        ids = self._called(called)
        if len(ids) > 1:
            ways = " or ".join(f'"{one_line(id_)}.{one_line(field)}"' for id_ in ids[:3])
            return Problem(name, f"{one_line(name)}: {len(ids)} nodes are called {one_line(called)}: say {ways}")
        if ids:
            title = self.get_title(ids[0], definitions)
            names = self._inputs(ids[0], definitions)
            message = f"{one_line(name)}: {one_line(title)} has no input {short_repr(field)}{_guess(field, names)}"
            return Problem(name, message, ids[0], title)
        node, dot, rest = name.rpartition(".")
        if dot and (meant := find_nearest(node, self._ids)) is not None:
            meant = short_repr(f"{meant}.{rest}")
            return Problem(name, f"{one_line(name)}: {one_line(self.name)} has no such node: did you mean {meant}?")
        if self.parameters:
            return Problem(
                name,
                f"{one_line(name)}: {one_line(self.name)} has no such parameter{_guess(name, list(self.parameters))}",
            )
        examples = ", ".join(f'"{one_line(each)}"' for each in self._examples(name, definitions))
        hint = f"no parameters by title: name an input by its node, as {examples}"
        return Problem(name, f"{one_line(name)}: {one_line(self.name)} has {hint}")

    def _examples(self, name: str, definitions: Definitions | None) -> list[str]:
        """Some addresses: those of obvious inputs that are called so, else of the first ones, else of any."""
        offered = [parameter.name for parameter in suggest_parameters(self, definitions or {})]
        if offered:
            return [each for each in offered if each.endswith(f".{name}")][:5] or offered[:5]
        pairs = (
            (id_, key)
            for id_, node in self.prompt.items()
            for key, value in node["inputs"].items()
            if not is_link(value)
        )
        id_, key = next(pairs, ("3", "seed"))
        return [self.build_address(id_, key) if id_ in self.prompt else f"{id_}.{key}"]


def _packs(missing: Iterable[MissingNode]) -> str:
    """The classes that are missing, each with the pack that has it."""
    packs = {node.class_type: node.pack for node in missing}
    names = [f"{one_line(name)} (of {one_line(pack)})" if pack else one_line(name) for name, pack in packs.items()]
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f"{', '.join(names[:10])}{more}: install them there (ComfyUI's manager finds them by name)"


def _parsed(definitions: Mapping[str, Any], classes: frozenset[str]) -> Definitions:
    """The definitions of these classes, parsed where they are not."""
    known = {name: definitions[name] for name in classes if name in definitions}
    return {
        name: raw if isinstance(raw, NodeDefinition) else NodeDefinition.parse(name, raw)
        for name, raw in known.items()
        if isinstance(raw, (NodeDefinition, Mapping))
    }


def _title(node: Mapping[str, Any]) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return title if isinstance(title, str) else ""


def _dots(name: str) -> list[int]:
    return [at for at, char in enumerate(name[:_LONGEST_ADDRESS]) if char == "."]


def _guess(name: str, names: list[str]) -> str:
    meant = find_nearest(name, names)
    if meant is not None:
        return f": did you mean {short_repr(meant)}?"
    some = ", ".join(one_line(each) for each in names[:10])
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f": there are {some}{more}" if some else ""
