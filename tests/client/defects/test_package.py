"""Settings, requirements, and what an import does."""

from __future__ import annotations

import re
import subprocess

from aiohttp import web

from comfykit_jupyter.sandbox import Sandbox
from tests.client import workflows
from tests.client.packages import OURS, ROOT, Package
from tests.client.proxy import Served

from .scenes import Write


def test_21_the_environment_sets_the_executor_and_what_is_given_wins(package: Package) -> None:
    environment = {"COMFYUI_EXECUTOR_TYPE": "websocket", "RUNNINGHUB_RETRY_COUNT": "7"}
    found = package.play("settings", kit={"runninghub_retry_count": 3}, environment=environment)
    assert (found["executor_type"], found["runninghub_retry_count"]) == ("websocket", 3)


def test_23_the_page_that_gives_the_cookies_is_read_once(package: Package, sandbox: Sandbox, write: Write) -> None:
    seen: list[str] = []

    async def serve(request: web.Request) -> web.StreamResponse:
        seen.append(request.path)
        return web.json_response({"session": "1"})

    with Served(serve) as page:
        told = package.execute(sandbox.url, write(workflows.text()), kit={"cookies": f"{page.url}/cookies"})
    assert told["status"] == "completed", told["msg"]
    assert len(seen) == 1


def test_25_what_is_needed_of_websockets_is_declared(package: Package) -> None:
    if package.name == OURS:
        needs = re.findall(r'"(websockets[^"]*)"', (ROOT / "pyproject.toml").read_text())
    else:
        needs = package.play("requirements")
    (bound,) = [re.search(r">=(\d+)", need) for need in needs if need.startswith("websockets")]
    assert bound is not None
    assert int(bound[1]) >= 14


def test_26_importing_it_leaves_logging_alone(package: Package) -> None:
    code = (
        "import logging; before = str(logging.root.handlers), logging.root.level; "
        f"from {package.name} import ComfyKit; ComfyKit(); "
        "print(before == (str(logging.root.handlers), logging.root.level))"
    )
    done = subprocess.run(
        [package.python, "-c", code], capture_output=True, text=True, env=package.environment, timeout=60
    )
    assert done.stdout == "True\n"
