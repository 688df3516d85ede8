"""What a server says about its nodes (`/object_info`), as far as values and forms need it; the links of a prompt."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
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
"""Inputs that hold what people write, where nobody says so."""


class _Missing(Enum):
    """The type of MISSING: None is a value of JSON, so "there is no value" needs one of its own."""

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
_DEEPEST: Final = 8  # inputs that choices bring along, which have choices, and so on
_MOST_GROWN: Final = 100


@dataclass(frozen=True)
class Template:
    """What an input that grows repeats: `inputs` once for each of `names`, or numbered from 0 behind `prefix`.

    The editor shows `least` of them at first, and never more than `most`.
    """

    inputs: tuple[Input, ...]
    names: tuple[str, ...] | None
    prefix: str
    least: int
    most: int

    def name(self, ordinal: int, spec: Input) -> str:
        """The name of one of the inputs in the repetition `ordinal`; "" past the last of `names`."""
        if self.names is not None:
            return self.names[ordinal] if ordinal < len(self.names) else ""
        return f"{self.prefix if len(self.inputs) == 1 else spec.name}{ordinal}"


@dataclass(frozen=True)
class Input:
    """One input of a node class. `default` is MISSING and bounds are None where the server gives none (or nonsense).

    The last fields are for the editor's files: the type of the input's slot (`type` is that of its value), whether
    there is a control of what comes after a run (None: not said), a button for uploads, a text with `{a|b}` in it,
    a list of choices that is fetched (with a button for that);
    `variants` are the further inputs that each choice brings along, `template` those that come with use.
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
        """An input that only its value is known of: the kind is that of the value, and there are no bounds."""
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
    """A node class as the server describes it; `inputs` are in the order of the widgets, without the hidden ones.

    `recent` tells which editor the server has: its definitions name search aliases since the beginning of 2026.
    """

    class_type: str
    display_name: str
    inputs: Mapping[str, Input]
    outputs: tuple[str, ...] = ()
    output_node: bool = False
    recent: bool = True

    @classmethod
    def parse(cls, class_type: str, raw: Mapping[str, Any]) -> NodeDefinition:
        """Reads one entry of `/object_info`. Tolerant: an input it can't read is kept with the kind "link"."""
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
        """The one input that takes an uploaded file; None when there is none, or more than one."""
        found = [each for each in self.inputs.values() if each.kind in MEDIA_KINDS]
        return found[0] if len(found) == 1 else None


Definitions: TypeAlias = Mapping[str, NodeDefinition]


def _parse_inputs(raw: Any, order: Any, depth: int = 0) -> Iterator[Input]:
    """Reads `{"required": {...}, "optional": {...}}`; no name twice."""
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
    head = spec[0]
    options = to_mapping(spec[1]) if len(spec) > 1 else {}
    type_: str
    listed: Any
    if is_list(head):
        type_, slot_type, listed = "COMBO", "COMBO", head
    else:
        slot_type = to_text(head) or "*"
        type_, listed = to_text(options.get("widgetType")) or slot_type, options.get("options")
    kind: Kind = _KINDS.get(type_, "link")
    choices = _choices(listed) if kind == "choice" else None
    if kind in ("choice", "text"):
        kind = next((media for flag, media in UPLOAD_FLAGS.items() if options.get(flag)), kind)
    low, high = (_bound(options.get(key), whole=type_ == "INT") for key in ("min", "max"))
    if low is not None and high is not None and low > high:
        low = high = None
    step, rounding = (_bound(options.get(key), whole=type_ == "INT") for key in ("step", "round"))
    # "fixed" is a plain number with a control beside it: a 0 there means 0.
    drawn = options.get("control_after_generate") not in (None, False, "fixed")
    default = options.get("default", MISSING)
    return Input(
        name=name,
        type=type_,
        kind=kind,
        required=required,
        default=MISSING if default is None else default,
        min=low,
        max=high,
        step=step if step is not None and step > 0 else None,
        round=rounding if rounding is not None and rounding > 0 else None,
        choices=choices,
        multiselect=bool(options.get("multiselect")) or "multi_select" in options,
        multiline=options.get("multiline") is True,
        tooltip=to_text(options.get("tooltip"))[:2000],
        advanced=options.get("advanced") is True,
        label_on=to_text(options.get("label_on"))[:100],
        label_off=to_text(options.get("label_off"))[:100],
        seed=kind == "integer" and (drawn or name in SEED_NAMES),
        display=to_text(options.get("display")) or None,
        force_input=options.get("forceInput") is True,
        slot_type=to_text(to_mapping(options.get("template")).get("allowed_types")) or slot_type,
        control=bool(options["control_after_generate"]) if options.get("control_after_generate") is not None else None,
        button=type_ == "COMBO" and any(options.get(flag) is True for flag in BUTTON_FLAGS),
        dynamic=options.get("dynamicPrompts") is True,
        remote=bool(options.get("remote")),
        refreshed=bool(to_mapping(options.get("remote")).get("refresh_button")),
        variants=_variants(listed, depth) if type_ == "COMFY_DYNAMICCOMBO_V3" else None,
        template=_template(options.get("template"), depth) if type_ == "COMFY_AUTOGROW_V3" else None,
    )


def _variants(listed: Any, depth: int) -> Mapping[str, tuple[Input, ...]] | None:
    if not is_list(listed) or depth >= _DEEPEST:
        return None
    return {
        str(each["key"]): tuple(_parse_inputs(each.get("inputs"), None, depth + 1))
        for each in listed
        if isinstance(each, Mapping) and isinstance(each.get("key"), (str, int, float))
    }


def _template(raw: Any, depth: int) -> Template | None:
    if not isinstance(raw, Mapping) or depth >= _DEEPEST:
        return None
    inputs = tuple(_parse_inputs(raw.get("input"), None, depth + 1))
    if not inputs:
        return None
    listed = raw.get("names")
    names = tuple(map(str, listed)) if is_list(listed) else None
    least, most = (_bound(raw.get(key), whole=True) for key in ("min", "max"))
    most = len(names) if names is not None else _MOST_GROWN if most is None else most
    least = 1 if least is None else least
    least, most = (max(0, min(int(each), _MOST_GROWN)) for each in (least, most))
    return Template(inputs, names, to_text(raw.get("prefix")), least, most)


def _choices(listed: Any) -> tuple[Any, ...] | None:
    """The values of a choice; None when the list is not known (the server fetches it only for its own editor)."""
    if not is_list(listed):
        return None
    keys = (choice.get("key") if isinstance(choice, Mapping) else choice for choice in listed)
    return tuple(key for key in keys if isinstance(key, (str, int, float)))


def _bound(value: Any, *, whole: bool) -> int | float | None:
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
    """Whether an input's value is a link `[node id, output slot]`. A list of choices is none."""
    return isinstance(value, list) and len(value) == 2 and isinstance(value[0], str) and type(value[1]) is int


def unwrap(value: Any) -> Any:
    """An input's value; a list stands in a prompt as `{"__value__": […]}`, so that it is told from a link."""
    return value["__value__"] if isinstance(value, dict) and list(value) == ["__value__"] else value


def find_sources(node: Mapping[str, Any]) -> Iterator[str]:
    """The ids of the nodes that a node of a prompt takes its inputs from."""
    for value in node["inputs"].values():
        if is_link(value):
            yield value[0]


def find_reachable(prompt: Mapping[str, Any], definitions: Definitions | None = None) -> frozenset[str]:
    """The ids of the nodes that the outputs of `prompt` need: what a run has to do.

    Outputs are the nodes whose class says so; without definitions (or with none that says so) every node counts.
    """
    if definitions is None:
        return frozenset(prompt)
    found = [id_ for id_, node in prompt.items() if _is_output(node["class_type"], definitions)]
    if not found:
        return frozenset(prompt)
    seen = set(found)
    while found:
        for source in find_sources(prompt[found.pop()]):
            if source in prompt and source not in seen:
                seen.add(source)
                found.append(source)
    return frozenset(seen)


def _is_output(class_type: str, definitions: Definitions) -> bool:
    definition = definitions.get(class_type)
    return definition is not None and definition.output_node
