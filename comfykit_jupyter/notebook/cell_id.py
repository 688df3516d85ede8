"""Identify the running cell, and the form that it makes, across restarts of the kernel.

The identifier of a form has twelve hexadecimal digits and is the same when the same cell runs again. The run ids of a
form end with it, so that the form finds its runs on the server. Calls in a cell are recognized by the senders of their
jobs: see `client.senders`.
"""

from __future__ import annotations

import html
import os
import socket
import uuid
from collections import Counter, OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from comfykit_jupyter.client.cells import Cell, set_finder
from comfykit_jupyter.client.senders import compute_hash, find_user_name

LENGTH = 12
"""Digits of a form's identifier, as many as the last part of a UUID has."""
MAX_CELLS = 16
"""Executions of cells that are remembered: threads of an earlier cell may still call."""
NAMED_JOBS = 3
"""Jobs that the line about attached jobs names."""

_forms: tuple[Any, Counter[str]] = (None, Counter())
"""The number of the current execution, and how many forms of each workflow it has made."""
_cells: OrderedDict[str, Cell] = OrderedDict()
"""The last executions of cells, by the ID of the request to execute them."""


def locate_form(storage: str) -> Callable[[str], str]:
    """Note the cell in which a form is made now, and return a function that gives the form's identifier.

    The function gets the name of the form's workflow in the browser's storage. That changes once, if a server that was
    away says which fields there are.

    Args:
        storage: The name that the workflow has now.
    """
    global _forms
    shell = _find_shell()
    execution = None if shell is None else shell.execution_count
    if _forms[0] != execution or execution is None:
        _forms = (execution, Counter())
    _forms[1][storage] += 1
    place, number = (*_describe_place(shell), _find_cell_id(shell)), _forms[1][storage]
    return lambda storage: compute_hash(*place, storage, number, length=LENGTH)


def create_run_id(cell_id: str) -> str:
    """Create a run id that ends with an identifier."""
    return f"{str(uuid.uuid4())[:-LENGTH]}{cell_id}"


def install() -> None:
    """Let calls of this package know the cell that they are in."""
    set_finder(find_cell)


def find_cell() -> Cell | None:
    """Return the cell that is running; None if this is no notebook, or its page gives cells no IDs."""
    shell = _find_shell()
    header = _get_parent(shell).get("header")
    cell_id = _find_cell_id(shell)
    if not cell_id or not isinstance(header, dict) or header.get("msg_type") != "execute_request":
        return None  # a button's callback, for example
    request = str(header.get("msg_id"))
    if request not in _cells:
        _cells[request] = Cell(compute_hash(*_describe_place(shell), cell_id), Report())
        if len(_cells) > MAX_CELLS:
            _cells.popitem(last=False)
    return _cells[request]


class Report:
    """One line in a cell: to which jobs its calls are attached."""

    def __init__(self) -> None:
        self._jobs: list[str] = []
        self._display_id = uuid.uuid4().hex

    def __call__(self, prompt_id: str, renew: str) -> None:
        """Add a job to the line."""
        from IPython.display import display, update_display

        self._jobs.append(prompt_id)
        show = display if len(self._jobs) == 1 else update_display
        line = self.format_line(renew)
        show({"text/plain": line, "text/html": f"<p>{html.escape(line)}</p>"}, raw=True, display_id=self._display_id)

    def format_line(self, renew: str) -> str:
        """Format the line."""
        names = ", ".join(name if name.isdecimal() else name[:8] for name in self._jobs[:NAMED_JOBS])
        if len(self._jobs) == 1:
            what = f"job {names}, which this cell sent before the kernel restarted; nothing was sent"
        else:
            more = ", …" if len(self._jobs) > NAMED_JOBS else ""
            what = (
                f"{len(self._jobs)} jobs, which this cell sent before the kernel restarted ({names}{more}); nothing "
                "was sent for them"
            )
        return f"Attached to {what}. To send again: {renew}"


def _find_shell() -> Any:
    from IPython.core.getipython import get_ipython

    return get_ipython()


def _get_parent(shell: Any) -> dict[str, Any]:
    """Return the message that the kernel handles; an empty one outside of kernels."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else None
    return parent if isinstance(parent, dict) else {}


def is_cell_in_page() -> bool:
    """Return whether a page sent the running cell. Unlike `nbclient`, it also shows what comes after the cell's end."""
    return bool(_find_cell_id(_find_shell()))


def _find_cell_id(shell: Any) -> str:
    """Return the ID that the page gave the running cell, "" if it gave none."""
    metadata = _get_parent(shell).get("metadata")
    return str(metadata.get("cellId") or "") if isinstance(metadata, dict) else ""


def _describe_place(shell: Any) -> list[str | None]:
    """Return what identifies this notebook: machine, user, folder and name. `%cd` does not change it."""
    folder = getattr(shell, "starting_dir", None) or Path.cwd()
    names = getattr(shell, "user_ns", {})
    notebook = names.get("__vsc_ipynb_file__") or os.environ.get("JPY_SESSION_NAME")  # VS Code sets the variable
    return [socket.gethostname(), find_user_name(), str(folder), None if notebook is None else str(notebook)]
