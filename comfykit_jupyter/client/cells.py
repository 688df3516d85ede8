"""The cell that calls this package. Only a notebook knows it, and sets the function that finds it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ServerError
from comfykit_jupyter.client.senders import SentJob, compute_hash


@dataclass
class Cell:
    """One execution of a cell.

    Attributes:
        name: A text that is the same whenever this cell is run, also after the kernel restarted.
        report: Shows in the cell that a call is attached to a job; it gets the prompt ID, and how to send a new one.
        found: The jobs of earlier kernels, by the address of the server; an error is of one that did not list them.
    """

    name: str
    report: Callable[[str, str], None]
    found: dict[str, Sequence[SentJob | ServerError]] = field(default_factory=dict)
    _calls: Counter[str] = field(default_factory=Counter)

    def name_call(self, call: str) -> str:
        """Return the hash of a call that is made now; equal calls in one cell are numbered."""
        self._calls[call] += 1
        return compute_hash(self.name, call, self._calls[call])


_find: Callable[[], Cell | None] | None = None


def set_finder(find: Callable[[], Cell | None] | None) -> None:
    """Set the function that returns the running cell; None if there is no notebook any more."""
    global _find
    _find = find


def find_cell() -> Cell | None:
    """Return the running cell; None in scripts, callbacks, and cells without an ID."""
    return None if _find is None or loop.is_loop_thread() else _find()
