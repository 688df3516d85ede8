"""`PointBytes`: a byte of status and a byte of marks for each point, and what has changed since the last message. Pure.

Ten thousand points are 20 kB. A message carries what has changed since a revision; a page that has another revision
asks for all of it.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable

from comfykit_jupyter.explore.ledger.entries import Marks

STATES = ("waiting", "running", "completed", "failed", "cancelled", "unknown", "invalid", "lost", "sent")
"""The states of a point; their order is the page's, too."""
STALE = 16
"""Added to the state of a point whose model file is another one of the same name now."""
ANOTHER_RUN = 32
"""Flipped in the state of a point when another run takes the place of the one before: its image is another one."""
MOST_CHANGES = 0.5
"""Part of all points from which all of them are sent."""
_NUMBERS = {name: number for number, name in enumerate(STATES)}


class PointBytes:
    """The states and marks of points.

    Attributes:
        revision: Grows with each message.
    """

    def __init__(self) -> None:
        self.revision = 0
        self._states = bytearray()
        self._marks = bytearray()
        self._run_ids: list[str] = []
        self._flips = bytearray()
        self._stale: set[int] = set()
        self._changed: set[int] | None = None
        """What the next message has; None for everything."""

    def __len__(self) -> int:
        return len(self._states)

    def replace(self, states: Iterable[str], marks: Iterable[Marks], run_ids: Iterable[str]) -> None:
        """Set all points; the next message has all of them."""
        before, self._run_ids = self._run_ids, list(run_ids)
        self._flips = self._flips.ljust(len(self._run_ids), b"\0")[: len(self._run_ids)]
        for index, (old, new) in enumerate(zip(before, self._run_ids, strict=False)):
            self._flips[index] ^= ANOTHER_RUN * (old != new)
        self._states = bytearray(self._encode(index, state) for index, state in enumerate(states))
        self._marks = bytearray(map(encode_marks, marks))
        self._changed = None

    def set_state(self, index: int, state: str, run_id: str) -> None:
        """Set the state and the run of a point. While it runs, its progress has messages of its own."""
        if self._run_ids[index] != run_id:
            self._run_ids[index] = run_id
            self._flips[index] ^= ANOTHER_RUN
        if state != "completed":
            self._stale.discard(index)  # it runs again
        number = self._encode(index, state)
        if self._states[index] != number or state != "running":
            self._states[index] = number
            self._note(index)

    def _encode(self, index: int, state: str) -> int:
        stale = STALE if state == "completed" and index in self._stale else 0
        return _NUMBERS.get(state, 0) | stale | self._flips[index]

    def set_stale(self, indices: Iterable[int]) -> None:
        """Set which points were made with another model file of the same name."""
        self._stale = set(indices)
        for index, byte in enumerate(self._states):
            number = self._encode(index, STATES[byte % STALE])
            if number != byte:
                self._states[index] = number
                self._note(index)

    def set_marks(self, index: int, marks: Marks) -> None:
        """Set the marks of a point."""
        value = encode_marks(marks)
        if self._marks[index] != value:
            self._marks[index] = value
            self._note(index)

    def touch(self, indices: Iterable[int]) -> None:
        """Let the next message name points whose details have changed."""
        for index in indices:
            self._note(index)

    def _note(self, index: int) -> None:
        if self._changed is not None:
            self._changed.add(index)

    def take_changes(self) -> tuple[dict[str, int | None], list[bytes]]:
        """Return the next message: its revision and the one that it builds on, and its buffers.

        The buffers are the indices (little-endian, four bytes each), states and marks of the points that have changed.
        With `base` None there are no indices, and all points follow.
        """
        base, self.revision = self.revision, self.revision + 1
        changed, self._changed = self._changed, set()
        if changed is None or len(changed) > MOST_CHANGES * len(self._states):
            return {"revision": self.revision, "base": None}, [b"", bytes(self._states), bytes(self._marks)]
        indices = sorted(changed)
        states, marks = bytes(self._states[index] for index in indices), bytes(self._marks[index] for index in indices)
        packed = struct.pack(f"<{len(indices)}I", *indices)
        return {"revision": self.revision, "base": base}, [packed, states, marks]

    def list_all(self) -> tuple[dict[str, int | None], list[bytes]]:
        """Return all points as they were in the last message, for a page that has missed some."""
        self._changed = None
        return self.take_changes()


def encode_marks(marks: Marks) -> int:
    """Return marks as a byte: star, rejected, rating (three bits), whether there is a note, whether there are tags."""
    values = marks.values
    rating = values.get("rating")
    return (
        bool(values.get("star"))
        | bool(values.get("rejected")) << 1
        | (rating if isinstance(rating, int) and 0 <= rating <= 5 else 0) << 2
        | bool(values.get("note")) << 5
        | bool(marks.tags) << 6
    )
