"""Following one run: (state, the server's message) -> state.

The messages are those of the ComfyUI socket. They may be doubled, late, about other runs or nonsense:
`reduce` takes what is about this run and makes sense. `/history` and `/queue` correct it after a break.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.json_values import LARGEST_EXACT
from comfykit_jupyter.workflow.progress.state import Progress, RunError, RunState, Status

__all__ = ["Progress", "RunError", "RunState", "Status", "apply_event", "apply_history", "apply_queue"]

_SMOOTHING = 0.3  # the share of the newest step in the pace


def apply_event(state: RunState, event: Mapping[str, Any], at: float) -> RunState:
    """The state after one message `{type, data}` of the server.

    Returns `state` itself when the message is about another run, nonsense, or comes after the end. Never raises.
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
    return state if after is state else _counted(after, state.compute_fraction(at), at)


def apply_history(state: RunState, entry: Mapping[str, Any], at: float) -> RunState:
    """The state as `/history/ID` tells it: the truth after any doubt, also about a state that was thought finished.

    `entry` is the answer itself (`{ID: {...}}`) or the entry in it. What is no entry changes nothing.
    """
    if isinstance(entry, Mapping) and isinstance(entry.get(state.prompt_id), Mapping):
        entry = entry[state.prompt_id]
    if not isinstance(entry, Mapping) or not isinstance(entry.get("outputs"), Mapping):
        return state
    outputs = {id_: out for id_, out in entry["outputs"].items() if isinstance(id_, str) and isinstance(out, Mapping)}
    meta = entry.get("meta")
    display = dict(state.display)
    for id_, about in meta.items() if isinstance(meta, Mapping) else ():
        shown = about.get("display_node") if isinstance(about, Mapping) else None
        if isinstance(id_, str) and isinstance(shown, str) and shown != id_:
            display[id_] = shown
    status = entry.get("status")
    status = status if isinstance(status, Mapping) else {}
    messages = _messages(status.get("messages"))
    state = replace(state, finished=False, outputs=outputs, display=display, error=None, queue_position=None)
    state = _timed(state, messages, at)
    if "execution_cached" in messages:
        state = _execution_cached(state, messages["execution_cached"], at)
    state = replace(state, done=state.done | (outputs.keys() & state.classes.keys()))
    if "execution_error" in messages:
        state = _execution_error(state, messages["execution_error"], at)
    elif "execution_interrupted" in messages:
        state = _execution_interrupted(state, messages["execution_interrupted"], at)
    elif status.get("status_str") == "error":
        state = _execution_error(state, {}, at)
    else:
        state = _ended(state, "completed", at)
    return _counted(state, state.reached, at)


def apply_queue(state: RunState, queue: Mapping[str, Any], at: float) -> RunState:
    """The state as `/queue` tells it: running, or how many are before it. What isn't in there changes nothing."""
    if state.finished or not isinstance(queue, Mapping):
        return state
    running, pending = _queued(queue.get("queue_running")), _queued(queue.get("queue_pending"))
    if any(id_ == state.prompt_id for _, id_ in running):
        return _begun(state, at)
    mine = next((number for number, id_ in pending if id_ == state.prompt_id), None)
    if mine is None or state.status != "queued":
        return state
    # The list is the server's heap: its order says nothing, the numbers do.
    position = len(running) + sum(number < mine for number, _ in pending)
    return state if position == state.queue_position else replace(state, queue_position=position)


def _queued(items: Any) -> list[tuple[float, Any]]:
    rows = (
        [item for item in items if isinstance(item, (list, tuple)) and len(item) > 1] if isinstance(items, list) else []
    )
    return [(row[0], row[1]) for row in rows if isinstance(row[0], (int, float))]


def _begun(state: RunState, at: float) -> RunState:
    """Any word about a run's execution means that it runs."""
    if state.status == "running":
        return state
    return replace(state, status="running", queue_position=None, started=at if state.started is None else state.started)


def _execution_start(state: RunState, data: Mapping[str, Any], at: float) -> RunState:  # noqa: ARG001
    return _begun(replace(state, seen_start=True), at) if not state.seen_start else state


def _execution_cached(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    found = _ids(data, "nodes") & state.classes.keys()
    return _done(replace(_begun(state, at), cached=state.cached | found), found)


def _executing(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    if "node" in data and data["node"] is None:
        return _ended(state, "completed", at)
    shown = _shown_id(data, "display_node", "node")
    return state if shown is None else _entered(_begun(state, at), shown, at)


def _executed(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    id_, shown, output = data.get("node"), _shown_id(data, "display_node", "node"), data.get("output")
    if not isinstance(id_, str) or shown is None:
        return state
    state = _begun(state, at)
    if isinstance(output, Mapping):
        state = replace(state, outputs={**state.outputs, id_: output})
    if shown != id_ and state.display.get(id_) != shown:
        state = replace(state, display={**state.display, id_: shown})
    return _done(state, {id_})


def _progress(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    id_ = data.get("node")
    state = _begun(state, at)
    shown = state.display.get(id_, id_) if isinstance(id_, str) else None
    if shown is None or shown not in state.classes:
        shown = state.current  # an expanded node that only `progress_state` says the display node of
    return state if shown is None else _stepped(_entered(state, shown, at), data, at)


def _progress_state(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    nodes = data.get("nodes")
    if not isinstance(nodes, Mapping):
        return state
    state = _begun(state, at)
    if not state.tells_states:
        state = replace(state, tells_states=True)
    running: list[tuple[str, Mapping[str, Any]]] = []
    done: set[str] = set()
    display: dict[str, str] = {}
    for id_, node in nodes.items():
        if not isinstance(id_, str) or not isinstance(node, Mapping):
            continue
        shown = _shown_id(node, "display_node_id", "node_id") or id_
        if shown != id_ and state.display.get(id_) != shown:
            display[id_] = shown
        if node.get("state") == "finished":
            done.add(id_)
        elif node.get("state") == "running":
            running.append((shown, node))
    if display:
        state = replace(state, display={**state.display, **display})
    state = _done(state, done)
    if not running:
        return state
    # Several may run at once: stay with the one that is shown while it runs.
    shown, node = next((each for each in reversed(running) if each[0] == state.current), running[-1])
    return _stepped(_entered(state, shown, at), node, at)


def _overall(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    """How far the whole of it has come, as clouds tell it; no server of ComfyUI does."""
    fraction = data.get("fraction")
    if not isinstance(fraction, (int, float)) or not state.reached < fraction <= 1:
        return state
    return replace(_begun(state, at), reached=float(fraction))


def _execution_success(state: RunState, data: Mapping[str, Any], at: float) -> RunState:  # noqa: ARG001
    return state if state.succeeded else replace(_begun(state, at), succeeded=True)


def _execution_error(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    lines = data.get("traceback")
    traceback = tuple(line[:4000] for line in lines[:200] if isinstance(line, str)) if isinstance(lines, list) else ()
    message = _string(data, "exception_message", 4000) or _string(data, "exception_type", 200)
    error = replace(
        _where(state, data, "node_error", message or "the server reports an error and does not say which"),
        exception_type=_string(data, "exception_type", 200) or None,
        traceback=traceback,
    )
    return _ended(replace(_done(state, _ids(data, "executed")), error=error), "failed", at)


def _execution_interrupted(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    error = _where(state, data, "interrupted", "the run was interrupted")
    if error.node_title:
        error = replace(error, message=f"the run was interrupted at {one_line(error.node_title)}")
    return _ended(replace(_done(state, _ids(data, "executed")), error=error), "cancelled", at)


_STEPS = {
    "execution_start": _execution_start,
    "execution_cached": _execution_cached,
    "executing": _executing,
    "executed": _executed,
    "progress": _progress,
    "progress_state": _progress_state,
    "progress_overall": _overall,
    "execution_success": _execution_success,
    "execution_error": _execution_error,
    "execution_interrupted": _execution_interrupted,
}


def _where(state: RunState, data: Mapping[str, Any], kind: str, message: str) -> RunError:
    id_ = _string(data, "node_id", 200) or None
    class_type = _string(data, "node_type", 200) or (state.classes.get(id_) if id_ else None)
    title = state.get_title(id_)
    return RunError(kind, message, id_, class_type or title if title == id_ else title, class_type)


def _entered(state: RunState, shown: str, at: float) -> RunState:
    """The node that is shown is now `shown`: what the one before it took is noted, and steps start anew."""
    if shown == state.current:
        return state
    left = _left(state, at)
    if state.current is not None and not state.tells_states:
        left = _done(left, {state.current})
    return replace(left, current=shown, node_started=at, step=None, steps=None, step_at=None, pace=None)


def _left(state: RunState, at: float) -> RunState:
    if state.current is None or state.node_started is None:
        return state
    taken = state.node_times.get(state.current, 0.0) + max(0.0, at - state.node_started)
    return replace(state, node_times={**state.node_times, state.current: taken}, node_started=None)


def _stepped(state: RunState, data: Mapping[str, Any], at: float) -> RunState:
    value, steps = _whole(data.get("value")), _whole(data.get("max"))
    if value is None or steps is None or steps < 2:
        return state
    step = min(value, steps)
    if (step, steps) == (state.step, state.steps):
        return state
    before, pace = state.step, state.pace
    if before is None or step < before or steps != state.steps:
        pace = None
    elif before > 0 and state.step_at is not None:  # what comes before the first step is loading, not sampling
        newest = max(0.0, at - state.step_at) / (step - before)
        pace = newest if pace is None else pace + _SMOOTHING * (newest - pace)
    return replace(state, step=step, steps=steps, step_at=at, pace=pace)


def _done(state: RunState, ids: set[str]) -> RunState:
    """Only nodes of the prompt count: what a node expanded to is part of that node."""
    found = (ids & state.classes.keys()) - state.done
    return replace(state, done=state.done | found) if found else state


def _ended(state: RunState, status: Status, at: float) -> RunState:
    state = _left(_begun(state, at), at)
    ended = at if state.ended is None else state.ended
    return replace(state, status=status, finished=True, ended=ended)


def _counted(state: RunState, reached: float, at: float) -> RunState:
    """Notes how far the run has come; never less than was `reached` before."""
    fraction = max(reached, state.compute_fraction(at))
    return replace(state, reached=fraction) if fraction > state.reached else state


def _timed(state: RunState, messages: Mapping[str, Mapping[str, Any]], at: float) -> RunState:
    """A run whose start was not seen took what the server's own time stamps say (milliseconds of its clock)."""
    if state.started is not None:
        return state
    stamps = [stamp for data in messages.values() if (stamp := _whole(data.get("timestamp"))) is not None]
    seconds = (max(stamps) - min(stamps)) / 1000 if stamps else 0.0
    ended = at if state.ended is None else state.ended
    return replace(state, started=ended - seconds, ended=ended)


def _messages(raw: Any) -> dict[str, Mapping[str, Any]]:
    rows = [row for row in raw if isinstance(row, (list, tuple)) and len(row) == 2] if isinstance(raw, list) else []
    return {row[0]: row[1] for row in rows if isinstance(row[0], str) and isinstance(row[1], Mapping)}


def _ids(data: Mapping[str, Any], key: str) -> set[str]:
    listed = data.get(key)
    return {id_ for id_ in listed if isinstance(id_, str)} if isinstance(listed, list) else set()


def _shown_id(data: Mapping[str, Any], *keys: str) -> str | None:
    return next((data[key] for key in keys if isinstance(data.get(key), str)), None)


def _string(data: Mapping[str, Any], key: str, limit: int) -> str:
    value = data.get(key)
    return value.strip()[:limit] if isinstance(value, str) else ""


def _whole(value: Any) -> int | None:
    """A count: a non-negative number of a sane size, as an integer."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return int(value) if 0 <= value <= LARGEST_EXACT else None  # also refuses NaN
