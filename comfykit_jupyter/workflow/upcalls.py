"""Upcalls: what a room needs of one above it, which it must not import. `comfykit_jupyter/upcalls.py` answers them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class Upcalls(Protocol):
    """What the upper rooms do for those below. Each call says who makes it."""

    def format_error(self, error: BaseException) -> list[str]:
        """Format an error for a cell, in parts of one or several lines; for `ComfyKitError`."""

    def open_presets(self) -> Any:
        """Return the folder of presets, a `PresetStore`; for `Workflow.use_preset` and its like."""

    def find_origin(self, place: str, url: str) -> Any:
        """Return the `Origin` of media by `Backend.place` and address, or None; for `ExecuteResult.from_dict`."""

    def build_form(self, workflow: Any, values: Mapping[str, Any], kit: Any) -> Any:
        """Return a `WorkflowWidget`; for `kit.form`."""

    def show_sweep(self, sweep: Any) -> None:
        """Display a `Sweep` that is the last line of a cell."""

    def show_runs(self, runs: Any) -> None:
        """Display `Runs` that are the last line of a cell."""

    def get_sweep_view(self, sweep: Any) -> Any:
        """Return the live grid of a `Sweep`; for marimo."""

    def get_runs_view(self, runs: Any) -> Any:
        """Return the live library of `Runs`; for marimo."""

    def open_line(self, sweep: Any) -> Any:
        """Return the `Line` of a `Sweep` that a cell waits for; None if a cell shows its grid."""


_upcalls: Upcalls | None = None


def connect(upcalls: Upcalls) -> None:
    """Set what answers the upcalls of this process."""
    global _upcalls
    _upcalls = upcalls


def get_upcalls() -> Upcalls:
    """Return what answers upcalls. The package sets it when it is imported, and so before any of its modules."""
    if _upcalls is None:
        raise RuntimeError("nothing answers upcalls: import comfykit_jupyter first")
    return _upcalls
