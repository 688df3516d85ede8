"""`Failures`: says when failed points pause a sweep or a search, since the rest would probably fail, too."""

from __future__ import annotations

from comfykit_jupyter.workflow.errors import one_line

EQUAL_ERRORS = 3
"""Equal errors in a row that are a reason to pause."""


class Failures:
    """How the points that have ended so far did, since the start or the last pause."""

    def __init__(self) -> None:
        self._has_ended = False
        self._last_error = ""
        self._count = 0

    @property
    def is_last(self) -> bool:
        """Whether the point that ended last has failed."""
        return self._count > 0

    def note_completed(self) -> None:
        """Note that a point has completed."""
        self._has_ended, self._count = True, 0

    def note_failed(self, error: str) -> str:
        """Note that a point has failed, and return why this is a reason to pause; "" if it is none."""
        self._count = self._count + 1 if error == self._last_error else 1
        self._last_error = error
        is_first, self._has_ended = not self._has_ended, True
        if is_first:
            return f"the first point failed: {one_line(error, 200)}"
        if self._count >= EQUAL_ERRORS:
            return f"{EQUAL_ERRORS} points failed in the same way: {one_line(error, 200)}"
        return ""
