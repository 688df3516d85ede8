"""New seeds for several runs of one form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from random import SystemRandom
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.json_values import LARGEST_EXACT
from comfykit_jupyter.workflow.nodes import RANDOM, SEED_NAMES

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.workflow import Field, Workflow

LARGEST = 2**64 - 1
"""The largest seed where nobody says otherwise."""


def seed_rows(
    workflow: Workflow, fields: Sequence[Field], values: Mapping[str, Any], mode: str, times: int
) -> list[dict[str, Any]]:
    """The seeds of each of so many runs, by the names that a run takes.

    Args:
        workflow: whose seeds they are. Where the form has no field of one, those of its nodes are meant.
        fields: of the form.
        values: of the form.
        mode: `random` draws one for each run; `increment` counts up from the form's value, or from one that is drawn
            when that is none; anything else leaves them as they are.
        times: how many runs.
    """
    if mode == RANDOM:
        return [dict.fromkeys(_seeds(workflow, fields), RANDOM) for _ in range(times)]
    if mode != "increment":
        return [{} for _ in range(times)]
    counters = {}
    for name, (own, low, high) in _seeds(workflow, fields).items():
        value = values.get(name, own)
        whole = isinstance(value, int) and not isinstance(value, bool)
        counters[name] = (value if whole else SystemRandom().randint(low, min(high, LARGEST_EXACT)), low, high)
    return [
        {name: low + (first - low + index) % (high - low + 1) for name, (first, low, high) in counters.items()}
        for index in range(times)
    ]


def _seeds(workflow: Workflow, fields: Sequence[Field]) -> dict[str, tuple[Any, int, int]]:
    """The value and the bounds of each seed, by name."""
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
