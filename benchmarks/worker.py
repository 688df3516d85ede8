"""One way of running a workflow, in a process of its own: reads how many runs to make, prints how long each took.

It is started with the server's address and the name of the way, and by whatever Python has the packages for it.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tempfile
import time
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

Once = Callable[[int], Awaitable[None]]


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
    path = Path(tempfile.mkdtemp()) / "workflow.json"
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


async def submit(url: str) -> Once:
    """A hundred `kit.submit(…)` at once."""
    from comfykit_jupyter import ComfyKit

    kit = ComfyKit(url)

    async def once(color: int) -> None:
        runs = [kit.submit(workflow(0), color=color * 100 + number) for number in range(100)]
        for each in runs:
            assert (await each).images

    return once


async def bare_hundred(url: str) -> Once:
    """A hundred prompts posted by the bare script at once."""
    import httpx
    from websockets.asyncio.client import connect

    client_id = uuid.uuid4().hex
    client = httpx.AsyncClient(base_url=url, limits=httpx.Limits(max_connections=16))
    socket = await connect(f"{url.replace('http', 'ws', 1)}/ws?clientId={client_id}", max_size=None)

    async def once(color: int) -> None:
        posts = [
            client.post("/prompt", json={"prompt": workflow(color * 100 + number), "client_id": client_id})
            for number in range(100)
        ]
        ended: set[str] = set()
        answers = asyncio.gather(*posts)
        while len(ended) < 100:
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
    "bare-hundred": bare_hundred,
    "run": run,
    "submit": submit,
    **{
        name: lambda url, name=name: execute(url, name)  # type: ignore[misc]
        for name in ("websocket", "http", "comfykit-websocket", "comfykit-http")
    },
}


async def main(url: str, way: str) -> None:
    """Make runs as they are asked for, one number a line, until there are no more lines."""
    once = await WAYS[way](url)
    colors = _colors()
    await once(next(colors))  # what is imported, opened and asked for on the first run only
    print(json.dumps([]), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            color = next(colors)
            began = time.perf_counter()
            await once(color)
            times.append(time.perf_counter() - began)
        print(json.dumps(times), flush=True)


def _colors() -> Iterator[int]:
    """Colours that no other worker takes."""
    color = uuid.uuid4().int % 150_000
    while True:
        yield color
        color = (color + 1) % 160_000


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:3]))
