"""Run a workflow with the official client, comfy-sdk 0.5.0, in a Python that has it installed.

It reads `{"workflow", "files": {"NODE.FIELD": path}}` as JSON and writes `{"status", "outputs", "error"}`, or
`{"refused": code}`. An output is its node, its name and its content's SHA-256.
"""

from __future__ import annotations

import hashlib
import importlib
import json
import sys
from typing import Any


def run(request: dict[str, Any]) -> dict[str, Any]:
    """Run the workflow and return its result."""
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
