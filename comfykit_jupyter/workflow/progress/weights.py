"""Estimate the share of each node in a run, by how long nodes of its class took before."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.progress.state import RunState

_MOST_STEPS = 10_000


def estimate_times(prompt: Mapping[str, Any], seen: Mapping[str, float]) -> dict[str, float]:
    """Return the seconds that each node will probably take, by node ID; empty if nothing is known.

    A new class counts as the quickest of the known ones: slow classes have probably been seen before.

    Args:
        prompt: The prompt.
        seen: What `measure_times` returned before.
    """
    known = {
        id_: seen[class_] * _count_steps(node) for id_, node in prompt.items() if (class_ := _find_class(node)) in seen
    }
    least = min(known.values(), default=0.0)
    return {id_: known.get(id_, least) for id_ in prompt} if least > 0 else {}


def measure_times(prompt: Mapping[str, Any], state: RunState) -> dict[str, float]:
    """Return the seconds that nodes took in a run, by class; for classes that do steps, the seconds of one step."""
    found: dict[str, list[float]] = {}
    for id_, seconds in state.node_times.items():
        ran = state.status == "completed" or id_ in state.done
        if ran and id_ in prompt and id_ not in state.cached:
            found.setdefault(_find_class(prompt[id_]), []).append(max(seconds, 0.001) / _count_steps(prompt[id_]))
    return {class_: sum(times) / len(times) for class_, times in found.items()}


def _find_class(node: Any) -> str:
    return str(node.get("class_type")) if isinstance(node, Mapping) else ""


def _count_steps(node: Any) -> int:
    inputs = node.get("inputs")
    steps = inputs.get("steps") if isinstance(inputs, Mapping) else None
    return steps if isinstance(steps, int) and not isinstance(steps, bool) and 1 <= steps <= _MOST_STEPS else 1
