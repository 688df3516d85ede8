"""Cells in which calls are made, and a kernel that can be restarted, in the process of the tests."""

from __future__ import annotations

import pytest

from comfykit_jupyter.client import cells, senders


class Notebook:
    """A notebook whose kernel is this process.

    Attributes:
        reports: The prompt IDs of the jobs that calls were attached to.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.reports: list[str] = []
        self._monkeypatch = monkeypatch
        self._kernels = 0
        self.restart()
        self.enter()

    def enter(self, name: str = "cell") -> None:
        """Begin to run a cell."""
        cell = cells.Cell(f"{id(self)} {name}", lambda prompt_id, _: self.reports.append(prompt_id))
        self._monkeypatch.setattr(cells, "_find", lambda: cell)

    def restart(self, kernel: int | None = None) -> None:
        """Begin another kernel, later than all before, and run the cell again."""
        self._kernels = self._kernels + 1 if kernel is None else kernel
        self._monkeypatch.setattr(senders, "kernel", f"f{self._kernels:019x}")
        self.enter()

    def leave(self) -> None:
        """Call from a script."""
        self._monkeypatch.setattr(cells, "_find", None)
