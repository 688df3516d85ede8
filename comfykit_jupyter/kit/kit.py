"""`ComfyKit`: run workflows, and see what a server can do and does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.client.settings import (
    Api,
    ExecutorType,
    Keep,
    Place,
    SameServer,
    hide_arguments,
    resolve_settings,
)
from comfykit_jupyter.kit.exploring_kit import ExploringKit

if TYPE_CHECKING:
    from ssl import SSLContext

    from comfykit_jupyter.notebook.widget.widget import WorkflowWidget


class ComfyKit(ExploringKit):
    """Runs ComfyUI workflows on a server, or in a cloud.

    A workflow is a path, a URL or a dict, in editor format or API format, or media in which ComfyUI saved one. A
    workflow on RunningHub is its ID (`"1904136902449209346"`, `"rh-app:1937084629516193795"` for an app), the address
    of its page, or a file that contains `{"_source": "runninghub", "workflow_id": "1904136902449209346"}`.
    `"example:portrait"` is an example of this package.

    Values are given by parameter name, from the titles of the nodes (`$prompt.text`); an input without such a title is
    addressed as `"KSampler.cfg"` or `"3.cfg"`.

    A setting that is not given comes from the environment, then from the default.

    Args:
        comfyui_url: Address of the ComfyUI server. A user name, password or query in it is sent with every request and
            never shown. A list of addresses or kits is as `servers`. Environment: `COMFYUI_BASE_URL`. Default:
            http://127.0.0.1:8188.
        executor_type: How `execute` waits: `http` polls the history, `websocket` listens to events. The results are the
            same. Environment: `COMFYUI_EXECUTOR_TYPE`. Default: `http`.
        api_key: API key, sent to this server only: as a bearer token, and for its API nodes. Environment:
            `COMFYUI_API_KEY`.
        cookies: Cookies for this server: a JSON object, `name=value; other=value`, or the URL of a page that returns
            either. Environment: `COMFYUI_COOKIES`.
        runninghub_url: The RunningHub site; www.runninghub.ai and www.runninghub.cn have different accounts.
            Environment: `RUNNINGHUB_BASE_URL`. Default: https://www.runninghub.ai.
        runninghub_api_key: API key of the account that pays, sent to this site only. Environment:
            `RUNNINGHUB_API_KEY`.
        runninghub_timeout: Seconds that a task may run, 0 for no limit. After that we stop waiting; the task keeps
            running, and `attach(task_id)` finds it. Environment: `RUNNINGHUB_TIMEOUT`. Default: 300.
        runninghub_retry_count: How often a request that changes nothing is repeated. Creating a task is never repeated:
            if the answer is lost, the error's kind is `unknown`. Environment: `RUNNINGHUB_RETRY_COUNT`. Default: 3.
        runninghub_instance_type: The machine; `plus` has more memory, `ultra` the most. Environment:
            `RUNNINGHUB_INSTANCE_TYPE`.
        runninghub_concurrency: Tasks of this key that may run at once; others of this process wait. Environment:
            `RUNNINGHUB_CONCURRENCY`. Default: 1.
        runninghub_use_personal_queue: Whether the site queues tasks beyond that. Only for keys with machines of their
            own.
        runninghub_retain_seconds: Seconds, 10 to 180, for which the machine is kept for your next task, and which you
            pay. Only for enterprise keys. Environment: `RUNNINGHUB_RETAIN_SECONDS`.
        runninghub_access_password: Password of an encrypted workflow or app. Environment: `RUNNINGHUB_ACCESS_PASSWORD`.
        servers: Several servers, instead of `comfyui_url`: addresses; kits where keys are needed; a Dask client. Each
            run goes to an idle one that has the nodes and models.
        headers: Additional HTTP headers for this server, for proxies.
        api: The protocol of the server: `comfyui`, or `v2` for Comfy API v2. By default the address decides: `v2` for
            https://cloud.comfy.org, https://….run.comfy.app, and addresses that end in /api/v2.
        place: `runninghub` runs all workflows there, also files and dicts, and you pay for them. By default only
            workflows that it stores run there.
        timeout: Seconds that a run may take, including its time in the queue; after that the job is cancelled. None
            means no limit.
        patience: Seconds that the server may be unreachable during a run, for example while it restarts, before the
            run fails. Also how long an answer may take; `/object_info` and lists may take longer, as long as at least
            20 kB/s come. Default: 60.
        verify: TLS certificates to accept: True for those that the machine trusts, a file of certificates, an
            `SSLContext`, or False for any.
        proxy: Address of a proxy, such as http://proxy:3128 or socks5://proxy:1080. By default the environment decides,
            as in httpx.
        expand_choices: Whether one alternative of `{red|blue}` is drawn in a text that is given as a value, if the
            input has `dynamicPrompts`. `execute` sends all texts as they are.
        raise_on_error: Whether `run` and `Run.result` raise `RunFailed` for a failed run, instead of returning its
            result.
        runs: Folder in which all runs are kept, to be found again by `kit.runs`. Environment: `COMFYKIT_RUNS`.
        keep: What is kept of outputs: `originals`, `thumbs` (thumbnails) or `links` (names). Default: `originals`.
        same_server: `row` runs all points in a row of a sweep's grid on the same one of several servers.
        attach: Whether `run` and `submit` attach to the job that the same call in the same cell sent before the kernel
            restarted, if it still waits or runs, instead of sending a new one. Outside of notebooks they never do.

    Raises:
        SettingsError: A setting can't be used.

    Example:
        >>> from comfykit_jupyter import ComfyKit
        >>> kit = ComfyKit(server.url)
        >>> kit.run("text.json", subject="a cat").text
        'a cat, watercolor, morning light'

        With `await`, as in the original `comfykit`:

            result = await kit.execute("text.json", {"subject": "a cat"})
    """

    @hide_arguments
    def __init__(
        self,
        comfyui_url: str | Sequence[Any] | Any | None = None,
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
        runninghub_use_personal_queue: bool = False,
        runninghub_retain_seconds: int | None = None,
        runninghub_access_password: str | None = None,
        servers: Sequence[Any] | None = None,
        headers: Mapping[str, str] | None = None,
        api: Api | None = None,
        place: Place | None = None,
        timeout: float | None = None,
        patience: float | None = None,
        verify: bool | str | SSLContext = True,
        proxy: str | None = None,
        expand_choices: bool = True,
        raise_on_error: bool = True,
        runs: str | Path | None = None,
        keep: Keep | None = None,
        same_server: SameServer | None = None,
        attach: bool = True,
    ) -> None:
        self._configure(resolve_settings(locals()))  # all arguments, by the names of their settings

    def form(self, workflow: Any, values: Mapping[str, Any] | None = None, /, **more: Any) -> WorkflowWidget:
        """Create a form of a workflow's parameters, for notebooks.

        Args:
            workflow: As for `run`.
            values: Initial values by parameter name.
            more: More of them, as keywords.

        Returns:
            The widget; as the last line of a cell it is displayed.

        Raises:
            ComfyKitError: The workflow can't be read, or a value does not fit.

        Example:
            form = kit.form("text_to_image.json", prompt="a cat")
            form.values["width"] = 768
        """
        from comfykit_jupyter.notebook.widget.widget import WorkflowWidget

        return WorkflowWidget(workflow, {**(values or {}), **more}, kit=self)
