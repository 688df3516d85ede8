"""Show a sweep in a cell: its live grid, and below it the static grid that stays, which the page hides meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from comfykit_jupyter.explore.sweeps.sweep import OTHER, RELOADED
from comfykit_jupyter.notebook.cell_id import is_cell_in_page
from comfykit_jupyter.notebook.page.display import REFRESH_TIMEOUT, CellOutput, settle_after_cells
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.notebook.explorer.sweep_explorer import SweepExplorer

STATIC_TIMEOUT = 10.0
"""Seconds that the end of a cell waits for the static grid."""
MARKS_SECONDS = 2.0
"""Seconds between two refreshes of the static grid while marks are set."""


def show_sweep(sweep: Sweep) -> None:
    """Display a sweep in the running cell; without a notebook, print it."""
    from IPython import get_ipython

    shell = get_ipython()
    if getattr(shell, "kernel", None) is None:
        print(sweep._repr_mimebundle_()["text/plain"])
        return
    get_sweep_output(sweep).show()


class SweepOutput:
    """What a sweep shows in cells. All cells that show it share one widget.

    Args:
        sweep: The sweep.

    Attributes:
        explorer: The live grid.
        on_refreshed: Called with the MIME bundle of the static grid when there is a newer one.
    """

    def __init__(self, sweep: Sweep) -> None:
        from comfykit_jupyter.notebook.explorer.sweep_explorer import SweepExplorer

        self._sweep = sweep
        self.explorer: SweepExplorer = SweepExplorer(sweep)
        self.explorer.on_marked = self._offer_refresh
        self.on_refreshed: Callable[[dict[str, Any]], object] = lambda _bundle: None
        self._static = CellOutput()
        self._lock = threading.Lock()
        self._refreshing: Future[None] | None = None
        self._line = ""
        """What the static grid says of the sweep."""
        self._is_in_page = False
        """Whether the cell that shows it may end before the static grid is complete."""
        self._stop_watching = sweep.watch(self._on_change)
        settle_after_cells(self)

    def show(self) -> None:
        """Display the live grid and the static one in the running cell."""
        from IPython.display import display

        bundle = self.explorer._repr_mimebundle_()
        if bundle is not None:
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
            display({**data, "text/plain": ""}, metadata=metadata, raw=True)
        line = repr(self._sweep)
        self._static.show({"text/plain": line, "text/html": f'<div class="ck-static"><p>{_escape(line)}</p></div>'})
        writer.post(self.explorer.send_all)
        self._is_in_page = is_cell_in_page()
        if self._is_in_page:
            self._refreshing = run_in_background(self._refresh_after_page)
        else:
            self.refresh()

    def _refresh_after_page(self) -> None:
        self.explorer.wait_for_page()
        self._refresh()

    def refresh(self) -> None:
        """Make the static grid in the background: many images take a second or two."""
        self._refreshing = run_in_background(self._refresh)

    @property
    def is_displayed(self) -> bool:
        """Whether a cell shows it."""
        return self._static.is_displayed

    def close(self) -> None:
        """Remove the grid from the page. The sweep continues."""
        self._stop_watching()
        self.explorer.close()

    def settle(self) -> None:
        """Show marks that the cell has set, and wait until the static grid is up to date."""
        self.explorer.follow_marks()
        for what in ("end", "marks"):
            writer.settle((self, what))
        writer.drain(REFRESH_TIMEOUT)
        if self._is_in_page:
            return
        if self._line and self._line != repr(self._sweep):  # points have ended, and the sweep has not noticed it yet
            self.refresh()
        if self._refreshing is not None:
            wait([self._refreshing], STATIC_TIMEOUT)

    def _on_change(self, index: int) -> None:
        if index in (OTHER, RELOADED):
            writer.offer((self, "end"), self._refresh_at_end, 0.2)

    def _refresh_at_end(self) -> None:
        if not self._sweep.running:
            self._refreshing = run_in_background(self._refresh)

    def _offer_refresh(self) -> None:
        writer.offer((self, "marks"), self._refresh_at_end, MARKS_SECONDS)

    def _refresh(self) -> None:
        with self._lock:  # so that an older grid never replaces a newer one
            self._line = repr(self._sweep)
            bundle = self._sweep._repr_mimebundle_()
            html = bundle.get("text/html") or f"<pre>{_escape(bundle['text/plain'])}</pre>"
            self._static.replace({**bundle, "text/html": f'<div class="ck-static">{html}</div>'})
            self.on_refreshed({**bundle, "text/html": html})


def _escape(text: str) -> str:
    import html

    return html.escape(text)


_outputs: WeakKeyDictionary[Sweep, SweepOutput] = WeakKeyDictionary()


def get_sweep_output(sweep: Sweep) -> SweepOutput:
    """Return what a sweep shows in cells."""
    found = _outputs.get(sweep)
    if found is None:
        found = _outputs[sweep] = SweepOutput(sweep)
    return found


def drop_sweep_output(sweep: Sweep) -> None:
    """Remove the grid of a sweep from the page, unless a cell shows it."""
    output = _outputs.get(sweep)
    if output is not None and not output.is_displayed:
        del _outputs[sweep]
        output.close()


def is_shown(sweep: object) -> bool:
    """Return whether a cell shows the live grid of a sweep."""
    return any(shown is sweep for shown in _outputs)


def find_grid(sweep_id: str) -> SweepExplorer | None:
    """Return the live grid of a sweep that a cell shows, by the ID of the sweep."""
    return next((output.explorer for sweep, output in list(_outputs.items()) if sweep.id == sweep_id), None)
