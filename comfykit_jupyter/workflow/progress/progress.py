"""Follow one run: (state, message of the server) → state.

Messages come from ComfyUI's socket. They may come twice or late, be about other runs, or nonsense: `apply_event`
uses those that are about this run and make sense. `/history` and `/queue` correct the state after a break.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT
from comfykit_jupyter.workflow.progress.state import Progress, RunError, RunState, Status

__all__ = ["Progress", "RunError", "RunState", "Status", "apply_event", "apply_history", "apply_queue"]

_SMOOTHING = 0.3
"""The weight of the newest step in the pace."""


def apply_event(state: RunState, event: Mapping[str, Any], at: float) -> RunState:
    """Return the state after one message `{type, data}` of the server; never raise.

    Return the same object if the message is about another run, is nonsense, or comes after the end.
    """
    if state.finished or not isinstance(event, Mapping):
        return state
    data = event.get("data")
    kind = event.get("type")
    if not isinstance(data, Mapping) or not isinstance(kind, str) or data.get("prompt_id") != state.prompt_id:
        return state
    step = _STEPS.get(kind)
    if step is None:
        return state
    after = step(state, data, at)
    return state if after is state else _raise_fraction(after, state.compute_fraction(at), at)


def apply_history(state: RunState, entry: Mapping[str, Any], at: float) -> RunState:
    """Return the state according to `/history/ID`, which decides in any doubt, also about a finished state.

    `entry` is the whole answer (`{ID: {...}}`) or the record in it. Anything else changes nothing.
    """
    if isinstance(entry, Mapping) and isinstance(entry.get(state.prompt_id), Mapping):
        entry = entry[state.prompt_id]
    if not isinstance(entry, Mapping) or not isinstance(entry.get("outputs"), Mapping):
        return state
    outputs = {id_: out for id_, out in entry["outputs"].items() if isinstance(id_, str) and isinstance(out, Mapping)}
    display = {**state.display, **_parse_display(entry.get("meta"))}
    status = entry.get("status")
    status = status if isinstance(status, Mapping) else {}
    messages = _parse_messages(status.get("messages"))
    state = replace(state, finished=False, outputs=outputs, display=display, error=None, queue_position=None)
    state = _apply_timestamps(state, messages, at)
    if "execution_cached" in messages:
        state = _apply_execution_cached(state, messages["execution_cached"], at)
    state = replace(state, done=state.done | (outputs.keys() & state.classes.keys()))
    if "execution_error" in messages:
        state = _apply_execution_error(state, messages["execution_error"], at)
    elif "execution_interrupted" in messages:
        state = _apply_execution_interrupted(state, messages["execution_interrupted"], at)
    elif status.get("status_str") == "error":
        state = _apply_execution_error(state, {}, at)
    else:
        state = _end(state, "completed", at)
    return _raise_fraction(state, state.reached, at)


def _parse_display(meta: Any) -> dict[str, str]:
    """Return the nodes of the prompt that expanded nodes are shown as, by the expanded node's ID."""
    found: dict[str, str] = {}
    for id_, about in meta.items() if isinstance(meta, Mapping) else ():
        shown = about.get("display_node") if isinstance(about, Mapping) else None
        if isinstance(id_, str) and isinstance(shown, str) and shown != id_:
            found[id_] = shown
    return found


def apply_queue(state: RunState, queue: Mapping[str, Any], at: float) -> RunState:
    """Return the state according to `/queue`: running, or how many jobs are ahead. A missing job changes nothing."""
    if state.finished or not isinstance(queue, Mapping):
        return state
    running, pending = _parse_queue(queue.get("queue_running")), _parse_queue(queue.get("queue_pending"))
    if any(id_ == state.prompt_id for _, id_ in running):
        return _start(state, at)
    mine = next((number for number, id_ in pending if id_ == state.prompt_id), None)
    if mine is None or state.status != "queued":
        return state
    # The list is the server's heap: only the numbers give the order.
    position = len(running) + sum(number < mine for number, _ in pending)
    return state if position == state.queue_position else replace(state, queue_position=position)


def _parse_queue(items: Any) -> list[tuple[float, Any]]:
    rows = (
        [item for item in items if isinstance(item, (list, tuple)) and len(item) > 1] if isinstance(items, list) else []
    )
    return [(row[0], row[1]) for row in rows if isinstance(row[0], (int, float))]


def _start(state: RunState, at: float) -> RunState:
    """Mark a run as running: any message about its execution means that it runs."""
    if state.status == "running":
        return state
    return replace(state, status="running", queue_position=None, started=at if state.started is None else state.started)


def _apply_execution_start(state: RunState, data: Mapping[str, Any], at: float) -> RunState:  # noqa: ARG001
    return _start(replace(state, seen_start=True), at) if not state.seen_start else state


def _apply_execution_cached(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    found = _read_ids(data, "nodes") & state.classes.keys()
    return _mark_done(replace(_start(state, at), cached=state.cached | found), found)


def _apply_executing(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    if "node" in data and data["node"] is None:
        return _end(state, "completed", at)
    shown = _find_shown(data, "display_node", "node")
    return state if shown is None else _enter_node(_start(state, at), shown, at)


def _apply_executed(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    id_, shown, output = data.get("node"), _find_shown(data, "display_node", "node"), data.get("output")
    if not isinstance(id_, str) or shown is None:
        return state
    state = _start(state, at)
    if isinstance(output, Mapping):
        state = replace(state, outputs={**state.outputs, id_: output})
    if shown != id_ and state.display.get(id_) != shown:
        state = replace(state, display={**state.display, id_: shown})
    return _mark_done(state, {id_})


def _apply_progress(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    id_ = data.get("node")
    state = _start(state, at)
    shown = state.display.get(id_, id_) if isinstance(id_, str) else None
    if shown is None or shown not in state.classes:
        shown = state.current  # only `progress_state` names the display node of an expanded node
    return state if shown is None else _apply_step(_enter_node(state, shown, at), data, at)


def _apply_progress_state(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    nodes = data.get("nodes")
    if not isinstance(nodes, Mapping):
        return state
    state = _start(state, at)
    if not state.has_state_events:
        state = replace(state, has_state_events=True)
    running: list[tuple[str, Mapping[str, Any]]] = []
    done: set[str] = set()
    display: dict[str, str] = {}
    for id_, node in nodes.items():
        if not isinstance(id_, str) or not isinstance(node, Mapping):
            continue
        shown = _find_shown(node, "display_node_id", "node_id") or id_
        if shown != id_ and state.display.get(id_) != shown:
            display[id_] = shown
        if node.get("state") == "finished":
            done.add(id_)
        elif node.get("state") == "running":
            running.append((shown, node))
    if display:
        state = replace(state, display={**state.display, **display})
    state = _mark_done(state, done)
    if not running:
        return state
    # Several nodes may run at once: keep showing the same one while it runs.
    shown, node = next((each for each in reversed(running) if each[0] == state.current), running[-1])
    return _apply_step(_enter_node(state, shown, at), node, at)


def _apply_progress_overall(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    """Apply the fraction of a whole run, which clouds report; ComfyUI servers don't."""
    fraction = data.get("fraction")
    if not isinstance(fraction, (int, float)) or not state.reached < fraction <= 1:
        return state
    return replace(_start(state, at), reached=float(fraction))


def _apply_execution_success(state: RunState, data: Mapping[str, Any], at: float) -> RunState:  # noqa: ARG001
    return state if state.succeeded else replace(_start(state, at), succeeded=True)


def _apply_execution_error(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    lines = data.get("traceback")
    traceback = tuple(line[:4000] for line in lines[:200] if isinstance(line, str)) if isinstance(lines, list) else ()
    message = _read_text(data, "exception_message", 4000) or _read_text(data, "exception_type", 200)
    error = replace(
        _build_error(state, data, "node_error", message or "the server reports an error, but not which"),
        exception_type=_read_text(data, "exception_type", 200) or None,
        traceback=traceback,
    )
    return _end(replace(_mark_done(state, _read_ids(data, "executed")), error=error), "failed", at)


def _apply_execution_interrupted(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    error = _build_error(state, data, "interrupted", "the run was interrupted")
    if error.node_title:
        error = replace(error, message=f"the run was interrupted at {one_line(error.node_title)}")
    return _end(replace(_mark_done(state, _read_ids(data, "executed")), error=error), "cancelled", at)


_STEPS = {
    "execution_start": _apply_execution_start,
    "execution_cached": _apply_execution_cached,
    "executing": _apply_executing,
    "executed": _apply_executed,
    "progress": _apply_progress,
    "progress_state": _apply_progress_state,
    "progress_overall": _apply_progress_overall,
    "execution_success": _apply_execution_success,
    "execution_error": _apply_execution_error,
    "execution_interrupted": _apply_execution_interrupted,
}


def _build_error(state: RunState, data: Mapping[str, Any], kind: str, message: str) -> RunError:
    id_ = _read_text(data, "node_id", 200) or None
    class_type = _read_text(data, "node_type", 200) or (state.classes.get(id_) if id_ else None)
    title = state.get_title(id_)
    return RunError(kind, message, id_, class_type or title if title == id_ else title, class_type)


def _enter_node(state: RunState, shown: str, at: float) -> RunState:
    """Show another node: note the time of the one before it, and start counting steps again."""
    if shown == state.current:
        return state
    left = _leave_node(state, at)
    if state.current is not None and not state.has_state_events:
        left = _mark_done(left, {state.current})
    return replace(left, current=shown, node_started=at, step=None, steps=None, step_at=None, pace=None)


def _leave_node(state: RunState, at: float) -> RunState:
    if state.current is None or state.node_started is None:
        return state
    taken = state.node_times.get(state.current, 0.0) + max(0.0, at - state.node_started)
    return replace(state, node_times={**state.node_times, state.current: taken}, node_started=None)


def _apply_step(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    value, steps = _parse_count(data.get("value")), _parse_count(data.get("max"))
    if value is None or steps is None or steps < 2:
        return state
    step = min(value, steps)
    if (step, steps) == (state.step, state.steps):
        return state
    before, pace = state.step, state.pace
    if before is None or step < before or steps != state.steps:
        pace = None
    elif before > 0 and state.step_at is not None:  # the time before the first step is loading, not sampling
        newest = max(0.0, at - state.step_at) / (step - before)
        pace = newest if pace is None else pace + _SMOOTHING * (newest - pace)
    return replace(state, step=step, steps=steps, step_at=at, pace=pace)


def _mark_done(state: RunState, ids: set[str]) -> RunState:
    """Mark nodes as done; only nodes of the prompt count, as an expanded node includes its parts."""
    found = (ids & state.classes.keys()) - state.done
    return replace(state, done=state.done | found) if found else state


def _end(state: RunState, status: Status, at: float) -> RunState:
    state = _leave_node(_start(state, at), at)
    ended = at if state.ended is None else state.ended
    return replace(state, status=status, finished=True, ended=ended)


def _raise_fraction(state: RunState, reached: float, at: float) -> RunState:
    """Note the fraction that the run has reached; it never decreases."""
    fraction = max(reached, state.compute_fraction(at))
    return replace(state, reached=fraction) if fraction > state.reached else state


def _apply_timestamps(state: RunState, messages: Mapping[str, Mapping[str, Any]], at: float) -> RunState:
    """Take the time of a run whose start was not seen from the server's timestamps (milliseconds)."""
    if state.started is not None:
        return state
    stamps = [stamp for data in messages.values() if (stamp := _parse_count(data.get("timestamp"))) is not None]
    seconds = (max(stamps) - min(stamps)) / 1000 if stamps else 0.0
    ended = at if state.ended is None else state.ended
    return replace(state, started=ended - seconds, ended=ended)


def _parse_messages(raw: Any) -> dict[str, Mapping[str, Any]]:
    rows = [row for row in raw if isinstance(row, (list, tuple)) and len(row) == 2] if isinstance(raw, list) else []
    return {row[0]: row[1] for row in rows if isinstance(row[0], str) and isinstance(row[1], Mapping)}


def _read_ids(data: Mapping[str, Any], key: str) -> set[str]:
    listed = data.get(key)
    return {id_ for id_ in listed if isinstance(id_, str)} if isinstance(listed, list) else set()


def _find_shown(data: Mapping[str, Any], *keys: str) -> str | None:
    return next((data[key] for key in keys if isinstance(data.get(key), str)), None)


def _read_text(data: Mapping[str, Any], key: str, limit: int) -> str:
    value = data.get(key)
    return value.strip()[:limit] if isinstance(value, str) else ""


def _parse_count(value: Any) -> int | None:
    """Return a count as an integer, or None if it is negative, absurd, or not a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= LARGEST_EXACT else None  # also refuses NaN
