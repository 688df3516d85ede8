"""`ComfyKit`: settings, where a workflow comes from, and the ways to run it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, cast

from comfykit_jupyter.client import loop
from comfykit_jupyter.client.backends.base import Backend, Server
from comfykit_jupyter.client.backends.routing import find_backend, find_backend_of_job
from comfykit_jupyter.client.errors import ComfyKitError
from comfykit_jupyter.client.inputs.workflows import convert_workflow, read_workflow, take_snapshot
from comfykit_jupyter.client.results.media import Media
from comfykit_jupyter.client.running.run import Run
from comfykit_jupyter.client.settings import Api, ExecutorType, Settings, resolve_settings
from comfykit_jupyter.workflow.errors import short_repr

if TYPE_CHECKING:
    from ssl import SSLContext
    from types import TracebackType

    from comfykit_jupyter.client.backends.jobs import Job
    from comfykit_jupyter.client.check import Report
    from comfykit_jupyter.client.dry_run import DryRun
    from comfykit_jupyter.client.results.result import ExecuteResult
    from comfykit_jupyter.notebook.widget.widget import WorkflowWidget
    from comfykit_jupyter.workflow.nodes import Definitions
    from comfykit_jupyter.workflow.workflow import Field, Workflow

B = TypeVar("B", bound=Backend)


class ComfyKit:
    """Runs ComfyUI workflows: on one server, or, those that lie on RunningHub, there.

        kit = ComfyKit()                                                  # http://127.0.0.1:8188
        result = await kit.execute("wf.json", {"prompt": "a cat"})        # never raises for a run that failed
        result = kit.run("wf.json", prompt="a cat", seed=7)               # waits; a failed run raises RunFailed
        run = kit.submit("wf.json", prompt="a fox")                       # at once: .progress, .cancel(), .result()
        kit.form("wf.json")                                               # in a notebook: a form

    A workflow is named by a path or a URL, or given as a dict: as the editor saves it, in API format, or a picture,
    video or sound that carries it. One that lies on RunningHub is named by its ID (`"1904136902449209346"`, an app by
    `"rh-app:1937084629516193795"`), the address of its page, or a file that says `{"_source": "runninghub",
    "workflow_id": "1904…"}`. Values are given by the names in the nodes' titles (`$prompt.text`), or, where there are
    none, as `"KSampler.cfg"` or `"3.cfg"`.

    Args:
        comfyui_url: the server; else `COMFYUI_BASE_URL`, else http://127.0.0.1:8188.
        executor_type: how `execute` waits: `http` looks at the history, `websocket` listens. The result is the same.
        api_key: sent to this server only, as a bearer token and as the key of its API nodes.
        cookies: a JSON object, `name=value; other=value`, or the URL of a page that gives either.
        runninghub_url: the site, https://www.runninghub.ai if not given; https://www.runninghub.cn is another one, with
            keys and workflows of its own. These settings also come from the environment: `RUNNINGHUB_BASE_URL`,
            `RUNNINGHUB_API_KEY`, and so on.
        runninghub_api_key: that of the account which pays. Sent to this site only.
        runninghub_timeout: seconds that a task may run, 300 if not given, 0 for no limit; past it the task is left
            alone, and goes on: `attach(task_id)`. `timeout` cancels.
        runninghub_retry_count: how often that is asked again which changes nothing, 3 if not given. A task is never
            created twice: where the answer is lost, the error's kind is `unknown`.
        runninghub_instance_type: the machine: `plus` has more memory.
        runninghub_concurrency: tasks of this key that run at a time, 1 if not given; others of this process wait.
        headers: further headers for this server, for proxies.
        api: what this server speaks: `comfyui`, ComfyUI's own protocol, or `v2`, Comfy API v2. Else its address tells:
            https://cloud.comfy.org, https://….run.comfy.app, and whatever ends in /api/v2, speaks the latter.
        timeout: seconds that a run may take, its time in the queue included; past it the job is cancelled.
        patience: seconds that the server may be away during a run, for a restart say, before the run is given up as
            unreachable; 60 if not given.
        verify: whose TLS certificates are believed: a file of certificates, an `SSLContext`, or False for any.
        proxy: the address of a proxy on the way to the server; else the environment's, as httpx reads it.
        raise_on_error: whether `run` and `await submit(…)` raise `RunFailed`; else they return the failed result.

    Raises:
        SettingsError: a setting can't be used.
    """

    def __init__(
        self,
        comfyui_url: str | None = None,
        executor_type: ExecutorType | None = None,
        api_key: str | None = None,
        cookies: str | None = None,
        runninghub_url: str | None = None,
        runninghub_api_key: str | None = None,
        runninghub_timeout: int | None = None,
        runninghub_retry_count: int | None = None,
        *,
        runninghub_instance_type: str | None = None,
        runninghub_concurrency: int | None = None,
        headers: Mapping[str, str] | None = None,
        api: Api | None = None,
        timeout: float | None = None,
        patience: float | None = None,
        verify: bool | str | SSLContext = True,
        proxy: str | None = None,
        raise_on_error: bool = True,
    ) -> None:
        self._configure(resolve_settings(locals()))  # all arguments, by the names of their settings

    def _configure(self, settings: Settings, backends: dict[type[Backend], Backend] | None = None) -> None:
        self._settings = settings
        self._backends = {} if backends is None else backends
        self.comfyui_url = settings.comfyui_url
        self.api = settings.api
        self.executor_type = settings.executor_type
        self.api_key = settings.api_key
        self.cookies = settings.cookies
        self.runninghub_url = settings.runninghub_url
        self.runninghub_api_key = settings.runninghub_api_key
        self.runninghub_timeout = settings.runninghub_timeout
        self.runninghub_retry_count = settings.runninghub_retry_count
        self.runninghub_instance_type = settings.runninghub_instance_type

    def _made(self, kind: type[B]) -> B:
        """The server or cloud of this kind; there is one of each, once it is needed."""
        made = self._backends.get(kind) or self._backends.setdefault(kind, kind(self._settings))
        return cast("B", made)

    def _locate(self, workflow: Any) -> tuple[Any, Backend]:
        """Return a snapshot of a workflow, and where it runs; None stands for the server of `comfyui_url`."""
        source = take_snapshot(workflow, self._settings)
        return source, self._made(find_backend(source, self._settings))

    def _where(self, workflow: Any = None) -> Backend:
        """Return where a workflow runs; None stands for the server of `comfyui_url`."""
        return self._locate(workflow)[1]

    def __repr__(self) -> str:
        return f"ComfyKit({self.comfyui_url!r}, executor_type={self.executor_type!r})"

    # -- running -------------------------------------------------------------------------------------------------------

    async def execute(
        self, workflow: str | Path | Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> ExecuteResult:
        """Run a workflow and wait for its end. Cancelling the caller (Ctrl-C, ■) cancels the job on the server.

        Args:
            workflow: a path, a URL, or a dict; as the editor saves it, in API format, or media that carries it.
            params: its values by name.

        Returns:
            The result. A run that failed, a wrong value, a missing file, a server that is away: `status` is `failed`,
            and `msg` and `error` say why.
        """
        listen = self.executor_type == "websocket"
        return await self._start(workflow, dict(params or {}), listen=listen).wait_for_result()

    async def execute_json(
        self, workflow_json: Mapping[str, Any], params: Mapping[str, Any] | None = None
    ) -> ExecuteResult:
        """`execute` for a workflow that is at hand as a dict."""
        return await self.execute(workflow_json, params)

    def run(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> ExecuteResult:
        """Run a workflow and wait for its end, in a script or a cell.

        Args:
            workflow: a path, a URL, or a dict; as the editor saves it, in API format, or media that carries it.
            values: its values by name; those given as keywords are added.

        Raises:
            RunFailed: the run failed; `.result` holds what there is.
            ComfyKitError: nothing was sent: a wrong value, no such file, no server.
            KeyboardInterrupt: Ctrl-C or ■; the job has been cancelled on the server.
        """
        return self.submit(workflow, values, **more).result()

    def submit(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> Run:
        """Run a workflow and return at once. What is wrong with it is told by `Run.result()` and `await run`."""
        return self._start(workflow, {**(values or {}), **more}, listen=True)

    def attach(self, prompt_id: str) -> Run:
        """A run that was begun elsewhere, or before the kernel restarted: waiting, running, or ended.

            run = kit.attach("1b9d6bcd-bbfd-4b2d-9b5d-ab8dfbbd4bed")
            result = run.result()            # or `await run`

        Returns at once. The result is made from the server's record, its `prompt`, `params` and `seeds` from the prompt
        there; `duration` is that of the execution. Leaving the wait does not stop the run, `run.cancel()` does; a
        `timeout` of the kit is for what it submits itself. One that the server does not know fails as `gone`.

        Raises:
            ComfyKitError: it is no prompt_id.
        """
        id_ = prompt_id.strip(" \t\r\n") if isinstance(prompt_id, str) else ""  # copied from a page
        if not id_:
            raise ComfyKitError(f"attach: give the prompt_id of a run, as text, not {short_repr(prompt_id)}")
        from comfykit_jupyter.client.running.attached import AttachedRun

        server = self._made(find_backend_of_job(id_, self._settings))
        return AttachedRun(server, id_, raise_on_error=self._settings.raise_on_error).find()

    def submit_as(self, id: str, workflow: Any, values: Mapping[str, Any]) -> Run:  # noqa: A002 - what it is
        """As `submit`, under an id of the caller's. It must be new: the server would run it twice."""
        return self._start(workflow, dict(values), listen=True, id=id)

    def _start(self, workflow: Any, values: dict[str, Any], *, listen: bool, id: str | None = None) -> Run:  # noqa: A002
        source, server = self._locate(workflow)
        run = Run(
            server,
            values,
            listen=listen,
            timeout=self._settings.timeout,
            raise_on_error=self._settings.raise_on_error,
            id=id,
        )
        return run.start(lambda: read_workflow(source, server))

    def options(self, **options: Any) -> ComfyKit:
        """A kit like this one with other settings: `kit.options(timeout=600).run("wf.json", timeout=3)`.

        Raises:
            SettingsError: there is no such setting, or it can't be used.
        """
        changed = self._settings.replace(options)
        kit = ComfyKit.__new__(type(self))
        kit._configure(changed, self._backends if changed.shares_connection(self._settings) else None)  # noqa: SLF001 - a kit
        return kit

    def find(self, ending: str, workflow: Any = None) -> list[str]:
        """The prompt ids on the server that end so: of the run that ended last, if any, then of those that go on.

        Args:
            ending: of the ids.
            workflow: as for `server`. Of a cloud that names its jobs itself: those that this machine has noted.

        Raises:
            ServerError: the server is away.
        """
        return loop.call(self._where(workflow).find(ending))

    # -- knowing -------------------------------------------------------------------------------------------------------

    async def check(self, workflow: Any, params: Mapping[str, Any] | None = None) -> Report:
        """Look for all that can be known to be wrong before a GPU is touched; nothing is sent, and it never raises.

        Unknown nodes and parameters, values that do not fit, missing models (and the folder they belong in), missing
        files and inputs, links of wrong types, cycles, a server that is away:

            report = await kit.check("portrait.json", {"prompt": "a fox"})
            print(report if report.ok else report.problems)

        Args:
            workflow: as for `execute`.
            params: its values by name, as for `execute`.
        """
        from comfykit_jupyter.client.check import check

        source, server = self._locate(workflow)
        return await loop.await_on_loop(check(server, source, dict(params or {})))

    def dry_run(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> DryRun:
        """What `run` would send, told by what differs from the workflow's file: nothing is sent.

            print(kit.dry_run("portrait.json", prompt="a fox"))

        Files are looked for, and named; what is behind a URL is not fetched.

        Raises:
            ComfyKitError: it would not be sent: a wrong value, no such file, no server.
        """
        from comfykit_jupyter.client.dry_run import dry_run

        source, server = self._locate(workflow)
        return loop.call(dry_run(server, source, {**(values or {}), **more}))

    def read(self, workflow: Any) -> Workflow:
        """As `load`, but what the editor saved stays as it is: a server is asked only for a workflow that lies there.

        Raises:
            SourceError, WorkflowError, ServerError: as `load`.
        """
        return loop.call(read_workflow(*self._locate(workflow)))

    def load(self, workflow: Any) -> Workflow:
        """Read a workflow: its parameters, its nodes.

        Raises:
            SourceError: it can't be read. WorkflowError: it was read, and is no workflow, or its nodes are not there.
            ServerError: it was saved by the editor, so that the server is needed to read it, and that is away.
        """
        return loop.call(self._load(workflow))

    async def _load(self, workflow: Any) -> Workflow:
        source, server = self._locate(workflow)
        return await convert_workflow(await read_workflow(source, server), server)

    def fields(self, workflow: Any) -> tuple[Field, ...]:
        """The parameters of a workflow as a form shows them: with the bounds and choices of this server.

        Raises:
            ComfyKitError: the workflow can't be read, or the server is away.
        """
        return loop.call(self._fields(workflow))

    async def _fields(self, workflow: Any) -> tuple[Field, ...]:
        read = await self._load(workflow)
        return read.fields(await self._where(read).definitions(read.classes, fresh=True))

    def definitions(self, workflow: Workflow) -> Definitions:
        """Return what the server says about the node classes of a workflow.

        Raises:
            ServerError: the server is away.
        """
        return loop.call(self._where(workflow).definitions(workflow.classes, fresh=True))

    def server(self, workflow: Any = None) -> Server:
        """The server as it is now: version, jobs in its queue; `reachable` is False for one that is away.

        Args:
            workflow: that which runs it, a cloud for one of its IDs; the kit's own if not given.
        """
        return loop.call(self._where(workflow).status())

    def queue(self) -> list[Job]:
        """The jobs that the server runs, and those that wait, in their order; of whomever they are.

        Raises:
            ServerError: the server is away.
        """
        return loop.call(self._where().queued())

    def history(self, most: int = 10) -> list[Job]:
        """The jobs of the server that have ended, the newest first; `most` of them, which are 1000 at most.

        Raises:
            ServerError: the server is away.
        """
        return loop.call(self._where().recent(most))

    def models(self, folder: str | None = None) -> list[str]:
        """The files in one of the server's folders of models, such as `loras`; without one, these folders.

        Raises:
            ServerError: the server is away. ComfyKitError: it has no such folder.
        """
        return loop.call(self._where().models(folder))

    def input(self, name: str, workflow: Any = None) -> Media:
        """A file that the server has, by the name that its nodes know, such as `cat.png`. Fetched when it is read.

        Args:
            name: of the file.
            workflow: as for `server`.

        Raises:
            ComfyKitError: it is no name of a file there, or the cloud does not give back its inputs.
        """
        return Media.from_name(self._where(workflow), name)

    def form(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> WorkflowWidget:
        """A form of a workflow's parameters, with first values. For notebooks.

        Raises:
            ComfyKitError: the workflow can't be read, or a value does not fit.
        """
        from comfykit_jupyter import WorkflowWidget

        return WorkflowWidget(workflow, {**(values or {}), **more}, kit=self)

    # -- ending --------------------------------------------------------------------------------------------------------

    async def close(self) -> None:
        """Close the connections. Jobs go on; a run that is waited for opens what it needs again."""
        for backend in list(self._backends.values()):
            await loop.await_on_loop(backend.close())

    async def __aenter__(self) -> ComfyKit:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()
