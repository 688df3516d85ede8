"""Parse what a server says about its nodes (`/object_info`), and follow the links of a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from math import isfinite
from typing import Any, Final, Literal, TypeAlias

from comfykit_jupyter.workflow.media_kinds import BUTTON_FLAGS, MEDIA_KINDS, UPLOAD_FLAGS, MediaKind
from comfykit_jupyter.workflow.untrusted_json import is_list, to_mapping, to_text

Kind = Literal["integer", "number", "text", "toggle", "choice", "link", MediaKind]
SEED_NAMES: Final = frozenset({"seed", "noise_seed"})
RANDOM: Final = "random"
"""The value of a seed that is drawn for each run."""
_PROSE: Final = frozenset({"text", "prompt"})
"""Inputs that hold long text, where no definition says so."""


class _Missing(Enum):
    """The type of `MISSING`: None is a value of JSON, so the absence of a value needs its own."""

    MISSING = "MISSING"

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = _Missing.MISSING

_KINDS: Final[Mapping[str, Kind]] = {
    "INT": "integer",
    "FLOAT": "number",
    "STRING": "text",
    "BOOLEAN": "toggle",
    "COMBO": "choice",
    "COMFY_DYNAMICCOMBO_V3": "choice",
    "COLOR": "text",
}
_MAX_DEPTH: Final = 8
"""How deep choices may add inputs that have choices themselves."""
_MAX_GROWN: Final = 100
"""The most inputs that an input which grows may have."""


@dataclass(frozen=True)
class Template:
    """The inputs that a growing input repeats.

    Attributes:
        inputs: One repetition.
        names: The names of the repetitions; None if they are numbered from 0 behind `prefix`.
        prefix: What stands before the number.
        least: How many the editor shows at first.
        most: How many there may be.
    """

    inputs: tuple[Input, ...]
    names: tuple[str, ...] | None
    prefix: str
    least: int
    most: int

    def build_name(self, ordinal: int, spec: Input) -> str:
        """Return the name of an input in the repetition `ordinal`, or "" past the last of `names`."""
        if self.names is not None:
            return self.names[ordinal] if ordinal < len(self.names) else ""
        return f"{self.prefix if len(self.inputs) == 1 else spec.name}{ordinal}"


@dataclass(frozen=True)
class Input:
    """The definition of one input of a node class.

    Attributes:
        name: The input's name.
        type: The type of its value, as the server calls it: `INT`, `COMBO`, …
        kind: The kind of its value; `link` for one that only another node can supply.
        required: Whether the node doesn't run without it.
        default: The value of a new node; MISSING if the server gives none.
        min: The smallest value; None if the server gives none, or nonsense. So are `max`, `step` and `round`.
        max: The largest value.
        step: The step of a slider.
        round: What the editor rounds a number to.
        choices: The allowed values; None if they are not known.
        multiselect: Whether several choices may be made.
        multiline: Whether a text may have several lines.
        tooltip: The server's explanation.
        advanced: Whether the server counts it among the inputs for experts.
        label_on: What a toggle says when it is on.
        label_off: What a toggle says when it is off.
        seed: Whether it is a seed.
        display: How the server wants it shown: `slider`, `number`, …

    The others matter for the editor's files only:

    Attributes:
        force_input: Whether it is a socket although its type has a widget.
        slot_type: The type of the input's slot; `type` is the type of its value.
        control: Whether a control of the value after a run stands beside it; None if the server doesn't say.
        button: Whether an upload button stands beside it.
        dynamic: Whether a text may have alternatives such as `{red|blue}`.
        remote: Whether the list of choices is fetched.
        refreshed: Whether a button fetches it again.
        variants: The further inputs that each choice adds.
        template: The further inputs that are added with use.
    """

    name: str
    type: str
    kind: Kind
    required: bool = False
    default: Any = MISSING
    min: int | float | None = None
    max: int | float | None = None
    step: int | float | None = None
    round: int | float | None = None
    choices: tuple[Any, ...] | None = None
    multiselect: bool = False
    multiline: bool = False
    tooltip: str = ""
    advanced: bool = False
    label_on: str = ""
    label_off: str = ""
    seed: bool = False
    display: str | None = None
    force_input: bool = False
    slot_type: str = "*"
    control: bool | None = None
    button: bool = False
    dynamic: bool = False
    remote: bool = False
    refreshed: bool = False
    variants: Mapping[str, tuple[Input, ...]] | None = None
    template: Template | None = None

    @classmethod
    def infer(cls, name: str, value: Any) -> Input:
        """Infer the definition of an input from its value: a kind, and no bounds."""
        if isinstance(value, bool):
            return cls(name, "BOOLEAN", "toggle", default=value)
        if isinstance(value, int):
            return cls(name, "INT", "integer", default=value, seed=name in SEED_NAMES)
        if isinstance(value, float):
            return cls(name, "FLOAT", "number", default=value)
        if isinstance(value, str):
            long = name in _PROSE or len(value) > 60 or "\n" in value
            return cls(name, "STRING", "text", default=value, multiline=long)
        return cls(name, "*", "link")


@dataclass(frozen=True)
class NodeDefinition:
    """A node class as a server defines it.

    Attributes:
        class_type: The name of the class.
        display_name: What the server calls the class for people.
        inputs: The inputs by name, in the order of the editor's widgets, without hidden ones.
        outputs: The types of the outputs.
        output_node: Whether the node is one that a run is made for, such as SaveImage.
        recent: Whether the server has an editor of 2026 or later: since then definitions name search aliases.

    Example:
        >>> raw = {"input": {"required": {"steps": ["INT", {"min": 1, "max": 100}]}}, "output": ["LATENT"]}
        >>> NodeDefinition.parse("KSampler", raw).inputs["steps"].max
        100
    """

    class_type: str
    display_name: str
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...] = ()
    output_node: bool = False
    recent: bool = True

    @classmethod
    def parse(cls, class_type: str, raw: Mapping[str, Any]) -> NodeDefinition:
        """Parse one entry of `/object_info`; an input that makes no sense is kept with the kind `link`.

        Args:
            class_type: The name of the class.
            raw: The entry as the server sends it.
        """
        inputs = {each.name: each for each in _parse_inputs(raw.get("input"), raw.get("input_order"))}
        outputs = raw.get("output")
        types = [output if isinstance(output, str) else "COMBO" for output in outputs] if is_list(outputs) else []
        return cls(
            class_type=class_type,
            display_name=to_text(raw.get("display_name")) or class_type,
            inputs=inputs,
            outputs=tuple(types),
            output_node=raw.get("output_node") is True,
            recent="search_aliases" in raw,
        )

    def find_upload_field(self) -> Input | None:
        """Return the input that takes an uploaded file, or None if there is none or more than one."""
        found = [each for each in self.inputs.values() if each.kind in MEDIA_KINDS]
        return found[0] if len(found) == 1 else None


Definitions: TypeAlias = Mapping[str, NodeDefinition]


def merge_definitions(found: Sequence[Definitions]) -> Definitions:
    """Return what several servers say about their nodes as one: an input has the choices of all of them."""
    merged: dict[str, NodeDefinition] = {}
    for definitions in found:
        for name, definition in definitions.items():
            merged[name] = _merge(merged[name], definition) if name in merged else definition
    return merged


def _merge(first: NodeDefinition, second: NodeDefinition) -> NodeDefinition:
    if first.inputs == second.inputs:
        return first
    inputs = dict(first.inputs)
    for name, other in second.inputs.items():
        known = inputs.get(name)
        if known is None:  # the other version of the node has more: it is not required by all
            inputs[name] = replace(other, required=False)
        elif known.choices is not None and other.choices is not None:
            inputs[name] = replace(known, choices=tuple(dict.fromkeys([*known.choices, *other.choices])))
    return replace(first, inputs=inputs)


def _parse_inputs(raw: Any, order: Any, depth: int = 0) -> Iterator[Input]:
    """Parse `{"required": {...}, "optional": {...}}`; yield no name twice."""
    groups, orders = to_mapping(raw), to_mapping(order)
    seen: set[str] = set()
    for group in ("required", "optional"):
        specs = to_mapping(groups.get(group))
        listed = orders.get(group)
        wanted = [name for name in listed if isinstance(name, str)] if is_list(listed) else []
        for name in dict.fromkeys([*wanted, *specs]):
            if isinstance(name, str) and name in specs and name not in seen:
                seen.add(name)
                yield _parse_input(name, specs[name], required=group == "required", depth=depth)


def _parse_input(name: str, spec: Any, *, required: bool, depth: int) -> Input:
    if not is_list(spec) or not spec:
        return Input(name, "*", "link", required)
    options = to_mapping(spec[1]) if len(spec) > 1 else {}
    type_, slot_type, listed = _parse_type(spec[0], options)
    kind = _find_kind(type_, options)
    low, high = _parse_bounds(options, whole=type_ == "INT")
    control = options.get("control_after_generate")
    default = options.get("default")
    return Input(
        name=name,
        type=type_,
        kind=kind,
        required=required,
        default=MISSING if default is None else default,
        min=low,
        max=high,
        step=_parse_step(options.get("step"), whole=type_ == "INT"),
        round=_parse_step(options.get("round"), whole=type_ == "INT"),
        choices=_parse_choices(listed) if _KINDS.get(type_) == "choice" else None,
        multiselect=bool(options.get("multiselect")) or "multi_select" in options,
        multiline=options.get("multiline") is True,
        tooltip=to_text(options.get("tooltip"))[:2000],
        advanced=options.get("advanced") is True,
        label_on=to_text(options.get("label_on"))[:100],
        label_off=to_text(options.get("label_off"))[:100],
        seed=kind == "integer" and (name in SEED_NAMES or _is_drawn(name, control)),
        display=to_text(options.get("display")) or None,
        force_input=options.get("forceInput") is True,
        slot_type=to_text(to_mapping(options.get("template")).get("allowed_types")) or slot_type,
        control=None if control is None else bool(control),
        button=type_ == "COMBO" and any(options.get(flag) is True for flag in BUTTON_FLAGS),
        dynamic=options.get("dynamicPrompts") is True,
        remote=bool(options.get("remote")),
        refreshed=bool(to_mapping(options.get("remote")).get("refresh_button")),
        variants=_parse_variants(listed, depth) if type_ == "COMFY_DYNAMICCOMBO_V3" else None,
        template=_parse_template(options.get("template"), depth) if type_ == "COMFY_AUTOGROW_V3" else None,
    )


def _parse_type(head: Any, options: Mapping[Any, Any]) -> tuple[str, str, Any]:
    """Return the type of an input's value, the type of its slot, and its list of choices, if any."""
    if is_list(head):  # older definitions have the choices in the place of the type
        return "COMBO", "COMBO", head
    slot_type = to_text(head) or "*"
    return to_text(options.get("widgetType")) or slot_type, slot_type, options.get("options")


def _find_kind(type_: str, options: Mapping[Any, Any]) -> Kind:
    kind: Kind = _KINDS.get(type_, "link")
    if kind in ("choice", "text"):
        return next((media for flag, media in UPLOAD_FLAGS.items() if options.get(flag)), kind)
    return kind


def _is_drawn(name: str, control: Any) -> bool:
    """Return whether the control beside an integer makes it a seed, which is drawn where the workflow has a 0.

    "fixed" is a plain number. So is the `value` of a PrimitiveInt, although older servers give it a seed's control.
    """
    return control not in (None, False, "fixed") and name != "value"


def _parse_bounds(options: Mapping[Any, Any], *, whole: bool) -> tuple[int | float | None, int | float | None]:
    low, high = _parse_number(options.get("min"), whole=whole), _parse_number(options.get("max"), whole=whole)
    return (None, None) if low is not None and high is not None and low > high else (low, high)


def _parse_step(value: Any, *, whole: bool) -> int | float | None:
    step = _parse_number(value, whole=whole)
    return step if step is not None and step > 0 else None


def _parse_variants(listed: Any, depth: int) -> Mapping[str, tuple[Input, ...]] | None:
    if not is_list(listed) or depth >= _MAX_DEPTH:
        return None
    return {
        str(each["key"]): tuple(_parse_inputs(each.get("inputs"), None, depth + 1))
        for each in listed
        if isinstance(each, Mapping) and isinstance(each.get("key"), (str, int, float))
    }


def _parse_template(raw: Any, depth: int) -> Template | None:
    if not isinstance(raw, Mapping) or depth >= _MAX_DEPTH:
        return None
    inputs = tuple(_parse_inputs(raw.get("input"), None, depth + 1))
    if not inputs:
        return None
    listed = raw.get("names")
    names = tuple(map(str, listed)) if is_list(listed) else None
    least, most = (_parse_number(raw.get(key), whole=True) for key in ("min", "max"))
    most = len(names) if names is not None else _MAX_GROWN if most is None else most
    least = 1 if least is None else least
    least, most = (max(0, min(int(each), _MAX_GROWN)) for each in (least, most))
    return Template(inputs, names, to_text(raw.get("prefix")), least, most)


def _parse_choices(listed: Any) -> tuple[Any, ...] | None:
    """Return the allowed values, or None if the list is not known: the server fetches it for its own editor only."""
    if not is_list(listed):
        return None
    keys = (choice.get("key") if isinstance(choice, Mapping) else choice for choice in listed)
    return tuple(key for key in keys if isinstance(key, (str, int, float)))


def _parse_number(value: Any, *, whole: bool) -> int | float | None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    if isinstance(value, int):
        return value if value.bit_length() <= 1024 else None
    if not isfinite(value):
        return None
    if not whole:
        return value
    return int(value) if value.is_integer() else None


def is_link(value: Any) -> bool:
    """Return whether an input's value is a link, `[node ID, output index]`; a list of choices is not."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def unwrap(value: Any) -> Any:
    """Return an input's value: a prompt has a list as `{"__value__": […]}`, since a plain list is a link."""
    return value["__value__"] if isinstance(value, dict) and list(value) == ["__value__"] else value


def find_sources(node: Mapping[str, Any]) -> Iterator[str]:
    """Yield the IDs of the nodes that a node of a prompt is linked to."""
    for value in node["inputs"].values():
        if is_link(value):
            yield value[0]


def find_reachable(prompt: Mapping[str, Any], definitions: Definitions | None = None) -> frozenset[str]:
    """Return the IDs of the nodes that the output nodes of a prompt need: what a run has to execute.

    Without definitions, or without an output node among them, return all nodes.
    """
    if definitions is None:
        return frozenset(prompt)
    found = find_output_nodes(prompt, definitions)
    if not found:
        return frozenset(prompt)
    seen = set(found)
    while found:
        for source in find_sources(prompt[found.pop()]):
            if source in prompt and source not in seen:
                seen.add(source)
                found.append(source)
    return frozenset(seen)


def find_likely_output_nodes(prompt: Mapping[str, Any], definitions: Definitions) -> set[str]:
    """Return the IDs of the output nodes, and of nodes without a definition whose outputs no other node uses.

    >>> find_likely_output_nodes({"1": {"class_type": "New", "inputs": {}}}, {})
    {'1'}
    """
    used = {source for node in prompt.values() for source in find_sources(node)}
    ends = {id_ for id_, node in prompt.items() if id_ not in used and node["class_type"] not in definitions}
    return ends.union(find_output_nodes(prompt, definitions))


def find_output_nodes(prompt: Mapping[str, Any], definitions: Definitions) -> list[str]:
    """Return the IDs of the output nodes of a prompt."""
    known = {id_: definitions.get(node["class_type"]) for id_, node in prompt.items()}
    return [id_ for id_, definition in known.items() if definition is not None and definition.output_node]
