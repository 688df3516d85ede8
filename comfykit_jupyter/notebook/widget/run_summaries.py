"""Runs that have ended, in brief: what the trait `runs` tells of them, and what it has no room for.

All traits of a widget are sent and may be saved as a whole. So the newest runs are told with all of their outputs, as
far as some tens of kilobytes go; the outputs of the others come by messages, and the longest texts are cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.client.results.wording import format_cost, format_failure, format_value
from comfykit_jupyter.notebook.widget.values import to_wire

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

ROOM = 48_000
"""Bytes that the trait may take."""
TEXT_LENGTH, TEXTS_LENGTH = 20_000, 500_000
"""Characters of a text output, and of all of a run's, that go to the page."""
VALUE_LENGTH, MESSAGE_LENGTH, TRACEBACK_LENGTH = 200, 2_000, 8_000
"""Characters of a changed value or a name, of an error's message, and of a traceback."""
LATELY, SHORT_LENGTH = 20, 40
"""Runs whose values are told in their length; characters of those of older ones."""

Send = Callable[[dict[str, Any]], None]


class Briefs:
    """The runs of one widget that have ended, newest first."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._runs: dict[str, dict[str, Any]] = {}
        """All that is told, by id, oldest first."""
        self._beside: set[str] = set()
        """Those whose items have no room in the trait."""
        self._sent: set[str] = set()

    def with_(self, id_: str, result: ExecuteResult) -> list[dict[str, Any]]:
        """The trait with one run more."""
        self._runs.pop(id_, None)
        self._runs[id_] = describe(id_, result)
        self._sent.discard(id_)
        return self._trait()

    def without(self, id_: str) -> list[dict[str, Any]]:
        """The trait without a run."""
        self._runs.pop(id_, None)
        self._sent.discard(id_)
        return self._trait()

    def send(self) -> None:
        """Send the items that have no room in the trait, and were not sent before."""
        for id_ in self._runs:
            if id_ in self._beside - self._sent:
                self._sent.add(id_)
                self._send({"kind": "items", "run": id_, "items": self._runs[id_]["items"]})

    def again(self) -> None:
        """Send all of them once more: a view has come that has seen none."""
        self._sent.clear()
        self.send()

    def _trait(self) -> list[dict[str, Any]]:
        newest = list(reversed(self._runs.values()))
        told = [_short_of(run, old=index >= LATELY) for index, run in enumerate(newest)]
        left = ROOM - sum(_size(brief) + 2 for brief in told) - 2
        self._beside = set()
        for run, brief in zip(newest, told, strict=True):
            trace = run["error"] and run["error"]["traceback"]
            if trace and (left := left - _size(trace)) >= 0:
                brief["error"] = run["error"]
            left -= _size(run["items"])
            if left >= 0:
                brief["items"] = run["items"]
            elif run["items"]:
                self._beside.add(run["id"])
        return told


def _short_of(run: dict[str, Any], *, old: bool) -> dict[str, Any]:
    """A run without what is long."""
    short = {**run, "items": []}
    if run["error"] is not None:
        short["error"] = {**run["error"], "traceback": ""}
        if old:
            short["error"]["message"] = _cut(run["error"]["message"], VALUE_LENGTH)
    if old:
        short["changed"] = {name: _cut(value, SHORT_LENGTH) for name, value in run["changed"].items()}
    return short


def _size(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def describe(prompt_id: str, result: ExecuteResult) -> dict[str, Any]:
    """A run that has ended, with all that is told of it; what can be fetched when it is looked at is left out."""
    return {
        "id": prompt_id,
        "status": outcome(result),
        "seconds": result.duration,
        "cost": format_cost(result.cost),
        "seeds": {name: str(seed) for name, seed in result.seeds.items()},
        "changed": {name: _told(value) for name, value in result.changed.items()},
        "error": _error(result),
        "items": _items(result),
        "workflow": result.workflow_name,
        "server": result.server,
    }


def outcome(result: ExecuteResult) -> str:
    """`completed`, `failed` or `cancelled`."""
    return "cancelled" if result.error is not None and result.error.stopped else result.status


def _items(result: ExecuteResult) -> list[dict[str, Any]]:
    items = [
        {
            "key": str(index),
            "kind": media.kind,
            "name": media.name[-VALUE_LENGTH:],  # the suffix stays
            "node": _cut(media.node, VALUE_LENGTH),
            "var": _cut(media.var, VALUE_LENGTH),
            "temp": media.temp,
            "mime": media.mime,
        }
        for index, media in enumerate(result.media)
    ]
    texts = [(var, text) for var, found in result.texts_by_var.items() for text in found]
    left = TEXTS_LENGTH
    for index, (var, text) in enumerate(texts):
        cut = _cut(text, min(TEXT_LENGTH, max(left, VALUE_LENGTH)))
        left -= len(cut)
        about = {"key": f"text{index}", "kind": "text", "temp": False}
        about |= dict.fromkeys(("name", "node", "var"), _cut(var, VALUE_LENGTH))
        items.append({**about, "mime": "text/plain", "text": cut})
    return items


def _error(result: ExecuteResult) -> dict[str, Any] | None:
    error = result.error
    if error is None:
        return None
    return {
        "kind": error.kind,
        "message": _cut(strip_folders(error.message or format_failure(result)), MESSAGE_LENGTH),
        "node_title": _cut(error.node_title, VALUE_LENGTH),
        "node_id": _cut(error.node_id, VALUE_LENGTH),
        "class_type": _cut(error.class_type, VALUE_LENGTH),
        "traceback": "\n".join(line.rstrip("\n") for line in error.traceback)[:TRACEBACK_LENGTH],
    }


def _told(value: Any) -> Any:
    return _cut(format_value(value) if isinstance(value, str) else to_wire(value), VALUE_LENGTH)


def _cut(value: Any, length: int) -> Any:
    return f"{value[:length]}…" if isinstance(value, str) and len(value) > length else value
