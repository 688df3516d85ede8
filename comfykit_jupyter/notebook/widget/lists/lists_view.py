"""`ListsView`: a form whose fields can have several values; Run then starts a sweep, with its grid below the form."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import traitlets

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.page_widget import Reply, Work
from comfykit_jupyter.notebook.page.values import STACK
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.widget.editing.editing_view import EditingView
from comfykit_jupyter.notebook.widget.form.loras import find_dropped, find_used
from comfykit_jupyter.notebook.widget.lists.form_sweep import FormSweep
from comfykit_jupyter.workflow.nodes import RANDOM

if TYPE_CHECKING:
    from comfykit_jupyter.explore.sweeps.sweep import Sweep
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.notebook.page.display import StaticOutput
    from comfykit_jupyter.notebook.widget.form.parameters import FormParameters

MAX_RUNS_AT_ONCE = 100
"""Runs that one message of the page may start."""


class ListsView(EditingView):
    """A form whose fields can have several values.

    Attributes:
        lists: What fields with several values have, by name.
        plan: What the Run button does with them.
        grids: The models of the grids below the form: the newest sweep, and those that still run.
    """

    _static_output: StaticOutput

    lists: Any = traitlets.Dict().tag(sync=True)
    plan = traitlets.Unicode("").tag(sync=True)
    grids: Any = traitlets.List().tag(sync=True)

    def __init__(self, kit: ComfyKit, parameters: FormParameters, values: Mapping[str, Any], **traits: Any) -> None:
        self._form_sweep = FormSweep(kit, parameters)
        self._describing = threading.Lock()
        self._times = 1
        """How often the page runs each combination of lists of values."""
        self._sweeps: list[Sweep] = []
        """The sweeps whose grids are below the form, the newest first."""
        super().__init__(kit, parameters, values, **traits)
        self.handlers |= {
            "list": (writer.post, self._on_list),
            "sweep": (writer.post, self._on_sweep),
        }

    @property
    def sweep(self) -> Sweep | None:
        """The sweep of the last run with lists of values; None before the first one."""
        return self._sweeps[0] if self._sweeps else None

    def change_values(self, changes: Mapping[str, Any], *, whole: bool = False) -> None:
        """Check and set values, in place of lists of values; see `FormView`."""
        super().change_values(changes, whole=whole)
        self._drop_lists([*self.lists] if whole else [*changes, *find_dropped(self.lists, self._get_values()[STACK])])

    def _reset_value(self, name: str) -> None:
        super()._reset_value(name)
        self._drop_lists([name, *find_dropped(self.lists, () if name == STACK else self._get_values()[STACK])])

    def _drop_lists(self, names: Sequence[str]) -> None:
        if self.lists:
            self._set_lists({name: each for name, each in self.lists.items() if name not in names})

    def _get_lists(self) -> dict[str, Any]:
        return dict(self.lists)

    def _set_lists(self, lists: dict[str, Any]) -> None:
        """Set the lists of values, and describe them soon."""
        with self.lock, self.hold_sync():
            self._clear_errors(["", *self.lists])
            self.lists, self.plan = lists, ""
        if lists:
            run_in_background(self._describe_lists)

    def _describe_lists(self) -> None:
        with self._describing:  # what was asked last is shown last
            self._describe(self.lists)

    def _describe(self, lists: dict[str, Any]) -> None:
        plan, errors = "", {}
        try:
            plan = self._form_sweep.describe(self._find_changed_values(), lists, self._times)
        except ParameterError as error:
            errors = {each.parameter: each.message for each in error.problems}
        except ComfyKitError as error:
            errors = {"": str(error)}
        with self.lock:
            if lists is self.lists:  # else newer ones are described
                self.plan = plan
                self._show_errors(errors)

    def _on_list(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Give a field several values, or one again; note how often each combination runs."""
        self._times = self._read_times(content)
        lists = dict(self.lists)
        if "name" in content:
            name = self._form_sweep.find_name(str(content["name"]), self._get_values()[STACK])
            lists.pop(name, None)
            if content.get("list"):
                lists[name] = content["list"]
        self._set_lists(lists)
        return {}, ()

    def _on_sweep(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply | Work:
        """Run the lists of values, and show their grid below the form. A large sweep is started there."""
        times = self._read_times(content)
        if not find_used(self.lists, self._get_values()[STACK]):
            return self.start_runs({**content, "seed": RANDOM if times > 1 else ""})
        self.refuse_if_missing()
        if rejected := [error for name, error in self._rejected.items() if name not in self.lists]:
            raise ComfyKitError("; ".join(rejected))
        return partial(self._start_sweep, self._find_changed_values(), self.lists, times)

    def _start_sweep(self, values: dict[str, Any], lists: dict[str, Any], times: int) -> Reply:
        from comfykit_jupyter.notebook.explorer.display import drop_sweep_output, get_sweep_output

        with self._describing:  # else both would plan the same sweep
            sweep = self._form_sweep.make(values, lists, times)
        for each in self._sweeps:
            if each.id == sweep.id:
                each.stop()  # the new one follows the points that run
        running = [each for each in self._sweeps if each.running and each.id != sweep.id]
        for each in set(self._sweeps) - set(running):
            drop_sweep_output(each)
        output = get_sweep_output(sweep)
        output.on_refreshed = self._show_grid
        with self.lock:
            self._sweeps = [sweep, *running]
            self.grids = [get_sweep_output(each).explorer.model_id for each in self._sweeps]
        if not sweep.plan.is_large and "waiting" in sweep.states:
            sweep.start(skip_invalid=True)
        output.refresh()
        return {}, ()

    def start_runs(self, content: Mapping[str, Any]) -> Reply:
        """Start one or several runs with the values of the form."""
        raise NotImplementedError

    def _show_grid(self, bundle: dict[str, Any]) -> None:
        """Show a newer grid in the static output; once its sweep has ended, Run may have nothing left to do."""
        self._static_output.show_grid(bundle)
        if self.lists:
            self._form_sweep.forget()
            self._describe_lists()

    @staticmethod
    def _read_times(content: Mapping[str, Any]) -> int:
        times = int(content.get("times") or 1)
        if not 1 <= times <= MAX_RUNS_AT_ONCE:
            raise ComfyKitError(f"times must be between 1 and {MAX_RUNS_AT_ONCE}, not {times}")
        return times
