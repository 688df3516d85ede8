"""`NotebookLine`: the live line of a sweep in a cell. When the sweep ends, it becomes the grid that stays."""

from __future__ import annotations

import html
from typing import TYPE_CHECKING, Any

from IPython.display import display

from comfykit_jupyter.notebook.explorer.display import is_shown

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.line import SweepStatus


class NotebookLine:
    """A line with a bar in the output of a cell."""

    def __init__(self, sweep: SweepStatus) -> None:
        self._sweep = sweep
        self._last = ""
        self._handle: Any = display(self._build(), raw=True, display_id=True)

    def _build(self) -> dict[str, str]:
        ended, count = self._sweep.count_ended()
        text = f"{self._sweep.name}: {self._sweep.summary}"
        bar = f'<progress max="{count}" value="{ended}"></progress>'
        return {"text/plain": text, "text/html": f"<p>{bar} {html.escape(text)}</p>"}

    def update(self) -> None:
        """Show how far it is, if that has changed."""
        bundle = self._build()
        if bundle["text/plain"] != self._last:
            self._last = bundle["text/plain"]
            self._handle.update(bundle, raw=True)

    def close(self) -> None:
        """Replace the line by the grid."""
        self._handle.update(self._sweep._repr_mimebundle_(), raw=True)


def open_notebook_line(sweep: SweepStatus) -> NotebookLine | None:
    """Return the line of a sweep that a cell waits for; None if a cell shows its live grid."""
    return None if is_shown(sweep) else NotebookLine(sweep)
