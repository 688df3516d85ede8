"""Summarize ended runs for the page: the trait `runs`, and the messages with what the trait has no room for.

All traits of a widget are sent, and may be saved, as a whole. So only the newest runs carry all their outputs in the
trait, up to some tens of kilobytes. The outputs of the others are sent as messages, and the longest texts are cut.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.inputs.masked import Masked
from comfykit_jupyter.client.local_files import strip_folders, strip_server_folders
from comfykit_jupyter.client.results.captions import format_cost
from comfykit_jupyter.client.results.hints import find_hint
from comfykit_jupyter.client.results.wording import format_failure, format_value, hide_address, list_loras
from comfykit_jupyter.notebook.page.values import to_wire

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

TRAIT_BYTES = 48_000
"""Bytes of the trait, at most."""
TEXT_LENGTH = 20_000
"""Characters of a text output that is sent to the page."""
ALL_TEXTS_LENGTH = 500_000
"""Characters of all text outputs of a run."""
VALUE_LENGTH = 200
"""Characters of a changed value, or of a name."""
MESSAGE_LENGTH = 2_000
"""Characters of an error's message."""
TRACEBACK_LENGTH = 8_000
"""Characters of a traceback."""
_FROM_SERVER = ("node_error", "refused")
"""The kinds of errors whose message is the server's."""
RECENT_RUNS = 20
"""Runs whose values are not cut further."""
OLD_VALUE_LENGTH = 40
"""Characters of a changed value of an older run."""

Send = Callable[[dict[str, Any]], None]


class RunSummaries:
    """The ended runs of one widget, newest first.

    Args:
        send: Sends a message to the page.
    """

    def __init__(self, send: Send) -> None:
        self._send = send
        self._runs: dict[str, dict[str, Any]] = {}
        """The complete summaries by run id, oldest first."""
        self._left_out: set[str] = set()
        """The runs whose items are not in the trait."""
        self._sent: set[str] = set()
        self._hidden: set[str] = set()
        """The discarded runs."""

    def add(self, run_id: str, result: ExecuteResult) -> list[dict[str, Any]]:
        """Add a run, and return the new value of the trait."""
        self._runs.pop(run_id, None)
        self._runs[run_id] = summarize(run_id, result)
        self._sent.discard(run_id)
        return self._build_trait()

    def remove(self, run_id: str) -> list[dict[str, Any]]:
        """Remove a run, and return the new value of the trait."""
        self._runs.pop(run_id, None)
        self._sent.discard(run_id)
        self._hidden.discard(run_id)
        return self._build_trait()

    def hide(self, run_id: str) -> list[dict[str, Any]]:
        """Hide a run and those like it until they are restored, and return the new value of the trait."""
        self._hidden.update(self._find_group(run_id))
        return self._build_trait()

    def restore(self, run_id: str) -> list[dict[str, Any]]:
        """Show a hidden run and those like it in their old place, and return the new value of the trait."""
        self._hidden.difference_update(self._find_group(run_id))
        self._sent.discard(run_id)
        return self._build_trait()

    def send_items(self) -> None:
        """Send the items that are not in the trait and were not sent before."""
        for run_id in self._runs:
            if run_id in self._left_out - self._sent:
                self._sent.add(run_id)
                self._send({"kind": "items", "run": run_id, "items": self._runs[run_id]["items"]})

    def resend_items(self) -> None:
        """Send the items again, to a page that has just loaded."""
        self._sent.clear()
        self.send_items()

    def _find_group(self, run_id: str) -> list[str]:
        """Return the ids of a run and of those that failed like it, before and after it."""
        groups = ([run["id"] for run in group] for group in _group(self._runs.values()))
        return next((ids for ids in groups if run_id in ids), [])

    def _build_trait(self) -> list[dict[str, Any]]:
        visible = [run for run in reversed(self._runs.values()) if run["id"] not in self._hidden]
        # A batch that the server refuses is one entry with a count, not a hundred times the same error.
        newest = [group[0] | {"alike": len(group)} if len(group) > 1 else group[0] for group in _group(visible)]
        summaries = [_shorten(run, old=index >= RECENT_RUNS) for index, run in enumerate(newest)]
        left = TRAIT_BYTES - sum(_count_bytes(summary) + 2 for summary in summaries) - 2
        self._left_out = set()
        for run, summary in zip(newest, summaries, strict=True):
            trace = run["error"] and run["error"]["traceback"]
            if trace and (left := left - _count_bytes(trace)) >= 0:
                summary["error"] = run["error"]
            left -= _count_bytes(run["items"])
            if left >= 0:
                summary["items"] = run["items"]
            elif run["items"]:
                self._left_out.add(run["id"])
        return summaries


def _group(runs: Iterable[dict[str, Any]]) -> list[list[dict[str, Any]]]:
    """Group the runs that failed one after another for the same reason, without outputs; others are alone."""
    groups: list[list[dict[str, Any]]] = []
    for run in runs:
        if groups and _is_alike(run, groups[-1][-1]):
            groups[-1].append(run)
        else:
            groups.append([run])
    return groups


def _is_alike(run: dict[str, Any], other: dict[str, Any]) -> bool:
    """Return whether two runs failed for the same reason, without outputs."""
    same = all(run[name] == other[name] for name in ("status", "items", "error"))
    return same and run["status"] == "failed" and not run["items"]


def _shorten(run: dict[str, Any], *, old: bool) -> dict[str, Any]:
    """Copy a summary without items and traceback; the texts of an old run are cut further."""
    short = {**run, "items": []}
    if run["error"] is not None:
        short["error"] = {**run["error"], "traceback": ""}
        if old:
            short["error"]["message"] = _cut(run["error"]["message"], VALUE_LENGTH)
    if old:
        short["changed"] = {name: _cut(value, OLD_VALUE_LENGTH) for name, value in run["changed"].items()}
    return short


def _count_bytes(value: Any) -> int:
    return len(json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"))


def summarize(run_id: str, result: ExecuteResult) -> dict[str, Any]:
    """Summarize an ended run for the page, without what the page requests when it is looked at."""
    return {
        "id": run_id,
        "status": get_final_status(result),
        "seconds": result.seconds if result.seconds is not None else result.duration,
        "waited": result.waited,
        "unchanged": is_unchanged(result),
        "cost": format_cost(result.cost),
        "seeds": {name: str(seed) for name, seed in result.seeds.items()},
        "changed": {name: _format_value(value) for name, value in {**result.changed, **list_loras(result)}.items()},
        "error": _summarize_error(result),
        "items": _list_items(result),
        "workflow": result.workflow_name,
    }


def is_unchanged(result: ExecuteResult) -> bool:
    """Return whether a run was cached as a whole, so that the server only showed its outputs again."""
    return result.status == "completed" and bool(result.prompt) and result.prompt.keys() <= set(result.cached_nodes)


def get_final_status(result: ExecuteResult) -> str:
    """Return `completed`, `failed` or `cancelled`."""
    return "cancelled" if result.error is not None and result.error.stopped else result.status


def _list_items(result: ExecuteResult) -> list[dict[str, Any]]:
    """List the outputs of a run: media first, then texts."""
    items = [
        {
            "key": str(index),
            "kind": media.kind,
            "name": media.name[-VALUE_LENGTH:],  # the end has the suffix
            "node": _cut(media.node, VALUE_LENGTH),
            "var": _cut(media.var, VALUE_LENGTH),
            "temp": media.temp,
            "mime": media.mime,
        }
        for index, media in enumerate(result.media)
    ]
    texts = [(var, text) for var, found in result.texts_by_var.items() for text in found]
    left = ALL_TEXTS_LENGTH
    for index, (var, text) in enumerate(texts):
        cut = _cut(text, min(TEXT_LENGTH, max(left, VALUE_LENGTH)))
        left -= len(cut)
        item = {"key": f"text{index}", "kind": "text", "temp": False, "mime": "text/plain", "text": cut}
        items.append(item | dict.fromkeys(("name", "node", "var"), _cut(var, VALUE_LENGTH)))
    return items


def _summarize_error(result: ExecuteResult) -> dict[str, Any] | None:
    error = result.error
    if error is None:
        return None
    message = hide_address(strip_folders(error.message or format_failure(result)), result.server)
    return {
        "kind": error.kind,
        "message": _cut(strip_server_folders(message) if error.kind in _FROM_SERVER else message, MESSAGE_LENGTH),
        "hint": find_hint(error),
        "node_title": _cut(error.node_title, VALUE_LENGTH),
        "node_id": _cut(error.node_id, VALUE_LENGTH),
        "class_type": _cut(error.class_type, VALUE_LENGTH),
        "traceback": "\n".join(line.rstrip("\n") for line in error.traceback)[:TRACEBACK_LENGTH],
    }


def _format_value(value: Any) -> Any:
    return _cut(format_value(value) if isinstance(value, (str, Masked)) else to_wire(value), VALUE_LENGTH)


def _cut(value: Any, length: int) -> Any:
    return f"{value[:length]}…" if isinstance(value, str) and len(value) > length else value
