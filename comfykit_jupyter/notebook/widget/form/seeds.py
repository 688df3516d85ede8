"""Choose the seeds of several runs of one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.json_values import LARGEST_EXACT
from comfykit_jupyter.workflow.nodes import RANDOM, SEED_NAMES

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow

LARGEST = 2**64 - 1
"""The largest seed where the server does not define a maximum."""


def choose_seeds(
    workflow: Workflow, fields: Sequence[Field], values: Mapping[str, Any], mode: str, times: int
) -> list[dict[str, Any]]:
    """Return the seeds of each run by parameter name.

    Args:
        workflow: The workflow. Where the form has no field for a seed, the seeds of its nodes are used.
        fields: The fields of the form.
        values: The values of the form.
        mode: `random` draws a seed for each run. `increment` counts up from the form's seed, or from a random one if
            the form has none. Anything else leaves the seeds as they are.
        times: The number of runs.
    """
    if mode == RANDOM:
        return [dict.fromkeys(_find_seeds(workflow, fields), RANDOM) for _ in range(times)]
    if mode != "increment":
        return [{} for _ in range(times)]
    counters = {}
    for name, (default, low, high) in _find_seeds(workflow, fields).items():
        value = values.get(name, default)
        is_integer = isinstance(value, int) and not isinstance(value, bool)
        counters[name] = (value if is_integer else SystemRandom().randint(low, min(high, LARGEST_EXACT)), low, high)
    return [
        {name: low + (first - low + index) % (high - low + 1) for name, (first, low, high) in counters.items()}
        for index in range(times)
    ]


def _find_seeds(workflow: Workflow, fields: Sequence[Field]) -> dict[str, tuple[Any, int, int]]:
    """Return the value and the bounds of each seed by parameter name."""
    found = {
        field.name: (field.default, int(field.min or 0), int(LARGEST if field.max is None else field.max))
        for field in fields
        if field.kind == "seed"
    }
    if found:
        return found
    return {
        workflow.build_address(id_, name): (value or None, 0, LARGEST)
        for id_, node in workflow.prompt.items()
        for name, value in node["inputs"].items()
        if name in SEED_NAMES and isinstance(value, int) and not isinstance(value, bool)
    }
