"""The executor: runs prompts one at a time in its own thread, sends progress and records results."""

from __future__ import annotations

import logging
import threading
import time
import traceback
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from comfykit_jupyter.sandbox.cache import ResultCache, compute_fingerprints, compute_signatures, is_uncacheable
from comfykit_jupyter.sandbox.definitions import Definitions, find_accepted_inputs
from comfykit_jupyter.sandbox.graph import is_link, order_nodes, unwrap_value, walk_postorder
from comfykit_jupyter.sandbox.interface.node import NODES, Folders, Interrupted, Output
from comfykit_jupyter.sandbox.sockets import Sockets, encode_jpeg

if TYPE_CHECKING:
    from collections.abc import Mapping

    from PIL import Image

    from comfykit_jupyter.sandbox.prompt_queue import Job, PromptQueue

_log = logging.getLogger(__name__)

_CONNECT_GRACE = 0.01
"""Seconds that a client has to open its socket after its first POST; on a real server the nodes take that long."""

_MAX_INPUT = 2_000
"""Characters of an input that an error reports."""


class Executor:
    """The thread that takes jobs from the queue, runs them and adds them to the history."""

    def __init__(self, queue: PromptQueue, folders: Folders, sockets: Sockets, step_seconds: float = 0) -> None:
        self._step_seconds = step_seconds
        self.cache = ResultCache()
        self._queue = queue
        self._folders = folders
        self._sockets = sockets
        self._run: Run | None = None
        self._is_freeing = threading.Event()
        self._thread = threading.Thread(target=self._work, name="sandbox-executor", daemon=True)

    def start(self) -> None:
        """Start running jobs."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Wait at most `timeout` seconds for the thread to end. Close the queue first."""
        self._thread.join(timeout)

    def find_executing_node(self, client_id: str) -> str | None:
        """Return the ID of the node that is running for this client, for a client that reconnects."""
        run = self._run
        return run.node_id if run is not None and run.job.client_id == client_id else None

    def free(self) -> None:
        """Empty the cache, after the end of a job that runs."""
        self._is_freeing.set()
        if self._run is None:
            self._empty_cache()

    def _empty_cache(self) -> None:
        if self._is_freeing.is_set():
            self._is_freeing.clear()
            self.cache.clear()

    def _work(self) -> None:
        while (job := self._queue.get()) is not None:
            run = self._run = Run(job, self._folders, self.cache, self._sockets, self._step_seconds)
            if job.client_id is not None:
                self._sockets.wait_for_client(job.client_id, _CONNECT_GRACE)
            try:
                run.execute()
            except Exception:  # noqa: BLE001 - one failing prompt must not stop the others
                _log.exception("internal error while running prompt %s", job.prompt_id)
                run.fail(None, RuntimeError("internal server error: see the server's log"), "")
            self._run = None
            self._empty_cache()
            self._queue.finish(job, run.to_history())
            run.send("executing", {"node": None, "prompt_id": job.prompt_id})


@dataclass
class Run:
    """The execution of one job."""

    job: Job
    folders: Folders
    cache: ResultCache
    sockets: Sockets
    step_seconds: float = 0
    """Seconds that each step of a node takes at least."""
    node_id: str | None = None
    """ID of the node that is running."""
    node_prompt: Mapping[str, Any] = field(default_factory=dict)
    """The prompt as nodes see it, with fingerprints in `is_changed`."""
    _results: dict[str, Output] = field(default_factory=dict)
    _progress: dict[str, dict[str, Any]] = field(default_factory=dict)
    _executed: list[str] = field(default_factory=list)
    _outputs: dict[str, Mapping[str, Any]] = field(default_factory=dict)
    _messages: list[list[Any]] = field(default_factory=list)
    _status: str = "error"

    def execute(self) -> None:
        """Run the job's nodes until all are done, one fails, or the job is cancelled."""
        prompt = self.job.prompt
        self._log("execution_start")
        definitions = Definitions(self.folders)
        declared = {key: definitions.list_inputs(node["class_type"], node["inputs"]) for key, node in prompt.items()}
        nodes, _ = walk_postorder(prompt, self.job.outputs, declared)
        prints = compute_fingerprints(prompt, nodes, self.folders, definitions)
        keys = compute_signatures(prompt, nodes, prints, definitions)
        # As in ComfyUI, the prompt that nodes see, and write into images, has more keys than the history's.
        self.node_prompt = prompt | {
            node_id: {**prompt[node_id], "is_changed": fingerprint}
            for node_id, fingerprint in prints.items()
            if not is_uncacheable(fingerprint)  # NaN is not JSON
        }
        for node_id, key in keys.items():
            result = self.cache.get(key)
            if result is not None:
                self._results[node_id] = result
        cached = [node_id for node_id in prompt if node_id in self._results]
        self._log("execution_cached", nodes=cached)
        for node_id in order_nodes(prompt, self.job.outputs, self._results.keys(), declared):
            if node_id in self._results:
                self._send_output(node_id, self._results[node_id])
                self._finish(node_id)
                continue
            self.node_id = node_id
            node, context = NODES[prompt[node_id]["class_type"]], RunContext(self, node_id)
            inputs = self._collect_inputs(node_id, declared[node_id])
            self._begin(node_id)
            try:
                context.raise_if_interrupted()
                result = node.run(context, **{name: inputs[name] for name in find_accepted_inputs(node.run, inputs)})
            except Interrupted:
                about = {"node_id": node_id, "node_type": node.class_type, "executed": list(self._executed)}
                self._log("execution_interrupted", **about)
                return
            except Exception as error:  # noqa: BLE001 - any error in a node ends the run and is reported
                self.fail(node_id, error, node.class_type, inputs)
                return
            self._results[node_id] = result
            self._executed.append(node_id)
            self.cache.put(keys[node_id], result)
            self._send_output(node_id, result)
            self._finish(node_id)
        self.node_id = None
        self._status = "success"
        self._log("execution_success")

    def fail(
        self, node_id: str | None, error: Exception, node_type: str, inputs: Mapping[str, Any] | None = None
    ) -> None:
        """Report that a node failed."""
        kind = type(error)
        self._log(
            "execution_error",
            node_id=node_id,
            node_type=node_type,
            executed=list(self._executed),
            exception_message=f"{error}\n",
            exception_type=kind.__qualname__
            if kind.__module__ == "builtins"
            else f"{kind.__module__}.{kind.__qualname__}",
            traceback=traceback.format_tb(error.__traceback__),
            current_inputs={name: [_shorten(value)] for name, value in (inputs or {}).items()},
            current_outputs=list(self.job.prompt),
        )

    def to_history(self) -> dict[str, Any]:
        """Return the run in the format of `/history`."""
        return {
            "prompt": self.job.to_item(),
            "outputs": self._outputs,
            "status": {
                "status_str": self._status,
                "completed": self._status == "success",
                "messages": self._messages,
            },
            "meta": {
                node_id: {"node_id": node_id, "display_node": node_id, "parent_node": None, "real_node_id": node_id}
                for node_id in self._outputs
            },
        }

    def send(self, event: str, data: Mapping[str, Any]) -> None:
        """Send a message to the client that submitted the job, if any."""
        if self.job.client_id is not None:
            self.sockets.send(event, data, self.job.client_id)

    def report_progress(self, node_id: str, value: float, maximum: float, state: str) -> None:
        """Record a node's progress and send the progress of all nodes that have started."""
        self._progress[node_id] = {
            "value": value,
            "max": maximum,
            "state": state,
            "node_id": node_id,
            "prompt_id": self.job.prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }
        # Like ComfyUI, send this message to all clients if the job has no client ID.
        about = {"prompt_id": self.job.prompt_id, "nodes": self._progress}
        self.sockets.send("progress_state", about, self.job.client_id)

    def _collect_inputs(self, node_id: str, declared: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values of a node's inputs, taken from the prompt or from the nodes they are linked to."""
        given: dict[str, Any] = self.job.prompt[node_id]["inputs"]
        return {
            name: self._results[value[0]].values[value[1]] if is_link(value) else unwrap_value(value)
            for name, value in given.items()
            if name in declared
        }

    def _begin(self, node_id: str) -> None:
        self.report_progress(node_id, 0.0, 1.0, "running")
        about = {"node": node_id, "display_node": node_id, "prompt_id": self.job.prompt_id}
        self.send("executing", about)

    def _finish(self, node_id: str) -> None:
        maximum = self._progress[node_id]["max"] if node_id in self._progress else 1
        self.report_progress(node_id, maximum, maximum, "finished")

    def _send_output(self, node_id: str, result: Output) -> None:
        if result.ui is None:
            return
        self._outputs[node_id] = result.ui
        about = {"node": node_id, "display_node": node_id, "output": result.ui, "prompt_id": self.job.prompt_id}
        self.send("executed", about)

    def _log(self, event: str, **data: Any) -> None:
        """Send a message and keep it for the history."""
        message = {"prompt_id": self.job.prompt_id, **data, "timestamp": int(time.time() * 1000)}
        self._messages.append([event, message])
        self.send(event, message)


class RunContext:
    """The context of a running node; implements `node.Context`."""

    def __init__(self, run: Run, node_id: str) -> None:
        self._run = run
        self.node_id = node_id
        self.prompt_id = run.job.prompt_id
        self.prompt = run.node_prompt
        extra = run.job.extra_data.get("extra_pnginfo")
        self.extra_pnginfo: Mapping[str, Any] = extra if isinstance(extra, dict) else {}
        self.folders = run.folders
        self._stepped = time.monotonic()

    def raise_if_interrupted(self) -> None:
        """Raise `Interrupted` if the job was cancelled."""
        if self._run.job.cancelled.is_set():
            raise Interrupted

    def report_progress(self, value: int, total: int, preview: Image.Image | None = None) -> None:
        """Send progress to the client: step `value` of `total`, with an optional preview.

        Raises:
            Interrupted: The job was cancelled. Do not catch it.
        """
        run, client_id = self._run, self._run.job.client_id
        if (rest := self._stepped + run.step_seconds - time.monotonic()) > 0:
            run.job.cancelled.wait(rest)
        self._stepped = time.monotonic()
        self.raise_if_interrupted()
        run.report_progress(self.node_id, value, total, "running")
        about = {"value": value, "max": total, "prompt_id": self.prompt_id, "node": self.node_id}
        # A preview without metadata belongs to the progress message before it; one with metadata is sent first.
        if client_id is not None and run.sockets.accepts_metadata(client_id):
            self._send_preview(preview, client_id)
            run.send("progress", about)
        else:
            run.send("progress", about)
            self._send_preview(preview, client_id)

    def _send_preview(self, preview: Image.Image | None, client_id: str | None) -> None:
        if preview is None or client_id is None or not self._run.sockets.is_connected(client_id):
            return
        about = {
            "node_id": self.node_id,
            "prompt_id": self.prompt_id,
            "display_node_id": self.node_id,
            "parent_node_id": None,
            "real_node_id": self.node_id,
        }
        self._run.sockets.send_preview(encode_jpeg(preview), about, client_id)

    def show_text(self, text: str) -> None:
        """Send a line of text to display on the node while it runs."""
        client_id = self._run.job.client_id
        if client_id is not None:
            self._run.sockets.send_text(text, self.node_id, client_id)


def _shorten(value: Any) -> Any:
    """Return an input's value in a form that fits into an error message."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return str(value)[:_MAX_INPUT]
