"""The clock of the client's event loop, which a test puts forward instead of waiting."""

from __future__ import annotations

import time

from comfykit_jupyter.client import loop

_ahead = 0.0


def advance(seconds: float) -> None:
    """Put the clock forward for good: the client's timers that are due within these seconds are due now."""
    global _ahead
    _ahead += seconds
    background = loop.get_loop()
    background.time = lambda: time.monotonic() + _ahead  # type: ignore[method-assign]
    background.call_soon_threadsafe(lambda: None)  # wakes it
