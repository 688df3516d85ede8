"""`%load_ext comfykit_jupyter`: the magic, its completion, and `asyncio.run` in cells."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

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
        shell.Completer.custom_matchers.append(Completion(magics).matcher)
    _allow_nested_loops()


def unload(shell: InteractiveShell) -> None:
    """Take the magic and its completion away. `asyncio.run` goes on working: other code may rely on it by now."""
    for kind in ("line", "cell"):
        shell.magics_manager.magics[kind].pop("comfykit", None)
    shell.magics_manager.registry.pop(ComfyKitMagics.__name__, None)
    if shell.Completer is not None:
        matchers = shell.Completer.custom_matchers
        matchers[:] = [
            matcher for matcher in matchers if not isinstance(getattr(matcher, "__self__", None), Completion)
        ]


def _allow_nested_loops() -> None:
    """Nothing of ours needs it: it is for `asyncio.run(main())` in the user's own cells."""
    import nest_asyncio2

    if hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2"):
        print(
            "comfykit: nest_asyncio was applied before, and with it cells queued behind an asyncio.run may be lost "
            "(ipykernel 7): restart the kernel and leave nest_asyncio.apply() out; this extension does its work."
        )
        return
    nest_asyncio2.apply()
