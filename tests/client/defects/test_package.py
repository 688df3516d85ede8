"""Test defects of settings, requirements, and imports."""

from __future__ import annotations

import re
import subprocess

from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import OURS, ROOT, Package
from tests.client.proxy import Served

from .scenes import Write


def test_21_argument_overrides_the_environment(package: Package) -> None:
    environment = {"COMFYUI_EXECUTOR_TYPE": "websocket", "RUNNINGHUB_RETRY_COUNT": "7"}
    found = package.play("settings", kit={"runninghub_retry_count": 3}, environment=environment)
    assert (found["executor_type"], found["runninghub_retry_count"]) == ("websocket", 3)


def test_23_cookies_url_is_fetched_once(package: Package, sandbox: Sandbox, write: Write) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.json_response({"session": "1"})

    with Served(serve) as page:
        result = package.execute(sandbox.url, write(workflows.text()), kit={"cookies": f"{page.url}/cookies"})
    assert result["status"] == "completed", result["msg"]
    assert len(seen) == 1


def test_25_minimum_version_of_websockets_is_declared(package: Package) -> None:
    if package.name == OURS:
        needs = re.findall(r'"(websockets[^"]*)"', (ROOT / "pyproject.toml").read_text())
    else:
        needs = package.play("requirements")
    (bound,) = [re.search(r">=(\d+)", need) for need in needs if need.startswith("websockets")]
    assert bound is not None
    assert int(bound[1]) >= 14


def test_26_import_does_not_configure_logging(package: Package) -> None:
    code = (
        "import logging; before = str(logging.root.handlers), logging.root.level; "
        f"from {package.name} import ComfyKit; ComfyKit(); "
        "print(before == (str(logging.root.handlers), logging.root.level))"
    )
    done = subprocess.run(
        [package.python, "-c", code], capture_output=True, text=True, env=package.environment, timeout=60
    )
    assert done.stdout == "True\n"
