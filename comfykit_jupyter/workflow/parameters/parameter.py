"""`Parameter`: a value that the user can set, and `Target`, the node inputs that it sets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from comfykit_jupyter.workflow.nodes import MISSING, is_link, unwrap


@dataclass(frozen=True)
class Target:
    """One input that a parameter sets.

    Attributes:
        node_id: The node.
        field: The name of its input.
        upload: Whether a marker in the title says that the value is a file to upload.
        default: The workflow's own value; MISSING if there is none, or a link.

    Example:
        >>> from comfykit_jupyter import Workflow
        >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "$steps"}}
        >>> target = Workflow.parse({"1": node}).parameters["steps"].targets[0]
        >>> target.node_id, target.field, target.default
        ('1', 'steps', 20)
    """

    node_id: str
    field: str
    upload: bool
    default: Any


@dataclass(frozen=True)
class Parameter:
    """A value of a workflow that its user can set, by name.

    Attributes:
        name: The name, or an address such as `KSampler.cfg`.
        targets: All inputs that it sets.
        required: Whether it must be given: the workflow's own value is not used.
        node_title: The title of the first target's node.
        class_type: The class of that node.
        label: What a form calls it.
        heading: What a form writes over it and the other parameters of its node; "" if the label says enough.

    Example:
        >>> from comfykit_jupyter import Workflow
        >>> node = {"class_type": "KSampler", "inputs": {"steps": 20}, "_meta": {"title": "Sampler, $steps!"}}
        >>> parameter = Workflow.parse({"1": node}).parameters["steps"]
        >>> parameter.name, parameter.required, parameter.node_title
        ('steps', True, 'Sampler')
    """

    name: str
    targets: tuple[Target, ...]
    required: bool
    node_title: str
    class_type: str
    label: str = ""
    heading: str = ""

    @property
    def places(self) -> tuple[tuple[str, str], ...]:
        """The inputs that it sets, as node ID and name."""
        return tuple((target.node_id, target.field) for target in self.targets)


def build_target(prompt: Mapping[str, Any], node_id: str, field: str, *, upload: bool = False) -> Target:
    """Return the target that sets one input of one node."""
    value = prompt[node_id]["inputs"].get(field, MISSING)
    return Target(node_id, field, upload, MISSING if is_link(value) else unwrap(value))
