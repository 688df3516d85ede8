"""A minimal client of ComfyUI's protocol, which returns messages unchanged."""

from __future__ import annotations

import contextlib
import json
import uuid
from typing import Any

import httpx
from websockets.sync.client import connect

Message = dict[str, Any]

TIMEOUT = 60.0


class Client:
    """An HTTP connection and a web socket."""

    def __init__(self, url: str, client_id: str | None = None, *, metadata: bool = True) -> None:
        self.id = client_id or uuid.uuid4().hex
        self._url = url
        self._metadata = metadata
        self._open = contextlib.ExitStack()

    def __enter__(self) -> Client:
        self.http = self._open.enter_context(
            httpx.Client(base_url=self._url, timeout=TIMEOUT, verify=False, trust_env=False)
        )
        address = f"{self._url.replace('http', 'ws', 1)}/ws?clientId={self.id}"
        self.socket = self._open.enter_context(connect(address, proxy=None, max_queue=None))
        self.greeting = self.next()
        if self._metadata:
            self.socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
            self.features = self.next("feature_flags")
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def frame(self) -> Message | bytes:
        """Return the next frame of any kind."""
        frame = self.socket.recv(timeout=TIMEOUT)
        return frame if isinstance(frame, bytes) else dict(json.loads(frame))

    def next(self, kind: str | None = None) -> Message:
        """Return the next message, or the next one of a type."""
        while True:
            frame = self.frame()
            if isinstance(frame, dict) and kind in {None, frame["type"]}:
                return frame

    def post(self, prompt: Any, **fields: Any) -> httpx.Response:
        return self.http.post("/prompt", json={"prompt": prompt, "client_id": self.id, **fields})

    def submit(self, prompt: Any, **fields: Any) -> str:
        """Send a prompt that must be accepted, and return its ID."""
        response = self.post(prompt, **fields)
        assert response.status_code == 200, response.text
        return str(response.json()["prompt_id"])

    def until_end(self, prompt_id: str) -> list[Message | bytes]:
        """Return the frames up to the end of a run."""
        frames: list[Message | bytes] = []
        while True:
            frame = self.frame()
            frames.append(frame)
            data = frame["data"] if isinstance(frame, dict) and frame["type"] == "executing" else {}
            if data.get("node", "") is None and data["prompt_id"] == prompt_id:
                return frames

    def run(self, prompt: Any, **fields: Any) -> tuple[str, list[Message | bytes]]:
        prompt_id = self.submit(prompt, **fields)
        return prompt_id, self.until_end(prompt_id)

    def find_history(self, prompt_id: str) -> Message:
        return dict(self.http.get(f"/history/{prompt_id}").json()[prompt_id])


def filter_by_type(frames: list[Message | bytes], kind: str) -> list[Message]:
    return [frame["data"] for frame in frames if isinstance(frame, dict) and frame["type"] == kind]


def list_types(frames: list[Message | bytes]) -> list[str]:
    return [frame["type"] if isinstance(frame, dict) else "binary" for frame in frames]
