"""`UpperRooms`: answers what lower rooms need of upper ones, see `workflow/upcalls.py`. Imports when it is called."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfykit_jupyter.client.presets.folder import PresetFolder
    from comfykit_jupyter.client.results.media import Origin
    from comfykit_jupyter.explore.library.runs import Runs
    from comfykit_jupyter.explore.sweeps.line import Line
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.widget.widget import WorkflowWidget


class UpperRooms:
    """The upper rooms, as those below call them. See `Upcalls` for each method."""

    def format_error(self, error: BaseException) -> list[str]:
        """Return the traceback that IPython shows: the user's own frames, without this package's."""
        from comfykit_jupyter.notebook.tracebacks import format_error

        return format_error(error)

    def open_presets(self) -> PresetFolder:
        """Return the folder of presets below the current one."""
        from comfykit_jupyter.client.presets.folder import PresetFolder

        return PresetFolder()

    def find_origin(self, place: str, url: str) -> Origin | None:
        """Return the server or cloud that has media; None if there is no such place."""
        from comfykit_jupyter.client.inputs.routing import remember_origin

        return remember_origin(place, url)

    def build_form(self, workflow: Any, values: Mapping[str, Any], kit: ComfyKit) -> WorkflowWidget:
        """Return a form of a workflow."""
        from comfykit_jupyter.notebook.widget.widget import WorkflowWidget

        return WorkflowWidget(workflow, values, kit=kit)

    def show_sweep(self, sweep: Sweep) -> None:
        """Display a sweep in the running cell."""
        from comfykit_jupyter.notebook.explorer.display import show_sweep

        show_sweep(sweep)

    def show_runs(self, runs: Runs) -> None:
        """Display all runs in the running cell."""
        from comfykit_jupyter.notebook.explorer.runs_display import show_runs

        show_runs(runs)

    def get_sweep_view(self, sweep: Sweep) -> object:
        """Return the live grid of a sweep."""
        from comfykit_jupyter.notebook.explorer.display import get_sweep_output

        return get_sweep_output(sweep).explorer

    def get_runs_view(self, runs: Runs) -> object:
        """Return the live library of all runs."""
        from comfykit_jupyter.notebook.explorer.runs_display import get_runs_output

        return get_runs_output(runs).explorer

    def open_line(self, sweep: Any) -> Line | None:
        """Return the line of a sweep in a cell; None if a cell shows its grid."""
        from comfykit_jupyter.notebook.explorer.display import is_shown
        from comfykit_jupyter.notebook.sweep_line import NotebookLine

        return None if is_shown(sweep) else NotebookLine(sweep)
