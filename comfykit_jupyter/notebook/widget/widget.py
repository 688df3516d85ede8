"""`WorkflowWidget`: the form of a workflow, which runs it and shows what comes of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import traitlets

from comfykit_jupyter.client.current import get_current_kit
from comfykit_jupyter.client.errors import ComfyKitError, ParameterError
from comfykit_jupyter.client.local_files import strip_folders
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.results.result import find_changed_values
from comfykit_jupyter.client.results.wording import format_values
from comfykit_jupyter.client.running.run import find_unfinished_runs
from comfykit_jupyter.notebook.cell_id import create_run_id, identify_form
from comfykit_jupyter.notebook.widget.code import as_code
from comfykit_jupyter.notebook.widget.display import StaticOutput
from comfykit_jupyter.notebook.widget.media import get_inbox, run_in_background
from comfykit_jupyter.notebook.widget.parameters import Parameters
from comfykit_jupyter.notebook.widget.seeds import seed_rows
from comfykit_jupyter.notebook.widget.server_watch import ServerWatch
from comfykit_jupyter.notebook.widget.stage import is_known
from comfykit_jupyter.notebook.widget.values import ValuesTrait, from_wire, initial, to_wire
from comfykit_jupyter.notebook.widget.view import Reply, RunView
from comfykit_jupyter.notebook.widget.writer import writer
from comfykit_jupyter.workflow.media_kinds import MEDIA_KINDS, find_format

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.base import Server
    from comfykit_jupyter.client.kit import ComfyKit
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.workflow.workflow import Field

RUNS_AT_ONCE = 100
"""Runs that one message of the page may ask for."""
LINE_LENGTH = 500
"""Characters of what is told at a field to be wrong."""


class WorkflowWidget(RunView):
    """A form of a workflow's parameters, with Run, Cancel, live progress and previews, and the outputs of its runs.

        form = kit.form("portrait.json", steps=30)
        form                                    # shows it
        form.values["prompt"] = "a cat"         # checked; the page follows, as this follows the page
        run = form.run()                        # as the button; run.result() waits
        form.observe(print, names="result")     # also: values, status, progress

    `values` holds all parameters; integers are exact. What differs from the workflow is what a run is given, so that a
    seed nobody touched is drawn. Observers are called on a thread of their own; those of `values` where it was set.

    Args:
        workflow: a path, a URL, a dict, a `Workflow`, or media that carries one.
        values: first values, by name.
        kit: whose server it runs on; else that of `%comfykit connect`.

    Raises:
        ComfyKitError: the workflow can't be read, or a value does not fit. A server that is away is no error, unless
            the workflow lies there: the form shows that it is, and looks for it again.
    """

    values: Any = ValuesTrait()

    def __init__(self, workflow: Any, values: Mapping[str, Any] | None = None, *, kit: ComfyKit | None = None) -> None:
        self._watch = ServerWatch(self._look)
        self._kit = get_current_kit() if kit is None else kit
        self._parameters = Parameters(self._kit, workflow)
        self._refused: dict[str, str] = {}
        server = self._parameters.ask()
        first = self._parameters.check(values or {})
        self._static_output = StaticOutput(lambda: about(self._parameters.workflow.name, self._values()))
        super().__init__(
            view="form",
            title=self._parameters.workflow.name,
            fields=self._parameters.described(),
            storage=self._parameters.storage(),
            server=_server(server),
        )
        self.handlers |= {
            "set": (writer.post, self._on_set),
            "run": (writer.post, self._on_run),
            "apply": (writer.post, self._on_apply),
            "use": (writer.post, self._on_use),
            "code": (writer.post, self._on_code),
            "choices": (writer.post, self._on_choices),
            "upload": (run_in_background, self._on_upload),
        }
        self._trait().put(self, {**self._parameters.initial(), **first})
        self._cell_id = identify_form(self.storage)
        for run in find_unfinished_runs():
            if run.id.endswith(self._cell_id):  # of the form that this cell made before
                self.show(run)
        if server.reachable:
            run_in_background(self._find_again)
        else:
            self._watch.start()

    def __repr__(self) -> str:
        return f"<WorkflowWidget {about(self._parameters.workflow.name, self._values())}: {self.status}>"

    def _ipython_display_(self) -> None:
        from IPython.display import display

        bundle = self._repr_mimebundle_() if self.comm is not None else None
        if bundle is not None:
            data, metadata = bundle if isinstance(bundle, tuple) else (bundle, {})
            display(data, metadata=metadata, raw=True)
        self._static_output.show()

    def run(self) -> Run:
        """Run the workflow with the values of the form, as its button does. Returns at once.

        What is wrong with the values or the run is told by `run.result()`, and shown in the form.
        """
        return self._submit({})

    def _submit(self, seeds: Mapping[str, Any]) -> Run:
        run = self._kit.submit_as(create_run_id(self._cell_id), self._parameters.workflow, {**self.given(), **seeds})
        self.show(run)
        return run

    def attach(self, prompt_id: str) -> Run:
        """Show a run that was begun elsewhere, or before the kernel restarted, and its outputs when it has ended.

        A form finds its own unfinished runs, and the one that ended last, when its cell runs again.

        Raises:
            ComfyKitError: it is no prompt_id.
        """
        run = self._kit.attach(prompt_id)
        run.subscribe(done=self._compare)
        self.show(run)
        return run

    def _compare(self, result: ExecuteResult) -> None:
        """What differs in an attached run is told by this form's workflow: the server has but the prompt."""
        result.changed.update(find_changed_values(result.params, result.seeds, self._parameters.workflow))

    def _find_again(self) -> None:
        """Show the runs of this form on the server that this kernel knows nothing of: it has restarted meanwhile."""
        with contextlib.suppress(ComfyKitError):
            for found in self._kit.find(self._cell_id, self._parameters.workflow):
                if not is_known(found):
                    self.attach(found)

    def given(self) -> dict[str, Any]:
        """The values that differ from the workflow's own: what a run is given."""
        first = self._parameters.initial()
        return {
            name: value
            for name, value in self._values().items()
            if name not in first or first[name] != value or type(first[name]) is not type(value)
        }

    @property
    def described(self) -> tuple[Field, ...]:
        """The workflow's parameters, with bounds and choices where the server is there to give them."""
        return tuple(self._parameters.fields.values())

    def close(self) -> None:
        """Take the form out of the page. Runs go on; what they gave stays in the notebook."""
        self._watch.stop()
        super().close()

    # -- values --------------------------------------------------------------------------------------------------------

    def change_values(self, changes: Mapping[str, Any], *, whole: bool = False) -> None:
        """Check and set values; `whole`: all others go back to the workflow's own.

        Raises:
            ParameterError: a name or value is wrong; nothing was changed.
        """
        checked = self._parameters.check(changes)
        with self.lock:
            before = self._parameters.initial() if whole else self._values()
            self._trait().put(self, {**before, **checked})
            self._forgive(list(self._refused) if whole else list(checked))

    def _values(self) -> dict[str, Any]:
        return dict(self._trait_values["values"])

    def _trait(self) -> ValuesTrait:
        trait: ValuesTrait = type(self).values
        return trait

    def _forgive(self, names: Sequence[str]) -> None:
        """These have a value again that fits."""
        for name in names:
            self._refused.pop(name, None)
        left = {name: line for name, line in self.errors.items() if name not in names}
        if left != self.errors:
            self.errors = left

    # -- the page ------------------------------------------------------------------------------------------------------

    def _on_hello(self, content: dict[str, Any], buffers: Sequence[Any]) -> Reply:
        self._watch.check_now()
        return super()._on_hello(content, buffers)

    def _on_set(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        name = str(content["name"])
        if name not in self._parameters.fields:
            raise ComfyKitError(f"the form has no field {name[:60]!r}")
        try:
            if content.get("reset") is True:
                self._reset(name)
            else:
                self.change_values({name: from_wire(content["value"], self._parameters.fields[name].kind)})
        except ParameterError as error:
            self._refused[name] = strip_folders(str(error))[:LINE_LENGTH]
            with self.lock:
                self.errors = {**self.errors, name: self._refused[name]}
            raise
        return {}, ()

    def _reset(self, name: str) -> None:
        with self.lock:
            values, first = self._values(), self._parameters.initial()
            values.pop(name, None)
            self._trait().put(self, {**values, **({name: first[name]} if name in first else {})})
            self._forgive([name])

    def _on_run(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        times = int(content.get("times") or 1)
        if not 1 <= times <= RUNS_AT_ONCE:
            raise ComfyKitError(f"{times} runs at once: 1 to {RUNS_AT_ONCE} can be asked for")
        if self._refused:
            raise ComfyKitError("; ".join(self._refused.values()))
        with self.lock:
            self.errors = {}
        rows = seed_rows(
            self._parameters.workflow, self.described, self._values(), str(content.get("seed") or ""), times
        )
        ids = [self._submit(seeds).id for seeds in rows]
        return {"prompt_id": ids[0], "prompt_ids": ids}, ()

    def _on_apply(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        result = self._known(content["run"])
        seeds = {name: seed for name, seed in result.seeds.items() if name in self._parameters.fields}
        self.change_values({**result.params, **seeds}, whole=True)
        return {}, ()

    def _on_use(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        name = str(content["name"])
        media = self.find_media(content["run"], content["key"])
        field = self._parameters.fields.get(name)
        if field is None or field.kind not in (media.kind, "file"):
            raise ComfyKitError(f"{name[:60]} takes no {media.kind}")
        self.change_values({name: media})
        return {}, ()

    def _on_code(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        return {
            "code": as_code(self._parameters.source, self._known(content["run"]), self._parameters.workflow, self._kit)
        }, ()

    def _ended(self, run: str) -> ExecuteResult:
        result = self.stage.results.get(run)
        if result is None:
            raise ComfyKitError("this run is no longer available: run the cell again")
        return result

    def _known(self, run: str) -> ExecuteResult:
        """A run of which it is known what was run."""
        result = self._ended(run)
        if not result.workflow_name:  # attached, and nobody has its prompt on record
            where = urlsplit(result.server).netloc
            raise ComfyKitError(f"with which values this run was made is not known: {where} tells its outputs only")
        return result

    def _on_choices(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        field = self._parameters.fields.get(str(content["name"]))
        return {"choices": to_wire(list(field.choices or ())) if field else []}, ()

    def _on_upload(self, content: dict[str, Any], buffers: Sequence[Any]) -> Reply:
        name = str(content["name"])
        if name not in self._parameters.fields or self._parameters.fields[name].kind not in MEDIA_KINDS:
            raise ComfyKitError(f"the form has no field {name[:60]!r} that takes a file")
        key = f"{self.model_id}:{content['upload']}"
        received, path = get_inbox().receive(
            key, str(content["file"]), int(content["size"]), int(content["offset"]), bytes(buffers[0])
        )
        if path is None:
            return {"received": received}, ()
        writer.post(lambda: self.change_values({name: str(path)}))
        return {"received": received, "value": str(path)}, ()

    def find_file(self, run: str, key: str) -> tuple[Path, str]:
        """As in `RunView`; the run `input` stands for the form's own media values."""
        if run != "input":
            return super().find_file(run, key)
        field, value = self._parameters.fields[key], self._values().get(key)
        if field.kind not in MEDIA_KINDS or not isinstance(value, str):
            raise ComfyKitError(f"{key}: there is nothing to show of it here")
        if isinstance(value, Media):
            return value.path, value.mime
        path = Path(value).expanduser()
        if value != initial(field) and path.is_file():  # a workflow from elsewhere opens no files here
            kind, found = find_format(path.name)
            if kind == "file":
                raise ComfyKitError(f"{key}: there is nothing to show of it here")
            return path, found.mime
        if value.startswith(("http://", "https://")):
            raise ComfyKitError(f"{key}: what is behind an address is seen when it has run")
        there = self._kit.input(value, self._parameters.workflow)
        return there.path, there.mime

    # -- runs and the server -------------------------------------------------------------------------------------------

    def on_run_ended(self, run: Run, result: ExecuteResult) -> None:
        """Point at the fields that were wrong, and keep the outputs in the notebook."""
        lines: dict[str, str] = {}
        try:
            run.result(1.0)
        except ParameterError as error:
            lines = {problem.parameter: strip_folders(problem.message) for problem in error.problems}
        except (ComfyKitError, TimeoutError):
            lines = self._parameters.blamed(result)
        if lines:
            with self.lock:
                self.errors = {**self.errors, **{name: line[:LINE_LENGTH] for name, line in lines.items()}}
        self._static_output.add(result)

    @traitlets.observe("status")
    def _follow_status(self, change: Any) -> None:
        if change.new == "running":
            self.server = {**self.server, "state": "busy"}
        elif change.new in ("completed", "failed", "cancelled"):
            self._watch.check_now()

    def _look(self) -> bool:
        """Look at the server; whether it is away or busy, so that it is worth another look."""
        if self.comm is None:
            return False
        complete = self._parameters.complete
        server = self._parameters.ask_again()
        found = self._parameters.complete and not complete
        writer.post(lambda: self._tell(server, found=found))
        return not server.reachable or bool(server.running)

    def _tell(self, server: Server, *, found: bool) -> None:
        with self.lock, self.hold_sync():
            self.server = _server(server)
            if found:
                self.fields, self.storage = self._parameters.described(), self._parameters.storage()
                self._trait().put(self, {**self._parameters.initial(), **self._values()})


def about(name: str, values: Mapping[str, Any]) -> str:
    """A form in one line: the workflow, and what its parameters are."""
    return format_values(name, values) if values else f"{name}: no parameters"


def _server(server: Server) -> dict[str, Any]:
    state = "unreachable" if not server.reachable else "busy" if server.running else "ready"
    return {
        "address": urlsplit(server.url).netloc,
        "state": state,
        "message": server.message,
        "version": server.version,
    }
