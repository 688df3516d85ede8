"""Where widgets can't show: a terminal, Kaggle, Databricks, or wherever the user says so."""

from __future__ import annotations

import os
from typing import Any

VARIABLE = "COMFYKIT_WIDGETS"
"""The environment variable that decides: 1 shows widgets, 0 does not."""

_HOSTS = {
    "KAGGLE_KERNEL_RUN_TYPE": "Kaggle shows no widgets of packages that were installed after its session started",
    "DATABRICKS_RUNTIME_VERSION": "widgets of this package have never been tried on Databricks",
}
"""Why widgets are not shown in a host, by a variable that the host sets."""


def explain_missing_widgets(shell: Any) -> str | None:
    """Return why no widget can be shown in cells of this shell; None where one can.

    Args:
        shell: The IPython shell; None outside of IPython.
    """
    wanted = os.environ.get(VARIABLE, "").strip()
    if getattr(shell, "kernel", None) is None:
        return "a terminal shows no widgets"
    if wanted == "1":
        return None
    if wanted == "0":
        return f"{VARIABLE}=0 is set"
    reason = next((reason for variable, reason in _HOSTS.items() if os.environ.get(variable)), None)
    return None if reason is None else f"{reason} ({VARIABLE}=1 shows them all the same)"
