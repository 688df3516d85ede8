"""Why a run failed: what a server says when it rejects a prompt or parts of it, in one line each."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, ServerError
from comfykit_jupyter.workflow.progress.progress import RunError, RunState

_REASON = re.compile(r"(?:^the server rejected the prompt: |; )[^;]* \(node (?P<node>[^()]{1,100})\): ")
"""What `to_refused_state` writes before each reason."""
_LACKING = ("missing_node_type", "invalid_prompt", "value_not_in_list", "custom_validation_failed")
"""Types of errors by which servers, old and new, say that a node, a model or a file is missing."""


def format_error(error: RunError | None) -> str | None:
    """Format an error as one line that names the node and the cause."""
    if error is None:
        return None
    where = f"{error.node_title}: " if error.node_title and error.kind == "node_error" else ""
    return f"{where}{' '.join(error.message.split())}"


def to_run_error(error: ComfyKitError) -> RunError:
    """Convert an error of this package, before or after the prompt was sent."""
    kind = "unreachable" if isinstance(error, ServerError) else "invalid"
    problem = error.problems[0] if isinstance(error, ParameterError) and error.problems else None
    if problem is None:
        return RunError(kind, str(error))
    return RunError(kind, str(error), problem.node_id, problem.node_title, field=problem.parameter)


def to_refused_state(state: RunState, body: Mapping[str, Any], at: float, has_object_info: bool) -> RunState:
    """Return the state of a run whose prompt the server rejected, with all reasons on one line.

    `has_object_info` is the backend's: without it `kit.check` can't say more than the server.
    """
    node_errors = body.get("node_errors")
    lines: list[str] = []
    if isinstance(node_errors, Mapping):
        lines = format_node_errors(state, node_errors, has_object_info=has_object_info)
    error = body.get("error")
    if not lines and isinstance(error, Mapping):
        what = ": ".join(str(error[key])[:500].rstrip(". ") for key in ("message", "details") if error.get(key))
        lines = [f"{what}{_format_advice([error]) if has_object_info else ''}"]
    elif not lines:
        lines = [str(error)[:500] if error else "the server gave no reason"]
    first = _build_error(state, node_errors, f"the server rejected the prompt: {'; '.join(lines)}")
    kind = error.get("type") if isinstance(error, Mapping) else None
    first = replace(first, exception_type=kind[:200] if isinstance(kind, str) else None)
    return replace(state, status="failed", finished=True, ended=at, error=first)


def format_node_errors(state: RunState, node_errors: Mapping[str, Any], *, has_object_info: bool) -> list[str]:
    """Format the server's `node_errors`, a line each; see `to_refused_state`."""
    found = [(str(node), problem) for node, about in node_errors.items() for problem in _list_problems(about)]
    lines = []
    for node, problem in found:
        what = ", ".join(str(problem[key])[:300] for key in ("message", "details") if problem.get(key))
        lines.append(f"{state.get_title(node)} (node {node}): {what}")
    if lines and has_object_info:
        lines[-1] += _format_advice(problem for _, problem in found)
    return lines


def find_reason(message: str, node_id: str, field: str) -> str | None:
    """Return what a message of `to_refused_state` says about one input; None if it says nothing of it.

    >>> text = "the server rejected the prompt: A (node 3): Value not in list, cfg: 9; B (node 4): Missing, x"
    >>> find_reason(text, "3", "cfg")
    'Value not in list, cfg: 9'
    """
    starts = [*_REASON.finditer(message)]
    for number, start in enumerate(starts):
        end = starts[number + 1].start() if number + 1 < len(starts) else len(message)
        reason = message[start.end() : end]
        if start["node"] == node_id and re.search(rf"(?<![\w.]){re.escape(field)}(?!\w|\.\w)", reason):
            return reason
    return None


def _format_advice(problems: Iterable[Mapping[str, Any]]) -> str:
    """Say what to do if something is missing: servers only list what they have."""
    return " (kit.check lists what is missing)" if any(each.get("type") in _LACKING for each in problems) else ""


def _build_error(state: RunState, node_errors: Any, message: str) -> RunError:
    """Build the error with the node and input of the first problem."""
    for node, about in node_errors.items() if isinstance(node_errors, Mapping) else ():
        for problem in _list_problems(about):
            extra = problem.get("extra_info")
            field = extra.get("input_name") if isinstance(extra, Mapping) else None
            class_type = state.classes.get(str(node))
            return RunError(
                "refused", message, str(node), state.get_title(str(node)), class_type, str(field) if field else None
            )
    return RunError("refused", message)


def _list_problems(about: Any) -> list[Mapping[str, Any]]:
    errors = about.get("errors") if isinstance(about, Mapping) else None
    return [problem for problem in errors if isinstance(problem, Mapping)] if isinstance(errors, list) else []
