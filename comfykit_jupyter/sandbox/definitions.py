"""Node definitions: the entries of `/object_info`, and the inputs that a node declares."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.sandbox.interface.node import NODES, Folders, Node, Spec, Specs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping


DYNAMIC_CHOICE = "COMFY_DYNAMICCOMBO_V3"


class Definitions:
    """The nodes' current definitions. Choices may be files, so create a new object for each request."""

    def __init__(self, folders: Folders) -> None:
        self._folders = folders
        self._specs: dict[str, tuple[Specs, Specs]] = {}

    def get_specs(self, class_type: str) -> tuple[Specs, Specs]:
        """Return a node's required and optional inputs."""
        if class_type not in self._specs:
            self._specs[class_type] = NODES[class_type].build_specs(self._folders)
        return self._specs[class_type]

    def list_inputs(self, class_type: str, given: Mapping[str, Any] | None = None) -> dict[str, Spec]:
        """Return a node's inputs: required, optional, then those added by the dynamic choices in `given`.

        A dynamic choice `format` adds inputs such as `format.codec`, which may be omitted.
        """
        required, optional = self.get_specs(class_type)
        found = {**required, **optional}
        pending = list(found.items())
        while pending:
            name, spec = pending.pop()
            if get_input_type(spec) != DYNAMIC_CHOICE:
                continue
            for option in get_input_options(spec).get("options", ()):
                if given is not None and option["key"] == given.get(name):
                    sections = option.get("inputs", {}).values()
                    added = {f"{name}.{key}": tuple(part) for section in sections for key, part in section.items()}
                    found.update(added)
                    pending += added.items()
        return found

    def build_object_info(self, class_type: str) -> dict[str, Any]:
        """Return a node's entry in `/object_info`."""
        node = NODES[class_type]
        required, optional = self.get_specs(class_type)
        sections = {"required": required, **({"optional": optional} if optional else {})}
        return {
            "input": {
                section: {name: list(spec) for name, spec in specs.items()} for section, specs in sections.items()
            },
            "input_order": {section: list(specs) for section, specs in sections.items()},
            "is_input_list": False,
            "output": list(node.returns),
            "output_is_list": [False] * len(node.returns),
            "output_name": list(node.return_names),
            "name": node.class_type,
            "display_name": node.display_name,
            "description": node.description,
            "python_module": "comfykit_jupyter.sandbox.nodes",
            "category": node.category,
            "output_node": node.output_node,
            "has_intermediate_output": False,
            "search_aliases": [],
            **node.options,
        }


def get_choices(spec: Spec) -> list[Any] | None:
    """Return an input's choices, or None if it takes any value of its type."""
    kind, options = get_input_type(spec), get_input_options(spec)
    if isinstance(kind, (list, tuple)):
        return list(kind)
    if kind == "COMBO":
        return list(options.get("options", ()))
    if kind == DYNAMIC_CHOICE:
        return [option["key"] for option in options.get("options", ())]
    return None


def get_input_type(spec: Spec) -> Any:
    """Return the name of an input's type, or its list of choices."""
    return spec[0]


def get_input_options(spec: Spec) -> Mapping[str, Any]:
    """Return an input's options, such as its default."""
    return spec[1] if len(spec) > 1 else {}


def find_accepted_inputs(function: Callable[..., object] | None, names: Mapping[str, object]) -> list[str]:
    """Return the names that a node's function accepts after its first argument; all of them if it has `**inputs`.

    The inputs that a dynamic choice adds have a dot in their names, so only `**inputs` can accept them.
    """
    if function is None:
        return []
    parameters = list(inspect.signature(function).parameters.values())[1:]  # the first is the context or the folders
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return list(names)
    accepted = {parameter.name for parameter in parameters}
    return [name for name in names if name in accepted]


def get_return_type(node: Node, slot: int) -> str:
    """Return the type of a node's output.

    Raises:
        IndexError: The node has no such output.
    """
    if slot < 0:
        raise IndexError(f"{node.class_type} has no output {slot}")
    return node.returns[slot]
