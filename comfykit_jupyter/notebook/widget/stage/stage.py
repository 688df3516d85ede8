"""Keep track of the runs of one widget: which one is on the stage, which ones wait, and which ones have ended.

Runs report on the background loop. Everything here except `add`, `find` and `latest` happens on the writer's thread.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.results.wording import hide_address
from comfykit_jupyter.client.running.cancel import cancel_runs, stop_waiting
from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.widget.stage.batch import LABEL_LENGTH, Batch, Waiting
from comfykit_jupyter.notebook.widget.stage.previews import Previews
from comfykit_jupyter.notebook.widget.stage.run_summaries import RunSummaries, get_final_status, is_unchanged

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.workflow.progress.progress import Progress

logger = logging.getLogger(__name__)

PROGRESS_SECONDS = 0.2
"""Time between two updates of a run's progress: as long as the page's bar takes to follow one."""
NAME_LENGTH = 200
"""Characters of a node's name, and of a note."""
MAX_PAGES = 8
"""Pages whose sight is known; the oldest have gone."""
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
    batch: Any
    runs: Any
    result: Any

    def send(self, content: Any, buffers: Sequence[Any] | None = None) -> None:
        """Send a message to the page."""

    def hold_changes(self) -> AbstractContextManager[None]:
        """Send the traits that change inside as one message."""

    def handle_unsent(self, run: Run) -> bool:
        """Show why an ended run was not sent, and return True; return False if it may have been sent."""

    def on_run_ended(self, result: ExecuteResult) -> None:
        """Handle the end of a run, after the traits have changed."""


class Stage:
    """The runs behind the traits `status`, `progress`, `waiting`, `batch`, `runs` and `result` of a view.

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
        self._batch = Batch()
        self._runs: list[Run] = []
        self._coming: dict[str, Run] = {}
        """The runs that were added and that the writer has not come to yet, by ID."""
        self._progress: dict[str, Progress] = {}
        self._previews: dict[str, Previews] = {}
        self._sight: dict[str, bool] = {}
        """Whether a page shows the stage, by the id of the page."""

    def add(self, run: Run, label: str = "", submit: Callable[[], object] | None = None) -> None:
        """Show a run until it ends. Can be called from any thread.

        Args:
            run: The run.
            label: What it will do, in a few words.
            submit: Submits it once more, after a pause; None if that can't be done.
        """
        _known_ids.append(run.id)
        self._coming[run.id] = run
        key = (id(self), run.id)
        previews = Previews(self._view.send, in_sight=self._is_in_sight)

        def finish(result: ExecuteResult) -> None:
            previews.end()
            self.latest = result
            writer.settle(key)
            writer.post(partial(self._end, run, result))

        waiting = Waiting(run.id, label[:LABEL_LENGTH], submit)
        writer.post(partial(self._begin, run, previews, waiting))
        run.subscribe(
            progress=lambda progress: writer.offer(key, partial(self._advance, progress), PROGRESS_SECONDS),
            preview=previews.offer,
            done=finish,
        )

    def find(self, prompt_id: str | None) -> Run | None:
        """Return the unfinished run with this ID, its own or the server's; without an ID, the one on the stage."""
        coming = list(self._coming.values())  # first: the writer moves runs from here to the others
        runs = [*self._runs, *coming]
        if prompt_id is None:
            return self._select(runs)
        return next((run for run in runs if prompt_id in (run.id, run.prompt_id)), None)

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

    def cancel(self, run_id: str | None, *, everything: bool = False) -> None:
        """Cancel a run, or with `everything` all of them, at once. Runs on a server share the requests.

        Args:
            run_id: The id of a run; None means the one on the stage.
            everything: Whether all runs are cancelled, also the paused ones.
        """
        if everything:
            self._batch.drop_all()
            runs = self.unfinished_runs
        elif run_id is not None and self._batch.drop(run_id):
            runs = []
        else:
            run = self.find(run_id)
            runs = [] if run is None else [run]
        silent = [run for run in runs if run.progress.gives_up_in is not None]
        if silent:
            stop_waiting(silent)
        _cancel_in_background([run for run in runs if run not in silent])
        self._refresh()

    def pause(self) -> None:
        """Take all waiting runs off the queues, except the one on the stage, and keep them until `resume`.

        With several servers, or in a cloud, others may be running: they end.
        """
        staged = self._select(self._runs)
        held = self._batch.pause([run.id for run in self._runs if run is not staged and run.status == "queued"])
        _cancel_in_background([run for run in self._runs if run.id in held])
        self._refresh()

    def resume(self) -> None:
        """Submit the paused runs again, in their order."""
        for waiting in self._batch.take_paused():
            if waiting.submit is not None:
                waiting.submit()
        self._refresh()

    def set_sight(self, page: str, visible: bool) -> None:
        """Note whether a page shows the stage: previews of others can wait."""
        self._sight.pop(page, None)
        self._sight[page] = visible
        for oldest in list(self._sight)[:-MAX_PAGES]:
            del self._sight[oldest]
        for previews in self._previews.values():
            previews.set_sight(self._is_in_sight)

    @property
    def _is_in_sight(self) -> bool:
        """Whether a page shows the stage, or none has said that it does not."""
        return any(self._sight.values()) or not self._sight

    def discard(self, run_id: str) -> None:
        """Remove an ended run from the page, with its outputs; `restore` brings it back."""
        self._view.runs = self._summaries.hide(run_id)

    def restore(self, run_id: str) -> None:
        """Show a discarded run again, in its old place."""
        self._view.runs = self._summaries.restore(run_id)
        self._summaries.send_items()

    def clear(self) -> None:
        """Remove all ended runs."""
        self.results.clear()
        self._summaries = RunSummaries(self._view.send)
        with self._view.hold_changes():
            self._view.runs, self._view.progress, self._view.status = [], {}, "idle"

    def _begin(self, run: Run, previews: Previews, waiting: Waiting) -> None:
        self._runs.append(run)
        self._coming.pop(run.id, None)
        self._batch.add(waiting)
        self._previews[run.id] = previews
        with self._view.hold_changes():
            self._update_view()

    def _advance(self, progress: Progress) -> None:
        before = self._progress.get(progress.prompt_id)
        self._progress[progress.prompt_id] = progress
        if progress.status not in ("queued", "running"):
            return  # the end is shown together with the result
        staged = self._select(self._runs)
        # Of a run that waits nothing is shown but that it waits: a hundred of them move up whenever one ends.
        if before is None or before.status != progress.status or staged is None or staged.id == progress.prompt_id:
            self._refresh()

    def _end(self, run: Run, result: ExecuteResult) -> None:
        _known_ids.append(run.prompt_id)
        last = self._progress.pop(run.id, None)
        self._runs = [other for other in self._runs if other is not run]
        self._previews.pop(run.id, None)
        status = get_final_status(result)
        if self._batch.end(run.id, cancelled=status == "cancelled", seconds=result.seconds):
            with self._view.hold_changes():  # it is paused, so that nothing has ended
                self._update_view()
                if not self._runs:
                    self._show_newest()
            return
        unsent = self._view.handle_unsent(run)
        twin = None if unsent else find_twin(result, self.results)
        is_new = not unsent and twin is None
        if is_new:
            self._keep(run.id, result)
        progress = {} if last is None or unsent else _build_progress(last, run.server)
        if twin is not None:
            progress |= {"prompt_id": twin, "unchanged": True}
        with self._view.hold_changes():
            self._view.result = result
            if is_new:
                self._view.runs = self._summaries.add(run.id, result)
            self._update_view()
            if not self._runs:
                self._view.status = "idle" if unsent else status
                self._view.progress = progress
        self._summaries.send_items()
        if is_new:
            self._view.on_run_ended(result)

    def _show_newest(self) -> None:
        """Put the newest ended run on the stage: all others are paused."""
        run_id = next(reversed(self.results), None)
        self._view.status = "idle" if run_id is None else get_final_status(self.results[run_id])
        self._view.progress = {} if run_id is None else {"prompt_id": run_id, "status": self._view.status}

    def _keep(self, run_id: str, result: ExecuteResult) -> None:
        """Keep a result, and drop the oldest if there are too many."""
        self.results[run_id] = result
        for oldest in list(self.results)[:-MAX_RUNS]:
            self._summaries.remove(oldest)
            del self.results[oldest]

    def _select(self, runs: list[Run]) -> Run | None:
        """Return the run that belongs on the stage: the first that has started, else the first in the queue."""
        started = (run for run in runs if (seen := self._progress.get(run.id)) and seen.status != "queued")
        return next(started, runs[0] if runs else None)

    def _update_view(self) -> None:
        """Set the traits about unfinished runs."""
        run = self._select(self._runs)
        self._view.batch = self._batch.build_trait()
        self._view.waiting = self._list_waiting(run)
        if run is None:
            return
        progress = self._progress.get(run.id)
        self._view.status = "queued" if progress is None else progress.status
        if progress is None:
            self._view.progress = {"prompt_id": run.id, "status": "queued"}
        else:
            self._view.progress = _build_progress(progress, run.server)

    def _refresh(self) -> None:
        with self._view.hold_changes():
            self._update_view()

    def _list_waiting(self, staged: Run | None) -> list[dict[str, Any]]:
        """List the runs that wait behind the one on the stage, and the paused ones."""
        queued = [(run.id, self._batch.describe(run.id)) for run in self._runs if run is not staged]
        return [
            *({"id": id_, "label": label, "paused": False} for id_, label in queued),
            *({"id": run.id, "label": run.label, "paused": True} for run in self._batch.paused),
        ]


def find_twin(result: ExecuteResult, earlier: Mapping[str, ExecuteResult]) -> str | None:
    """Return the id of the earlier run whose outputs a run shows again, because the server had all of them cached."""
    if not is_unchanged(result):
        return None
    return next((id_ for id_, other in reversed(list(earlier.items())) if _has_same_outputs(result, other)), None)


def _has_same_outputs(result: ExecuteResult, other: ExecuteResult) -> bool:
    return result.media == other.media and result.texts_by_var == other.texts_by_var and other.status == "completed"


def _cancel_in_background(runs: Sequence[Run]) -> None:
    def cancel() -> None:
        try:
            cancel_runs(runs)
        except ComfyKitError as error:
            logger.warning("could not cancel: %s", error)

    if runs:
        run_in_background(cancel)


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
    "gives_up_in",
)


def _build_progress(progress: Progress, server: str) -> dict[str, Any]:
    """Return the trait `progress`, without the server's address; names from the server are cut."""
    progress = replace(progress, note=hide_address(progress.note, server))
    values = {name: getattr(progress, name) for name in _PROGRESS_NAMES}
    for name in ("node_id", "node_title", "note"):
        values[name] = values[name] and values[name][:NAME_LENGTH]
    values["note"] = values["note"][:1].upper() + values["note"][1:]  # the page shows it as a sentence
    return {**values, "text": str(progress)}
