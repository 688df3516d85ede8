"""Putting values into a workflow: which input gets what, which seeds are drawn, which files are to be uploaded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.errors import ParameterError, Problem, one_line, short_repr
from comfykit_jupyter.workflow.nodes import (
    KNOWN_LOADERS,
    MEDIA_KINDS,
    MISSING,
    SEED_NAMES,
    Definitions,
    Input,
    Kind,
    NodeDefinition,
    is_link,
    unwrapped,
)
from comfykit_jupyter.workflow.params import check_value, nearest, plain_scalar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from comfykit_jupyter.workflow.parameters import Parameter, Target
    from comfykit_jupyter.workflow.workflow import Workflow

RANDOM = "random"
_LARGEST_SEED = 2**53 - 1
"""The largest that is drawn: the editor is a page, and past this it would show, and send, another number."""


@dataclass(frozen=True)
class Upload:
    """A media value that must be on the server before the run: `Binding.place` takes the name it got there.

    `choices` are the names the server has already (an uploaded name needs no file); `value` is as it was given.
    """

    parameter: str
    node_id: str
    node_title: str
    field: str
    kind: Kind | None
    value: Any
    choices: tuple[str, ...] = ()


@dataclass
class Binding:
    """One run's prompt and what went into it.

    `prompt` shares the nodes that are not changed with the workflow: change it by `place` only.
    `params` are the values of all parameters, given or not; `seeds` is every seed that is used, by parameter,
    or by address ("KSampler.seed") where no parameter names it.
    """

    prompt: dict[str, Any]
    params: dict[str, Any]
    seeds: dict[str, int]
    uploads: tuple[Upload, ...]
    inputs: dict[tuple[str, str], Any]
    """The inputs that were set, by node ID and name, with what the prompt has there now."""

    def place(self, upload: Upload, name: str) -> None:
        """Sets the input that `upload` is for to the name of the file on the server."""
        self.prompt[upload.node_id]["inputs"][upload.field] = name
        self.inputs[upload.node_id, upload.field] = name
        given = self.params.get(upload.parameter)
        if not isinstance(given, str):  # bytes or a picture: nothing that a result could keep
            self.params[upload.parameter] = str(given) if hasattr(given, "__fspath__") else name


@dataclass(frozen=True)
class Slot:
    """One input of one node, as far as it is known: its definition, or what its value shows, and what goes there."""

    node_id: str
    field: str
    spec: Input
    defined: bool
    media: Kind | None
    upload: bool
    default: Any

    @classmethod
    def of(cls, workflow: Workflow, target: Target, definitions: Definitions | None) -> Slot:
        """Finds the input of a parameter's target.

        A marker on a node that loads one file means that file, whatever it says, unless the node has such an input.
        """
        node = workflow.prompt[target.node_id]
        class_type: str = node["class_type"]
        definition = definitions.get(class_type) if definitions else None
        field, default = target.field, target.default
        if field not in node["inputs"] and (definition is None or field not in definition.inputs):
            field = _upload_field(class_type, definition) or field
            value = node["inputs"].get(field, MISSING)
            default = MISSING if is_link(value) else value
        spec = definition.inputs.get(field) if definition is not None else None
        media: Kind | None = None
        if spec is not None:
            media = spec.kind if spec.kind in MEDIA_KINDS else None
        elif class_type in KNOWN_LOADERS and KNOWN_LOADERS[class_type][0] == field:
            media = KNOWN_LOADERS[class_type][1]
        inferred = spec if spec is not None else Input.inferred(field, default)
        return cls(
            target.node_id, field, inferred, spec is not None, media, target.upload or media is not None, default
        )

    def is_seed(self, parameter: str) -> bool:
        """Whether the input is a seed: by definition, or a whole number whose field or parameter is called so."""
        if self.defined and self.spec.kind != "integer":
            return False
        named = self.field in SEED_NAMES or parameter in SEED_NAMES
        whole = self.spec.kind == "integer" or (not self.defined and (self.default is MISSING or self.default == "0"))
        return self.spec.seed or (named and whole)


def _upload_field(class_type: str, definition: NodeDefinition | None) -> str | None:
    if definition is not None:
        sole = definition.upload_field()
        return None if sole is None else sole.name
    return KNOWN_LOADERS[class_type][0] if class_type in KNOWN_LOADERS else None


def bind(
    workflow: Workflow,
    values: Mapping[str, Any],
    definitions: Definitions | None,
    draw: Callable[[int, int], int] | None,
) -> Binding:
    """See `Workflow.bind`."""
    return _Binder(workflow, definitions, draw or _draw).bind(values)


def _draw(low: int, high: int) -> int:
    from random import SystemRandom

    return SystemRandom().randint(low, high)


class _Binder:
    def __init__(self, workflow: Workflow, definitions: Definitions | None, draw: Callable[[int, int], int]) -> None:
        self.workflow = workflow
        self.definitions = definitions
        self.draw = draw
        self.prompt: dict[str, Any] = dict(workflow.prompt)
        self.changed: set[str] = set()
        self.inputs: dict[tuple[str, str], Any] = {}
        self.params: dict[str, Any] = {}
        self.seeds: dict[str, int] = {}
        self.uploads: list[Upload] = []
        self.problems: list[Problem] = []
        self.given: dict[tuple[str, str], str] = {}  # the inputs that a value was given for, and under which name
        self.settled: set[tuple[str, str]] = set()  # the seed inputs that are dealt with

    def bind(self, values: Mapping[str, Any]) -> Binding:
        for name, value in values.items():
            parameter = self.find(name if isinstance(name, str) else short_repr(name))
            if parameter is not None:
                self.give(parameter, value)
        declared = self.workflow.parameters
        for parameter in declared.values():
            if parameter.name not in values:
                self.leave(parameter)
        if self.problems:
            raise ParameterError(self.problems)
        self.settle_seeds()
        ordered = {name: self.params.pop(name) for name in declared if name in self.params}
        return Binding(self.prompt, {**ordered, **self.params}, self.seeds, tuple(self.uploads), self.inputs)

    def find(self, name: str) -> Parameter | None:
        try:
            return self.workflow.parameter(name, self.definitions)
        except ParameterError as error:
            self.problems.extend(error.problems)
            return None

    def give(self, parameter: Parameter, value: Any) -> None:
        """A value was given: it goes to all the parameter's targets, or is reported for each that can't take it."""
        given, value = value, plain_scalar(value)
        slots = [Slot.of(self.workflow, target, self.definitions) for target in parameter.targets]
        if isinstance(value, str) and value == RANDOM and all(slot.is_seed(parameter.name) for slot in slots):
            value = self.draw(*_limits(slots))
        for slot in slots:
            other = self.given.setdefault((slot.node_id, slot.field), parameter.name)
            if other != parameter.name:
                reason = f"given twice, also as {short_repr(other)}: leave one of them out"
                self.problems.append(self.problem(parameter, slot, reason))
                continue
            self.put(parameter, slot, given if slot.upload else value)  # a file may be text that knows more

    def put(self, parameter: Parameter, slot: Slot, value: Any) -> None:
        """One target gets its value; media only has its place made ready."""
        try:
            checked = self.check(parameter, slot, value)
        except ParameterError as error:
            self.problems.extend(error.problems)
            return
        self.params.setdefault(parameter.name, checked)
        if slot.upload:
            self.copy_node(slot.node_id)
            title = self.workflow.title(slot.node_id, self.definitions)
            choices = tuple(choice for choice in slot.spec.choices or () if isinstance(choice, str))
            self.uploads.append(Upload(parameter.name, slot.node_id, title, slot.field, slot.media, value, choices))
            return
        listed = slot.spec.multiselect and isinstance(checked, list)
        self.set_input(slot.node_id, slot.field, {"__value__": checked} if listed else checked)
        if slot.is_seed(parameter.name) and type(checked) is int:
            self.note_seed(parameter.name, slot, checked)

    def leave(self, parameter: Parameter) -> None:
        """No value was given: the workflow's own stay, each where it is, but for a seed that nobody ever set."""
        slots = [Slot.of(self.workflow, target, self.definitions) for target in parameter.targets]
        slots = [slot for slot in slots if (slot.node_id, slot.field) not in self.given]
        if parameter.required and slots:
            self.problems.append(self.problem(parameter, slots[0], "required, and no value was given"))
            return
        seeds = [slot for slot in slots if slot.is_seed(parameter.name)]
        unset = [slot for slot in seeds if _is_untouched(slot.default)]
        if unset:
            drawn = self.draw(*_limits(unset))
            for slot in unset:
                self.set_input(slot.node_id, slot.field, drawn)
        inputs = ((slot, self.prompt[slot.node_id]["inputs"].get(slot.field, MISSING)) for slot in slots)
        values = [(slot, unwrapped(value)) for slot, value in inputs if value is not MISSING and not is_link(value)]
        for slot, value in values:
            self.params.setdefault(parameter.name, value)
            if type(value) is int and slot.is_seed(parameter.name):
                self.note_seed(parameter.name, slot, value)

    def settle_seeds(self) -> None:
        """The seeds that no parameter names: drawn where untouched, and noted."""
        for node_id, field, spec in list(self.other_seeds()):
            value = self.prompt[node_id]["inputs"][field]
            if _is_untouched(value) and (node_id, field) not in self.given:
                slot = Slot(node_id, field, spec, True, None, False, value)
                value = self.draw(*_limits([slot]))
                self.set_input(node_id, field, value)
            if type(value) is int:
                self.seeds.setdefault(self.workflow.address(node_id, field), value)

    def other_seeds(self) -> Iterator[tuple[str, str, Input]]:
        for node_id, node in self.prompt.items():
            definition = self.definitions.get(node["class_type"]) if self.definitions else None
            for field, value in node["inputs"].items():
                if type(value) is not int and value != "0":
                    continue
                spec = definition.inputs.get(field) if definition is not None else None
                seed = spec.seed if spec is not None else field in SEED_NAMES
                if seed and (node_id, field) not in self.settled:
                    yield node_id, field, spec or Input.inferred(field, 0)

    def check(self, parameter: Parameter, slot: Slot, value: Any) -> Any:
        if value is None:
            reason = "None is no value: leave it out to keep the workflow's"
            raise ParameterError([self.problem(parameter, slot, reason)])
        if slot.upload:
            return value
        definition = self.definition(slot.node_id)
        if not slot.defined and definition is not None and not _may_have(definition, slot):
            names = list(definition.inputs)
            example = f"${one_line(parameter.name)}.{one_line(nearest(slot.field, names) or 'FIELD')}"
            known = ", ".join(one_line(each) for each in names[:10])
            reason = f"the node has no input {short_repr(slot.field)}: write {example} in its title (it has {known})"
            raise ParameterError([self.problem(parameter, slot, reason)])
        spec = slot.spec if slot.defined else _lenient(slot, value)
        title = self.workflow.title(slot.node_id, self.definitions)
        return check_value(value, spec, parameter=parameter.name, node_id=slot.node_id, node_title=title)

    def problem(self, parameter: Parameter, slot: Slot, reason: str) -> Problem:
        title = self.workflow.title(slot.node_id, self.definitions)
        return Problem(parameter.name, f"{one_line(parameter.name)} ({title}): {reason}", slot.node_id, title)

    def definition(self, node_id: str) -> NodeDefinition | None:
        return self.definitions.get(self.prompt[node_id]["class_type"]) if self.definitions else None

    def copy_node(self, node_id: str) -> dict[str, Any]:
        """Return the inputs of this run's own copy of a node: nodes are copied when they are first changed."""
        if node_id not in self.changed:
            node = self.workflow.prompt[node_id]
            self.prompt[node_id] = {**node, "inputs": dict(node["inputs"])}
            self.changed.add(node_id)
        inputs: dict[str, Any] = self.prompt[node_id]["inputs"]
        return inputs

    def set_input(self, node_id: str, name: str, value: Any) -> None:
        """Put a value into the prompt."""
        self.copy_node(node_id)[name] = self.inputs[node_id, name] = value

    def note_seed(self, name: str, slot: Slot, value: int) -> None:
        """One name, one number: a target that keeps another one is noted by its address."""
        self.settled.add((slot.node_id, slot.field))
        if self.seeds.setdefault(name, value) != value:
            self.seeds[self.workflow.address(slot.node_id, slot.field)] = value


def _limits(slots: list[Slot]) -> tuple[int, int]:
    """The numbers to draw from: those that all these seeds can take, and the editor as well."""
    low = max(int(slot.spec.min) if slot.spec.min is not None else 0 for slot in slots)
    high = min([_LARGEST_SEED, *(int(slot.spec.max) for slot in slots if slot.spec.max is not None)])
    return (low, high) if low <= high else (low, low)


def _is_untouched(value: Any) -> bool:
    """A seed of 0 (false is none) is what a new node has: nobody chose it."""
    return value == "0" or (type(value) is int and value == 0)


def _may_have(definition: NodeDefinition, slot: Slot) -> bool:
    """A node may take what its definition doesn't list: what the workflow has there, and parts of inputs (`a.b`)."""
    return slot.default is not MISSING or slot.field.split(".", 1)[0] in definition.inputs


def _lenient(slot: Slot, value: Any) -> Input:
    """What to hold a value against that only the workflow's own is known for. A file says 8 where it means 8.0."""
    if slot.default is MISSING:
        return Input(slot.field, "*", "link")
    if slot.spec.kind == "integer" and not slot.spec.seed and isinstance(value, float):
        return Input(slot.field, "FLOAT", "number")
    if slot.spec.kind == "number" and type(value) is int:
        return Input(slot.field, "INT", "integer")
    if slot.spec.kind == "text" and slot.default == "0" and slot.field in SEED_NAMES:
        return Input(slot.field, "INT", "integer")
    return slot.spec
