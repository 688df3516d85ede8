"""Give parameters other names, and write names into the titles of nodes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from comfykit_jupyter.workflow.errors import ParameterError, Problem, one_line, short_repr
from comfykit_jupyter.workflow.interface.words import to_words
from comfykit_jupyter.workflow.parameters.parameter import Parameter
from comfykit_jupyter.workflow.parameters.titles import Marker, Title, format_title, parse_title

_NAME = re.compile(r"[\w-]+")


def find_renamed(
    names: Mapping[str, str], known: Mapping[str, Parameter], find: Callable[[str], Parameter]
) -> dict[str, Parameter]:
    """Return parameters under new names.

    Args:
        names: The new names, each with the name or address that the parameter has.
        known: The parameters of the workflow by name.
        find: Returns the parameter of a name or address.

    Raises:
        ParameterError: There is no such parameter, or a new name can't be used; it has all problems.
    """
    problems: list[Problem] = []
    found: dict[str, Parameter] = {}
    taken: dict[tuple[Any, ...], str] = {}
    for new, old in names.items():
        try:
            parameter = _find(new, old, find)
        except ParameterError as error:
            problems += error.problems
            continue
        other = taken.setdefault(parameter.places, new)
        if other != new:
            problems.append(_build_problem(new, f"{short_repr(old)} has two new names, also {short_repr(other)}"))
        found[new] = replace(parameter, name=new, label=to_words(new))
    for new in names:
        own = known.get(new)
        if own is not None and own.places not in taken:
            reason = f"{own.node_title} has a parameter of this name: rename that one, too"
            problems.append(_build_problem(new, reason))
    if problems:
        raise ParameterError(problems)
    return found


def _find(new: Any, old: Any, find: Callable[[str], Parameter]) -> Parameter:
    if not isinstance(new, str) or not _NAME.fullmatch(new) or new == "output":
        reason = "not a name for a parameter: use letters, digits, _ and -"
        reason = "this name is reserved for outputs" if new == "output" else reason
        raise ParameterError([_build_problem(new, reason)])
    if not isinstance(old, str):
        reason = f"give the name or address of a parameter, such as '6.text', not {short_repr(old)}"
        raise ParameterError([_build_problem(new, reason)])
    return find(old)


def _build_problem(name: Any, reason: str) -> Problem:
    name = name if isinstance(name, str) else short_repr(name)
    return Problem(name, f"{one_line(name)}: {reason}")


def apply_names(known: Mapping[str, Parameter], renamed: Mapping[str, Parameter]) -> dict[str, Parameter]:
    """Return parameters in their order, with other names; those that are not among them come last."""
    by_places = {parameter.places: parameter for parameter in renamed.values()}
    applied = {}
    for parameter in known.values():
        new = by_places.pop(parameter.places, None)
        kept = parameter if new is None else replace(new, heading=parameter.heading)
        applied[kept.name] = kept
    return applied | {parameter.name: parameter for parameter in by_places.values()}


def write_titles(prompt: Mapping[str, Any], parameters: Iterable[Parameter]) -> dict[str, Any]:
    """Return a prompt whose titles declare these parameters, and no others.

    An input whose name a title can't have, with a comma for example, is left out.
    """
    markers: dict[str, list[Marker]] = {}
    for parameter in parameters:
        for target in parameter.targets:
            marker = Marker(parameter.name, target.field, target.upload, parameter.required)
            if parse_title(format_title(Title("", (marker,), None))).markers == (marker,):
                markers.setdefault(target.node_id, []).append(marker)
    return {id_: _write_title(node, tuple(markers.get(id_, ()))) for id_, node in prompt.items()}


def _write_title(node: Mapping[str, Any], markers: tuple[Marker, ...]) -> Mapping[str, Any]:
    meta = node.get("_meta")
    meta = meta if isinstance(meta, Mapping) else {}
    text = meta.get("title")
    title = parse_title(text if isinstance(text, str) else "")
    if title.markers == markers:
        return node
    return {**node, "_meta": {**meta, "title": format_title(replace(title, markers=markers))}}
