"""`RowCallbacks`: calls the functions of `Sweep.on_done`, one after the other, in a thread of their own."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable

from comfykit_jupyter.explore.rows.row import Row

logger = logging.getLogger(__name__)

OnDone = Callable[[Row], object]


class RowCallbacks:
    """Functions that are called with each row. They share one thread, which ends when no row waits."""

    def __init__(self) -> None:
        self._functions: list[OnDone] = []
        self._rows: deque[tuple[OnDone, Row]] = deque()
        self._lock = threading.Lock()
        self._is_calling = False

    def add(self, function: OnDone) -> None:
        """Call a function with the rows that come from now on."""
        self._functions.append(function)

    def call(self, row: Row) -> None:
        """Call all functions with a row, after those that wait already. Returns at once."""
        with self._lock:
            self._rows += [(function, row) for function in self._functions]
            if self._rows and not self._is_calling:
                self._is_calling = True
                threading.Thread(target=self._call_all, name="comfykit-on-done", daemon=True).start()

    def _call_all(self) -> None:
        while True:
            with self._lock:
                if not self._rows:
                    self._is_calling = False
                    return
                function, row = self._rows.popleft()
            try:
                function(row)
            except Exception as error:  # noqa: BLE001 - it is the user's
                logger.warning("on_done failed: %s: %s", type(error).__name__, error)
