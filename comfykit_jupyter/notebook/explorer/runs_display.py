"""Show the library of all runs in a cell: live, with the form of a run below it, and the table that stays."""

from __future__ import annotations

import threading
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from comfykit_jupyter.explore.runs.again import choose_kit, collect_values
from comfykit_jupyter.notebook.cell_id import is_cell_in_page
from comfykit_jupyter.notebook.explorer.display import STATIC_TIMEOUT
from comfykit_jupyter.notebook.explorer.runs_explorer import RunsExplorer
from comfykit_jupyter.notebook.page.display import CellOutput, settle_after_cells
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.explore.ledger.ledger import Ledger
    from comfykit_jupyter.explore.rows.row import Row
    from comfykit_jupyter.explore.runs.runs import Runs


def show_runs(runs: Runs) -> None:
    """Display all runs in the running cell; without a notebook, print a line."""
    from IPython import get_ipython

    shell = get_ipython()
    if getattr(shell, "kernel", None) is None:
        print(repr(runs))
        return
    get_runs_output(runs).show(runs)


def get_runs_output(runs: Runs) -> RunsOutput:
    """Return what the runs of a folder show in cells."""
    ledger = runs._ledger  # noqa: SLF001 - their own page
    output = _outputs.get(ledger)
    if output is None:
        output = _outputs[ledger] = RunsOutput(runs)
    return output


class RunsOutput:
    """What the runs of a folder show in cells. All cells that show them share one widget.

    Args:
        runs: The runs.
    """

    def __init__(self, runs: Runs) -> None:
        self._runs = runs
        self.explorer = RunsExplorer(runs)
        self.explorer.show_form = self._show_form
        self._static = CellOutput()
        self._below = CellOutput()
        """Where the form of a run appears."""
        self._form: Any = None
        self._lock = threading.Lock()
        self._refreshing: Future[None] | None = None
        self._is_in_page = False
        """Whether the cell that shows it may end before the table that stays is complete."""
        settle_after_cells(self)

    def show(self, runs: Runs) -> None:
        """Display the library in the running cell, with the kit of these runs."""
        from IPython.display import display

        self._runs = self.explorer.runs = runs
        bundle = self.explorer._repr_mimebundle_()
        if bundle is not None:
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
            display({**data, "text/plain": ""}, metadata=metadata, raw=True)
        self._below.show({"text/plain": "", "text/html": ""})
        self._static.show({"text/plain": repr(runs), "text/html": '<div class="ck-static"></div>'})
        writer.post(self.explorer.look)
        self._is_in_page = is_cell_in_page()
        self._refreshing = run_in_background(self._refresh)

    def settle(self) -> None:
        """Show what the cell has changed, and wait until the table that stays is complete."""
        self.explorer.look()
        if self._refreshing is not None and not self._is_in_page:
            wait([self._refreshing], STATIC_TIMEOUT)

    def _refresh(self) -> None:
        with self._lock:
            html = f'<div class="ck-static">{self._runs._repr_html_()}</div>'
            self._static.replace({"text/plain": repr(self._runs), "text/html": html})

    def _show_form(self, row: Row) -> None:
        """Show a form with the values and seeds of a run, in place of the one that was shown before."""
        ledger = self._runs._ledger  # noqa: SLF001 - their own page
        kit = choose_kit(self._runs._kit, ledger)  # noqa: SLF001
        form = kit.form(row.workflow, collect_values(ledger, row))
        bundle: Any = form._repr_mimebundle_()
        self._below.replace(bundle[0] if isinstance(bundle, tuple) else bundle)
        before, self._form = self._form, form
        if before is not None:
            before.close()


_outputs: WeakKeyDictionary[Ledger, RunsOutput] = WeakKeyDictionary()
