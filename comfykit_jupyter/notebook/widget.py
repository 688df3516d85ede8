"""`WorkflowWidget`: the form of a workflow, which runs it and shows what comes of it."""

from __future__ import annotations

import contextlib
import hashlib
import json
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import traitlets

from comfykit_jupyter.client.errors import ComfyKitError, ParameterError, ServerError, WorkflowError
from comfykit_jupyter.client.kit import current
from comfykit_jupyter.client.media import Media
from comfykit_jupyter.client.render import listed
from comfykit_jupyter.client.result import changed_values
from comfykit_jupyter.client.run import unfinished
from comfykit_jupyter.client.transfer import without_folders
from comfykit_jupyter.notebook.code import as_code
from comfykit_jupyter.notebook.described import describe_fields
from comfykit_jupyter.notebook.display import Keepsake, show_widget
from comfykit_jupyter.notebook.media import guess_mime, inbox, work
from comfykit_jupyter.notebook.origin import mark, prompt_id
from comfykit_jupyter.notebook.seeds import seed_rows
from comfykit_jupyter.notebook.stage import is_known
from comfykit_jupyter.notebook.sync import writer
from comfykit_jupyter.notebook.values import ValuesTrait, check_all, from_wire, initial, to_wire
from comfykit_jupyter.notebook.view import Reply, RunView
from comfykit_jupyter.workflow.nodes import MEDIA_KINDS

if TYPE_CHECKING:
    from comfykit_jupyter.client.backend import Server
    from comfykit_jupyter.client.kit import ComfyKit
    from comfykit_jupyter.client.result import ExecuteResult
    from comfykit_jupyter.client.run import Run
    from comfykit_jupyter.workflow.workflow import Field

RUNS_AT_ONCE = 100
"""Runs that one message of the page may ask for."""
RETRY_FIRST, RETRY_MOST = 1.0, 60.0
"""Seconds between two looks at a server that is away or busy: the first, and the most as they double."""


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
        self._timer: threading.Timer | None = None
        self._kit = current() if kit is None else kit
        self._source = workflow
        self._workflow = self._kit.read(workflow)
        self._fields: dict[str, Field] = {}
        self._complete = False
        self._refused: dict[str, str] = {}
        self._looking = threading.Lock()
        self._pause = RETRY_FIRST
        server = self._ask()
        first = check_all(values or {}, self._fields, self._workflow)
        self._keepsake = Keepsake(lambda: about(self._workflow.name, self._values()))
        super().__init__(
            view="form",
            title=self._workflow.name,
            fields=self._described(),
            storage=self._storage(),
            server=_server(server),
        )
        self.handlers |= {
            "set": (writer.post, self._on_set),
            "run": (writer.post, self._on_run),
            "apply": (writer.post, self._on_apply),
            "use": (writer.post, self._on_use),
            "code": (writer.post, self._on_code),
            "choices": (writer.post, self._on_choices),
            "upload": (work, self._on_upload),
        }
        self._trait().put(self, {**self._initial(), **first})
        self._mark = mark(self.storage)
        for run in unfinished():
            if run.id.endswith(self._mark):  # of the form that this cell made before
                self.show(run)
        if server.reachable:
            work(self._find_again)
        else:
            self._look_in(self._pause)

    def __repr__(self) -> str:
        return f"<WorkflowWidget {about(self._workflow.name, self._values())}: {self.status}>"

    def _ipython_display_(self) -> None:
        show_widget(self, self._keepsake)

    def run(self) -> Run:
        """Run the workflow with the values of the form, as its button does. Returns at once.

        What is wrong with the values or the run is told by `run.result()`, and shown in the form.
        """
        return self._submit({})

    def _submit(self, seeds: Mapping[str, Any]) -> Run:
        run = self._kit.submit_as(prompt_id(self._mark), self._workflow, {**self.given(), **seeds})
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
        result.changed.update(changed_values(result.params, result.seeds, self._workflow))

    def _find_again(self) -> None:
        """Show the runs of this form on the server that this kernel knows nothing of: it has restarted meanwhile."""
        with contextlib.suppress(ComfyKitError):
            for found in self._kit.find(self._mark, self._workflow):
                if not is_known(found):
                    self.attach(found)

    def given(self) -> dict[str, Any]:
        """The values that differ from the workflow's own: what a run is given."""
        first = self._initial()
        return {
            name: value
            for name, value in self._values().items()
            if name not in first or first[name] != value or type(first[name]) is not type(value)
        }

    @property
    def described(self) -> tuple[Field, ...]:
        """The workflow's parameters, with bounds and choices where the server is there to give them."""
        return tuple(self._fields.values())

    def close(self) -> None:
        """Take the form out of the page. Runs go on; what they gave stays in the notebook."""
        if self._timer is not None:
            self._timer.cancel()
        super().close()

    # -- values --------------------------------------------------------------------------------------------------------

    def change_values(self, changes: Mapping[str, Any], *, whole: bool = False) -> None:
        """Check and set values; `whole`: all others go back to the workflow's own.

        Raises:
            ParameterError: a name or value is wrong; nothing was changed.
        """
        checked = check_all(changes, self._fields, self._workflow)
        with self.lock:
            before = self._initial() if whole else self._values()
            self._trait().put(self, {**before, **checked})
            self._forgive(list(self._refused) if whole else list(checked))

    def _initial(self) -> dict[str, Any]:
        first = {name: initial(field) for name, field in self._fields.items()}
        return {name: value for name, value in first.items() if value is not None}

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
        self._pause = RETRY_FIRST
        self._look_in(0)
        return super()._on_hello(content, buffers)

    def _on_set(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        name = str(content["name"])
        if name not in self._fields:
            raise ComfyKitError(f"the form has no field {name[:60]!r}")
        try:
            if content.get("reset") is True:
                self._reset(name)
            else:
                self.change_values({name: from_wire(content["value"], self._fields[name].kind)})
        except ParameterError as error:
            self._refused[name] = without_folders(str(error))[:LINE_LENGTH]
            with self.lock:
                self.errors = {**self.errors, name: self._refused[name]}
            raise
        return {}, ()

    def _reset(self, name: str) -> None:
        with self.lock:
            values, first = self._values(), self._initial()
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
        rows = seed_rows(self._workflow, self.described, self._values(), str(content.get("seed") or ""), times)
        ids = [self._submit(seeds).id for seeds in rows]
        return {"prompt_id": ids[0], "prompt_ids": ids}, ()

    def _on_apply(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        result = self._known(content["run"])
        seeds = {name: seed for name, seed in result.seeds.items() if name in self._fields}
        self.change_values({**result.params, **seeds}, whole=True)
        return {}, ()

    def _on_use(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        name = str(content["name"])
        media = self.media(content["run"], content["key"])
        field = self._fields.get(name)
        if field is None or field.kind not in (media.kind, "file"):
            raise ComfyKitError(f"{name[:60]} takes no {media.kind}")
        self.change_values({name: media})
        return {}, ()

    def _on_code(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        return {"code": as_code(self._source, self._known(content["run"]), self._workflow, self._kit)}, ()

    def _ended(self, run: str) -> ExecuteResult:
        result = self.stage.results.get(run)
        if result is None:
            raise ComfyKitError("this run is no longer there: run the cell again")
        return result

    def _known(self, run: str) -> ExecuteResult:
        """A run of which it is known what was run."""
        result = self._ended(run)
        if not result.workflow_name:  # attached, and nobody has its prompt on record
            where = urlsplit(result.server).netloc
            raise ComfyKitError(f"with which values this run was made is not known: {where} tells its outputs only")
        return result

    def _on_choices(self, content: dict[str, Any], _buffers: Sequence[Any]) -> Reply:
        field = self._fields.get(str(content["name"]))
        return {"choices": to_wire(list(field.choices or ())) if field else []}, ()

    def _on_upload(self, content: dict[str, Any], buffers: Sequence[Any]) -> Reply:
        name = str(content["name"])
        if name not in self._fields or self._fields[name].kind not in MEDIA_KINDS:
            raise ComfyKitError(f"the form has no field {name[:60]!r} that takes a file")
        key = f"{self.model_id}:{content['upload']}"
        received, path = inbox().receive(
            key, str(content["file"]), int(content["size"]), int(content["offset"]), bytes(buffers[0])
        )
        if path is None:
            return {"received": received}, ()
        writer.post(lambda: self.change_values({name: str(path)}))
        return {"received": received, "value": str(path)}, ()

    def file(self, run: str, key: str) -> tuple[Path, str]:
        """As in `RunView`; the run `input` stands for the form's own media values."""
        if run != "input":
            return super().file(run, key)
        field, value = self._fields[key], self._values().get(key)
        if field.kind not in MEDIA_KINDS or not isinstance(value, str):
            raise ComfyKitError(f"{key}: there is nothing to show of it here")
        if isinstance(value, Media):
            return value.path, value.mime
        path = Path(value).expanduser()
        if value != initial(field) and path.is_file():  # a workflow from elsewhere opens no files here
            if guess_mime(path).partition("/")[0] not in MEDIA_KINDS:
                raise ComfyKitError(f"{key}: there is nothing to show of it here")
            return path, guess_mime(path)
        if value.startswith(("http://", "https://")):
            raise ComfyKitError(f"{key}: what is behind an address is seen when it has run")
        there = self._kit.input(value, self._workflow)
        return there.path, there.mime

    # -- runs and the server -------------------------------------------------------------------------------------------

    def ended(self, run: Run, result: ExecuteResult) -> None:
        """Point at the fields that were wrong, and keep the outputs in the notebook."""
        lines: dict[str, str] = {}
        try:
            run.result(1.0)
        except ParameterError as error:
            lines = {problem.parameter: without_folders(problem.message) for problem in error.problems}
        except (ComfyKitError, TimeoutError):
            if result.error is not None and result.error.kind == "refused":
                lines = self._blamed(result)
        if lines:
            with self.lock:
                self.errors = {**self.errors, **{name: line[:LINE_LENGTH] for name, line in lines.items()}}
        self._keepsake.add(result)

    @traitlets.observe("status")
    def _follow_status(self, change: Any) -> None:
        if change.new == "running":
            self.server = {**self.server, "state": "busy"}
        elif change.new in ("completed", "failed", "cancelled"):
            self._pause = RETRY_FIRST
            self._look_in(0)

    def _blamed(self, result: ExecuteResult) -> dict[str, str]:
        error = result.error
        if error is None:
            return {}
        return {
            name: error.message
            for name in self._fields
            for target in self._workflow.parameter(name).targets
            if (target.node_id, target.field) == (error.node_id, error.field)
        }

    def _described(self) -> list[dict[str, Any]]:
        return describe_fields(self._fields.values())

    def _storage(self) -> str:
        names = json.dumps([self._workflow.name, sorted(self._fields)])
        return f"{self._workflow.name[:60]}-{hashlib.sha256(names.encode()).hexdigest()[:16]}"

    def _ask(self) -> Server:
        """Look at the server, and get the fields as it defines them; without it as the workflow shows them."""
        server = self._kit.server(self._workflow)
        if server.reachable and not self._complete:
            with contextlib.suppress(ServerError):
                self._workflow = self._kit.load(self._workflow)
                self._fields = {field.name: field for field in self._kit.fields(self._workflow)}
                self._complete = True
        if not self._fields and self._workflow.resolved:  # what the editor saved has none before the server is there
            self._fields = {field.name: field for field in self._workflow.fields({})}
        return server

    def _look_in(self, seconds: float) -> None:
        """Look at the server after some seconds, and not before; in a thread of its own, as it may not answer."""
        if self._timer is not None:
            self._timer.cancel()
        self._timer = threading.Timer(seconds, self._look)
        self._timer.daemon = True
        self._timer.start()

    def _look(self) -> None:
        """Look at the server again, and as long as it is away or busy, later again."""
        with self._looking:  # what is told last was seen last
            if self.comm is None:
                return
            complete = self._complete
            try:
                server = self._ask()
            except WorkflowError as error:  # it lacks nodes of a file that only it can read: they may be installed
                server = replace(self._kit.server(self._workflow), reachable=False, message=str(error))
            found = self._complete and not complete
            writer.post(lambda: self._tell(server, found=found))
        if not server.reachable or server.running:
            self._look_in(self._pause)
            self._pause = min(2 * self._pause, RETRY_MOST)

    def _tell(self, server: Server, *, found: bool) -> None:
        with self.lock, self.hold_sync():
            self.server = _server(server)
            if found:
                self.fields, self.storage = self._described(), self._storage()
                self._trait().put(self, {**self._initial(), **self._values()})


def about(name: str, values: Mapping[str, Any]) -> str:
    """A form in one line: the workflow, and what its parameters are."""
    return listed(name, values) if values else f"{name}: no parameters"


def _server(server: Server) -> dict[str, Any]:
    state = "unreachable" if not server.reachable else "busy" if server.running else "ready"
    return {
        "address": urlsplit(server.url).netloc,
        "state": state,
        "message": server.message,
        "version": server.version,
    }
