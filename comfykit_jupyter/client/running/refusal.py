"""Why a run did not go well, in one line: what a server says when it refuses a prompt, or takes only a part of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from comfykit_jupyter.workflow.progress.progress import RunError, RunState

_LACKING = ("missing_node_type", "invalid_prompt", "value_not_in_list", "custom_validation_failed")
"""Types of errors by which servers, old and new, say that they lack a node, a model or a file."""


def format_error(error: RunError | None) -> str | None:
    """One line that names the node and the cause."""
    if error is None:
        return None
    where = f"{error.node_title}: " if error.node_title and error.kind == "node_error" else ""
    return f"{where}{' '.join(error.message.split())}"


def to_refused_state(state: RunState, body: Mapping[str, Any], at: float, *, has_object_info: bool) -> RunState:
    """The state of a run that the server refused, with its reasons on one line; see `Backend.has_object_info`."""
    node_errors = body.get("node_errors")
    lines = (
        format_node_errors(state, node_errors, has_object_info=has_object_info)
        if isinstance(node_errors, Mapping)
        else []
    )
    error = body.get("error")
    if not lines and isinstance(error, Mapping):
        what = ": ".join(str(error[key])[:500].rstrip(". ") for key in ("message", "details") if error.get(key))
        lines = [f"{what}{_advice([error]) if has_object_info else ''}"]
    elif not lines:
        lines = [str(error)[:500] if error else "the server gives no reason"]
    complaint = _first_complaint(state, node_errors, f"the server refused the prompt: {'; '.join(lines)}")
    kind = error.get("type") if isinstance(error, Mapping) else None
    complaint = replace(complaint, exception_type=kind[:200] if isinstance(kind, str) else None)
    return replace(state, status="failed", finished=True, ended=at, error=complaint)


def format_node_errors(state: RunState, node_errors: Mapping[str, Any], *, has_object_info: bool) -> list[str]:
    """The server's `node_errors`, a line each; see `Backend.has_object_info`."""
    found = [(str(node), problem) for node, about in node_errors.items() for problem in _problems(about)]
    lines = []
    for node, problem in found:
        what = ", ".join(str(problem[key])[:300] for key in ("message", "details") if problem.get(key))
        lines.append(f"{state.get_title(node)} (node {node}): {what}")
    if lines and has_object_info:
        lines[-1] += _advice(problem for _, problem in found)
    return lines


def _advice(problems: Iterable[Mapping[str, Any]]) -> str:
    """What to do where the server lacks something: it names what it has, and we what it needs."""
    return " (kit.check says what is missing)" if any(each.get("type") in _LACKING for each in problems) else ""


def _first_complaint(state: RunState, node_errors: Any, message: str) -> RunError:
    for node, about in node_errors.items() if isinstance(node_errors, Mapping) else ():
        for problem in _problems(about):
            extra = problem.get("extra_info")
            field = extra.get("input_name") if isinstance(extra, Mapping) else None
            class_type = state.classes.get(str(node))
            return RunError(
                "refused", message, str(node), state.get_title(str(node)), class_type, str(field) if field else None
            )
    return RunError("refused", message)


def _problems(about: Any) -> list[Mapping[str, Any]]:
    errors = about.get("errors") if isinstance(about, Mapping) else None
    return [problem for problem in errors if isinstance(problem, Mapping)] if isinstance(errors, list) else []
