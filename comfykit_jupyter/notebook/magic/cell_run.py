"""Show a run in the cell that waits for it: live until it ends, then its static result."""

from __future__ import annotations

import copy
import html
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError
from IPython.display import display

from comfykit_jupyter.client.errors import ComfyKitError, RunFailed
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.client.results.wording import format_failure
from comfykit_jupyter.notebook.hosts import explain_missing_widgets
from comfykit_jupyter.notebook.page.display import CellOutput, build_static_bundle
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.text_bar import Bar, CellBar, TerminalBar, find_terminal, show_as_text
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.progress.progress import RunError

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.notebook.widget.stage.view import RunView

CANCEL_SECONDS = 2.0
"""How long an interrupted cell waits for the server to confirm that the run was cancelled."""
VIEW_SECONDS = 1.0
"""How long a cell waits for its view to be cleared: the next cell uses the same view."""


class CellRunFailed(RunFailed):
    """A run in a cell that did not complete. The cell fails with one line: the failure happened on the server."""

    def _render_traceback_(self) -> list[str]:
        return [f"RunFailed: {self}"]


class CellRunner:
    """Shows runs in the cells of one shell.

    Args:
        shell: The IPython shell.
    """

    def __init__(self, shell: Any) -> None:
        self._shell = shell
        self._view: RunView | None = None

    def show(self, run: Run, title: str, name: str | None = None, *, attached: bool = False) -> ExecuteResult:
        """Start a run, show it until it ends, and return its result.

        Args:
            run: The run; an attached one is started already.
            title: What the view and a failure call it.
            name: The variable to assign the result to.
            attached: Whether the run was started elsewhere, so that ■ stops watching it instead of cancelling it.

        Raises:
            CellRunFailed: The run failed or was cancelled.
            UsageError: ■ was pressed on an attached run.
        """
        result = self._wait(run, title, attached=attached)
        if name is not None:
            self._shell.user_ns[name] = result
        if result.status != "completed":
            cancelled = result.error is not None and result.error.stopped
            error = CellRunFailed(f"{title}: cancelled" if cancelled else f"{title}: {format_failure(result)}")
            error.result = result
            raise error
        return self._hide_value(result)

    def _wait(self, run: Run, title: str, *, attached: bool) -> ExecuteResult:
        """Show the live view until the run ends, then put the static result in its place."""
        output, view = CellOutput(), self._get_view()
        try:
            if not attached:
                run.start()
            if view is not None:
                self._show_live(run, title, output, view)
                result = _wait_for_result(run)
            else:
                result = self._wait_with_bar(run, title, output)
        except KeyboardInterrupt:
            if not run.started:
                raise
            if attached and not run.done:
                self._detach(run, output, view)
            run.leave()
            result = _wait_for_result(run, CANCEL_SECONDS)
        bundle = build_static_bundle(result)
        if output.is_displayed:
            output.replace(bundle)
        else:
            output.show(bundle)
        if view is not None:
            writer.post(view.stage.clear)
            writer.drain(VIEW_SECONDS)
        return result

    def _show_live(self, run: Run, title: str, output: CellOutput, view: RunView) -> None:
        with view.hold_changes():
            view.title, view.status, view.progress = title, "queued", {"prompt_id": run.id}
            view.set_server(run.server, "busy")
        view.show(run)
        output.show(view)

    def _wait_with_bar(self, run: Run, title: str, output: CellOutput) -> ExecuteResult:
        """Show the run as a line of text until it ends."""
        if getattr(self._shell, "kernel", None) is not None:
            output.show({"text/plain": title})
            bar: Bar = CellBar(output.replace)
        elif (terminal := find_terminal()) is not None:
            bar = TerminalBar(terminal)
        else:
            return _wait_for_result(run)
        with show_as_text(run, title, bar):
            return _wait_for_result(run)

    def _detach(self, run: Run, output: CellOutput, view: RunView | None) -> NoReturn:
        """Leave a run that continues, and say so in the cell."""
        message = f"{one_line(run.prompt_id)} keeps running: %comfykit attach shows it again, %comfykit cancel stops it"
        output.replace({"text/plain": message, "text/html": f"<p>{html.escape(message)}</p>"})
        if view is not None:
            view.close()
        raise UsageError(message)

    def _get_view(self) -> RunView | None:
        """Return the view that all cells share, since a notebook stores the bundle once for each view.

        Return None where no widget can be shown.
        """
        if explain_missing_widgets(self._shell) is not None:
            return None
        from comfykit_jupyter.notebook.widget.stage.view import RunView

        if self._view is None or self._view.comm is None or self._view.stage.unfinished_runs:
            self._view = RunView()
        return self._view

    def _hide_value(self, result: ExecuteResult) -> ExecuteResult:
        """Return the result as a value that IPython does not display again at the end of this cell."""
        value = copy.copy(result)
        events = self._shell.events
        formatter = self._shell.display_formatter.ipython_display_formatter

        def show(each: ExecuteResult) -> None:
            if each is not value:
                display(each._repr_mimebundle_(), raw=True)

        def unregister(*_: object) -> None:
            events.unregister("post_run_cell", unregister)
            formatter.pop(ExecuteResult, None)

        formatter.for_type(ExecuteResult, show)
        events.register("post_run_cell", unregister)
        return value


def _wait_for_result(run: Run, timeout: float | None = None) -> ExecuteResult:
    """Return the result of a run, failed or not; make one up if the server never confirms that it was cancelled."""
    try:
        return run.result(timeout)
    except ComfyKitError as error:
        if isinstance(error.result, ExecuteResult):
            return error.result
        raise
    except TimeoutError:
        name = run.workflow.name if run.workflow else ""
        message = "cancelled; the server has not confirmed it"
        failed = RunError("cancelled", message)
        return ExecuteResult("failed", run.prompt_id, msg=message, error=failed, workflow_name=name)
