"""How long runs took and waited, and how long nodes took on each server: later progress is estimated from it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.workflow.progress.weights import estimate_times, measure_times

if TYPE_CHECKING:
    from comfykit_jupyter.workflow.progress.records import Times
    from comfykit_jupyter.workflow.progress.state import RunState

MAX_CLASSES = 5_000
"""Node classes that are remembered of one server."""

_seen: dict[str, dict[str, float]] = {}


def estimate_weights(server_url: str, prompt: Mapping[str, Any]) -> dict[str, float]:
    """Estimate the seconds that each node of a prompt will take, by node ID; empty if nothing is known."""
    return estimate_times(prompt, _seen.get(server_url, {}))


def learn(server_url: str, prompt: Mapping[str, Any], state: RunState) -> None:
    """Remember how long the nodes of a finished run took."""
    seen = _seen.setdefault(server_url, {})
    for class_type, seconds in measure_times(prompt, state).items():
        if class_type in seen or len(seen) < MAX_CLASSES:
            seen[class_type] = seconds


def compute_seconds(state: RunState, times: Times) -> float | None:
    """Return the seconds of an execution: by the server's clock, if its record was read."""
    if times.seconds is not None or state.started is None or state.ended is None:
        return times.seconds
    return round(state.ended - state.started, 3)


def compute_waited(state: RunState, times: Times, posted_at: float | None) -> float | None:
    """Return the seconds from sending a prompt to its start, or to its end if it did not start."""
    until = state.ended if state.started is None else state.started
    if times.waited is not None or posted_at is None or until is None:
        return times.waited
    return round(max(0.0, until - posted_at), 3)
