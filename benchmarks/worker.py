"""One way of running a workflow, in a process of its own: reads how many runs to make, prints how long each took.

It is started with the server's address and the name of the way, and by whatever Python has the packages for it.
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

Once = Callable[[int], Awaitable["float | None"]]
"""Makes one run; gives the seconds that it took, where not all of it counts."""


def workflow(color: int) -> dict[str, Any]:
    """About 5 ms of work, never the same twice: nothing is taken from a cache."""
    return {
        "1": {
            "class_type": "EmptyImage",
            "inputs": {"width": 64, "height": 64, "batch_size": 1, "color": color},
            "_meta": {"title": "$color"},
        },
        "2": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "bench"}},
    }


async def bare(url: str) -> Once:
    """As little as can be: one connection, one socket; POST, wait for the end, read the history."""
    import httpx
    from websockets.asyncio.client import connect

    client_id = uuid.uuid4().hex
    client = httpx.AsyncClient(base_url=url)
    socket = await connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}", max_size=None)

    async def once(color: int) -> None:
        answer = await client.post("/prompt", json={"prompt": workflow(color), "client_id": client_id})
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


async def execute(url: str, executor_type: str) -> Once:
    """`await kit.execute(…)`, of this project or of the package whose interface it has."""
    if executor_type.startswith("comfykit-"):
        from comfykit import ComfyKit  # type: ignore[import-not-found, unused-ignore]
    else:
        from comfykit_jupyter import ComfyKit
    kit = ComfyKit(url, executor_type=executor_type.removeprefix("comfykit-"))
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    path = Path(folder.name) / "workflow.json"
    path.write_text(json.dumps(workflow(0)))

    async def once(color: int) -> None:
        result = await kit.execute(str(path), {"color": color})
        assert result.images, result.msg

    return once


async def run(url: str) -> Once:
    """`kit.run(…)`, as in a script."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url)

    async def once(color: int) -> None:
        assert kit.run(workflow(0), color=color).images

    return once


async def toolkit(url: str) -> Once:
    """comfy-toolkit: submit, follow by its socket, read the history."""
    from comfy_toolkit import ComfyClient  # type: ignore[import-not-found, unused-ignore]

    client = ComfyClient(url)

    async def once(color: int) -> None:
        assert client.submit_and_track(workflow(color), expect="any")

    return once


async def cancel(url: str) -> Once:
    """`run.cancel()` of a job that runs: back when the server has been told."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url, raise_on_error=False)

    async def once(_: int) -> float:
        began = threading.Event()
        run = kit.submit(long_workflow())
        run.subscribe(progress=lambda progress: began.set() if progress.status == "running" else None)
        began.wait(20)
        took = timed(run.cancel)
        run.result()
        return took

    return once


def timed(function: Callable[[], object]) -> float:
    """Seconds that a call takes."""
    began = time.perf_counter()
    function()
    return time.perf_counter() - began


def long_workflow() -> dict[str, Any]:
    """Minutes of work."""
    shelf = Path(__file__).parents[1] / "notebooks/workflows/text_to_image.json"
    graph: dict[str, Any] = json.loads(shelf.read_text())
    sampler = next(node for node in graph.values() if node["class_type"] == "KSampler")
    sampler["inputs"].update(steps=10_000, seed=uuid.uuid4().int % 10**9)
    return graph


@contextmanager
def large_file() -> Iterator[Path]:
    """A file of 30 MB, never the same twice."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "large.png"
        path.write_bytes(uuid.uuid4().bytes)
        os.truncate(path, 30_000_000)
        yield path


async def bare_upload(url: str) -> Once:
    """30 MB posted by httpx."""
    import httpx

    client = httpx.Client(base_url=url, timeout=60)

    async def once(_: int) -> float:
        with large_file() as path, path.open("rb") as content:
            files = {"image": (f"{uuid.uuid4().hex}.png", content)}
            return timed(lambda: client.post("/upload/image", files=files).raise_for_status())

    return once


async def upload(url: str, *, again: bool = False) -> Once:
    """30 MB as the value of a parameter; or the same ones `again`. They are no picture: the run itself ends at once."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url, raise_on_error=False)
    graph = {
        "1": {"class_type": "LoadImage", "inputs": {"image": ""}, "_meta": {"title": "$image"}},
        "2": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }

    async def once(_: int) -> float:
        with large_file() as path:
            if again:
                kit.run(graph, image=path)
            return timed(lambda: kit.run(graph, image=path))

    return once


MANY = 200
"""Runs at once."""


async def submit(url: str) -> Once:
    """So many `kit.submit(…)` at once."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url)

    async def once(color: int) -> None:
        runs = [kit.submit(workflow(0), color=color * MANY % 16_000_000 + number) for number in range(MANY)]
        for each in runs:
            assert (await each).images

    return once


async def bare_many(url: str) -> Once:
    """So many prompts posted by the bare script at once."""
    import httpx
    from websockets.asyncio.client import connect

    client_id = uuid.uuid4().hex
    client = httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=16))
    socket = await connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}", max_size=None)

    async def once(color: int) -> None:
        posts = [
            client.post(
                "/prompt", json={"prompt": workflow(color * MANY % 16_000_000 + number), "client_id": client_id}
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


WAYS: dict[str, Callable[[str], Awaitable[Once]]] = {
    "bare": bare,
    "bare-many": bare_many,
    "bare-upload": bare_upload,
    "cancel": cancel,
    "comfy-toolkit": toolkit,
    "run": run,
    "submit": submit,
    "upload": upload,
    "upload-again": lambda url: upload(url, again=True),
    **{
        name: lambda url, name=name: execute(url, name)  # type: ignore[misc]
        for name in ("websocket", "http", "comfykit-websocket", "comfykit-http")
    },
}


async def main(url: str, way: str) -> None:
    """Make runs as they are asked for, one number a line, until there are no more lines."""
    answers, sys.stdout = sys.stdout, sys.stderr  # some clients print
    once = await WAYS[way](url)
    colors = _colors()
    await once(next(colors))  # what is imported, opened and asked for on the first run only
    print(json.dumps([]), file=answers, flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            color = next(colors)
            began = time.perf_counter()
            took = await once(color)
            times.append(time.perf_counter() - began if took is None else took)
        print(json.dumps(times), file=answers, flush=True)


def _colors() -> Iterator[int]:
    """Colours that no other worker takes."""
    color = uuid.uuid4().int % 150_000
    while True:
        yield color
        color = (color + 1) % 160_000


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
