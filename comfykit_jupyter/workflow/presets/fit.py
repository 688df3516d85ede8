"""Find out which values of a preset fit a workflow, which may have changed since it was saved."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.errors import ComfyKitError, ParameterError, Problem, one_line, short_repr
from comfykit_jupyter.workflow.lora_stack import Stack
from comfykit_jupyter.workflow.loras import LoraError, find_lora, list_loras
from comfykit_jupyter.workflow.parameters.inputs import NodeInput
from comfykit_jupyter.workflow.values.check import check_values

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.interface.graph import WorkflowGraph
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.parameters.parameter import Parameter
    from comfykit_jupyter.workflow.presets.preset import Preset


@dataclass(frozen=True)
class FittedPreset:
    """What of a preset fits a workflow.

    Attributes:
        values: The values that fit, by parameter name.
        problems: Why the others do not.
        name: The name of the preset; "" for none.
        loras: The LoRAs of its stack that the server has; None if it has no stack.
    """

    values: dict[str, Any] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()
    name: str = ""
    loras: Stack | None = None

    @property
    def warnings(self) -> list[str]:
        """A line for each value that does not fit."""
        return [f"preset {short_repr(self.name)}: this value is not used: {each.message}" for each in self.problems]


def fit_preset(
    preset: Preset, workflow: WorkflowGraph, definitions: Definitions | None, given: Iterable[Any] = ()
) -> FittedPreset:
    """Return the values of a preset that fit a workflow, and why the others do not.

    Args:
        preset: The preset.
        workflow: The workflow, resolved.
        definitions: The server's node definitions; without them, values must be like the workflow's own.
        given: The names of values that replace the preset's.
    """
    used = {place for name in given for place in _find_places(workflow, name, definitions)}
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, value in preset.values.items():
        try:
            parameter = workflow.find_parameter(name, definitions)
            inputs = [NodeInput.find(workflow.prompt, target, definitions) for target in parameter.targets]
            places = {each.place for each in inputs}
            if places & used:
                continue
            fitting = _read_value(preset, parameter, inputs, value)
            check_values(workflow, {parameter.name: fitting}, definitions, partial=True)
        except ParameterError as error:
            problems += [_name_parameter(each, name) for each in error.problems]
            continue
        used |= places
        values[parameter.name] = fitting
    loras = None if preset.loras is None else _fit_stack(preset.loras, definitions or {}, problems)
    return FittedPreset(values, tuple(problems), preset.name, loras)


def _fit_stack(stack: Stack, definitions: Definitions, problems: list[Problem]) -> Stack:
    """Return the LoRAs of a stack that the server has; all of them if it is not known what it has."""
    if not list_loras(definitions):
        return stack
    found = []
    for each in stack:
        try:
            find_lora(each.name, definitions)
            found.append(each)
        except LoraError as error:  # noqa: PERF203 - each says what is wrong with it
            problems.append(Problem(each.name, str(error)))
    return tuple(found)


def _find_places(workflow: WorkflowGraph, name: Any, definitions: Definitions | None) -> set[tuple[str, str]]:
    try:
        targets = workflow.find_parameter(str(name), definitions).targets
    except ParameterError:
        return set()
    return {NodeInput.find(workflow.prompt, target, definitions).place for target in targets}


def _read_value(preset: Preset, parameter: Parameter, inputs: list[NodeInput], value: Any) -> Any:
    """Return a value as `Workflow.bind` accepts it.

    Raises:
        ParameterError: It names a file that a preset must not name.
    """
    if not any(each.upload for each in inputs):
        if isinstance(value, dict):
            raise ParameterError(
                [
                    _build_problem(
                        parameter, inputs, "the preset has a file here, but the workflow has another kind of value now"
                    )
                ]
            )
        return value
    try:
        if preset.files is None or not isinstance(value, (str, dict)):
            raise ComfyKitError(f"{short_repr(value)} is not a file")
        return preset.files.read_file(value, parameter.name)
    except ComfyKitError as error:
        raise ParameterError([_build_problem(parameter, inputs, str(error))]) from None


def _build_problem(parameter: Parameter, inputs: list[NodeInput], reason: str) -> Problem:
    title = one_line(parameter.node_title)
    message = f"{one_line(parameter.name)} ({title}): {reason}"
    return Problem(parameter.name, message, inputs[0].node_id, title)


def _name_parameter(problem: Problem, name: str) -> Problem:
    """Return a problem under the name that the preset has, so that it can be found there."""
    return replace(problem, parameter=problem.parameter or name)
