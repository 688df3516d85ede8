"""What stays in the saved notebook: outputs that can be replaced, wherever and whenever their cell has run.

A run in a cell has one output: the live view, and at its end the static result in its place. A form's cell has two: the
widget, and behind it a static list of its last runs, which the page hides while the widget beside it is alive.
"""

from __future__ import annotations

import threading
import uuid
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.render import failure, headline, pictures_of, result_html
from comfykit_jupyter.notebook.media import workers

if TYPE_CHECKING:
    from comfykit_jupyter.client.result import ExecuteResult
    from comfykit_jupyter.notebook.view import RunView

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
    """The last runs of a form as static HTML, in the form's cell."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._output = Output()
        self._runs: deque[tuple[ExecuteResult, dict[str, Any]]] = deque(maxlen=KEPT)
        self._lock = threading.Lock()

    def show(self) -> None:
        """Show it in the cell that runs."""
        self._output.show(self._bundle())

    def add(self, result: ExecuteResult, changed: dict[str, Any]) -> None:
        """A run has ended; `changed` are the values that differ from the workflow's own. Returns at once."""
        self._runs.appendleft((result, changed))
        if self._output.shown:
            workers().submit(self._refresh)

    def _refresh(self) -> None:
        with self._lock:  # the last to come shows the newest
            self._output.replace(self._bundle())

    def _bundle(self) -> dict[str, Any]:
        runs = list(self._runs)
        lines = [headline(result, changed) for result, changed in runs] or [f"{self._title}: no run yet"]
        parts = [result_html(result, changed=changed, room=1 / KEPT) for result, changed in runs]
        body = "".join(parts)
        return {"text/plain": "\n".join(lines), "text/html": f'<div class="ck-static">{body}</div>'}


def show_widget(widget: RunView, keepsake: Keepsake) -> None:
    """Show a form in the cell that runs: the widget, as long as it is open, and what stays of it."""
    from IPython.display import display

    bundle = widget._repr_mimebundle_() if widget.comm is not None else None
    if bundle is not None:
        data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
        display(data, metadata=metadata, raw=True)
    keepsake.show()


def static_bundle(result: ExecuteResult, changed: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """A run's result as it stays in its cell: text and HTML."""
    try:
        pictures = pictures_of(result)
    except KeyboardInterrupt:  # a ■ that came too late to stop the run: what there is stays all the same
        pictures = {}
    text = "\n".join(filter(None, [headline(result, changed), failure(result)]))
    return {"text/plain": text, "text/html": result_html(result, pictures, changed)}
