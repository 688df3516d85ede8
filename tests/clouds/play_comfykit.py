"""Use the public `comfykit` on RunningHub: `python play_comfykit.py URL KEY SPEC` prints what it got, as JSON.

It runs with a Python that has `comfykit`, so it imports nothing else of this project.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any


async def play(url: str, key: str, spec: dict[str, Any]) -> dict[str, Any]:
    """Run a workflow by its ID, and call the client's methods."""
    from comfykit import ComfyKit  # type: ignore[import-not-found, unused-ignore]
    from comfykit.comfyui.runninghub_client import RunningHubClient  # type: ignore[import-not-found, unused-ignore]

    sleep = asyncio.sleep
    asyncio.sleep = lambda seconds, result=None: sleep(seconds / 10, result)  # it waits two seconds after each answer
    kit = ComfyKit(runninghub_url=url, runninghub_api_key=key, runninghub_timeout=60, **spec["settings"])
    results = [await kit.execute(each["workflow"], each["params"]) for each in spec["runs"]]
    async with RunningHubClient(api_key=key, base_url=url, retry_count=0) as client:
        uploaded = await client.upload_file(spec["file"])
        status = await client.query_task_status(results[0].prompt_id)
        outputs = await client.query_task_result(results[0].prompt_id)
        graph = await client.get_workflow_json(spec["runs"][0]["workflow"])
    return {
        "results": [json.loads(result.model_dump_json()) for result in results],
        "uploaded": uploaded,
        "status": status,
        "outputs": outputs,
        "graph": graph,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(play(sys.argv[1], sys.argv[2], json.loads(sys.argv[3])))))
