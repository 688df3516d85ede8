"""Build the fields of a form from a workflow's parameters: type, bounds, choices, default."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any, Literal

from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
from comfykit_jupyter.workflow.interface.words import to_label
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS, MediaKind
from comfykit_jupyter.workflow.nodes import MISSING, Definitions, Input, find_reachable, is_link
from comfykit_jupyter.workflow.parameters.inputs import NodeInput
from comfykit_jupyter.workflow.parameters.parameter import Parameter, build_target

FieldKind = Literal["integer", "number", "seed", "choice", "toggle", "text", "multiline", MediaKind]
SeedMode = Literal["random", "increment", "fixed", ""]

_SEED_MODES: Mapping[str, SeedMode] = {
    "randomize": "random",
    "increment": "increment",
    "decrement": "increment",  # a form counts up only, and another seed for each run is what matters
    "fixed": "fixed",
}
_MAX_CHOICES = 200
"""How many choices are sent with a field; the page asks for longer lists when it needs them."""
_MAX_STOPS = 200
"""How many stops a slider may have: with more, the values that are used are close together at one end of it."""
_MAX_WANTED_STOPS = 1000
"""How many if the definition asks for a slider: with more, it can't be set exactly."""


@dataclass(frozen=True)
class Field:
    """One parameter as a form shows it; see `ComfyKit.fields`.

    Attributes:
        name: Name of the parameter.
        kind: What it accepts: `integer`, `number`, `seed`, `choice`, `toggle`, `text`, `multiline`, `image`, `video`,
            `audio` or `file`.
        node: Title of the node, or the name of its class.
        group: Heading that stands over it and the other fields of its node; empty if its label says enough.
        node_id: ID of the node.
        class_type: Class of the node.
        tooltip: The server's help for the input.
        required: Whether a value must be given.
        default: The value in the workflow; None if there is none.
        min: Smallest value; None if there is no limit.
        max: Largest value; None if there is no limit.
        step: Distance between values; None if there is none.
        slider: Whether a slider suits it.
        choices: Allowed values of a choice, or names of files that the server has; None if unknown.
        multiselect: Whether several choices may be selected.
        label_on: Label of a toggle that is on.
        label_off: Label of a toggle that is off.
        advanced: Whether the server considers it advanced.
        label: What a form calls it.
        address: The node and the input that it sets first, such as `KSampler.cfg`.
        seed_mode: What the workflow does with a seed after each run: `random`, `increment` or `fixed`; empty for other
            kinds, and if the file doesn't say.
        note: What is wrong with the workflow's own value, if a form can't show it.

    Example:
        >>> field = next(field for field in kit.fields("text_to_image.json") if field.name == "width")
        >>> field.kind, field.min, field.max, field.step, field.default
        ('integer', 16, 16384, 8, 512)
    """

    name: str
    kind: FieldKind
    node: str
    group: str
    node_id: str
    class_type: str
    tooltip: str
    required: bool
    default: Any
    min: int | float | None
    max: int | float | None
    step: int | float | None
    slider: bool
    choices: tuple[Any, ...] | None
    multiselect: bool
    label_on: str
    label_off: str
    advanced: bool
    label: str = ""
    address: str = ""
    seed_mode: SeedMode = ""
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        """Return the field for a browser: integers past 2**53 - 1 as strings; long lists of choices only counted."""
        plain = dict(vars(self))
        for key in ("default", "min", "max", "step"):
            plain[key] = to_exact(plain[key])
        choices = self.choices
        plain["choices"] = (
            [to_exact(each) for each in choices] if choices is not None and len(choices) <= _MAX_CHOICES else None
        )
        plain["choice_count"] = 0 if choices is None else len(choices)
        return plain


def to_exact(value: Any) -> Any:
    """Return a value that a browser keeps exactly: an integer that it would round becomes a string."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) > LARGEST_EXACT:
        return str(value)
    return value


def build_fields(workflow: WorkflowGraph, definitions: Definitions) -> tuple[Field, ...]:
    """Build fields as `Workflow.fields` does."""
    offered = workflow.get_parameters(definitions).values()
    described = (_build_field(workflow, parameter, definitions) for parameter in offered)
    return tuple(field for field in described if field is not None)


def build_other_fields(workflow: WorkflowGraph, definitions: Definitions) -> tuple[Field, ...]:
    """Build the fields of all inputs with a value that no parameter sets, under their addresses."""
    offered = {
        (target.node_id, target.field)
        for parameter in workflow.get_parameters(definitions).values()
        for target in parameter.targets
    }
    needed = find_reachable(workflow.prompt, definitions)
    headings = _name_nodes(workflow, definitions)
    fields = []
    for id_, node in workflow.prompt.items():
        for name, value in node["inputs"].items() if id_ in needed else ():
            if is_link(value) or (id_, name) in offered:
                continue
            parameter = Parameter(
                name=workflow.build_address(id_, name),
                targets=(build_target(workflow.prompt, id_, name),),
                required=False,
                node_title=workflow.get_title(id_, definitions),
                class_type=node["class_type"],
                label=to_label(name, node["class_type"]),
                heading=headings[id_],
            )
            fields.append(_build_field(workflow, parameter, definitions))
    return tuple(field for field in fields if field is not None)


def _name_nodes(workflow: WorkflowGraph, definitions: Definitions) -> dict[str, str]:
    """Return the titles of all nodes by ID; equal ones are followed by the ID."""
    titles = {id_: workflow.get_title(id_, definitions) for id_ in workflow.prompt}
    counts = Counter(titles.values())
    return {id_: title if counts[title] == 1 else f"{title} ({id_})" for id_, title in titles.items()}


def _build_field(workflow: WorkflowGraph, parameter: Parameter, definitions: Definitions) -> Field | None:
    """Build the field of a parameter from its first target, or return None if that accepts only a link."""
    slot = NodeInput.find(workflow.prompt, parameter.targets[0], definitions)
    spec = slot.spec
    if spec.kind == "link" and slot.default is not MISSING:
        spec = Input.infer(slot.field, slot.default)  # a type of a custom node, with a plain value
    kind = _find_kind(spec, slot, seed=slot.is_seed(parameter.name))
    if kind is None:
        return None
    # A link stays if no value is given, so there is no value to show.
    default = None if parameter.required or not _is_showable(slot.default, kind) else slot.default
    return Field(
        name=parameter.name,
        kind=kind,
        node=workflow.get_title(slot.node_id, definitions),
        group=parameter.heading,
        node_id=slot.node_id,
        class_type=workflow.prompt[slot.node_id]["class_type"],
        tooltip=spec.tooltip,
        required=parameter.required,
        default=default,
        min=spec.min,
        max=spec.max,
        step=spec.step,
        slider=kind in ("integer", "number") and _is_slider(spec),
        choices=spec.choices if kind != "text" else None,
        multiselect=spec.multiselect,
        label_on=spec.label_on,
        label_off=spec.label_off,
        advanced=spec.advanced,
        label=parameter.label,
        address=workflow.build_address(slot.node_id, slot.field),
        seed_mode=_SEED_MODES.get(workflow.controls.get(slot.place, ""), "") if kind == "seed" else "",
        note="" if parameter.required else _describe_unusable(slot.default, kind),
    )


def _find_kind(spec: Input, slot: NodeInput, *, seed: bool) -> FieldKind | None:
    if slot.media is not None and slot.media != "link":
        return _to_media_kind(slot.media)
    if slot.upload:
        return "file"
    if spec.kind == "link":
        return None
    if seed:
        return "seed"
    if spec.kind == "text":
        return "multiline" if spec.multiline else "text"
    return spec.kind


def _to_media_kind(kind: str) -> FieldKind:
    return kind if kind in MEDIA_KINDS else "file"  # type: ignore[return-value]


def _is_showable(value: Any, kind: FieldKind) -> bool:
    """Return whether a form can show a value: a file may have anything in it. MISSING never suits."""
    if kind in ("integer", "number", "seed"):
        return isinstance(value, (int, float)) and not isinstance(value, bool)
    if kind == "toggle":
        return isinstance(value, bool)
    if kind == "choice":
        return isinstance(value, (str, int, float, list))
    return isinstance(value, str)


def _describe_unusable(value: Any, kind: FieldKind) -> str:
    """Describe why a form can't show the workflow's value of a number, such as NaN, which JSON does not have."""
    if value is MISSING or kind not in ("integer", "number", "seed") or _is_showable(value, kind):
        return ""
    return "the workflow has no number here: enter one"


def _is_slider(spec: Input) -> bool:
    if spec.min is None or spec.max is None or spec.display == "number":
        return False
    step = spec.step if spec.step is not None else (1 if spec.kind == "integer" else None)
    if step is None or spec.max <= spec.min:
        return False
    stops = (spec.max - spec.min) / step
    return isfinite(stops) and stops <= (_MAX_WANTED_STOPS if spec.display == "slider" else _MAX_STOPS) + 0.5
