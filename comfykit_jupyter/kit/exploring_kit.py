"""`ExploringKit`: a kit that keeps its runs, and runs many. What it does is in the room `explore`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.kit_parts.running_kit import RunningKit
from comfykit_jupyter.workflow.errors import short_repr

if TYPE_CHECKING:
    from comfykit_jupyter.client.running.recorder import RunRecorder
    from comfykit_jupyter.explore.runs.runs import Runs
    from comfykit_jupyter.explore.search.search_space import SearchSpace
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.kit.kit import ComfyKit

DEFAULT_RUNS = "runs"
"""The folder that sweeps use by default, below the current one."""
KEPT_TIMEOUT = 5.0
"""Seconds that `kit.runs` waits for outputs that are still being fetched."""


class ExploringKit(RunningKit):
    """A kit with a folder for its runs."""

    @property
    def runs(self) -> Runs:
        """All runs that were kept, in the folder `runs=`, else in `./runs` if it exists.

        Waits up to a few seconds for runs of this process that are still being written.

        Raises:
            ComfyKitError: No run was kept yet, and no folder is set.

        Example:
            kit = ComfyKit(runs="runs")
            kit.run("portrait.json", prompt="a fox")
            kit.runs[0].star = True
        """
        from comfykit_jupyter.explore.ledger.ledger import open_ledger
        from comfykit_jupyter.explore.ledger.recorder import wait_until_kept
        from comfykit_jupyter.explore.runs.runs import Runs

        folder = self.runs_folder
        if folder is None:
            raise ComfyKitError('no folder for runs is set: use ComfyKit(runs="runs"), or %comfykit runs runs')
        if not loop.is_loop_thread():
            with contextlib.suppress(TimeoutError):
                loop.call(wait_until_kept(folder), KEPT_TIMEOUT)
        return Runs(open_ledger(folder), cast("ComfyKit", self))

    @property
    def runs_folder(self) -> Path | None:
        """The folder of `runs`; None if none is set, and no run was kept in `./runs`."""
        default = Path(DEFAULT_RUNS).resolve()
        return self._settings.runs or (default if (default / "journal").is_dir() else None)

    def sweep(
        self, workflow: Any, values: Mapping[str, Any] | None = None, /, *, over: Any = None, **more: Any
    ) -> Sweep:
        """Plan runs of a workflow for all combinations of some values. Nothing is sent before `start()` or `wait()`.

        Args:
            workflow: As for `run`.
            values: Values that all points share, by parameter name.
            over: The axes: a dict of lists, `seeds(4)`, `replace(…)`, `lora(…)` or `wildcards(…)` by parameter name; or
                a list of dicts, or a DataFrame, for paired values.
            more: More values that all points share, as keywords.

        Returns:
            The sweep. Created again, also in a new kernel, it has the points that are done already.

        Raises:
            ComfyKitError: The workflow can't be read, there is no axis, or an axis is not valid.

        Example:
            sweep = kit.sweep("portrait.json", prompt="a fox", over={"cfg": [3, 4.5, 6], "seed": seeds(4)})
            sweep.wait().df
        """
        shared = {**(values or {}), **more}
        if over is None:
            lists = {name: each for name, each in shared.items() if isinstance(each, (list, tuple, range))}
            example = short_repr(lists or {"cfg": [3, 4.5, 6]})
            raise ComfyKitError(f"sweep: say what varies, as in over={example}")
        return self._make_sweep(workflow, shared, over)

    def map(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> Sweep:
        """Plan a run of a workflow for each of many inputs. Nothing is sent before `start()` or `wait()`.

        Args:
            workflow: As for `run`.
            values: Values by parameter name. One of them has the inputs: a folder of images, videos or audio files; a
                list; rows, such as `sweep.picked`; or a column of a DataFrame.
            more: More values, as keywords.

        Returns:
            A sweep with one axis.

        Raises:
            ComfyKitError: The workflow can't be read, or not exactly one value has the inputs.

        Example:
            sweep = kit.map("upscale.json", image=Path("photos"), scale=2)
            sweep.wait().export("large", "{image.stem}")
        """
        from comfykit_jupyter.explore.sweeps.inputs import describe_inputs, find_inputs

        inputs, shared = find_inputs({**(values or {}), **more})
        return self._make_sweep(workflow, shared, {inputs.name: inputs.values}, describe_inputs(inputs))

    def search(
        self, workflow: Any, values: Mapping[str, Any] | None = None, /, *, over: Any, **more: Any
    ) -> SearchSpace:
        """Plan a search for good values; `.by(…)` says which. Nothing is sent before `start()` or `wait()`.

        Args:
            workflow: As for `run`.
            values: Values that all points share, by parameter name.
            over: What is varied: a dict of ranges, `(3.0, 9.0)` or `(10, 30)`, and lists of choices, by parameter name.
            more: More values that all points share, as keywords.

        Returns:
            The space; its method `by` returns the search.

        Raises:
            ComfyKitError: The workflow can't be read, a range is reversed, or a value is not allowed.

        Example:
            search = kit.search("portrait.json", over={"cfg": (3.0, 9.0), "sampler": ["euler", "dpmpp_2m"]})
            search = search.by(lambda row: sharpness(row.image.pil()), n=40)
            search.wait().best.image
        """
        from comfykit_jupyter.explore.ledger.ledger import open_ledger
        from comfykit_jupyter.explore.search.search_space import SearchSpace

        def make_sweep(workflow: Any, points: Any) -> Sweep:
            return self._make_sweep(workflow, {**(values or {}), **more}, points, kind="search")

        return SearchSpace(open_ledger(self._get_runs_folder()), workflow, over, make_sweep)

    def _make_sweep(
        self, workflow: Any, values: Mapping[str, Any], over: Any, notes: Sequence[str] = (), kind: str = ""
    ) -> Sweep:
        from comfykit_jupyter.explore.ledger.ledger import open_ledger
        from comfykit_jupyter.explore.points.preparation import Preparation, Salts
        from comfykit_jupyter.explore.sweeps.sweep import Sweep

        ledger = open_ledger(self._get_runs_folder())
        preparation = Preparation(*self._locate(workflow), values, over, Salts(ledger).find, notes=notes, kind=kind)
        sweep = Sweep(cast("ComfyKit", self), ledger, preparation, self._settings.keep)
        sweep.source = workflow
        return sweep

    def _get_runs_folder(self) -> Path:
        """Return the folder for runs; sweeps use `./runs` by default."""
        return self._settings.runs or Path(DEFAULT_RUNS).resolve()

    def _get_recorder(self) -> RunRecorder | None:
        """Return what keeps the runs of this kit, if a folder is set."""
        if self._settings.runs is None:
            return None
        from comfykit_jupyter.explore.ledger.recorder import get_recorder

        return get_recorder(self._settings.runs, self._settings.keep)
