"""The magic `%comfykit`: run, form, params, connect, status, cancel, keep."""

from __future__ import annotations

import copy
import html
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_magic, magics_class, no_var_expand
from IPython.display import display

from comfykit_jupyter.client.errors import ComfyKitError, RunFailed, ServerError
from comfykit_jupyter.client.keep import keep
from comfykit_jupyter.client.kit import ComfyKit, connect, current
from comfykit_jupyter.client.render import failure
from comfykit_jupyter.client.result import ExecuteResult
from comfykit_jupyter.client.run import unfinished
from comfykit_jupyter.notebook.commands import HELP, Call, typed, understand
from comfykit_jupyter.notebook.display import Output, static_bundle
from comfykit_jupyter.notebook.sync import writer
from comfykit_jupyter.notebook.values import check_all, to_wire
from comfykit_jupyter.workflow.nodes import MEDIA_KINDS
from comfykit_jupyter.workflow.progress import RunError

if TYPE_CHECKING:
    from comfykit_jupyter.client.run import Run
    from comfykit_jupyter.notebook.view import RunView
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
        self._kits: dict[str, ComfyKit] = {}
        self._view: RunView | None = None

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_magic  # type: ignore[untyped-decorator]
    def comfykit(self, line: str) -> Any:
        """ComfyUI workflows: %comfykit run | form | params | connect | status | cancel | keep; alone for help."""
        try:
            call = understand(line, self._evaluate)
            if call is None:
                print(HELP)
                return None
            return getattr(self, f"_{call.command}")(call)
        except FailedRun:
            raise
        except (ComfyKitError, ImportError) as error:
            raise UsageError(str(error)) from None

    def _evaluate(self, expression: str) -> Any:
        try:
            return eval(expression, self.shell.user_ns)  # noqa: S307 - it is the user's own cell
        except Exception as error:  # noqa: BLE001 - whatever the user's expression raises
            raise UsageError(f"{{{expression[:60]}}}: {type(error).__name__}: {error}") from None

    def _kit(self, call: Call) -> ComfyKit:
        url = call.options.get("--url")
        if url is None:
            return current()
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

    def _run(self, call: Call) -> ExecuteResult:
        kit = self._kit(call)
        name = _identifier(call)
        workflow, fields = self._read(kit, call)
        values = typed(call.values, workflow, fields, self._evaluate)
        plain = {field.name: field for field in fields if field.kind not in MEDIA_KINDS}
        check_all({name: value for name, value in values.items() if name in plain}, plain, workflow)
        if "--timeout" in call.options:
            kit = kit.options(timeout=_seconds(call.options["--timeout"]))
        view = self._free_view()
        result = self._attend(kit.submit(workflow, values), kit, workflow, view)
        if name is not None:
            self.shell.user_ns[name] = result
        if result.status != "completed":
            cancelled = result.error is not None and result.error.stopped
            error = FailedRun(f"{workflow.name}: cancelled" if cancelled else f"{workflow.name}: {failure(result)}")
            error.result = result
            raise error
        return self._silent(result)

    def _attend(self, run: Run, kit: ComfyKit, workflow: Workflow, view: RunView | None) -> ExecuteResult:
        """Show a run until its end, and its result in the same place then. ■ cancels it."""
        output = Output()
        if view is not None:
            with view.written():
                view.title, view.status, view.progress = workflow.name, "queued", {"prompt_id": run.prompt_id}
                view.server = {
                    "address": kit.comfyui_url.partition("://")[2],
                    "state": "busy",
                    "message": "",
                    "version": None,
                }
            view.show(run)
            output.show(view)
        try:
            result = _outcome(run)
        except KeyboardInterrupt:  # the kit has cancelled it on the server
            result = _outcome(run, 2.0)
        bundle = static_bundle(result)
        if view is None:
            output.show(bundle)
        else:
            output.replace(bundle)
            writer.post(view.stage.clear)
            writer.drain(1.0)  # the next cell takes the same view
        return result

    def _free_view(self) -> RunView | None:
        """One view serves all cells, one after the other: a notebook stores its bundle once. None in a terminal."""
        if getattr(self.shell, "kernel", None) is None:
            return None
        from comfykit_jupyter.notebook.view import RunView

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
        from comfykit_jupyter.notebook.widget import WorkflowWidget

        kit = self._kit(call)
        name = _identifier(call)
        workflow = kit.load(call.arguments[0])
        form = WorkflowWidget(workflow, kit=kit)
        try:
            form.values.update(typed(call.values, workflow, form.described, self._evaluate))
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
        rows = [_row(field) for field in fields]
        title = f"{workflow.name}: {len(rows)} parameters" + (f" ({note})" if note else "")
        display({"text/plain": _text_table(title, rows), "text/html": _html_table(title, rows)}, raw=True)

    def _connect(self, call: Call) -> None:
        from comfykit_jupyter.notebook.child import sandbox_url

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

    def _status(self, call: Call) -> None:  # noqa: ARG002 - all commands are called alike
        kit = current()
        server = kit.server()
        if server.reachable:
            print(f"{server.message} at {kit.comfyui_url}: {server.running} running, {server.pending} waiting")
        else:
            print(server.message)
        for run in unfinished():
            print(f"  {run.prompt_id}  {run.workflow.name if run.workflow else ''}  {run.progress}")

    def _cancel(self, call: Call) -> None:
        runs = unfinished()
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


_HEAD = ("parameter", "kind", "value", "may be", "node")


def _row(field: Field) -> tuple[str, ...]:
    if field.choices is not None:
        shown = ", ".join(str(choice)[:40] for choice in field.choices[:5])
        may_be = shown + (f" and {len(field.choices) - 5} more" if len(field.choices) > 5 else "")
    elif field.min is not None or field.max is not None:
        may_be = f"{'' if field.min is None else field.min} … {'' if field.max is None else field.max}"
    else:
        may_be = ""
    value = "required" if field.required else "" if field.default is None else str(to_wire(field.default))
    return (field.name, field.kind, value if len(value) <= 60 else f"{value[:59]}…", may_be, field.node)


def _text_table(title: str, rows: list[tuple[str, ...]]) -> str:
    lines = [" ".join(title.split())]
    table = [[" ".join(cell.split()) for cell in row] for row in [_HEAD, *rows]]
    widths = [max(len(row[column]) for row in table) for column in range(len(_HEAD))]
    lines += ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table]
    return "\n".join(lines)


def _html_table(title: str, rows: list[tuple[str, ...]]) -> str:
    head = "".join(f"<th>{cell}</th>" for cell in _HEAD)
    body = "".join("<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<p>{html.escape(title)}</p><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
