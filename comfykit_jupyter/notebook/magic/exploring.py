"""What `%comfykit sweep` and `%comfykit runs` do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.display import display

from comfykit_jupyter.client.settings import set_runs
from comfykit_jupyter.explore.points.axes import Seeds
from comfykit_jupyter.explore.sweeps.line import pause_after_interrupt
from comfykit_jupyter.notebook.magic.axes import is_axis, split_axes
from comfykit_jupyter.notebook.magic.commands import Call, convert_values

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow


def start_sweep(
    kit: ComfyKit, call: Call, workflow: Workflow, fields: tuple[Field, ...], evaluate: Callable[[str], Any]
) -> Sweep:
    """Return the sweep that a line describes, not yet started.

    Raises:
        UsageError: The line has no axis, or a range is wrong.
        ComfyKitError: A value does not fit.
    """
    tokens, lists = split_axes(call.values, fields)
    shared = convert_values(tokens, workflow, fields, evaluate)
    over: dict[str, Any] = {name: value for name, value in shared.items() if is_axis(value)}
    for name, found in lists.items():
        over[name] = found
        if not isinstance(found, Seeds):
            converted = [convert_values({name: token}, workflow, fields, evaluate)[name] for token in found]
            over[name] = converted
    if not over:
        raise UsageError("sweep: give several values for a parameter: cfg=3,4.5,6, steps=10..30:5 or seed=*4")
    ordered = {name: over[name] for name in call.values if name in over}
    source = workflow if workflow.preset is not None or workflow.loras else call.arguments[0]
    return kit.sweep(source, {name: value for name, value in shared.items() if name not in over}, over=ordered)


def run_sweep(sweep: Sweep, *, plan_only: bool, sure: bool) -> None:
    """Show the plan, or run a sweep in its live grid."""
    if plan_only:
        print(sweep.plan)
        return
    for note in sweep.plan.notes:
        print(note)
    sweep.start(sure=sure)
    try:
        display(sweep)
    except KeyboardInterrupt:  # `wait` does the same
        pause_after_interrupt(sweep.pause)
        raise
    sweep.wait()


def show_runs(kit: ComfyKit, call: Call) -> None:
    """Set the folder of the runs, or show those that are in it."""
    if call.arguments:
        print(f"runs are kept in {set_runs(call.arguments[0])}")
    else:
        display(kit.runs)
