"""The official comfy-api-proxy 0.1.6 in front of a server, and the official client, from `.venv/comfy-api`."""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.ports import find_free_port

ROOT = Path(__file__).parents[3]
PYTHON = ROOT / ".venv/comfy-api/bin/python"
IS_THERE = (ROOT / ".venv/.comfy-api").exists()
PATIENCE = 60.0


class Proxied:
    """The official Comfy API v2 proxy in front of a ComfyUI server, for the length of a `with` block.

    Args:
        target: The server's address.
        token: API key that the proxy requires.
    """

    def __init__(self, target: str, token: str | None = None) -> None:
        if not IS_THERE:
            import pytest  # imported only here: `make cloud` runs without pytest

            pytest.skip("comfy-api-proxy 0.1.6 is not installed in .venv/comfy-api: `make .venv/.comfy-api`")
        self.port = find_free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/v2"
        self._command = [
            str(PYTHON), "-m", "comfy_api_proxy.cli", "run", "--comfyui", target, "--port", str(self.port),
            *(["--token", token] if token else []),
        ]  # fmt: skip

    def __enter__(self) -> Proxied:
        self._process = subprocess.Popen(self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
            except OSError:
                assert self._process.poll() is None, "the proxy did not start"
                assert time.monotonic() < deadline, "the proxy does not listen"
                time.sleep(0.02)
            else:
                return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    @contextlib.contextmanager
    def restart(self) -> Iterator[None]:
        """Replace the process by a new one, which has no memory of earlier jobs."""
        self.__exit__()
        with self:
            yield

    def run_official_client(self, workflow: dict[str, Any], files: dict[str, str] | None = None) -> dict[str, Any]:
        """Run a workflow with the official client and return its result; see `official.py`.

        The proxy calls a job expired if it ends between two of its own requests, to the queue and to the history. Such
        an answer says nothing about the job, so it is run again.
        """
        request = {"workflow": workflow, "files": files or {}}
        while True:
            done = subprocess.run(
                [str(PYTHON), str(Path(__file__).with_name("official.py"))],
                input=json.dumps(request), capture_output=True, text=True, timeout=60, check=True,
                env={"COMFY_BASE_URL": self.url.removesuffix("/api/v2"), "PATH": ""},
            )  # fmt: skip
            result: dict[str, Any] = json.loads(done.stdout)
            if result.get("status") != "expired":
                return result
