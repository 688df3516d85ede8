"""Let `asyncio.run` work in the cells of a kernel, where an event loop runs already."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

VARIABLE = "COMFYKIT_ASYNCIO_RUN"
"""The environment variable that turns this off, with the value 0."""

_OLD_NEST = (
    "comfykit: nest_asyncio was applied before, and on ipykernel 7 it can lose cells that are queued behind an "
    "asyncio.run. Restart the kernel and remove nest_asyncio.apply(): comfykit_jupyter makes asyncio.run work."
)


def allow_in_kernel() -> None:
    """Let `asyncio.run` work in cells, if this process is an IPython kernel: a script or a terminal has no need."""
    if "ipykernel" not in sys.modules:
        return
    from IPython import get_ipython

    if getattr(get_ipython(), "kernel", None) is not None:
        allow()


def allow() -> None:
    """Replace `asyncio.run` by a function that also works while an event loop runs in its thread.

    Nothing else of asyncio is changed before the first such call: only that one applies `nest_asyncio2`.
    """
    if os.environ.get(VARIABLE, "").strip() == "0" or hasattr(asyncio.run, "is_nesting"):
        return
    if _has_old_nest():
        print(_OLD_NEST)
        return
    asyncio.run = _build_run(asyncio.run)


def _build_run(original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    def run(main: Any, **options: Any) -> Any:
        __tracebackhide__ = True  # IPython shows the user's own frames
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return original(main, **options)
        if _has_old_nest() or not isinstance(loop, asyncio.BaseEventLoop):  # such as uvloop's, which can't be nested
            return original(main, **options)
        import nest_asyncio2

        nest_asyncio2.apply(loop)
        if asyncio.run is nest_asyncio2.run:
            asyncio.run = run  # in a thread without a loop, the original is the better one
        with _keep_ready(loop):
            return nest_asyncio2.run(main, **options)

    run.is_nesting = True  # type: ignore[attr-defined]
    return run


@contextlib.contextmanager
def _keep_ready(loop: asyncio.BaseEventLoop) -> Iterator[None]:
    """Keep as many handles ready as there were: an iteration that began before the patch counts on them.

    It has counted those that are ready, takes that many, and ends the kernel with an IndexError if there are fewer.
    """
    ready = loop._ready  # type: ignore[attr-defined]  # noqa: SLF001 - nest_asyncio2 uses it as well
    count = len(ready)
    try:
        yield
    finally:
        for _ in range(count - len(ready)):
            loop.call_soon(_do_nothing)


def _do_nothing() -> None: ...


def _has_old_nest() -> bool:
    """Return whether `nest_asyncio` was applied, the predecessor of `nest_asyncio2`, which breaks what it adds."""
    return hasattr(asyncio, "_nest_patched") and not hasattr(asyncio, "_nest_asyncio2")
