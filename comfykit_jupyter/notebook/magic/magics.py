"""The magic `%comfykit`, and `%%comfykit` with values in the lines below: what its commands do."""

from __future__ import annotations

import copy
import html
from typing import TYPE_CHECKING, Any, NoReturn

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from comfykit_jupyter.client.current import connect, get_current_kit
from comfykit_jupyter.client.errors import ComfyKitError, RunFailed, ServerError
from comfykit_jupyter.client.kit import ComfyKit
from comfykit_jupyter.client.results.keep import keep
from comfykit_jupyter.client.results.result import ExecuteResult
from comfykit_jupyter.client.results.wording import format_failure
from comfykit_jupyter.client.running.run import find_unfinished_runs
from comfykit_jupyter.notebook.magic import tables
from comfykit_jupyter.notebook.magic.commands import HELP, Call, typed, understand
from comfykit_jupyter.notebook.widget.display import Output, static_bundle
from comfykit_jupyter.notebook.widget.values import check_all
from comfykit_jupyter.notebook.widget.writer import writer
from comfykit_jupyter.workflow.errors import one_line
from comfykit_jupyter.workflow.nodes import MEDIA_KINDS
from comfykit_jupyter.workflow.progress.progress import RunError

if TYPE_CHECKING:
    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.running.run import Run
    from comfykit_jupyter.notebook.widget.view import RunView
    from comfykit_jupyter.workflow.workflow import Field, Workflow


class FailedRun(RunFailed):
    """A run in a cell that did not complete: the cell fails with one line, as where it happened is on the server."""

    def _render_traceback_(self) -> list[str]:
        return [f"RunFailed: {self}"]


@magics_class
class ComfyKitMagics(Magics):  # type: ignore[misc]
    """`%comfykit`, for one shell."""

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.fields: dict[str, tuple[Field, ...]] = {}
        """The fields of workflows by path, as last seen: for the completion."""
        self.folders: tuple[str, ...] = ()
        self.prompt_ids: tuple[str, ...] = ()
        """The folders of models and the jobs that were told last: for the completion as well."""
        self._kits: dict[str, ComfyKit] = {}
        self._view: RunView | None = None

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def comfykit(self, line: str, cell: str = "") -> Any:  # noqa: D102 - `%comfykit?` shows the help
        try:
            call = understand(line, self._evaluate, cell)
            if call is None:
                print(HELP)
                return None
            return getattr(self, f"_{call.command}")(call)
        except FailedRun:
            raise
        except (ComfyKitError, ImportError) as error:
            raise UsageError(str(error)) from None

    comfykit.__doc__ = HELP

    def _evaluate(self, expression: str) -> Any:
        try:
            return eval(expression, self.shell.user_ns)  # noqa: S307 - it is the user's own cell
        except Exception as error:  # noqa: BLE001 - whatever the user's expression raises
            raise UsageError(f"{{{expression[:60]}}}: {type(error).__name__}: {error}") from None

    def _kit(self, call: Call) -> ComfyKit:
        url = call.options.get("--url")
        if url is None:
            return get_current_kit()
        if url not in self._kits:
            self._kits[url] = ComfyKit(url)
        return self._kits[url]

    def _read(self, kit: ComfyKit, call: Call) -> tuple[Workflow, tuple[Field, ...]]:
        """The workflow that the line names, and its fields as the server defines them."""
        source = call.arguments[0]
        workflow = kit.load(source)
        fields = kit.fields(workflow)
        if isinstance(source, str):
            self.fields[source] = fields
        return workflow, fields

    # -- run -----------------------------------------------------------------------------------------------------------

    def _run(self, call: Call) -> ExecuteResult | None:
        kit = self._kit(call)
        name = _identifier(call)
        workflow, fields = self._read(kit, call)
        values = typed(call.values, workflow, fields, self._evaluate)
        told = {field.name: field for field in fields if field.kind not in MEDIA_KINDS}
        check_all({name: value for name, value in values.items() if name in told}, told, workflow)
        if "--timeout" in call.options:
            kit = kit.options(timeout=_seconds(call.options["--timeout"]))
        if "--dry-run" in call.options:
            display(tables.of_dry_run(kit.dry_run(workflow, values)), raw=True)
            return None
        return self._ended(self._attend(kit.submit(workflow, values), workflow.name), workflow.name, name)

    def _attach(self, call: Call) -> ExecuteResult:
        kit = self._kit(call)
        name = _identifier(call)
        if not call.arguments:
            raise UsageError("attach: say which run: %comfykit attach PROMPT_ID; %comfykit history has their ids")
        run = kit.attach(str(call.arguments[0]))
        title = f"run {one_line(run.prompt_id, 30 if run.prompt_id.isdecimal() else 8)}"
        return self._ended(self._attend(run, title, stays=True), title, name)

    def _ended(self, result: ExecuteResult, title: str, name: str | None) -> ExecuteResult:
        """Bind a result; the cell fails where the run did."""
        if name is not None:
            self.shell.user_ns[name] = result
        if result.status != "completed":
            cancelled = result.error is not None and result.error.stopped
            error = FailedRun(f"{title}: cancelled" if cancelled else f"{title}: {format_failure(result)}")
            error.result = result
            raise error
        return self._silent(result)

    def _attend(self, run: Run, title: str, *, stays: bool = False) -> ExecuteResult:
        """Show a run until its end, and its result in the same place then. ■ cancels it; one that `stays` is left."""
        output, view = Output(), self._free_view()
        if view is not None:
            with view.written():
                view.title, view.status, view.progress = title, "queued", {"prompt_id": run.id}
                view.server = {
                    "address": run.server.partition("://")[2],
                    "state": "busy",
                    "message": "",
                    "version": None,
                }
            view.show(run)
            output.show(view)
        try:
            result = _outcome(run)
        except KeyboardInterrupt:
            if stays and not run.done:
                self._leave(run, output, view)
            result = _outcome(run, 2.0)  # the kit has cancelled it on the server
        bundle = static_bundle(result)
        if view is None:
            output.show(bundle)
        else:
            output.replace(bundle)
            writer.post(view.stage.clear)
            writer.drain(1.0)  # the next cell takes the same view
        return result

    def _leave(self, run: Run, output: Output, view: RunView | None) -> NoReturn:
        """Take a run out of its cell that goes on."""
        told = f"{one_line(run.prompt_id)} goes on: %comfykit attach shows it again, %comfykit cancel stops it"
        output.replace({"text/plain": told, "text/html": f"<p>{html.escape(told)}</p>"})
        if view is not None:
            view.close()
        raise UsageError(told)

    def _free_view(self) -> RunView | None:
        """One view serves all cells, one after the other: a notebook stores its bundle once. None in a terminal."""
        if getattr(self.shell, "kernel", None) is None:
            return None
        from comfykit_jupyter.notebook.widget.view import RunView

        if self._view is None or self._view.comm is None or self._view.stage.unfinished():
            self._view = RunView()
        return self._view

    def _silent(self, result: ExecuteResult) -> ExecuteResult:
        """The result as the magic's value: as the last line of this cell it is not shown a second time."""
        value = copy.copy(result)
        shell = self.shell
        formatter = shell.display_formatter.ipython_display_formatter

        def show(shown: ExecuteResult) -> None:
            if shown is not value:
                display(shown._repr_mimebundle_(), raw=True)

        def forget(*_: object) -> None:
            shell.events.unregister("post_run_cell", forget)
            formatter.pop(ExecuteResult, None)

        formatter.for_type(ExecuteResult, show)
        shell.events.register("post_run_cell", forget)
        return value

    # -- the others ----------------------------------------------------------------------------------------------------

    def _form(self, call: Call) -> Any:
        from comfykit_jupyter.notebook.widget.widget import WorkflowWidget

        kit = self._kit(call)
        name = _identifier(call)
        source = call.arguments[0]
        form = WorkflowWidget(source, kit=kit)
        try:
            form.values.update(typed(call.values, kit.load(source), form.described, self._evaluate))
        except (ComfyKitError, UsageError):
            form.close()
            raise
        if name is None:
            return form
        self.shell.user_ns[name] = form
        display(form)
        return None

    def _params(self, call: Call) -> None:
        kit = self._kit(call)
        note = ""
        try:
            workflow, fields = self._read(kit, call)
        except ServerError as error:
            workflow = kit.load(call.arguments[0])
            fields = workflow.fields({})
            note = f"without bounds and choices: {error}"
        title = f"{workflow.name}: {len(fields)} parameters" + (f" ({note})" if note else "")
        display(tables.of_fields(title, fields), raw=True)

    def _queue(self, call: Call) -> None:
        kit = self._kit(call)
        jobs = kit.queue()
        running = sum(job.status == "running" for job in jobs)
        self._note(jobs)
        title = f"{kit.comfyui_url}: {running} running, {len(jobs) - running} waiting"
        display(tables.of_queue(title, jobs), raw=True)

    def _history(self, call: Call) -> None:
        kit = self._kit(call)
        most = str((*call.arguments, 10)[0])
        if not most.isdecimal() or len(most) > 4:
            raise UsageError(f"history: {most[:60]!r} is no number of runs, such as 10")
        jobs = kit.history(int(most))
        self._note(jobs)
        display(tables.of_history(f"{kit.comfyui_url}: the {len(jobs)} jobs that ended last", jobs), raw=True)

    def _note(self, jobs: list[Job]) -> None:
        told = [job.prompt_id for job in jobs if job.prompt_id.isprintable() and len(job.prompt_id) <= 60]
        self.prompt_ids = tuple(dict.fromkeys([*told, *self.prompt_ids]))[:1000]

    def _models(self, call: Call) -> None:
        kit = self._kit(call)
        folder = str(call.arguments[0]) if call.arguments else None
        names = kit.models(folder)
        if folder is None:
            self.folders = tuple(name for name in names if name.isprintable() and len(name) <= 60)
            display(tables.of_models(f"{kit.comfyui_url}: {len(names)} folders of models", "folder", names), raw=True)
        else:
            title = f"{kit.comfyui_url}: {len(names)} models in {folder}"
            display(tables.of_models(title, "model", names), raw=True)

    def _connect(self, call: Call) -> None:
        from comfykit_jupyter.notebook.sandbox_process import sandbox_url

        if not call.arguments:
            raise UsageError(
                "connect: say where: %comfykit connect http://127.0.0.1:8188, or %comfykit connect sandbox"
            )
        where = str(call.arguments[0])
        embedded = where == "sandbox"
        kit = connect(sandbox_url() if embedded else where)
        server = kit.server()
        ends = ", the embedded server: it ends with this kernel" if embedded else ""
        print(
            f"{server.message} at {kit.comfyui_url}{ends}"
            if server.reachable
            else f"not connected yet: {server.message}"
        )

    def _status(self, call: Call) -> None:
        kit = get_current_kit()
        server = kit.server(call.arguments[0] if call.arguments else None)
        if server.reachable:
            print(f"{server.message} at {server.url}: {server.running} running, {server.pending} waiting")
        else:
            print(server.message)
        for run in find_unfinished_runs():
            print(f"  {run.prompt_id}  {run.workflow.name if run.workflow else ''}  {run.progress}")

    def _cancel(self, call: Call) -> None:
        runs = find_unfinished_runs()
        if call.arguments:
            wanted = str(call.arguments[0])
            runs = [run for run in runs if run.prompt_id.startswith(wanted)]
            if not runs:
                raise UsageError(f"cancel: {wanted[:60]!r} is no run of this kernel that goes on; see %comfykit status")
        for run in runs:
            run.cancel()
        print("nothing to cancel" if not runs else f"cancelled {', '.join(run.prompt_id for run in runs)}")

    def _keep(self, call: Call) -> None:
        mode, size = (*call.arguments, None, None)[:2]
        if size is not None and not str(size).isdecimal():
            raise UsageError(f"keep: {str(size)[:60]!r} is no number of kilobytes")
        now = keep(mode, None if size is None else int(size))
        print(now.mode + (f", {now.kilobytes} kB a run" if now.mode == "thumbnails" else ""))


def _outcome(run: Run, timeout: float | None = None) -> ExecuteResult:
    """The result of a run, whatever it is; one of our own where the server does not say how a cancelled run ended."""
    try:
        return run.result(timeout)
    except ComfyKitError as error:
        if isinstance(error.result, ExecuteResult):
            return error.result
        raise
    except TimeoutError:
        name = run.workflow.name if run.workflow else ""
        told = RunError("cancelled", "cancelled; the server has not confirmed it")
        return ExecuteResult("failed", run.prompt_id, msg=told.message, error=told, workflow_name=name)


def _identifier(call: Call) -> str | None:
    name = call.options.get("-o")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise UsageError(f"{call.command}: -o {str(name)[:60]} is no name of a variable")
    return name


def _seconds(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"run: --timeout {str(value)[:60]} is no number of seconds above 0")
    return seconds
