"""`RunsExplorer`: the library of all kept runs, live: found by what is typed, by day, in stacks."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.explore.rows.row import parse_time
from comfykit_jupyter.explore.runs.query import search_rows
from comfykit_jupyter.notebook.explorer.actions import use_output
from comfykit_jupyter.notebook.explorer.details import describe_progress
from comfykit_jupyter.notebook.explorer.explorer import Explorer
from comfykit_jupyter.notebook.explorer.legend import LIBRARY_LEGEND
from comfykit_jupyter.notebook.explorer.run_lists import RunLists, build_filters, format_day
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.page_widget import Reply
from comfykit_jupyter.notebook.page.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.entries import Entries, RunEntry
    from comfykit_jupyter.explore.rows.row import Row
    from comfykit_jupyter.explore.runs.rows import Rows
    from comfykit_jupyter.explore.runs.runs import Runs

WATCH_SECONDS = 1.5
"""Seconds between two looks for runs and marks that were added elsewhere."""
WATCH_SHARE = 20
"""How many times longer than a look the pause after it is, at least."""
KEPT_SECONDS = 15.0
"""Seconds after its end in which a run counts as running until its files are kept."""
MAX_AGAIN = 50
"""Runs that one message runs again."""
MAX_TEXT = 500
"""Characters of a query."""


class RunsExplorer(Explorer):
    """The library of all runs of a folder. A point is a run; its number stays the same.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Runs) -> None:
        self.runs = runs
        self.show_form: Callable[[Row], None] | None = None
        """Shows the form of a row below the library; None where that is not possible."""
        self._ids: list[str] = []
        self._indices: dict[str, int] = {}
        self._open: set[str] = set()
        """The runs that have not ended, or whose files are not kept yet."""
        self._lost: set[str] = set()
        """The runs whose files are gone, as far as the page has shown them."""
        self._running: frozenset[str] = frozenset()
        self._seen = ((0, 0), 0)
        self._filters: tuple[tuple[tuple[int, int], int], list[dict[str, Any]]] = (((-1, -1), -1), [])
        self._lists = RunLists(runs._ledger)  # noqa: SLF001 - their own page
        super().__init__(runs._ledger, view="runs", title=runs.folder.name or "runs")  # noqa: SLF001
        self.handlers |= {
            "hello": (writer.post, self._on_first_hello),
            "find": (run_in_background, self._on_find),
            "rerun": (run_in_background, self._on_again),
            "code": (run_in_background, self._on_code),
            "use": (run_in_background, self._on_use),
            "form": (run_in_background, self._on_form),
            "sweep": (run_in_background, self._on_sweep),
        }
        self.load()

    def __repr__(self) -> str:
        return f"<RunsExplorer {self.title}: {len(self._ids):,} runs>"

    # -- what it shows -------------------------------------------------------------------------------------------------

    def get_run_id(self, index: int) -> str:
        """Return the ID of a run."""
        return self._ids[index]

    def list_states(self) -> Sequence[str]:
        """Return the states of all runs, with those that have been added."""
        entries = self._ledger.read()
        self._seen = (_count(entries), entries.sequence)
        runs = dict(entries.runs)  # another thread may add some meanwhile
        for id_ in runs:
            if id_ not in self._indices:
                self._indices[id_] = len(self._ids)
                self._ids.append(id_)
        self._running = frozenset(run.id for run in find_unfinished_runs())
        self._open = {id_ for id_, entry in runs.items() if _is_open(entry)}
        return [self.find_state(index) for index in range(len(self._ids))]

    def find_state(self, index: int) -> str:
        """Return the state of a run; whether its files are still here is checked when it is visible."""
        entry = self._ledger.read().runs.get(self._ids[index])
        if entry is None or entry.id in self._lost:
            return "lost"
        if entry.id in self._open and (entry.status != "sent" or entry.id in self._running):
            return "running"
        return entry.status

    def describe(self) -> dict[str, Any]:
        """Return what the page has of every explorer; a library has no axes."""
        return {"name": self.title, "axes": [], "base": {}, "ratio": 1, "legend": LIBRARY_LEGEND}

    def describe_header(self) -> dict[str, Any]:
        """Return the filters that there are."""
        if self._filters[0] != self._seen:
            self._filters = (self._seen, self._lists.list_filters())
        return {"filters": self._filters[1]}

    def describe_point(self, index: int) -> dict[str, Any]:
        """Return the details of a run; one whose files are gone changes its state."""
        found = super().describe_point(index)
        entry = self._ledger.read().runs.get(self._ids[index])
        if entry is None:
            return found
        if found.get("status") == "lost" and entry.id not in self._lost:
            self._lost.add(entry.id)
            self.note(index)
        if entry.error:
            found["reason"] = entry.error[:MAX_TEXT]
        at = parse_time(entry.at)
        if at is not None:
            local = at.astimezone()
            found["time"] = f"{local:%H:%M}"
            found["day"] = format_day(local.date(), datetime.now().astimezone().date())
        found["sweep"] = entry.sweep
        return found

    # -- what changes --------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """Show runs and marks that were added elsewhere. Can be called from any thread."""
        with self.lock:
            entries = self._ledger.read()
            if _count(entries) != self._seen[0]:
                self.load()
                self.update()
                return
            self._send_progress(entries)
            if self._load_marks():
                self._seen = (_count(entries), entries.sequence)
                self.update()

    def _send_progress(self, entries: Entries) -> None:
        """Send the page the runs that have ended, and how far the others are."""
        if not self._open:
            return
        running = {run.id: run for run in find_unfinished_runs() if run.id in self._open}
        for id_ in list(self._open):
            entry = entries.runs.get(id_)
            if entry is None or not _is_open(entry):
                self._open.discard(id_)
                self.note(self._indices[id_])
        if running:
            found = {str(self._indices[id_]): describe_progress(run.progress) for id_, run in running.items()}
            self.send({"kind": "progress", "points": found})

    def _watch(self) -> None:
        if self.comm is None:
            return
        began = time.monotonic()
        self.look()
        took = time.monotonic() - began  # with many runs, a new one takes a while
        writer.offer((self, "watch"), self._watch, max(WATCH_SECONDS, WATCH_SHARE * took))

    def _on_first_hello(self, content: dict[str, Any], buffers: Sequence[Any]) -> Reply:
        writer.offer((self, "watch"), self._watch, WATCH_SECONDS)
        return self._on_hello(content, buffers)

    # -- messages from the page ----------------------------------------------------------------------------------------

    def _on_find(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the runs that are found, the newest first: the days, and the stacks of each with their runs."""
        text = str(content.get("text") or "")[:MAX_TEXT]
        chosen = {str(name): str(value) for name, value in dict(content.get("filters") or {}).items() if value}
        rows: Rows = search_rows(self.runs, text, **build_filters(chosen))
        with self._ledger.hold():
            found = [row.id for row in rows if row.id in self._indices and self._passes(row, chosen.get("marks", ""))]
            stacks = self._lists.stack(found) if content.get("stacked") is True else [[id_] for id_ in found]
            days = self._lists.list_days([stack[0] for stack in stacks])
        numbers = iter([[self._indices[id_] for id_ in stack] for stack in stacks])
        return {"days": [(day, list(itertools.islice(numbers, count))) for day, count in days]}, ()

    def _passes(self, row: Row, marks: str) -> bool:
        if marks == "unjudged":
            return row.status == "completed" and not (row.rating or row.star or row.rejected)
        return marks != "note" or bool(row.note)

    def _on_again(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Run some runs again, with the same values and seeds."""
        for index in self._read_points(content, MAX_AGAIN):
            self.runs.again(self._get_row(index))
        self.look()
        return {}, ()

    def _on_code(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        (index,) = self._read_points(content, 1)
        return {"code": f"kit.runs.again({self._get_row(index).id[:8]!r}).result()"}, ()

    def _on_use(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        (index,) = self._read_points(content, 1)
        return use_output(self._get_row(index), content), ()

    def _on_form(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Open a form with the values and seeds of a run; where that is not possible, return code that does."""
        (index,) = self._read_points(content, 1)
        row = self._get_row(index)
        if self.show_form is None:
            return {"code": f"kit.form(kit.runs[{row.id[:8]!r}].workflow)"}, ()
        self.show_form(row)
        return {"form": row.workflow_name}, ()

    def _on_sweep(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Show a run in the grid of its sweep, if there is one in the page; return the ID of the sweep."""
        from comfykit_jupyter.notebook.explorer.display import find_grid

        (index,) = self._read_points(content, 1)
        row = self._get_row(index)
        grid = find_grid(row.sweep)
        if grid is not None and (place := grid.find_run(row.id)) is not None:
            grid.send({"kind": "reveal", "point": place})
            return {"used": grid.title}, ()
        return {"sweep": row.sweep}, ()

    def _get_row(self, index: int) -> Row:
        row = self.find_row(index)
        if row is None:
            raise ComfyKitError("this run was forgotten")
        return row


def _count(entries: Entries) -> tuple[int, int]:
    """Return the number of runs, and of those that were forgotten: one may be forgotten while another is added."""
    return len(entries.runs), len(entries.forgotten)


def _is_open(entry: RunEntry) -> bool:
    """Return whether a run has not ended, or its files are still being kept."""
    if entry.status == "sent":
        return True
    if entry.kept or entry.links or entry.found or not any(output.name for output in entry.outputs):
        return False
    ended = parse_time(entry.ended_at)
    return ended is not None and abs((datetime.now(timezone.utc) - ended).total_seconds()) < KEPT_SECONDS
