"""Identify the cell that made a form, across restarts of the kernel.

The identifier has twelve hexadecimal digits and is the same when the same cell runs again. The run ids of a form end
with it, so that the form finds its runs on the server.
"""

from __future__ import annotations

import getpass
import hashlib
import json
import os
import socket
import uuid
from collections import Counter
from pathlib import Path
from typing import Any

LENGTH = 12
"""Digits of an identifier, as many as the last part of a UUID has."""

_forms: tuple[Any, Counter[str]] = (None, Counter())
"""The number of the current execution, and how many forms of each workflow it has made."""


def identify_form(storage: str) -> str:
    """Return the identifier of a form that is made now, in the running cell.

    Args:
        storage: The name of the form's workflow in the browser's storage.
    """
    global _forms
    execution, cell = _find_cell()
    if _forms[0] != execution or execution is None:
        _forms = (execution, Counter())
    _forms[1][storage] += 1
    where = [socket.gethostname(), _find_user(), str(Path.cwd()), os.environ.get("JPY_SESSION_NAME"), cell]
    text = json.dumps([*where, storage, _forms[1][storage]])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:LENGTH]


def create_run_id(cell_id: str) -> str:
    """Create a run id that ends with an identifier."""
    return f"{str(uuid.uuid4())[:-LENGTH]}{cell_id}"


def _find_cell() -> tuple[Any, str]:
    """Return the number of the current execution, and the id that the page gave its cell."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return None, ""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    return shell.execution_count, str(metadata.get("cellId", "")) if isinstance(metadata, dict) else ""


def _find_user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # in some containers the user's number has no name
        return ""
