"""ComfyUI workflows in notebooks: a form of the parameters, live progress with previews, results to look at and reuse.

    from comfykit_jupyter import ComfyKit

    kit = ComfyKit()
    form = kit.form("workflow.json")                       # in a notebook: a form with Run, Cancel and the outputs
    result = kit.run("workflow.json", prompt="a cat")      # anywhere: a value

In a notebook `%load_ext comfykit_jupyter` adds the magic `%comfykit`; `%comfykit?` explains it.
Everything is imported when it is first used, so that importing this module costs almost nothing.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.backends.model_files import ModelFile
    from comfykit_jupyter.client.backends.preview import Preview
    from comfykit_jupyter.client.backends.server import Server, Servers
    from comfykit_jupyter.client.checking.check import Report
    from comfykit_jupyter.client.checking.dry_run import Change, DryRun
    from comfykit_jupyter.client.errors import (
        ComfyKitError,
        OutputError,
        ParameterError,
        Problem,
        RunFailed,
        ServerError,
        SettingsError,
        SourceError,
        WorkflowError,
    )
    from comfykit_jupyter.client.inputs.masked import Masked
    from comfykit_jupyter.client.missing.item import Missing
    from comfykit_jupyter.client.results.keep import Keep, keep
    from comfykit_jupyter.client.results.media import Media, Origin
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.explore.points.axes import Axis, Point, lora, replace, seeds, wildcards
    from comfykit_jupyter.explore.points.plan import Plan
    from comfykit_jupyter.explore.rows.row import Row
    from comfykit_jupyter.explore.runs.bundle import Bundle
    from comfykit_jupyter.explore.runs.rows import Rows
    from comfykit_jupyter.explore.runs.runs import Differences, Runs
    from comfykit_jupyter.explore.search.search import Search
    from comfykit_jupyter.explore.search.search_space import SearchSpace
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.widget.widget import WorkflowWidget
    from comfykit_jupyter.workflow.document.workflow import Workflow
    from comfykit_jupyter.workflow.parameters.parameter import Parameter, Target
    from comfykit_jupyter.workflow.progress.state import Progress, RunError
    from comfykit_jupyter.workflow.values.binding import Binding, Upload
    from comfykit_jupyter.workflow.values.fields import Field

__version__ = "0.1.0"

_HOMES = {
    "Axis": "explore.points.axes",
    "Binding": "workflow.values.binding",
    "Bundle": "explore.runs.bundle",
    "Change": "client.checking.dry_run",
    "ComfyKit": "kit.kit",
    "ComfyKitError": "client.errors",
    "Differences": "explore.runs.runs",
    "DryRun": "client.checking.dry_run",
    "ExecuteResult": "client.results.result",
    "Field": "workflow.values.fields",
    "Job": "client.backends.jobs",
    "Keep": "client.results.keep",
    "Masked": "client.inputs.masked",
    "Media": "client.results.media",
    "Missing": "client.missing.item",
    "ModelFile": "client.backends.model_files",
    "Origin": "client.results.media",
    "OutputError": "client.errors",
    "Parameter": "workflow.parameters.parameter",
    "ParameterError": "client.errors",
    "Plan": "explore.points.plan",
    "Point": "explore.points.axes",
    "Preview": "client.backends.preview",
    "Problem": "client.errors",
    "Progress": "workflow.progress.state",
    "Report": "client.checking.check",
    "Row": "explore.rows.row",
    "Rows": "explore.runs.rows",
    "Run": "client.running.run",
    "RunError": "workflow.progress.state",
    "RunFailed": "client.errors",
    "Runs": "explore.runs.runs",
    "Search": "explore.search.search",
    "SearchSpace": "explore.search.search_space",
    "Server": "client.backends.server",
    "ServerError": "client.errors",
    "Servers": "client.backends.server",
    "SettingsError": "client.errors",
    "SourceError": "client.errors",
    "Sweep": "explore.sweeps.sweep",
    "Target": "workflow.parameters.parameter",
    "Upload": "workflow.values.binding",
    "Workflow": "workflow.document.workflow",
    "WorkflowError": "client.errors",
    "WorkflowWidget": "notebook.widget.widget",
    "keep": "client.results.keep",
    "lora": "explore.points.axes",
    "replace": "explore.points.axes",
    "seeds": "explore.points.axes",
    "wildcards": "explore.points.axes",
}
"""The module of each public name."""

__all__ = [
    "Axis",
    "Binding",
    "Bundle",
    "Change",
    "ComfyKit",
    "ComfyKitError",
    "Differences",
    "DryRun",
    "ExecuteResult",
    "Field",
    "Job",
    "Keep",
    "Masked",
    "Media",
    "Missing",
    "ModelFile",
    "Origin",
    "OutputError",
    "Parameter",
    "ParameterError",
    "Plan",
    "Point",
    "Preview",
    "Problem",
    "Progress",
    "Report",
    "Row",
    "Rows",
    "Run",
    "RunError",
    "RunFailed",
    "Runs",
    "Search",
    "SearchSpace",
    "Server",
    "ServerError",
    "Servers",
    "SettingsError",
    "SourceError",
    "Sweep",
    "Target",
    "Upload",
    "Workflow",
    "WorkflowError",
    "WorkflowWidget",
    "__version__",
    "keep",
    "lora",
    "replace",
    "seeds",
    "wildcards",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "ComfyKit" and "ipykernel" in sys.modules:
        from comfykit_jupyter.notebook import asyncio_run, cell_id

        asyncio_run.allow_in_kernel()
        cell_id.install()
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: InteractiveShell) -> None:
    """Add the `%comfykit` magic, and make `asyncio.run` work in cells: `%load_ext comfykit_jupyter`."""
    from comfykit_jupyter.notebook.magic.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """Remove the magic and its completion: `%unload_ext comfykit_jupyter`."""
    from comfykit_jupyter.notebook.magic.extension import unload

    unload(shell)
