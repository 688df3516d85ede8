"""What stays in the saved notebook: outputs that can be replaced, wherever and whenever their cell has run.

A run in a cell has one output: the live view, and at its end the static result in its place. A form's cell has two: the
widget, and behind it a static list of its last runs, which the page hides while the widget beside it is alive.
"""

from __future__ import annotations

import html
import threading
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.results.render import build_result_bundle
from comfykit_jupyter.client.results.wording import format_result
from comfykit_jupyter.notebook.widget.media import work

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.notebook.widget.view import RunView

KEPT = 3
"""Runs of a form that its cell keeps; they share the room of one."""


class Output:
    """One output of a cell. It can be shown in several cells, and replaced in all of them."""

    def __init__(self) -> None:
        self.display_id = uuid.uuid4().hex
        self.shown = False

    def show(self, content: object) -> None:
        """Show an object, or a mime bundle, in the cell that runs."""
        from IPython.display import display

        self.shown = True
        display(content, raw=isinstance(content, dict), display_id=self.display_id)

    def replace(self, bundle: Mapping[str, Any]) -> None:
        """Put a mime bundle in its place. From any thread."""
        from IPython.display import update_display

        if self.shown:
            update_display(dict(bundle), raw=True, display_id=self.display_id)


class Keepsake:
    """The last runs of a form as static output, in the form's cell."""

    def __init__(self, about: Callable[[], str]) -> None:
        self._about = about
        self._output = Output()
        self._runs: deque[ExecuteResult] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def show(self) -> None:
        """Show it in the cell that runs."""
        self._output.show(self._bundle())

    def add(self, result: ExecuteResult) -> None:
        """A run has ended. Returns at once."""
        self._runs.appendleft(result)
        if self._output.shown:
            work(self._refresh)

    def _refresh(self) -> None:
        with self._lock:  # the last to come shows the newest
            self._output.replace(self._bundle())

    def _bundle(self) -> dict[str, Any]:
        runs = [build_result_bundle(result, 1 / KEPT) for result in list(self._runs)]
        if not runs:
            about = self._about()
            runs = [{"text/plain": about, "text/html": f"<p>{html.escape(about)}</p>"}]
        parts = "".join(run["text/html"] for run in runs)
        text = "\n".join(run["text/plain"] for run in runs)
        return {**runs[0], "text/plain": text, "text/html": f'<div class="ck-static">{parts}</div>'}


def show_widget(widget: RunView, keepsake: Keepsake) -> None:
    """Show a form in the cell that runs: the widget, as long as it is open, and what stays of it."""
    from IPython.display import display

    bundle = widget._repr_mimebundle_() if widget.comm is not None else None
    if bundle is not None:
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=metadata, raw=True)
    keepsake.show()


def static_bundle(result: ExecuteResult) -> dict[str, Any]:
    """A run's result as it stays in its cell."""
    try:
        return build_result_bundle(result)
    except KeyboardInterrupt:  # a ■ that came too late to stop the run: what there is stays all the same
        text = format_result(result)
        return {"text/plain": text, "text/html": f"<p>{html.escape(text)}</p>"}
