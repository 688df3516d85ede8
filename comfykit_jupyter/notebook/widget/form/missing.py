"""Show in a form what the server lacks for its workflow, before a run, and download models on request."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from time import monotonic
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import traitlets

from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.loop import BackgroundTask
from comfykit_jupyter.client.missing.download import SUFFIXES, DownloadState
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.page_widget import Reply
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.widget.form.form import FormView

if TYPE_CHECKING:
    from concurrent.futures import Future
    from pathlib import Path

    from comfykit_jupyter.client.missing.item import Missing
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.widget.form.parameters import FormParameters

logger = logging.getLogger(__name__)

PACE = 0.3
"""Seconds between two messages about the progress of a download."""


class MissingView(FormView):
    """A form with a list of what is missing. Until nothing is, Run is rejected.

    Attributes:
        missing: What is missing, as `Missing` has it, with the `host` of its address, whether it can be downloaded
            (`downloadable`), and how far its `download` is, or None.
    """

    missing: Any = traitlets.List().tag(sync=True)

    def __init__(self, kit: ComfyKit, parameters: FormParameters, values: Mapping[str, Any], **traits: Any) -> None:
        self._found: dict[tuple[str, str], Missing] = {}
        self._downloads: dict[str, tuple[BackgroundTask[Path], DownloadState]] = {}
        self._notified: dict[str, float] = {}
        self._marked: set[str] = set()
        """The fields whose error says that their file is missing."""
        super().__init__(kit, parameters, values, **traits)
        self.handlers |= {
            "look": (run_in_background, self._on_look),
            "download": (run_in_background, self._on_download),
            "stop_download": (run_in_background, self._on_stop_download),
        }

    def look_for_missing(self) -> None:
        """Ask the server what it lacks, and show it. Takes as long as the server does: not for the writer."""
        found = self._parameters.find_missing(self._find_changed_values())
        writer.post(lambda: self._show_missing(found))

    def refuse_if_missing(self) -> None:
        """Raise an error if something is missing for the values of the form.

        Raises:
            ComfyKitError: It says how many files and nodes are missing.
        """
        left = [each for each in self._found.values() if self._is_needed(each)]
        if left:
            run_in_background(self.look_for_missing)  # it may have been installed since
            what = left[0].name if len(left) == 1 else _count(left)
            verb = "is" if len(left) == 1 else "are"
            raise ComfyKitError(
                f"{what} {verb} missing on {self._address.get('address', 'the server')}: see the list above the form"
            )

    def close(self) -> None:
        """Remove the form from the page; its downloads continue."""
        self._found = {}
        super().close()

    def _is_needed(self, missing: Missing) -> bool:
        """Return whether the form still has the value that is missing."""
        if missing.kind == "node":
            return True
        field = self._parameters.find_field(missing.parameter)
        value = self._get_values().get(missing.parameter, None if field is None else field.default)
        return value is None or value == missing.name

    def _show_missing(self, found: Sequence[Missing]) -> None:
        self._found = {(each.name, each.parameter): each for each in found}
        marks = {
            each.parameter: "not on the server" if each.name else "no file is chosen"
            for each in found
            if each.parameter in self._parameters.fields and each.parameter not in self._rejected
        }
        with self.lock, self.hold_sync():
            self._clear_errors([name for name in self._marked - marks.keys() if name not in self._rejected])
            self._marked = set(marks)
            if marks:
                self._show_errors(marks)
            self._update_missing()

    def _update_missing(self) -> None:
        self.missing = [self._build_item(each) for each in self._found.values()]

    def _build_item(self, missing: Missing) -> dict[str, Any]:
        _, state = self._downloads.get(missing.name, (None, None))
        can = missing.kind == "model" and missing.folder and missing.name.lower().endswith(SUFFIXES)
        return {
            **asdict(missing),
            "host": urlsplit(missing.url).hostname or "",
            "downloadable": bool(can and missing.url and "/" not in missing.name),
            "download": None if state is None else asdict(state),
        }

    # -- messages of the page ------------------------------------------------------------------------------------------

    def _on_look(self, _content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Look again, after something was installed."""
        server = self._parameters.renew()
        writer.post(lambda: self.show_server(server, found=self._parameters.is_complete))  # which looks again
        return {}, ()

    def show_server(self, server: Any, *, found: bool) -> None:
        """Show the state of the server; `found`: it has defined the fields again."""
        raise NotImplementedError

    def _on_download(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Download a model. The user has agreed to its address."""
        name = str(content["name"])
        missing = next((each for each in self._found.values() if each.kind == "model" and each.name == name), None)
        if missing is None or str(content["url"]) != missing.url:
            raise ComfyKitError("this model is no longer missing: look again")
        with self.lock:  # two clicks are handled at once, and a download may end before `start` returns
            task, _ = self._downloads.get(name, (None, None))
            if task is not None and not task.outcome.done():
                return {}, ()
            task = BackgroundTask(
                lambda: self._kit.install_model(missing, lambda state: self._follow_download(name, state))
            )
            self._downloads[name] = (task, DownloadState())
            task.start()
        writer.post(self._update_missing)
        task.outcome.add_done_callback(lambda outcome: self._end_download(name, outcome))
        return {}, ()

    def _on_stop_download(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        task, _ = self._downloads.get(str(content["name"]), (None, None))
        if task is not None:
            task.cancel()
        return {}, ()

    def _follow_download(self, name: str, state: DownloadState) -> None:
        """Show a state, the last of each kind at once, the others at a pace that the page can follow."""
        task, last = self._downloads.get(name, (None, None))
        if task is None or last is None:
            return
        self._downloads[name] = (task, state)
        now = monotonic()
        if state.status != last.status or state.host != last.host or now - self._notified.get(name, 0.0) >= PACE:
            self._notified[name] = now
            writer.post(self._update_missing)

    def _end_download(self, name: str, outcome: Future[Path]) -> None:
        task, state = self._downloads[name]
        error = None if outcome.cancelled() else outcome.exception()
        if error is not None and state.status != "failed":
            if not isinstance(error, ComfyKitError):
                logger.error("a download failed because of an internal error", exc_info=error)
            message = self._to_saved(str(error) or type(error).__name__)
            self._downloads[name] = (task, DownloadState("failed", state.received, state.total, message=message))
        writer.post(self._update_missing)
        if error is None and not outcome.cancelled():
            run_in_background(lambda: self._on_look({}, ()))


def _count(missing: Sequence[Missing]) -> str:
    """Count files and nodes: "2 files and 1 node"."""
    nodes = sum(each.kind == "node" for each in missing)
    counts = ((len(missing) - nodes, "file"), (nodes, "node"))
    return " and ".join(f"{count} {noun}{'s' * (count > 1)}" for count, noun in counts if count)
