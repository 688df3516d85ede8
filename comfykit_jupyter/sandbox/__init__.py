"""The embedded server: a small ComfyUI-compatible server with real CPU nodes, for trying things out and for tests.

In Python, use `Sandbox`. On the command line, use `python -m comfykit_jupyter.sandbox --port 8188`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from comfykit_jupyter.sandbox.embedded import Sandbox

__all__ = ["Sandbox"]

_EXTRA = ("aiohttp", "av", "numpy")


def __getattr__(name: str) -> Any:
    if name != "Sandbox":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        from comfykit_jupyter.sandbox.embedded import Sandbox
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        raise ImportError(
            f'the sandbox needs {error.name}, which is not installed: pip install "comfykit-jupyter[sandbox]"'
        ) from None
    return Sandbox
