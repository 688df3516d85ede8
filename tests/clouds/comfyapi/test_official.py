"""The same jobs give the same results, byte by byte, as with the official client, comfy-sdk 0.5.0."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from comfykit_jupyter import ComfyKit
from tests.client import workflows

from .proxied import Proxied


def run_ours(kit: ComfyKit, workflow: Any, **values: Any) -> dict[str, Any]:
    """Run a workflow with our client and return the result in the format of `official.py`."""
    result = kit.options(raise_on_error=False).run(workflow, **values)
    if result.error is not None and result.error.kind == "refused":
        return {"refused": True}
    outputs = [[media.node, media.name, hashlib.sha256(media.read()).hexdigest()] for media in result.media]
    error = result.error and [result.error.node_id, result.error.message]
    return {"status": {"completed": "succeeded"}.get(result.status, result.status), "outputs": outputs, "error": error}


def build_several() -> workflows.Graph:
    """Build a workflow with two save nodes and several images."""
    graph = workflows.picture()
    graph["1"]["inputs"]["batch_size"] = 3
    graph["5"] = {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "other/side"}}
    return graph


@pytest.mark.parametrize(
    "workflow",
    [workflows.picture(), build_several(), workflows.clip(), workflows.sound(), workflows.text(), workflows.failing()],
    ids=["picture", "several", "clip", "sound", "text", "failing"],
)
def test_a_job_gives_the_same_result_as_the_official_client(workflow: Any, kit: ComfyKit, proxied: Proxied) -> None:
    theirs = proxied.run_official_client(workflow)
    if theirs.get("error"):
        theirs["error"][1] = theirs["error"][1].strip()
    assert run_ours(kit, workflow) == theirs


def test_a_file_gives_the_same_result_as_the_official_client(kit: ComfyKit, proxied: Proxied, tmp_path: Path) -> None:
    path = tmp_path / "given.png"
    Image.new("RGB", (5, 6), (1, 2, 3)).save(path)
    found = run_ours(kit, workflows.inverted(), image=str(path))
    assert found == proxied.run_official_client(workflows.inverted(), {"1.image": str(path)})
    assert len(found["outputs"]) == 1


@pytest.mark.parametrize(
    "workflow", [{"1": {"class_type": "NoSuchNode", "inputs": {}}}, {"1": {"class_type": "SaveImage", "inputs": {}}}]
)
def test_the_same_prompt_is_rejected(workflow: Any, kit: ComfyKit, proxied: Proxied) -> None:
    assert proxied.run_official_client(workflow) == {"refused": "invalid_workflow"}
    assert run_ours(kit, workflow) == {"refused": True}
