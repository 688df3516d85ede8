"""The double's endpoints: their paths, keys, checks and actions."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from aiohttp import web

from . import shapes
from .codes import ApiError
from .files import Request
from .shapes import Body
from .shelf import Graph, apply_values, describe_app, parse_id
from .task import USER, Task

if TYPE_CHECKING:
    from .cloud import RunningHub

KINDS = {
    "image": ("jpg", "png", "jpeg", "webp"),
    "zip": ("zip",),
    "audio": ("mp3", "wav", "flac"),
    "video": ("mp4", "avi", "mov", "mkv"),
}
"""File suffixes that can be uploaded, by kind."""
NOT_A_BEARER = "not a bearer: "
"""Comes before another value of the `Authorization` header."""
_INSTANCES = ("default", "plus", "ultra")


@dataclass(frozen=True)
class Call:
    """A parsed request to an endpoint."""

    body: Mapping[str, Any]
    """The JSON object, the fields of a form, or the query."""
    bearer: str | None
    id: str = ""
    """The ID in the path."""
    file: tuple[str, bytes] | None = None


@dataclass(frozen=True)
class Endpoint:
    """An endpoint: its path, its error format and its code for a wrong key."""

    method: str
    path: str
    answer: Callable[[Call], Awaitable[Body]]
    refuse: Callable[[ApiError], Body]
    wrong_key: ApiError
    keys: tuple[str, ...] = ("apiKey",)
    """Names that the key may have in the body; none if only the `Authorization` header is accepted."""
    accepts_bare_key: bool = False
    """Whether the header may have the key without `Bearer`."""


class Api:
    """The endpoints of a cloud, by the names that tests use."""

    def __init__(self, cloud: RunningHub) -> None:
        self._cloud = cloud
        unknown, unauthorized = ApiError(301, "user not exist"), ApiError(802)
        no_user = ApiError(806)
        v1, flat, upload = shapes.format_error, shapes.format_task_error, shapes.format_upload_error
        post = "POST"
        self.endpoints = {
            "getJsonApiFormat": Endpoint(post, "/api/openapi/getJsonApiFormat", self._get_workflow, v1, unauthorized),
            "create": Endpoint(post, "/task/openapi/create", self._create, v1, unauthorized),
            "ai-app/run": Endpoint(post, "/task/openapi/ai-app/run", self._run_app, v1, unauthorized),
            "quick-ai-app/run": Endpoint(post, "/task/openapi/quick-ai-app/run", self._run_quick, v1, unauthorized),
            "apiCallDemo": Endpoint("GET", "/api/webapp/apiCallDemo", self._get_app, v1, unauthorized),
            "status": Endpoint(post, "/task/openapi/status", self._get_status, v1, unknown),
            "outputs": Endpoint(post, "/task/openapi/outputs", self._get_outputs, v1, unauthorized),
            "cancel": Endpoint(post, "/task/openapi/cancel", self._cancel_task, v1, unauthorized),
            "upload": Endpoint(post, "/task/openapi/upload", self._upload, v1, unauthorized),
            "accountStatus": Endpoint(
                post, "/uc/openapi/accountStatus", self._get_account, v1, unauthorized, ("apikey", "apiKey")
            ),
            "v2/upload": Endpoint(
                post, "/openapi/v2/media/upload/binary", self._upload_v2, upload, ApiError(401), keys=()
            ),
            "v2/run/workflow": Endpoint(
                post, "/openapi/v2/run/workflow/", self._run_workflow_v2, flat, no_user, keys=()
            ),
            "v2/run/ai-app": Endpoint(post, "/openapi/v2/run/ai-app/", self._run_app_v2, flat, no_user, keys=()),
            "v2/query": Endpoint(post, "/openapi/v2/query", self._query_task, flat, no_user, keys=()),
            "getLoraUploadUrl": Endpoint(
                post, "/api/openapi/getLoraUploadUrl", self._get_lora_upload_url, v1, unauthorized
            ),
            "v2/aiapp/list": Endpoint(
                post, "/openapi/v2/aiapp/list", self._list_apps, v1, ApiError(401), keys=(), accepts_bare_key=True
            ),
            "v2/queue/status": Endpoint("GET", "/openapi/v2/queue/status", self._get_queue, v1, ApiError(401), keys=()),
        }

    def find_endpoint(self, path: str) -> tuple[str, str]:
        """Return an endpoint's name and the ID in the path; empty strings if there is no such endpoint."""
        for name, endpoint in self.endpoints.items():
            if path == endpoint.path and not path.endswith("/"):
                return name, ""
            if endpoint.path.endswith("/") and path.startswith(endpoint.path) and "/" not in path[len(endpoint.path) :]:
                return name, path[len(endpoint.path) :]
        return "", ""

    async def answer(self, name: str, method: str, call: Call) -> Body:
        """Return the normal response, which may be an error."""
        if not name:
            return shapes.format_error(ApiError(412))
        endpoint = self.endpoints[name]
        try:
            if method != endpoint.method:
                raise ApiError(1009)
            if not self._is_authorized(endpoint, call):
                raise endpoint.wrong_key if self._cloud.wrong_key is None else ApiError(self._cloud.wrong_key)
            return await endpoint.answer(call)
        except ApiError as refusal:
            return endpoint.refuse(refusal)

    def _is_authorized(self, endpoint: Endpoint, call: Call) -> bool:
        key = self._cloud.key
        if not endpoint.keys:
            return call.bearer == key or (endpoint.accepts_bare_key and call.bearer == f"{NOT_A_BEARER}{key}")
        in_body = next((call.body[name] for name in endpoint.keys if name in call.body), None)
        if call.bearer is None:
            return in_body == key and not self._cloud.requires_bearer
        return in_body == key == call.bearer

    # Workflows and apps

    def _find_graph(self, workflow_id: str) -> Graph:
        if workflow_id not in self._cloud.workflows:
            raise ApiError(380)
        if workflow_id in self._cloud.unsaved:
            raise ApiError(810)
        return self._cloud.workflows[workflow_id]

    async def _get_workflow(self, call: Call) -> Body:
        graph = self._find_graph(parse_id(call.body.get("workflowId"), "workflowId"))
        return shapes.format_success({"prompt": json.dumps(graph, ensure_ascii=False)}, "SUCCESS")

    async def _get_app(self, call: Call) -> Body:
        app_id = parse_id(call.body.get("webappId"), "webappId")
        if app_id not in self._cloud.apps:
            raise ApiError(901)
        app = self._cloud.apps[app_id]
        graph = self._cloud.workflows[app.workflow_id]
        definitions = await self._cloud.server.get_definitions(
            {graph[field.node_id]["class_type"] for field in app.fields}
        )
        curl = f"curl '{self._cloud.url}/task/openapi/ai-app/run' --data-raw '{{\"apiKey\": \"{self._cloud.key}\"}}'"
        return shapes.format_success(describe_app(app, graph, definitions, curl))

    async def _list_apps(self, call: Call) -> Body:
        size, page = int(call.body.get("size") or 10), int(call.body.get("current") or 1)
        apps = list(self._cloud.apps.items())
        records = [
            {
                "title": app.name,
                "description": "",
                "cover": "",
                "invokeExample": f"curl '{self._cloud.url}/openapi/v2/run/ai-app/{app_id}'",
            }
            for app_id, app in apps[(page - 1) * size : page * size]
        ]
        pages = -(-len(apps) // size)
        counts = {"current": page, "size": size, "total": len(apps), "pages": pages, "hasNext": page < pages}
        return shapes.format_success({"records": records, **counts})

    # Tasks

    async def _create(self, call: Call) -> Body:
        return self._format_created(await self._create_task(call.body, call.body.get("workflowId")))

    async def _run_app(self, call: Call) -> Body:
        return self._format_created(await self._create_app_task(call.body, call.body.get("webappId")))

    async def _run_quick(self, call: Call) -> Body:
        if not call.body.get("quickCreateCode"):
            raise ApiError(301, "quickCreateCode must not be empty")
        return await self._run_app(call)

    async def _run_workflow_v2(self, call: Call) -> Body:
        return shapes.format_created_v2(await self._create_task(call.body, call.id))

    async def _run_app_v2(self, call: Call) -> Body:
        return shapes.format_created_v2(await self._create_app_task(call.body, call.id))

    def _format_created(self, task: Task) -> Body:
        return shapes.format_created(task, self._cloud.socket_address(task))

    async def _create_app_task(self, body: Mapping[str, Any], given_id: Any) -> Task:
        app_id = parse_id(given_id, "webappId")
        if app_id not in self._cloud.apps:
            raise ApiError(901)
        app = self._cloud.apps[app_id]
        if not isinstance(body.get("nodeInfoList"), list):
            raise ApiError(301, "nodeInfoList must not be empty")
        if app.password is not None and body.get("accessPassword") != app.password:
            raise ApiError(301, "accessPassword is wrong")
        body = {key: value for key, value in body.items() if key != "workflow"}
        return await self._create_task(body, app.workflow_id)

    async def _create_task(self, body: Mapping[str, Any], given_id: Any) -> Task:
        """Create a task from a request and start it."""
        cloud = self._cloud
        if not int(cloud.account["remainCoins"] or 0) > 0:
            raise ApiError(416)
        workflow_id = parse_id(given_id, "workflowId")
        if "workflow" in body:
            target, saved = _parse_graph(body["workflow"]), cloud.workflows.get(workflow_id, {})
        else:
            target = saved = self._find_graph(workflow_id)
        if workflow_id in cloud.passwords and body.get("accessPassword") != cloud.passwords[workflow_id]:
            raise ApiError(301, "accessPassword is wrong")
        if body.get("instanceType", "default") not in _INSTANCES:
            raise ApiError(301, "instanceType is wrong")
        retain = body.get("retainSeconds", 10)
        if not isinstance(retain, int) or not 10 <= retain <= 180:
            raise ApiError(301, "retainSeconds must be between 10 and 180")
        graph = apply_values(saved, target, body.get("nodeInfoList", []))
        return await cloud.create_task(workflow_id, graph, body)

    def _find_task(self, call: Call, malformed: int, unknown: int) -> Task:
        given = call.body.get("taskId")
        text = str(given)
        if isinstance(given, bool) or not (text.isascii() and text.isdigit() and int(text) > 0):
            raise ApiError(
                malformed, "taskId must be positive" if malformed == 301 else "taskId must be greater than 0"
            )
        if text not in self._cloud.tasks:
            raise ApiError(unknown)
        return self._cloud.tasks[text]

    async def _get_status(self, call: Call) -> Body:
        task = self._find_task(call, 301, self._cloud.not_found)
        state = await self._cloud.poll(task)
        public_state = {"CREATE": "QUEUED", "CANCEL": "FAILED"}.get(state, state)
        return shapes.format_success(public_state, "")

    async def _get_outputs(self, call: Call) -> Body:
        task = self._find_task(call, 301, self._cloud.not_found)
        state = await self._cloud.poll(task)
        if state in {"CREATE", "QUEUED"}:
            raise ApiError(813)
        if state == "SUCCESS" and task.hidden:
            task.hidden -= 1
            state = "RUNNING"
        if state == "RUNNING":
            raise ApiError(804, data={"netWssUrl": self._cloud.socket_address(task)})
        if state == "CANCEL":
            raise ApiError(805)
        if state == "FAILED":
            raise ApiError(805, data={"failedReason": shapes.format_failed_reason(task.reason)})
        address = self._cloud.files.build_url
        return shapes.format_success(
            [
                shapes.format_file(output, address(path), task.seconds)
                for output, path in zip(task.outputs, task.paths, strict=True)
            ]
        )

    async def _query_task(self, call: Call) -> Body:
        task = self._find_task(call, 1007, 1004)
        state = await self._cloud.poll(task)
        results = None
        if state == "SUCCESS":
            address, as_files = self._cloud.files.build_url, self._cloud.texts_as_files
            results = [
                shapes.format_result(output, address(path), as_file=as_files or output.text is None)
                for output, path in zip(task.outputs, task.paths, strict=True)
            ]
        return shapes.format_query(task, state, results)

    async def _cancel_task(self, call: Call) -> Body:
        task = self._find_task(call, 301, self._cloud.not_found)
        task.cancels += 1
        await self._cloud.cancel(task)
        return shapes.format_success(None)

    # Files

    async def _upload(self, call: Call) -> Body:
        content, suffix = self._read_file(call)
        if len(content) > self._cloud.upload_limit:
            raise ApiError(809)
        kind = _find_kind(suffix)
        if kind is None:
            raise ApiError(808)
        digest = hashlib.sha256(content).hexdigest()
        name = digest if kind == "zip" else f"api/{digest}.{suffix}"
        await self._cloud.store_upload(name, content)
        return shapes.format_success({"fileName": name, "fileType": call.body.get("fileType") or "input"})

    async def _upload_v2(self, call: Call) -> Body:
        content, suffix = self._read_file(call)
        name = f"openapi/{hashlib.sha256(content).hexdigest()}.{suffix}"
        await self._cloud.store_upload(name, content)
        path = self._cloud.files.put(f"/{USER}/input/{name}", content)
        url = self._cloud.files.build_url(path)
        data = {"type": _find_kind(suffix) or "file", "download_url": url, "fileName": name, "size": str(len(content))}
        return {"code": 0, "message": "success", "data": data}

    def _read_file(self, call: Call) -> tuple[bytes, str]:
        if call.file is None:
            raise ApiError(301, "file must not be empty")
        name, content = call.file
        return content, PurePosixPath(name).suffix.lstrip(".").lower() or "bin"

    async def _get_lora_upload_url(self, call: Call) -> Body:
        digest = str(call.body.get("md5Hex") or "")
        if not call.body.get("loraName") or not re.fullmatch(r"[0-9a-f]{32}", digest):
            raise ApiError(301, "loraName and md5Hex must not be empty")
        name = f"api-lora-cn/{digest}.safetensors"
        return shapes.format_success({"fileName": name, "url": self._cloud.files.expect(f"/{USER}/lora/{name}")})

    # Accounts

    async def _get_account(self, _: Call) -> Body:
        busy = sum(not task.over for task in self._cloud.tasks.values())
        return shapes.format_success({**self._cloud.account, "currentTaskCounts": str(busy)})

    async def _get_queue(self, _: Call) -> Body:
        states = [task.state for task in self._cloud.tasks.values() if not task.over]
        running = states.count("RUNNING")
        return shapes.format_success(
            {
                "apiKeyType": self._cloud.account["apiType"],
                "concurrentLimit": self._cloud.concurrency,
                "runningCount": str(running),
                "queuedCount": str(len(states) - running),
                "totalCurrentTasks": str(len(states)),
            }
        )


async def read_request(request: web.Request, name: str, item_id: str) -> tuple[Call, Request]:
    """Parse a request; return it, and its record for tests."""
    bearer = request.headers.get("Authorization")
    if bearer is not None:
        bearer = bearer[7:] if bearer.startswith("Bearer ") else NOT_A_BEARER + bearer
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
    # Treat any other body as an empty object, which has neither a key nor an ID.
    call = Call(body if isinstance(body, dict) else {}, bearer, item_id, file)
    headers = dict(request.headers)
    return call, Request(name, request.method, request.raw_path, headers, noted)


def _parse_graph(workflow: Any) -> Graph:
    """Parse the graph in a request, a string of JSON.

    Raises:
        ApiError: Code 301 if it is not a graph.
    """
    try:
        graph = json.loads(workflow) if isinstance(workflow, str) else None
    except ValueError:
        graph = None
    whole = isinstance(graph, dict) and all(
        isinstance(node, dict) and isinstance(node.get("inputs"), dict) for node in graph.values()
    )
    if not whole:
        raise ApiError(301, "workflow is not the JSON text of a graph in API format")
    found: Graph = graph  # type: ignore[assignment]
    return found


def _find_kind(suffix: str) -> str | None:
    return next((kind for kind, suffixes in KINDS.items() if suffix in suffixes), None)
