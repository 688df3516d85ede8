"""Run this package and the public `comfykit` 0.1.12, each in its own process, through the same scenarios (play.py)."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
UPSTREAM = Path(os.environ.get("COMFYKIT_PYTHON") or ROOT / ".venv/comfykit/bin/python")
"""A Python with comfykit 0.1.12, installed by `make .venv/.comfykit`."""

OURS, THEIRS = "comfykit_jupyter", "comfykit"


class Package:
    """A package with the ComfyKit API, running in its own process."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.python = str(UPSTREAM) if name == THEIRS else sys.executable
        self.environment = {key: value for key, value in os.environ.items() if not key.startswith("COMFYUI_")}
        if name == OURS:
            self.environment["PYTHONPATH"] = str(ROOT)
        self._process = subprocess.Popen(
            [self.python, str(Path(__file__).with_name("play.py")), name],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=self.environment,
        )  # fmt: skip

    def play(self, scenario: str, **arguments: Any) -> Any:
        """Run a scenario and return its result.

        Raises:
            RuntimeError: The process ended.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps({"scenario": scenario, **arguments}, default=str) + "\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} did not survive {scenario}")
        return json.loads(line)

    def execute(self, url: str, workflow: Path, params: Any = None, *, executor: str = "http", **more: Any) -> Any:
        """Return the result of `ComfyKit(url, executor_type=executor).execute(workflow, params)` as a dict."""
        kit = {"comfyui_url": url, "executor_type": executor, **more.pop("kit", {})}
        return self.play("execute", kit=kit, workflow=workflow, params=params, **more)

    def close(self) -> None:
        """End the process, by force if it does not stop by itself."""
        try:
            self._process.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.communicate()


def open_package(name: str) -> Iterator[Package]:
    """Yield the package of this name, or skip the test if it is not installed."""
    if name == THEIRS and not ("COMFYKIT_PYTHON" in os.environ or (ROOT / ".venv/.comfykit").exists()):
        pytest.skip("comfykit 0.1.12 is not installed in .venv/comfykit: `make .venv/.comfykit`")
    package = Package(name)
    yield package
    package.close()
