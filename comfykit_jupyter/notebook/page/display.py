"""Display outputs in cells, and replace them later from any thread.

A run in a cell has one output: the live view, which its static result replaces at the end. A form's cell has two: the
widget, and after it the static output of its last runs, which the page hides while the widget is alive.
"""

from __future__ import annotations

import contextlib
import contextvars
import html
import threading
import uuid
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any, Protocol

from comfykit_jupyter.client.results.render import build_result_bundle
from comfykit_jupyter.client.results.wording import format_result
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.writer import writer

if TYPE_CHECKING:
    from comfykit_jupyter.client.results.result import ExecuteResult

STATIC_RUNS = 3
"""Runs in the static output of a form; they share the space of one."""
REFRESH_TIMEOUT = 10.0
"""Seconds that the end of a cell waits for the static output of runs that have ended."""
WAIT_SECONDS = 1.0
"""Seconds after which a cell says what it waits for."""


class CellOutput:
    """One output of a cell. It can be displayed in several cells, and is replaced in all of them."""

    def __init__(self) -> None:
        self.display_id = uuid.uuid4().hex
        self.is_displayed = False

    def show(self, content: object) -> None:
        """Display an object or a MIME bundle in the running cell."""
        from IPython.display import display

        self.is_displayed = True
        display(content, raw=isinstance(content, dict), display_id=self.display_id)

    def replace(self, bundle: Mapping[str, Any]) -> None:
        """Replace the content by a MIME bundle. Can be called from any thread."""
        from IPython.display import update_display

        if self.is_displayed:
            update_display(dict(bundle), raw=True, display_id=self.display_id)


@contextlib.contextmanager
def show_wait(line: str) -> Iterator[None]:
    """Show a line in the running cell while a block runs, if it takes longer than `WAIT_SECONDS`."""
    from IPython import get_ipython

    if getattr(get_ipython(), "kernel", None) is None:
        yield
        return
    output = CellOutput()
    bundle = {"text/plain": line, "text/html": f'<p role="status">{html.escape(line)}</p>'}
    timer = threading.Timer(WAIT_SECONDS, contextvars.copy_context().run, [output.show, bundle])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        output.replace({"text/plain": "", "text/html": ""})


class StaticOutput:
    """The last runs of a form, as the HTML that stays in its cell.

    Args:
        describe: Returns the MIME bundle that is shown before the first run.
    """

    def __init__(self, describe: Callable[[], Mapping[str, Any]]) -> None:
        self._describe = describe
        self._output = CellOutput()
        self._runs: deque[ExecuteResult] = deque(maxlen=STATIC_RUNS)
        self._grid: Mapping[str, Any] | None = None
        self._lock = threading.Lock()
        self._refreshing: Future[None] | None = None

    def show(self) -> None:
        """Display it in the running cell."""
        self._output.show(self._build_bundle())
        settle_after_cells(self)

    def add(self, result: ExecuteResult) -> None:
        """Add a run that has ended. Returns at once; the cell is updated in the background."""
        self._runs.appendleft(result)
        self._begin_refresh()

    def show_grid(self, bundle: Mapping[str, Any]) -> None:
        """Show the static grid of a sweep above the runs. Returns at once; the cell is updated in the background."""
        self._grid = bundle
        self._begin_refresh()

    def _begin_refresh(self) -> None:
        if self._output.is_displayed:
            self._refreshing = run_in_background(self._refresh)

    def settle(self) -> None:
        """Wait until it shows the runs that have ended, at most for `REFRESH_TIMEOUT`."""
        writer.drain(REFRESH_TIMEOUT)  # runs are added in the writer's thread
        if self._refreshing is not None:
            wait([self._refreshing], REFRESH_TIMEOUT)

    def _refresh(self) -> None:
        with self._lock:  # so that an older bundle never replaces a newer one
            self._output.replace(self._build_bundle())

    def _build_bundle(self) -> dict[str, Any]:
        runs: list[Mapping[str, Any]] = [build_result_bundle(each, 1 / STATIC_RUNS) for each in list(self._runs)]
        if self._grid is not None:
            runs.insert(0, self._grid)
        if not runs:
            runs = [self._describe()]
        parts = "".join(run["text/html"] for run in runs)
        text = "\n".join(run["text/plain"] for run in runs)
        return {**runs[0], "text/plain": text, "text/html": f'<div class="ck-static">{parts}</div>'}


class Settling(Protocol):
    """An output of a cell that is updated in the background."""

    def settle(self) -> None:
        """Wait until it is up to date."""


def settle_after_cells(output: Settling) -> None:
    """Let each cell end when the static output is up to date: between cells, `nbclient` drops what is displayed."""
    from IPython import get_ipython

    shell = get_ipython()
    if shell is None:
        return
    reference = weakref.ref(output)

    def settle(_: object) -> None:
        found = reference()
        if found is None:
            shell.events.unregister("post_run_cell", settle)
        else:
            found.settle()

    shell.events.register("post_run_cell", settle)


def build_static_bundle(result: ExecuteResult) -> dict[str, Any]:
    """Build the MIME bundle of a run that stays in its cell, whose error says why it failed."""
    try:
        return build_result_bundle(result, failure=False)
    except KeyboardInterrupt:  # ■ came after the run had ended: keep at least its text
        text = format_result(result)
        return {"text/plain": text, "text/html": f"<p>{html.escape(text)}</p>"}
