"""`RunningHub`, the double: its servers in a thread of its own, its state, and its controls for tests."""

from __future__ import annotations

import asyncio
import functools
import json
import secrets
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from typing import Any

import aiohttp
from aiohttp import web

from comfykit_jupyter.sandbox.serving import start_server, stop_server

from .api import Api, read_request
from .codes import ApiError
from .files import Files, Request
from .script import Answer, Held, Refusal, Reply, Script
from .shelf import App, Graph
from .sockets import Sockets
from .task import Fate, Frame, Polls, Server, Task

PATIENCE = 60.0
"""Seconds after which a test gives up waiting; normally nothing takes that long."""

UPLOAD_LIMIT = 30 * 1024 * 1024
"""Limit of the first upload endpoint, in bytes."""

_FIRST_ID = 1910246754753896450
_COOKIE = "acw_tc"
_HOSTS = ("www.runninghub.cn", "www.runninghub.ai")
"""Values of the `Host` header that the site's documents demand literally."""

Handler = Callable[[web.Request], Coroutine[Any, Any, web.StreamResponse]]


class RunningHub:
    """A local double of RunningHub's API, which runs workflows on a ComfyUI server.

        with Sandbox() as server, RunningHub(server.url) as cloud:
            cloud.workflows["1904136902449209346"] = graph
            cloud.answer("create", 421, times=2)

    Args:
        server_url: Address of the ComfyUI server.
        key: API key of the account, 32 characters; by default random.
    """

    def __init__(self, server_url: str, key: str | None = None) -> None:
        self.key = key or secrets.token_hex(16)
        self.url = ""
        self.workflows: dict[str, Graph] = {}
        """The saved graphs by ID, in API format."""
        self.unsaved: set[str] = set()
        """IDs of workflows that were never saved and run on the site."""
        self.apps: dict[str, App] = {}
        self.passwords: dict[str, str] = {}
        """Passwords of encrypted workflows, by ID."""
        self.account: dict[str, Any] = {
            "remainCoins": "177814",
            "currentTaskCounts": "0",
            "remainMoney": None,
            "currency": None,
            "apiType": "NORMAL",
        }
        self.tasks: dict[str, Task] = {}
        self.requests: list[Request] = []
        """All requests, except those for sockets and files."""
        self.uploads: dict[str, bytes] = {}
        """Uploaded contents, by the names that nodes use."""
        self.fates: deque[Fate] = deque()
        """How the next tasks end; they do not really run."""
        self.pace = Polls()
        """How many polls of a new task get each state."""
        self.waits_for_socket = False
        """Whether a run starts only when a socket is open, or its `running` polls are used up."""
        self.hidden = 0
        """How many times the outputs of a new task are still missing after SUCCESS."""
        self.not_found = 807
        """Code for an unknown task: 807, 423 or 1004."""
        self.concurrency = 1
        self.personal_queue_limit = 1000
        self.upload_limit = UPLOAD_LIMIT
        self.requires_bearer = False
        """Whether v1 requires the key in both places."""
        self.wrong_key: int | None = None
        """Code for a wrong key at every endpoint, instead of each endpoint's own, as for a key of the other site."""
        self.texts_as_files = False
        """Whether texts in v2 results are files too."""
        self.cookie = secrets.token_hex(16)
        self.files = Files(self._secrets)
        self.sockets = Sockets()
        self.sockets.on_join = self._handle_socket
        self.changed = threading.Condition()
        """Notified of every request, new task and finished run."""
        self._server_url = server_url
        self._script = Script()
        self._api = Api(self)
        self._names = {*self._api.endpoints, "file"}
        self._thread = threading.Thread(target=self._run_loop, name="runninghub", daemon=True)
        self._loop: asyncio.AbstractEventLoop
        self._started: Future[None] = Future()
        self._stopping = asyncio.Event()
        self._taking = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()
        self._errors: list[BaseException] = []

    # For tests

    def answer(self, endpoint: str, answer: Answer, times: int | None = 1) -> None:
        """Replace the next normal responses of an endpoint, after those replaced before.

        Args:
            endpoint: `create`, `status`, `v2/query`, … as in `Api.endpoints`; `file` for the file server.
            answer: A code, a `Reply`, a `Refusal`, a `Held`, or a function that changes the normal response.
            times: Number of responses to replace; None replaces all from now on.
        """
        if endpoint not in self._names:
            raise ValueError(f"unknown endpoint {endpoint!r}: choose one of {', '.join(sorted(self._names))}")
        if endpoint == "file" and not isinstance(answer, (Reply, Held)):
            raise ValueError("the file server supports only Reply and Held")
        self._script.add(endpoint, answer, times)

    def reset_answer(self, endpoint: str) -> None:
        """Give normal responses again."""
        self._script.clear(endpoint)

    def find_requests(self, endpoint: str) -> list[Request]:
        """Return the requests to an endpoint."""
        return [request for request in self.requests if request.endpoint == endpoint]

    def wait_for(self, condition: Callable[[], object]) -> None:
        """Wait until a condition holds."""
        deadline = time.monotonic() + PATIENCE
        with self.changed:
            while not condition():  # not every change notifies, so it also looks by itself
                assert time.monotonic() < deadline, "the condition did not become true"
                self.changed.wait(0.05)

    def wait(self, task_id: str) -> None:
        """Wait until the real run of a task has ended; polls may still report another state."""
        assert self.tasks[task_id].ended.wait(PATIENCE), "the run has not ended"

    @property
    def files_url(self) -> str:
        """Address of the file server: another port and host name."""
        return self.files.url

    @property
    def task(self) -> Task:
        """The last task."""
        return [*self.tasks.values()][-1]

    def __enter__(self) -> RunningHub:
        self._thread.start()
        self._started.result()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stopping.set)
        self._thread.join()
        if self._errors and kind is None:  # an error in the double itself
            raise self._errors[0]

    # For the endpoints

    def socket_address(self, task: Task) -> str | None:
        """Return the address of a running task's socket."""
        return self.sockets.build_url(self.url, task) if task.state == "RUNNING" else None

    async def create_task(self, workflow_id: str, graph: Graph, body: Mapping[str, Any]) -> Task:
        """Create a task and start it if possible.

        Raises:
            ApiError: Code 421 or 814 if there are too many tasks; 433 if the server rejects the prompt.
        """
        async with self._taking:
            self._make_room(personal=body.get("usePersonalQueue") in (True, "true"))
            last = [*self.tasks] or [str(_FIRST_ID)]
            task = Task(str(int(last[-1]) + 1 + secrets.randbelow(1000)), workflow_id, graph, body, self.pace)
            task.hidden = self.hidden
            task.outputs_to_execute = await self.server.find_output_nodes(graph)
            if self.fates:
                task.finish(self.fates.popleft())
                self._finish_task(task)
            elif not self.waits_for_socket:
                await self._start(task)
            with self.changed:
                self.tasks[task.id] = task
                self.changed.notify_all()
            return task

    def _make_room(self, *, personal: bool) -> None:
        count = sum(not task.over for task in self.tasks.values())
        if personal and self.account["apiType"] == "EXCLUSIVE":
            if count >= self.concurrency + self.personal_queue_limit:
                raise ApiError(814)
        elif count >= self.concurrency:
            raise ApiError(421)

    async def poll(self, task: Task) -> str:
        """Count a poll and return the state that it gets."""
        task.polls += 1
        if task.due:
            await self._begin(task)
        return task.state

    async def cancel(self, task: Task) -> None:
        """Cancel a task unless it has ended."""
        if task.over:
            return
        task.end = "CANCEL"
        if task.started and not task.ended.is_set():
            await self.server.cancel(task)
        task.ended.set()

    async def store_upload(self, name: str, content: bytes) -> None:
        """Store an upload, also on the server."""
        if name not in self.uploads:
            await self.server.upload(name, content)
            self.uploads[name] = content

    # Runs

    async def _begin(self, task: Task) -> None:
        """Start a run that waited; if the server rejects its prompt now, the task fails."""
        if task.started or task.end is not None:
            return
        task.begun = True
        try:
            await self._start(task)
        except ApiError as refusal:
            message = str(refusal.data)
            task.finish(Fate("FAILED", reason={"exception_message": message}, error_code="433", error_message=message))

    async def _start(self, task: Task) -> None:
        await self.server.start(
            task, functools.partial(self._pass_on, task), functools.partial(self._finish_task, task)
        )

    def _pass_on(self, task: Task, frame: Frame) -> None:
        self.sockets.send(task, frame)
        with self.changed:  # the task may have begun with it
            self.changed.notify_all()

    def _handle_socket(self, task: Task) -> None:
        if task.state == "RUNNING":
            self._schedule(self._begin(task))

    def _finish_task(self, task: Task) -> None:
        task.paths = [self.files.add(output) for output in task.outputs]
        self.sockets.close_all(task)
        with self.changed:
            self.changed.notify_all()

    def _schedule(self, coroutine: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._collect_error)

    def _collect_error(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._errors.append(error)

    def _secrets(self) -> list[str]:
        return [self.key, self.cookie, *(task.auth for task in self.tasks.values()), *self.passwords.values()]

    # Servers

    def _run_loop(self) -> None:
        asyncio.run(self._serve())  # in the end, this cancels hanging responses

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with aiohttp.ClientSession() as session:
            self.server = Server(self._server_url, session)
            api, self.url = await _start_server(self._record_errors(self._handle), "127.0.0.1")
            handle_file = self._record_errors(self._handle_file)
            files, self.files.url = await _start_server(handle_file, "localhost")
            self._started.set_result(None)
            await self._stopping.wait()
            self._errors += await self.server.close()
            for runner, listener in (api, files):
                await stop_server(runner, listener)

    def _record_errors(self, handler: Handler) -> Handler:
        async def handle(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except ConnectionError:  # the client has disconnected
                raise
            except Exception as error:
                self._errors.append(error)
                raise

        return handle

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.path == "/ws/c_instance":
            client_id = request.query.get("clientId")
            task = next((task for task in self.tasks.values() if task.client_id == client_id), None)
            self._record(self.sockets.requests, Request("ws", "GET", request.raw_path, dict(request.headers), None))
            return await self.sockets.serve(request, task)
        if request.path == "/view":
            return await self._view(request)
        name, item_id = self._api.find_endpoint(request.path)
        if request.host not in (self.url.partition("://")[2], *_HOSTS):  # a Host header that was set to another host
            name = ""
        call, noted = await read_request(request, name, item_id)
        self._record(self.requests, noted)

        async def build_answer() -> web.Response:
            return self._build_response(await self._api.answer(name, request.method, call))

        answer = self._script.next(name) if name else None
        if isinstance(answer, Refusal):
            if answer.done:
                await build_answer()
            refused = ApiError(answer.code, answer.msg, answer.data)
            return self._build_response(self._api.endpoints[name].refuse(refused))
        return await _play(request, answer, build_answer)

    async def _handle_file(self, request: web.Request) -> web.StreamResponse:
        content = await request.read()
        body = content.decode("utf-8", "replace") or None
        noted = Request("file", request.method, request.raw_path, dict(request.headers), body)
        self._record(self.files.requests, noted)

        async def build_answer() -> web.Response:
            return self.files.answer(request, content)

        return await _play(request, self._script.next("file"), build_answer)

    async def _view(self, request: web.Request) -> web.Response:
        """Serve a file named in a frame; without the credential, serve an HTML page with status 200."""
        given = request.query.get("Rh-Comfy-Auth")
        if all(task.auth != given for task in self.tasks.values()):
            return web.Response(text="<html><body>expired</body></html>", content_type="text/html")
        try:
            content, media_type = await self.server.download(request.query)
        except aiohttp.ClientResponseError:
            return web.Response(text="<html><body>not found</body></html>", content_type="text/html")
        return web.Response(body=content, content_type=media_type)

    def _record(self, where: list[Request], request: Request) -> None:
        with self.changed:
            where.append(request)
            self.changed.notify_all()

    def _build_response(self, body: object) -> web.Response:
        response = web.json_response(body)
        response.set_cookie(_COOKIE, self.cookie, path="/", httponly=True)
        return response


async def _start_server(handler: Handler, name: str) -> tuple[tuple[web.AppRunner, socket.socket], str]:
    app = web.Application(client_max_size=1 << 30)
    app.router.add_route("*", r"/{path:[\s\S]*}", handler)  # file names can contain newlines
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    listener = await start_server(runner, "127.0.0.1")
    return (runner, listener), f"http://{name}:{listener.getsockname()[1]}"


async def _play(
    request: web.Request, answer: Answer | None, build_answer: Callable[[], Coroutine[Any, Any, web.Response]]
) -> web.StreamResponse:
    """Respond as the script says: normally, changed, late or not at all."""
    if isinstance(answer, Reply):
        if answer.done:
            await build_answer()
        return await _send(request, answer)
    if isinstance(answer, Held):
        early = await build_answer() if answer.done else None
        await asyncio.to_thread(answer.event.wait, PATIENCE)
        return await build_answer() if early is None else early
    response = await build_answer()
    if callable(answer):
        assert isinstance(response.body, bytes)
        response.body = json.dumps(answer(json.loads(response.body))).encode()
    return response


async def _send(request: web.Request, reply: Reply) -> web.StreamResponse:
    body = reply.body.encode() if isinstance(reply.body, str) else reply.body
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
    headers = {"Content-Type": "application/json", **reply.headers}
    transport = request.transport
    if transport is None:  # the client has left
        return web.Response()
    if reply.end == "hang":
        await asyncio.Event().wait()
    if reply.end in {"drop", "cut", "flood"}:
        if reply.end != "drop":
            await _send_in_part(request, web.StreamResponse(status=reply.status, headers=headers), reply, body)
        transport.abort()
    return web.Response(status=reply.status, headers=headers, body=body)


async def _send_in_part(request: web.Request, response: web.StreamResponse, reply: Reply, body: bytes) -> None:
    if reply.end == "cut":
        response.content_length = len(body)
        await response.prepare(request)
        await response.write(body[: len(body) // 2])
        return
    await response.prepare(request)
    try:
        await response.write(b'{"code": 0, "msg": "')
        while True:
            await response.write(b"x" * 65_536)
    except ConnectionError:
        return
