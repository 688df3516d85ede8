"""A minimal client of RunningHub's API: it adds the key and returns the JSON."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from .runninghub import RunningHub

WORKFLOW = "1904136902449209346"
PATHS = {
    "getJsonApiFormat": "/api/openapi/getJsonApiFormat",
    "create": "/task/openapi/create",
    "ai-app/run": "/task/openapi/ai-app/run",
    "quick-ai-app/run": "/task/openapi/quick-ai-app/run",
    "apiCallDemo": "/api/webapp/apiCallDemo",
    "status": "/task/openapi/status",
    "outputs": "/task/openapi/outputs",
    "cancel": "/task/openapi/cancel",
    "upload": "/task/openapi/upload",
    "accountStatus": "/uc/openapi/accountStatus",
    "v2/upload": "/openapi/v2/media/upload/binary",
    "v2/run/workflow": f"/openapi/v2/run/workflow/{WORKFLOW}",
    "v2/run/ai-app": f"/openapi/v2/run/ai-app/{WORKFLOW}",
    "v2/query": "/openapi/v2/query",
    "v2/queue/status": "/openapi/v2/queue/status",
}
"""The documented paths of the endpoints."""


class ApiClient:
    """A client with one key for one address."""

    def __init__(self, url: str, key: str, http: httpx.Client) -> None:
        self.url, self.key, self.http = url, key, http

    def send(self, name: str, **body: Any) -> httpx.Response:
        """Send a request to an endpoint."""
        bearer = {"Authorization": f"Bearer {self.key}"}
        if name in {"apiCallDemo", "v2/queue/status"}:
            return self.http.get(self.url + PATHS[name], params={"apiKey": self.key, **body}, headers=bearer)
        if name.startswith("v2/"):
            return self.http.post(self.url + PATHS[name], json=body, headers=bearer)
        key = "apikey" if name == "accountStatus" else "apiKey"
        return self.http.post(self.url + PATHS[name], json={key: self.key, **body}, headers=bearer)

    def __call__(self, name: str, **body: Any) -> Any:
        """Send a request to an endpoint and return the JSON of its response."""
        return self.send(name, **body).json()

    def create(self, *values: tuple[str, str, Any], **body: Any) -> Any:
        """Create a task for the workflow, with values by node and field."""
        given = [{"nodeId": node, "fieldName": name, "fieldValue": value} for node, name, value in values]
        return self("create", workflowId=WORKFLOW, nodeInfoList=given, **body)

    def upload(self, name: str, content: bytes, *, v2: bool = False) -> Any:
        """Upload a file."""
        files = {"file": (name, content)}
        if v2:
            bearer = {"Authorization": f"Bearer {self.key}"}
            return self.http.post(self.url + PATHS["v2/upload"], files=files, headers=bearer).json()
        fields = {"apiKey": self.key, "fileType": "input"}
        return self.http.post(self.url + PATHS["upload"], data=fields, files=files).json()

    def wait_for_end(self, cloud: RunningHub, task_id: str) -> Any:
        """Poll a task until it has ended and return its last v2 response."""
        cloud.wait(task_id)
        while (answer := self("v2/query", taskId=task_id))["status"] in {"CREATE", "QUEUED", "RUNNING"}:
            pass
        return answer


@contextmanager
def open_client(cloud: RunningHub) -> Iterator[ApiClient]:
    """Open a client with the key of a cloud."""
    with httpx.Client(timeout=20, verify=False) as http:
        yield ApiClient(cloud.url, cloud.key, http)
