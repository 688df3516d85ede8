"""Keep track of the runs of one widget: which one is on the stage, which ones wait, and which ones have ended.

Runs report on the background loop. Everything here except `add`, `find` and `latest` happens on the writer's thread.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.notebook.widget.previews import Previews
from comfykit_jupyter.notebook.widget.run_summaries import RunSummaries, get_final_status
from comfykit_jupyter.notebook.widget.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.workflow.progress.progress import Progress

PROGRESS_SECONDS = 0.2
"""Time between two updates of a run's progress: as long as the page's bar takes to follow one."""
NAME_LENGTH = 200
"""Characters of a node's name, and of a note."""
MAX_RUNS = 100
"""Ended runs whose outputs a widget offers; the oldest are dropped."""
MAX_KNOWN_IDS = 10_000
"""Ids of shown runs that a kernel remembers."""

_known_ids: deque[str] = deque(maxlen=MAX_KNOWN_IDS)


def is_known(prompt_id: str) -> bool:
    """Return whether a form or cell of this kernel has shown the run with this prompt ID."""
    return prompt_id in _known_ids or any(run.prompt_id == prompt_id for run in find_unfinished_runs())


class StageView(Protocol):
    """The widget of a stage: the traits that the stage sets, and what it calls."""

    status: Any
    progress: Any
    waiting: Any
    runs: Any
    result: Any

    def send(self, content: Any, buffers: Sequence[Any] | None = None) -> None:
        """Send a message to the page."""

    def hold_changes(self) -> AbstractContextManager[None]:
        """Send the traits that change inside as one message."""

    def on_run_ended(self, run: Run, result: ExecuteResult) -> None:
        """Handle the end of a run, after the traits have changed."""


class Stage:
    """The runs behind the traits `status`, `progress`, `waiting`, `runs` and `result` of a view.

    Args:
        view: The widget.

    Attributes:
        results: The results of ended runs by run id, oldest first.
        latest: The result of the run that ended last.
    """

    def __init__(self, view: StageView) -> None:
        self.results: dict[str, ExecuteResult] = {}
        self.latest: ExecuteResult | None = None
        self._summaries = RunSummaries(view.send)
        self._view = view
        self._runs: list[Run] = []
        self._progress: dict[str, Progress] = {}
        self._previews: dict[str, Previews] = {}

    def add(self, run: Run) -> None:
        """Show a run until it ends. Can be called from any thread."""
        _known_ids.append(run.id)
        key = (id(self), run.id)
        previews = Previews(self._view.send)

        def finish(result: ExecuteResult) -> None:
            previews.end()
            self.latest = result
            writer.settle(key)
            writer.post(partial(self._end, run, result))

        writer.post(partial(self._begin, run, previews))
        run.subscribe(
            progress=lambda progress: writer.offer(key, partial(self._advance, progress), PROGRESS_SECONDS),
            preview=previews.offer,
            done=finish,
        )

    def find(self, prompt_id: str | None) -> Run | None:
        """Return the unfinished run with this id, or the one on the stage if no id is given."""
        runs = list(self._runs)
        if prompt_id is None:
            return self._select(runs)
        return next((run for run in runs if run.id == prompt_id), None)

    @property
    def unfinished_runs(self) -> list[Run]:
        """The runs that have not ended, in the order they were added."""
        return list(self._runs)

    def resend(self) -> None:
        """Send a page that has just loaded what is not in the traits: outputs, and the newest preview."""
        self._summaries.resend_items()
        run = self._select(self._runs)
        if run is not None:
            self._previews[run.id].send_newest()

    def acknowledge(self, prompt_id: str, sequence: int) -> None:
        """Note that the page has painted a preview."""
        if prompt_id in self._previews:
            self._previews[prompt_id].acknowledge(sequence)

    def remove(self, prompt_id: str) -> None:
        """Remove an ended run with its outputs."""
        if self.results.pop(prompt_id, None) is not None:
            self._view.runs = self._summaries.remove(prompt_id)

    def clear(self) -> None:
        """Remove all ended runs."""
        self.results.clear()
        self._summaries = RunSummaries(self._view.send)
        with self._view.hold_changes():
            self._view.runs, self._view.progress, self._view.status = [], {}, "idle"

    def _begin(self, run: Run, previews: Previews) -> None:
        self._runs.append(run)
        self._previews[run.id] = previews
        with self._view.hold_changes():
            self._update_view()

    def _advance(self, progress: Progress) -> None:
        self._progress[progress.prompt_id] = progress
        if progress.status in ("queued", "running"):  # the end is shown together with the result
            with self._view.hold_changes():
                self._update_view()

    def _end(self, run: Run, result: ExecuteResult) -> None:
        _known_ids.append(run.prompt_id)
        last = self._progress.pop(run.id, None)
        self._runs = [other for other in self._runs if other is not run]
        self._previews.pop(run.id, None)
        self.results[run.id] = result
        for oldest in list(self.results)[:-MAX_RUNS]:
            self._summaries.remove(oldest)
            del self.results[oldest]
        with self._view.hold_changes():
            self._view.result = result
            self._view.runs = self._summaries.add(run.id, result)
            if self._runs:
                self._update_view()
            else:
                self._view.waiting = []
                self._view.status = get_final_status(result)
                self._view.progress = {} if last is None else _progress_to_json(last)
        self._summaries.send_items()
        self._view.on_run_ended(run, result)

    def _select(self, runs: list[Run]) -> Run | None:
        """Return the run that belongs on the stage: the first that has started, else the first in the queue."""
        started = (run for run in runs if (seen := self._progress.get(run.id)) and seen.status != "queued")
        return next(started, runs[0] if runs else None)

    def _update_view(self) -> None:
        """Set the traits about unfinished runs."""
        run = self._select(self._runs)
        if run is None:
            return
        progress = self._progress.get(run.id)
        self._view.status = "queued" if progress is None else progress.status
        if progress is None:
            self._view.progress = {"prompt_id": run.id, "status": "queued"}
        else:
            self._view.progress = _progress_to_json(progress)
        waiting = []
        for other in self._runs:
            if other is not run:
                seen = self._progress.get(other.id)
                waiting.append({"id": other.id, "position": seen.queue_position if seen else None})
        self._view.waiting = waiting


_PROGRESS_NAMES = (
    "prompt_id",
    "status",
    "node_id",
    "node_title",
    "step",
    "steps",
    "nodes_done",
    "nodes_total",
    "nodes_cached",
    "queue_position",
    "elapsed",
    "remaining",
    "fraction",
    "note",
)


def _progress_to_json(progress: Progress) -> dict[str, Any]:
    """Return the trait `progress`; names from the server are cut."""
    values = {name: getattr(progress, name) for name in _PROGRESS_NAMES}
    for name in ("node_id", "node_title", "note"):
        values[name] = values[name] and values[name][:NAME_LENGTH]
    values["note"] = values["note"][:1].upper() + values["note"][1:]  # the page shows it as a sentence
    return {**values, "text": str(progress)}
