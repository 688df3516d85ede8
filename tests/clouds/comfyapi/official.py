"""A workflow run by the official client, comfy-sdk 0.5.0, in a process of its own, by a Python that has it.

Reads `{"workflow", "files": {"NODE.FIELD": path}}` as JSON, and writes what came of it: `{"status", "outputs",
"error"}`, or `{"refused": code}`. Of each output it tells node, name, and its content's SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from typing import Any


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run it."""
    sdk = importlib.import_module("comfy_sdk")
    with sdk.Comfy() as client:
        graph = request["workflow"]
        for place, path in request["files"].items():
            node, field = place.split(".")
            graph[node]["inputs"][field] = client.assets.from_file(path)
        try:
            job = client.submit(client.workflows.from_json(graph))
        except sdk.ComfyError as error:
            return {"refused": error.code}
        job.wait()
        outputs = []
        for output in job.outputs:
            content = output.read() if hasattr(output, "read") else output.to_bytes()
            outputs.append([output.node_id, output.name, hashlib.sha256(content).hexdigest()])
        failure = job.error
        return {"status": job.status, "outputs": outputs, "error": failure and [failure.node_id, failure.message]}


if __name__ == "__main__":
    json.dump(run(json.load(sys.stdin)), sys.stdout)
