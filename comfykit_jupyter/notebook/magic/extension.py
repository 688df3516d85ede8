"""Load and unload the IPython extension: the magic, its completion, and `asyncio.run` in cells."""

from __future__ import annotations

from typing import TYPE_CHECKING

from comfykit_jupyter.notebook import asyncio_run
from comfykit_jupyter.notebook.cell_id import install
from comfykit_jupyter.notebook.magic.completion import Completion
from comfykit_jupyter.notebook.magic.magics import ComfyKitMagics

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell


def load(shell: InteractiveShell) -> None:
    """Register the magic and its completion, and let `asyncio.run` work in cells."""
    unload(shell)
    magics = ComfyKitMagics(shell)
    shell.register_magics(magics)
    if shell.Completer is not None:
        shell.Completer.custom_matchers.append(Completion(magics).match)
    install()
    asyncio_run.allow()


def unload(shell: InteractiveShell) -> None:
    """Remove the magic and its completion. `asyncio.run` keeps working in cells: other code may rely on it."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("comfykit", None)
    shell.magics_manager.registry.pop(ComfyKitMagics.__name__, None)
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [
            matcher for matcher in matchers if not isinstance(getattr(matcher, "__self__", None), Completion)
        ]
