"""How long nodes took on each server, remembered as long as this process: the progress of later runs goes by it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.progress.weights import estimate_times, measure_times

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.progress.state import RunState

MOST = 5_000
"""Classes that are remembered of one server."""

_seen: dict[str, dict[str, float]] = {}


def estimate_weights(server_url: str, prompt: Mapping[str, Any]) -> dict[str, float]:
    """The seconds that each node of a prompt is likely to take on a server, by node id; empty when none is known."""
    return estimate_times(prompt, _seen.get(server_url, {}))


def learn(server_url: str, prompt: Mapping[str, Any], state: RunState) -> None:
    """Remember what the nodes of a run took that has ended."""
    seen = _seen.setdefault(server_url, {})
    for class_type, seconds in measure_times(prompt, state).items():
        if class_type in seen or len(seen) < MOST:
            seen[class_type] = seconds
