"""Describe runs for the page, when it shows them: outputs, values, error, time, server and marks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.wording import find_host, format_value
from comfykit_jupyter.notebook.widget.stage.run_summaries import VALUE_LENGTH, summarize

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.explore.rows.row import Row
    from comfykit_jupyter.workflow.progress.progress import Progress

TEXT_LENGTH = 2_000
"""Characters of a text that a cell gets; the lightbox shows no more of it."""
ERROR_LENGTH = 300
"""Characters of the first line of an error."""


def describe_row(row: Row, ledger: Ledger) -> dict[str, Any]:
    """Return what the page shows of a run; {} if it was forgotten."""
    try:
        result = row.result  # made for each call, so that it may be changed
        result.changed = {**result.params, **result.changed}
        summary = summarize(row.id, result)
    except ComfyKitError:
        return {}
    marks = ledger.get_marks(row.id)
    for item in summary["items"]:
        if "text" in item:
            item["text"] = item["text"][:TEXT_LENGTH]
    return {
        **summary,
        "status": row.status,
        "server": _shorten_address(row.server),
        "at": row.at.isoformat() if row.at is not None else "",
        "note": str(marks.values.get("note") or ""),
        "tags": sorted(marks.tags),
        "score": marks.values.get("score"),
        "rating": marks.values.get("rating") or 0,
        "star": bool(marks.values.get("star")),
        "rejected": bool(marks.values.get("rejected")),
    }


def _shorten_address(url: str) -> str:
    """Return the host and port of a server, without a name and a password."""
    return (find_host(url).rpartition("@")[2] or url)[:VALUE_LENGTH]


def shorten_error(message: str) -> str:
    """Return the first line of an error."""
    return next(iter(message.strip().splitlines()), "")[:ERROR_LENGTH]


def describe_progress(progress: Progress) -> dict[str, Any]:
    """Return how far a running point is."""
    return {
        "queued": progress.status == "queued",
        "fraction": round(progress.fraction, 3),
        "step": progress.step,
        "steps": progress.steps,
        "node": (progress.node_title or "")[:VALUE_LENGTH],
        "text": str(progress)[:VALUE_LENGTH],
    }


def describe_value(value: Any) -> str:
    """Return a value as the page shows it in a label."""
    return format_value(value)[:VALUE_LENGTH]
