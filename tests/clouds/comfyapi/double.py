"""A strict double of Comfy API v2, for cases that the official proxy cannot produce. It runs nothing: tests set states.

It follows specification 2.0.0: unknown properties are rejected, idempotency keys are single-use, links are followed,
and files are downloaded from another host by signed URLs.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from typing import Any, Literal

from aiohttp import BodyPartReader, web

from tests.client.proxy import Seen, Served

KEY = "comfyui-planted-key-0123456789"
Links = Literal["absolute", "relative", "foreign"]
Listing = Literal["full", "light", "none"]
Events = Literal["follow", "none", "break", "silent", "endless", "nonsense"]
ODD: list[Any] = [
    {},
    [],
    None,
    7,
    {"status": {}},
    {"node_id": [], "id": {}},
    {"value": "x", "step": 1e400, "steps": []},
]
NONSENSE = [
    b"\xff\xfe\x00\r\r\n", b"event: progress\ndata: [1,2\n\n", b"event: status\n\n", b"data\n\n",
    *(
        f"event: {name}\ndata: {json.dumps(data)}\n\n".encode()
        for name in ("progress", "preview", "output", "status", "log", "other")
        for data in ODD
    ),
]  # fmt: skip
DONE = ("succeeded", "failed", "canceled", "expired")


@dataclass
class Reply:
    """A response to send instead; `status` 0 aborts the connection. `after`: perform the requested action first."""

    status: int
    code: str = ""
    message: str = "no luck"
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Any = None
    text: str | None = None
    after: bool = False

    async def send(self, request: web.Request) -> web.StreamResponse:
        """Send the response."""
        if self.status == 0:
            assert request.transport is not None
            request.transport.abort()
            return web.Response()
        if self.text is not None:
            return web.Response(status=self.status, text=self.text, content_type="text/html", headers=self.headers)
        return _build_error(self.status, self.code, self.message, self.details, self.headers)


@dataclass
class Output:
    """An output file of a job."""

    node: str
    name: str
    type: str
    mime: str
    content: bytes
    id: str = field(default_factory=lambda: str(uuid.uuid4()))


@dataclass
class Job:
    """A job in its current state."""

    workflow: Any
    id: str = field(default_factory=lambda: str(uuid.uuid4()))
    created: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    status: str = "queued"
    queue_position: int | None = 1
    progress: Any = None
    error: Any = None
    outputs: list[Output] = field(default_factory=list)
    started: datetime | None = None
    completed: datetime | None = None
    looked: int = 0


Step = Callable[[Job], None]


def set_status(status: str, **more: Any) -> Step:
    """Return a step that changes a job's status and other attributes."""

    def step(job: Job) -> None:
        job.status, job.queue_position = status, None
        if status != "queued":
            job.started = job.started or job.created + timedelta(seconds=1)
        if status in DONE:
            job.completed = job.created + timedelta(seconds=3.5)
        for name, value in more.items():
            setattr(job, name, value)

    return step


class Files(Served):
    """The file host on another origin, with signed URLs that need no key."""

    def __init__(self) -> None:
        super().__init__()
        self.content: dict[str, bytes] = {}
        self.seen: list[Seen] = []
        self.expired = False

    def sign(self, id_: str) -> str:
        """Return a file's signed URL."""
        return f"{self.url}/blobs/{id_}?X-Signature=signed-{hashlib.sha256(id_.encode()).hexdigest()[:16]}"

    async def handle(self, request: web.Request) -> web.StreamResponse:
        self.seen.append(Seen(request.method, request.path_qs, dict(request.headers), await request.read()))
        content = self.content.get(request.path.rpartition("/")[2])
        if (
            self.expired
            or content is None
            or f"{self.url}{request.path_qs}" != self.sign(request.path.rpartition("/")[2])
        ):
            return web.Response(
                status=403, text="<Error><Code>ExpiredToken</Code></Error>", content_type="application/xml"
            )
        return web.Response(body=content, content_type="application/octet-stream")


class Double(Served):
    """A server that speaks Comfy API v2.

    Attributes:
        prefix: Prefix of all paths, as behind a gateway.
        plan: Steps of each job submitted from now on, one for each poll.
        links: Format of the links in a job.
        listing: Whether, and in how much detail, jobs are listed.
        events: Behaviour of event streams.
        redirects: Whether downloads redirect to the file host.
        faults: Responses to send instead of the next ones, by route (`POST /jobs`, `GET /jobs/{id}`, …).
    """

    def __init__(self, key: str | None = KEY, prefix: str = "") -> None:
        super().__init__()
        self.key, self.prefix = key, prefix
        self.files = Files()
        self.plan: Sequence[Step] = (set_status("running"), set_status("succeeded"))
        self.links: Links = "absolute"
        self.listing: Listing = "full"
        self.events: Events = "follow"
        self.redirects = True
        self.faults: dict[str, list[Reply]] = defaultdict(list)
        self.jobs: dict[str, Job] = {}
        self.assets: dict[str, dict[str, Any]] = {}
        self.keys: set[str] = set()
        self.seen: list[Seen] = []
        self.routes: list[str] = []
        self.came = threading.Condition()
        self.plans: dict[str, list[Step]] = {}
        self.ignores_cancel = False
        """Whether it accepts a cancel but continues the job, like the proxy in front of an older ComfyUI server."""
        self.changed = asyncio.Event()

    @property
    def base(self) -> str:
        """The address to pass to a kit."""
        return f"{self.url}{self.prefix}/api/v2"

    def __enter__(self) -> Double:
        self.files.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self.files.__exit__()

    def count(self, route: str) -> int:
        """Return the number of requests to a route."""
        return self.routes.count(route)

    def wait_for(self, route: str, times: int = 1) -> None:
        """Wait until a route has had a number of requests."""
        with self.came:
            assert self.came.wait_for(lambda: self.count(route) >= times, 20), self.routes

    def fail(self, route: str, *replies: Reply) -> None:
        """Send these responses to the next requests to a route."""
        self.faults[route] += replies

    # -- requests ------------------------------------------------------------------------------------------------------

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = b"" if request.content_type.startswith("multipart/") else await request.read()
        route, function, arguments = self._find_route(request)
        with self.came:
            self.seen.append(Seen(request.method, request.path_qs, dict(request.headers), body))
            self.routes.append(route)
            self.came.notify_all()
        if function is None:
            return web.Response(status=404, text="404: Not Found")
        if self.key is not None and request.headers.get("Authorization") != f"Bearer {self.key}":
            return _build_error(401, "unauthorized", "missing or invalid credentials")
        fault = self.faults[route].pop(0) if self.faults[route] else None
        if fault is not None and not fault.after:
            return await fault.send(request)
        answer: web.StreamResponse = await function(request, *arguments)
        return answer if fault is None else await fault.send(request)

    def _find_route(self, request: web.Request) -> tuple[str, Any, list[str]]:
        start = f"{self.prefix}/api/v2/"
        parts = request.path.removeprefix(start).split("/") if request.path.startswith(start) else []
        for route, function in self._list_routes().items():
            method, _, path = route.partition(" ")
            wanted = path.strip("/").split("/")
            fits = len(wanted) == len(parts) and all(
                each in (part, "{id}") for each, part in zip(wanted, parts, strict=True)
            )
            if method == request.method and fits:
                return route, function, [part for each, part in zip(wanted, parts, strict=True) if each == "{id}"]
        return f"{request.method} {request.path}", None, []

    def _list_routes(self) -> dict[str, Any]:
        return {
            "POST /jobs": self._submit,
            "GET /jobs": self._list_jobs,
            "GET /jobs/{id}": self._get_job,
            "GET /jobs/{id}/workflow": self._get_workflow,
            "GET /jobs/{id}/events": self._stream_events,
            "POST /jobs/{id}/cancel": self._cancel,
            "POST /assets": self._upload,
            "POST /assets/from-hash": self._create_from_hash,
            "GET /assets/{id}": self._get_asset,
            "GET /assets/{id}/content": self._get_content,
        }

    # -- jobs ----------------------------------------------------------------------------------------------------------

    async def _submit(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        if not isinstance(body, dict) or set(body) - {"workflow", "extra_data"}:
            return _build_error(422, "invalid_workflow", "unknown properties")
        extra = body.get("extra_data", {"api_key_comfy_org": ""})
        if set(extra) != {"api_key_comfy_org"} or not isinstance(extra["api_key_comfy_org"], str):
            return _build_error(400, "invalid_request", "'extra_data' accepts only 'api_key_comfy_org'")
        workflow = body["workflow"]
        if "nodes" in workflow:
            return _build_error(422, "workflow_format_ui", "this is what the editor saves")
        if not all(isinstance(node, dict) and {"class_type", "inputs"} <= node.keys() for node in workflow.values()):
            return _build_error(422, "invalid_workflow", "no API format")
        missing = [each for each in _find_references(workflow) if each not in self.assets]
        if missing:
            return _build_error(422, "missing_asset", "unresolvable references", {"missing_ids": missing})
        key = request.headers.get("Idempotency-Key", "")
        if not 0 < len(key) < 256 or key in self.keys:
            return _build_error(422, "idempotency_key_reuse", "keys are single-use")
        self.keys.add(key)
        job = Job(workflow)
        self.jobs[job.id], self.plans[job.id] = job, list(self.plan)
        return web.json_response(self._format_job(job), status=201)

    async def _list_jobs(self, request: web.Request) -> web.StreamResponse:
        if self.listing == "none":
            return _build_error(501, "not_implemented", "this deployment does not list jobs")
        if set(request.query) - {"limit", "cursor"}:
            return _build_error(422, "invalid_request", "unknown parameters")
        jobs = sorted(self.jobs.values(), key=lambda job: job.created, reverse=True)
        if self.listing == "light":
            light = [{"id": job.id, "status": job.status, "create_time": _format_time(job.created)} for job in jobs]
            return web.json_response({"jobs": light})
        return web.json_response({"jobs": [self._format_job(job) for job in jobs]})

    async def _get_job(self, _: web.Request, id_: str) -> web.StreamResponse:
        job = self.jobs.get(id_)
        if job is None:
            return _build_error(404, "not_found", f"no job {id_}")
        job.looked += 1
        self.advance(job)
        return web.json_response(self._format_job(job))

    async def _get_workflow(self, _: web.Request, id_: str) -> web.StreamResponse:
        job = self.jobs.get(id_)
        if job is None:
            return _build_error(404, "not_found", f"no job {id_}")
        return web.json_response({"workflow": job.workflow, "format": "api"})

    async def _cancel(self, _: web.Request, id_: str) -> web.StreamResponse:
        job = self.jobs.get(id_)
        if job is None:
            return _build_error(404, "not_found", f"no job {id_}")
        if job.status not in DONE and not self.ignores_cancel:
            job.status = "canceling" if job.status == "running" else "canceled"
            self.plans[id_] = [] if job.status == "canceled" else [set_status("canceled")]
        return web.json_response(self._format_job(job))

    async def _stream_events(self, request: web.Request, id_: str) -> web.StreamResponse:
        job = self.jobs.get(id_)
        if job is None:
            return _build_error(404, "not_found", f"no job {id_}")
        if self.events == "none":
            return _build_error(501, "not_implemented", "no streams here")
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream; charset=utf-8"})
        await stream.prepare(request)
        assert request.transport is not None
        if self.events == "silent":
            await self._stopping.wait()
        if self.events == "endless":
            for _ in range(70):
                await stream.write(b"data: " + b"x" * 1_000_000)
            await self._stopping.wait()
        if self.events == "nonsense":
            for piece in NONSENSE:
                await stream.write(piece)
        for name, data in self._build_snapshot(job):
            await stream.write(f"event: {name}\ndata: {json.dumps(data)}\n\n: keepalive\n\n".encode())
        if self.events == "break":
            request.transport.abort()
        elif job.status not in DONE:
            await self._stopping.wait()
        return stream

    def _build_snapshot(self, job: Job) -> Iterator[tuple[str, Any]]:
        yield "status", {"status": job.status, "queue_position": job.queue_position}
        if job.progress:
            yield "progress", job.progress
        yield (
            "preview",
            {
                "node_id": next(iter(job.workflow), ""),
                "content_type": "image/jpeg",
                "data_base64": base64.b64encode(b"a preview").decode(),
            },
        )

    def advance(self, job: Job) -> None:
        """Apply the job's next step, if there is one."""
        if self.plans[job.id]:
            self.plans[job.id].pop(0)(job)
        for output in job.outputs:
            self.files.content[output.id] = output.content
            self.assets[output.id] = {"hash": None, "content": output.content, "name": output.name, "mime": output.mime}

    def _format_job(self, job: Job) -> dict[str, Any]:
        origin = {"absolute": self.url, "relative": "", "foreign": "http://127.0.0.1:1"}[self.links]
        link = f"{origin}{self.prefix}/api/v2/jobs/{job.id}"
        soon = _format_time(job.created + timedelta(hours=24))
        outputs = [
            {
                "node_id": output.node, "name": output.name, "type": output.type, "content_type": output.mime,
                "size_bytes": len(output.content), "id": output.id, "hash": None, "url": self.files.sign(output.id),
                "url_expires_at": soon, "job_id": job.id,
            }
            for output in job.outputs
        ]  # fmt: skip
        return {
            "id": job.id, "status": job.status, "created_at": _format_time(job.created),
            "started_at": _format_time(job.started), "completed_at": _format_time(job.completed),
            "expires_at": soon, "queue_position": job.queue_position,
            "progress": job.progress, "outputs": outputs, "error": job.error,
            "metrics": {"queue_ms": 1000, "execution_ms": None},
            "urls": {"self": link, "events": f"{link}/events", "cancel": f"{link}/cancel"},
        }  # fmt: skip

    # -- assets --------------------------------------------------------------------------------------------------------

    async def _upload(self, request: web.Request) -> web.StreamResponse:
        parts: dict[str, bytes] = {}
        reader = await request.multipart()
        while (part := await reader.next()) is not None:
            assert isinstance(part, BodyPartReader)
            parts[str(part.name)] = bytes(await part.read())
        if not {"file", "content_type", "file_path"} <= parts.keys():
            return _build_error(422, "invalid_request", "file, content_type and file_path are required")
        hash_ = f"blake3:{hashlib.sha256(parts['file']).hexdigest()}"
        old = any(asset["hash"] == hash_ for asset in self.assets.values())
        id_ = self._create_asset(hash_, parts["file"], parts["file_path"].decode(), parts["content_type"].decode())
        return web.json_response(self._format_asset(id_), status=200 if old else 201)

    async def _create_from_hash(self, request: web.Request) -> web.StreamResponse:
        body = await request.json()
        found = next((asset for asset in self.assets.values() if asset["hash"] == body["hash"]), None)
        if found is None:
            return _build_error(404, "blob_not_found", "no blob that you may mint from")
        id_ = self._create_asset(found["hash"], found["content"], str(body.get("file_path")), found["mime"])
        return web.json_response(self._format_asset(id_), status=201)

    async def _get_asset(self, _: web.Request, id_: str) -> web.StreamResponse:
        return (
            web.json_response(self._format_asset(id_))
            if id_ in self.assets
            else _build_error(404, "not_found", "no asset")
        )

    async def _get_content(self, _: web.Request, id_: str) -> web.StreamResponse:
        if id_ not in self.assets:
            return _build_error(404, "not_found", "no asset")
        if self.redirects:
            return web.Response(status=302, headers={"Location": self.files.sign(id_)})
        return web.Response(body=self.assets[id_]["content"], content_type=self.assets[id_]["mime"])

    def _create_asset(self, hash_: str, content: bytes, name: str, mime: str) -> str:
        id_ = str(uuid.uuid4())
        self.assets[id_] = {"hash": hash_, "content": content, "name": name, "mime": mime}
        self.files.content[id_] = content
        return id_

    def _format_asset(self, id_: str) -> dict[str, Any]:
        asset, now = self.assets[id_], _format_time(datetime.now(timezone.utc))
        return {
            "id": id_, "hash": asset["hash"], "size_bytes": len(asset["content"]), "content_type": asset["mime"],
            "file_path": asset["name"], "created_at": now, "url": self.files.sign(id_), "url_expires_at": now,
        }  # fmt: skip


def _find_references(value: Any) -> Iterator[Any]:
    """Yield the IDs of all files that a workflow refers to."""
    if isinstance(value, dict) and value.get("__type") == "core/ASSET":
        yield value["info"]["id"]
    elif isinstance(value, (dict, list)):
        for each in value.values() if isinstance(value, dict) else value:
            yield from _find_references(each)


def _build_error(
    status: int, code: str, message: str, details: Any = None, headers: Mapping[str, str] | None = None
) -> web.Response:
    error = {"code": code, "message": message, "details": details}
    return web.json_response({"error": error}, status=status, headers=headers)


def _format_time(at: datetime | None) -> str | None:
    return None if at is None else at.isoformat().replace("+00:00", "Z")
