"""The nodes of a workflow with their titles, addresses, parameters and outputs."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.errors import ParameterError, Problem, join_names, one_line, short_repr
from comfykit_jupyter.workflow.interface.app_mode import Place, find_app_outputs
from comfykit_jupyter.workflow.interface.interface import build_interface
from comfykit_jupyter.workflow.interface.renaming import apply_names, write_titles
from comfykit_jupyter.workflow.interface.words import to_words
from comfykit_jupyter.workflow.nodes import Definitions, is_link
from comfykit_jupyter.workflow.parameters.parameter import Parameter, Target, build_target
from comfykit_jupyter.workflow.parameters.titles import Title, explain_unread, parse_title
from comfykit_jupyter.workflow.spelling import find_nearest

if TYPE_CHECKING:
    from typing_extensions import Self

_ADDRESS_LENGTH = 500
"""Characters of an address that are searched for a node's name."""
_TITLE_LENGTH = 120
"""Characters of a node's title in messages and forms."""
_WORD = re.compile(r"[^\s\"'={}]{1,60}")


@dataclass(frozen=True)
class _Interface:
    """The parameters of a workflow that has none in titles.

    Attributes:
        definitions: The definitions that it was built with.
        parameters: The parameters by name.
        names: Their names by what else they are called: the inputs that only they set, and the widgets of an app.
    """

    definitions: Definitions
    parameters: Mapping[str, Parameter]
    names: Mapping[Place | str, str]


class WorkflowGraph(ABC):
    """The nodes of a workflow, and the names of what its user can set."""

    name: str
    definitions: Definitions | None = None
    """The node definitions that it was converted with; None if it was in API format."""
    controls: Mapping[Place, str] = MappingProxyType({})
    """What the editor does with a value after each run, by node ID and input, such as `randomize`."""
    packs: Mapping[str, str] = MappingProxyType({})
    """The packages that have the node classes which the server lacks, by node ID; "" where the workflow doesn't say."""
    _interface: _Interface | None = None
    _renamed: Mapping[str, Parameter] = MappingProxyType({})

    @property
    @abstractmethod
    def prompt(self) -> Mapping[str, Any]:
        """The nodes in API format, by ID."""

    @property
    @abstractmethod
    def editor(self) -> Mapping[str, Any] | None:
        """The graph in editor format, or None."""

    def _copy_with(self, **changes: Any) -> Self:
        """Return a copy with some attributes changed, and without what was found out from the old ones."""
        made = copy(self)  # only what a pickle has
        vars(made).update(changes)
        return made

    @cached_property
    def _titles(self) -> Mapping[str, Title]:
        return {id_: parse_title(_read_title(node)) for id_, node in self.prompt.items()}

    @cached_property
    def parameters(self) -> Mapping[str, Parameter]:
        """The parameters by name: those in titles; without any, those that the workflow's author shows.

        If the author shows none, too, they are the inputs that most people want to change.
        """
        return self.get_parameters()

    def get_parameters(self, definitions: Definitions | None = None) -> Mapping[str, Parameter]:
        """Return the parameters by name.

        Args:
            definitions: The server's node definitions. For a workflow in API format without parameters in titles, they
                tell more about its inputs.
        """
        known = self._title_parameters or self._get_interface(definitions).parameters
        return MappingProxyType(apply_names(known, self._renamed)) if self._renamed else known

    @cached_property
    def named_prompt(self) -> Mapping[str, Any]:
        """The prompt; if parameters were renamed, with the names of all parameters in its titles."""
        return write_titles(self.prompt, self.parameters.values()) if self._renamed else self.prompt

    @cached_property
    def _title_parameters(self) -> Mapping[str, Parameter]:
        return MappingProxyType(self._read_title_parameters())

    def _get_interface(self, definitions: Definitions | None) -> _Interface:
        """Return the interface; the one of the last call if the definitions are the same."""
        known = (self.definitions if self.definitions is not None else definitions) or {}
        last = self._interface
        if last is None or any(
            known.get(each) is not last.definitions.get(each)
            for each in {node["class_type"] for node in self.prompt.values()}
        ):
            last = self._interface = self._build_interface(known)
        return last

    def _build_interface(self, definitions: Definitions) -> _Interface:
        titles = {id_: title.text for id_, title in self._titles.items()}
        parameters: dict[str, Parameter] = {}
        names: dict[Place | str, str] = {}
        for row in build_interface(self.prompt, self.editor, titles, definitions):
            targets = [build_target(self.prompt, *place) for place in row.places]
            parameter = self._build_parameter(row.name, targets, required=False)
            parameters[row.name] = replace(parameter, label=row.label, heading=row.heading)
            if len(row.places) == 1:
                names[row.places[0]] = row.name
            if row.alias:
                names[row.alias] = row.name
        return _Interface(definitions, MappingProxyType(parameters), names)

    @cached_property
    def unread_titles(self) -> tuple[str, ...]:
        """A line for each part of a title that looks like a parameter and can't be one, with the reason."""
        return tuple(
            f"{self.get_title(id_)} (node {one_line(id_)}): the title {short_repr(text)} is not read: "
            f"{one_line(explain_unread(text), _TITLE_LENGTH)}"
            for id_, title in self._titles.items()
            for text in title.unread
        )

    @cached_property
    def outputs(self) -> Mapping[str, str]:
        """The names of outputs by node ID: those in titles; without any, those that the workflow's app shows."""
        named = {id_: title.output for id_, title in self._titles.items() if title.output is not None}
        return MappingProxyType(named or self._read_app_outputs())

    def get_title(self, node_id: str, definitions: Definitions | None = None) -> str:
        """Return what to call a node: the text of its title, the display name of its class, or its class.

        Args:
            node_id: The node.
            definitions: The server's node definitions; without them, display names are not known.

        Example:
            >>> from comfykit_jupyter import Workflow
            >>> node = {"class_type": "KSampler", "inputs": {}, "_meta": {"title": "Sampler, $steps"}}
            >>> Workflow.parse({"1": node}).get_title("1")
            'Sampler'
        """
        text = self.get_heading(node_id)
        if not text:
            text = self.prompt[node_id]["class_type"]
            definition = definitions.get(text) if definitions else None
            text = definition.display_name if definition is not None else text
        return one_line(text, _TITLE_LENGTH)

    def get_heading(self, node_id: str) -> str:
        """Return the text of a node's title, which stands over its parameters in a form; "" if it has none."""
        return one_line(self._titles[node_id].text, _TITLE_LENGTH)

    def find_parameter(self, name: str, definitions: Definitions | None = None) -> Parameter:
        """Find a parameter by its name, or any input by its address.

        Args:
            name: The name of a parameter, or an address: `3.cfg`, or `KSampler.cfg` if one node has that title or
                class.
            definitions: The server's node definitions; without them, only inputs in the workflow are found.

        Returns:
            The parameter.

        Raises:
            ParameterError: There is none. The message has the name that was probably meant.

        Example:
            >>> from comfykit_jupyter import Workflow
            >>> node = {"class_type": "KSampler", "inputs": {"cfg": 7.5}}
            >>> Workflow.parse({"3": node}).find_parameter("KSampler.cfg").targets[0].node_id
            '3'
        """
        if name in self._renamed:
            return self._renamed[name]
        found = self._find_original(name, definitions)
        return next((each for each in self._renamed.values() if each.places == found.places), found)

    def _find_original(self, name: str, definitions: Definitions | None) -> Parameter:
        """Find a parameter by the name that it had before it was renamed, or by an address."""
        if self._title_parameters:
            names: Mapping[Place | str, str] = {}
            parameters = self._title_parameters
        else:
            interface = self._get_interface(definitions)
            names, parameters = interface.names, interface.parameters
        if name in parameters or name in names:
            return parameters[names.get(name, name)]
        head, found = "", 0
        for at in _find_dots(name):
            ids = self._find_nodes(name[:at])
            if len(ids) == 1 and self._has_input(ids[0], name[at + 1 :], definitions):
                place = (ids[0], name[at + 1 :])
                if place in names:
                    return parameters[names[place]]
                return self._build_parameter(name, [build_target(self.prompt, *place)], required=False)
            if ids and not found:
                head, found = name[:at], at
        raise ParameterError([self._explain_unknown(name, head, name[found + 1 :], definitions)])

    def find_unknown(self, names: Iterable[Any], definitions: Definitions | None = None) -> dict[Any, Problem]:
        """Return the names that name nothing in the workflow, each with the error of `find_parameter`."""
        found = {name: self._find_problem(name, definitions) for name in names}
        return {name: problem for name, problem in found.items() if problem is not None}

    def _find_problem(self, name: Any, definitions: Definitions | None) -> Problem | None:
        try:
            self.find_parameter(name if isinstance(name, str) else short_repr(name), definitions)
        except ParameterError as error:
            return error.problems[0]
        return None

    def find_setter(self, node_id: str, field: str, definitions: Definitions | None = None) -> Parameter | None:
        """Return the parameter that sets an input, or None if only its address does."""
        return next(
            (
                parameter
                for parameter in self.get_parameters(definitions).values()
                if any((target.node_id, target.field) == (node_id, field) for target in parameter.targets)
            ),
            None,
        )

    def build_address(self, node_id: str, field: str) -> str:
        """Return the address of an input, for `find_parameter`: `KSampler.cfg`, or `3.cfg` if that is ambiguous.

        A title of several words is not used: an address must be easy to type, also after `%comfykit run`.

        Example:
            >>> from comfykit_jupyter import Workflow
            >>> Workflow.parse({"3": {"class_type": "KSampler", "inputs": {"cfg": 7.5}}}).build_address("3", "cfg")
            'KSampler.cfg'
        """
        for name in (self._titles[node_id].text, self.prompt[node_id]["class_type"]):
            if _WORD.fullmatch(name) and self._find_nodes(name) == [node_id]:
                return f"{name}.{field}"
        return f"{node_id}.{field}"

    def _read_title_parameters(self) -> dict[str, Parameter]:
        targets: dict[str, list[Target]] = {}
        required: set[str] = set()
        for id_, title in self._titles.items():
            for marker in title.markers:
                targets.setdefault(marker.name, []).append(
                    build_target(self.prompt, id_, marker.field, upload=marker.upload)
                )
                if marker.required:
                    required.add(marker.name)
        return {name: self._build_parameter(name, found, required=name in required) for name, found in targets.items()}

    def _read_app_outputs(self) -> dict[str, str]:
        """Return the outputs of the workflow's app by the titles of their nodes, or by ID if two have the same."""
        shown = find_app_outputs(self.editor, self.prompt) if self.editor is not None else []
        titles = {id_: self.get_title(id_) for id_ in shown}
        return {id_: title if self._find_nodes(title) == [id_] else id_ for id_, title in titles.items()}

    def _build_parameter(self, name: str, targets: list[Target], *, required: bool) -> Parameter:
        first = targets[0].node_id
        class_type = self.prompt[first]["class_type"]
        heading = self.get_heading(first)
        return Parameter(name, tuple(targets), required, self.get_title(first), class_type, to_words(name), heading)

    @cached_property
    def _ids(self) -> Mapping[str, list[str]]:
        """Node IDs by the other two names that a user may give for a node: its title and its class."""
        ids: dict[str, list[str]] = {}
        for id_, node in self.prompt.items():
            for name in {self._titles[id_].text, node["class_type"]} - {""}:
                ids.setdefault(name, []).append(id_)
        return ids

    def _find_nodes(self, node_name: str) -> list[str]:
        """Return the IDs of the nodes with this ID, title or class."""
        return [node_name] if node_name in self.prompt else self._ids.get(node_name, [])

    def _list_inputs(self, node_id: str, definitions: Definitions | None) -> list[str]:
        node = self.prompt[node_id]
        definition = definitions.get(node["class_type"]) if definitions else None
        return list(dict.fromkeys([*node["inputs"], *(definition.inputs if definition is not None else ())]))

    def _has_input(self, node_id: str, field: str, definitions: Definitions | None) -> bool:
        return field in self._list_inputs(node_id, definitions)

    def _explain_unknown(self, name: str, node_name: str, field: str, definitions: Definitions | None) -> Problem:
        ids = self._find_nodes(node_name)
        if len(ids) > 1:
            ways = " or ".join(f'"{one_line(id_)}.{one_line(field)}"' for id_ in ids[:3])
            return Problem(name, f"{one_line(name)}: {len(ids)} nodes are called {one_line(node_name)}: use {ways}")
        if ids:
            title = self.get_title(ids[0], definitions)
            names = self._list_inputs(ids[0], definitions)
            message = (
                f"{one_line(name)}: {one_line(title)} has no input {short_repr(field)}{_format_guess(field, names)}"
            )
            return Problem(name, message, ids[0], title)
        node, dot, rest = name.rpartition(".")
        if dot and (meant := find_nearest(node, self._ids)) is not None:
            meant = short_repr(f"{meant}.{rest}")
            return Problem(name, f"{one_line(name)}: {one_line(self.name)} has no such node: did you mean {meant}?")
        parameters = self.get_parameters(definitions)
        if parameters:
            guess = _format_guess(name, _find_likely(name, parameters))
            return Problem(name, f"{one_line(name)}: {one_line(self.name)} has no such parameter{guess}")
        pairs = (
            self.build_address(id_, key)
            for id_, node in self.prompt.items()
            for key, value in node["inputs"].items()
            if not is_link(value)
        )
        example = one_line(next(pairs, "3.seed"))
        hint = f'has no parameters: name an input by its node, such as "{example}"'
        return Problem(name, f"{one_line(name)}: {one_line(self.name)} {hint}")


def _read_title(node: Mapping[str, Any]) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return title if isinstance(title, str) else ""


def _find_dots(name: str) -> list[int]:
    return [at for at, char in enumerate(name[:_ADDRESS_LENGTH]) if char == "."]


def _find_likely(name: str, parameters: Mapping[str, Parameter]) -> list[str]:
    """Return the names of parameters that a name may mean: several nodes may have such an input, else all."""
    named = [
        each.name
        for each in parameters.values()
        if each.name.endswith(f".{name}") or any(target.field == name for target in each.targets)
    ]
    return named or list(parameters)


def _format_guess(name: str, names: list[str]) -> str:
    meant = find_nearest(name, names)
    if meant is not None:
        return f": did you mean {short_repr(meant)}?"
    return f": there are {join_names(names, 10, one_line)}" if names else ""
