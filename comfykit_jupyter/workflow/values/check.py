"""Check values against every input that they set. Forms, magics, `kit.check` and runs all check here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import isfinite
from typing import Any, NoReturn, TypeGuard

from comfykit_jupyter.workflow.errors import ParameterError, Problem, describe_type, join_names, one_line, short_repr
from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
from comfykit_jupyter.workflow.json_values import (
    LARGEST_EXACT,
    MAX_BITS,
    is_missing,
    parse_number,
    to_plain_json,
    to_plain_scalar,
)
from comfykit_jupyter.workflow.nodes import MISSING, RANDOM, SEED_NAMES, Definitions, Input, NodeDefinition
from comfykit_jupyter.workflow.parameters.inputs import NodeInput, find_seed_bounds
from comfykit_jupyter.workflow.parameters.parameter import Parameter
from comfykit_jupyter.workflow.spelling import find_nearest


@dataclass(frozen=True)
class CheckedValue:
    """A value that fits all inputs of its parameter.

    Attributes:
        parameter: the parameter that it was given for.
        value: the value in plain types of JSON; media as it was given; `"random"` for a seed to draw.
        inputs: the inputs to set, each with the value that it gets.
        random: whether a seed is to be drawn for these inputs.
    """

    parameter: Parameter
    value: Any
    inputs: tuple[tuple[NodeInput, Any], ...]
    random: bool


def check_values(
    workflow: WorkflowGraph, values: Mapping[str, Any], definitions: Definitions | None, *, partial: bool = False
) -> dict[str, CheckedValue]:
    """Check values as `Workflow.check` does."""
    return _Checker(workflow, definitions).check(values, partial=partial)


class _Checker:
    def __init__(self, workflow: WorkflowGraph, definitions: Definitions | None) -> None:
        self.workflow = workflow
        self.definitions = definitions
        self.problems: list[Problem] = []
        self.checked: dict[str, CheckedValue] = {}
        self.given: dict[tuple[str, str], str] = {}  # the inputs that have got a value, and the name it was given by

    def check(self, values: Mapping[str, Any], *, partial: bool) -> dict[str, CheckedValue]:
        missing = {name for name, value in values.items() if is_missing(value)}
        for name, value in values.items():
            given_name = name if isinstance(name, str) else short_repr(name)
            parameter = self.find_parameter(given_name)
            if parameter is not None and name not in missing:
                self.check_parameter(parameter, given_name, value)
        if not partial:
            for parameter in self.workflow.get_parameters(self.definitions).values():
                if parameter.required and (parameter.name not in values or parameter.name in missing):
                    self.check_given(parameter)
        if self.problems:
            raise ParameterError(self.problems)
        return self.checked

    def find_parameter(self, name: str) -> Parameter | None:
        try:
            return self.workflow.find_parameter(name, self.definitions)
        except ParameterError as error:
            self.problems.extend(error.problems)
            return None

    def check_parameter(self, found: Parameter, given_name: str, given: Any) -> None:
        """Check a value for all inputs of its parameter; report a problem for each that can't accept it.

        Problems name the parameter as the user did, which may be by an address.
        """
        parameter = found if given_name == found.name else replace(found, name=given_name)
        value = to_plain_scalar(given)
        inputs = self.find_inputs(parameter)
        random = isinstance(value, str) and value == RANDOM and all(each.is_seed(found.name) for each in inputs)
        if random:
            value, _ = find_seed_bounds([each.spec for each in inputs])  # if any seed fits, the smallest does
        checked = []
        for each in inputs:
            other = self.given.setdefault(each.place, parameter.name)
            if other != parameter.name:
                reason = f"given twice, also as {short_repr(other)}: leave one of them out"
                self.problems.append(self.build_problem(parameter, each, reason))
                continue
            try:
                # A file keeps its own type: a `Media` is text that also knows its server.
                checked.append((each, self.check_input(parameter, each, given if each.upload else value)))
            except ParameterError as error:
                self.problems.extend(error.problems)
        if checked:
            kept = RANDOM if random else checked[0][1]
            self.checked[found.name] = CheckedValue(found, kept, tuple(checked), random)

    def check_given(self, parameter: Parameter) -> None:
        """Report a required parameter if one of its inputs has no value, not even by its address."""
        missing = [each for each in self.find_inputs(parameter) if each.place not in self.given]
        if missing:
            self.problems.append(self.build_problem(parameter, missing[0], "required, and no value was given"))

    def check_input(self, parameter: Parameter, target: NodeInput, value: Any) -> Any:
        if target.upload:
            return value
        definition = self.find_definition(target.node_id)
        if not target.defined and definition is not None and not _may_have(definition, target):
            names = list(definition.inputs)
            example = f"${one_line(parameter.name)}.{one_line(find_nearest(target.field, names) or 'FIELD')}"
            known = ", ".join(one_line(each) for each in names[:10])
            reason = f"the node has no input {short_repr(target.field)}: write {example} in its title (it has {known})"
            raise ParameterError([self.build_problem(parameter, target, reason)])
        spec = target.spec if target.defined else _relax(target, value)
        title = self.workflow.get_title(target.node_id, self.definitions)
        return check_value(value, spec, parameter=parameter.name, node_id=target.node_id, node_title=title)

    def find_inputs(self, parameter: Parameter) -> list[NodeInput]:
        return [NodeInput.find(self.workflow.prompt, target, self.definitions) for target in parameter.targets]

    def build_problem(self, parameter: Parameter, target: NodeInput, reason: str) -> Problem:
        title = self.workflow.get_title(target.node_id, self.definitions)
        return Problem(parameter.name, f"{one_line(parameter.name)} ({title}): {reason}", target.node_id, title)

    def find_definition(self, node_id: str) -> NodeDefinition | None:
        return self.definitions.get(self.workflow.prompt[node_id]["class_type"]) if self.definitions else None


def _may_have(definition: NodeDefinition, target: NodeInput) -> bool:
    """Return whether a node may accept an input that its definition lacks.

    It accepts what the workflow already sets, and parts of its inputs (`a.b`).
    """
    return target.default is not MISSING or target.field.split(".", 1)[0] in definition.inputs


def _relax(target: NodeInput, value: Any) -> Input:
    """Return what to check a value against if only the workflow's own value is known: a file has 8 for 8.0."""
    if target.default is MISSING:
        return Input(target.field, "*", "link")
    number = parse_number(value) if isinstance(value, str) else value
    if target.spec.kind == "integer" and not target.spec.seed and isinstance(number, float) and not _is_whole(number):
        return Input(target.field, "FLOAT", "number")
    if target.spec.kind == "number" and type(number) is int:
        return Input(target.field, "INT", "integer")
    if target.spec.kind == "text" and target.default == "0" and target.field in SEED_NAMES:
        return Input(target.field, "INT", "integer")
    return target.spec


def check_value(
    value: Any, spec: Input, *, parameter: str | None = None, node_id: str | None = None, node_title: str | None = None
) -> Any:
    """Return a value as it is sent to the server, in plain types of JSON.

    A value is converted where nothing is lost: `"42"` and `42.0` to an integer, `7` to text, NumPy scalars to Python's.
    `1.7` and `True` never become integers, and an integer stays exact whatever its size.

    Raises:
        ParameterError: The value doesn't fit, with the one problem found.

    >>> from comfykit_jupyter.workflow.nodes import Input
    >>> check_value(0, Input("steps", "INT", "integer", min=1), node_title="KSampler")
    Traceback (most recent call last):
    comfykit_jupyter.workflow.errors.ParameterError: steps (KSampler): 0 is below the minimum 1
    """
    name = parameter if parameter is not None else spec.name
    where = f"{one_line(name)} ({one_line(node_title)})" if node_title else one_line(name)

    def refuse(reason: str) -> NoReturn:
        raise ParameterError([Problem(name, f"{where}: {reason}", node_id, node_title)])

    value = to_plain_scalar(value)
    if spec.kind == "integer":
        return _check_integer(value, spec, refuse)
    if spec.kind == "number":
        return _check_number(value, spec, refuse)
    if spec.kind == "toggle":
        return _check_toggle(value, refuse)
    if spec.kind == "choice":
        return _check_choice(value, spec, refuse)
    if spec.kind == "link":
        return _check_json(value, refuse)
    return _check_text(value, refuse)


def _check_text(value: Any, refuse: Callable[[str], NoReturn]) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        refuse(f"{short_repr(value)} is {describe_type(value)}: give text")
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        refuse(f"the integer is too large ({value.bit_length()} bits)")
    return str(value)


def _check_toggle(value: Any, refuse: Callable[[str], NoReturn]) -> bool:
    given = value.strip().casefold() if isinstance(value, str) else value
    for toggle, same in ((True, ("true", 1)), (False, ("false", 0))):
        if isinstance(given, (str, int, float)) and given in same:
            return toggle
    return refuse(f"{short_repr(value)} is {describe_type(value)}: give True or False")


def _is_whole(value: Any) -> TypeGuard[float]:
    """Return whether a float stands for exactly one integer."""
    return isinstance(value, float) and value.is_integer() and abs(value) <= LARGEST_EXACT


def _check_integer(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> int:
    number = parse_number(value) if isinstance(value, str) else value
    if _is_whole(number):
        number = int(number)
    if isinstance(number, bool) or not isinstance(number, int):
        refuse(f"{short_repr(value)} is {describe_type(value)}: give an integer")
    if number.bit_length() > MAX_BITS:
        refuse(f"the integer is too large ({number.bit_length()} bits)")
    _check_bounds(number, spec, refuse)
    return number


def _check_number(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> float:
    given = parse_number(value) if isinstance(value, str) else value
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        refuse(f"{short_repr(value)} is {describe_type(value)}: give a number")
    try:
        number = float(given)
    except OverflowError:
        refuse(f"the number is too large ({int(given).bit_length()} bits)")
    if not isfinite(number):
        refuse(f"{number} is not a finite number")
    _check_bounds(number, spec, refuse)
    return number


def _check_bounds(value: float, spec: Input, refuse: Callable[[str], NoReturn]) -> None:
    if spec.min is not None and value < spec.min:
        refuse(f"{value!r} is below the minimum {spec.min}")
    if spec.max is not None and value > spec.max:
        refuse(f"{value!r} is above the maximum {spec.max}")


def _check_choice(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> Any:
    if spec.multiselect and isinstance(value, (list, tuple)):
        return [_check_one_choice(to_plain_scalar(each), spec, refuse) for each in value]
    return _check_one_choice(value, spec, refuse)


def _check_one_choice(value: Any, spec: Input, refuse: Callable[[str], NoReturn]) -> Any:
    if not isinstance(value, (str, int, float)):
        refuse(f"{short_repr(value)} is {describe_type(value)}: give one of the choices")
    if spec.choices is None:
        return value
    for choice in spec.choices:
        # 1 == True, and a choice between them is not a choice between equals
        if choice == value and isinstance(choice, bool) is isinstance(value, bool):
            return choice
    written = str(int(value)) if _is_whole(value) else str(value)
    same = [choice for choice in spec.choices if str(choice) == written and type(choice) is not type(value)]
    if len(same) == 1 and not isinstance(value, bool) and not isinstance(same[0], bool):
        return same[0]  # "8" for the choice 8, or 8 for "8"
    if not spec.choices:
        refuse(f"{short_repr(value)} can't be chosen: the server has nothing to choose from here")
    meant = find_nearest(str(value), [choice for choice in spec.choices if isinstance(choice, str)])
    if len(spec.choices) == 1:
        refuse(f"{short_repr(value)} can't be chosen: there is only {short_repr(spec.choices[0])}")
    if meant is not None:
        refuse(f"{short_repr(value)} is not one of the {len(spec.choices)} choices: did you mean {short_repr(meant)}?")
    return refuse(f"{short_repr(value)} is not one of the choices: {join_names(spec.choices, 5, short_repr)}")


def _check_json(value: Any, refuse: Callable[[str], NoReturn]) -> Any:
    try:
        return to_plain_json(value)
    except ValueError as error:
        refuse(str(error))
