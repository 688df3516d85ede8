"""Shorten the pauses of the client for RunningHub, which are seconds: the double needs none."""

from __future__ import annotations

from typing import Any

from comfykit_jupyter.client.backends.runninghub import api, backend, files, follow

MODULES: tuple[Any, ...] = (api, backend, files, follow)
NAMES = ("RECONNECT", "PAUSE", "PAUSE_MOST", "LOOK_FIRST", "LOOK_QUEUED", "LOOK_RUNNING", "LOOK_LEAST")


def shorten_pauses(patch: Any = None, *, factor: float) -> None:
    """Divide all pauses by a factor.

    Args:
        patch: A `pytest.MonkeyPatch` that undoes it; None in a process that ends with the test, such as a kernel.
        factor: The factor.
    """
    change = setattr if patch is None else patch.setattr
    for module in MODULES:
        for name in NAMES:
            if hasattr(module, name):
                change(module, name, getattr(module, name) / factor)
