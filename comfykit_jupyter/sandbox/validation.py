"""Validation of prompts, with ComfyUI's own error types, messages and format.

As in ComfyUI, a prompt can be accepted in part: outputs without problems run, the others are left out.
"""

from __future__ import annotations

import math
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.sandbox.definitions import (
    Definitions,
    find_accepted_inputs,
    get_choices,
    get_input_options,
    get_input_type,
    get_return_type,
)
from comfykit_jupyter.sandbox.graph import Declared, Prompt, find_upstream, is_link, unwrap_value, walk_postorder
from comfykit_jupyter.sandbox.interface.node import NODES, Folders, Spec

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

Problem = dict[str, Any]
"""`{type, message, details, extra_info}`."""


def _parse_finite(value: Any) -> float:
    number = float(value)
    if not math.isfinite(number):  # JSON can't represent it, so the history would not be readable
        raise ValueError(f"{value} is not a finite number")
    return number


_CONVERSIONS: dict[str, Callable[[Any], Any]] = {"INT": int, "FLOAT": _parse_finite, "STRING": str, "BOOLEAN": bool}


@dataclass
class Verdict:
    """The result of a validation: the outputs that can run, and the errors."""

    outputs: list[str] = field(default_factory=list)
    error: Problem | None = None
    node_errors: dict[str, dict[str, Any]] = field(default_factory=dict)


def build_problem(kind: str, message: str, details: str, **extra_info: Any) -> Problem:
    """Build an error in the protocol's format."""
    return {"type": kind, "message": message, "details": details, "extra_info": extra_info}


def validate(prompt: Any, folders: Folders, targets: Collection[str] | None = None) -> Verdict:
    """Check a prompt, and convert its values to the types of their inputs (`"12"` to 12) in place.

    Args:
        prompt: Any JSON value that a client sent.
        folders: The server's folders.
        targets: IDs of the outputs to run; by default all.
    """
    malformed = _find_malformed(prompt)
    if malformed is not None:
        return Verdict(error=malformed)
    outputs = [
        node_id
        for node_id, node in prompt.items()
        if NODES[node["class_type"]].output_node and (targets is None or node_id in targets)
    ]
    if not outputs:
        return Verdict(error=build_problem("prompt_no_outputs", "Prompt has no outputs", ""))
    definitions = Definitions(folders)
    declared = {key: definitions.list_inputs(node["class_type"], node["inputs"]) for key, node in prompt.items()}
    checked, cycles = walk_postorder(prompt, outputs, declared)
    errors: dict[str, list[Problem]] = {}
    for node_id in checked:
        try:
            found = _find_node_problems(prompt, node_id, definitions, folders, inner=node_id not in outputs)
        except Exception as error:  # noqa: BLE001 - a node's own code may raise anything
            found = [_describe_exception(error, inner=node_id not in outputs)]
        if node_id in cycles:
            found.append(build_problem("dependency_cycle", "Dependency cycle detected", " -> ".join(cycles[node_id])))
        if found:
            errors[node_id] = found
    return _build_verdict(prompt, outputs, errors, declared)


def _find_malformed(prompt: Any) -> Problem | None:
    """Return the problem that prevents a prompt from being checked node by node, if any."""
    if not isinstance(prompt, dict):
        return build_problem("invalid_prompt", "The prompt is not an object of nodes by id", type(prompt).__name__)
    for node_id, node in prompt.items():
        if not isinstance(node, dict):
            return build_problem("invalid_prompt", "A node of the prompt is not an object", f"Node ID '#{node_id}'")
        class_type, meta = node.get("class_type"), node.get("_meta")
        title = meta.get("title") if isinstance(meta, dict) else None
        if not isinstance(class_type, str) or class_type not in NODES:
            message = (
                f"Node '{class_type}' not found. The custom node may not be installed."
                if isinstance(class_type, str)
                else f"Node '{title or f'ID #{node_id}'}' has no class_type."
            )
            extra = {"node_id": node_id, "class_type": class_type, "node_title": title or class_type}
            return build_problem("missing_node_type", message, f"Node ID '#{node_id}'", **extra)
        if not isinstance(node.setdefault("inputs", {}), dict):
            return build_problem("invalid_prompt", "The inputs of a node are not an object", f"Node ID '#{node_id}'")
    return None


def _find_node_problems(
    prompt: Prompt, node_id: str, definitions: Definitions, folders: Folders, *, inner: bool
) -> list[Problem]:
    """Return the problems of one node's inputs, and convert its values in place."""
    class_type = prompt[node_id]["class_type"]
    inputs: dict[str, Any] = prompt[node_id]["inputs"]
    node = NODES[class_type]
    required, _ = definitions.get_specs(class_type)
    declared = definitions.list_inputs(class_type, inputs)
    own = find_accepted_inputs(node.validate, declared)
    problems: list[Problem] = []
    for name, spec in declared.items():
        if name not in inputs:
            if name in required:
                problems.append(
                    build_problem("required_input_missing", "Required input is missing", name, input_name=name)
                )
            continue
        if isinstance(inputs[name], list):
            found = _find_link_problem(prompt, name, inputs[name], spec, inner=inner)
        else:
            found = _convert(inputs, name, spec)
            if found is None and name not in own:
                found = _find_value_problem(name, unwrap_value(inputs[name]), spec)
        problems += [found] if found else []
    if node.validate is not None:
        values = {name: unwrap_value(inputs[name]) for name in own if name in inputs and not is_link(inputs[name])}
        complaint = node.validate(folders, **values)
        if complaint is not None:
            name = next(iter(values), "")
            message = "Custom validation failed for node"
            problems.append(
                build_problem("custom_validation_failed", message, f"{name} - {complaint}", input_name=name)
            )
    return problems


def _find_link_problem(prompt: Prompt, name: str, link: list[Any], spec: Spec, *, inner: bool) -> Problem | None:
    """Return the problem of an input that is linked to nothing, or to an output of another type."""
    config = {"input_name": name, "input_config": list(spec)}
    if not is_link(link):
        message = "Bad linked input, must be a length-2 list of [node_id, slot_index]"
        return build_problem("bad_linked_input", message, name, **config, received_value=link)
    source, slot = link
    if source not in prompt:
        return _describe_exception(KeyError(source), inner=inner, **config, linked_node=link)
    try:
        received = get_return_type(NODES[prompt[source]["class_type"]], slot)
    except IndexError as error:
        return _describe_exception(error, inner=inner, **config, linked_node=link)
    wanted = get_input_type(spec)
    if not _is_compatible(received, wanted):
        message = "Return type mismatch between linked nodes"
        details = f"{name}, received_type({received}) mismatch input_type({wanted})"
        return build_problem(
            "return_type_mismatch", message, details, **config, received_type=received, linked_node=link
        )
    return None


def _is_compatible(received: str, wanted: Any) -> bool:
    if not isinstance(wanted, str):
        return received in {"COMBO", "*"}
    return "*" in {received, wanted} or bool({*received.split(",")} & {*wanted.split(",")})


def _convert(inputs: dict[str, Any], name: str, spec: Spec) -> Problem | None:
    """Convert a value to the type of its input, in place; return the problem if it can't be converted."""
    kind, value = get_input_type(spec), unwrap_value(inputs[name])
    if not isinstance(kind, str) or kind not in _CONVERSIONS:
        return None
    try:
        inputs[name] = _CONVERSIONS[kind](value)
    except (TypeError, ValueError, OverflowError) as error:
        return build_problem(
            "invalid_input_type",
            f"Failed to convert an input value to a {kind} value",
            f"{name}, {value}, {error}",
            input_name=name,
            input_config=list(spec),
            received_value=value,
            exception_message=str(error),
        )
    return None


def _find_value_problem(name: str, value: Any, spec: Spec) -> Problem | None:
    """Return the problem of a converted value that is out of bounds or not one of the choices."""
    options: Mapping[str, Any] = get_input_options(spec)
    config: dict[str, Any] = {"input_name": name, "input_config": list(spec), "received_value": value}
    allowed = get_choices(spec)
    if allowed is None:
        low, high = options.get("min"), options.get("max")
        if isinstance(value, (int, float)):
            if low is not None and value < low:
                message = f"Value {value} smaller than min of {low}"
                return build_problem("value_smaller_than_min", message, name, **config)
            if high is not None and value > high:
                return build_problem(
                    "value_bigger_than_max", f"Value {value} bigger than max of {high}", name, **config
                )
        return None
    chosen = value if isinstance(value, list) and options.get("multiselect") else [value]
    if all(one in allowed for one in chosen):
        return None
    allowed_text = str(allowed)
    if len(allowed) > 20:
        allowed_text = f"(list of length {len(allowed)})"
        config["input_config"] = None
    return build_problem("value_not_in_list", "Value not in list", f"{name}: '{value}' not in {allowed_text}", **config)


def _describe_exception(error: Exception, *, inner: bool, **extra_info: Any) -> Problem:
    """Build the problem for an exception during validation; `inner` means that the node is not an output."""
    return build_problem(
        "exception_during_inner_validation" if inner else "exception_during_validation",
        "Exception when validating inner node" if inner else "Exception when validating node",
        str(error),
        **extra_info,
        exception_message=str(error),
        exception_type=type(error).__name__,
        traceback=traceback.format_tb(error.__traceback__),
    )


def _build_verdict(prompt: Prompt, outputs: list[str], errors: dict[str, list[Problem]], declared: Declared) -> Verdict:
    """Build the verdict from the problems of each node."""
    feeds: dict[str, set[str]] = {}
    for node_id in prompt:
        for source in find_upstream(prompt, node_id, declared):
            feeds.setdefault(source, set()).add(node_id)
    verdict = Verdict()
    failed: set[str] = set()
    for node_id, problems in errors.items():
        below, frontier = {node_id}, [node_id]
        while frontier:
            fresh = feeds.get(frontier.pop(), set()) - below
            below |= fresh
            frontier += fresh
        failed |= below
        verdict.node_errors[node_id] = {
            "errors": problems,
            "dependent_outputs": [output for output in outputs if output in below],
            "class_type": prompt[node_id]["class_type"],
        }
    verdict.outputs = [output for output in outputs if output not in failed]
    if not verdict.outputs:
        own = [f"{found['message']}: {found['details']}" for output in outputs for found in errors.get(output, ())]
        kind, message = "prompt_outputs_failed_validation", "Prompt outputs failed validation"
        verdict.error = build_problem(kind, message, "\n".join(own))
    return verdict
