"""Find the node input that a parameter sets, and what is known of it: its definition, its media kind, its value."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfykit_jupyter.workflow.json_values import LARGEST_EXACT
from comfykit_jupyter.workflow.media_kinds import LOADERS, MEDIA_KINDS
from comfykit_jupyter.workflow.nodes import MISSING, SEED_NAMES, Definitions, Input, Kind, NodeDefinition, is_link
from comfykit_jupyter.workflow.parameters.parameter import Target


@dataclass(frozen=True)
class NodeInput:
    """An input of a node of a workflow.

    `spec` is its definition, or is inferred from its value where there is none (`defined` is False then).
    `default` is the workflow's own value: MISSING if it is absent or a link. `upload` inputs take a file.
    """

    node_id: str
    field: str
    spec: Input
    defined: bool
    media: Kind | None
    upload: bool
    default: Any

    @classmethod
    def find(cls, prompt: Mapping[str, Any], target: Target, definitions: Definitions | None) -> NodeInput:
        """Find the input that a parameter's target means.

        A marker on a node that loads one file means that file, unless the node has an input of the marker's name.
        """
        node = prompt[target.node_id]
        class_type: str = node["class_type"]
        definition = definitions.get(class_type) if definitions else None
        field, default = target.field, target.default
        if field not in node["inputs"] and (definition is None or field not in definition.inputs):
            field = _find_upload_field(class_type, definition) or field
            value = node["inputs"].get(field, MISSING)
            default = MISSING if is_link(value) else value
        spec = definition.inputs.get(field) if definition is not None else None
        media: Kind | None = None
        if spec is not None:
            media = spec.kind if spec.kind in MEDIA_KINDS else None
        elif class_type in LOADERS and LOADERS[class_type][0] == field:
            media = LOADERS[class_type][1]
        return cls(
            node_id=target.node_id,
            field=field,
            spec=spec if spec is not None else Input.infer(field, default),
            defined=spec is not None,
            media=media,
            upload=target.upload or media is not None,
            default=default,
        )

    @property
    def place(self) -> tuple[str, str]:
        """The node's ID and the name of the input."""
        return self.node_id, self.field

    def is_seed(self, parameter: str) -> bool:
        """Return whether the input is a seed: by definition, or an integer that is called so, or whose parameter is."""
        if self.defined and self.spec.kind != "integer":
            return False
        named = self.field in SEED_NAMES or parameter in SEED_NAMES
        whole = self.spec.kind == "integer" or (not self.defined and (self.default is MISSING or self.default == "0"))
        return self.spec.seed or (named and whole)


def find_seed_bounds(specs: list[Input]) -> tuple[int, int]:
    """Return the smallest and largest seed that all these inputs accept, and the editor keeps exactly."""
    low = max(int(spec.min) if spec.min is not None else 0 for spec in specs)
    high = min([LARGEST_EXACT, *(int(spec.max) for spec in specs if spec.max is not None)])
    low = 0 if low < 0 <= high else low  # a plain integer has no bounds, but a seed is never negative
    return (low, high) if low <= high else (low, low)


def _find_upload_field(class_type: str, definition: NodeDefinition | None) -> str | None:
    if definition is not None:
        sole = definition.find_upload_field()
        return None if sole is None else sole.name
    return LOADERS[class_type][0] if class_type in LOADERS else None
