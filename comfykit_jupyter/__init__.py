"""ComfyUI workflows in a notebook: a form of the parameters, live progress with previews, results to look at and reuse.

    from comfykit_jupyter import ComfyKit

    kit = ComfyKit()
    form = kit.form("workflow.json")                       # in a notebook: a form, Run, Cancel, the outputs
    result = kit.run("workflow.json", prompt="a cat")      # anywhere: a value

In a notebook `%load_ext comfykit_jupyter` adds the magic `%comfykit`; `%comfykit?` shows its commands.
Everything is imported when it is first used, so that importing this module costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

    from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, RunFailed, ServerError, WorkflowError
    from comfykit_jupyter.client.kit import ComfyKit
    from comfykit_jupyter.client.results.keep import keep
    from comfykit_jupyter.client.results.media import Media
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.notebook.widget.widget import WorkflowWidget
    from comfykit_jupyter.workflow.workflow import Workflow

__version__ = "0.1.0"

_HOMES = {
    "ComfyKit": "client.kit",
    "ComfyKitError": "client.errors",
    "ExecuteResult": "client.results.result",
    "Media": "client.results.media",
    "ParameterError": "client.errors",
    "Run": "client.running.run",
    "RunFailed": "client.errors",
    "ServerError": "client.errors",
    "Workflow": "workflow.workflow",
    "WorkflowError": "client.errors",
    "WorkflowWidget": "notebook.widget.widget",
    "keep": "client.results.keep",
}

__all__ = [
    "ComfyKit",
    "ComfyKitError",
    "ExecuteResult",
    "Media",
    "ParameterError",
    "Run",
    "RunFailed",
    "ServerError",
    "Workflow",
    "WorkflowError",
    "WorkflowWidget",
    "__version__",
    "keep",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def load_ipython_extension(shell: InteractiveShell) -> None:
    """`%load_ext comfykit_jupyter`: the `%comfykit` magic, and `asyncio.run` in cells."""
    from comfykit_jupyter.notebook.extension import load

    load(shell)


def unload_ipython_extension(shell: InteractiveShell) -> None:
    """`%unload_ext comfykit_jupyter`: takes the magic and its completion away again."""
    from comfykit_jupyter.notebook.extension import unload

    unload(shell)
