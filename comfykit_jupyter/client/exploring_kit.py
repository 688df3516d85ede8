"""`ExploringKit`: a kit that keeps its runs, and runs many. What it does is in the room `explore`."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, cast

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.workflow_kit import WorkflowKit

if TYPE_CHECKING:
    from comfykit_jupyter.client.kit import ComfyKit
    from comfykit_jupyter.client.running.recorder import RunRecorder
    from comfykit_jupyter.explore.runs import Runs

DEFAULT_RUNS = "runs"
"""The folder that sweeps use without being told, below the current one."""
KEPT_TIMEOUT = 5.0
"""Seconds that `kit.runs` waits for outputs that are still being fetched."""


class ExploringKit(WorkflowKit):
    """A kit with a folder for its runs."""

    @property
    def runs(self) -> Runs:
        """All runs that were kept: those of the folder `runs=`, else of `./runs` if there is one.

        Waits a few seconds, if need be, for what has ended in this process and is still being written.

        Raises:
            ComfyKitError: No run was kept yet, and no folder is set.

        Example:
            kit = ComfyKit(runs="runs")
            kit.run("portrait.json", prompt="a fox")
            kit.runs[0].star = True
        """
        from comfykit_jupyter.explore.ledger import open_ledger
        from comfykit_jupyter.explore.recorder import wait_until_kept
        from comfykit_jupyter.explore.runs import Runs

        folder = self._settings.runs
        if folder is None:
            folder = Path(DEFAULT_RUNS).resolve()
            if not (folder / "journal").is_dir():
                raise ComfyKitError('no folder for runs is set: use ComfyKit(runs="runs"), or %comfykit runs runs')
        if not loop.is_loop_thread():
            with contextlib.suppress(TimeoutError):
                loop.call(wait_until_kept(folder), KEPT_TIMEOUT)
        return Runs(open_ledger(folder), cast("ComfyKit", self))

    def _get_recorder(self) -> RunRecorder | None:
        """Return what keeps the runs of this kit, if a folder is set."""
        if self._settings.runs is None:
            return None
        from comfykit_jupyter.explore.recorder import get_recorder

        return get_recorder(self._settings.runs, self._settings.keep)
