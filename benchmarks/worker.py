"""A worker process: run a workflow in one way, as often as each input line says, and print how long each run took.

It is started with the server's address and the name of the way, by a Python that has the packages for it.
"""

from __future__ import annotations

import asyncio
import atexit
import json
import os
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

RunOnce = Callable[[int], Awaitable["float | None"]]
"""Makes one run. It returns the seconds to count, or None to count all of them."""

MANY = 200
"""Number of runs at once."""

LARGE_FILE = 30_000_000
"""Size of an uploaded file, in bytes."""


def build_workflow(color: int) -> dict[str, Any]:
    """Build a workflow of about 5 ms; a different colour each time keeps the server from using its cache."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color},
            "_meta": {"title": "$color"},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bench"}},
    }


async def prepare_bare(url: str) -> RunOnce:
    """Run with a minimal script: one connection, one socket; POST, wait for the end, read the history."""
    import httpx
    from websockets.asyncio.client import connect

    client_id = uuid.uuid4().hex
    client = httpx.AsyncClient(base_url=url)
    socket = await connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}", max_size=None)

    async def once(color: int) -> None:
        answer = await client.post("/prompt", json={"prompt": build_workflow(color), "client_id": client_id})
        prompt_id = answer.json()["prompt_id"]
        while True:
            frame = await socket.recv()
            if isinstance(frame, str):
                message = json.loads(frame)
                data = message["data"]
                if message["type"] == "executing" and data["node"] is None and data["prompt_id"] == prompt_id:
                    break
        history = (await client.get(f"/history/{prompt_id}")).json()
        assert history[prompt_id]["outputs"]["2"]["images"]

    return once


async def prepare_execute(url: str, executor_type: str) -> RunOnce:
    """Run with `await kit.execute(…)`, of this package or of `comfykit`, whose interface it shares."""
    if executor_type.startswith("comfykit-"):
        from comfykit import ComfyKit  # type: ignore[import-not-found, unused-ignore]
    else:
        from comfykit_jupyter import ComfyKit
    kit = ComfyKit(url, executor_type=executor_type.removeprefix("comfykit-"))
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "workflow.json"
    path.write_text(json.dumps(build_workflow(0)))

    async def once(color: int) -> None:
        result = await kit.execute(str(path), {"color": color})
        assert result.images, result.msg

    return once


async def prepare_run(url: str) -> RunOnce:
    """Run with `kit.run(…)`, as in a script."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url)

    async def once(color: int) -> None:
        assert kit.run(build_workflow(0), color=color).images

    return once


async def prepare_toolkit(url: str) -> RunOnce:
    """Run with comfy-toolkit: submit, follow over its socket, read the history."""
    from comfy_toolkit import ComfyClient  # type: ignore[import-not-found, unused-ignore]

    client = ComfyClient(url)

    async def once(color: int) -> None:
        assert client.submit_and_track(build_workflow(color), expect="any")

    return once


async def prepare_cancel(url: str) -> RunOnce:
    """Measure `run.cancel()` of a running job, which returns when the server has confirmed it."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url, raise_on_error=False)

    async def once(_: int) -> float:
        started = threading.Event()
        run = kit.submit(build_long_workflow())
        run.subscribe(progress=lambda progress: started.set() if progress.status == "running" else None)
        started.wait(20)
        seconds = measure(run.cancel)
        run.result()
        return seconds

    return once


def measure(function: Callable[[], object]) -> float:
    """Call a function and return the seconds that it took."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def build_long_workflow() -> dict[str, Any]:
    """Build a workflow that takes minutes."""
    path = Path(__file__).parents[1] / "notebooks/workflows/text_to_image.json"
    graph: dict[str, Any] = json.loads(path.read_text())
    sampler = next(node for node in graph.values() if node["class_type"] == "KSampler")
    sampler["inputs"].update(steps=10_000, seed=uuid.uuid4().int % 10**9)
    return graph


@contextmanager
def create_large_file() -> Iterator[Path]:
    """Create a temporary file of 30 MB, different each time."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.png"
        path.write_bytes(uuid.uuid4().bytes)
        os.truncate(path, LARGE_FILE)
        yield path


async def prepare_bare_upload(url: str) -> RunOnce:
    """Upload 30 MB with httpx."""
    import httpx

    client = httpx.Client(base_url=url, timeout=60)

    async def once(_: int) -> float:
        with create_large_file() as path, path.open("rb") as content:
            files = {"image": (f"{uuid.uuid4().hex}.png", content)}
            return measure(lambda: client.post("/upload/image", files=files).raise_for_status())

    return once


async def prepare_upload(url: str, *, again: bool = False) -> RunOnce:
    """Run with a 30 MB file as a value, `again` with one sent before; it is not an image, so the run fails at once."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url, raise_on_error=False)
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "$image"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }

    async def once(_: int) -> float:
        with create_large_file() as path:
            if again:
                kit.run(graph, image=path)
            return measure(lambda: kit.run(graph, image=path))

    return once


async def prepare_submit(url: str) -> RunOnce:
    """Make `MANY` runs at once with `kit.submit(…)`."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url)

    async def once(color: int) -> None:
        runs = [kit.submit(build_workflow(0), color=color * MANY % 16_000_000 + number) for number in range(MANY)]
        for run in runs:
            assert (await run).images

    return once


async def prepare_bare_many(url: str) -> RunOnce:
    """Make `MANY` runs at once with the minimal script."""
    import httpx
    from websockets.asyncio.client import connect

    client_id = uuid.uuid4().hex
    client = httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=16))
    socket = await connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}", max_size=None)

    async def once(color: int) -> None:
        posts = [
            client.post(
                "/prompt", json={"prompt": build_workflow(color * MANY % 16_000_000 + number), "client_id": client_id}
            )
            for number in range(MANY)
        ]
        ended: set[str] = set()
        answers = asyncio.gather(*posts)
        while len(ended) < MANY:
            frame = await socket.recv()
            if isinstance(frame, str):
                message = json.loads(frame)
                if message["type"] == "executing" and message["data"]["node"] is None:
                    ended.add(message["data"]["prompt_id"])
        await answers
        for prompt_id in ended:
            assert (await client.get(f"/history/{prompt_id}")).json()[prompt_id]["outputs"]

    return once


WAYS: dict[str, Callable[[str], Awaitable[RunOnce]]] = {
    "bare": prepare_bare,
    "bare-many": prepare_bare_many,
    "bare-upload": prepare_bare_upload,
    "cancel": prepare_cancel,
    "comfy-toolkit": prepare_toolkit,
    "run": prepare_run,
    "submit": prepare_submit,
    "upload": prepare_upload,
    "upload-again": lambda url: prepare_upload(url, again=True),
    **{
        name: lambda url, name=name: prepare_execute(url, name)  # type: ignore[misc]
        for name in ("websocket", "http", "comfykit-websocket", "comfykit-http")
    },
}


async def main(url: str, way: str) -> None:
    """For each input line, a number, make that many runs and print their times."""
    answers, sys.stdout = sys.stdout, sys.stderr  # keep what other clients print out of the answers
    once = await WAYS[way](url)
    colors = generate_colors()
    await once(next(colors))  # the first run imports modules and opens connections, so it is not counted
    print(json.dumps([]), file=answers, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            color = next(colors)
            began = time.perf_counter()
            seconds = await once(color)
            times.append(time.perf_counter() - began if seconds is None else seconds)
        print(json.dumps(times), file=answers, flush=True)


def generate_colors() -> Iterator[int]:
    """Yield colours, starting at random so that two workers hardly ever use the same one."""
    color = uuid.uuid4().int % 150_000
    while True:
        yield color
        color = (color + 1) % 160_000


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
