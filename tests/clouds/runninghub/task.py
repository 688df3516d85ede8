"""A task: its states as polls see them, and its real run on a ComfyUI server."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Any, Literal
from urllib.parse import quote

import aiohttp

from .codes import ApiError

State = Literal["CREATE", "QUEUED", "RUNNING", "SUCCESS", "FAILED", "CANCEL"]
Frame = str | bytes
USER = "c5b3fbb10b06f3e1c8a9f2d64d0a7e55"


@dataclass(frozen=True)
class Polls:
    """The minimum number of polls that get each state, whatever the real run does."""

    create: int = 0
    queued: int = 1
    running: int = 1


@dataclass(frozen=True)
class Output:
    """A file that a node saved; `text` is set for a text output."""

    node_id: str
    name: str
    content: bytes
    text: str | None = None

    @property
    def file_type(self) -> str:
        return PurePosixPath(self.name).suffix.lstrip(".")


@dataclass(frozen=True)
class Fate:
    """The end of a task that does not really run."""

    end: Literal["SUCCESS", "FAILED", "CANCEL"] = "SUCCESS"
    outputs: Sequence[Output] = ()
    reason: Mapping[str, Any] = field(default_factory=dict)
    """`node_id`, `node_name`, `exception_type`, `exception_message`, `traceback` (a list), `current_inputs`…"""
    error_code: str = "1000"
    error_message: str = "unknown error"
    seconds: int = 83


class Task:
    """A task. Only its plain attributes may be used outside the cloud's event loop.

    `polls` counts the requests about it; a test can set it to advance the task.
    """

    def __init__(
        self, task_id: str, workflow_id: str, graph: dict[str, Any], body: Mapping[str, Any], pace: Polls
    ) -> None:
        self.id = task_id
        self.workflow_id = workflow_id
        self.graph = graph
        """The graph to run, with the given values and seeds."""
        self.body = body
        """The request that created it."""
        self.instance_type = str(body.get("instanceType", "default"))
        self.client_id = secrets.token_hex(16)
        self.auth = _create_credential()
        """Credential in its socket's address."""
        self.pace = pace
        self.polls = 0
        self.cancels = 0
        self.end: Literal["SUCCESS", "FAILED", "CANCEL"] | None = None
        self.ended = threading.Event()
        """Set when the real run has ended in any way."""
        self.started = False
        self.begun = False
        """Whether the server is running it, or polls reported it as running before it was started."""
        self.hidden = 0
        """How many times its outputs are still missing after SUCCESS."""
        self.outputs: list[Output] = []
        self.paths: list[str] = []
        """Paths of the outputs on the file server."""
        self.reason: dict[str, Any] = {}
        self.error_code, self.error_message = "", ""
        self.node_errors: dict[str, Any] = {}
        self.outputs_to_execute: list[str] = []
        self.seconds = 0

    @property
    def state(self) -> State:
        """The state that the current poll gets."""
        if self.end == "CANCEL":
            return "CANCEL"
        polls = self.polls
        before: tuple[tuple[State, int], ...] = (("CREATE", self.pace.create), ("QUEUED", self.pace.queued))
        for state, count in before:
            if count and polls <= count:
                return state
            polls -= count
        if self.started and not self.begun:
            return "QUEUED"
        if self.end is None or (self.pace.running and polls <= self.pace.running):
            return "RUNNING"
        return self.end

    @property
    def over(self) -> bool:
        """Whether it has ended and leaves room for another task."""
        return self.state in {"SUCCESS", "FAILED", "CANCEL"}

    @property
    def due(self) -> bool:
        """Whether polls have reported it as running often enough that it must really run."""
        return self.polls > self.pace.create + self.pace.queued + self.pace.running

    def finish(self, fate: Fate) -> None:
        """End the task."""
        self.outputs = [*fate.outputs]
        self.reason = dict(fate.reason)
        self.error_code, self.error_message = fate.error_code, fate.error_message
        self.end, self.begun, self.seconds = fate.end, True, fate.seconds
        self.ended.set()


class Server:
    """A client of the ComfyUI server on which the tasks run."""

    def __init__(self, url: str, session: aiohttp.ClientSession) -> None:
        self.url = url
        self._session = session
        self._followed: dict[str, asyncio.Task[None]] = {}
        self._definitions: dict[str, Any] = {}

    async def find_output_nodes(self, graph: Mapping[str, Any]) -> list[str]:
        """Return the IDs of the output nodes."""
        classes = {key: str(node.get("class_type")) for key, node in graph.items()}
        definitions = await self.get_definitions({*classes.values()})
        return [key for key, class_type in classes.items() if definitions.get(class_type, {}).get("output_node")]

    async def get_definitions(self, classes: Iterable[str]) -> Mapping[str, Any]:
        """Return the definitions of node classes."""
        for class_type in {*classes} - {*self._definitions}:
            async with self._session.get(f"{self.url}/object_info/{quote(class_type, safe='')}") as response:
                self._definitions[class_type] = (await response.json()).get(class_type, {})
        return self._definitions

    async def start(self, task: Task, heard: Callable[[Frame], None], ended: Callable[[], None]) -> None:
        """Start a task's run; pass on its frames, and collect its outputs when it has ended.

        Raises:
            ApiError: Code 433 if the server rejects the prompt.
        """
        task.started = True
        where = f"{self.url}/ws?clientId={task.client_id}"
        socket = await self._session.ws_connect(where, max_msg_size=0)
        body = {"prompt": task.graph, "prompt_id": task.id, "client_id": task.client_id}
        async with self._session.post(f"{self.url}/prompt", json=body) as response:
            answer = await response.json()
            if response.status != 200:
                await socket.close()
                tips = {
                    "result": False,
                    "error": answer["error"],
                    "outputs_to_execute": [],
                    "node_errors": answer["node_errors"],
                }
                raise ApiError(433, data={"promptTips": json.dumps(tips)})
        task.node_errors = answer["node_errors"]
        self._followed[task.id] = asyncio.create_task(self._follow(task, socket, heard, ended))

    async def cancel(self, task: Task) -> None:
        """Remove a task from the queue, or interrupt it."""
        await self._post("/queue", {"delete": [task.id]})
        await self._post("/interrupt", {"prompt_id": task.id})
        if not task.begun and task.id in self._followed:  # the server will not report its end
            self._followed[task.id].cancel()

    async def upload(self, name: str, content: bytes) -> None:
        """Upload a file to where nodes find it by its name."""
        path = PurePosixPath(name)
        form = aiohttp.FormData({"subfolder": str(path.parent).strip("."), "overwrite": "true"})
        form.add_field("image", io.BytesIO(content), filename=path.name, content_type="application/octet-stream")
        async with self._session.post(f"{self.url}/upload/image", data=form) as response:
            response.raise_for_status()

    async def download(self, file: Mapping[str, str]) -> tuple[bytes, str]:
        """Download a file by `filename`, `subfolder` and `type`; return its content and media type."""
        query = {key: str(file[key]) for key in ("filename", "subfolder", "type") if key in file}
        async with self._session.get(f"{self.url}/view", params=query) as response:
            response.raise_for_status()
            return await response.read(), response.content_type

    async def close(self) -> list[BaseException]:
        """Stop following runs, and return the errors that occurred."""
        for follow in self._followed.values():
            follow.cancel()
        ends = await asyncio.gather(*self._followed.values(), return_exceptions=True)
        return [end for end in ends if isinstance(end, Exception)]

    async def _post(self, path: str, body: Mapping[str, Any]) -> None:
        async with self._session.post(f"{self.url}{path}", json=body) as response:
            response.raise_for_status()

    async def _follow(
        self,
        task: Task,
        socket: aiohttp.ClientWebSocketResponse[bool],
        heard: Callable[[Frame], None],
        ended: Callable[[], None],
    ) -> None:
        began = time.monotonic()
        try:
            async for message in socket:
                event, data = _parse_event(message.data)
                if event == "execution_start" and data.get("prompt_id") == task.id:
                    task.begun = True
                    began = time.monotonic()
                heard(message.data)
                if event == "executing" and data.get("node") is None and data.get("prompt_id") == task.id:
                    break
        finally:
            await socket.close()
        await self._read(task, await self._get_history(task))
        task.seconds = round(time.monotonic() - began)
        task.begun = True
        task.ended.set()
        ended()

    async def _get_history(self, task: Task) -> Mapping[str, Any]:
        async with self._session.get(f"{self.url}/history/{task.id}") as response:
            found: Mapping[str, Any] = await response.json()
        return found[task.id]  # type: ignore[no-any-return]

    async def _read(self, task: Task, entry: Mapping[str, Any]) -> None:
        """Read a run's outputs and end from its history record."""
        for node_id, output in entry["outputs"].items():
            for values in output.values():
                for number, value in enumerate(values if isinstance(values, list) else ()):
                    if isinstance(value, dict) and value.get("type") == "output":
                        content, _ = await self.download(value)
                        task.outputs.append(Output(node_id, value["filename"], content))
                    elif isinstance(value, str):
                        name = f"ComfyUI_{node_id}_{number:05}_.txt"
                        task.outputs.append(Output(node_id, name, value.encode(), value))
        if task.end is not None:
            return
        if entry["status"]["completed"]:
            task.end = "SUCCESS"
            return
        error = dict(entry["status"]["messages"]).get("execution_error", {})
        task.reason = _build_reason(error)
        task.error_code, task.error_message = "805", "APIKEY_TASK_STATUS_ERROR"
        task.end = "FAILED"


def _parse_event(frame: Frame) -> tuple[str, Mapping[str, Any]]:
    if isinstance(frame, bytes):
        return "", {}
    message = json.loads(frame)
    return message["type"], message["data"]


def _build_reason(error: Mapping[str, Any]) -> dict[str, Any]:
    """Build the reason of a failure from a node's exception; the node's name is its class."""
    return {
        "current_outputs": error.get("current_outputs", {}),
        "exception_type": error.get("exception_type", "InterruptedError"),
        "node_name": error.get("node_type", ""),
        "current_inputs": error.get("current_inputs", {}),
        "traceback": error.get("traceback", []),
        "node_id": error.get("node_id", ""),
        "exception_message": error.get("exception_message", "Interrupted"),
    }


def _create_credential() -> str:
    now = int(time.time() * 1000)
    token = {"userId": USER, "signExpire": now + 7 * 86_400_000, "ts": now, "sign": secrets.token_hex(16)}
    return base64.b64encode(json.dumps(token).encode()).decode()
