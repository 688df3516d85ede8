"""The runs of one widget: which of them is on the stage, which wait behind it, and what is left of those that ended.

Runs report on the background loop; everything here but `add`, `find` and `latest` happens on the writer's thread.
"""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.running.run import find_unfinished_runs
from comfykit_jupyter.notebook.widget.previews import Previews
from comfykit_jupyter.notebook.widget.run_summaries import Briefs, outcome
from comfykit_jupyter.notebook.widget.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.notebook.widget.view import RunView
    from comfykit_jupyter.workflow.progress.progress import Progress

PACE = 0.2
"""Seconds between two updates of a run's progress: as long as the page's bar takes to follow one."""
NAME_LENGTH = 200
"""Characters of a node's name, and of a note."""
KEPT = 100
"""Runs whose outputs a widget offers; the oldest make room."""


_known: deque[str] = deque(maxlen=10_000)


def is_known(prompt_id: str) -> bool:
    """Whether a form or cell of this kernel has shown the run that a server calls so."""
    return prompt_id in _known or any(run.prompt_id == prompt_id for run in find_unfinished_runs())


class Stage:
    """What the traits `status`, `progress`, `waiting`, `runs` and `result` of a view are made of."""

    def __init__(self, view: RunView) -> None:
        self.results: dict[str, ExecuteResult] = {}
        """By the run's id, oldest first."""
        self.latest: ExecuteResult | None = None
        """That of the run that ended last."""
        self._briefs = Briefs(view.send)
        self._view = view
        self._runs: list[Run] = []
        self._progress: dict[str, Progress] = {}
        self._previews: dict[str, Previews] = {}

    def add(self, run: Run) -> None:
        """Show a run from now to its end. From any thread."""
        _known.append(run.id)
        key = (id(self), run.id)
        previews = Previews(self._view.send)

        def ended(result: ExecuteResult) -> None:
            previews.end()
            self.latest = result
            writer.settle(key)
            writer.post(partial(self._end, run, result))

        writer.post(partial(self._begin, run, previews))
        run.subscribe(
            progress=lambda progress: writer.offer(key, partial(self._advance, progress), PACE),
            preview=previews.offer,
            done=ended,
        )

    def find(self, prompt_id: str | None) -> Run | None:
        """The run of this id that has not ended; without an id the one on the stage."""
        runs = list(self._runs)
        if prompt_id is None:
            return self._on_stage(runs)
        return next((run for run in runs if run.id == prompt_id), None)

    def unfinished(self) -> list[Run]:
        """The runs that have not ended, in the order they were added."""
        return list(self._runs)

    def greet(self) -> None:
        """A view has mounted: it gets the newest preview of the run on the stage, and what no trait has room for."""
        self._briefs.again()
        run = self._on_stage(self._runs)
        if run is not None:
            self._previews[run.id].again()

    def painted(self, prompt_id: str, sequence: int) -> None:
        """The page has painted a preview."""
        if prompt_id in self._previews:
            self._previews[prompt_id].painted(sequence)

    def remove(self, prompt_id: str) -> None:
        """Take a run's outputs away."""
        if self.results.pop(prompt_id, None) is not None:
            self._view.runs = self._briefs.without(prompt_id)

    def clear(self) -> None:
        """Forget everything that has ended."""
        self.results.clear()
        self._briefs = Briefs(self._view.send)
        with self._view.written():
            self._view.runs, self._view.progress, self._view.status = [], {}, "idle"

    def _begin(self, run: Run, previews: Previews) -> None:
        self._runs.append(run)
        self._previews[run.id] = previews
        with self._view.written():
            self._show()

    def _advance(self, progress: Progress) -> None:
        self._progress[progress.prompt_id] = progress
        if progress.status in ("queued", "running"):  # an end is shown together with its result
            with self._view.written():
                self._show()

    def _end(self, run: Run, result: ExecuteResult) -> None:
        _known.append(run.prompt_id)
        last = self._progress.pop(run.id, None)
        self._runs = [other for other in self._runs if other is not run]
        self._previews.pop(run.id, None)
        self.results[run.id] = result
        for oldest in list(self.results)[:-KEPT]:
            self._briefs.without(oldest)
            del self.results[oldest]
        with self._view.written():
            self._view.result = result
            self._view.runs = self._briefs.with_(run.id, result)
            if self._runs:
                self._show()
            else:
                self._view.waiting = []
                self._view.status = outcome(result)
                self._view.progress = {} if last is None else _progress(last)
        self._briefs.send()
        self._view.ended(run, result)

    def _on_stage(self, runs: list[Run]) -> Run | None:
        """The first that runs; while none does, the first that waits."""
        started = (run for run in runs if (seen := self._progress.get(run.id)) and seen.status != "queued")
        return next(started, runs[0] if runs else None)

    def _show(self) -> None:
        run = self._on_stage(self._runs)
        if run is None:
            return
        progress = self._progress.get(run.id)
        self._view.status = "queued" if progress is None else progress.status
        self._view.progress = {"prompt_id": run.id, "status": "queued"} if progress is None else _progress(progress)
        waiting = []
        for other in self._runs:
            if other is not run:
                seen = self._progress.get(other.id)
                waiting.append({"id": other.id, "position": seen.queue_position if seen else None})
        self._view.waiting = waiting


def _progress(progress: Progress) -> dict[str, Any]:
    names = (
        "prompt_id status node_id node_title step steps nodes_done nodes_total nodes_cached queue_position "
        "elapsed remaining fraction note"
    )
    told = {name: getattr(progress, name) for name in names.split()}
    for name in ("node_id", "node_title", "note"):  # as the server has them
        told[name] = told[name] and told[name][:NAME_LENGTH]
    told["note"] = told["note"][:1].upper() + told["note"][1:]  # it stands by itself
    return {**told, "text": str(progress)}
