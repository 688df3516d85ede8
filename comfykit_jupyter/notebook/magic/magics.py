"""The magic `%comfykit`, and `%%comfykit` with values in the lines below it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from IPython.core.error import UsageError
from IPython.core.magic import Magics, line_cell_magic, magics_class, no_var_expand
from IPython.display import display

from comfykit_jupyter.client.backends.server import Server, Servers
from comfykit_jupyter.client.engines import is_server_source
from comfykit_jupyter.client.errors import ComfyKitError, ServerError
from comfykit_jupyter.client.presets.folder import PresetFolder
from comfykit_jupyter.client.results.keep import keep
from comfykit_jupyter.client.results.wording import hide_address
from comfykit_jupyter.client.running.cancel import cancel_runs
from comfykit_jupyter.client.running.registry import find_unfinished_runs
from comfykit_jupyter.kit.current import connect, get_current_kit
from comfykit_jupyter.kit.kit import ComfyKit
from comfykit_jupyter.notebook.magic import exploring, tables
from comfykit_jupyter.notebook.magic.cell_run import CellRunFailed, CellRunner
from comfykit_jupyter.notebook.magic.commands import HELP, NAME_LENGTH, Call, convert_values, parse_call
from comfykit_jupyter.notebook.magic.loras import parse_loras
from comfykit_jupyter.workflow.errors import join_names, one_line
from comfykit_jupyter.workflow.values.overview import tabulate_fields

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.missing.item import Missing
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.workflow.document.workflow import Field, Workflow
    from comfykit_jupyter.workflow.nodes import Definitions

HISTORY_LIMIT = 10
"""Jobs that `%comfykit history` lists without a number."""
CANCELLED_NAMES = 10
"""Prompt IDs that `%comfykit cancel` prints."""
COMPLETION_LENGTH = 60
"""Characters of a name from a server that completion offers; a longer one is not offered."""
COMPLETION_IDS = 1000
"""Prompt IDs that completion remembers."""
_DOLLAR = re.compile(r"(?:^|(?<=[\s=]))\$(?P<name>[A-Za-z_]\w*)(?=\s|$)")


@magics_class
class ComfyKitMagics(Magics):  # type: ignore[misc]
    """`%comfykit` in one shell.

    Attributes:
        fields: The fields of the workflows named so far, by the name that was typed.
        folders: The server's model folders, as last listed.
        prompt_ids: The prompt IDs of the jobs listed so far, newest first.

    The attributes are what completion offers without asking a server.
    """

    def __init__(self, shell: Any) -> None:
        super().__init__(shell)
        self.fields: dict[str, tuple[Field, ...]] = {}
        self.folders: tuple[str, ...] = ()
        self.prompt_ids: tuple[str, ...] = ()
        self._kits: dict[str, ComfyKit] = {}
        self._runner = CellRunner(shell)
        self._commands = {
            "run": self._run,
            "sweep": self._run_sweep,
            "runs": self._show_runs,
            "form": self._show_form,
            "params": self._list_parameters,
            "connect": self._connect,
            "status": self._show_status,
            "queue": self._list_queue,
            "history": self._list_history,
            "models": self._list_models,
            "attach": self._attach,
            "cancel": self._cancel,
            "keep": self._keep,
        }

    @no_var_expand  # type: ignore[untyped-decorator]
    @line_cell_magic  # type: ignore[untyped-decorator]
    def comfykit(self, line: str, cell: str = "") -> Any:  # noqa: D102 - `%comfykit?` shows the help
        try:
            call = parse_call(line, self._evaluate, cell)
            if call is None:
                print(HELP)
                return None
            return self._commands[call.command](call)
        except CellRunFailed:
            raise
        except (ComfyKitError, ImportError) as error:
            raise UsageError(f"{error}{self._explain_dollar(line)}") from None

    comfykit.__doc__ = HELP

    def _evaluate(self, expression: str) -> Any:
        """Evaluate the Python of `{expression}` in the user's namespace."""
        try:
            return eval(expression, self.shell.user_ns)  # noqa: S307 - the expression is in the user's own cell
        except Exception as error:  # noqa: BLE001 - the user's expression may raise anything
            raise UsageError(f"{{{expression[:NAME_LENGTH]}}}: {type(error).__name__}: {error}") from None

    def _explain_dollar(self, line: str) -> str:
        """Return how a variable is given, after an error of a line that names one as IPython's other magics do."""
        names = [match["name"] for match in _DOLLAR.finditer(line) if match["name"] in self.shell.user_ns]
        return f" (for the variable {names[0]}, write {{{names[0]}}})" if names else ""

    def _get_kit(self, call: Call) -> ComfyKit:
        """Return the kit of `--url`, or the current one."""
        url = call.options.get("--url")
        if url is None:
            return get_current_kit()
        if url not in self._kits:
            self._kits[url] = ComfyKit(url)
        return self._kits[url]

    def _load(self, kit: ComfyKit, call: Call) -> tuple[Workflow, tuple[Field, ...], Definitions]:
        """Load the workflow that the line names, its fields, and the server's definitions of its nodes."""
        source = call.arguments[0]
        workflow = kit.load(_read_source(kit, call))
        definitions = kit.definitions(workflow)
        fields = workflow.fields(definitions)
        if isinstance(source, str):
            self.fields[source] = fields
        if "--preset" in call.options:
            workflow = workflow.with_preset(PresetFolder().read(call.options["--preset"]))
        return workflow, fields, definitions

    # -- runs ----------------------------------------------------------------------------------------------------------

    def _run(self, call: Call) -> ExecuteResult | None:
        kit = self._get_kit(call)
        name = _parse_variable(call)
        workflow, fields, definitions = self._load(kit, call)
        values = convert_values(call.values, workflow, fields, self._evaluate)
        if "--timeout" in call.options:
            kit = kit.options(timeout=_parse_timeout(call.options["--timeout"]))
        if "--dry-run" in call.options:
            found = kit.dry_run(workflow, values)
            display(tables.tabulate_dry_run(found), raw=True)
            for warning in found.warnings:
                print(warning)
            return None
        if "--new" in call.options:
            kit = kit.options(attach=False)
        # a wrong value fails before the cell shows a run
        binding = workflow.bind(values, definitions, expand_choices=kit.expand_choices)
        run = kit.prepare_call(workflow, values, binding, definitions, "%comfykit run … --new")
        return self._runner.show(run, workflow.name, name)

    def _run_sweep(self, call: Call) -> None:
        kit = self._get_kit(call)
        name = _parse_variable(call)
        workflow, fields, _ = self._load(kit, call)
        sweep = exploring.start_sweep(kit, call, workflow, fields, self._evaluate)
        if name is not None:
            self.shell.user_ns[name] = sweep
        exploring.run_sweep(sweep, plan_only="--plan" in call.options, sure="--sure" in call.options)

    def _show_runs(self, call: Call) -> None:
        exploring.show_runs(self._get_kit(call), call)

    def _attach(self, call: Call) -> ExecuteResult:
        kit = self._get_kit(call)
        name = _parse_variable(call)
        if not call.arguments:
            raise UsageError("attach: give a prompt ID: %comfykit attach PROMPT_ID; %comfykit history lists them")
        run = kit.attach(str(call.arguments[0]))
        title = f"run {one_line(run.prompt_id, 30 if run.prompt_id.isdecimal() else 8)}"
        return self._runner.show(run, title, name, attached=True)

    def _cancel(self, call: Call) -> None:
        runs = find_unfinished_runs()
        if call.arguments:
            wanted = str(call.arguments[0])
            # `status` shows the run's own ID until a cloud has given its job another one.
            runs = [run for run in runs if run.prompt_id.startswith(wanted) or run.id.startswith(wanted)]
            if not runs:
                raise UsageError(
                    f"cancel: no unfinished run of this kernel has the prompt ID {wanted[:NAME_LENGTH]!r}; "
                    "%comfykit status lists them"
                )
        cancel_runs(runs)
        ids = [run.prompt_id for run in runs]
        print(f"cancelled {join_names(ids, CANCELLED_NAMES)}" if runs else "nothing to cancel")

    # -- workflows -----------------------------------------------------------------------------------------------------

    def _show_form(self, call: Call) -> Any:
        from comfykit_jupyter.notebook.widget.widget import WorkflowWidget

        kit = self._get_kit(call)
        name = _parse_variable(call)
        form = WorkflowWidget(_read_source(kit, call), kit=kit)
        try:
            if "--preset" in call.options:
                form.use_preset(call.options["--preset"])
            if call.values:
                values = convert_values(call.values, kit.load(form.workflow), form.get_fields(), self._evaluate)
                form.values.update(values)
        except (ComfyKitError, UsageError):
            form.close()
            raise
        if name is None:
            return form
        self.shell.user_ns[name] = form
        display(form)
        return None

    def _list_parameters(self, call: Call) -> None:
        kit = self._get_kit(call)
        note = ""
        try:
            workflow, fields, _ = self._load(kit, call)
            if "--all" in call.options:
                fields = kit.fields(workflow, every=True)
            note = _format_missing(kit.find_missing(workflow, {}))
        except ServerError as error:
            workflow = kit.load(call.arguments[0])
            fields = workflow.fields({}, every="--all" in call.options)
            note = hide_address(f" (without bounds and choices: {error})", *kit.addresses)
        presets = _format_presets(workflow)
        count = _count(len(fields), "input" if "--all" in call.options else "parameter")
        title = f"{workflow.name}: {count}{presets}{note}"
        display(tabulate_fields(title, fields), raw=True)

    # -- the server ----------------------------------------------------------------------------------------------------

    def _connect(self, call: Call) -> None:
        from comfykit_jupyter.notebook.sandbox_process import start_sandbox

        if not call.arguments:
            raise UsageError(
                "connect: give a URL: %comfykit connect http://127.0.0.1:8188, or %comfykit connect sandbox"
            )
        given = [start_sandbox() if each == "sandbox" else _check_server(each) for each in call.arguments]
        kit = connect(given if len(given) > 1 or not isinstance(given[0], str) else given[0])
        for number, server in enumerate(_list_servers(kit.server())):
            embedded = number < len(given) and call.arguments[number] == "sandbox"
            note = ", the embedded server: it ends with this kernel" if embedded else ""
            if server.reachable:
                print(f"{server.message} at {server.url}{note}")
            else:
                print(f"not connected yet: {server.message}")

    def _show_status(self, call: Call) -> None:
        servers = _list_servers(get_current_kit().server(call.arguments[0] if call.arguments else None))
        for server in servers:
            if server.reachable:
                memory = f"; {server.memory}" if server.memory else ""
                print(f"{server.message} at {server.url}: {server.running} running, {server.pending} queued{memory}")
            else:
                print(server.message)
        for run in find_unfinished_runs():
            where = f"  {run.server}" if len(servers) > 1 else ""
            print(f"  {run.prompt_id}  {run.workflow.name if run.workflow else ''}  {run.progress}{where}")

    def _list_queue(self, call: Call) -> None:
        kit = self._get_kit(call)
        jobs = kit.queue()
        self._remember_ids(jobs)
        running = sum(job.status == "running" for job in jobs)
        owners = [job.owner for job in jobs]
        title = f"{running} running, {len(jobs) - running} queued"
        if jobs:
            title += f"; {owners.count('kernel')} from this kernel, {owners.count('user')} from your other kernels"
        display(tables.tabulate_queue(title, jobs), raw=True)

    def _list_history(self, call: Call) -> None:
        kit = self._get_kit(call)
        limit = call.arguments[0] if call.arguments else HISTORY_LIMIT
        jobs = kit.history(_parse_integer(limit))
        self._remember_ids(jobs)
        title = f"the last {_count(len(jobs), 'job')}"
        display(tables.tabulate_history(title, jobs), raw=True)

    def _remember_ids(self, jobs: Iterable[Job]) -> None:
        ids = _select_offered(job.prompt_id for job in jobs)
        self.prompt_ids = tuple(dict.fromkeys([*ids, *self.prompt_ids]))[:COMPLETION_IDS]

    def _list_models(self, call: Call) -> None:
        kit = self._get_kit(call)
        folder = str(call.arguments[0]) if call.arguments else None
        names = kit.models(folder)
        servers = len(kit.servers)
        if folder is None:
            self.folders = tuple(_select_offered(names))
            title, column = _count(len(names), "model folder"), "folder"
        else:
            title, column = f"{_count(len(names), 'model')} in {folder}", "model"
        display(tables.tabulate_names(title, column, names, servers), raw=True)

    # -- the notebook --------------------------------------------------------------------------------------------------

    def _keep(self, call: Call) -> None:
        mode, size = (*call.arguments, None, None)[:2]
        kept = keep(mode, None if size is None else _parse_integer(size))
        print(kept.mode + (f", {kept.kilobytes} kB a run" if kept.mode == "thumbnails" else ""))


def _list_servers(server: Server | Servers) -> list[Server]:
    return [server] if isinstance(server, Server) else list(server)


def _check_server(given: Any) -> Any:
    """Return an address as text, and a kit or a cluster as it is."""
    return given if is_server_source(given) else str(given)


def _format_missing(missing: Sequence[Missing]) -> str:
    """Format what the server lacks as the end of a title."""
    if not missing:
        return ""
    names = [f"{each.name} (models/{each.folder})" if each.folder else each.name or each.label for each in missing]
    return f"; missing on the server: {join_names(names, 5)}"


def _read_source(kit: ComfyKit, call: Call) -> Any:
    """Return the workflow that the line names; with the stack of `--loras`, if it has one."""
    source = call.arguments[0]
    return kit.read(source).with_loras(parse_loras(call.options["--loras"])) if "--loras" in call.options else source


def _format_presets(workflow: Workflow) -> str:
    """Format the presets of a workflow as a part of a title."""
    try:
        names = workflow.presets()
    except ComfyKitError as error:
        return f"; {error}"
    return f"; presets: {join_names(names, 10)}" if names else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _select_offered(names: Iterable[str]) -> list[str]:
    """Return the names from a server that completion may offer."""
    return [name for name in names if name.isprintable() and len(name) <= COMPLETION_LENGTH]


def _parse_variable(call: Call) -> str | None:
    name = call.options.get("-o")
    if name is not None and not (isinstance(name, str) and name.isidentifier()):
        raise UsageError(f"-o: {str(name)[:NAME_LENGTH]!r} is not a valid Python name")
    return name


def _parse_integer(value: Any) -> Any:
    """Convert digits to an integer; anything else stays as it is, and the kit rejects it."""
    text = str(value)
    return int(text) if text.isdecimal() and len(text) <= 10 else value


def _parse_timeout(value: Any) -> float:
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--timeout must be a positive number of seconds, not {str(value)[:NAME_LENGTH]!r}")
    return seconds
