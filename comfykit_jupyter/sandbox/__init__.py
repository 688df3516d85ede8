"""A small server that speaks ComfyUI's protocol, with nodes that do real work on the CPU: for trials and for tests.

    from comfykit_jupyter.sandbox import Sandbox

    with Sandbox() as server:
        print(server.url)

On the command line: `python -m comfykit_jupyter.sandbox --port 8188`.
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
            f'The sandbox needs {error.name}, which is not installed: pip install "comfykit-jupyter[sandbox]"'
        ) from None
    return Sandbox
