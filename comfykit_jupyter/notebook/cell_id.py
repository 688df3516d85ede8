"""Where a form was made, in twelve digits: the same cell, run again after the kernel has restarted, has the same.

The runs of a form carry them at the end of their ids, so that the form can find them on the server.
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

_made: tuple[Any, Counter[str]] = (None, Counter())
"""The execution that is under way, and how many forms of each workflow it has made."""


def mark(storage: str) -> str:
    """The mark of a form that is made now, in the cell that runs.

    Args:
        storage: what names the form's workflow.
    """
    global _made
    execution, cell = _cell()
    if _made[0] != execution or execution is None:
        _made = (execution, Counter())
    _made[1][storage] += 1
    where = [socket.gethostname(), _user(), str(Path.cwd()), os.environ.get("JPY_SESSION_NAME"), cell]
    text = json.dumps([*where, storage, _made[1][storage]])
    return hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:12]


def prompt_id(mark: str) -> str:
    """A new id for a run, which ends with a mark."""
    return f"{str(uuid.uuid4())[:-12]}{mark}"


def _cell() -> tuple[Any, str]:
    """The execution that is under way, and the id that the page gave its cell."""
    from IPython.core.getipython import get_ipython

    shell = get_ipython()
    if shell is None:
        return None, ""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    metadata = parent.get("metadata") if isinstance(parent, dict) else None
    return shell.execution_count, str(metadata.get("cellId", "")) if isinstance(metadata, dict) else ""


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # nobody is known by this number, as in some containers
        return ""
