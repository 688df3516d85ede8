"""`Workflow`: recognises a workflow in API format, finds its parameters by their titles, describes and binds them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import Any

from comfykit_jupyter.workflow.binding import Binding, Upload, bind
from comfykit_jupyter.workflow.errors import ParameterError, Problem, WorkflowError, kind_of, plain, shown
from comfykit_jupyter.workflow.fields import Field, describe
from comfykit_jupyter.workflow.nodes import MISSING, Definitions, is_link
from comfykit_jupyter.workflow.params import nearest, plain_json
from comfykit_jupyter.workflow.titles import Title, parse_title

__all__ = ["Binding", "Field", "Parameter", "Target", "Upload", "Workflow"]

_LONGEST_ADDRESS = 500  # characters
_LONGEST_TITLE = 120


@dataclass(frozen=True)
class Target:
    """One input that a parameter fills. `default` is what the workflow has there: MISSING if absent or a link."""

    node_id: str
    field: str
    upload: bool
    default: Any


@dataclass(frozen=True)
class Parameter:
    """A named value of a workflow and all the inputs it fills; title and class are those of the first one's node."""

    name: str
    targets: tuple[Target, ...]
    required: bool
    node_title: str
    class_type: str


class Workflow:
    """An API-format workflow. Nothing in it is ever changed: `bind` makes the prompt of a run.

    >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "$steps"}}
    >>> workflow = Workflow.parse({"1": node})
    >>> workflow.bind({"steps": 8}).prompt["1"]["inputs"]
    {'steps': 8}
    """

    def __init__(self, name: str, prompt: Mapping[str, Any], extra_pnginfo: Mapping[str, Any] | None = None) -> None:
        """Takes a graph that is known to be one: use `parse`."""
        self.name = name
        self.prompt = prompt
        self.extra_pnginfo = extra_pnginfo
        self._titles: dict[str, Title] = {id_: parse_title(_title(node)) for id_, node in prompt.items()}
        self.parameters: Mapping[str, Parameter] = MappingProxyType(self._declared())
        self.outputs: Mapping[str, str] = MappingProxyType(
            {id_: title.output for id_, title in self._titles.items() if title.output is not None}
        )

    @classmethod
    def parse(cls, data: Mapping[str, Any] | str | bytes, name: str = "workflow") -> Workflow:
        """Reads a workflow in API format, plain or wrapped as `{"prompt": {...}}`.

        Args:
            data: the graph as a dict, or its JSON as text or bytes (UTF-8, with or without a byte order mark).
            name: what to call it in messages and results, usually the file's name without the suffix.

        Raises:
            WorkflowError: it is something else; the message says what, and what to do.
        """
        called = plain(name)
        graph: Any = _decode(data, called) if isinstance(data, (str, bytes)) else data
        if not isinstance(graph, Mapping):
            raise WorkflowError(f"{called} is {kind_of(graph)}, not a workflow: give a ComfyUI workflow in API format")
        extra: Any = None
        wrapped = graph.get("prompt")
        if isinstance(wrapped, Mapping) and "class_type" not in wrapped and "inputs" not in wrapped:
            extra = graph.get("extra_data")
            extra = extra.get("extra_pnginfo") if isinstance(extra, Mapping) else None
            graph = wrapped
        if isinstance(graph.get("nodes"), list):
            raise WorkflowError(
                f"{called} was saved by the editor and is not in API format: "
                'open it in ComfyUI and use "Export (API)" in the Workflow menu, then run that file'
            )
        if not graph:
            raise WorkflowError(f"{called} has no nodes: export a workflow that has an output node")
        prompt = {id_: _node(id_, node, called) for id_, node in graph.items()}
        return cls(name, prompt, _pnginfo(extra, called))

    @cached_property
    def classes(self) -> frozenset[str]:
        """The node classes in use: what a server is asked the definitions of."""
        return frozenset(node["class_type"] for node in self.prompt.values())

    def title(self, node_id: str, definitions: Definitions | None = None) -> str:
        """What to call a node: the display text of its title, else its class's display name, if known, or its class."""
        text = self._titles[node_id].text
        if not text:
            text = self.prompt[node_id]["class_type"]
            definition = definitions.get(text) if definitions else None
            text = definition.display_name if definition is not None else text
        return plain(text, _LONGEST_TITLE)

    def parameter(self, name: str, definitions: Definitions | None = None) -> Parameter:
        """The parameter of a title, or any input by its address: "3.cfg", or "KSampler.cfg" if one node is called so.

        Raises ParameterError when there is none, with the name that was probably meant.
        """
        if name in self.parameters:
            return self.parameters[name]
        head, found = "", 0
        for at in _dots(name):
            ids = self._called(name[:at])
            if len(ids) == 1 and self._has(ids[0], name[at + 1 :], definitions):
                target = self._target(ids[0], name[at + 1 :], upload=False)
                return self._parameter(name, [target], required=False)
            if ids and not found:
                head, found = name[:at], at
        raise ParameterError([self._unknown(name, head, name[found + 1 :], definitions)])

    def address(self, node_id: str, field: str) -> str:
        """The name of one input for `parameter`: with the node's title if only it has that, else with its id."""
        title = self.title(node_id)
        return f"{title}.{field}" if self._called(title) == [node_id] else f"{node_id}.{field}"

    def fields(self, definitions: Definitions) -> tuple[Field, ...]:
        """What a form shows: one field for each parameter of a title that takes a value, in order of appearance."""
        return describe(self, definitions)

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
                targets.setdefault(marker.name, []).append(self._target(id_, marker.field, upload=marker.upload))
                if marker.required:
                    required.add(marker.name)
        return {name: self._parameter(name, found, required=name in required) for name, found in targets.items()}

    def _parameter(self, name: str, targets: list[Target], *, required: bool) -> Parameter:
        first = targets[0].node_id
        return Parameter(name, tuple(targets), required, self.title(first), self.prompt[first]["class_type"])

    def _target(self, node_id: str, field: str, *, upload: bool) -> Target:
        value = self.prompt[node_id]["inputs"].get(field, MISSING)
        return Target(node_id, field, upload, MISSING if is_link(value) else value)

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
            ways = " or ".join(f'"{plain(id_)}.{plain(field)}"' for id_ in ids[:3])
            return Problem(name, f"{plain(name)}: {len(ids)} nodes are called {plain(called)}: say {ways}")
        if ids:
            title = self.title(ids[0])
            names = self._inputs(ids[0], definitions)
            message = f"{plain(name)}: {plain(title)} has no input {shown(field)}{_guess(field, names)}"
            return Problem(name, message, ids[0], title)
        if self.parameters:
            return Problem(
                name, f"{plain(name)}: {plain(self.name)} has no such parameter{_guess(name, list(self.parameters))}"
            )
        hint = f'no parameters by title: name an input by its node, as "{plain(self._example())}"'
        return Problem(name, f"{plain(name)}: {plain(self.name)} has {hint}")

    def _example(self) -> str:
        pairs = (
            (id_, key)
            for id_, node in self.prompt.items()
            for key, value in node["inputs"].items()
            if not is_link(value)
        )
        id_, key = next(pairs, ("3", "seed"))
        return self.address(id_, key) if id_ in self.prompt else f"{id_}.{key}"


def _decode(data: str | bytes, called: str) -> Any:
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise WorkflowError(
            f"{called} is not JSON (line {error.lineno}, column {error.colno}: {error.msg}): "
            "give a ComfyUI workflow in API format"
        ) from None
    except UnicodeDecodeError:
        raise WorkflowError(f"{called} is not text in UTF-8: give a ComfyUI workflow in API format") from None
    except RecursionError:
        raise WorkflowError(f"{called} is nested too deeply to be a workflow") from None
    except ValueError:  # an integer of thousands of digits
        raise WorkflowError(f"{called} holds a number that is too large to be one of a workflow") from None


def _node(id_: Any, node: Any, called: str) -> dict[str, Any]:
    """A node, checked and copied, so that nobody who holds the original changes it under a run's feet."""
    if not isinstance(id_, str):
        raise WorkflowError(f"{called}: the node id {shown(id_)} is {kind_of(id_)}, not text")
    if isinstance(node, Mapping) and "class_type" in node and node["class_type"] is None:
        raise WorkflowError(
            f"{called}: node {plain(id_)} has no class, because it was not installed where the workflow was exported: "
            "install it there and export again"
        )
    class_type = node.get("class_type") if isinstance(node, Mapping) else None
    if not isinstance(class_type, str) or not class_type:
        raise WorkflowError(
            f'{called}: {shown(id_)} is not a node (it has no "class_type"): give a workflow in API format'
        )
    if not isinstance(node.get("inputs"), Mapping):
        raise WorkflowError(f'{called}: node {plain(id_)} ({plain(class_type)}) has no "inputs"')
    try:
        copied: dict[str, Any] = plain_json(node)
    except ValueError as error:
        raise WorkflowError(f"{called}: node {plain(id_)} ({plain(class_type)}): {error}") from None
    return copied


def _pnginfo(extra: Any, called: str) -> Mapping[str, Any] | None:
    if not isinstance(extra, Mapping):
        return None
    try:
        copied: dict[str, Any] = plain_json(extra)
    except ValueError as error:
        raise WorkflowError(f"{called}: extra_pnginfo: {error}") from None
    return copied


def _title(node: Mapping[str, Any]) -> str:
    meta = node.get("_meta")
    title = meta.get("title") if isinstance(meta, Mapping) else None
    return title if isinstance(title, str) else ""


def _dots(name: str) -> list[int]:
    return [at for at, char in enumerate(name[:_LONGEST_ADDRESS]) if char == "."]


def _guess(name: str, names: list[str]) -> str:
    meant = nearest(name, names)
    if meant is not None:
        return f": did you mean {shown(meant)}?"
    some = ", ".join(plain(each) for each in names[:10])
    more = f" and {len(names) - 10} more" if len(names) > 10 else ""
    return f": there are {some}{more}" if some else ""
