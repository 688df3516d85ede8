"""`WorkflowWidget`: the form of a workflow, which runs it and shows its outputs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future, wait
from typing import TYPE_CHECKING, Any

import traitlets

from comfykit_jupyter.client.backends.server import Servers
from comfykit_jupyter.client.errors import ComfyKitError, ParameterError
from comfykit_jupyter.client.results.result import find_changed_values
from comfykit_jupyter.client.results.wording import format_value, format_values
from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.kit.current import get_current_kit
from comfykit_jupyter.notebook.cell_id import create_run_id, locate_form
from comfykit_jupyter.notebook.hosts import explain_missing_widgets
from comfykit_jupyter.notebook.page.code import build_code
from comfykit_jupyter.notebook.page.display import StaticOutput, show_wait
from comfykit_jupyter.notebook.page.forms import register_form
from comfykit_jupyter.notebook.page.media import run_in_background
from comfykit_jupyter.notebook.page.page_widget import Reply
from comfykit_jupyter.notebook.page.values import STACK
from comfykit_jupyter.notebook.page.writer import writer
from comfykit_jupyter.notebook.static_form import build_static_form
from comfykit_jupyter.notebook.widget.form.loras import LABEL
from comfykit_jupyter.notebook.widget.form.parameters import FormParameters
from comfykit_jupyter.notebook.widget.form.seeds import choose_seeds
from comfykit_jupyter.notebook.widget.lists.lists_view import ListsView
from comfykit_jupyter.notebook.widget.server_watch import ServerWatch
from comfykit_jupyter.notebook.widget.stage.stage import is_known
from comfykit_jupyter.workflow.lora_stack import format_stack, to_plain
from comfykit_jupyter.workflow.loras import LoraError, read_inserted
from comfykit_jupyter.workflow.nodes import RANDOM

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.server import Server
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.kit.kit import ComfyKit
    from comfykit_jupyter.workflow.document.workflow import Field

FINDING_TIMEOUT = 5.0
"""Seconds that a call waits until the form has found its earlier runs."""


class WorkflowWidget(ListsView):
    """A form of a workflow's parameters, with Run, Cancel, live progress and previews, and the outputs of its runs.

    A seed that was not touched is drawn for each run. A server that is away is not an error, unless it hosts the
    workflow: the form says so, and connects when the server is back.

    Args:
        workflow: A path, a URL, a dict, a `Workflow`, or media that carries a workflow.
        values: The first values by name.
        kit: Where the workflow runs. The default is the kit of `%comfykit connect`.

    Attributes:
        values (MutableMapping[str, Any]): The values of all parameters by name. Assigned values are checked, and
            integers are exact.
        status (str): `idle`, `queued`, `running`, `completed`, `failed` or `cancelled`.
        progress (dict[str, Any]): How far the shown run is: `fraction` (0 to 1), `elapsed` and `remaining` (seconds),
            `node_title`, `step`, `steps`, and others.
        result (ExecuteResult | None): The result of the run that ended last.
        sweep (Sweep | None): The sweep of the last run with lists of values. Its grid is below the form.
        loras (dict[str, Any]): The stack of LoRAs, as `with_loras` accepts it. Assigning replaces it; observers of
            `values` are called.
        lists (dict[str, Any]): What fields with several values have, by name: a text such as `3, 4.5` or `1..9:2`, or
            chosen values.
        plan (str): What the Run button does with them.
        grids (list[str]): The models of the grids below the form: the newest sweep, and those that still run.

    The first four can be observed. Observers of `values` are called on the thread that sets a value, all others on a
    thread of their own.

    Raises:
        WorkflowError: The workflow can't be read.
        ParameterError: A value does not fit.
        ServerError: The server that hosts the workflow is away.

    Example:
        form = kit.form("portrait.json", steps=30)
        form                                    # shows the form
        form.values["prompt"] = "a cat"         # checked, and shown in the page
        run = form.run()                        # the same as the Run button
        run.result()                            # waits for the run
        form.observe(print, names="result")     # called at the end of each run
    """

    def __init__(self, workflow: Any, values: Mapping[str, Any] | None = None, *, kit: ComfyKit | None = None) -> None:
        self._watch = ServerWatch(self._check_server)  # first of all: a form that can't be made is closed, too
        kit = get_current_kit() if kit is None else kit
        parameters = FormParameters(kit, workflow)
        self._static_output = StaticOutput(self._build_static_form)
        self._obstacle: str | None = None
        """Why the form was not shown where it was displayed last."""
        self._restored: dict[str, Any] = {}
        """The values that come from a run that was found."""
        with show_wait("Asking the server about the nodes of this workflow…"):
            server = parameters.load()
        super().__init__(kit, parameters, values or {})
        self._show_state(server)
        register_form(self)
        self.handlers |= {
            "run": (writer.post, self._on_run),
            "code": (writer.post, self._on_code),
        }
        if parameters.preset is not None:
            self.use_first_preset(parameters.preset, list(values or ()))
        self._identify = locate_form(self.storage)
        self._cell_id = self._identify(self.storage)
        for run in find_unfinished_runs():
            if run.id.endswith(self._cell_id):  # a run of the form that this cell made before
                self.show(run)
        self._attached: set[str] = set()
        """The prompt IDs of jobs that the form was attached to."""
        self._finding: Future[None] | None = None
        if server.reachable:
            self._finding = run_in_background(self._attach_earlier_runs)
            run_in_background(self.look_for_missing)
        else:
            self._watch.start()

    def __repr__(self) -> str:
        return f"<WorkflowWidget {self._format_values()}: {self.status}>"

    def _ipython_display_(self) -> None:
        from IPython import get_ipython
        from IPython.display import display

        self._obstacle = explain_missing_widgets(get_ipython())
        bundle = self._repr_mimebundle_() if self.comm is not None and self._obstacle is None else None
        if bundle is not None:
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
            data = {**data, "text/plain": ""}  # the static output below says what a viewer without widgets has to know
            display(data, metadata=metadata, raw=True)
        self._static_output.show()

    def _build_static_form(self) -> dict[str, Any]:
        source, fields = self._parameters.source, self.get_fields()
        stack = format_stack(self._get_values()[STACK])
        return build_static_form(self._format_values(), source, fields, dict(self.values), self._obstacle, stack)

    def _format_values(self) -> str:
        """Format the workflow and its values in one line."""
        name, values = self._parameters.workflow.name, dict(self.values)
        if stack := format_stack(self._get_values()[STACK]):
            values[LABEL] = stack
        return format_values(name, values) if values else f"{name}: no parameters"

    def run(self) -> Run:
        """Run the workflow with the values of the form, as the Run button does.

        After a kernel restart the same call in the same cell is attached to its job, as `kit.submit` is.

        Returns:
            The run, at once. `run.result()` waits for it, and raises the errors of values and of the run; the form
            shows them too.

        Example:
            result = form.run().result()
        """
        if self._finding is not None:
            wait([self._finding], FINDING_TIMEOUT)  # else both could show the same job
        return self._submit({}, is_call=True)

    def attach(self, prompt_id: str) -> Run:
        """Show a run that was started elsewhere, or before the kernel restarted.

        A form attaches its own unfinished runs, and its last one, when its cell runs again.

        Args:
            prompt_id: The server's ID of the run.

        Returns:
            The run, at once.

        Raises:
            ComfyKitError: This can't be a prompt ID.

        Example:
            form.attach("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")
        """
        run = self._kit.attach(prompt_id)
        self._attached.add(run.id)
        run.subscribe(done=self._compare)
        self.show(run)
        return run

    def get_fields(self) -> tuple[Field, ...]:
        """Return the fields of the form, with bounds and choices if the server could be asked.

        Returns:
            One `Field` for each parameter, in the order of the form.

        Example:
            [field.name for field in form.get_fields()]
        """
        return tuple(self._parameters.fields.values())

    def close(self) -> None:
        """Remove the form from the page. Its runs continue, and its static output stays in the notebook."""
        self._watch.stop()
        super().close()

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _submit(self, seeds: Mapping[str, Any], *, is_call: bool = False) -> Run:
        return self._submit_values({**self._find_changed_values(), **seeds}, seeds, is_call=is_call)

    def _submit_values(self, values: Mapping[str, Any], seeds: Mapping[str, Any], *, is_call: bool = False) -> Run:
        id_ = create_run_id(self._cell_id)
        workflow, own = self._parameters.take_stack(values)
        run = self._kit.submit_as(id_, workflow, own, is_call=is_call)
        if run.id in self._attached:
            return run  # the form shows this job already
        label = " · ".join(
            f"random {name}" if value == RANDOM else f"{name} {format_value(value)}"
            for name, value in {**seeds, **own}.items()
        )
        label = " · ".join(filter(None, [label, format_stack(workflow.stack)]))
        self.stage.add(run, label, lambda: self._submit_values(values, seeds))
        return run

    def _compare(self, result: ExecuteResult) -> None:
        """Find the changed values of an attached run by this form's workflow: the server has only the prompt."""
        if result.workflow_name:
            result.workflow_name = self._parameters.workflow.name
        workflow = self._parameters.workflow
        result.changed.update(find_changed_values(result.params, result.seeds, workflow))
        if workflow.resolved and not result.loras:
            result.loras = to_plain(read_inserted(result.prompt, workflow.prompt))

    def _attach_earlier_runs(self) -> None:
        """Attach the runs of this form that the server has and this kernel does not: the kernel was restarted."""
        with contextlib.suppress(ComfyKitError):
            for prompt_id in self._kit.find(self._cell_id, self._parameters.workflow):
                if not is_known(prompt_id):
                    run = self.attach(prompt_id)
                    run.subscribe(done=lambda result: writer.post(lambda: self._restore_values(result)))

    def _restore_values(self, result: ExecuteResult) -> None:
        """Set the values of a run that was found, except those that were given or changed since."""
        initial = {**self._parameters.get_defaults(), **self._restored}
        values = {
            name: value
            for name, value in result.changed.items()
            if name in self._parameters.fields and self._get_values().get(name) == initial.get(name)
        }
        if result.loras and self._get_values()[STACK] == initial[STACK]:
            values[STACK] = result.loras
        with contextlib.suppress(ParameterError):  # the workflow has changed since
            self.change_values(values)
            self._restored |= {name: self._get_values()[name] for name in values}

    def _on_run(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        return self.start_runs(content)

    def start_runs(self, content: Mapping[str, Any]) -> Reply:
        """Start one or several runs with the values of the form."""
        times = self._read_times(content)
        if self._rejected:
            raise ComfyKitError("; ".join(self._rejected.values()))
        self.refuse_if_missing()
        with self.lock:
            self.errors = {}
        seeds = choose_seeds(
            self._parameters.workflow, self.get_fields(), self._get_values(), str(content.get("seed") or ""), times
        )
        ids = [self._submit(each).id for each in seeds]
        return {"prompt_id": ids[0], "prompt_ids": ids}, ()

    def _on_code(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        """Return the code that repeats a run."""
        result = self._find_result(content["run"])
        return {"code": build_code(self._parameters.source, result, self._parameters.workflow, self._kit)}, ()

    def handle_unsent(self, run: Run) -> bool:
        """Show the errors of values at their fields if a run was not sent because of them: then nothing has failed."""
        error = run.failure
        if isinstance(error, ParameterError):
            self._show_errors({problem.parameter: problem.message for problem in error.problems})
        elif isinstance(error, LoraError):
            self._show_errors({STACK: str(error)})
        else:
            return False
        return True

    def on_run_ended(self, result: ExecuteResult) -> None:
        """Show the server's errors at their fields, and add the run to the static output."""
        errors = self._parameters.find_rejected(result)
        if errors:
            self._show_errors(errors)
        self._static_output.add(result)

    # -- the server ----------------------------------------------------------------------------------------------------

    def _on_hello(self, content: dict[str, Any], buffers: Sequence[Any]) -> Reply:
        self._watch.check_now()
        return super()._on_hello(content, buffers)

    @traitlets.observe("status")
    def _follow_status(self, change: Any) -> None:
        if change.new == "running":
            self.server = {**self.server, "state": "busy"}
        elif change.new in ("completed", "failed", "cancelled"):
            self._watch.check_now()

    def _check_server(self) -> bool:
        """Check the server; return whether it is away or busy, and should be checked again."""
        if self.comm is None:
            return False
        was_complete = self._parameters.is_complete
        server = self._parameters.reload()
        if server.reachable and self._finding is None:  # it was away when the form was made
            self._cell_id = self._identify(self._parameters.get_storage_name())
            self._finding = run_in_background(self._attach_earlier_runs)
        found = self._parameters.is_complete and not was_complete
        writer.post(lambda: self.show_server(server, found=found))
        is_incomplete = isinstance(server, Servers) and not all(each.reachable for each in server)
        return not server.reachable or bool(server.running) or is_incomplete

    def show_server(self, server: Server | Servers, *, found: bool) -> None:
        """Show the state of the server; `found`: it has defined the fields that the form did not have before."""
        with self.lock, self.hold_sync():
            self._show_state(server)
            if found:
                self.fields, self.storage = self._parameters.build_trait(), self._parameters.get_storage_name()
                self.notes = self._parameters.list_notes()
                self._set_values({**self._parameters.get_defaults(), **self._get_values()})
                self.use_pending_preset()
                run_in_background(self.look_for_missing)

    def _show_state(self, server: Server | Servers) -> None:
        states = list(server) if isinstance(server, Servers) else []
        idle = any(each.reachable and not each.running for each in states)
        state = "unreachable" if not server.reachable else "busy" if server.running and not idle else "ready"
        self.set_server(server.url, state, server.message, server.version, states)
