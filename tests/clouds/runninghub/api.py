"""The endpoints: who may ask, for what, and what it does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import shapes
from .codes import Refused
from .files import Request
from .shapes import Body
from .shelf import Graph, demo, overridden, positive
from .task import USER, Task

if TYPE_CHECKING:
    from .cloud import RunningHub

KINDS = {
    "image": ("jpg", "png", "jpeg", "webp"),
    "zip": ("zip",),
    "audio": ("mp3", "wav", "flac"),
    "video": ("mp4", "avi", "mov", "mkv"),
}
"""What may be uploaded, by the suffix of its name."""
_INSTANCES = ("default", "plus", "ultra")


@dataclass(frozen=True)
class Asked:
    """A request that an endpoint answers."""

    body: Mapping[str, Any]
    """The JSON object, the fields of a form, or the query."""
    bearer: str | None
    id: str = ""
    """What stands in the path."""
    file: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Endpoint:
    """One endpoint: where it is, how it refuses, which code it has for a wrong key."""

    method: str
    path: str
    answer: Callable[[Asked], Awaitable[Body]]
    refuse: Callable[[Refused], Body]
    wrong_key: Refused
    key: str | None = "apiKey"
    """Where in the body the key is; None: only in the `Authorization` header."""


class Api:
    """The endpoints of one cloud, by the names that a test calls them."""

    def __init__(self, cloud: RunningHub) -> None:
        self._cloud = cloud
        unknown, unauthorized = Refused(301, "user not exist"), Refused(802)
        no_user = Refused(806)
        v1, flat, upload = shapes.refused, shapes.task_refused, shapes.upload_refused
        post = "POST"
        self.endpoints = {
            "getJsonApiFormat": Endpoint(post, "/api/openapi/getJsonApiFormat", self._workflow, v1, unauthorized),
            "create": Endpoint(post, "/task/openapi/create", self._create, v1, unauthorized),
            "ai-app/run": Endpoint(post, "/task/openapi/ai-app/run", self._run_app, v1, unauthorized),
            "quick-ai-app/run": Endpoint(post, "/task/openapi/quick-ai-app/run", self._run_quick, v1, unauthorized),
            "apiCallDemo": Endpoint("GET", "/api/webapp/apiCallDemo", self._demo, v1, unauthorized),
            "status": Endpoint(post, "/task/openapi/status", self._status, v1, unknown),
            "outputs": Endpoint(post, "/task/openapi/outputs", self._outputs, v1, unauthorized),
            "cancel": Endpoint(post, "/task/openapi/cancel", self._cancel, v1, unauthorized),
            "upload": Endpoint(post, "/task/openapi/upload", self._upload, v1, unauthorized),
            "accountStatus": Endpoint(post, "/uc/openapi/accountStatus", self._account, v1, unauthorized, "apikey"),
            "v2/upload": Endpoint(
                post, "/openapi/v2/media/upload/binary", self._upload_v2, upload, Refused(401), key=None
            ),
            "v2/run/workflow": Endpoint(
                post, "/openapi/v2/run/workflow/", self._run_workflow_v2, flat, no_user, key=None
            ),
            "v2/run/ai-app": Endpoint(post, "/openapi/v2/run/ai-app/", self._run_app_v2, flat, no_user, key=None),
            "v2/query": Endpoint(post, "/openapi/v2/query", self._query, flat, no_user, key=None),
            "v2/queue/status": Endpoint("GET", "/openapi/v2/queue/status", self._queue, v1, Refused(401), key=None),
        }

    def find(self, path: str) -> tuple[str, str]:
        """The endpoint's name and the id in the path; `""` if there is none."""
        for name, endpoint in self.endpoints.items():
            if path == endpoint.path and not path.endswith("/"):
                return name, ""
            if endpoint.path.endswith("/") and path.startswith(endpoint.path) and "/" not in path[len(endpoint.path) :]:
                return name, path[len(endpoint.path) :]
        return "", ""

    async def answer(self, name: str, method: str, asked: Asked) -> Body:
        """The true answer, be it a refusal."""
        if not name:
            return shapes.refused(Refused(412))
        endpoint = self.endpoints[name]
        try:
            if method != endpoint.method:
                raise Refused(1009)
            if not self._allowed(endpoint, asked):
                raise endpoint.wrong_key if self._cloud.wrong_key is None else Refused(self._cloud.wrong_key)
            return await endpoint.answer(asked)
        except Refused as refusal:
            return endpoint.refuse(refusal)

    def _allowed(self, endpoint: Endpoint, asked: Asked) -> bool:
        key = self._cloud.key
        if endpoint.key is None:
            return asked.bearer == key
        if asked.bearer is None:
            return asked.body.get(endpoint.key) == key and not self._cloud.requires_bearer
        return asked.body.get(endpoint.key) == key == asked.bearer

    # Workflows and apps

    def _graph(self, workflow_id: str) -> Graph:
        if workflow_id not in self._cloud.workflows:
            raise Refused(380)
        if workflow_id in self._cloud.unsaved:
            raise Refused(810)
        return self._cloud.workflows[workflow_id]

    async def _workflow(self, asked: Asked) -> Body:
        graph = self._graph(positive(asked.body.get("workflowId"), "workflowId"))
        return shapes.done({"prompt": json.dumps(graph, ensure_ascii=False)}, "SUCCESS")

    async def _demo(self, asked: Asked) -> Body:
        app_id = positive(asked.body.get("webappId"), "webappId")
        if app_id not in self._cloud.apps:
            raise Refused(901)
        app = self._cloud.apps[app_id]
        graph = self._cloud.workflows[app.workflow_id]
        definitions = await self._cloud.server.definitions({graph[field.node_id]["class_type"] for field in app.fields})
        curl = f"curl '{self._cloud.url}/task/openapi/ai-app/run' --data-raw '{{\"apiKey\": \"{self._cloud.key}\"}}'"
        return shapes.done(demo(app, graph, definitions, curl))

    # Tasks

    async def _create(self, asked: Asked) -> Body:
        return self._created(await self._take(asked.body, asked.body.get("workflowId")))

    async def _run_app(self, asked: Asked) -> Body:
        return self._created(await self._take_app(asked.body, asked.body.get("webappId")))

    async def _run_quick(self, asked: Asked) -> Body:
        if not asked.body.get("quickCreateCode"):
            raise Refused(301, "quickCreateCode must not be empty")
        return await self._run_app(asked)

    async def _run_workflow_v2(self, asked: Asked) -> Body:
        return shapes.created_v2(await self._take(asked.body, asked.id))

    async def _run_app_v2(self, asked: Asked) -> Body:
        return shapes.created_v2(await self._take_app(asked.body, asked.id))

    def _created(self, task: Task) -> Body:
        return shapes.created(task, self._cloud.socket_address(task))

    async def _take_app(self, body: Mapping[str, Any], given_id: Any) -> Task:
        app_id = positive(given_id, "webappId")
        if app_id not in self._cloud.apps:
            raise Refused(901)
        app = self._cloud.apps[app_id]
        if not isinstance(body.get("nodeInfoList"), list):
            raise Refused(301, "nodeInfoList must not be empty")
        if app.password is not None and body.get("accessPassword") != app.password:
            raise Refused(301, "accessPassword is wrong")
        body = {key: value for key, value in body.items() if key != "workflow"}
        return await self._take(body, app.workflow_id)

    async def _take(self, body: Mapping[str, Any], given_id: Any) -> Task:
        """Make a task of a request, and let it begin."""
        cloud = self._cloud
        if not int(cloud.account["remainCoins"] or 0) > 0:
            raise Refused(416)
        workflow_id = positive(given_id, "workflowId")
        if "workflow" in body:
            target, saved = _parsed(body["workflow"]), cloud.workflows.get(workflow_id, {})
        else:
            target = saved = self._graph(workflow_id)
        if workflow_id in cloud.passwords and body.get("accessPassword") != cloud.passwords[workflow_id]:
            raise Refused(301, "accessPassword is wrong")
        if body.get("instanceType", "default") not in _INSTANCES:
            raise Refused(301, "instanceType is wrong")
        retain = body.get("retainSeconds", 10)
        if not isinstance(retain, int) or not 10 <= retain <= 180:
            raise Refused(301, "retainSeconds must be between 10 and 180")
        graph = overridden(saved, target, body.get("nodeInfoList", []))
        return await cloud.take(workflow_id, graph, body)

    def _task(self, asked: Asked, malformed: int, unknown: int) -> Task:
        given = asked.body.get("taskId")
        text = str(given)
        if isinstance(given, bool) or not (text.isascii() and text.isdigit() and int(text) > 0):
            raise Refused(malformed, "taskId must be positive" if malformed == 301 else "taskId must be greater than 0")
        if text not in self._cloud.tasks:
            raise Refused(unknown)
        return self._cloud.tasks[text]

    async def _status(self, asked: Asked) -> Body:
        task = self._task(asked, 301, self._cloud.not_found)
        state = await self._cloud.poll(task)
        told = {"CREATE": "QUEUED", "CANCEL": "FAILED"}.get(state, state)
        return shapes.done(told, "")

    async def _outputs(self, asked: Asked) -> Body:
        task = self._task(asked, 301, self._cloud.not_found)
        state = await self._cloud.poll(task)
        if state in {"CREATE", "QUEUED"}:
            raise Refused(813)
        if state == "SUCCESS" and task.hidden:
            task.hidden -= 1
            state = "RUNNING"
        if state == "RUNNING":
            raise Refused(804, data={"netWssUrl": self._cloud.socket_address(task)})
        if state == "CANCEL":
            raise Refused(805)
        if state == "FAILED":
            raise Refused(805, data={"failedReason": shapes.failed_reason(task.reason)})
        address = self._cloud.files.address
        return shapes.done(
            [
                shapes.file(output, address(path), task.seconds)
                for output, path in zip(task.outputs, task.paths, strict=True)
            ]
        )

    async def _query(self, asked: Asked) -> Body:
        task = self._task(asked, 1007, 1004)
        state = await self._cloud.poll(task)
        results = None
        if state == "SUCCESS":
            address, as_files = self._cloud.files.address, self._cloud.texts_as_files
            results = [
                shapes.result(output, address(path), as_file=as_files or output.text is None)
                for output, path in zip(task.outputs, task.paths, strict=True)
            ]
        return shapes.query(task, state, results)

    async def _cancel(self, asked: Asked) -> Body:
        task = self._task(asked, 301, self._cloud.not_found)
        task.cancels += 1
        await self._cloud.cancel(task)
        return shapes.done(None)

    # Files

    async def _upload(self, asked: Asked) -> Body:
        if not asked.body.get("fileType"):
            raise Refused(301, "fileType must not be empty")
        content, suffix = self._file(asked)
        if len(content) > self._cloud.upload_limit:
            raise Refused(809)
        kind = _kind(suffix)
        if kind is None:
            raise Refused(808)
        digest = hashlib.sha256(content).hexdigest()
        name = digest if kind == "zip" else f"api/{digest}.{suffix}"
        await self._cloud.keep(name, content)
        return shapes.done({"fileName": name, "fileType": asked.body["fileType"]})

    async def _upload_v2(self, asked: Asked) -> Body:
        content, suffix = self._file(asked)
        name = f"openapi/{hashlib.sha256(content).hexdigest()}.{suffix}"
        await self._cloud.keep(name, content)
        path = self._cloud.files.put(f"/{USER}/input/{name}", content)
        url = self._cloud.files.address(path)
        data = {"type": _kind(suffix) or "file", "download_url": url, "fileName": name, "size": str(len(content))}
        return {"code": 0, "message": "success", "data": data}

    def _file(self, asked: Asked) -> tuple[bytes, str]:
        if asked.file is None:
            raise Refused(301, "file must not be empty")
        name, content = asked.file
        return content, PurePosixPath(name).suffix.lstrip(".").lower() or "bin"

    # Accounts

    async def _account(self, _: Asked) -> Body:
        busy = sum(not task.over for task in self._cloud.tasks.values())
        return shapes.done({**self._cloud.account, "currentTaskCounts": str(busy)})

    async def _queue(self, _: Asked) -> Body:
        states = [task.state for task in self._cloud.tasks.values() if not task.over]
        running = states.count("RUNNING")
        return shapes.done(
            {
                "apiKeyType": self._cloud.account["apiType"],
                "concurrentLimit": self._cloud.concurrency,
                "runningCount": str(running),
                "queuedCount": str(len(states) - running),
                "totalCurrentTasks": str(len(states)),
            }
        )


async def read(request: web.Request, name: str, item_id: str) -> tuple[Asked, Request]:
    """What a request asks, and how it is noted."""
    bearer = request.headers.get("Authorization")
    if bearer is not None:
        bearer = bearer[7:] if bearer.startswith("Bearer ") else f"not a bearer: {bearer}"
    body: Any = None
    noted: Any = None
    file: tuple[str, bytes] | None = None
    if request.content_type == "multipart/form-data":
        form = await request.post()
        body, noted = {}, {}
        for key, value in form.items():
            if isinstance(value, web.FileField):
                with value.file as given:
                    content = given.read()
                noted[key] = {"name": value.filename, "type": value.content_type, "size": len(content)}
                file = (value.filename, content) if key == "file" else file
            else:
                body[key] = noted[key] = value
    elif request.can_read_body:
        text = await request.text()
        try:
            noted = json.loads(text)
        except ValueError:
            noted = text
        if isinstance(noted, dict) and request.content_type == "application/json":
            body = noted
    else:
        body = dict(request.query)
    # What is none of these is an object without anything: neither a key nor an id is found in it.
    asked = Asked(body if isinstance(body, dict) else {}, bearer, item_id, file)
    headers = dict(request.headers)
    return asked, Request(name, request.method, request.raw_path, headers, noted)


def _parsed(workflow: Any) -> Graph:
    """The graph in a request: JSON in a text.

    Raises:
        Refused: by 301, if it is none.
    """
    try:
        graph = json.loads(workflow) if isinstance(workflow, str) else None
    except ValueError:
        graph = None
    whole = isinstance(graph, dict) and all(
        isinstance(node, dict) and isinstance(node.get("inputs"), dict) for node in graph.values()
    )
    if not whole:
        raise Refused(301, "workflow is no JSON text of a graph in API format")
    found: Graph = graph  # type: ignore[assignment]
    return found


def _kind(suffix: str) -> str | None:
    return next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), None)
